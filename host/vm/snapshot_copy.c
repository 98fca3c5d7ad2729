/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns copies: how a VM gets what the snapshot of another one has. The two share the files in memory that
 * hold its layers, which nobody changes, and nothing else. The other VM may run, or be reset, meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "linux/vm_linux.h"
#include "vm/message_layer.h"
#include "vm/snapshot_internal.h"
#include "vm/turn.h"

const struct snapshot *snapshot_of(struct ferry_vm *vm)
{
    lock_take(&vm->lock);
    const struct snapshot *snapshot = vm->resets.is_ready ? vm->snapshot : NULL;
    lock_drop(&vm->lock);
    return snapshot;
}

static int copy_memory(struct ferry_vm *vm, const struct snapshot *from, struct snapshot *copy)
{
    int result = space_copy_layer(&vm->own.space, from->layer, &copy->layer);

    if (result)
        return result;
    const struct linux_names names = {copy->layer, from->layer};
    return linux_copy_kept(vm->first.personality, from->kept, &names, &copy->kept);
}

static int copy_messages(struct ferry_vm *vm, const struct snapshot *from, struct snapshot *copy)
{
    copy->messages = fcntl(from->messages, F_DUPFD_CLOEXEC, 0);
    return copy->messages < 0 ? -EMFILE : message_layer_map(copy->messages, vm->own.system);
}

static int copy(struct ferry_vm *vm, const struct snapshot *from, struct snapshot *copy)
{
    int result = snapshot_take_files(vm, copy) ? 0 : -EMFILE;

    copy->cpu = from->cpu;
    copy->by_call = from->by_call;
    copy->programs = from->programs;
    copy->stack_bytes = from->stack_bytes;
    copy->kept_bytes = from->kept_bytes;
    copy->processors = from->processors;
    copy->point = from->point;
    if (!result)
        result = program_share(&copy->program, &from->program, NULL);
    if (!result)
        result = copy_memory(vm, from, copy);
    return result ? result : copy_messages(vm, from, copy);
}

static int begin(struct ferry_vm *vm, const struct snapshot *from)
{
    struct snapshot *own = calloc(1, sizeof *own);
    int result = own ? copy(vm, from, own) : -ENOMEM;

    vm->snapshot = own;
    vm->first.programs = from->programs + 1; /* whatever it has is another program */
    if (!result)
        result = snapshot_begin_anew(vm);
    if (result && own)
        snapshot_drop(vm, own);
    if (result)
        vm->snapshot = NULL;
    return result;
}

int snapshot_begin(struct ferry_vm *vm)
{
    const struct snapshot *from = snapshot_of(vm->copy_of);

    if (!from)
        return -EINVAL;
    if (snapshot_why_no_links(vm))
        return -EBUSY;
    vm_serve(vm, &vm->own.first_cpu);
    int result = begin(vm, from);
    lock_drop(&vm->runner.serving);
    return result;
}

const char *snapshot_why_not_begun(const struct ferry_vm *vm)
{
    const char *why = snapshot_why_no_links(vm);

    return why ? why : "the program has the list of a directory open";
}
