/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Payloads that an endpoint holds by token, and loans: releasing them, forwarding them, and the
 * completion for their owner when they come home. Only the thread that claimed the token of a loan
 * may hand its units over.
 */
#ifndef FERRY_HOST_LOAN_H
#define FERRY_HOST_LOAN_H

#include "ipc/endpoint.h"

/* Reads what the guest published: the entries it took, the tokens it released, the completions it
 * took; performs the releases. Any thread. */
void loan_collect(struct endpoint *endpoint);
/* The same; takes no lock if the guest published nothing since the last call. On the thread that
 * serves the VM. */
void loan_collect_new(struct endpoint *endpoint);
/* Between these two calls no loan that the endpoint holds goes home: it holds whatever the ledger
 * says it holds, even if its guest runs and releases. The first waits until no other thread is in
 * the middle of a release for the endpoint; the second performs releases that were deferred
 * meanwhile. Only the thread that drains the endpoint's rings calls them, one thread at a time. */
void loan_freeze_releases(struct endpoint *endpoint);
void loan_thaw_releases(struct endpoint *endpoint);

/* Releases one token; -EINVAL: it is not held. */
int loan_release(struct endpoint *endpoint, uint32_t token);
/* Releases all tokens of an endpoint that takes part no more or rests, and whose window is gone or
 * closed. */
void loan_release_all(struct endpoint *endpoint);

/* Claims the token whose payload is exactly this part of the pool, so that nobody else
 * releases it; -1: there is none. */
int64_t loan_claim(struct endpoint *endpoint, struct pool_offset offset, uint64_t bytes);
/* Claims a token that the VMM is reading; no other thread can. */
int64_t loan_claim_read(struct endpoint *endpoint, uint32_t token);
/* Undoes a claim: the token is HELD_TAKEN or HELD_READ again. */
void loan_unclaim(struct endpoint *endpoint, uint32_t token, enum held_state state);
/* Frees a claimed token whose loan was forwarded: its link has room again. */
void loan_forward(struct endpoint *endpoint, uint32_t token);

/* Whether a loan of any of these units was released and may go home at any moment. Other loans stay
 * while the guest does not run or releases are frozen. */
bool loan_is_leaving(struct endpoint *endpoint, struct units units);

/* Reserves an entry of the completion ring for one more loan; false: there is none now. */
bool loan_reserve(struct endpoint *endpoint);
void loan_unreserve(struct endpoint *endpoint);
/* The program has ended and reads no completions: from now on there is room for any number. */
void loan_ignore_completions(struct endpoint *endpoint);
/* The program has ended and nobody begins to send to it: brings home the loans that it had, or was to get, but
 * those that messages in its out ring are sent from. Their owners may wait for them, and it waits for
 * these to take its messages. On the thread that serves the VM. */
void loan_let_go(struct endpoint *endpoint);

#endif
