/* SPDX-License-Identifier: BSD-2-Clause */
/* The place in which the guest kernel finds files of the host, and behind it rooms for what it writes to
 * files. It is made when the first one is published, and empty then; the personality maps files in it,
 * read-only. */
#include <sys/mman.h>

#include "kvm/kernel.h"
#include "lib/mapping.h"
#include "linux/vm_linux.h"
#include "vm/budgets.h"
#include "vm/kernel.h"
#include "vm/vm_memory.h"

/* A mapping of each file, and what is empty before it; at the end, too; and the rooms. */
#define MAPPINGS (2 * FERRY_KERNEL_FILES + 3)
_Static_assert(FERRY_ROOMS_BYTES <= FERRY_EXTENT_BYTES, "they fit");

static char *reserve(struct ferry_vm *vm)
{
    unsigned user = vm->guest->kernel == KERNEL_AT_CPL3 ? GUEST_USER : 0;
    char *place = mapping_aligned(KERNEL_PLACE_BYTES, PROT_NONE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

    if (!place)
        return NULL;
    if (mprotect(place + FERRY_FILES_BYTES, FERRY_ROOMS_BYTES, PROT_READ | PROT_WRITE) == 0 &&
        guest_tables_map(&vm->guest->tables, guest_addr(FERRY_FILES_BASE), FERRY_FILES_BYTES,
                         user | GUEST_LARGE) == 0 &&
        guest_tables_map(&vm->guest->tables, guest_addr(FERRY_ROOMS_BASE), FERRY_ROOMS_BYTES,
                         user | GUEST_WRITE) == 0 &&
        kvm_vm_add_slot(&vm->guest->kvm, guest_addr(FERRY_FILES_BASE), KERNEL_PLACE_BYTES, place) ==
            0)
        return place;
    munmap(place, KERNEL_PLACE_BYTES);
    return NULL;
}

bool vm_files(struct ferry_vm *vm, struct vm_files *out)
{
    if (vm->guest->kernel != KERNEL_AT_CPL3 && vm->guest->kernel != KERNEL_AT_CPL0)
        return false;
    if (!vm->guest->files_place && !vm->guest->files_refused) {
        if (vm_mappings_take(vm, MAPPINGS) && !(vm->guest->files_place = reserve(vm)))
            vm_mappings_give_back(vm, MAPPINGS);
        vm->guest->files_refused = !vm->guest->files_place;
    }
    *out = (struct vm_files){.shown = kernel_shown(vm->guest->system),
                             .words = kernel_words(vm->guest->system),
                             .place = vm->guest->files_place};
    return vm->guest->files_place;
}
