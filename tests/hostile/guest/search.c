/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linked into each attacker's program: when that ends, or crashes, it looks for the secret in all that
 * it can read, and ends with 99 if it is there. What is searched is the whole system area, the window,
 * the published files and rooms and direct rings, and of the program what /proc/self/maps names, by loads of
 * the CPU. The secret comes hidden, so that this program's own memory does not have it.
 */
#include <ferry/abi/kernel.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include "../secret.h"
#include "call.h"
#include "guest.h"

#define FOUND_STATUS 99
#define SYSTEM_BYTES (6ull << 20)

static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
static sigjmp_buf back;
static const char *hidden;

static bool is_secret(const volatile char *at)
{
    for (int i = 0; i < SECRET_BYTES; i++)
        if (secret_hidden(at[i]) != hidden[i])
            return false;
    return true;
}

static void return_from_fault(int signo)
{
    (void)signo;
    siglongjmp(back, 1);
}

static void search_range(uint64_t from, uint64_t bytes)
{
    const volatile char *at = (const volatile char *)from;

    if (sigsetjmp(back, 0))
        return;
    for (uint64_t i = 0; i + SECRET_BYTES <= bytes; i++) {
        if (secret_hidden(at[i]) == hidden[0] && is_secret(at + i)) {
            dprintf(2, "found the secret at %#llx\n", (unsigned long long)(from + i));
            _exit(FOUND_STATUS);
        }
    }
}

/* What has rights of its own unit by unit is searched that way: a fault ends only its unit. */
static void search_units(uint64_t from, uint64_t bytes, uint64_t unit)
{
    for (uint64_t at = 0; at < bytes; at += unit)
        search_range(from + at, unit);
}

/* A line at a time, as the C library may be in any state. */
static void search_program(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long long from, to;
    char line[512], rights[8];

    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%llx-%llx %7s", &from, &to, rights) == 3 && rights[0] == 'r')
            search_range(from, to - from);
    }
    if (maps)
        fclose(maps);
}

static void search(void)
{
    const struct sigaction action = {.sa_handler = return_from_fault,
                                     .sa_flags = SA_NODEFER | SA_ONSTACK};
    const struct ferry_control *control = ferry_control();

    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigaction(faults[i], &action, NULL);
    if (!control)
        return;
    const uint64_t small = control->info.small_bytes;
    search_units(FERRY_WINDOW_BASE, small, FERRY_PAGE_BYTES);
    search_units(FERRY_WINDOW_BASE + small, control->info.window_bytes - small, FERRY_EXTENT_BYTES);
    search_units(FERRY_SYSTEM_BASE, SYSTEM_BYTES, FERRY_PAGE_BYTES);
    search_units(FERRY_CLOCK_ADDR, 4 * FERRY_PAGE_BYTES, FERRY_PAGE_BYTES);
    search_units(FERRY_FILES_BASE, FERRY_FILES_BYTES, FERRY_KERNEL_FILE_BYTES);
    search_units(FERRY_ROOMS_BASE, FERRY_ROOMS_BYTES, FERRY_KERNEL_ROOM_BYTES);
    search_units(FERRY_DIRECT_BASE, FERRY_PEERS_MAX * FERRY_DIRECT_STRIDE, FERRY_DIRECT_STRIDE);
    search_program();
}

/* Then the fault comes again, and ends the program. */
static void search_after_fault(int signo)
{
    (void)signo;
    search();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        signal(faults[i], SIG_DFL);
}

__attribute__((constructor)) static void prepare(void)
{
    static char stack[64 << 10];
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    const struct sigaction action = {.sa_handler = search_after_fault,
                                     .sa_flags = SA_NODEFER | SA_ONSTACK};

    hidden = getenv("HIDDEN");
    if (!hidden)
        return;
    sigaltstack(&other, NULL);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigaction(faults[i], &action, NULL);
}

__attribute__((destructor)) static void search_at_end(void)
{
    if (hidden)
        search();
}
