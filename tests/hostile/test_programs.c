/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks by instructions, signals, files and time. */
#include <signal.h>

#include "frame.h"

#define CRASH(what, code, signal, words)                                                    \
    {                                                                                       \
        .name = (what), .program = "instruction", .args = {code}, .how = FERRY_ENDED_CRASH, \
        .status = 128 + (signal), .report = (words)                                         \
    }

#define CRASH_EACH(what, codes, words, other)                                                \
    {                                                                                        \
        .name = (what), .program = "instruction", .each = (codes), .how = FERRY_ENDED_CRASH, \
        .status = 128 + SIGSEGV, .report = (words), .or_report = (other)                     \
    }

int main(void)
{
    static const char *const ports[] = {
        /* out, in, string instructions of each width, at ports of PCs and at those of Ferry */
        "e680",
        "e780",
        "66e780",
        "e480",
        "e580",
        "66e580",
        "66baffffee",
        "66ba2000ee",
        "66ba4000ee",
        "66ba6400ec",
        "66ba9200ee",
        "66baf80cef",
        "66bafc0ced",
        "66ba0005ee",
        "66ba0105ee",
        "e7f0",
        "66e7f1",
        "e7f2",
        "66e7f3",
        "e7f4",
        "e4f0",
        "e5f1",
        "e4f2",
        "66e5f3",
        "e4f4",
        "4889e666baf2006f",
        "4889e666baf1006f",
        "4889e6b91000000066baf900f36e",
        "4889e6b91000000066baf000f3666f",
        "4889e766baf0006c",
        "4889e7b91000000066baf400f36d",
        NULL,
    };
    static const char *const storms[] = {"calls", "faults", "threads", "wakes", NULL};
    static const char *const privileged[] = {"f4",     "0f30",   "0f22d8", "0f0110",
                                             "0f00d0", "0f01d1", NULL};
    static const char *const interrupts[] = {"cd20", "cd08", NULL};
    static const struct attack attacks[] = {
        {.name = "the search finds nothing", .program = "search_finds", .args = {"nothing"}},
        {.name = "paths and links that lead out", .program = "escapes", .files = true},
        {.name = "calls with pointers of every kind",
         .program = "pointers",
         .args = {NULL, "1"},
         .files = true},
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
        {.name = "a storm of signals",
         .program = "storm",
         .args = {"signals"},
         .how = FERRY_ENDED_TIMEOUT,
         .timeout_ms = 1000,
         .report = "1 s"},
        {.name = "storms of calls, faults, threads, wakes", .program = "storm", .each = storms},
        {.name = "instructions, one after the other", .program = "instructions"},
        {.name = "accesses beside memory", .program = "edges"},
        {.name = "the guest kernel's words and registers",
         .program = "guest_kernel",
         .files = true,
         .streams = true},
        CRASH_EACH("privileged instructions", privileged, "general protection", NULL),
        /* Of some ports this KVM asks the TSS, where none is allowed. */
        CRASH_EACH("ports", ports, "used a port", "general protection"),
        CRASH("the exit of an exception that was none", "e6f3", SIGSEGV, "exception with no frame"),
        {.name = "interrupts of devices and double faults",
         .program = "instruction",
         .each = interrupts,
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
