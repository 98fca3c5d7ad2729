/* SPDX-License-Identifier: BSD-2-Clause */
/* The costs of exit, hand-over, first touch and copy on this machine, and the crossover that
 * follows. */
#ifndef FERRY_HOST_COSTS_H
#define FERRY_HOST_COSTS_H

#include <stdbool.h>
#include <stdint.h>

#include <ferry/abi/message.h>

struct costs {
    uint64_t exit_ns;     /* one exit and the entry after it; 0: no VM could be made */
    uint64_t handover_ns; /* one extent: opening it in a window, and closing it after its use */
    uint64_t touch_ns;    /* the first touch after opening, without the exit */
    uint64_t copy_ns;     /* one extent, as the payloads of 32 messages */
    bool unsure;          /* other work left no core to keep busy: handover_ns is too small */
};

#define COSTS_PIECES \
    ((unsigned)(FERRY_EXTENT_BYTES / FERRY_COPY_BYTES)) /* messages of one extent */

/* The length up to which a payload is cheaper to copy; at most an extent. It holds from VM to VM.
 * With the host at one end a loan costs less, but so does a copy, which then fills the cache of its
 * reader. */
uint64_t costs_crossover(const struct costs *costs, bool huge);

#endif
