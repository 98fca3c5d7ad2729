/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A place of `ferry serve` in which one connection at a time is served: a VM, its links with the host, and a
 * thread. For each connection the VM begins anew, where its program first asked for input.
 */
#ifndef FERRY_CLI_SERVE_SLOT_H
#define FERRY_CLI_SERVE_SLOT_H

#include <pthread.h>
#include <stdbool.h>

#include "pump.h"

struct server;

enum slot_state { SLOT_UNUSED, SLOT_WARMS, SLOT_FREE, SLOT_SERVES };

struct slot {
    /* Set by the owner. */
    struct server *server;
    struct ferry_vm *vm;
    struct ferry_link *in, *out;
    bool is_first; /* its VM loads the program, and has the snapshot; the others are copies */
    /* Under the server's lock: */
    enum slot_state state;
    int fd; /* the connection; -1: none */
    uint64_t number;
    uint64_t last_ns; /* when it is over, whatever its peer does; UINT64_MAX: never */
    /* The slot's own. */
    struct input input;
    struct output output;
    pthread_t thread;
    bool has_thread; /* the owner's */
    bool begun;      /* the VM has begun */
};

/* Starts the slot's thread: the first one's gets the program ready. 0 or an errno. */
int slot_start(struct slot *slot);
/* Has it serve a connection, which it takes over. Under the server's lock; it is free, and has a thread. */
void slot_serve(struct slot *slot, int fd, uint64_t number);
/* Ends the connection, if it has one. Under the server's lock. */
void slot_cut(struct slot *slot);
/* The server stops: ends what the slot does, and waits for its thread. */
void slot_end(struct slot *slot);

#endif
