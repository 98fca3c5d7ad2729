/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what Linux makes of each fault of a program: the signal, its code and address, and for the
 * report of an end by it the reason in words. */
#include "vm/fault.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ipc/link.h"
#include "ipc/units.h"
#include "lib/bits.h"
#include "linux/vm_linux.h"
#include "program/instruction.h"
#include "vm/syscall.h"

/* How far from the end of the stack an overflow may show, and how large one frame may be. */
#define STACK_NEAR_BYTES  (64ull << 10)
#define FRAMES_MOST_BYTES (1ull << 30)

enum { X87_EXCEPTION = 16, SIMD_EXCEPTION = 19 };

/* Bits of a page fault's error code. */
enum { FAULT_PRESENT = 1, FAULT_WRITE = 2, FAULT_USER = 4, FAULT_EXEC = 16 };

/* As the kernel's table of traps. */
static const struct {
    int signo, code;
    bool tells_rip; /* si_addr is the instruction */
    const char *text;
} exceptions[32] = {
    [0] = {SIGFPE, FPE_INTDIV, true, "divided by zero or overflowed a division"},
    [1] = {SIGTRAP, TRAP_TRACE, true, "debug trap"},
    [3] = {SIGTRAP, SI_KERNEL, false, "breakpoint"},
    [4] = {SIGSEGV, SI_KERNEL, false, "overflow trap"},
    [5] = {SIGSEGV, SI_KERNEL, false, "bound check"},
    [6] = {SIGILL, ILL_ILLOPN, true, "invalid instruction"},
    [11] = {SIGBUS, SI_KERNEL, false, "segment not present"},
    [12] = {SIGBUS, SI_KERNEL, false, "stack fault, by an address that no memory can have"},
    [13] = {SIGSEGV, SI_KERNEL, false, "general protection fault"},
    [14] = {SIGSEGV, SEGV_MAPERR, false, "page fault"},
    [16] = {SIGFPE, FPE_FLTINV, true, "floating-point exception"},
    [17] = {SIGBUS, BUS_ADRALN, false, "unaligned access"},
    [19] = {SIGFPE, FPE_FLTINV, true, "SIMD floating-point exception"},
};

/* ---- accesses ------------------------------------------------------------ */

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
 * message 42". True: it was sent away. */
static bool describe_page(struct ferry_vm *vm, uint64_t addr, uint32_t unit, char *text,
                          size_t bytes)
{
    struct ferry_engine *engine = vm->engine;
    struct ledger_unit books = ledger_look(&engine->exchange.ledger, unit);
    uint64_t page = page_down(addr);
    char from[FERRY_NAME_BYTES], to[FERRY_NAME_BYTES];
    bool known =
        name_at(&engine->exchange, books.from, from) && name_at(&engine->exchange, books.to, to);

    bool sent = known && books.from == vm->endpoint->index;

    if (sent)
        snprintf(text, bytes, "page 0x%" PRIx64 ", which it %s '%s' as message %" PRIu32, page,
                 books.owner == vm->endpoint->index ? "lent to" : "sent to", to, books.message);
    else if (known && books.holder == vm->endpoint->index)
        snprintf(text, bytes, "page 0x%" PRIx64 ", which '%s' lent to it as message %" PRIu32, page,
                 from, books.message);
    else
        snprintf(text, bytes, "page 0x%" PRIx64 " of the window, which is not its own", page);
    return sent;
}

/* Whether an access to `addr` with this stack pointer ran out of the stack: just below it, or
 * where a large frame has taken the pointer. */
static bool is_below_stack(struct ferry_vm *vm, uint64_t addr, uint64_t rsp)
{
    uint64_t low = FERRY_PROGRAM_HIGH - vm->process->stack_bytes;

    if (addr >= low || space_prot(&vm->guest->space, guest_addr(addr)) ||
        rsp >= low + STACK_NEAR_BYTES || rsp < low - FRAMES_MOST_BYTES)
        return false;
    return addr >= low - STACK_NEAR_BYTES || addr + STACK_NEAR_BYTES >= rsp;
}

static void __attribute__((format(printf, 4, 5)))
set_access(struct fault *fault, int signo, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(fault->why, sizeof fault->why, format, args);
    va_end(args);
    fault->info.signo = signo;
    fault->info.code = code;
    fault->address_known = true;
}

/* Whether it is a stack overflow. */
static bool check_stack(struct ferry_vm *vm, uint64_t addr, uint64_t rsp, struct fault *fault)
{
    bool most = vm->process->stack_bytes == VM_STACK_MOST_BYTES;

    if (!is_below_stack(vm, addr, rsp))
        return false;
    fault->info.addr = addr;
    set_access(fault, SIGSEGV, SEGV_MAPERR,
               "overflowed its stack of %" PRIu64 " KiB, at 0x%" PRIx64 "; %s",
               vm->process->stack_bytes >> 10, addr,
               most ? "no stack is larger" : "a larger --mem gives a larger one, up to 8 MiB");
    return true;
}

/* `error`: as of a page fault. */
static const char *verb_of(uint64_t error)
{
    return error & FAULT_EXEC ? "ran code at" : error & FAULT_WRITE ? "wrote to" : "read from";
}

/* Whether the program has the right to this access, and the file that is mapped there has not the
 * page, or never had it. */
static bool is_beyond_file(struct ferry_vm *vm, uint64_t addr, uint64_t error)
{
    unsigned right = error & FAULT_EXEC    ? SPACE_EXEC
                     : error & FAULT_WRITE ? SPACE_WRITE
                                           : SPACE_READ;

    return space_beyond_file(&vm->guest->space, guest_addr(addr)) ||
           space_reach(&vm->guest->space, guest_addr(addr), 1, right).live;
}

static bool is_mapped(struct ferry_vm *vm, uint64_t addr)
{
    return space_reach(&vm->guest->space, guest_addr(addr), 1, 0).at ||
           vdso_at(&vm->engine->vdso, guest_addr(addr), 1);
}

/* The access is one that the program has no right to: says so in words. */
static void describe_access(struct ferry_vm *vm, uint64_t addr, uint64_t error, const char *how,
                            struct fault *fault)
{
    const char *verb = verb_of(error);
    struct units units;
    char page[160];

    fault->info.addr = addr;
    if (addr >= FERRY_WINDOW_BASE &&
        pool_covering(&vm->engine->exchange.pool, endpoint_offset(vm->endpoint, guest_addr(addr)),
                      1, &units)) {
        bool sent = describe_page(vm, addr, units.first, page, sizeof page);
        set_access(fault, sent ? SIGBUS : SIGSEGV, sent ? BUS_ADRERR : SEGV_ACCERR,
                   "%s 0x%" PRIx64 " in %s", verb, addr, page);
    } else if (is_beyond_file(vm, addr, error)) {
        set_access(fault, SIGBUS, BUS_ADRERR,
                   "%s 0x%" PRIx64 ", beyond the end of the file mapped there", verb, addr);
    } else {
        set_access(fault, SIGSEGV, is_mapped(vm, addr) ? SEGV_ACCERR : SEGV_MAPERR,
                   "%s 0x%" PRIx64 ", which %s", verb, addr, how);
    }
}

/* Whether the program has no right to this access. */
static bool check_access(struct ferry_vm *vm, uint64_t addr, uint64_t error, struct fault *fault)
{
    struct units units;

    if (vm_may(vm, guest_addr(addr), 1, error & FAULT_WRITE)) {
        /* If the ledger gives it the right, its next try succeeds. */
        if (addr >= FERRY_WINDOW_BASE &&
            pool_covering(&vm->engine->exchange.pool,
                          endpoint_offset(vm->endpoint, guest_addr(addr)), 1, &units))
            units_reopen(vm->endpoint, units);
        return false;
    }
    describe_access(vm, addr, error,
                    vm_may(vm, guest_addr(addr), 1, false) ? "is read-only" : "is not mapped",
                    fault);
    fault->info.trapno = BOOT_PAGE_FAULT;
    /* A page that may be read is there. */
    fault->info.error = error | (vm_may(vm, guest_addr(addr), 1, false) ? FAULT_PRESENT : 0);
    fault->info.cr2 = addr;
    fault->info.sets_cr2 = true;
    return true;
}

/* The operands of the instruction. */
static bool check_operands(struct ferry_vm *vm, const struct kvm_regs *regs,
                           const struct vcpu *vcpu, struct fault *fault)
{
    struct instruction_access accesses[INSTRUCTION_ACCESSES_MAX];
    uint8_t code[15];
    size_t length = vm_copy_in_some(vm, code, guest_addr(regs->rip), sizeof code);
    size_t count = instruction_accesses(code, length, regs, vcpu_fs(vcpu), vcpu_gs(vcpu), accesses);

    for (size_t i = 0; i < count; i++) {
        const struct instruction_access *access = &accesses[i];
        uint64_t last = access->addr + (access->bytes ? access->bytes - 1 : 0);
        uint64_t error = FAULT_USER | (access->write ? FAULT_WRITE : 0);
        if (page_down(last) != page_down(access->addr))
            last = page_down(last); /* the processor names the first byte of the second page */
        if (check_stack(vm, access->addr, regs->rsp, fault) ||
            check_access(vm, access->addr, error, fault) || check_access(vm, last, error, fault))
            return true;
    }
    /* The rest of the instruction may be in a page that is not there. */
    return length < sizeof code && !instruction_is_whole(code, length) &&
           check_access(vm, regs->rip + length, FAULT_USER | FAULT_EXEC, fault);
}

bool fault_of_refused(struct ferry_vm *vm, struct vcpu *vcpu, struct fault *fault)
{
    const struct kvm_regs *regs = vcpu_regs(vcpu);

    if (vcpu_refresh(vcpu) < 0)
        return false;
    *fault = (struct fault){.rip = regs->rip};
    return check_access(vm, regs->rip, FAULT_USER | FAULT_EXEC, fault) ||
           check_operands(vm, regs, vcpu, fault);
}

/* ---- first touches ------------------------------------------------------- */

bool fault_touches(struct ferry_vm *vm, struct guest_addr addr, uint64_t error)
{
    unsigned prot = error & FAULT_EXEC    ? SPACE_EXEC
                    : error & FAULT_WRITE ? SPACE_WRITE
                                          : SPACE_READ;

    /* Not only where it is closed: another thread may have touched it meanwhile. */
    return space_is_by_touch(&vm->guest->space, addr) &&
           space_at(&vm->guest->space, addr, 1, prot) && vm_may(vm, addr, 1, error & FAULT_WRITE);
}

/* What an access that nobody can decode may have started from. */
struct values {
    uint64_t of[16];
};

static struct values values_of(const struct kvm_regs *regs)
{
    return (struct values){{regs->rax, regs->rbx, regs->rcx, regs->rdx, regs->rsi, regs->rdi,
                            regs->rbp, regs->rsp, regs->r8, regs->r9, regs->r10, regs->r11,
                            regs->r12, regs->r13, regs->r14, regs->r15}};
}

#define VALUES (sizeof(struct values) / sizeof(uint64_t))

bool fault_touches_around(struct ferry_vm *vm, const struct vcpu *vcpu)
{
    const struct values values = values_of(vcpu_regs(vcpu));
    uint64_t before = vm->guest->space.used_bytes;

    for (size_t i = 0; i < VALUES; i++)
        space_touch_around(&vm->guest->space, guest_addr(values.of[i]));
    return vm->guest->space.used_bytes != before;
}

bool fault_of_live(struct ferry_vm *vm, const struct vcpu *vcpu, const char *why,
                   struct fault *fault)
{
    const struct boot_frame frame = {.rip = vcpu_regs(vcpu)->rip, .error = FAULT_USER};
    const struct values values = values_of(vcpu_regs(vcpu));

    if (!space_has_live(&vm->guest->space, guest_addr(0), guest_addr(UINT64_MAX)))
        return false;
    *fault = fault_plain(SIGBUS, BUS_ADRERR, BOOT_PAGE_FAULT, &frame, why);
    for (size_t i = 0; i < VALUES; i++) {
        struct guest_addr addr = guest_addr(values.of[i]);

        if (!space_reach(&vm->guest->space, addr, 1, 0).live)
            continue;
        fault->info.addr = addr.value;
        if (!vm_may(vm, addr, 1, false))
            break; /* the best guess */
    }
    fault->info.cr2 = fault->info.addr;
    fault->info.sets_cr2 = true;
    return true;
}

/* ---- exceptions ---------------------------------------------------------- */

struct fault fault_plain(int signo, int code, int vector, const struct boot_frame *frame,
                         const char *why)
{
    struct fault fault = {
        .rip = frame->rip,
        .info = {.signo = signo, .code = code, .trapno = (uint64_t)vector, .error = frame->error}};

    snprintf(fault.why, sizeof fault.why, "%s", why);
    return fault;
}

static void of_page_fault(struct ferry_vm *vm, uint64_t addr, const struct boot_frame *frame,
                          struct fault *fault)
{
    const char *how = !(frame->error & FAULT_PRESENT) ? "is not mapped"
                      : frame->error & FAULT_EXEC     ? "is not executable"
                      : frame->error & FAULT_WRITE    ? "is read-only"
                                                      : "is not accessible";

    if (!check_stack(vm, addr, frame->rsp, fault))
        describe_access(vm, addr, frame->error, how, fault);
    fault->info.cr2 = addr;
    fault->info.sets_cr2 = true;
}

void fault_of_exception(struct ferry_vm *vm, const struct vcpu *vcpu, int vector,
                        const struct boot_frame *frame, struct fault *fault)
{
    int signo = exceptions[vector].signo;
    char why[80];

    snprintf(why, sizeof why, "%s (exception %d)", signo ? exceptions[vector].text : "exception",
             vector);
    *fault = fault_plain(signo ? signo : SIGSEGV, signo ? exceptions[vector].code : SI_KERNEL,
                         vector, frame, why);
    if (exceptions[vector].tells_rip)
        fault->info.addr = frame->rip;
    if (vector == X87_EXCEPTION || vector == SIMD_EXCEPTION)
        fault->info.code = vcpu_float_code(vcpu, vector == SIMD_EXCEPTION, fault->info.code);
    if (vector == BOOT_PAGE_FAULT)
        of_page_fault(vm, vcpu_fault_address(vcpu).value, frame, fault);
}

bool fault_is_stale(struct ferry_vm *vm, struct vcpu *vcpu, const struct boot_frame *frame)
{
    struct guest_addr addr = vcpu_fault_address(vcpu);
    uint64_t page = page_down(addr.value), changes = vm->guest->space.changes;
    bool may = frame->error & FAULT_EXEC ? space_prot(&vm->guest->space, addr) & SPACE_EXEC
                                         : vm_may(vm, addr, 1, frame->error & FAULT_WRITE);

    if (!may || (vcpu->stale_page == page && vcpu->stale_changes == changes))
        return false;
    vcpu->stale_page = page;
    vcpu->stale_changes = changes;
    return true;
}

bool fault_serve(struct ferry_vm *vm, struct vcpu *vcpu, const struct fault *fault)
{
    int status = 0;
    enum linux_next next;

    if (vm->process->memory_is_used_up) { /* no handler could help */
        report_memory(vm);
        return false;
    }
    next = linux_fault(vm->process->personality, vcpu->runs, vcpu, &fault->info, &status);
    if (next != LINUX_SIGNAL || status != fault->info.signo)
        return syscall_goes_on(vm, vcpu, next, status);
    report_fault(vm, fault);
    return false;
}
