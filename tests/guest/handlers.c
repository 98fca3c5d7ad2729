/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals that run handlers: says what each handler saw, and what held after it. The same lines come
 * from a process and from a VM. */
#include <fenv.h>
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "guest.h"

static sigjmp_buf back;
static volatile int calls;

static void set(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    if (sigaction(signo, &action, NULL))
        fail("sigaction %d", signo);
}

static unsigned long blocked(void)
{
    unsigned long mask = 0;

    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8L);
    return mask;
}

/* ---- ordinary handlers --------------------------------------------------- */

static void tell(int signo, siginfo_t *info, void *context)
{
    ucontext_t *user = context;

    calls++;
    printf("signal %d, info %d code %d, from itself %d, blocked %lx, to be %lx, on stack %d\n",
           signo, info->si_signo, info->si_code, info->si_pid == getpid(), blocked(),
           *(unsigned long *)&user->uc_sigmask,
           user->uc_stack.ss_flags & ~SS_DISABLE); /* set or not by how the process was made */
}

static void nested(int signo, siginfo_t *info, void *context)
{
    tell(signo, info, context);
    raise(SIGUSR2);
    if (calls < 5)
        raise(signo); /* blocked until this one returns */
    printf("end of handler %d after %d calls\n", signo, calls);
}

static void again(int signo, siginfo_t *info, void *context)
{
    tell(signo, info, context);
    if (calls < 3)
        raise(signo);
    printf("end of %d\n", signo);
}

static void ordinary(void)
{
    set(SIGUSR1, tell, 0);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    set(SIGUSR2, tell, 0);
    set(SIGHUP, nested, 0);
    raise(SIGHUP);
    calls = 0;
    set(SIGHUP, again, SA_NODEFER);
    raise(SIGHUP);
    set(SIGHUP, tell, SA_RESETHAND);
    raise(SIGHUP);
    struct sigaction now;
    sigaction(SIGHUP, NULL, &now);
    printf("reset: %d, blocked %lx\n", now.sa_handler == SIG_DFL, blocked());
}

static volatile int order[8], ordered;

static void remember(int signo, siginfo_t *info, void *context)
{
    (void)context;
    order[ordered++] = signo * 100 + info->si_value.sival_int;
}

static void queued(void)
{
    const int signals[] = {SIGRTMIN + 1, SIGRTMIN, SIGRTMIN + 1};
    sigset_t all, old;

    for (int i = 0; i < 3; i++)
        set(signals[i], remember, 0);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < 3; i++)
        sigqueue(getpid(), signals[i], (union sigval){.sival_int = i});
    sigprocmask(SIG_SETMASK, &old, NULL);
    for (int i = 0; i < ordered; i++)
        printf("queued %d\n", order[i] - SIGRTMIN * 100);
    sigprocmask(SIG_SETMASK, &all, &old);
    kill(getpid(), SIGUSR1);
    sigemptyset(&all);
    int result = sigsuspend(&all);
    printf("suspend %d %d", result, errno == EINTR);
    printf(", blocked %lx\n", blocked());
    sigprocmask(SIG_SETMASK, &old, NULL);
}

/* ---- the alternate stack ------------------------------------------------- */

static char other[64 << 10];

static void on_other(int signo, siginfo_t *info, void *context)
{
    stack_t stack;
    char here;

    (void)context;
    sigaltstack(NULL, &stack);
    printf("signal %d code %d on the other stack %d, flags %d, change refused %d\n", signo,
           info->si_code, &here >= other && &here < other + sizeof other, stack.ss_flags,
           sigaltstack(&stack, NULL));
    if (signo == SIGSEGV)
        siglongjmp(back, 1);
}

static int deeper(int depth)
{
    volatile char frame[4096];

    frame[0] = (char)depth;
    return depth < 0 ? 0 : deeper(depth + 1) + frame[0];
}

static void stacks(void)
{
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other}, now;

    printf("set %d\n", sigaltstack(&stack, NULL));
    set(SIGUSR1, on_other, SA_ONSTACK);
    raise(SIGUSR1);
    set(SIGUSR1, tell, 0);
    raise(SIGUSR1);
    set(SIGSEGV, on_other, SA_ONSTACK);
    for (int i = 0; i < 3; i++) {
        if (!sigsetjmp(back, 1))
            deeper(0);
        sigaltstack(NULL, &now);
        printf("overflow %d survived, blocked %lx, flags %d\n", i, blocked(), now.ss_flags);
    }
    /* A stack that is nowhere: the frame cannot be pushed, and that is a SIGSEGV of its own. */
    if (!sigsetjmp(back, 1))
        __asm__ volatile("mov $16, %%rsp\n syscall\n ud2"
                         :
                         : "a"(SYS_kill), "D"(getpid()), "S"(SIGUSR1)
                         : "rcx", "r11", "memory");
    printf("no stack survived\n");
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
}

/* ---- faults -------------------------------------------------------------- */

static void fault(int signo, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

    printf("  signal %d code %d addr %d trap %d, blocked %lx\n", signo, info->si_code,
           info->si_addr == (void *)regs[REG_RIP]   ? 1
           : info->si_addr == (void *)regs[REG_RDI] ? 2
           : info->si_addr == NULL                  ? 0
                                                    : 3,
           (int)regs[REG_TRAPNO], blocked());
    if (regs[REG_TRAPNO] == 14)
        printf("  error %d cr2 is addr %d\n", (int)regs[REG_ERR],
               (void *)regs[REG_CR2] == info->si_addr);
    siglongjmp(back, 1);
}

#define FAULT(name, code)        \
    do {                         \
        printf("%s\n", name);    \
        if (!sigsetjmp(back, 1)) \
            code;                \
    } while (0)

static void touch(void *at, int write)
{
    if (write)
        __asm__ volatile("movb $1, (%0)" : : "D"(at) : "memory");
    else
        __asm__ volatile("movb (%0), %%al" : : "D"(at) : "memory", "rax");
}

static void divide_vectors(void)
{
    unsigned control = 0x1f80 & ~0x200u; /* not masked: division by zero */

    __asm__ volatile(
        "ldmxcsr %0\n xorps %%xmm1, %%xmm1\n pcmpeqd %%xmm0, %%xmm0\n psrld $25, %%xmm0\n"
        "pslld $23, %%xmm0\n divps %%xmm1, %%xmm0"
        :
        : "m"(control)
        : "xmm0", "xmm1");
}

static void divide_x87(void)
{
    unsigned short control = 0x37f & ~4u;

    __asm__ volatile("fninit\n fldcw %0\n fld1\n fldz\n fdivrp\n fwait" : : "m"(control));
}

static void faults(void)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

    for (int i = 0; i < 5; i++)
        set(signals[i], fault, 0);
    page[0] = (char)0xc3;
    page[4096] = (char)0xc3;
    FAULT("null", touch(NULL, 0));
    FAULT("null, written", touch(NULL, 1));
    FAULT("not canonical", touch((void *)(1ull << 63), 0));
    mprotect(page, 8192, PROT_READ);
    FAULT("read-only", touch(page + 4096, 1));
    FAULT("not executable", ((void (*)(void *))page)(page));
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    FAULT("executable", ((void (*)(void *))page)(page));
    FAULT("not executable, beside code", ((void (*)(void *))(page + 4096))(page));
    mprotect(page, 8192, PROT_NONE);
    FAULT("no rights", touch(page, 0));
    munmap(page, 8192);
    FAULT("not mapped", touch(page, 1));
    FAULT("division", __asm__ volatile("xor %%ecx, %%ecx\n div %%ecx" : : : "rax", "rcx", "rdx"));
    FAULT("invalid", __asm__ volatile("ud2"));
    FAULT("breakpoint", __asm__ volatile("int3"));
    FAULT("privileged", __asm__ volatile("hlt"));
    FAULT("vectors", divide_vectors());
    FAULT("x87", divide_x87());
    __asm__ volatile("fninit");
}

/* ---- registers that a handler sees and changes --------------------------- */

static void skip(int signo, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)info;
    printf("signal %d: rax %llx rdi %llx r8 %llx r15 %llx rbp %llx\n", signo, regs[REG_RAX],
           regs[REG_RDI], regs[REG_R8], regs[REG_R15], regs[REG_RBP]);
    regs[REG_RAX] = 42;
    regs[REG_R15] = 43;
    regs[REG_EFL] |= 1; /* carry */
    regs[REG_RIP] += 3; /* mov (%rdi), %rax */
}

static void clobber(int signo, siginfo_t *info, void *context)
{
    unsigned control;
    unsigned short x87;

    (void)signo, (void)info, (void)context;
    __asm__ volatile("stmxcsr %0\n fnstcw %1" : "=m"(control), "=m"(x87));
    printf("in a handler: mxcsr %x, x87 %x\n", control, x87);
    __asm__ volatile("pxor %%xmm0, %%xmm0\n pxor %%xmm7, %%xmm7\n pxor %%xmm15, %%xmm15\n fldpi"
                     :
                     :
                     : "xmm0", "xmm7", "xmm15");
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall" : : : "memory");
}

/* Sends itself a signal by bare instructions, with known vectors and bytes below the stack
 * pointer. */
__attribute__((target("avx"))) static void vectors(void)
{
    static _Alignas(32) unsigned char in[3][32], out[3][32];
    unsigned control = 0x9fc0, after;
    long self = getpid(), red = 0;

    for (int i = 0; i < 96; i++)
        ((unsigned char *)in)[i] = (unsigned char)(i + 1);
    __asm__ volatile(
        "ldmxcsr %[control]\n vmovdqa (%[in]), %%ymm0\n vmovdqa 32(%[in]), %%ymm7\n"
        "vmovdqa 64(%[in]), %%ymm15\n movq $0x1234567, -128(%%rsp)\n syscall\n"
        "movq -128(%%rsp), %[red]\n vmovdqa %%ymm0, (%[out])\n vmovdqa %%ymm7, 32(%[out])\n"
        "vmovdqa %%ymm15, 64(%[out])\n stmxcsr %[after]"
        : [red] "=&r"(red), [after] "=m"(after)
        : [in] "r"(in), [out] "r"(out), [control] "m"(control), "a"(SYS_kill), "D"(self),
          "S"(SIGUSR1)
        : "rcx", "r11", "memory", "xmm0", "xmm7", "xmm15");
    printf("vectors kept %d, mxcsr %x, red zone %lx\n", !memcmp(in, out, sizeof in), after, red);
    control = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(control));
}

static void change_vectors(int signo, siginfo_t *info, void *context)
{
    ucontext_t *user = context;
    uint32_t *note = (uint32_t *)((char *)user->uc_mcontext.fpregs + 464);

    (void)signo, (void)info;
    user->uc_mcontext.fpregs->_xmm[3].element[0] = 0x77;
    sigaddset(&user->uc_sigmask, SIGWINCH);
    printf("magic %x, end %x\n", note[0],
           note[0] ? *(uint32_t *)((char *)user->uc_mcontext.fpregs + note[4]) : 0);
}

static void registers(void)
{
    unsigned long rax = 7, r15, carry;
    long self = getpid();
    int xmm;

    set(SIGSEGV, skip, 0);
    __asm__ volatile(
        "mov $0x8888, %%r8\n mov $0x1515, %%r15\n mov $5, %%rax\n clc\n mov (%%rdi), %%rax\n"
        "sbb %%rcx, %%rcx\n mov %%r15, %%rdx"
        : "=a"(rax), "=c"(carry), "=d"(r15)
        : "D"(0x10)
        : "r8", "r15", "memory");
    printf("after: rax %lu r15 %lu carry %lu\n", rax, r15, carry & 1);
    set(SIGUSR1, clobber, 0);
    if (__builtin_cpu_supports("avx"))
        vectors();
    set(SIGUSR1, change_vectors, 0);
    __asm__ volatile("pxor %%xmm3, %%xmm3\n syscall\n movd %%xmm3, %%eax"
                     : "=a"(xmm)
                     : "a"(SYS_kill), "D"(self), "S"(SIGUSR1)
                     : "rcx", "r11", "memory", "xmm3");
    printf("changed %x, blocked %lx\n", xmm, blocked());
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1 && !strcmp(argv[1], "blocked")) { /* a fault that is blocked ends the program */
        sigset_t all;
        sigfillset(&all);
        set(SIGSEGV, tell, 0);
        sigprocmask(SIG_SETMASK, &all, NULL);
        touch(NULL, 0);
    }
    if (argc > 1 && !strcmp(argv[1], "nowhere")) { /* so does one without a stack for its frame */
        set(SIGSEGV, tell, 0);
        __asm__ volatile("mov $16, %rsp\n push %rax");
    }
    ordinary();
    queued();
    stacks();
    faults();
    registers();
    return 0;
}
