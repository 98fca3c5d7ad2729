/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual CPU of KVM: the thread that runs it, its exits and its registers. No other file looks
 * into the memory that a CPU shares with KVM.
 */
#ifndef FERRY_HOST_VCPU_H
#define FERRY_HOST_VCPU_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/ferry.h>

#include "kvm/boot.h"
#include "kvm/kvm.h"
#include "kvm/kvm_vm.h"

struct process;

#define VCPU_ROUSED 8

struct vcpu {
    int fd;                   /* -1: it was not made */
    uint32_t number;          /* from 0 on */
    pthread_t thread;         /* of the host, that runs it; valid once the thread is started */
    atomic_int clock;         /* of the processor time that thread takes; 0: it has not begun */
    atomic_ullong took_ns;    /* of that, once it has ended; 0 before */
    atomic_ullong earlier_ns; /* that threads before it took */
    uint64_t before_ns;       /* of that, what it had taken when `runs` began */
    void *runs;               /* the program's thread that it runs; NULL: none. The VM's to set. */
    /* For the VM that it belongs to: */
    struct process *process;            /* whose threads it runs */
    atomic_bool in_guest;               /* it is in KVM_RUN, or about to be */
    uint64_t stale_page, stale_changes; /* of the last page fault that was tried again: fault.c */
    bool calls_again;                   /* a signal interrupted a call of the guest library */
    bool finishes;                      /* it does not leave its wait half done for an execve */
    bool is_away;                       /* in the guest, or on its way out without a turn */
    bool moves;                         /* its thread is to keep to these processors of the host */
    cpu_set_t keeps_to;
    bool call_is_left;                /* the guest kernel could not serve its call */
    atomic_uint wakes;                /* counts up to end a sleep of its thread: a futex */
    struct vcpu *roused[VCPU_ROUSED]; /* whose sleep this thread ends when it gives way */
    unsigned roused_count;
    /* Shared with KVM: the exit, the registers, and which of them were changed since. */
    struct kvm_run *run;
    size_t run_bytes;
    bool in_kernel;       /* `syscall` enters the guest kernel */
    bool has_gs;          /* the program set GS itself */
    uint64_t xcr0;        /* the register state that its guest may use; 0: it has no XSAVE */
    uint32_t xsave_bytes; /* of that state; at most VCPU_XSAVE_MOST */
};

/* As struct kvm_xsave. */
#define VCPU_XSAVE_MOST 4096

/* The signal that interrupts KVM_RUN; blocked in every thread of the library. */
int vcpu_kick_signal(void);

/* Makes a CPU of the VM, with the next number, and its first state; boot_cpu prepared it. The caller sets `fd` to -1 first. After an error, too,
 * vcpu_destroy must follow. */
int vcpu_create(struct vcpu *vcpu, const struct kvm *kvm, struct kvm_vm *vm,
                struct guest_addr entry, struct guest_addr stack, struct ferry_error *err);
void vcpu_destroy(struct vcpu *vcpu);

/* Interrupts the CPU's thread, which must exist: KVM_RUN returns, or the next one does at once. Any
 * thread. */
void vcpu_kick(const struct vcpu *vcpu);

/* The processor time that the CPU's thread has taken, and those before it, in the guest and outside; 0: it has not begun.
 * Any thread. */
uint64_t vcpu_cpu_ns(const struct vcpu *vcpu);

/* All functions below are for the CPU's own thread, or for the time before it has one. */

/* The thread begins: from here on vcpu_cpu_ns tells its time. */
void vcpu_begin(struct vcpu *vcpu);
/* It ends: what it has taken by now is told for good. */
void vcpu_end(struct vcpu *vcpu);
/* Another thread is about to be the CPU's, and to run another thread of the program. */
void vcpu_begin_again(struct vcpu *vcpu);

/* Runs the guest until its next exit; changes of registers that were made before take effect. 0 or
 * the negative errno of KVM_RUN. -EINTR: it was interrupted, and the kick is still on the thread's
 * list. */
int vcpu_run(struct vcpu *vcpu);
/* Takes kicks off the calling thread's list. */
void vcpu_take_kick(void);

/* The last exit: KVM_EXIT_...; the port or guest-physical address that it is about, or 0; what
 * KVM_EXIT_FAIL_ENTRY and KVM_EXIT_INTERNAL_ERROR tell. */
uint32_t vcpu_exit_reason(const struct vcpu *vcpu);
uint64_t vcpu_exit_at(const struct vcpu *vcpu);
/* Of KVM_EXIT_MMIO: the bytes that were written, or those that will be read. */
void *vcpu_mmio(struct vcpu *vcpu, uint32_t *bytes, bool *write);
uint64_t vcpu_entry_failure(const struct vcpu *vcpu);
uint32_t vcpu_internal_error(const struct vcpu *vcpu);

/* The registers at the last exit, with the changes made since. After a vcpu_run that failed they
 * are those of the exit before; vcpu_fetch asks KVM. */
const struct kvm_regs *vcpu_regs(const struct vcpu *vcpu);
struct guest_addr vcpu_fault_address(const struct vcpu *vcpu);
uint64_t vcpu_fs(const struct vcpu *vcpu);
uint64_t vcpu_gs(const struct vcpu *vcpu); /* as the program set it */
/* `sregs` may be NULL. 0 or a negative errno. */
int vcpu_fetch(const struct vcpu *vcpu, struct kvm_regs *regs, struct kvm_sregs *sregs);

/* Makes vcpu_regs tell the registers of now, after a vcpu_run that failed. 0 or a negative errno. */
int vcpu_refresh(struct vcpu *vcpu);
/* The other way round, for changes that must be there also after vcpu_refresh. */
int vcpu_store(struct vcpu *vcpu);
/* Ends what an exit by KVM_EXIT_MMIO or KVM_EXIT_IO left undone, and runs nothing more. KVM would end it
 * at the next entry, on whatever registers are set until then. Then as vcpu_refresh. */
int vcpu_end_instruction(struct vcpu *vcpu);
/* Whether the CPU was executing the program, and not a stub that is about to make an exit. */
bool vcpu_in_program(const struct vcpu *vcpu);
/* Whether it is at CPL3. */
bool vcpu_is_at_cpl3(const struct vcpu *vcpu);
/* Whether `syscall` stays at CPL3: 1 or 0. The CPU makes one of the VMM's, since a program can make the
 * exit of the stub itself, at CPL3; its registers are as before then. -EINTR: it was kicked, and the
 * kick is still on the thread's list; -EIO: the CPU did something else. */
int vcpu_probe_syscall(struct vcpu *vcpu);
/* Floating-point and vector registers, as XSAVE lays them out without compaction:
 * VCPU_XSAVE_MOST bytes. A state that KVM refuses changes nothing. */
int vcpu_vectors(const struct vcpu *vcpu, void *area);
int vcpu_set_vectors(struct vcpu *vcpu, const void *area);

/* Which floating-point exception is pending, as a si_code (FPE_...): of SSE and AVX, or of x87.
 * `otherwise`: if that cannot be told. */
int vcpu_float_code(const struct vcpu *vcpu, bool simd, int otherwise);

/* Changes of registers, which take effect at the next vcpu_run. */
void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
void vcpu_set_rax(struct vcpu *vcpu, uint64_t rax);
void vcpu_set_fs(struct vcpu *vcpu, uint64_t base);
void vcpu_set_gs(struct vcpu *vcpu, uint64_t base);
/* From the next vcpu_run on `syscall` enters the guest kernel at `entry`, and GS is its; unless the
 * program has set GS, then it enters the stub. 0 or a negative errno: all is as before.
 * vcpu_leave_kernel: back to the stub. */
int vcpu_enter_kernel(struct vcpu *vcpu, struct guest_addr entry, struct guest_addr gs);
int vcpu_leave_kernel(struct vcpu *vcpu);
/* Begins anew at `entry` with stack `stack`: all registers are as at the start of a program. 0, or a
 * negative errno: nothing changed. */
int vcpu_restart(struct vcpu *vcpu, struct guest_addr entry, struct guest_addr stack);
/* Returns from a stub to the program, at `next`, whatever privilege level the CPU entered the stub
 * with. */
void vcpu_resume(struct vcpu *vcpu, uint64_t rax, const struct boot_frame *next);

/* Gives `to` the floating-point and vector state of `from`, and then all else: `to` goes on as `from`
 * does, with result 0, on another stack (0: the same). The second is done after the last change of
 * `from`. Both CPUs are out of the guest. */
int vcpu_copy_vectors(const struct vcpu *to, const struct vcpu *from);
void vcpu_go_on_as(struct vcpu *to, const struct vcpu *from, uint64_t stack);

/* The state of a CPU, which has made an exit by an instruction that is done then, outside the guest kernel;
 * and going on with it, whatever the CPU did since. 0 or a negative errno. */
struct vcpu_kept {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xsave vectors;
    bool has_gs;
};
int vcpu_keep(struct vcpu *vcpu, struct vcpu_kept *out);
int vcpu_go_back(struct vcpu *vcpu, const struct vcpu_kept *kept);

/* Ticks of the guest's time-stamp counter in so many nanoseconds; 0: not known. */
uint64_t vcpu_ticks(const struct vcpu *vcpu, uint64_t nanoseconds);

#endif
