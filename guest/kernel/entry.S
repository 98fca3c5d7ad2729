/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way into the guest kernel and back, twice: for CPUs on which `syscall` stays at CPL3, and for
 * those on which it arrives at CPL0. The VMM sees which kind it has by a call of its own beside the stub of
 * kvm/boot.c, and makes `syscall` enter the right one.
 *
 * The program's stack is never touched, as by a system call of Linux, and all registers but RAX are
 * as before. They are saved in the CPU's own struct ferry_kernel_cpu, to which GS points, and whose
 * end is the stack. A program that loads GS itself makes the first store fault: the VMM finds that
 * no register has changed yet, and serves the call.
 */
#include <ferry/abi/kernel.h>

#define CPU_END FERRY_KERNEL_CPU_BYTES
/* A member of the CPU's struct while RSP is at its end. */
#define CPU(member) (FERRY_KERNEL_##member - CPU_END)(%rsp)

#define PORT_SYSCALL 0xf2
#define PORT_WROTE   0xf4

    /* For kernel.ld, which knows no header. */
    .globl kernel_code_bytes
    .hidden kernel_code_bytes
    .set kernel_code_bytes, FERRY_KERNEL_CODE_BYTES

    .section .head, "ax", @progbits
    .macro describe level
    .long \level\()_entry
    .long \level\()_saved
    .long \level\()_committed
    .long \level\()_done
    .long \level\()_end
    .long 0, 0, 0
    .endm
    describe cpl3
    describe cpl0
    .long kernel_end

    .text

    .macro restore
    movq CPU(RCX), %rcx
    movq CPU(RDX), %rdx
    movq CPU(RSI), %rsi
    movq CPU(RDI), %rdi
    movq CPU(R8), %r8
    movq CPU(R9), %r9
    movq CPU(R10), %r10
    .endm

    /* To the instruction behind `syscall`, with the flags of before. */
    .macro return_cpl3
    pushq CPU(R11)
    popfq
    movq CPU(R11), %r11
    movq %gs:FERRY_KERNEL_RSP, %rsp
    jmpq *%rcx
    .endm

    .macro return_cpl0
    movq CPU(R11), %r11
    movq %gs:FERRY_KERNEL_RSP, %rsp
    sysretq
    .endm

    /* An exit for which the VMM finds the registers of the program in place; it sets those with which
     * the program goes on. */
    .macro exit port
    movq CPU(R11), %r11
    movq %gs:FERRY_KERNEL_RSP, %rsp
    outb %al, $\port
    ud2
    .endm

    .macro path level
\level\()_entry:
    cmpq $8 * (kernel_calls_end - kernel_calls), %rax
    jae 1f
    btq $8, %r11 /* a program that runs step by step sees its own instructions only */
    jc 1f
    btq %rax, kernel_calls(%rip)
    jc 2f
1:
    outb %al, $PORT_SYSCALL
    ud2
2:
    movq %rsp, %gs:FERRY_KERNEL_RSP
    movq %rcx, %gs:FERRY_KERNEL_RCX
    movq %rax, %gs:FERRY_KERNEL_RAX
    movq %rbx, %gs:FERRY_KERNEL_RBX
    movq %rdx, %gs:FERRY_KERNEL_RDX
    movq %rsi, %gs:FERRY_KERNEL_RSI
    movq %rdi, %gs:FERRY_KERNEL_RDI
    movq %rbp, %gs:FERRY_KERNEL_RBP
    movq %r8, %gs:FERRY_KERNEL_R8
    movq %r9, %gs:FERRY_KERNEL_R9
    movq %r10, %gs:FERRY_KERNEL_R10
    movq %r11, %gs:FERRY_KERNEL_R11
    movq %r12, %gs:FERRY_KERNEL_R12
    movq %r13, %gs:FERRY_KERNEL_R13
    movq %r14, %gs:FERRY_KERNEL_R14
    movq %r15, %gs:FERRY_KERNEL_R15
\level\()_saved:
    .ifc \level, cpl3
    movl %cs, %edi
    testb $3, %dil
    jz cpl3_leave_cpl0
    .endif
    movq %gs:FERRY_KERNEL_SELF, %rdi
    leaq CPU_END(%rdi), %rsp
    cld
\level\()_serve:
    leaq -CPU_END(%rsp), %rdi
    call kernel_serve
    testb %al, %al /* a bool has 8 bits */
    jz \level\()_leave
    movq CPU(WORD), %rdx
    movq CPU(FROM), %rax
    movq CPU(TO), %rcx
    lock cmpxchgq %rcx, (%rdx)
\level\()_committed:
    jne \level\()_serve /* another thread read it first, or the VMM did */
\level\()_done:
    cmpq $0, CPU(WROTE)
    je \level\()_back
    leaq kernel_shown(%rip), %rsi
    cmpl $0, FERRY_KERNEL_WAITED(%rsi)
    je \level\()_back
    /* The receiver waits. */
    leaq kernel_words(%rip), %rdi
    rdtsc
    shlq $32, %rdx
    orq %rax, %rdx
    movl %ecx, %ecx /* the position behind what was written */
    subq FERRY_KERNEL_SENT(%rsi), %rcx
    cmpq FERRY_KERNEL_GATHER_BYTES(%rsi), %rcx
    jge \level\()_tell
    movq %rdx, %rax
    subq FERRY_KERNEL_SENT_TICKS(%rdi), %rax
    cmpq FERRY_KERNEL_GATHER_TICKS(%rsi), %rax
    jb \level\()_back
\level\()_tell:
    movq %rdx, FERRY_KERNEL_SENT_TICKS(%rdi)
    restore
    movq CPU(RESULT), %rax
    exit PORT_WROTE
\level\()_back:
    restore
    movq CPU(RESULT), %rax
    return_\level
\level\()_end:
\level\()_leave:
    restore
    movq CPU(RAX), %rax
    exit PORT_SYSCALL
    .endm

    path cpl3
    path cpl0

    /* What the program can write must not lead CPL0: neither its stack, nor where to return to. RDI is
     * what the program chooses in any case; no other register has changed. */
cpl3_leave_cpl0:
    movq %gs:FERRY_KERNEL_RDI, %rdi
    outb %al, $PORT_SYSCALL
    ud2

    /* A bit for each call that it is worth to look at, by its number. */
    .section .rodata, "a", @progbits
    .balign 8
kernel_calls:
    /* read write fstat poll lseek rt_sigaction ioctl pread64 readv writev select getpid */
    .quad 1 << 0 | 1 << 1 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 20 | 1 << 23 | 1 << 39
    /* fcntl getuid getgid geteuid getegid getppid */
    .quad 1 << (72 - 64) | 1 << (102 - 64) | 1 << (104 - 64) | 1 << (107 - 64) | 1 << (108 - 64) | 1 << (110 - 64)
    .quad 0, 0
    /* newfstatat pselect6 ppoll preadv */
    .quad 1 << (262 - 256) | 1 << (270 - 256) | 1 << (271 - 256) | 1 << (295 - 256)
kernel_calls_end:

    .section .note.GNU-stack, "", @progbits
