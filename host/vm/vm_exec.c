/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening the program of a VM, and putting another one in its place. */
#include "vm/vm_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "ipc/drain.h"
#include "linux/vm_linux.h"
#include "stream/stream.h"
#include "vm/identity.h"
#include "vm/vm.h"
#include "vm/vm_cpus.h"

static int open_for_program(void *arg, const char *name, struct image_source *out)
{
    struct ferry_vm *vm = arg;

    int result = linux_open_program(vm->process->personality, name, out);

    out->aside = !vm_is_started(vm);
    return result;
}

static bool is_stopping(void *vm)
{
    return vm_stopping(vm);
}

int vm_open_program(struct ferry_vm *vm, const char *name, const struct image_source *source,
                    char *const *argv, uint64_t limit_bytes, struct program *out,
                    struct ferry_error *err)
{
    /* Until the memory of the program before goes the host holds both, so what is copied is charged
     * beside it. */
    bool started = vm_is_started(vm);
    const struct program_opener opener = {
        .open = open_for_program,
        .arg = vm,
        .stopping = started ? is_stopping : NULL,
        .space = started ? &vm->guest->space : NULL,
    };

    return program_open(out, &vm->engine->images, &opener, name, source, argv, limit_bytes, err);
}

int vm_program_fd(struct ferry_vm *vm, bool *own)
{
    *own = vm->process->program.image->source.own;
    return image_file(vm->process->program.image);
}

/* Whatever can fail and needs none of the memory that is about to go. */
static int prepare(const struct ferry_vm *vm, const struct vm_exec *exec, struct program *program)
{
    uint64_t bytes =
        program_memory_bytes(program) + exec->stack_bytes + exec->words_bytes + exec->kept_bytes;
    int result = program_wait(program, NULL);

    if (result)
        return result;
    if (exec->name_is_lost && strcmp(program->file, program->name) != 0)
        return -ENOENT; /* a script that its interpreter could not open */
    if (bytes > vm->guest->space.limit_bytes)
        return -ENOMEM;
    return program_stack_fits(program, exec->stack_bytes, exec->envp) ? 0 : -E2BIG;
}

/* The address of the control structure for the new program; 0: it must do without. What the program
 * before sent, received or owns by it, only that one knew. */
static struct guest_addr control_for_next(const struct ferry_vm *vm)
{
    const struct ferry_control_guest *guest = &vm->endpoint->control->guest;
    bool used = vm->process != &vm->first || guest->out_head || guest->in_tail ||
                guest->home_tail || guest->release_head || vm->direct_count;

    return guest_addr(used ? 0 : FERRY_SYSTEM_BASE);
}

static int load(struct ferry_vm *vm, struct vcpu *cpu, const struct vm_exec *exec)
{
    struct guest_addr stack = guest_addr(0);
    int result = program_stack(&vm->process->program, &vm->guest->space, exec->stack_bytes,
                               exec->envp, control_for_next(vm), &stack, NULL);

    linux_environment(vm->process->personality, exec->envp);
    if (!result)
        result = program_load(&vm->process->program, &vm->guest->space, NULL);
    if (!result)
        result = linux_loaded(vm->process->personality, &vm->process->program, stack);
    if (!result)
        result = vcpu_restart(cpu, program_entry(&vm->process->program), stack);
    return result;
}

/* What the program before sent and wrote goes out as its own: waits for room as a write does. If
 * nobody takes it any more it is lost, as what a program wrote into a pipe of which the reader ends:
 * the other threads are gone, so the call does not fail for that. */
static int send_written(struct ferry_vm *vm)
{
    int result = drain_all(vm->endpoint);

    if (result < 0)
        return result;
    result = stream_finish(vm->endpoint->byte_stream);
    return result == -EINTR ? result : 0;
}

static int replace(struct ferry_vm *vm, struct vcpu *cpu, const struct vm_exec *exec)
{
    uint32_t generation = 0;
    struct program next;
    uint64_t copied;
    int result = vm_open_program(vm, exec->name, exec->source, exec->argv,
                                 vm->guest->space.limit_bytes, &next, NULL);

    if (result)
        return result;
    copied = program_copied_bytes(&next);
    result = prepare(vm, exec, &next);
    if (!result)
        result = exchange_generation(&vm->engine->exchange, &generation);
    if (!result)
        result = vm_end_others(vm, cpu);
    if (!result)
        result = send_written(vm);
    if (!result)
        result =
            space_clear(&vm->guest->space, program_unshared_bytes(&vm->process->program) + copied);
    if (result) { /* also 1: what is left of the program before cannot run */
        space_recharge(&vm->guest->space, copied, 0);
        program_close(&next);
        return result;
    }
    program_close(&vm->process->program);
    vm->process->program = next;
    vm->process->programs++;
    if (vm->process == &vm->first)
        identity_change(vm, next.image, generation);
    vm->process->stack_bytes = exec->stack_bytes;
    linux_begin(vm->process->personality, program_end(&next), next.file, next.name, next.argv);
    return load(vm, cpu, exec) ? 1 : 0;
}

int vm_exec(struct ferry_vm *vm, struct vcpu *cpu, const struct vm_exec *exec)
{
    int result = space_charge(&vm->guest->space, exec->kept_bytes);

    if (result) {
        close(exec->source->fd);
        return result;
    }
    result = replace(vm, cpu, exec);
    if (result < 0) {
        space_recharge(&vm->guest->space, exec->kept_bytes, 0);
        return result;
    }
    space_recharge(&vm->guest->space, vm->process->kept_bytes, 0);
    vm->process->kept_bytes = exec->kept_bytes;
    return result;
}
