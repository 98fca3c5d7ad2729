/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Payloads that an endpoint holds by token, and loans: giving them back,
 * passing them on, and what their owner learns when they come home. Units
 * that were lent change hands only by whoever claimed their token.
 */
#ifndef FERRY_HOST_LOAN_H
#define FERRY_HOST_LOAN_H

#include "ipc/endpoint.h"

/* Reads what the guest published: entries it took, tokens it released, notes
 * of loans it took; performs the releases. Any thread. */
void loan_collect(struct endpoint *endpoint);
/* The same, and no lock is taken if the guest published nothing since the last call. By whoever
 * serves the VM. */
void loan_collect_new(struct endpoint *endpoint);
/* Between the two nothing that it was lent goes home: what the ledger says it holds stays so,
 * also while its guest runs and releases. Waits until no other thread is in the middle of a
 * release for it. What others wanted to release meanwhile loan_thaw_releases does. By whoever drains its
 * rings, one at a time. */
void loan_freeze_releases(struct endpoint *endpoint);
void loan_thaw_releases(struct endpoint *endpoint);

/* Gives back one token; -EINVAL: not held. */
int loan_release(struct endpoint *endpoint, uint32_t token);
/* Gives back all; of an endpoint that takes part no more, after its window is gone. */
void loan_release_all(struct endpoint *endpoint);

/* Claims the token whose payload is exactly this part of the pool, so that nobody else
 * releases it; -1: there is none. */
int64_t loan_claim(struct endpoint *endpoint, uint64_t offset, uint64_t bytes);
/* Claims a token that the VMM is reading; it is the only one who can. */
int64_t loan_claim_read(struct endpoint *endpoint, uint32_t token);
/* Back to HELD_TAKEN or HELD_READ. */
void loan_unclaim(struct endpoint *endpoint, uint32_t token, enum held_state state);
/* Forgets a claimed token whose loan was passed on: its link has room again. */
void loan_forward(struct endpoint *endpoint, uint32_t token);

/* Whether a loan of any of these units was released and may go home at any moment. While the
 * guest does not run, or it is held still, others stay. */
bool loan_is_leaving(struct endpoint *endpoint, struct units units);

/* Room for the note of one more loan that comes home; false: none now. */
bool loan_reserve(struct endpoint *endpoint);
void loan_unreserve(struct endpoint *endpoint);
/* The program has ended and takes no notes: from now on there is room for any number. */
void loan_ignore_notes(struct endpoint *endpoint);

#endif
