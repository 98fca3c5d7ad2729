/* SPDX-License-Identifier: BSD-2-Clause */
/* The report for people about how a program ended. */

#include "vm/report.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipc/link.h"
#include "ipc/queue.h"
#include "lib/rlimits.h"
#include "linux/vm_linux.h"

#define SYMBOL_MAX     200
#define FILE_SHOWN_MAX 64
#define THREAD_MAX     48

/* The last part of a path, fit to print. */
static void put_file_name(const char *path, char name[FILE_SHOWN_MAX + 1])
{
    const char *slash = strrchr(path, '/');

    snprintf(name, FILE_SHOWN_MAX + 1, "%s", slash ? slash + 1 : path);
    for (char *p = name; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

/* Code of a file beside the program's own: the name of the file, the address there, and the function
 * if there are symbols. */
static bool describe_file(struct ferry_vm *vm, char symbol[SYMBOL_MAX],
                          char name[FILE_SHOWN_MAX + 1], uint64_t *linked)
{
    struct guest_addr rip = guest_addr(vm->process->exit.rip);
    struct image_source source;
    const char *path;
    uint64_t offset;

    if (program_in_loader(&vm->process->program, rip, linked)) {
        put_file_name(vm->process->program.loader->path, name);
        return true;
    }
    if (linux_code_at(vm->process->personality, rip, &source, &offset, &path) < 0)
        return false;
    put_file_name(path, name);
    int result = image_symbolize_file(&source, offset, linked, symbol, SYMBOL_MAX);
    close(source.fd);
    return result == 0;
}

/* "rip 0x401234 (main+0x1f)", "rip 0x20009f2e0 (memcpy+0x1c in libc.so.6+0x9f2e0)" */
static void describe_rip(struct ferry_vm *vm, char *text, size_t bytes)
{
    char symbol[SYMBOL_MAX] = "", name[FILE_SHOWN_MAX + 1];
    uint64_t linked;
    size_t used = (size_t)snprintf(text, bytes, "rip 0x%" PRIx64, vm->process->exit.rip);

    program_symbolize(&vm->process->program, guest_addr(vm->process->exit.rip), symbol,
                      sizeof symbol);
    if (describe_file(vm, symbol, name, &linked))
        snprintf(text + used, bytes - used, " (%s%s%s+0x%" PRIx64 ")", symbol,
                 symbol[0] ? " in " : "", name, linked);
    else if (symbol[0])
        snprintf(text + used, bytes - used, " (%s)", symbol);
}

/* " in thread 5 'worker'" */
static void describe_thread(const struct ferry_vm *vm, char *text, size_t bytes)
{
    const struct linux_thread *thread = vm->served ? vm->served->runs : NULL;
    char which[THREAD_MAX] = "";

    if (thread)
        linux_describe_thread(vm->process->personality, thread, which, sizeof which);
    snprintf(text, bytes, "%s%s", which[0] ? " in " : "", which);
}

void report_fault(struct ferry_vm *vm, const struct fault *fault)
{
    char rip[SYMBOL_MAX + FILE_SHOWN_MAX + 64], thread[THREAD_MAX + 4],
        *text = vm->process->exit.text;

    if (vm->process->memory_is_used_up) {
        report_memory(vm);
        return;
    }
    vm->process->exit.rip = fault->rip;
    vm->process->exit.address_known = fault->address_known;
    vm->process->exit.address = fault->address_known ? fault->info.addr : 0;
    vm->process->exit.how = FERRY_ENDED_CRASH;
    vm->process->exit.signo = fault->info.signo;
    vm->process->exit.status = 128 + fault->info.signo;
    describe_rip(vm, rip, sizeof rip);
    describe_thread(vm, thread, sizeof thread);
    snprintf(text, sizeof vm->process->exit.text, "crashed by SIG%s at %s%s",
             sigabbrev_np(fault->info.signo), rip, thread);
    size_t used = strlen(text);
    snprintf(text + used, sizeof vm->process->exit.text - used, ": %s", fault->why);
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
    struct ferry_vm_exit *end = &vm->process->exit;
    const char *refused = linux_refused(vm->process->personality);
    size_t used = strlen(end->text);
    bool failed = end->how == FERRY_ENDED_CRASH || (end->how == FERRY_ENDED_EXIT && end->status) ||
                  (end->how == FERRY_ENDED_SIGNAL && end->signo != SIGPIPE);

    if (failed && refused && !vm->process->memory_is_used_up)
        snprintf(end->text + used, sizeof end->text - used, "; it was refused %s", refused);
}

/* --- other ends --------------------------------------------------------------- */

static void finish(struct ferry_vm *vm, enum ferry_ended how, int status, int signo)
{
    vm->process->exit.how = how;
    vm->process->exit.status = status;
    vm->process->exit.signo = signo;
}

void report_output(struct ferry_vm *vm)
{
    struct ferry_link *out = vm->endpoint->stream_out;

    vm->process->exit.output_unread = out && queue_unread(out);
}

void report_stop(struct ferry_vm *vm)
{
    int stop = vm->stop;

    if (stop == STOP_TIMEOUT) {
        finish(vm, FERRY_ENDED_TIMEOUT, STATUS_TIMEOUT, 0);
        snprintf(vm->process->exit.text, sizeof vm->process->exit.text,
                 "stopped: still running after its time limit of %g s",
                 (double)vm->timeout_ns / 1e9);
    } else if (stop == STOP_CPU) {
        finish(vm, FERRY_ENDED_CPU, 128 + SIGXCPU, 0);
        snprintf(vm->process->exit.text, sizeof vm->process->exit.text,
                 "stopped: it has used up its processor time of %g s",
                 (double)vm->cpu_limit_ns / 1e9);
    } else {
        finish(vm, FERRY_ENDED_STOPPED, 128 + stop, stop);
        snprintf(vm->process->exit.text, sizeof vm->process->exit.text, "stopped by SIG%s",
                 sigabbrev_np(stop) ? sigabbrev_np(stop) : "?");
    }
}

struct signal_name signal_name(int signo)
{
    const char *known = sigabbrev_np(signo);
    struct signal_name name;

    if (known)
        snprintf(name.text, sizeof name.text, "SIG%s", known);
    else if (signo ==
             32) /* libcs keep two or three for themselves: this is the kernel's SIGRTMIN */
        snprintf(name.text, sizeof name.text, "SIGRTMIN");
    else
        snprintf(name.text, sizeof name.text, "SIGRT_%d", signo - 32);
    return name;
}

void report_signal(struct ferry_vm *vm, int signo)
{
    if (vm->process->memory_is_used_up) {
        report_memory(vm);
        return;
    }
    finish(vm, FERRY_ENDED_SIGNAL, 128 + signo, signo);
    report_output(vm);
    if (signo == SIGPIPE && vm->process->exit.output_unread)
        snprintf(vm->process->exit.text, sizeof vm->process->exit.text,
                 "ended by SIGPIPE: what it writes is read no more");
    else
        snprintf(vm->process->exit.text, sizeof vm->process->exit.text, "ended by %s",
                 signal_name(signo).text);
}

/* As Linux ends a program for which it has no memory left. */
void report_memory(struct ferry_vm *vm)
{
    const struct space *space = &vm->guest->space;
    const char *advice = rlimits_of_memory();
    bool full = space_used_by_all(space) + space->limit_bytes / 64 >= space->limit_bytes;

    finish(vm, FERRY_ENDED_SIGNAL, 128 + SIGKILL, SIGKILL);
    report_output(vm);
    if (full)
        snprintf(vm->process->exit.text, sizeof vm->process->exit.text,
                 "ended by SIGKILL: it touched more memory than the %" PRIu64
                 " MiB that it may have; a larger --mem allows more",
                 space->limit_bytes >> 20);
    else
        snprintf(vm->process->exit.text, sizeof vm->process->exit.text,
                 "ended by SIGKILL: it touched memory %s%s",
                 advice ? "that the host has not; "
                        : "that the host has not, or in more places than a VM has tables for",
                 advice ? advice : "");
}

void report_lost(struct ferry_vm *vm, const char *name, int error)
{
    char shown[FILE_SHOWN_MAX + 1];

    put_file_name(name, shown);
    finish(vm, FERRY_ENDED_SIGNAL, 128 + SIGKILL, SIGKILL);
    report_output(vm);
    snprintf(vm->process->exit.text, sizeof vm->process->exit.text,
             "ended by SIGKILL: what it had written to %s could not be kept in memory: %s", shown,
             strerror(error));
}

void report_exit(struct ferry_vm *vm, int status)
{
    finish(vm, FERRY_ENDED_EXIT, status & 0xff, 0);
    snprintf(vm->process->exit.text, sizeof vm->process->exit.text, "exit status %d",
             status & 0xff);
}

void report_internal(struct ferry_vm *vm, const char *what, unsigned code)
{
    finish(vm, FERRY_ENDED_FAULT, STATUS_FAULT, 0);
    snprintf(vm->process->exit.text, sizeof vm->process->exit.text,
             "KVM could not run it further: %s %u", what, code);
}

void report_entry(struct ferry_vm *vm, uint64_t reason)
{
    finish(vm, FERRY_ENDED_FAULT, STATUS_FAULT, 0);
    snprintf(vm->process->exit.text, sizeof vm->process->exit.text,
             "KVM could not run it further: the processor refused to enter it, hardware reason "
             "0x%" PRIx64,
             reason);
}

void report_error(struct ferry_vm *vm, int error)
{
    finish(vm, FERRY_ENDED_FAULT, STATUS_FAULT, 0);
    snprintf(vm->process->exit.text, sizeof vm->process->exit.text,
             "KVM could not run it further: %s", strerror(-error));
    rlimits_advise(vm->process->exit.text, sizeof vm->process->exit.text, error);
}
