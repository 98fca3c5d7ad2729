/* SPDX-License-Identifier: BSD-2-Clause */
/* Handlers that return by damaged frames, thousands of them, by a seed that is given. Whatever a frame
 * says, the program goes on there or takes a signal for it, and is not ended. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "guest.h"

#define ROUNDS 4000

static sigjmp_buf back;
static char other[64 << 10];
static uint64_t state;
static unsigned faults, resumed;
static volatile int mode;

static uint64_t any(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return state >> 17 ^ state << 31;
}

static uint64_t odd_address(void)
{
    static const uint64_t odd[] = {0,
                                   8,
                                   1ull << 47,
                                   (1ull << 47) - 1,
                                   1ull << 63,
                                   0xdead000000000000,
                                   0xffff800000000000,
                                   0xffffffffff600000,
                                   0xffffffffffffffff,
                                   0x1000000000};

    return any() % 4 ? odd[any() % (sizeof odd / sizeof *odd)] : any();
}

static void take_fault(int signo)
{
    (void)signo;
    faults++;
    siglongjmp(back, 1);
}

static void damage_bytes(char *at, size_t bytes)
{
    for (unsigned i = 1 + any() % 16; i; i--)
        at[any() % bytes] = (char)any();
}

/* The notes at the end of the first 512 bytes, and the header after them. */
static void damage_notes(char *vectors)
{
    uint64_t *word = (uint64_t *)(void *)(vectors + 464);

    word[any() % 14] = any() % 2 ? any() : 1ull << any() % 64;
}

static void damage(int signo, siginfo_t *info, void *context)
{
    ucontext_t *user = context;
    greg_t *regs = user->uc_mcontext.gregs;
    char *vectors = (char *)user->uc_mcontext.fpregs;

    (void)signo, (void)info;
    switch (mode) {
    case 0:
        damage_bytes(vectors, *(uint32_t *)(void *)(vectors + 480));
        break;
    case 1:
        damage_notes(vectors);
        break;
    case 2: /* not AC, by which the C library would fault, as it would on the host */
        regs[REG_EFL] = (greg_t)(any() & ~0x40000ull);
        break;
    case 3:
        regs[REG_RIP] = (greg_t)odd_address();
        break;
    case 4:
        regs[REG_RSP] = (greg_t)odd_address();
        for (int i = REG_R8; i <= REG_R15; i++)
            regs[i] = (greg_t)any();
        break;
    case 5:
        regs[REG_CSGSFS] = (greg_t)any();
        user->uc_flags = any();
        break;
    case 6:
        user->uc_mcontext.fpregs =
            (void *)(any() % 2 ? odd_address() : (uint64_t)vectors + any() % 99);
        break;
    default:
        user->uc_stack = (stack_t){
            .ss_sp = (void *)odd_address(), .ss_flags = (int)any(), .ss_size = any() % 100000};
        break;
    }
}

__attribute__((noinline)) static void send_itself(long self)
{
    const unsigned control = 0x1f80;

    __asm__ volatile("syscall\n cld\n fninit\n ldmxcsr %[control]\n push %%rax\n pop %%rax"
                     :
                     : "a"(SYS_kill), "D"(self), "S"(SIGUSR1), [control] "m"(control)
                     : "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc",
                       "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct sigaction action = {.sa_handler = take_fault, .sa_flags = SA_ONSTACK};
    const stack_t stack = {.ss_sp = other, .ss_size = sizeof other};

    state = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    for (int i = 0; i < 5; i++)
        sigaction(signals[i], &action, NULL);
    action = (struct sigaction){.sa_sigaction = damage, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    for (volatile int i = 0; i < ROUNDS; i++) {
        mode = i % 8;
        sigaltstack(&stack, NULL);
        if (sigsetjmp(back, 1))
            continue;
        send_itself(getpid());
        resumed++;
    }
    printf("rounds %u, %s\n", faults + resumed,
           faults > 100 && resumed > 100 ? "both ways" : "one way");
    return 0;
}
