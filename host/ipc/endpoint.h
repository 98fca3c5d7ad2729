/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An endpoint: one side of message traffic, a VM or the host's end of a link. It owns the queue of
 * messages that arrived, the payloads it holds by token, and the completions of its loans. All of
 * it is private memory; for a VM a copy is shown to the guest in its control structure (claims 3,
 * 8).
 *
 * Lock order: exchange->lock, then a stream's lock, then one endpoint's lock or the ledger's; no
 * two of the last kind are ever held together. The memory of an endpoint is not freed before its
 * exchange, so a pointer to one never dangles; `live` says whether it still takes part. The memory
 * becomes another endpoint when no link leads to this one any more.
 */
#ifndef FERRY_HOST_ENDPOINT_H
#define FERRY_HOST_ENDPOINT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ferry/abi/control.h>
#include <ferry/ferry.h>

#include "lib/live.h"
#include "lib/lock.h"
#include "pool/page_table.h"
#include "pool/pool.h"

_Static_assert(FERRY_TOKENS == 64, "a word has a bit for each token");

struct exchange;
struct ferry_link;
struct stream;

/* The hooks by which an endpoint calls the byte stream of its VM (plain reads and writes). */
struct endpoint_stream {
    /* A receiver is about to wait: sends the bytes that were gathered for it. Any thread. */
    void (*pull)(struct stream *stream);
    /* A tick: the guest runs, and no thread of it is served. */
    void (*look)(struct stream *stream);
    /* A loan came home. True: it was the stream's. Any thread. */
    bool (*came_home)(struct stream *stream, struct units units);
    /* Whether the VMM itself writes or reads any of the units for it, so that the guest must not
     * give them away. On the thread that serves the VM: its own, or the poller's. */
    bool (*uses)(const struct stream *stream, struct units units);
    /* The endpoint is retired. */
    void (*destroy)(struct stream *stream);
};

/* Where guest [addr, addr + bytes) is in the VMM, if its program may read (write: false) or write
 * all of it, else NULL. */
typedef struct reach (*endpoint_memory_fn)(struct ferry_vm *vm, struct guest_addr addr,
                                           uint64_t bytes, bool write);

/* Whether asking `memory` for these bytes to be read, and reading them, neither waits for a disk nor
 * changes the VM's memory. */
typedef bool (*endpoint_at_hand_fn)(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes);

/* The hooks of a wait on a VM's endpoint: the VM serves other threads of its program meanwhile. */
struct endpoint_waits {
    /* The calling thread gives way. False: it must not wait, since the VM ends. */
    bool (*begin)(struct ferry_vm *vm, void **who);
    /* It has its turn again, as `who`. False: the VM ends. */
    bool (*end)(struct ferry_vm *vm, void *who);
    /* Whether that CPU of the VM is in the guest now; then it is made to exit. */
    bool (*kicks)(struct ferry_vm *vm, uint32_t cpu);
    /* Whether memory that the VM's `memory` gave is still the program's to write, or read. True for
     * memory of the VMM's own. */
    bool (*keeps)(struct ferry_vm *vm, const void *at, uint64_t bytes, bool write);
};

enum held_state {
    HELD_FREE,
    HELD_PROMISED, /* reserved for a message that is being performed */
    HELD_QUEUED,
    HELD_TAKEN,   /* by the guest, or the host: it may release it */
    HELD_READ,    /* by the VMM, for plain reads: the guest cannot release it */
    HELD_LEAVING, /* one thread is releasing or forwarding it */
    HELD_STUCK,   /* released, and not yet closed: loan_collect closes it, again if that failed */
    HELD_STATES
};

/* A payload the endpoint has until it releases it; its index is the token. The state changes by
 * held_set_state alone. */
struct held {
    enum held_state state;
    struct ferry_link *link;
    bool lent; /* units to bring home; else a receive buffer */
    struct units units;
    struct pool_offset offset; /* of the payload; only all of it can be forwarded */
    uint64_t bytes;
};

/* The indexes that a guest published. */
struct published {
    uint32_t release_head, in_tail, home_tail;
};

struct endpoint {
    /* These stay when the endpoint is retired: its memory is used for another endpoint, and is
     * freed with the exchange only. So a thread that comes late, by an index or to wake it, may
     * find another endpoint than it expects, but always an endpoint. */
    struct endpoint *next_made; /* the exchange's list of all endpoints that were ever made */
    struct endpoint *next_spare;
    struct lock lock;
    pthread_cond_t changed; /* users, releases_in_progress */
    atomic_uint events;     /* counts up whenever there may be something new: a futex */
    atomic_uint asleep;     /* threads wait on it, for these; or have done so */
    int waker;              /* an eventfd; -1: none was needed yet */
    atomic_bool polls;      /* the thread that waits polls, the waker among others */

    /* All from here to `queue` is zero when an endpoint begins. */
    struct exchange *exchange;
    bool retired; /* no thread acts for it any more, for good; under the exchange's lock */
    struct ferry_vm *vm;
    endpoint_memory_fn memory;          /* of vm: where the payload of a COPY is */
    endpoint_at_hand_fn at_hand;        /* of vm: the same without touching it */
    const struct endpoint_waits *waits; /* of vm; NULL: only one thread ever acts for it */
    uint16_t index;                     /* its number in the ledger */
    uint16_t id;                        /* its number for peers; 0: the host */
    atomic_uint generation; /* of the program it runs; this and `image` change with it */
    char name[FERRY_NAME_BYTES];
    struct image *image; /* the image it runs, held by the VM; NULL: the host. Under the exchange's
                            lock */

    struct window window;
    char *receive_buffers; /* FERRY_TOKENS of FERRY_COPY_BYTES each */
    /* Where the guest has them, and the window. The host's end of a link has no guest; its messages
     * count both from 0. */
    struct guest_addr receive_buffers_addr, window_addr;
    /* How many bytes from the start of each may hold something. */
    uint32_t receive_filled[FERRY_TOKENS];
    struct ferry_control *control; /* NULL: the host */

    /* Links, fixed before any VM starts. */
    struct ferry_link *out[FERRY_PEERS_MAX], *in[FERRY_PEERS_MAX];
    uint32_t out_count, in_count;
    struct ferry_link *stream_in, *stream_out;
    struct stream *byte_stream; /* of a VM: buffers of its plain reads and writes */
    const struct endpoint_stream *stream_does;
    enum ferry_delivery delivery;
    enum ferry_transfer transfer;
    uint32_t most_extents, most_pages; /* it may own */

    atomic_uint waiters;      /* threads between prepare and finish of a wait */
    atomic_bool waiting;      /* one is blocked: a hint to senders, no promise */
    atomic_bool wants_direct; /* blocked until one of its direct rings holds something */
    atomic_bool stopping;
    /* Under lock: */
    bool live;
    bool settled;                  /* it has ended, and owns and holds nothing for good */
    uint32_t users;                /* others in the middle of a change to it */
    uint32_t releases_in_progress; /* tokens that are being released */
    bool releases_frozen;          /* no release may begin: its loans are being read */
    bool release_deferred;         /* a thread wanted to release meanwhile */
    uint32_t promised;             /* queue entries reserved, not yet filled */
    uint32_t in_head, in_tail, release_tail;
    struct held held[FERRY_TOKENS];
    atomic_ullong tokens[HELD_STATES]; /* a bit for each token in that state; read also without */
    uint32_t in_open;                  /* links of in[] that have not hung up */
    uint32_t home_head, home_tail;
    uint32_t loans; /* lent out and not come home */
    bool exited;    /* its program has ended: nobody reads completions */
    bool resting;   /* its program has ended and may run again: no message comes until then */
    struct units home[FERRY_TOKENS];
    /* Used only by the thread that serves the VM: */
    struct published seen; /* as the thread saw them last */
    uint32_t out_tail;
    bool out_parked; /* the next descriptor waits for room */

    atomic_ullong messages_sent, messages_received;

    struct ferry_desc queue[FERRY_RING_ENTRIES]; /* between in_tail and in_head, under lock */
    uint8_t queue_link[FERRY_RING_ENTRIES];      /* index of in[] */
};

/* Once for this memory, which is zeroed: initialises the members that stay when an endpoint is
 * retired. */
int endpoint_init(struct endpoint *endpoint);
void endpoint_fini(struct endpoint *endpoint);
/* A new endpoint begins in this memory. Under the exchange's lock. */
void endpoint_begin(struct endpoint *endpoint, struct exchange *exchange, uint16_t index);

/* Keeps the endpoint from being torn down while another thread changes it; false: it takes part no
 * more, or rests. */
bool endpoint_enter(struct endpoint *endpoint);
void endpoint_leave(struct endpoint *endpoint);

/* The place in the pool that the window shows at this address; for an address outside the window an
 * offset that pool_covering refuses. */
static inline struct pool_offset endpoint_offset(const struct endpoint *endpoint,
                                                 struct guest_addr addr)
{
    return (struct pool_offset){addr.value - endpoint->window_addr.value};
}

/* Where the window shows a place in the pool: the guest's address. */
static inline struct guest_addr endpoint_addr(const struct endpoint *endpoint,
                                              struct pool_offset offset)
{
    return guest_addr_add(endpoint->window_addr, offset.bytes);
}

/* Whether it is the host's end of a link, not a VM. */
static inline bool endpoint_is_host(const struct endpoint *endpoint)
{
    return endpoint->id == 0;
}

/* Nobody is in the middle of a change to it any more: tells the thread that waits for that before it tears
 * the endpoint down, or clears it. Asserts the endpoint's lock. */
static inline void endpoint_has_no_users(struct endpoint *endpoint)
{
    lock_assert_held(&endpoint->lock);
    if (!endpoint->live || endpoint->resting)
        pthread_cond_broadcast(&endpoint->changed);
}

static inline void endpoint_pull_stream(struct endpoint *endpoint)
{
    if (endpoint->byte_stream)
        endpoint->stream_does->pull(endpoint->byte_stream);
}

static inline bool endpoint_stream_uses(const struct endpoint *endpoint, struct units units)
{
    return endpoint->byte_stream && endpoint->stream_does->uses(endpoint->byte_stream, units);
}

static inline void endpoint_lock(struct endpoint *endpoint)
{
    lock_take(&endpoint->lock);
}

static inline void endpoint_unlock(struct endpoint *endpoint)
{
    lock_drop(&endpoint->lock);
}

/* Tokens of that state, a bit for each. */
static inline uint64_t held_in(const struct endpoint *endpoint, enum held_state state)
{
    return atomic_load_explicit(&endpoint->tokens[state], memory_order_relaxed);
}

/* Asserts the endpoint's lock. */
static inline void held_set_state(struct endpoint *endpoint, uint32_t token, enum held_state state)
{
    lock_assert_held(&endpoint->lock);
    struct held *held = &endpoint->held[token];
    uint64_t bit = 1ull << token, others = held_in(endpoint, held->state) & ~bit;

    /* No read-modify-write: nobody else changes them meanwhile. */
    atomic_store_explicit(&endpoint->tokens[held->state], others, memory_order_relaxed);
    held->state = state;
    atomic_store_explicit(&endpoint->tokens[state], held_in(endpoint, state) | bit,
                          memory_order_relaxed);
}

/* Tells a waiting thread that there may be something new. Any lock may be held; makes one system
 * call at most, and only if a thread sleeps. */
void endpoint_wake(struct endpoint *endpoint);
/* Only those that wait for one of the bits of `what`, or for anything. */
void endpoint_wake_for(struct endpoint *endpoint, uint32_t what);
/* Whether the only thread that ever waits on it may poll meanwhile: it has a waker, from now on.
 * That belongs to this memory, as a wake may come late. On that thread. */
bool endpoint_can_poll(struct endpoint *endpoint);

#endif
