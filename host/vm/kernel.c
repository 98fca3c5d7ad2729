/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest kernel of a VM: when it is started and what it is shown, and what becomes of calls that it
 * did not end.
 *
 * Whatever stops a CPU in the guest kernel, the program never sees it. A fault there is one of the
 * program's pointers, or the first touch of a page: the registers are set to those of the call, and the
 * VMM serves the call as if it had left, with the results that it gives: so there is no table of
 * addresses, and no second way to EFAULT. A signal or a stop finds the call not begun, or ended.
 */
#include "vm/kernel.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/kernel.h"
#include "kvm/vcpu.h"
#include "linux/linux.h"
#include "stream/stream.h"

/* A call of two bytes, as all are made. */
#define SYSCALL_BYTES 2
/* What was told of a descriptor counts so long. */
#define TOLD_NS 1000000

static bool is_on(const struct ferry_vm *vm)
{
    return vm->guest->kernel == KERNEL_AT_CPL3 || vm->guest->kernel == KERNEL_AT_CPL0;
}

_Static_assert(sizeof(struct stat) == FERRY_KERNEL_STAT_BYTES, "as the host has it");

static void show_answers(struct ferry_vm *vm)
{
    struct ferry_kernel_shown *shown = kernel_shown(vm->guest->system);
    struct stat input, output;

    linux_stat_streams(vm->process->personality, &input, &output);
    memcpy(shown->input_stat, &input, sizeof(input));
    memcpy(shown->output_stat, &output, sizeof(output));
    shown->process = LINUX_PID;
    shown->parent = LINUX_PARENT;
    shown->user = LINUX_USER;
}

/* What calls of the program change. Before the descriptors are shown. */
static void show_settings(struct ferry_vm *vm, bool input, bool output)
{
    struct ferry_kernel_shown *shown = kernel_shown(vm->guest->system);

    __atomic_store_n(&shown->poll_most, linux_poll_most(vm->process->personality),
                     __ATOMIC_RELAXED);
    if (input)
        __atomic_store_n(&shown->input_flags,
                         linux_stream_flags(vm->process->personality, STDIN_FILENO),
                         __ATOMIC_RELAXED);
    if (output)
        __atomic_store_n(&shown->output_flags,
                         linux_stream_flags(vm->process->personality, STDOUT_FILENO),
                         __ATOMIC_RELAXED);
}

static void start(struct ferry_vm *vm, const struct vcpu *vcpu, bool at_cpl3)
{
    struct stream *stream = vm->endpoint->byte_stream;

    if (kernel_install(vm->guest->system, &vm->guest->tables, at_cpl3) < 0) {
        vm->guest->kernel = KERNEL_REFUSED; /* there are no tables left for it */
        return;
    }
    vm->guest->kernel = at_cpl3 ? KERNEL_AT_CPL3 : KERNEL_AT_CPL0;
    stream_guest_start(stream, kernel_shown(vm->guest->system), kernel_words(vm->guest->system),
                       vcpu_ticks(vcpu, STREAM_GATHER_NS));
    kernel_shown(vm->guest->system)->told.ticks_most = vcpu_ticks(vcpu, TOLD_NS);
    show_answers(vm);
}

static bool has_use(const struct ferry_vm *vm)
{
    bool input = false, output = false;

    if (stream_is_busy(vm->endpoint->byte_stream) && !atomic_load(&vm->further))
        linux_streams(vm->process->personality, &input, &output);
    return input || output || linux_wants_files(vm->process->personality) ||
           linux_wants_rooms(vm->process->personality) ||
           linux_asks_actions(vm->process->personality) ||
           linux_asks_descriptors(vm->process->personality);
}

void vm_kernel_consider(struct ferry_vm *vm, struct vcpu *vcpu)
{
    if (vm->guest != &vm->own || vm->guest->kernel != KERNEL_NONE || vm->identity_shown ||
        !has_use(vm))
        return;
    /* The level of this call says nothing: the program may have made the stub's exit itself. */
    int at_cpl3 = vcpu_probe_syscall(vcpu);
    if (at_cpl3 == -EINTR || at_cpl3 == -EAGAIN)
        return; /* at a later call */
    if (at_cpl3 < 0)
        vm->guest->kernel = KERNEL_REFUSED;
    else
        start(vm, vcpu, at_cpl3);
}

int vm_kernel_enter(struct ferry_vm *vm, struct vcpu *vcpu)
{
    bool input = false, output = false;
    int result = 0;

    if (!is_on(vm))
        return 0;
    if (vcpu->number < FERRY_KERNEL_CPUS_MAX)
        result = vcpu_enter_kernel(vcpu, kernel_entry(vm->guest->kernel == KERNEL_AT_CPL3),
                                   kernel_gs(vcpu->number));
    if (result < 0 && vcpu->in_kernel)
        return result; /* the guest kernel would store where the program's GS points */
    /* A program that knows the message layer receives its messages itself; while there are several
     * processes the VMM serves the streams for all. */
    if (!vm->identity_shown && !atomic_load(&vm->further)) {
        linux_streams(vm->process->personality, &input, &output);
        show_settings(vm, input, output);
    }
    __atomic_store_n(&kernel_shown(vm->guest->system)->default_actions,
                     linux_default_actions(vm->process->personality), __ATOMIC_RELAXED);
    stream_publish(vm->endpoint->byte_stream, input, output);
    linux_publish_files(vm->process->personality);
    linux_publish_rooms(vm->process->personality);
    if (!vm->identity_shown) /* it may learn by messages of what happened since */
        linux_tell_descriptor(vm->process->personality, kernel_shown(vm->guest->system),
                              kernel_words(vm->guest->system));
    return 0;
}

/* Sets the registers of the program. `serve`: those with which the call would have left, unless it has
 * ended; else those with which the program goes on. */
static void take_back(struct ferry_vm *vm, struct vcpu *vcpu, enum kernel_place place,
                      struct kvm_regs regs, bool serve)
{
    kernel_registers(vm->guest->system, vcpu->number, place, &regs);
    const struct boot_frame next = {.rip =
                                        place == KERNEL_DONE ? regs.rcx : regs.rcx - SYSCALL_BYTES,
                                    .rsp = regs.rsp,
                                    .rflags = regs.r11};

    if (place == KERNEL_SAVED)
        stream_guest_left(vm->endpoint->byte_stream, vcpu->number);
    if (place == KERNEL_DONE) /* it may have been about to tell who waits for output */
        runner_send_gathered(&vm->runner);
    vcpu_set_regs(vcpu, &regs);
    vcpu_resume(vcpu, regs.rax, &next);
    vcpu->call_is_left = serve && place != KERNEL_DONE;
}

/* Where it runs at CPL0, a program that jumped there is in none of its calls. */
static enum kernel_place place_of(const struct ferry_vm *vm, const struct vcpu *vcpu, bool at_cpl0,
                                  uint64_t rip, uint64_t rflags)
{
    return vcpu->in_kernel && at_cpl0 == (vm->guest->kernel == KERNEL_AT_CPL0)
               ? kernel_place(rip, rflags)
               : KERNEL_OUTSIDE;
}

static enum kernel_place place_now(const struct ferry_vm *vm, const struct vcpu *vcpu)
{
    const struct kvm_regs *regs = vcpu_regs(vcpu);

    return place_of(vm, vcpu, !vcpu_is_at_cpl3(vcpu), regs->rip, regs->rflags);
}

static bool take_back_now(struct ferry_vm *vm, struct vcpu *vcpu, bool serve)
{
    enum kernel_place place = place_now(vm, vcpu);

    if (place == KERNEL_OUTSIDE)
        return false;
    take_back(vm, vcpu, place, *vcpu_regs(vcpu), serve);
    return true;
}

void vm_kernel_left(struct ferry_vm *vm, struct vcpu *vcpu, int result)
{
    if (!is_on(vm))
        return;
    linux_left(vm->process->personality, vcpu->number);
    if (result < 0 && vcpu->in_kernel && vcpu_refresh(vcpu) == 0 &&
        take_back_now(vm, vcpu, result == -EFAULT))
        vcpu_store(vcpu);
    stream_settle(vm->endpoint->byte_stream);
}

bool vm_kernel_trapped(struct ferry_vm *vm, struct vcpu *vcpu, const struct boot_frame *frame)
{
    enum kernel_place place = place_of(vm, vcpu, frame->at_cpl0, frame->rip, frame->rflags);
    struct kvm_regs regs = *vcpu_regs(vcpu);

    if (place == KERNEL_OUTSIDE)
        return false;
    regs.rsp = frame->rsp;
    take_back(vm, vcpu, place, regs, true);
    return true;
}

bool vm_kernel_mmio(struct ferry_vm *vm, struct vcpu *vcpu)
{
    if (place_now(vm, vcpu) == KERNEL_OUTSIDE || vcpu_end_instruction(vcpu) < 0)
        return false;
    return take_back_now(vm, vcpu, true);
}
