/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMM's side of the rings, in the process of the test: it stands in for
 * guest/call.c. One peer feeds the program, one receives from it.
 */
#ifndef FERRY_TESTS_FAKE_VMM_H
#define FERRY_TESTS_FAKE_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/abi/control.h>
#include <ferry/abi/direct.h>

#define FAKE_EXTENTS   16u
#define FAKE_FEEDER    3u /* stdin_peer */
#define FAKE_RECEIVER  5u /* stdout_peer */
#define FAKE_OTHER     7u /* sends and receives beside the streams */
#define FAKE_TAKEN_MAX 4096u

struct fake_message {
    struct ferry_desc desc;
    bool released; /* LEND: came home, COPY and others: nothing to do */
};

struct fake_vmm {
    struct ferry_control *control; /* NULL: the program is an ordinary process */
    uint8_t *window, *view;        /* as the program sees the pool; as the VMM does */
    const struct ferry_direct *direct_out, *direct_in[2]; /* rings of the program; NULL: none */
    uint32_t out_tail, in_head, home_head, release_tail;
    bool extent_used[FAKE_EXTENTS];

    uint32_t credit;    /* loans and copies the receiver takes before it must release */
    uint32_t held;      /* of those, not released yet */
    bool release_early; /* the receiver releases at every exit, not only when waited for */
    int refuse;         /* the status of every message taken; 0: they are delivered */

    uint32_t waits, allocs, frees, doorbells;
    uint32_t tokens[FERRY_TOKENS]; /* the last that the program released */
    uint32_t token_count;
    bool fed[FERRY_TOKENS]; /* by token: what the program holds */
    uint64_t fed_extent[FERRY_TOKENS];
    struct fake_message taken[FAKE_TAKEN_MAX];
    uint32_t taken_count;
    uint8_t *bytes; /* all payloads the receiver got, joined */
    size_t byte_count, byte_capacity;
    bool hung_up;
    /* Called when a program waits for input and there is none. */
    void (*starved)(void);
};

extern struct fake_vmm fake;

/* A new VM; `index` is what all ring indexes start from. */
void fake_start(uint32_t index);
void fake_stop(void);

/* The VMM's part at an exit. */
void fake_drain(void);

/* Puts a message into the in ring. LEND and MOVE give a new extent with these bytes. */
void fake_feed(uint16_t src, enum ferry_mode mode, const void *data, size_t bytes, uint32_t token);

/* The receiver releases its oldest loan or copy; false: it holds none. */
bool fake_release_oldest(void);

#endif
