/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that the parts of the soak over libferry share. Each round is what one thread of the host does with
 * one random topology (topology.c, round.c), beside others; host_end.c is the host's end of a link, level.c what the
 * process has. A round's plan comes from its seed alone; what threads make of it does not.
 */
#ifndef FERRY_TESTS_SOAK_H
#define FERRY_TESTS_SOAK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/ferry.h>

#define SECOND      1000000000ull
#define MILLISECOND 1000000ull
#define PATIENCE    (60 * SECOND) /* a bound for what must come, never a pause */

/* ---- chance ------------------------------------------------------------- */

struct chance {
    uint64_t state;
};

struct chance chance_of(uint64_t seed, uint64_t part);
uint64_t below(struct chance *chance, uint64_t bound);

/* One of so many times. */
static inline bool once_in(struct chance *chance, uint64_t times)
{
    return below(chance, times) == 0;
}

/* ---- what a round adds up ----------------------------------------------- */

struct totals {
    uint64_t rounds, engines, vms, unstarted, links, messages, bytes;
    uint64_t ended[FERRY_ENDED_CPU + 1]; /* by enum ferry_ended */
    uint64_t stops, signals, cut_links, destroyed_running;
    uint64_t snapshots, copies, resets;
};

void totals_add(struct totals *to, const struct totals *part);

/* What is wrong with a round, in one line; empty while nothing is. */
struct wrong {
    char text[1024];
};

__attribute__((format(printf, 2, 3))) void be_wrong(struct wrong *wrong, const char *format, ...);

/* The payload of a message with this tag, as the guest `mix` has it. */
static inline uint8_t pattern(uint64_t tag, size_t at)
{
    return (uint8_t)(tag * 31 + at + at / 251);
}

/* ---- the host's end of a link ------------------------------------------- */

struct host_end {
    struct ferry_link *link;
    bool receives;
    bool stream;  /* bytes of a stream, in place of messages with patterns */
    bool trusted; /* what comes has its pattern */
    struct chance chance;
    struct wrong wrong;
    pthread_t thread;
    bool runs;
};

/* A thread that sends, or receives, until it has done its part or the link is cancelled. */
void host_end_start(struct host_end *end);
/* Cancels and waits for the thread. */
void host_end_stop(struct host_end *end);

/* ---- one round ---------------------------------------------------------- */

/* In this engine, with names that begin with `name`. Returns with everything destroyed. */
void round_run(struct ferry_engine *engine, const char *name, struct chance *chance,
               struct totals *totals, struct wrong *wrong);
/* Wrong unless each unit of the pool is free. Nothing may be alive in the engine. */
void expect_books(struct ferry_engine *engine, struct wrong *wrong);

/* ---- what this process has ---------------------------------------------- */

struct level {
    uint64_t threads, descriptors, mappings, heap_bytes, resident_kb;
};

struct level level_now(void);
/* Waits for threads that were joined and are listed for a moment longer. */
void expect_level(const struct level *before, struct wrong *wrong);

#endif
