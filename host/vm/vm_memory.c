/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory of a VM: its KVM slots, the parts that its program may read and write, and the VM's
 * budgets of the process's mappings and descriptors. */

#include "vm/vm_memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/loan.h"
#include "kvm/boot.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "lib/mapping.h"
#include "linux/vm_linux.h"
#include "vm/guest_make.h"
#include "vm/vm.h"

/* --- slots and addresses ------------------------------------------------------ */

/* Called when a unit is first opened in the window. Many VMs never have one, and the slot takes
 * time and, for each page of the pool, memory of the kernel. The slot comes before the entry in the
 * guest's tables, since KVM would treat an access without a slot as one to a device. */
static int show_window(void *arg)
{
    struct ferry_vm *vm = arg;
    struct window *window = &vm->endpoint->window;
    int result = 0;

    lock_take(&vm->window_lock);
    if (atomic_load(&window->hidden)) {
        result = guest_slot_add(&vm->own, vm->endpoint->window_addr, window->bytes, window->base);
        if (result < 0) {
            result = -ENOMEM; /* what a sender is told must not depend on KVM */
        } else {
            guest_tables_show(&vm->own.tables, vm->endpoint->window_addr, window->bytes);
            atomic_store(&window->hidden, false);
        }
    }
    lock_drop(&vm->window_lock);
    return result;
}

struct space *vm_space(struct ferry_vm *vm)
{
    return &vm->guest->space;
}

struct stream *vm_stream(struct ferry_vm *vm)
{
    return vm->endpoint->byte_stream;
}

void vm_stack_is(struct ferry_vm *vm, uint64_t bytes)
{
    vm->process->stack_bytes = bytes;
}

static char *window_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write)
{
    struct pool *pool = &vm->engine->exchange.pool;
    struct pool_offset offset = endpoint_offset(vm->endpoint, addr);
    struct units units;

    if (!pool_covering(pool, offset, bytes, &units))
        return NULL;
    /* The memory must not change hands while the caller uses it. Another thread may send gathered
     * plain output, or bring home a loan that was released. */
    if ((write && endpoint_stream_uses(vm->endpoint, units)) ||
        loan_is_leaving(vm->endpoint, units))
        return NULL;
    int access = ledger_access(&vm->engine->exchange.ledger, units, vm->endpoint->index);
    return access >= (write ? WINDOW_WRITE : WINDOW_READ) ? pool_at(pool, offset) : NULL;
}

/* Of the system area a program may send only copied payloads. */
static char *receive_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write)
{
    uint64_t offset = addr.value - FERRY_SYSTEM_BASE, end;

    if (write || offset < SYSTEM_TABLES_BYTES || __builtin_add_overflow(offset, bytes, &end) ||
        end > SYSTEM_BYTES)
        return NULL;
    return vm->guest->system + offset;
}

/* It is read as any code is, to find out what an instruction touches, and by programs that look up
 * its functions. */
static char *vdso_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write)
{
    return write ? NULL : vdso_at(&vm->engine->vdso, addr, bytes);
}

/* Memory of the program. What is charged by touch is touched now. */
static struct reach space_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes,
                                 bool write)
{
    struct reach place =
        space_reach(&vm->guest->space, addr, bytes, write ? SPACE_WRITE : SPACE_READ);

    if (!place.at || !space_touch(&vm->guest->space, addr, bytes))
        return place;
    vm->process->memory_is_used_up = true;
    return (struct reach){0};
}

/* Of which only the first process has any. Below the far part. */
static bool is_for_messages(struct guest_addr addr)
{
    return addr.value >= FERRY_WINDOW_BASE ||
           (addr.value >= FERRY_SYSTEM_BASE && addr.value < FERRY_CLOCK_ADDR);
}

struct reach vm_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write)
{
    if (bytes == 0)
        return (struct reach){.at = vm->guest->system};
    if (addr.value >= FERRY_PROGRAM_FAR_LOW)
        return space_memory(vm, addr, bytes, write);
    if (vm->guest != &vm->own && is_for_messages(addr))
        return (struct reach){0};
    if (addr.value >= FERRY_WINDOW_BASE)
        return (struct reach){.at = window_memory(vm, addr, bytes, write)};
    if (addr.value >= FERRY_CLOCK_ADDR)
        return (struct reach){.at = vdso_memory(vm, addr, bytes, write)};
    if (addr.value >= FERRY_SYSTEM_BASE)
        return (struct reach){.at = receive_memory(vm, addr, bytes, write)};
    return space_memory(vm, addr, bytes, write);
}

/* Of a message, whoever is served. */
struct reach vm_message_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes,
                               bool write)
{
    struct process *process = vm->process;
    struct reach place;

    vm_look_at(vm, &vm->first);
    place = vm_memory(vm, addr, bytes, write);
    vm_look_at(vm, process);
    return place;
}

bool vm_at_hand(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes)
{
    struct reach place;

    if (addr.value >= FERRY_SYSTEM_BASE && addr.value < FERRY_PROGRAM_FAR_LOW)
        return true;
    place = space_reach(&vm->own.space, addr, bytes, SPACE_READ);
    return !place.at || (!place.live && !space_is_closed(&vm->own.space, addr, bytes));
}

bool vm_keeps(struct ferry_vm *vm, const void *at, uint64_t bytes, bool write)
{
    const struct pool *pool = &vm->engine->exchange.pool;
    const char *byte = at;
    struct guest_addr addr;

    if (space_guest(&vm->guest->space, at, &addr))
        return space_at(&vm->guest->space, addr, bytes, write ? SPACE_WRITE : SPACE_READ) &&
               space_memory(vm, addr, bytes, write).at;
    if (byte >= pool->base && byte < pool->base + pool->bytes)
        return window_memory(vm, endpoint_addr(vm->endpoint, pool_place(pool, byte)), bytes, write);
    return true;
}

bool vm_still_has(struct ferry_vm *vm, const void *at, uint64_t bytes, bool write)
{
    return vm_keeps(vm, at, bytes, write);
}

int vm_copy_in(struct ferry_vm *vm, void *to, struct guest_addr addr, uint64_t bytes)
{
    struct reach from = vm_memory(vm, addr, bytes, false);

    return from.at && reach_read(to, from, bytes) == bytes ? 0 : -EFAULT;
}

int vm_copy_out(struct ferry_vm *vm, struct guest_addr addr, const void *from, uint64_t bytes)
{
    struct reach to = vm_memory(vm, addr, bytes, true);

    /* Within the checked range. */
    return to.at && reach_write(to, from, bytes) == bytes ? 0 : -EFAULT;
}

size_t vm_copy_in_some(struct ferry_vm *vm, void *to, struct guest_addr addr, size_t bytes)
{
    size_t done = vm_copy_in(vm, to, addr, bytes) == 0 ? bytes : 0;

    while (done < bytes && vm_copy_in(vm, (char *)to + done, guest_addr_add(addr, done), 1) == 0)
        done++;
    return done;
}

size_t vm_copy_in_pages(struct ferry_vm *vm, void *to, struct guest_addr addr, size_t bytes)
{
    struct reach from = vm_memory(vm, addr, bytes, false);

    return from.at ? reach_read(to, from, bytes) : 0;
}

bool vm_may(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write)
{
    return reach_may(vm_memory(vm, addr, bytes, write), bytes, write);
}

/* --- making it ---------------------------------------------------------------- */

int vm_create_memory(struct ferry_vm *vm, uint64_t limit_bytes, struct ferry_error *err)
{
    struct pool *pool = &vm->engine->exchange.pool;
    struct endpoint *endpoint = vm->endpoint;
    int result = guest_create(&vm->own, limit_bytes, err);

    if (result < 0)
        return result;
    endpoint->control = (struct ferry_control *)(void *)vm->own.system;
    endpoint->receive_buffers = vm->own.system + SYSTEM_TABLES_BYTES;
    endpoint->receive_buffers_addr = guest_addr(SYSTEM_RECEIVE);
    endpoint->window_addr = guest_addr(FERRY_WINDOW_BASE);
    result = window_create(&endpoint->window, pool->fd, pool->bytes);
    if (result < 0)
        return error_set(err, result, "no memory for VM '%s': %s", endpoint->name,
                         strerror(-result));
    endpoint->window.show = show_window;
    endpoint->window.show_arg = vm;
    atomic_store(&endpoint->window.hidden, true);
    return 0;
}
