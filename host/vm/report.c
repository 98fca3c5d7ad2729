/* SPDX-License-Identifier: BSD-2-Clause */
/* The report for people about how a program ended. */

#include "vm/report.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ipc/link.h"
#include "ipc/queue.h"
#include "ipc/units.h"
#include "kvm/boot.h"
#include "lib/bits.h"
#include "lib/rlimits.h"
#include "linux/vm_linux.h"
#include "program/instruction.h"

/* How far from the end of the stack an overflow may show, and how large one frame may be. */
#define STACK_NEAR_BYTES  (64ull << 10)
#define FRAMES_MOST_BYTES (1ull << 30)

static const struct {
    int signo;
    const char *text;
} exceptions[32] = {
    [0] = {SIGFPE, "divided by zero or overflowed a division"},
    [1] = {SIGTRAP, "debug trap"},
    [3] = {SIGTRAP, "breakpoint"},
    [4] = {SIGSEGV, "overflow trap"},
    [5] = {SIGSEGV, "bound check"},
    [6] = {SIGILL, "invalid instruction"},
    [11] = {SIGBUS, "segment not present"},
    [12] = {SIGBUS, "stack fault, by an address that no memory can have"},
    [13] = {SIGSEGV, "general protection fault"},
    [14] = {SIGSEGV, "page fault"},
    [16] = {SIGFPE, "floating-point exception"},
    [17] = {SIGBUS, "unaligned access"},
    [19] = {SIGFPE, "SIMD floating-point exception"},
};

/* " at rip 0x401234 (main+0x1f)" */
static void describe_rip(struct ferry_vm *vm, char *text, size_t bytes)
{
    char symbol[200] = "";

    program_symbolize(&vm->program, vm->exit.rip, symbol, sizeof symbol);
    if (symbol[0])
        snprintf(text, bytes, "rip 0x%" PRIx64 " (%s)", vm->exit.rip, symbol);
    else
        snprintf(text, bytes, "rip 0x%" PRIx64, vm->exit.rip);
}

static void __attribute__((format(printf, 3, 4)))
report(struct ferry_vm *vm, int signo, const char *format, ...)
{
    char rip[232], what[240];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    vm->exit.how = FERRY_ENDED_CRASH;
    vm->exit.signo = signo;
    vm->exit.status = 128 + signo;
    describe_rip(vm, rip, sizeof rip);
    snprintf(vm->exit.text, sizeof vm->exit.text, "crashed by SIG%s at %s: %s", sigabbrev_np(signo),
             rip, what);
}

void report_crash_at(struct ferry_vm *vm, int signo, uint64_t rip, const char *why)
{
    vm->exit.rip = rip;
    report(vm, signo, "%s", why);
}

void report_crash(struct ferry_vm *vm, const struct vcpu *vcpu, int signo, const char *why)
{
    struct kvm_regs regs;

    if (vcpu_fetch(vcpu, &regs, NULL) == 0)
        vm->exit.rip = regs.rip;
    report(vm, signo, "%s", why);
}

/* The name of the endpoint that has this index now; false: there is none. */
static bool name_at(struct exchange *exchange, uint16_t index, char name[FERRY_NAME_BYTES])
{
    struct endpoint *endpoint = index == LEDGER_NOBODY ? NULL : exchange_endpoint(exchange, index);

    if (!endpoint)
        return false;
    endpoint_lock(endpoint);
    memcpy(name, endpoint->name, FERRY_NAME_BYTES);
    endpoint_unlock(endpoint);
    return true;
}

/* The owner and holder of the window page at `addr`, in words: "page 0x1000200000, lent to 'b' as
 * message 42". */
static void describe_page(struct ferry_vm *vm, uint64_t addr, uint32_t unit, char *text,
                          size_t bytes)
{
    struct ferry_engine *engine = vm->engine;
    struct ledger_unit books = ledger_look(&engine->exchange.ledger, unit);
    uint64_t page = page_down(addr);
    char from[FERRY_NAME_BYTES], to[FERRY_NAME_BYTES];
    bool known =
        name_at(&engine->exchange, books.from, from) && name_at(&engine->exchange, books.to, to);

    if (known && books.from == vm->endpoint->index)
        snprintf(text, bytes, "page 0x%" PRIx64 ", which it %s '%s' as message %" PRIu32, page,
                 books.owner == vm->endpoint->index ? "lent to" : "sent to", to, books.message);
    else if (known && books.holder == vm->endpoint->index)
        snprintf(text, bytes, "page 0x%" PRIx64 ", which '%s' lent to it as message %" PRIu32, page,
                 from, books.message);
    else
        snprintf(text, bytes, "page 0x%" PRIx64 " of the window, which is not its own", page);
}

/* Whether an access to `addr` with this stack pointer ran out of the stack: just below it, or
 * where a large frame has taken the pointer. */
static bool is_below_stack(struct ferry_vm *vm, uint64_t addr, uint64_t rsp)
{
    uint64_t low = FERRY_PROGRAM_HIGH - vm->stack_bytes;

    if (addr >= low || space_prot(&vm->space, guest_addr(addr)) || rsp >= low + STACK_NEAR_BYTES ||
        rsp < low - FRAMES_MOST_BYTES)
        return false;
    return addr >= low - STACK_NEAR_BYTES || addr + STACK_NEAR_BYTES >= rsp;
}

/* Reports a stack overflow, if there was one. */
static bool check_stack(struct ferry_vm *vm, uint64_t addr, uint64_t rsp)
{
    bool most = vm->stack_bytes == VM_STACK_MOST_BYTES;

    if (!is_below_stack(vm, addr, rsp))
        return false;
    vm->exit.address_known = true;
    vm->exit.address = addr;
    report(vm, SIGSEGV, "overflowed its stack of %" PRIu64 " KiB, at 0x%" PRIx64 "; %s",
           vm->stack_bytes >> 10, addr,
           most ? "no stack is larger" : "a larger --mem gives a larger one, up to 8 MiB");
    return true;
}

/* Whether the program has no right to this access; if so, reports it. */
static bool check_access(struct ferry_vm *vm, uint64_t addr, bool write, const char *verb)
{
    bool in_window = addr >= FERRY_WINDOW_BASE;
    struct units units = {0};
    char page[160];

    in_window =
        in_window && pool_covering(&vm->engine->exchange.pool,
                                   endpoint_offset(vm->endpoint, guest_addr(addr)), 1, &units);
    if (vm_may(vm, guest_addr(addr), 1, write)) {
        /* The ledger gives it the right, so its next try succeeds. */
        if (in_window)
            units_reopen(vm->endpoint, units);
        return false;
    }
    vm->exit.address_known = true;
    vm->exit.address = addr;
    if (in_window) {
        describe_page(vm, addr, units.first, page, sizeof page);
        report(vm, SIGSEGV, "%s 0x%" PRIx64 " in %s", verb, addr, page);
    } else if (space_beyond_file(&vm->space, guest_addr(addr))) {
        report(vm, SIGBUS, "%s 0x%" PRIx64 ", beyond the end of the file mapped there", verb, addr);
    } else {
        report(vm, SIGSEGV, "%s 0x%" PRIx64 ", which %s", verb, addr,
               vm_may(vm, guest_addr(addr), 1, false) ? "is read-only" : "is not mapped");
    }
    return true;
}

bool report_refused(struct ferry_vm *vm, const struct vcpu *vcpu)
{
    struct instruction_access accesses[INSTRUCTION_ACCESSES_MAX];
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    uint8_t code[15];

    if (vcpu_fetch(vcpu, &regs, &sregs) < 0)
        return false;
    vm->exit.rip = regs.rip;
    if (check_access(vm, regs.rip, false, "ran code at"))
        return true;
    size_t length = vm_copy_in_some(vm, code, guest_addr(regs.rip), sizeof code);
    size_t count =
        instruction_accesses(code, length, &regs, sregs.fs.base, sregs.gs.base, accesses);
    for (size_t i = 0; i < count; i++) {
        const struct instruction_access *access = &accesses[i];
        const char *verb = access->write ? "wrote to" : "read from";
        if (check_stack(vm, access->addr, regs.rsp))
            return true;
        uint64_t last = access->addr + (access->bytes ? access->bytes - 1 : 0);
        if (check_access(vm, access->addr, access->write, verb) ||
            check_access(vm, last, access->write, verb))
            return true;
    }
    return false;
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

void report_exception(struct ferry_vm *vm, const struct vcpu *vcpu, int vector)
{
    struct boot_frame frame;
    struct kvm_sregs sregs;
    struct kvm_regs regs;

    if (vector < 0 || vcpu_fetch(vcpu, &regs, &sregs) < 0 ||
        !boot_exception_frame(vm->system, vcpu->number, guest_addr(regs.rsp), vector, &frame)) {
        report_crash(vm, vcpu, SIGSEGV, "exception with no frame");
        return;
    }
    vm->exit.rip = frame.rip;
    if (vector == BOOT_PAGE_FAULT) {
        const char *verb = frame.error & 16  ? "ran code at"
                           : frame.error & 2 ? "wrote to"
                                             : "read from";
        /* Nothing of the window is mapped before something of it is opened. */
        if (check_stack(vm, sregs.cr2, frame.rsp) ||
            (sregs.cr2 >= FERRY_WINDOW_BASE && check_access(vm, sregs.cr2, frame.error & 2, verb)))
            return;
        vm->exit.address_known = true;
        vm->exit.address = sregs.cr2;
        if (space_beyond_file(&vm->space, guest_addr(sregs.cr2))) {
            report(vm, SIGBUS, "%s 0x%llx, beyond the end of the file mapped there", verb,
                   sregs.cr2);
            return;
        }
        report(vm, SIGSEGV, "%s 0x%llx, which %s", verb, sregs.cr2,
               !(frame.error & 1) ? "is not mapped"
               : frame.error & 16 ? "is not executable"
               : frame.error & 2  ? "is read-only"
                                  : "is not accessible");
        return;
    }
    int signo = exceptions[vector].signo ? exceptions[vector].signo : SIGSEGV;
    report(vm, signo, "%s (exception %d)",
           exceptions[vector].text ? exceptions[vector].text : "exception", vector);
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
