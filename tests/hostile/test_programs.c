/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks by instructions, signals, files and time. */
#include <signal.h>

#include "frame.h"

#define CRASH(what, code, signal, words)                                                    \
    {                                                                                       \
        .name = (what), .program = "instruction", .args = {code}, .how = FERRY_ENDED_CRASH, \
        .status = 128 + (signal), .report = (words)                                         \
    }

int main(void)
{
    static const struct attack attacks[] = {
        {.name = "the search finds nothing", .program = "search_finds", .args = {"nothing"}},
        {.name = "paths and links that lead out", .program = "escapes", .files = true},
        {.name = "forged frames of signals", .program = "hostile_frames", .args = {"7"}},
        {.name = "forged words of files that it writes",
         .program = "writes",
         .args = {"forge", "300", "/tmp"}},
        {.name = "a program that spins",
         .program = "spin",
         .how = FERRY_ENDED_TIMEOUT,
         .timeout_ms = 200,
         .report = "0.2 s"},
        {.name = "a store to what the VMM tells of it",
         .program = "control_page",
         .args = {"0"},
         .how = FERRY_ENDED_CRASH,
         .status = 128 + SIGSEGV,
         .report = "wrote to"},
        {.name = "a store to what the VMM counts",
         .program = "control_page",
         .args = {"1"},
         .how = FERRY_ENDED_CRASH,
         .status = 128 + SIGSEGV,
         .report = "wrote to"},
        CRASH("hlt", "f4", SIGSEGV, "general protection"),
        CRASH("wrmsr", "0f30", SIGSEGV, "general protection"),
        CRASH("mov to cr3", "0f22d8", SIGSEGV, "general protection"),
        CRASH("lgdt", "0f0110", SIGSEGV, "general protection"),
        CRASH("lldt", "0f00d0", SIGSEGV, "general protection"),
        CRASH("xsetbv", "0f01d1", SIGSEGV, "general protection"),
        CRASH("a port of nobody", "e680", SIGSEGV, "port"),
        {.name = "an interrupt of a device",
         .program = "instruction",
         .args = {"cd20"},
         .how = FERRY_ENDED_CRASH,
         .status = 128 + SIGSEGV,
         .report = "interrupt",
         .lab_status = 77},
        {.name = "the vector of double faults",
         .program = "instruction",
         .args = {"cd08"},
         .how = FERRY_ENDED_CRASH,
         .status = 128 + SIGSEGV,
         .report = "interrupt",
         .lab_status = 77},
        /* The handler that searches has taken the signal, and the program goes on behind it. */
        {.name = "int3", .program = "instruction", .args = {"cc"}, .status = 77},
        CRASH("the trap flag", "9c58480d00010000509d90", SIGTRAP, NULL),
        CRASH("no instruction", "0f0b", SIGILL, NULL),
        {.name = "a stack that cannot be",
         .program = "instruction",
         .args = {"48bc000000000000008050"},
         .how = FERRY_ENDED_CRASH,
         .status = 128 + SIGBUS,
         .lab_signo = SIGSEGV},
    };

    return run_attacks(attacks, sizeof attacks / sizeof *attacks);
}
