/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that the tests under KVM share: an engine, guests by the name of their program in
 * tests/guest, links, and the checks every test ends with. Only the public library is used.
 */
#ifndef FERRY_TESTS_KVM_FIXTURE_H
#define FERRY_TESTS_KVM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs those above */

#include <ferry/abi/message.h>
#include <ferry/ferry.h>

#define SECOND   1000000000ull
#define PATIENCE (60 * SECOND) /* a bound for what must come, never a pause */
#define VMS_MAX  8

struct world {
    struct ferry_engine *engine;
    struct ferry_vm *vm[VMS_MAX];
    struct ferry_vm_exit exit[VMS_MAX];
    int count;
    int stderr_fd; /* what guests print on fd 2 is kept here */
    enum ferry_delivery delivery;
    enum ferry_transfer transfer;
    uint64_t timeout_ns, cpu_ns, memory_bytes;
    uint32_t threads;
    char *const *envp;
    const char *const *read_only_dirs, *const *read_write_dirs;
    char said[4096];
};

/* Setup and teardown for cmocka; teardown destroys all and asserts that nothing leaked. */
int world_setup(void **state);
int world_setup_with(void **state, const struct ferry_engine_config *config);
int world_teardown(void **state);

/* A VM called `name` that runs the guest program `program` with these
 * arguments (a NULL-terminated list). Returns its place. */
int world_add(struct world *world, const char *name, const char *program, ...);
struct ferry_link *world_link(struct world *world, int from, int to); /* -1: the host */
void world_link_both(struct world *world, int one, int other);        /* there and back */
struct ferry_link *world_direct(struct world *world, int from, int to);
struct ferry_link *world_stream(struct world *world, int from, int to);
void world_start(struct world *world);
/* So many messages, or a part of them where all is emulated: FERRY_SIZE_DIVISOR says how small. */
unsigned world_many(unsigned count);
/* Waits for all and fills exit[]. */
void world_wait(struct world *world);
/* Fails the test, with the guests' messages, unless the VM exited with 0. */
void world_expect_ok(struct world *world, int place);
/* Starts all, waits for all, and fails the test unless each exited with 0. */
void world_run_ok(struct world *world);
/* The bytes that guests have written to stderr so far. */
const char *world_said(struct world *world);
struct ferry_vm_stats world_stats(struct world *world, int place);
struct ferry_link_stats link_stats(struct ferry_link *link);
/* All of a stream to the host, into text; the link's hang-up ends it. */
size_t world_read_all(struct ferry_link *link, char *text, size_t bytes);

/* Waits until the thread has put its number there and sleeps in the kernel. On the main thread. */
void until_asleep(const atomic_int *tid);

#define kvm_test(function) cmocka_unit_test_setup_teardown(function, world_setup, world_teardown)

#endif
