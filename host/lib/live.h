/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Access to live memory: that of a program in which a file itself is mapped, which somebody may cut
 * short at any moment. A load or store would then end this process by SIGBUS. A handler for that
 * would be the embedder's business, so the kernel makes each access here, and says EFAULT.
 */
#ifndef FERRY_HOST_LIVE_H
#define FERRY_HOST_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory of a program, as the VMM finds it. Where `live` is set only the functions below may touch it,
 * and the kernel, in calls that say EFAULT. */
struct reach {
    void *at; /* NULL: there is none */
    bool live;
};

/* Whether the kernel makes such accesses; a filter of system calls may forbid it. */
bool live_works(void);

/* Copy out of the place, and into it: how many bytes, which are fewer only if the next one is not
 * there. `to` and `from` are memory of the VMM. */
size_t reach_read(void *to, struct reach from, size_t bytes);
size_t reach_write(struct reach to, const void *from, size_t bytes);

/* Whether all of it is there, to be read or to be written; it stays as it is. */
bool reach_may(struct reach place, size_t bytes, bool write);

/* A word that other threads may change, as one access: 0 or -EFAULT. */
int reach_load(struct reach word, uint32_t *value);
/* Compare and exchange: 1: it was *old and is `value` now; 0: it is another, which *old tells;
 * -EFAULT. In live memory, where that hardly ever happens, it takes a process of its own. */
int reach_change(struct reach word, uint32_t *old, uint32_t value);

/* How much of [offset, offset + bytes) of a file, from its start on in whole pages, can be read
 * without a wait for a disk. */
uint64_t live_cached(int fd, uint64_t offset, uint64_t bytes);

#endif
