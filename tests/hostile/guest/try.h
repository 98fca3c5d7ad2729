/* SPDX-License-Identifier: BSD-2-Clause */
/* Machine code that is tried, and the signal that ends it. */
#ifndef FERRY_TESTS_HOSTILE_TRY_H
#define FERRY_TESTS_HOSTILE_TRY_H

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "guest.h"

static sigjmp_buf try_back;
static unsigned char *try_code;
/* How often one try came back; a program that says so ends well when it is too often. */
static unsigned try_bounces, try_bounces_max;

/* What a try may leave: the alignment flag, rules of floating point. */
static void try_repair(void)
{
    const unsigned control = 0x1f80;

    __asm__ volatile("pushf; andl $~0x40000, (%%rsp); popf; cld; fninit; ldmxcsr %0"
                     :
                     : "m"(control)
                     : "cc");
}

static void try_signal(int signo)
{
    if (++try_bounces == try_bounces_max)
        _exit(0);
    try_repair();
    siglongjmp(try_back, signo);
}

static void try_prepare(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    static char stack[64 << 10];
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    const struct sigaction action = {.sa_handler = try_signal, .sa_flags = SA_ONSTACK};

    try_code = mmap(NULL, FERRY_PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (try_code == MAP_FAILED)
        fail("no memory to run code in");
    sigaltstack(&other, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

/* Code in hexadecimal, and a return behind it. */
static void try_put(const char *hex)
{
    size_t bytes = 0;

    for (; hex[0] && hex[1]; hex += 2)
        try_code[bytes++] = (unsigned char)strtoul((char[3]){hex[0], hex[1]}, NULL, 16);
    try_code[bytes] = 0xc3;
}

struct try_registers {
    uint64_t rax, rcx, rdx, rdi, rsi;
};

/* The signal that it takes, or 0. */
static int try_run(struct try_registers with)
{
    int signo = sigsetjmp(try_back, 1);

    if (signo)
        return signo;
    try_bounces = 0;
    __asm__ volatile("push %%rbp; call *%[code]; pop %%rbp"
                     : "+a"(with.rax), "+c"(with.rcx), "+d"(with.rdx), "+D"(with.rdi),
                       "+S"(with.rsi)
                     : [code] "b"(try_code)
                     : "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
    try_repair();
    return 0;
}

#endif
