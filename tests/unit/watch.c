/* SPDX-License-Identifier: BSD-2-Clause */
/* Closed pages and single steps. */
#include "watch.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGE_FAULT_WRITE 2
#define TRAP_FLAG        0x100

static struct {
    void *pages;
    size_t bytes;
    watch_fn seen;
    struct sigaction before_fault, before_trap;
} watch;

static void set_rights(int rights)
{
    if (mprotect(watch.pages, watch.bytes, rights) < 0)
        abort();
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t at = (uintptr_t)info->si_addr;

    (void)signo;
    if (at - (uintptr_t)watch.pages >= watch.bytes)
        abort();
    set_rights(PROT_READ | PROT_WRITE);
    watch.seen(at, (regs[REG_ERR] & PAGE_FAULT_WRITE) != 0);
    regs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)info;
    set_rights(PROT_NONE);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

void watch_begin(void *pages, size_t bytes, watch_fn seen)
{
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction trap = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

    watch.pages = pages;
    watch.bytes = bytes;
    watch.seen = seen;
    if (sigaction(SIGSEGV, &fault, &watch.before_fault) < 0 ||
        sigaction(SIGTRAP, &trap, &watch.before_trap) < 0)
        abort();
    set_rights(PROT_NONE);
}

void watch_end(void)
{
    set_rights(PROT_READ | PROT_WRITE);
    sigaction(SIGSEGV, &watch.before_fault, NULL);
    sigaction(SIGTRAP, &watch.before_trap, NULL);
}
