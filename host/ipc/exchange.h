/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The exchange: what endpoints that can talk to each other share, that is the pool, the ledger and
 * the table of endpoints. Every message is between endpoints of one exchange.
 */
#ifndef FERRY_HOST_EXCHANGE_H
#define FERRY_HOST_EXCHANGE_H

#include <stdint.h>

#include <ferry/ferry.h>

#include "lib/lock.h"
#include "pool/ledger.h"
#include "pool/pool.h"

#define ENDPOINTS_MAX LEDGER_OWNERS

struct endpoint;

struct exchange {
    struct pool pool;
    struct ledger ledger;
    uint64_t crossover_bytes; /* a payload that is no longer is cheaper to copy */
    /* Hook: a loan that was released could not be closed, so its maker must call loan_collect again
     * later. Called on any thread, under any lock. NULL: no hook. */
    void (*stuck)(void *arg);
    void *stuck_arg;

    /* All threads read the members above and hardly ever write them; the same holds for
     * endpoints. */
    char pad[64];
    struct lock lock; /* all below */
    uint32_t generation;
    uint32_t free_index_hint; /* all indexes below it are taken */
    uint32_t index_end;       /* no index from here on was ever taken */
    struct endpoint *made, *spare;
    char pad2[64];
    struct endpoint *_Atomic endpoints[ENDPOINTS_MAX]; /* changed under lock, read without */
};

/* In memory that is zeroed. On an error, too, exchange_destroy must follow. */
int exchange_create(struct exchange *exchange, uint32_t pages, uint32_t extents,
                    struct ferry_error *err);
void exchange_destroy(struct exchange *exchange);

static inline struct endpoint *exchange_endpoint(struct exchange *exchange, uint16_t index)
{
    return exchange->endpoints[index];
}

/* A generation that no program had before. -EAGAIN: there is none left. */
int exchange_generation(struct exchange *exchange, uint32_t *generation);
/* A fresh endpoint, not yet linked; `vm` NULL: the host's end of a link. */
int exchange_endpoint_new(struct exchange *exchange, struct ferry_vm *vm, struct endpoint **out);
/* The endpoint was shut down and no thread acts for it any more, so another may have its index.
 * Frees its links to endpoints that are retired too; the memory of an endpoint without links is
 * used again. */
void exchange_endpoint_retire(struct exchange *exchange, struct endpoint *endpoint);
/* Under lock: frees a link that no thread can be using. */
void exchange_link_free(struct exchange *exchange, struct ferry_link *link);

/* Counts the units that are free, owned, lent, and leaked (owned or held by an endpoint that has
 * ended). */
void exchange_count(struct exchange *exchange, struct ferry_ledger *out);

#endif
