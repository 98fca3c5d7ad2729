/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An endpoint: one side of message traffic, a VM or the host's end of a
 * link. It owns the queue of messages that arrived, what it was lent, and the notes
 * of loans that came home. All of it is private memory; for a VM the same
 * is shown to the guest in its control structure (claims 3, 8).
 *
 * Lock order: engine->lock, then a stream's lock, then one endpoint's lock or
 * the ledger's; no two of the last kind are ever held together. The memory of an endpoint is
 * not freed before its engine, so a pointer to one never dangles; `live` says whether it
 * still takes part. It becomes another endpoint when no link leads to it any more.
 */
#ifndef FERRY_HOST_ENDPOINT_H
#define FERRY_HOST_ENDPOINT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ferry/abi/control.h>
#include <ferry/abi/direct.h>
#include <ferry/ferry.h>

#include "ledger.h"
#include "page_table.h"

struct ferry_engine;
struct ferry_vm;
struct stream;

/* What a sender waits for at the receiver. Two threads may send over one link: its VM's, and one
 * that sends its plain output. */
enum {
    PARKED_PAYLOAD = 1, /* an entry of the queue, and one of the link's messages in flight */
    PARKED_INLINE = 2,  /* an entry of the queue, and part of the link's share of them */
    PARKED_TOKEN = 4,   /* as for a payload, and a token */
    PARKED_SHARE = 8,   /* the right to own so many more units, for a MOVE */
};

/* The right to send from one endpoint to another, and its figures. */
struct ferry_link {
    struct ferry_engine *engine;
    struct endpoint *from, *to;
    bool stream;
    uint32_t max_messages;
    struct ferry_peer *shown_to_sender;   /* `to` as the guest `from` sees it, or NULL */
    struct ferry_peer *shown_to_receiver; /* `from` as the guest `to` sees it, or NULL */
    const struct ferry_direct *direct;    /* the VMM's view of its direct ring, or NULL */
    uint32_t place;                       /* in to->in[] */
    atomic_uint callers;  /* threads in a call of the host on it; see LINK_CLOSING */
    bool given_up;        /* by the embedder; under the engine's lock */
    atomic_uint sequence; /* numbers its messages */
    atomic_bool wanted;   /* the receiver has looked for messages of it */
    /* Under to->lock: */
    uint32_t in_flight;        /* with a payload: reserved, queued or held, not yet released */
    uint32_t inline_in_flight; /* in descriptors alone: queued */
    bool hung_up;              /* the sender said it was the last */
    uint8_t parked;            /* for which of PARKED_* the sender waits for room */
    bool wants_pages;          /* PARKED_SHARE: 4 KiB units, not extents */
    uint32_t wants_units;      /* PARKED_SHARE: how many */
    /* Figures, added to by both sides: */
    atomic_ullong bytes_taken;
    atomic_ullong messages, bytes_handed_over, bytes_copied, bytes_inline;
    atomic_ullong pages_4k, extents_2m, table_calls, shoot_downs;
    atomic_ullong bytes_cleared;
};

enum held_state {
    HELD_FREE,
    HELD_PROMISED, /* to a message that is being performed */
    HELD_QUEUED,
    HELD_TAKEN,   /* by the guest, or the host: it may release it */
    HELD_READ,    /* by the VMM, for plain reads: the guest cannot release it */
    HELD_LEAVING, /* one thread is releasing it or passing it on */
    HELD_STUCK,   /* released, but could not be closed: the next look tries again */
};

/* A payload the endpoint has until it releases it; its index is the token. */
struct held {
    enum held_state state;
    struct ferry_link *link;
    bool lent; /* units to bring home; else a landing slot */
    struct units units;
    uint64_t offset, bytes; /* of the payload, which alone may pass on */
};

struct endpoint {
    /* These stay when the endpoint is retired: its memory is used for another endpoint, and is freed
     * with the engine only. A thread that comes late, by an index or to wake it, may so find an
     * endpoint that it does not mean, but always an endpoint. */
    struct endpoint *next_made; /* links all that were ever made; the engine's */
    struct endpoint *next_spare;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* users, leaving */
    atomic_uint events;     /* counts up whenever there may be something new: a futex */
    atomic_bool asleep;     /* somebody waits on it */

    /* All from here to `queue` is zero when an endpoint begins. */
    struct ferry_engine *engine;
    bool retired;        /* no thread acts for it any more, for good; under the engine's lock */
    struct ferry_vm *vm; /* NULL: the host */
    uint16_t index;      /* what the ledger calls it */
    uint16_t id;         /* what peers call it; 0: the host */
    uint32_t generation;
    char name[FERRY_NAME_BYTES];
    struct image *image; /* what it runs, the engine's; NULL: nothing, as the host */

    struct window window;
    char *landing;                 /* FERRY_TOKENS slots of FERRY_COPY_BYTES */
    uint64_t landing_addr;         /* as its messages name it */
    uint32_t landed[FERRY_TOKENS]; /* bytes from the start of each slot that may hold something */
    uint64_t window_addr;          /* likewise */
    struct ferry_control *control; /* NULL: the host */

    /* Links, fixed before any VM starts. */
    struct ferry_link *out[FERRY_PEERS_MAX], *in[FERRY_PEERS_MAX];
    uint32_t out_count, in_count;
    struct ferry_link *stream_in, *stream_out;
    struct stream *byte_stream; /* of a VM: buffers of its plain reads and writes */
    enum ferry_delivery delivery;
    enum ferry_transfer transfer;
    uint32_t most_extents, most_pages; /* it may own */

    atomic_bool waiting;      /* blocked: a hint to senders, no promise */
    atomic_bool wants_direct; /* blocked until one of its direct rings holds something */
    atomic_bool stopping;
    /* Under lock: */
    bool live;
    bool settled;      /* it has ended, and owns and holds nothing for good */
    uint32_t users;    /* others in the middle of a change to it */
    uint32_t leaving;  /* tokens that are being released */
    bool still;        /* no release may begin: what it holds is being read */
    bool skipped;      /* somebody wanted to meanwhile */
    uint32_t promised; /* queue entries reserved, not yet filled */
    uint32_t in_head, in_tail, release_tail;
    struct held held[FERRY_TOKENS];
    uint32_t home_head, home_tail;
    uint32_t loans; /* lent out and not come home */
    bool over;      /* its program has ended: nobody takes note of what comes home */
    struct units home[FERRY_TOKENS];
    /* Of the VM's own thread: */
    uint32_t out_tail;
    bool out_parked; /* the next descriptor waits for room */

    atomic_ullong messages_sent, messages_received;

    struct ferry_desc queue[FERRY_RING_ENTRIES]; /* between in_tail and in_head, under lock */
    uint8_t queue_link[FERRY_RING_ENTRIES];      /* index of in[] */
};

/* Once for this memory, which is zeroed: initialises what stays when an endpoint is retired. */
int endpoint_init(struct endpoint *endpoint);
void endpoint_fini(struct endpoint *endpoint);
/* A new endpoint begins in this memory. Under the engine's lock. */
void endpoint_begin(struct endpoint *endpoint, struct ferry_engine *engine, uint16_t index);

/* Keeps it from being torn down for the length of a change by another thread;
 * false: it is no more. */
bool endpoint_enter(struct endpoint *endpoint);
void endpoint_leave(struct endpoint *endpoint);

static inline void endpoint_lock(struct endpoint *endpoint)
{
    pthread_mutex_lock(&endpoint->lock);
}

static inline void endpoint_unlock(struct endpoint *endpoint)
{
    pthread_mutex_unlock(&endpoint->lock);
}

/* --- waiting --- */

/* The pattern: seen = prepare(); if what is waited for holds, finish() and go
 * on, else block(seen) and look again. prepare() also makes senders that gather
 * plain output for this endpoint send it. */
uint32_t endpoint_prepare(struct endpoint *endpoint);
void endpoint_finish(struct endpoint *endpoint);
/* Shows senders what it waits for: FERRY_WAITS*. Part of prepare and finish. */
void endpoint_show_waiting(struct endpoint *endpoint, uint32_t waiting);
/* -EINTR: told to stop; -ETIMEDOUT: deadline (CLOCK_MONOTONIC, UINT64_MAX: none). */
int endpoint_block(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns);
/* There may be something new for whoever waits. Any lock may be held; one system call at most,
 * and only if somebody sleeps. */
void endpoint_wake(struct endpoint *endpoint);

/* Takes the link out of the tables of both ends. No thread uses the link. Under the engine's lock. */
void link_disconnect(struct ferry_link *link);
/* Ends the host's ends of all links of a VM that is being destroyed; calls on them return. */
void link_close_all(struct endpoint *endpoint);
/* To be called around each call of the host on a link; false: the link is being destroyed. */
bool link_enter(struct ferry_link *link);
void link_leave(struct ferry_link *link);

/* No more takes part: hangs up its links, brings home what it was lent, leaves what it
 * owned to the pool. Its own thread, or the thread that owns it, once. */
void endpoint_shutdown(struct endpoint *endpoint);

#endif
