/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threat: a program that returns from a signal handler with a frame in which every byte was chosen by an
 * attacker, or that another thread changes while it is read, from a stack anywhere, to have the VMM
 * load what a processor or KVM refuses, a right that programs do not have (a segment, a flag), bytes of
 * the VMM's own, or to block the signals by which it is ended.
 *
 * An input is a list of rounds: an alternate stack, a stack pointer, a signal, changes of its frame
 * (place, number), rt_sigreturn. What is loaded is seen at the moment it is. It must be permitted, and
 * exactly what the frame says; else the program gets SIGSEGV and its registers stay. A frame that nobody
 * changed gives back the registers from before.
 *
 * Not here: KVM, which refuses more than this fuzzer knows; then it is asked for a refusal.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "fuzz.h"
#include "kvm/boot.h"
#include "linux/signal_state.h"
#include "linux/state.h"
#include "linux_fixture.h"

#define ROUNDS      6
#define CHANGES     12
#define FRAME_BYTES 440u
#define HANDLER     0x400000ull
#define VECTORS     832u /* that the pretended processor has */
#define PARTS       7u
#define MXCSR_MASK  0xffffu
/* NT RF VM VIF VIP, and all that is not defined. */
#define FLAGS_NEVER (~0x243fd7ull | 0x14000ull)

/* Where the kernel's struct rt_sigframe has it. */
enum {
    AT_STACK_FLAGS = 32,
    AT_R8 = 48,
    AT_RAX = 152,
    AT_RSP = 168,
    AT_RIP = 176,
    AT_FLAGS = 184,
    AT_CS = 192,
    AT_VECTORS = 232,
    AT_BLOCKED = 304,
};

static struct run {
    struct ferry_vm *vm;
    bool refuses; /* KVM refuses the vectors */
    unsigned regs_set, vectors_set;
    struct kvm_regs regs; /* the first that were set */
    uint8_t vectors[VM_VECTORS_MOST];
} run;

/* ---- what is loaded ---------------------------------------------------------- */

void __real_vm_set_regs(struct vcpu *cpu, const struct kvm_regs *regs);
void __wrap_vm_set_regs(struct vcpu *cpu, const struct kvm_regs *regs);
int __real_vm_set_vectors(struct vcpu *cpu, const void *area);
int __wrap_vm_set_vectors(struct vcpu *cpu, const void *area);

static bool is_canonical(uint64_t addr)
{
    return (uint64_t)((int64_t)(addr << 16) >> 16) == addr;
}

void __wrap_vm_set_regs(struct vcpu *cpu, const struct kvm_regs *regs)
{
    uint64_t flags = boot_user_flags(regs->rflags);

    FUZZ_ASSERT(is_canonical(regs->rip));
    FUZZ_ASSERT(!(flags & FLAGS_NEVER) && (flags & 0x202) == 0x202);
    if (run.regs_set++ == 0)
        run.regs = *regs;
    __real_vm_set_regs(cpu, regs);
}

static uint32_t word_of(const uint8_t *area, unsigned at)
{
    uint32_t word;

    memcpy(&word, area + at, sizeof word);
    return word;
}

static bool is_zero(const uint8_t *bytes, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

/* What XRSTOR takes without an exception, and nothing that the processor does not have. */
int __wrap_vm_set_vectors(struct vcpu *cpu, const void *area)
{
    const uint8_t *bytes = area;

    FUZZ_ASSERT(!(word_of(bytes, 24) & ~MXCSR_MASK));
    FUZZ_ASSERT(!(word_of(bytes, 512) & ~PARTS));
    FUZZ_ASSERT(is_zero(bytes, 464, 512) && is_zero(bytes, 516, 576));
    FUZZ_ASSERT(is_zero(bytes, VECTORS, VM_VECTORS_MOST));
    if (run.vectors_set++ == 0)
        memcpy(run.vectors, bytes, sizeof run.vectors);
    if (run.refuses)
        return -EINVAL;
    return __real_vm_set_vectors(cpu, area);
}

/* ---- a frame as memory has it ------------------------------------------------ */

struct seen {
    bool readable;
    uint8_t bytes[FRAME_BYTES];
    bool vectors_readable; /* the first 512 bytes */
    uint8_t vectors[512];
};

static uint64_t at(const struct seen *seen, unsigned offset)
{
    uint64_t value;

    memcpy(&value, seen->bytes + offset, sizeof value);
    return value;
}

static struct seen look(void)
{
    struct seen seen = {0};
    int hostile = run.vm->hostile;

    run.vm->hostile = 0;
    seen.readable =
        !vm_copy_in(run.vm, seen.bytes, guest_addr(run.vm->cpu.regs.rsp - 8), FRAME_BYTES);
    seen.vectors_readable =
        seen.readable && !vm_copy_in(run.vm, seen.vectors, guest_addr(at(&seen, AT_VECTORS)), 512);
    run.vm->hostile = hostile;
    return seen;
}

/* What must be refused whatever its vectors hold. */
static bool is_forbidden(const struct seen *seen)
{
    return !seen->readable || (at(seen, AT_CS) & 0xffff) != 0x33 ||
           !is_canonical(at(seen, AT_RIP)) ||
           (at(seen, AT_VECTORS) && (at(seen, AT_VECTORS) % 64 || !seen->vectors_readable));
}

/* What must be taken: its vectors are none, or of the old kind. */
static bool is_permitted(const struct seen *seen)
{
    if (is_forbidden(seen) || run.refuses)
        return false;
    return !at(seen, AT_VECTORS) || (word_of(seen->vectors, 464) != 0x46505853 &&
                                     !(word_of(seen->vectors, 24) & ~MXCSR_MASK));
}

static void check_loaded(const struct seen *seen)
{
    const struct kvm_regs *regs = &run.regs;
    const uint64_t order[] = {regs->r8,  regs->r9,  regs->r10, regs->r11, regs->r12, regs->r13,
                              regs->r14, regs->r15, regs->rdi, regs->rsi, regs->rbp, regs->rbx,
                              regs->rdx, regs->rax, regs->rcx, regs->rsp, regs->rip, regs->rflags};

    for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++)
        FUZZ_ASSERT(order[i] == at(seen, AT_R8 + 8 * i));
    if (!at(seen, AT_VECTORS))
        return;
    FUZZ_ASSERT(memcmp(run.vectors, seen->vectors, 28) == 0);
    FUZZ_ASSERT(memcmp(run.vectors + 32, seen->vectors + 32, 464 - 32) == 0);
}

/* ---- a round ----------------------------------------------------------------- */

static void check_signals(void)
{
    const struct thread_signals *signals = &run.vm->linux_state->thread->signals;
    int32_t mode = signals->stack.flags & ~SIGNAL_STACK_DISARMS;

    FUZZ_ASSERT(!(signals->blocked & SIGNALS_NEVER_BLOCKED));
    FUZZ_ASSERT(mode == 0 || mode == SS_DISABLE || mode == SS_ONSTACK);
    FUZZ_ASSERT(mode != SS_DISABLE || !signals->stack.bytes);
}

static uint64_t take_place(struct fuzz *fuzz)
{
    switch (fuzz_below(fuzz, 5)) {
    case 0:
        return fuzz_value(fuzz);
    case 1:
        return SCRATCH_END - fuzz_byte(fuzz);
    case 2:
        return READ_ONLY + fuzz_bytes(fuzz, 2);
    default:
        return SCRATCH + 0x8000 + fuzz_bytes(fuzz, 2) % 0x8000;
    }
}

static void set_stack(struct fuzz *fuzz)
{
    struct signal_stack stack = {
        .sp = take_place(fuzz), .flags = (int32_t)fuzz_value(fuzz), .bytes = fuzz_value(fuzz)};

    memcpy(guest(run.vm, SCRATCH), &stack, sizeof stack);
    CALL(run.vm, sigaltstack, SCRATCH, 0);
}

static void set_sp(uint64_t sp)
{
    run.vm->cpu.regs.rsp = run.vm->cpu.sp = sp;
}

/* False: nothing was changed. */
static bool change_frame(struct fuzz *fuzz)
{
    uint64_t frame = run.vm->cpu.regs.rsp - 8;
    uint32_t count = fuzz_below(fuzz, CHANGES);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t kind = fuzz_byte(fuzz);
        uint64_t place = frame, value = fuzz_value(fuzz), vectors = 0;
        if (kind & 0x80) { /* behind the place of the vectors: their notes and header */
            if (vm_copy_in(run.vm, &vectors, guest_addr(frame + AT_VECTORS), 8))
                continue;
            place = vectors + (kind & 0x40 ? 464 + (kind & 0x3f) * 4 : (kind & 0x3f) * 8);
        } else {
            place += (kind & 0x7f) * 4;
        }
        if (vm_may(run.vm, guest_addr(place), 8, true))
            vm_copy_out(run.vm, guest_addr(place), &value, kind & 1 ? 8 : 4);
    }
    return count;
}

static void take_back(const struct kvm_regs *before)
{
    struct seen seen = look();
    struct kvm_regs was = run.vm->cpu.regs;
    uint64_t fs = run.vm->cpu.fs, gs = run.vm->cpu.gs;

    run.regs_set = run.vectors_set = 0;
    CALL(run.vm, rt_sigreturn, 0);
    FUZZ_ASSERT(run.vm->cpu.fs == fs && run.vm->cpu.gs == gs);
    FUZZ_ASSERT(run.vm->next == LINUX_RESUME || run.vm->next == LINUX_SIGNAL);
    if (run.vm->hostile)
        return;
    bool loaded = run.regs_set && run.regs.rip != HANDLER + SIGSEGV;
    if (is_forbidden(&seen))
        FUZZ_ASSERT(!loaded);
    if (is_permitted(&seen))
        FUZZ_ASSERT(loaded || at(&seen, AT_RIP) == HANDLER + SIGSEGV);
    if (loaded)
        check_loaded(&seen);
    else if (!run.regs_set) /* it ends, with the registers that it had */
        FUZZ_ASSERT(run.vm->next == LINUX_SIGNAL && !memcmp(&was, &run.vm->cpu.regs, sizeof was));
    if (before && loaded) /* RAX is what tkill returned */
        FUZZ_ASSERT(run.regs.rip == before->rip && run.regs.rsp == before->rsp &&
                    run.regs.rax == 0 && run.regs.r15 == before->r15);
}

static bool round_of(struct fuzz *fuzz)
{
    uint8_t how = fuzz_byte(fuzz);
    struct kvm_regs before;

    if (how & 1)
        set_stack(fuzz);
    set_sp(take_place(fuzz));
    before = run.vm->cpu.regs;
    run.refuses = false;
    CALL(run.vm, tkill, (uint64_t)CALL(run.vm, getpid), how & 2 ? SIGUSR1 : SIGUSR2);
    if (run.vm->next != LINUX_RESUME)
        return false;
    bool pushed = run.vm->cpu.regs.rip == HANDLER + (how & 2 ? SIGUSR1 : SIGUSR2);
    set_sp(run.vm->cpu.regs.rsp + 8); /* the handler's return */
    bool changed = change_frame(fuzz);
    run.vm->hostile = how & 4 ? 1 + (how >> 4) * 17 : 0;
    run.refuses = how & 8;
    take_back(pushed && !changed ? &before : NULL);
    run.vm->hostile = 0;
    check_signals();
    return run.vm->next == LINUX_RESUME;
}

static void handle(int signo, uint64_t flags)
{
    struct signal_action action = {
        .handler = HANDLER + (uint64_t)signo, .flags = 0x04000000 | flags, .restorer = HANDLER};

    memcpy(guest(run.vm, SCRATCH), &action, sizeof action);
    FUZZ_ASSERT(!CALL(run.vm, rt_sigaction, (uint64_t)signo, SCRATCH, 0, 8));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz fuzz = fuzz_begin(data, bytes);
    const uint32_t mask = MXCSR_MASK, parts = 3;

    memset(&run, 0, sizeof run);
    run.vm = linux_vm_create(NULL, -1);
    memcpy(run.vm->cpu.vectors + 28, &mask, sizeof mask);
    memcpy(run.vm->cpu.vectors + 512, &parts, sizeof parts);
    run.vm->cpu.regs = (struct kvm_regs){.rip = 0x401000, .rax = 1, .r15 = 15, .rflags = 0x246};
    handle(SIGUSR1, SA_ONSTACK);
    handle(SIGUSR2, 0);
    if (fuzz_byte(&fuzz) & 1)
        handle(SIGSEGV, SA_ONSTACK | SA_NODEFER);
    for (int i = 0; i < ROUNDS && fuzz_left(&fuzz); i++) {
        if (!round_of(&fuzz))
            break;
    }
    linux_vm_destroy(run.vm);
    return 0;
}
