/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks on the control structure: rings, indexes, tokens, units. */
#include "frame.h"

int main(void)
{
    static const struct attack attacks[] = {
        {.name = "the search finds nothing", .program = "search_finds", .args = {"nothing"}},
        {.name = "the search finds what a peer lends",
         .program = "search_finds",
         .args = {"given"},
         .peer = "gives",
         .status = FOUND_STATUS},
        {.name = "the search finds what is its own",
         .program = "search_finds",
         .args = {"own"},
         .status = FOUND_STATUS},
        {.name = "forged descriptors, indexes, tokens",
         .program = "hostile_ring",
         .args = {"peer"}},
        {.name = "forged descriptors, indexes, tokens, polled",
         .program = "hostile_ring",
         .args = {"peer"},
         .polled = true},
        {.name = "loans in circles, tokens twice",
         .program = "relend",
         .args = {"peer"},
         .peer = "returns"},
        {.name = "to who has ended, to nobody, to itself",
         .program = "numbers",
         .args = {"old"},
         .reborn = true},
        {.name = "threads that change the rings", .program = "hostile_threads", .args = {"peer"}},
        {.name = "threads that change the rings, polled",
         .program = "hostile_threads",
         .args = {"peer"},
         .polled = true},
        {.name = "calls with units not its own", .program = "free_foreign"},
        {.name = "all units that it can get", .program = "pool_hog"},
        {.name = "a storm of doorbells", .program = "storm", .args = {"doorbells"}},
        {.name = "a storm of doorbells, polled",
         .program = "storm",
         .args = {"doorbells"},
         .polled = true},
        {.name = "a storm of messages", .program = "storm", .args = {"messages", "peer"}},
        {.name = "a storm of messages, polled",
         .program = "storm",
         .args = {"messages", "peer"},
         .polled = true},
        {.name = "a touch of the window",
         .program = "touch_window",
         .args = {"beside"},
         .how = FERRY_ENDED_CRASH,
         .status = 128 + 11,
         .report = "of the window, which is not its own"},
    };

    return run_attacks(attacks, sizeof attacks / sizeof *attacks);
}
