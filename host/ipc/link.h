/* SPDX-License-Identifier: BSD-2-Clause */
/* A link: the right to send from one endpoint to another, and its figures. */
#ifndef FERRY_HOST_LINK_H
#define FERRY_HOST_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ferry/abi/control.h>
#include <ferry/abi/direct.h>

#include "ipc/endpoint.h"

/* What a parked sender waits for at the receiver. Two threads may send over one link: the one of
 * its VM, and one that sends its plain output. */
enum {
    PARKED_PAYLOAD = 1, /* an entry of the queue, and one of the link's messages in flight */
    PARKED_INLINE = 2,  /* an entry of the queue, and part of the link's share of them */
    PARKED_TOKEN = 4,   /* as for a payload, and a token */
    PARKED_SHARE = 8,   /* the right to own so many more units, for a MOVE */
};

/* The messages that a link may have in flight unless its maker chooses another number. */
#define LINK_MESSAGES_DEFAULT 16u

struct ferry_link {
    struct exchange *exchange;
    struct endpoint *from, *to;
    void *user; /* the embedder's */
    bool stream;
    uint32_t max_messages;
    struct ferry_peer *sender_peer_entry;   /* `to` as the guest `from` sees it, or NULL */
    struct ferry_peer *receiver_peer_entry; /* `from` as the guest `to` sees it, or NULL */
    uint32_t *sender_waited; /* where the guest kernel of `from` sees that `to` waits, or NULL */
    const struct ferry_direct *direct; /* the VMM's view of its direct ring, or NULL */
    uint32_t index;                    /* in to->in[] */
    atomic_uint callers;               /* threads in a call of the host on it; see link_close */
    bool given_up;                     /* by the embedder; under the exchange's lock */
    atomic_uint sequence;              /* numbers its messages */
    atomic_bool wanted;                /* the receiver has looked for messages of it */
    /* Under to->lock: */
    uint32_t in_flight;        /* with a payload: reserved, queued or held, not yet released */
    uint32_t inline_in_flight; /* in descriptors alone: queued */
    bool hung_up;              /* the sender said it was the last */
    bool unread;               /* a message was to be sent that nobody would read */
    uint8_t parked;            /* for which of PARKED_* the sender waits for room */
    bool wants_pages;          /* PARKED_SHARE: 4 KiB units, not extents */
    uint32_t wants_units;      /* PARKED_SHARE: how many */
    /* Figures, added to by both sides: */
    atomic_ullong bytes_taken;
    atomic_ullong messages, bytes_handed_over, bytes_copied, bytes_inline;
    atomic_ullong pages_4k, extents_2m, table_calls, shoot_downs;
    atomic_ullong bytes_cleared;
};

/* Every call of the host on a link is between these two; false: the link is being destroyed. */
bool link_enter(struct ferry_link *link);
void link_leave(struct ferry_link *link);
/* From now on no call may begin; returns when none is under way. Wake threads that wait first. */
void link_close(struct ferry_link *link);

/* Enters the link into the tables of both ends, where there is room. Neither runs yet. */
void link_connect(struct ferry_link *link);
/* Takes the link out of the tables of both ends. No thread uses the link. Under the exchange's
 * lock. */
void link_disconnect(struct ferry_link *link);
/* Frees it, and its ring if it has one. */
void link_free(struct ferry_link *link);

#endif
