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
#include "vm/vm.h"

/* --- slots and addresses ------------------------------------------------------ */

static int slot_add(void *arg, struct guest_addr gpa, uint64_t bytes, void *host)
{
    struct ferry_vm *vm = arg;

    return kvm_vm_add_slot(&vm->guest->kvm, gpa, bytes, host);
}

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
        result = slot_add(vm, vm->endpoint->window_addr, window->bytes, window->base);
        if (result < 0) {
            result = -ENOMEM; /* what a sender is told must not depend on KVM */
        } else {
            guest_tables_show(&vm->guest->tables, vm->endpoint->window_addr, window->bytes);
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

struct reach vm_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write)
{
    if (bytes == 0)
        return (struct reach){.at = vm->guest->system};
    if (addr.value >= FERRY_PROGRAM_FAR_LOW)
        return space_memory(vm, addr, bytes, write);
    if (addr.value >= FERRY_WINDOW_BASE)
        return (struct reach){.at = window_memory(vm, addr, bytes, write)};
    if (addr.value >= FERRY_CLOCK_ADDR)
        return (struct reach){.at = vdso_memory(vm, addr, bytes, write)};
    if (addr.value >= FERRY_SYSTEM_BASE)
        return (struct reach){.at = receive_memory(vm, addr, bytes, write)};
    return space_memory(vm, addr, bytes, write);
}

bool vm_at_hand(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes)
{
    struct reach place;

    if (addr.value >= FERRY_SYSTEM_BASE && addr.value < FERRY_PROGRAM_FAR_LOW)
        return true;
    place = space_reach(&vm->guest->space, addr, bytes, SPACE_READ);
    return !place.at || (!place.live && !space_is_closed(&vm->guest->space, addr, bytes));
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

/* --- budgets ------------------------------------------------------------------ */

/* Mappings besides those of the program: system area, window, shared page, stack and endpoint. */
#define OWN_MAPPINGS 8
/* Descriptors: the VM, its virtual CPU, standard error, and the endpoint's waker. */
#define OWN_FILES 4

/* A far part takes more addresses than 32 GiB of each VM: all together, of 128 TiB, less than half. */
#define FAR_PARTS_MOST 32

/* Mappings of each CPU but the first: what it shares with KVM, and its thread's stack. */
#define CPU_MAPPINGS 3

static bool set_mappings(struct ferry_vm *vm, uint32_t of_space, uint32_t of_cpus)
{
    if (!budget_set(&vm->engine->mappings, &vm->mappings, of_space + of_cpus))
        return false;
    vm->guest->space_mappings = of_space;
    vm->guest->cpu_mappings = of_cpus;
    return true;
}

static bool allow_far(void *arg)
{
    struct ferry_vm *vm = arg;

    if (!vm->guest->has_far && atomic_fetch_add(&vm->engine->far_parts, 1) < FAR_PARTS_MOST)
        vm->guest->has_far = true;
    else if (!vm->guest->has_far)
        atomic_fetch_sub(&vm->engine->far_parts, 1);
    return vm->guest->has_far;
}

void vm_leave_budgets(struct ferry_vm *vm)
{
    budget_leave(&vm->engine->mappings, &vm->mappings);
    budget_leave(&vm->engine->files, &vm->files);
    if (vm->guest->has_far)
        atomic_fetch_sub(&vm->engine->far_parts, 1);
}

static bool allow_mappings(void *arg, uint64_t mappings)
{
    struct ferry_vm *vm = arg;

    return set_mappings(vm, (uint32_t)mappings, vm->guest->cpu_mappings);
}

bool vm_mappings_take(struct ferry_vm *vm, uint32_t count)
{
    return set_mappings(vm, vm->guest->space_mappings, vm->guest->cpu_mappings + count);
}

void vm_mappings_give_back(struct ferry_vm *vm, uint32_t count)
{
    set_mappings(vm, vm->guest->space_mappings, vm->guest->cpu_mappings - count);
}

bool vm_cpu_take(struct ferry_vm *vm)
{
    if (!vm_file_take(vm))
        return false;
    if (vm_mappings_take(vm, CPU_MAPPINGS))
        return true;
    vm_file_give_back(vm);
    return false;
}

void vm_cpu_give_back(struct ferry_vm *vm)
{
    vm_mappings_give_back(vm, CPU_MAPPINGS);
    vm_file_give_back(vm);
}

bool vm_file_take(struct ferry_vm *vm)
{
    return budget_set(&vm->engine->files, &vm->files, vm->files.used + 1);
}

void vm_file_give_back(struct ferry_vm *vm)
{
    budget_set(&vm->engine->files, &vm->files, vm->files.used - 1);
}

int vm_join_budgets(struct ferry_vm *vm, const struct ferry_vm_config *config,
                    struct ferry_error *err)
{
    uint32_t files = OWN_FILES + LINUX_OWN_FILES;

    for (const char *const *dir = config->read_only_dirs; dir && *dir; dir++)
        files++;
    for (const char *const *dir = config->read_write_dirs; dir && *dir; dir++)
        files++;
    if (!budget_join(&vm->engine->files, &vm->files, files))
        return error_set(
            err, -EMFILE,
            "no descriptors are left for VM '%s'; raise 'ulimit -n', or make fewer VMs",
            vm->endpoint->name);
    if (!budget_join(&vm->engine->mappings, &vm->mappings, OWN_MAPPINGS))
        return error_set(
            err, -ENOMEM,
            "no mappings are left for VM '%s'; raise vm.max_map_count, or make fewer VMs",
            vm->endpoint->name);
    return 0;
}

/* --- making it ---------------------------------------------------------------- */

static int show_vdso(struct ferry_vm *vm)
{
    int result = vdso_map(&vm->guest->tables);

    return result < 0
               ? result
               : slot_add(vm, guest_addr(FERRY_CLOCK_ADDR), VDSO_ALL_BYTES, vm->engine->vdso.view);
}

int vm_create_memory(struct ferry_vm *vm, uint64_t limit_bytes)
{
    struct pool *pool = &vm->engine->exchange.pool;
    struct endpoint *endpoint = vm->endpoint;

    vm->guest->system = mapping_aligned(SYSTEM_BYTES, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!vm->guest->system)
        return -errno;
    madvise(vm->guest->system, SYSTEM_BYTES, MADV_NOHUGEPAGE); /* a small VM stays small */
    int result = boot_system(vm->guest->system, pool->bytes, vm->most_threads, &vm->guest->tables);
    if (result < 0)
        return result;
    endpoint->control = (struct ferry_control *)(void *)vm->guest->system;
    endpoint->receive_buffers = vm->guest->system + SYSTEM_TABLES_BYTES;
    endpoint->receive_buffers_addr = guest_addr(SYSTEM_RECEIVE);
    endpoint->window_addr = guest_addr(FERRY_WINDOW_BASE);
    result = window_create(&endpoint->window, pool->fd, pool->bytes);
    if (result < 0)
        return result;
    endpoint->window.show = show_window;
    endpoint->window.show_arg = vm;
    atomic_store(&endpoint->window.hidden, true);
    guest_tables_hide(&vm->guest->tables, endpoint->window_addr, pool->bytes);

    struct space_backend backend = {
        .slot_add = slot_add,
        .allow_mappings = allow_mappings,
        .allow_far = allow_far,
        .far_high = min_u64(FERRY_PROGRAM_FAR_HIGH, 1ull << vm->engine->kvm.address_bits),
        .arg = vm,
        .tables = &vm->guest->tables,
    };
    uint64_t used_bytes = vm->guest->space.used_bytes; /* while the program was opened */
    result = space_init(&vm->guest->space, &backend, limit_bytes);
    if (result < 0)
        return result;
    space_recharge(&vm->guest->space, 0, used_bytes);
    result = slot_add(vm, guest_addr(FERRY_SYSTEM_BASE), SYSTEM_BYTES, vm->guest->system);
    return result < 0 ? result : show_vdso(vm);
}
