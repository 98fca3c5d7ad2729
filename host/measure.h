/* SPDX-License-Identifier: BSD-2-Clause */
/* What exit, hand-over, first touch and copy cost on this machine, and the crossover that follows. */
#ifndef FERRY_HOST_MEASURE_H
#define FERRY_HOST_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

struct ferry_engine;

struct costs {
    uint64_t exit_ns;     /* one exit and the entry after it; 0: no VM could be made */
    uint64_t handover_ns; /* one extent: opening it in a window, and closing it after its use */
    uint64_t touch_ns;    /* the first touch after opening, without the exit */
    uint64_t copy_ns;     /* one extent, as the payloads of 32 messages */
    bool unsure;          /* other work left no core to keep busy: handover_ns is too small */
};

/* `engine` has /dev/kvm open, or kvm_fd is -1: then the host touches, in place of a VM. Some
 * milliseconds, during which another thread keeps another core busy. */
int measure_costs(struct ferry_engine *engine, struct costs *out);

/* The length up to which a payload is cheaper to copy; at most an extent. From VM to VM: with
 * the host at one end a loan costs less, but so does the copy, which then fills the cache that
 * its reader uses. */
uint64_t measure_crossover(const struct costs *costs, bool huge);

/* Sets the info of an engine whose pool is there: costs as the file at config.measure_cache has
 * them, or measured, and then kept there. */
int measure_engine(struct ferry_engine *engine);

#endif
