/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modes of a message as a table of traits: what a message carries, and what happens to it. Code
 * that checks, hands over, queues and takes messages asks for traits, not for modes.
 */
#ifndef FERRY_HOST_MODE_H
#define FERRY_HOST_MODE_H

#include <stdbool.h>

#include <ferry/abi/message.h>

enum mode_carries {
    MODE_NOTHING,
    MODE_INLINE, /* bytes in the descriptor */
    MODE_COPY,   /* bytes that the VMM copies */
    MODE_UNITS,  /* whole units, by a page-table update */
};

struct mode {
    enum mode_carries carries;
    bool has_token; /* the receiver has the payload until it gives its token back */
    bool moves;     /* the receiver owns the units from then on; else they come home */
    bool is_last;   /* nothing follows on the link; an entry of the queue is always kept for it */
};

/* The traits of a mode; NULL: there is no such mode. */
const struct mode *mode_of(int mode);

/* Whether it carries something outside of its descriptor, which struct ferry_payload describes. */
static inline bool mode_has_payload(const struct mode *mode)
{
    return mode->carries == MODE_COPY || mode->carries == MODE_UNITS;
}

/* Whether units come home to their owner. */
static inline bool mode_lends(const struct mode *mode)
{
    return mode->carries == MODE_UNITS && !mode->moves;
}

#endif
