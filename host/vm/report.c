/* SPDX-License-Identifier: BSD-2-Clause */
/* The report for people about how a program ended. */

#include "vm/report.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "ipc/link.h"
#include "ipc/queue.h"
#include "lib/rlimits.h"
#include "linux/vm_linux.h"

/* " at rip 0x401234 (main+0x1f)" */
static void describe_rip(struct ferry_vm *vm, char *text, size_t bytes)
{
    char symbol[200] = "";

    program_symbolize(&vm->program, guest_addr(vm->exit.rip), symbol, sizeof symbol);
    if (symbol[0])
        snprintf(text, bytes, "rip 0x%" PRIx64 " (%s)", vm->exit.rip, symbol);
    else
        snprintf(text, bytes, "rip 0x%" PRIx64, vm->exit.rip);
}

void report_fault(struct ferry_vm *vm, const struct fault *fault)
{
    char rip[232];

    vm->exit.rip = fault->rip;
    vm->exit.address_known = fault->address_known;
    vm->exit.address = fault->address_known ? fault->info.addr : 0;
    vm->exit.how = FERRY_ENDED_CRASH;
    vm->exit.signo = fault->info.signo;
    vm->exit.status = 128 + fault->info.signo;
    describe_rip(vm, rip, sizeof rip);
    snprintf(vm->exit.text, sizeof vm->exit.text, "crashed by SIG%s at %s: %s",
             sigabbrev_np(fault->info.signo), rip, fault->why);
}

void report_crash(struct ferry_vm *vm, const struct vcpu *vcpu, int signo, const char *why)
{
    struct fault fault = {.info.signo = signo};
    struct kvm_regs regs;

    if (vcpu_fetch(vcpu, &regs, NULL) == 0)
        fault.rip = regs.rip;
    snprintf(fault.why, sizeof fault.why, "%s", why);
    report_fault(vm, &fault);
}

void report_refusal(struct ferry_vm *vm)
{
    struct ferry_vm_exit *end = &vm->exit;
    const char *refused = linux_refused(vm->personality);
    size_t used = strlen(end->text);
    bool failed = end->how == FERRY_ENDED_CRASH || (end->how == FERRY_ENDED_EXIT && end->status) ||
                  (end->how == FERRY_ENDED_SIGNAL && end->signo != SIGPIPE);

    if (failed && refused)
        snprintf(end->text + used, sizeof end->text - used, "; it was refused %s", refused);
}

/* --- other ends --------------------------------------------------------------- */

static void finish(struct ferry_vm *vm, enum ferry_ended how, int status, int signo)
{
    vm->exit.how = how;
    vm->exit.status = status;
    vm->exit.signo = signo;
}

void report_output(struct ferry_vm *vm)
{
    struct ferry_link *out = vm->endpoint->stream_out;

    vm->exit.output_unread = out && queue_unread(out);
}

void report_stop(struct ferry_vm *vm)
{
    int stop = vm->stop;

    if (stop == STOP_TIMEOUT) {
        finish(vm, FERRY_ENDED_TIMEOUT, STATUS_TIMEOUT, 0);
        snprintf(vm->exit.text, sizeof vm->exit.text,
                 "stopped: still running after its time limit of %g s",
                 (double)vm->timeout_ns / 1e9);
    } else if (stop == STOP_CPU) {
        finish(vm, FERRY_ENDED_CPU, 128 + SIGXCPU, 0);
        snprintf(vm->exit.text, sizeof vm->exit.text,
                 "stopped: it has used up its processor time of %g s",
                 (double)vm->cpu_limit_ns / 1e9);
    } else {
        finish(vm, FERRY_ENDED_STOPPED, 128 + stop, stop);
        snprintf(vm->exit.text, sizeof vm->exit.text, "stopped by SIG%s",
                 sigabbrev_np(stop) ? sigabbrev_np(stop) : "?");
    }
}

void report_signal(struct ferry_vm *vm, int signo)
{
    finish(vm, FERRY_ENDED_SIGNAL, 128 + signo, signo);
    report_output(vm);
    if (signo == SIGPIPE && vm->exit.output_unread)
        snprintf(vm->exit.text, sizeof vm->exit.text,
                 "ended by SIGPIPE: what it writes is read no more");
    else
        snprintf(vm->exit.text, sizeof vm->exit.text, "ended by SIG%s",
                 sigabbrev_np(signo) ? sigabbrev_np(signo) : "?");
}

void report_exit(struct ferry_vm *vm, int status)
{
    finish(vm, FERRY_ENDED_EXIT, status & 0xff, 0);
    snprintf(vm->exit.text, sizeof vm->exit.text, "exit status %d", status & 0xff);
}

void report_internal(struct ferry_vm *vm, const char *what, unsigned code)
{
    finish(vm, FERRY_ENDED_FAULT, STATUS_FAULT, 0);
    snprintf(vm->exit.text, sizeof vm->exit.text, "KVM could not run it further: %s %u", what,
             code);
}

void report_entry(struct ferry_vm *vm, uint64_t reason)
{
    finish(vm, FERRY_ENDED_FAULT, STATUS_FAULT, 0);
    snprintf(vm->exit.text, sizeof vm->exit.text,
             "KVM could not run it further: the processor refused to enter it, hardware reason "
             "0x%" PRIx64,
             reason);
}

void report_error(struct ferry_vm *vm, int error)
{
    finish(vm, FERRY_ENDED_FAULT, STATUS_FAULT, 0);
    snprintf(vm->exit.text, sizeof vm->exit.text, "KVM could not run it further: %s",
             strerror(-error));
    rlimits_advise(vm->exit.text, sizeof vm->exit.text, error);
}
