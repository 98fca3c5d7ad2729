/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM that is a copy of another one: making it. It has all but the program's memory, registers and
 * descriptors, which it gets from the snapshot when it starts. So it can be made before there is one, as
 * is needed where a jail is closed before any program runs.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ipc/endpoint_rest.h"
#include "lib/error.h"
#include "linux/vm_linux.h"
#include "vm/budgets.h"
#include "vm/snapshot_internal.h"
#include "vm/vm_create.h"
#include "vm/vm_memory.h"

/* What the other VM is made of that does not change any more. */
struct model {
    bool is_begun; /* and so it does, as there is no snapshot */
    const struct linux_state *state;
    const struct program *program;
    uint64_t memory_bytes, stack_bytes;
    unsigned threads, processes;
};

static int check(const struct ferry_vm *vm, const struct ferry_vm_config *config,
                 const struct model *model, struct ferry_error *err)
{
    if (config->copy_of->engine != vm->engine)
        return error_set(err, -EINVAL, "a copy needs the engine of the VM that it is a copy of");
    if (config->program || config->argv || config->envp || config->memory_bytes ||
        config->read_only_dirs || config->read_write_dirs || config->write_limit_bytes ||
        config->root_dir || config->closed_fds || config->threads || config->processes ||
        config->view || config->ignore_sigpipe || config->trace)
        return error_set(err, -EINVAL,
                         "a copy has program, arguments, environment, files and limits of VM '%s'; "
                         "leave them out",
                         config->copy_of->endpoint->name);
    if (model->is_begun)
        return error_set(err, -EINVAL, "VM '%s' was started, and has no snapshot",
                         config->copy_of->endpoint->name);
    return 0;
}

static struct model look_at(struct ferry_vm *from)
{
    const struct snapshot *snapshot = snapshot_of(from);

    return (struct model){
        .is_begun = !snapshot && vm_is_started(from),
        .state = snapshot ? linux_kept_state(snapshot->kept) : from->first.personality,
        .program = snapshot ? &snapshot->program : &from->first.program,
        .memory_bytes = from->own.space.limit_bytes,
        .stack_bytes = snapshot ? snapshot->stack_bytes : from->first.stack_bytes,
        .threads = from->most_threads,
        .processes = from->most_processes,
    };
}

static int create_personality(struct ferry_vm *vm, const struct ferry_vm_config *config,
                              const struct model *model, struct ferry_error *err)
{
    const struct linux_config linux_config = {
        .stack_bytes = model->stack_bytes,
        .memory_bytes = model->memory_bytes,
        .stderr_fd = config->stderr_fd == 0 ? STDERR_FILENO : config->stderr_fd,
        .threads = model->threads,
        .processes = model->processes,
        .like = model->state,
    };
    int result = linux_create(vm, &linux_config, &vm->first.personality);

    return result < 0 ? error_set(err, result, "cannot prepare '%s': %s", vm->endpoint->name,
                                  strerror(-result))
                      : 0;
}

static int share_program(struct ferry_vm *vm, const struct model *model, struct ferry_error *err)
{
    int result = program_share(&vm->first.program, model->program, NULL);

    if (result)
        return error_set(err, result, "no memory for another VM");
    vm->image = vm->endpoint->image = vm->first.program.image;
    images_hold(&vm->engine->images, vm->image);
    return 0;
}

static int create_parts(struct ferry_vm *vm, const struct ferry_vm_config *config,
                        const struct model *model, struct ferry_error *err)
{
    const struct guest_addr none = {0};
    int result = create_personality(vm, config, model, err);

    if (!result)
        result = share_program(vm, model, err);
    if (!result)
        result = vm_create_memory(vm, model->memory_bytes, err);
    if (result)
        return result;
    vm_write_control(vm);
    vm->own.kernel = KERNEL_REFUSED;
    return vm_create_cpu(vm, none, none, err);
}

int vm_build_copy(struct ferry_vm *vm, const struct ferry_vm_config *config,
                  struct ferry_error *err)
{
    const struct model model = look_at(config->copy_of);
    int result = check(vm, config, &model, err);

    if (!result)
        result = vm_create_endpoint(vm, config, model.program->name, err);
    if (!result)
        result = vm_join_budgets(vm, linux_view_files(model.state), err);
    if (result)
        return result;
    vm->copy_of = config->copy_of;
    vm->first.stack_bytes = model.stack_bytes;
    vm->most_threads = model.threads;
    vm->most_processes = model.processes;
    result = create_parts(vm, config, &model, err);
    if (!result)
        endpoint_rest(vm->endpoint); /* until it starts, as between two runs */
    return result;
}
