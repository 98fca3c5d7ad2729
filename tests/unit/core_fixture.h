/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library's core without KVM: an engine with pool, ledger and links as the
 * library makes them, and VMs that have all but a virtual CPU. The
 * test plays the guest by writing into the control structure.
 */
#ifndef FERRY_TESTS_CORE_FIXTURE_H
#define FERRY_TESTS_CORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "ipc/decode.h"
#include "ipc/drain.h"
#include "ipc/endpoint.h"
#include "ipc/endpoint_end.h"
#include "ipc/endpoint_wait.h"
#include "ipc/link.h"
#include "ipc/loan.h"
#include "ipc/perform.h"
#include "ipc/queue.h"
#include "ipc/room.h"
#include "ipc/units.h"
#include "lib/clock.h"
#include "linux/vm_linux.h"
#include "vm/vm.h"

/* An engine with `pages` (rounded up to a whole extent) and `extents`; all that is copied at
 * most 4096 bytes long is cheaper to copy. */
struct ferry_engine *core_engine(uint32_t pages, uint32_t extents);
/* Asserts that the books are right and nothing is leaked or left, then frees the engine. */
void core_end(struct ferry_engine *engine);
/* Asserts how many units are free, owned and lent, and that this is all. */
void core_assert_books(struct ferry_engine *engine, uint64_t free, uint64_t owned, uint64_t lent);

/* A VM that may own all of the pool; ferry_vm_destroy ends it. */
struct ferry_vm *core_vm(struct ferry_engine *engine, const char *name);
/* NULL for the host; max_messages 0: the default. */
struct ferry_link *core_link(struct ferry_vm *from, struct ferry_vm *to, uint32_t max_messages);
struct ferry_link *core_stream_link(struct ferry_vm *from, struct ferry_vm *to);

/* Gets units that the endpoint owns, open in its window. */
struct units core_alloc(struct endpoint *endpoint, uint32_t count, bool page);
/* Host address of a unit in the VMM's view. */
char *core_bytes(struct ferry_engine *engine, uint32_t unit);

/* What the page table lets the VM do at the first byte of a unit: nothing is changed. */
enum window_access core_rights(const struct endpoint *endpoint, uint32_t unit);

/* Copies come from these bytes, which the guest has at this address. */
#define CORE_MEMORY_ADDR  0x10000ull
#define CORE_MEMORY_BYTES (FERRY_COPY_BYTES + 1)
extern char core_memory_bytes[CORE_MEMORY_BYTES];
struct reach core_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write);

/* --- the guest's side --- */

struct ferry_desc core_inline(uint16_t dst, uint64_t tag);
/* LEND, MOVE or COPY of guest memory. */
struct ferry_desc core_payload(enum ferry_mode mode, uint16_t dst, uint64_t addr, uint64_t bytes);
/* LEND or MOVE of whole units. */
struct ferry_desc core_units(enum ferry_mode mode, const struct endpoint *from, uint16_t dst,
                             struct units units);
/* Puts the message into the out ring. */
void core_queue(struct endpoint *endpoint, const struct ferry_desc *desc);
/* Puts the message into the out ring, drains, and returns its status. It must have been taken. */
int core_send(struct endpoint *endpoint, const struct ferry_desc *desc);
/* Takes the next message as a guest does, from the ring it sees; it must be there. */
struct ferry_desc core_take(struct endpoint *endpoint);
/* How many messages the guest could take. */
uint32_t core_waiting(const struct endpoint *endpoint);
/* Puts a token into the release ring; nobody looks yet. */
void core_release(struct endpoint *endpoint, uint32_t token);
/* How many completions the guest has not yet taken. */
uint32_t core_home(const struct endpoint *endpoint);

/* --- page-table updates that fail --- */

/* Uses up all mappings this process may have (vm.max_map_count), so that
 * no mapping can be split. Between the two nothing may allocate. */
void core_exhaust_mappings(void);
void core_restore_mappings(void);

#endif
