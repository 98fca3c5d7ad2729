/* SPDX-License-Identifier: BSD-2-Clause */
/* The place in which the guest kernel finds files of the host. It is made when the first one is
 * published, and empty then; the personality maps files in it, read-only. */
#include <sys/mman.h>

#include "kvm/kernel.h"
#include "lib/mapping.h"
#include "linux/vm_linux.h"
#include "vm/kernel.h"
#include "vm/vm_memory.h"

/* A mapping of each file, and what is empty before it; at the end, too. */
#define MAPPINGS (2 * FERRY_KERNEL_FILES + 1)

static char *reserve(struct ferry_vm *vm)
{
    unsigned user = vm->kernel == KERNEL_AT_CPL3 ? GUEST_USER : 0;
    char *place = mapping_aligned(FERRY_FILES_BYTES, PROT_NONE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

    if (!place)
        return NULL;
    if (guest_tables_map(&vm->tables, guest_addr(FERRY_FILES_BASE), FERRY_FILES_BYTES,
                         user | GUEST_LARGE) == 0 &&
        kvm_vm_add_slot(&vm->kvm, guest_addr(FERRY_FILES_BASE), FERRY_FILES_BYTES, place) == 0)
        return place;
    munmap(place, FERRY_FILES_BYTES);
    return NULL;
}

bool vm_files(struct ferry_vm *vm, struct vm_files *out)
{
    if (vm->kernel != KERNEL_AT_CPL3 && vm->kernel != KERNEL_AT_CPL0)
        return false;
    if (!vm->files_place && !vm->files_refused) {
        if (vm_mappings_take(vm, MAPPINGS) && !(vm->files_place = reserve(vm)))
            vm_mappings_give_back(vm, MAPPINGS);
        vm->files_refused = !vm->files_place;
    }
    *out = (struct vm_files){.shown = kernel_shown(vm->system),
                             .words = kernel_words(vm->system),
                             .place = vm->files_place};
    return vm->files_place;
}

void vm_kernel_unmap(struct ferry_vm *vm)
{
    if (vm->files_place)
        munmap(vm->files_place, FERRY_FILES_BYTES);
}
