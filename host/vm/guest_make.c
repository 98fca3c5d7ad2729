/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest, from making to freeing. */
#include "vm/guest_make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm/boot.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "lib/mapping.h"
#include "vm/budgets.h"
#include "vm/kernel.h"

int guest_slot_add(struct guest *guest, struct guest_addr gpa, uint64_t bytes, void *host)
{
    return kvm_vm_add_slot(&guest->kvm, gpa, bytes, host);
}

static int slot_add(void *arg, struct guest_addr gpa, uint64_t bytes, void *host)
{
    struct guest *guest = arg;

    return kvm_vm_number_slot(&guest->kvm, gpa, bytes, host);
}

static void slot_remove(void *arg, int slot)
{
    struct guest *guest = arg;

    kvm_vm_remove_slot(&guest->kvm, slot);
}

static bool allow_mappings(void *arg, uint64_t mappings)
{
    return vm_allow_mappings(arg, mappings);
}

static bool allow_far(void *arg)
{
    return vm_allow_far(arg);
}

static int show_vdso(struct guest *guest)
{
    int result = vdso_map(&guest->tables);

    return result < 0 ? result
                      : guest_slot_add(guest, guest_addr(FERRY_CLOCK_ADDR), VDSO_ALL_BYTES,
                                       guest->vm->engine->vdso.view);
}

/* Without a window, which only the guest of the first process gets to see. */
static int create_memory(struct guest *guest, uint64_t limit_bytes)
{
    const struct ferry_engine *engine = guest->vm->engine;
    uint64_t window_bytes = engine->exchange.pool.bytes;
    struct space_backend backend = {
        .slot_add = slot_add,
        .slot_remove = slot_remove,
        .allow_mappings = allow_mappings,
        .allow_far = allow_far,
        .pagemap_and_one = engine->pagemap + 1,
        .far_high = min_u64(FERRY_PROGRAM_FAR_HIGH, 1ull << engine->kvm.address_bits),
        .arg = guest,
        .tables = &guest->tables,
    };
    uint64_t used_bytes = guest->space.used_bytes; /* while the program was opened */

    guest->system = mapping_aligned(SYSTEM_BYTES, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!guest->system)
        return -errno;
    madvise(guest->system, SYSTEM_BYTES, MADV_NOHUGEPAGE); /* a small VM stays small */
    int result = boot_system(guest->system, window_bytes, guest->vm->most_threads, &guest->tables);
    if (result < 0)
        return result;
    guest_tables_hide(&guest->tables, guest_addr(FERRY_WINDOW_BASE), window_bytes);
    result = space_init(&guest->space, &backend, limit_bytes);
    if (result < 0)
        return result;
    space_recharge(&guest->space, 0, used_bytes);
    result = guest_slot_add(guest, guest_addr(FERRY_SYSTEM_BASE), SYSTEM_BYTES, guest->system);
    return result < 0 ? result : show_vdso(guest);
}

int guest_create(struct guest *guest, uint64_t limit_bytes, struct ferry_error *err)
{
    int result = kvm_vm_create(&guest->kvm, &guest->vm->engine->kvm);

    if (result < 0)
        return error_set(err, result, "KVM cannot make another VM: %s", strerror(-result));
    result = create_memory(guest, limit_bytes);
    return result < 0 ? error_set(err, result, "no memory for VM '%s': %s",
                                  guest->vm->endpoint->name, strerror(-result))
                      : 0;
}

static void destroy_cpus(struct guest *guest)
{
    for (unsigned i = 0; i < BOOT_CPUS_MAX && guest->vcpus[i]; i++) {
        vcpu_destroy(guest->vcpus[i]);
        if (i > 0)
            free(guest->vcpus[i]);
    }
}

void guest_end(struct guest *guest)
{
    destroy_cpus(guest);
    kvm_vm_destroy(&guest->kvm);
    if (guest->files_place)
        munmap(guest->files_place, KERNEL_PLACE_BYTES);
    if (guest->space.base) {
        space_leave_limit(&guest->space);
        space_fini(&guest->space);
    }
}

void guest_fini(struct guest *guest)
{
    if (guest->system)
        munmap(guest->system, SYSTEM_BYTES);
}
