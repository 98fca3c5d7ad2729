/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream of messages between two processes, on a core each: the frame that
 * the transports (pipe, socket, ring) hang in.
 */
#ifndef FERRY_BENCH_PROCESSES_H
#define FERRY_BENCH_PROCESSES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench.h"

struct pair;

struct transport {
    /* Before the fork; 0 or a negative errno. */
    int (*open)(struct pair *pair);
    /* In the sender's and the receiver's process; 0 or a negative errno. */
    int (*send)(struct pair *pair);
    int (*receive)(struct pair *pair);
    bool spinning;
    int socket_type; /* for sockets */
};

/* One word of each line written and read, or, if not `honest`, one of each page read. */
struct work {
    const struct transport *transport;
    size_t bytes; /* of a message: a power of two from 64 on */
    bool honest;
};

/* Seen by both processes. */
struct pair_shared {
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) atomic_bool done;
    uint64_t bytes, ns; /* what the receiver saw */
};

struct pair {
    const struct work *work;
    uint64_t duration_ns;
    int fds[2]; /* receiver's, sender's */
    struct pair_shared *shared;
    char *ring; /* shared, or the sender's */
    size_t ring_bytes;
    pid_t sender;

    /* The sender's. */
    uint64_t lines, messages, deadline_ns;

    /* The receiver's. */
    uint64_t sum, total, first_total, first_ns;
};

/* struct way's run; arg is a struct work. Gives GB/s. */
int processes_run(struct bench *bench, const void *arg, struct sample *out);

/* How long each run is to send. */
uint64_t stream_duration_ns(const struct bench *bench);

/* Sender: false when it has sent long enough. */
bool pair_more(struct pair *pair);
/* Sender: writes a message's words. */
void pair_fill(struct pair *pair, void *message);
/* Receiver: reads the words of what arrived, whole lines. */
void pair_take(struct pair *pair, const void *data, size_t bytes);

/* Zeroed memory, in huge pages where there are some; `shared` with children. NULL: none. */
void *pair_memory(size_t bytes, bool shared);
void pair_memory_free(void *memory, size_t bytes);

extern const struct transport transport_pipe, transport_pipe_spinning, transport_stream,
    transport_stream_spinning, transport_seqpacket, transport_seqpacket_spinning,
    transport_vmsplice; /* transports.c */
extern const struct transport transport_ring, transport_ring_in_place,
    transport_readv; /* transports_shared.c */

/* Writes, copies and reads in one process. */
int memcpy_run(struct bench *bench, const void *arg, struct sample *out);

#endif
