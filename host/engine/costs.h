/* SPDX-License-Identifier: BSD-2-Clause */
/* What exit, hand-over, first touch and copy cost on this machine, and the crossover that follows. */
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
#define COSTS_IN_FLIGHT 16u /* of a link, unless its maker says otherwise */

/* The length up to which a payload is cheaper to copy; at most an extent. From VM to VM: with
 * the host at one end a loan costs less, but so does the copy, which then fills the cache that
 * its reader uses. */
uint64_t costs_crossover(const struct costs *costs, bool huge);

#endif
