/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The router: decode, then perform. Decode checks one message in private
 * memory, may fail and changes nothing. Perform (perform.c) hands it over, all
 * or nothing (claims 1, 4, 6, 7). Runs without KVM.
 */
#ifndef FERRY_HOST_ROUTE_H
#define FERRY_HOST_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "endpoint.h"

/* A checked message: nothing in it is the guest's to change any more. */
struct transfer {
    struct ferry_link *link;
    enum ferry_mode mode;
    uint8_t inline_bytes;
    bool noted;  /* LEND: the guest or host wants a note when it comes home */
    bool passes; /* LEND: passes on the loan of `token`, which the VMM is reading */
    bool kept;   /* LEND: of an extent that the VMM keeps: closed to the sender already */
    bool clear;  /* LEND, MOVE: what the units hold beside the payload may not be zero */
    uint32_t token;
    uint32_t turn; /* see struct ferry_desc */
    uint64_t tag;
    const void *source; /* COPY: readable until perform returns */
    uint64_t offset;    /* LEND, MOVE: of the payload in the pool */
    uint64_t bytes;
    struct units units; /* LEND, MOVE */
    uint8_t data[FERRY_INLINE_BYTES];
    /* Of perform: */
    uint32_t given;      /* the receiver's token, of a COPY or LEND */
    uint32_t message;    /* its number on the link */
    bool note_kept;      /* room for the note when it comes home */
    int64_t passed;      /* token of the sender whose loan passes on; -1: none */
    enum unit_state had; /* LENT if so, else OWNED */
};

/* Most messages that are performed together: their descriptors are on the stack. */
#define ROUTE_RUN 64u

/* Where the payload of a COPY is: host address of guest [addr, addr + bytes)
 * if the guest may read all of it, else NULL. */
typedef void *(*route_memory_fn)(struct ferry_vm *vm, uint64_t addr, uint64_t bytes, bool write);

/* Checks a descriptor that `from` queued. -EINVAL malformed, -EPERM no link,
 * -EMSGSIZE, -EFAULT payload not the sender's memory. */
int route_decode(struct endpoint *from, const struct ferry_desc *desc, route_memory_fn memory,
                 struct transfer *out);

/* Checks the payload of a LEND or MOVE: sets offset, bytes, units. */
int route_decode_units(struct endpoint *from, uint64_t addr, uint64_t bytes, struct transfer *out);

/* Hands it over. -EAGAIN: no room now (nothing changed; the sender is woken when
 * there may be), -EPIPE, -EPERM (not the sender's units), -ENOMEM (no page-table update possible). */
int route_perform(struct transfer *transfer);

/* Whether `next`, sent after `last`, may be performed together with it: of one link and mode,
 * payloads that change hands side by side. */
bool route_joins(const struct transfer *last, const struct transfer *next);
/* Hands over a run of them, each all or nothing, in order. *done: how many. 0: all are, or the
 * rest can be tried again at once; else as above, of the first that was not. */
int route_perform_run(struct transfer *run, uint32_t count, uint32_t *done);

/* Takes what the guest put into its out ring, in order, until it is empty or
 * a message must wait for room; first what it took and released. Work is
 * bounded by the rings. By whoever has vm->serving.
 * Sets from->out_parked. */
void route_drain(struct endpoint *from, route_memory_fn memory);

/* Whether descriptors wait in the out ring. */
bool route_pending(const struct endpoint *from);

#endif
