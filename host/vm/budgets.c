/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM takes of this process's mappings and descriptors, and its guests of that. */
#include "vm/budgets.h"

#include <errno.h>
#include <stdatomic.h>

#include "lib/error.h"
#include "linux/vm_linux.h"

/* Mappings besides those of the program: system area, window, shared page, stack and endpoint. */
#define OWN_MAPPINGS 8
/* Descriptors: the VM, its virtual CPU, standard error, and the endpoint's waker. */
#define OWN_FILES 4

/* A far part takes more addresses than 32 GiB of each VM: all together, of 128 TiB, less than half. */
#define FAR_PARTS_MOST 32

/* Mappings of each CPU but the first: what it shares with KVM, and its thread's stack. */
#define CPU_MAPPINGS 3

/* Of a guest beside the first: KVM's VM and the first CPU; system area, stack, thread and what the CPU
 * shares with KVM. */
#define GUEST_FILES    2
#define GUEST_MAPPINGS 6

static bool set_mappings(struct guest *guest, uint32_t of_space, uint32_t of_cpus)
{
    struct ferry_vm *vm = guest->vm;
    uint32_t others = vm->mappings.used - guest->space_mappings - guest->cpu_mappings;

    if (!budget_set(&vm->engine->mappings, &vm->mappings, others + of_space + of_cpus))
        return false;
    guest->space_mappings = of_space;
    guest->cpu_mappings = of_cpus;
    return true;
}

bool vm_allow_far(struct guest *guest)
{
    struct ferry_engine *engine = guest->vm->engine;

    if (!guest->has_far && atomic_fetch_add(&engine->far_parts, 1) < FAR_PARTS_MOST)
        guest->has_far = true;
    else if (!guest->has_far)
        atomic_fetch_sub(&engine->far_parts, 1);
    return guest->has_far;
}

bool vm_take_budgets(struct guest *guest)
{
    struct ferry_vm *vm = guest->vm;
    uint32_t files = vm->files.used;

    if (!budget_set(&vm->engine->files, &vm->files, files + GUEST_FILES))
        return false;
    if (set_mappings(guest, 0, GUEST_MAPPINGS))
        return true;
    budget_set(&vm->engine->files, &vm->files, files);
    return false;
}

void vm_give_back_budgets(struct guest *guest)
{
    struct ferry_vm *vm = guest->vm;

    if (guest->cpu_mappings)
        budget_set(&vm->engine->files, &vm->files,
                   vm->files.used - GUEST_FILES - (guest->vcpus_made - 1));
    set_mappings(guest, 0, 0);
    if (guest->has_far)
        atomic_fetch_sub(&guest->vm->engine->far_parts, 1);
    guest->has_far = false;
}

void vm_leave_budgets(struct ferry_vm *vm)
{
    budget_leave(&vm->engine->mappings, &vm->mappings);
    budget_leave(&vm->engine->files, &vm->files);
    if (vm->own.has_far)
        atomic_fetch_sub(&vm->engine->far_parts, 1);
}

bool vm_allow_mappings(struct guest *guest, uint64_t mappings)
{
    return set_mappings(guest, (uint32_t)mappings, guest->cpu_mappings);
}

bool vm_mappings_take(struct ferry_vm *vm, uint32_t count)
{
    return set_mappings(vm->guest, vm->guest->space_mappings, vm->guest->cpu_mappings + count);
}

void vm_mappings_give_back(struct ferry_vm *vm, uint32_t count)
{
    set_mappings(vm->guest, vm->guest->space_mappings, vm->guest->cpu_mappings - count);
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

int vm_join_budgets(struct ferry_vm *vm, uint32_t files, struct ferry_error *err)
{
    if (!budget_join(&vm->engine->files, &vm->files, OWN_FILES + files))
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
