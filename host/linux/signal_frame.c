/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the frame that a handler finds on its stack, and taking it back (rt_sigreturn). The layout is
 * the kernel's: from the stack pointer up the return address, the ucontext, the siginfo, and, 64-byte
 * aligned, the floating-point and vector registers as XSAVE writes them.
 *
 * What a program gives back is checked in private memory: nothing in a frame may put the CPU into a
 * state that KVM refuses to run.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>

#include "linux/calls.h"
#include "linux/signal_state.h"
#include "linux/state.h"

#define RED_ZONE      128
#define HAS_RESTORER  0x04000000 /* SA_RESTORER, which user headers lack */
#define FX_BYTES      512        /* of the state of x87 and SSE */
#define HEADER_BYTES  64         /* of XSAVE; after them */
#define VECTORS_ALIGN 64
#define MAGIC1        0x46505853u
#define MAGIC2        0x46505845u
#define CODE_SELECTOR 0x33 /* as every program of Linux sees them */
#define DATA_SELECTOR 0x2b
#define HIDDEN_FLAGS  0x3000 /* IOPL, which is 0 on Linux */
#define HANDLER_CLEAR 0x500  /* DF, TF */
#define X87_START     0x37f
#define MXCSR_START   0x1f80
#define MXCSR_MOST    0xffbf /* the bits that the first processors had */

enum { HAS_XSTATE = 1, HAS_SS = 2, STRICT_SS = 4 }; /* uc_flags */

/* What the kernel writes into the unused end of the first 512 bytes. */
struct vectors_note {
    uint32_t magic1, extended_bytes;
    uint64_t parts;
    uint32_t bytes, zero[7];
};

struct vectors {
    _Alignas(64) uint16_t x87_control;
    uint8_t before_mxcsr[22];
    uint32_t mxcsr, mxcsr_mask;
    uint8_t registers[432];
    struct vectors_note note;
    uint64_t parts, compaction, reserved[6]; /* the header */
    uint8_t rest[VM_VECTORS_MOST - FX_BYTES - HEADER_BYTES];
    uint32_t magic2_room;
};
_Static_assert(offsetof(struct vectors, note) == 464, "sw_reserved");
_Static_assert(offsetof(struct vectors, parts) == FX_BYTES, "the header");

struct frame {
    uint64_t return_address;
    uint64_t flags, link;
    struct signal_stack stack;
    /* struct sigcontext */
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
    uint64_t rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t error, trapno, blocked_low, cr2, vectors_addr, reserved[8];
    uint64_t blocked;
    struct signal_info info;
};
_Static_assert(sizeof(struct frame) == 440, "as the kernel's struct rt_sigframe");

int32_t signal_stack_flags(const struct signal_stack *stack, uint64_t sp)
{
    if (!stack->bytes)
        return SS_DISABLE;
    return sp > stack->sp && sp - stack->sp <= stack->bytes ? SS_ONSTACK : 0;
}

/* Others cannot be in RIP. */
static bool is_canonical(uint64_t addr)
{
    return addr < 1ull << 47 || addr >= -(1ull << 47);
}

/* ---- pushing ------------------------------------------------------------- */

/* Where the frame goes. */
struct frame_place {
    uint64_t frame, vectors;
};

/* -EFAULT: the alternate stack is too small. */
static int find_place(const struct thread_signals *signals, uint64_t sp, bool alternate,
                      uint64_t vectors_bytes, struct frame_place *out)
{
    const struct signal_stack *stack = &signals->stack;
    bool disarms = stack->flags & SIGNAL_STACK_DISARMS;
    bool on = !disarms && signal_stack_flags(stack, sp) == SS_ONSTACK;

    sp -= RED_ZONE;
    if (alternate && !on && stack->bytes) {
        sp = stack->sp + stack->bytes;
        on = true;
    }
    out->vectors = (sp - vectors_bytes) & ~(uint64_t)(VECTORS_ALIGN - 1);
    out->frame = ((out->vectors - sizeof(struct frame)) & ~15ull) - 8;
    if (out->frame >= MEMORY_USER_END || out->vectors < out->frame)
        return -EFAULT;
    return on && signal_stack_flags(stack, out->frame) != SS_ONSTACK ? -EFAULT : 0;
}

/* How many bytes the registers take in a frame. */
static uint64_t vectors_bytes(struct vcpu *cpu)
{
    return vm_vectors_parts(cpu) ? vm_vectors_bytes(cpu) + sizeof(uint32_t) : FX_BYTES;
}

static int vectors_save(struct vcpu *cpu, struct vectors *out)
{
    const uint64_t parts = vm_vectors_parts(cpu);
    const uint32_t bytes = vm_vectors_bytes(cpu), magic2 = MAGIC2;
    int result = vm_vectors(cpu, out);

    if (result < 0)
        return result;
    memset(&out->note, 0, sizeof(out->note));
    if (!parts)
        return 0;
    out->note = (struct vectors_note){
        .magic1 = MAGIC1, .extended_bytes = bytes + 4, .parts = parts, .bytes = bytes};
    out->parts = (out->parts & parts) | 3;
    out->compaction = 0;
    memset(out->reserved, 0, sizeof(out->reserved));
    memcpy((char *)out + bytes, &magic2, sizeof(magic2));
    return 0;
}

/* As a program finds them at its start. */
static void vectors_start(struct vectors *out)
{
    memset(out, 0, sizeof(*out));
    out->x87_control = X87_START;
    out->mxcsr = MXCSR_START;
    out->parts = 3;
}

static void fill_frame(struct frame *frame, const struct thread_signals *signals,
                       const struct kvm_regs *regs, const struct signal_info *info)
{
    *frame = (struct frame){
        .flags = HAS_SS | STRICT_SS,
        .stack = signals->stack,
        .r8 = regs->r8,
        .r9 = regs->r9,
        .r10 = regs->r10,
        .r11 = regs->r11,
        .r12 = regs->r12,
        .r13 = regs->r13,
        .r14 = regs->r14,
        .r15 = regs->r15,
        .rdi = regs->rdi,
        .rsi = regs->rsi,
        .rbp = regs->rbp,
        .rbx = regs->rbx,
        .rdx = regs->rdx,
        .rax = regs->rax,
        .rcx = regs->rcx,
        .rsp = regs->rsp,
        .rip = regs->rip,
        .rflags = regs->rflags & ~(uint64_t)HIDDEN_FLAGS,
        .cs = CODE_SELECTOR,
        .ss = DATA_SELECTOR,
        .error = signals->error,
        .trapno = signals->trapno,
        .cr2 = signals->cr2,
        .info = *info,
    };
    frame->blocked = signals->has_before ? signals->blocked_before : signals->blocked;
    frame->blocked_low = frame->blocked;
}

int signal_frame_push(struct linux_state *state, struct vcpu *cpu, const struct signal_info *info,
                      const struct signal_action *action)
{
    struct thread_signals *signals = &state->thread->signals;
    struct kvm_regs regs = *vm_regs(cpu);
    struct vectors vectors;
    struct frame frame;
    struct frame_place place;
    int result;

    if (!(action->flags & HAS_RESTORER) || !is_canonical(action->handler))
        return -EFAULT;
    result = find_place(signals, regs.rsp, action->flags & SA_ONSTACK, vectors_bytes(cpu), &place);
    if (!result)
        result = vectors_save(cpu, &vectors);
    if (result)
        return -EFAULT;
    fill_frame(&frame, signals, &regs, info);
    frame.return_address = action->restorer;
    frame.flags |= vm_vectors_parts(cpu) ? HAS_XSTATE : 0;
    frame.vectors_addr = place.vectors;
    if (guest_put(state, place.vectors, &vectors, vectors_bytes(cpu)) ||
        guest_put(state, place.frame, &frame, sizeof(frame)))
        return -EFAULT;
    vectors_start(&vectors);
    if (vm_set_vectors(cpu, &vectors) < 0)
        return -EFAULT;
    if (signals->stack.flags & SIGNAL_STACK_DISARMS)
        signals->stack = (struct signal_stack){.flags = SS_DISABLE};
    regs.rdi = (uint64_t)info->signo;
    regs.rsi = place.frame + offsetof(struct frame, info);
    regs.rdx = place.frame + offsetof(struct frame, flags);
    regs.rax = 0;
    regs.rsp = place.frame;
    regs.rip = action->handler;
    regs.rflags &= ~(uint64_t)HANDLER_CLEAR;
    vm_set_regs(cpu, &regs);
    return 0;
}

/* ---- taking back --------------------------------------------------------- */

/* Reads the registers of a frame: all parts if its notes say so and hold, else x87 and SSE alone.
 * -EFAULT. */
static int vectors_fetch(struct linux_state *state, struct vcpu *cpu, uint64_t addr,
                         struct vectors *out)
{
    const uint64_t parts = vm_vectors_parts(cpu);
    struct vectors_note note;
    uint32_t magic2 = 0, bytes;

    if (guest_get(state, addr, out, FX_BYTES))
        return -EFAULT;
    note = out->note;
    bytes = note.bytes;
    if (!parts || note.magic1 != MAGIC1 || bytes < FX_BYTES + HEADER_BYTES ||
        bytes > vm_vectors_bytes(cpu) || bytes > note.extended_bytes)
        return 0;
    if (guest_get(state, addr + bytes, &magic2, sizeof(magic2)))
        return -EFAULT;
    if (magic2 != MAGIC2)
        return 0;
    if (guest_get(state, addr + FX_BYTES, (char *)out + FX_BYTES, bytes - FX_BYTES))
        return -EFAULT;
    if (out->parts & ~parts || out->compaction)
        return -EFAULT;
    for (unsigned i = 0; i < 6; i++) {
        if (out->reserved[i])
            return -EFAULT;
    }
    out->parts &= note.parts;
    return 0;
}

static int vectors_restore(struct linux_state *state, struct vcpu *cpu, uint64_t addr)
{
    struct vectors now, back;
    int result;

    vectors_start(&back);
    if (!addr)
        return vm_set_vectors(cpu, &back);
    if (addr % VECTORS_ALIGN)
        return -EFAULT;
    result = vm_vectors(cpu, &now);
    if (!result)
        result = vectors_fetch(state, cpu, addr, &back);
    if (result)
        return result;
    if (back.mxcsr & ~(now.mxcsr_mask ? now.mxcsr_mask : MXCSR_MOST))
        return -EFAULT;
    back.mxcsr_mask = now.mxcsr_mask;
    memset(&back.note, 0, sizeof(back.note));
    return vm_set_vectors(cpu, &back);
}

static void regs_of(const struct frame *frame, struct kvm_regs *regs)
{
    *regs = (struct kvm_regs){
        .r8 = frame->r8,
        .r9 = frame->r9,
        .r10 = frame->r10,
        .r11 = frame->r11,
        .r12 = frame->r12,
        .r13 = frame->r13,
        .r14 = frame->r14,
        .r15 = frame->r15,
        .rdi = frame->rdi,
        .rsi = frame->rsi,
        .rbp = frame->rbp,
        .rbx = frame->rbx,
        .rdx = frame->rdx,
        .rax = frame->rax,
        .rcx = frame->rcx,
        .rsp = frame->rsp,
        .rip = frame->rip,
        .rflags = frame->rflags,
    };
}

/* 0, or -EFAULT: Linux would answer with SIGSEGV. */
static int take_back(struct linux_state *state, struct vcpu *cpu)
{
    struct thread_signals *signals = &state->thread->signals;
    struct kvm_regs regs = *vm_regs(cpu);
    struct frame frame;

    /* The handler's return took the return address off the stack. */
    if (guest_get(state, regs.rsp - sizeof(uint64_t), &frame, sizeof(frame)))
        return -EFAULT;
    signals->blocked = frame.blocked & ~SIGNALS_NEVER_BLOCKED;
    /* A 64-bit program has one code segment. */
    if (frame.cs != CODE_SELECTOR || !is_canonical(frame.rip))
        return -EFAULT;
    if (vectors_restore(state, cpu, frame.vectors_addr))
        return -EFAULT;
    regs_of(&frame, &regs);
    vm_set_regs(cpu, &regs);
    signal_stack_set(state, &frame.stack, regs.rsp); /* one that is refused changes nothing */
    return 0;
}

int64_t sys_rt_sigreturn(struct linux_state *state, const uint64_t arg[6])
{
    struct vcpu *cpu = state->thread->call->cpu;

    (void)arg;
    if (take_back(state, cpu))
        signal_force_segv(state);
    return (int64_t)vm_regs(cpu)->rax;
}
