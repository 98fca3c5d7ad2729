/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Perform: hands checked messages over, each all or nothing (claims 1, 4, 6, 7). Runs without KVM.
 */
#ifndef FERRY_HOST_PERFORM_H
#define FERRY_HOST_PERFORM_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/link.h"
#include "pool/ledger.h"

/* A checked message. The guest cannot change anything in it any more. */
struct transfer {
    struct ferry_link *link;
    enum ferry_mode mode;
    uint8_t inline_bytes;
    bool wants_completion; /* LEND: the sender wants a completion when it comes home */
    bool forwards;         /* LEND: forwards the loan of `token`, which the VMM is reading */
    bool kept;             /* LEND: of an extent that the VMM keeps: closed to the sender already */
    bool clear;            /* LEND, MOVE: the units may hold more than zeros beside the payload */
    uint32_t token;
    uint32_t turn; /* see struct ferry_desc */
    uint64_t tag;
    struct reach source;       /* COPY: readable until perform returns */
    struct pool_offset offset; /* LEND, MOVE: of the payload */
    uint64_t bytes;
    struct units units; /* LEND, MOVE */
    uint8_t data[FERRY_INLINE_BYTES];
    /* Of perform: */
    uint32_t receiver_token;     /* the receiver's token, of a COPY or LEND */
    uint32_t message;            /* its number on the link */
    bool completion_reserved;    /* an entry of the completion ring is reserved */
    int64_t forwarded_token;     /* token of the sender whose loan is forwarded; -1: none */
    enum unit_state prior_state; /* LENT if so, else OWNED */
};

/* Most messages that are performed together: their descriptors are on the stack. */
#define PERFORM_MOST 64u

/* Hands one message over. -EAGAIN: no room now (nothing changed; the sender is woken when there may
 * be room); -EPIPE; -EPERM: not the sender's units; -ENOMEM: the page tables cannot be updated. */
int perform_one(struct transfer *transfer);

/* Whether `next`, sent after `last`, may be performed together with it: of one link and mode,
 * payloads that change hands side by side. */
bool perform_joins(const struct transfer *last, const struct transfer *next);
/* Hands over a run of messages in order, each all or nothing. *done: how many were handed over.
 * Returns 0 if all were, or if the rest can be tried again at once; else the error, as above, of
 * the first that was not. */
int perform_run(struct transfer *run, uint32_t count, uint32_t *done);

#endif
