/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The work on the bytes, the same for processes and guests: the sender writes
 * one word into each cache line, the receiver adds them up. The words count
 * on over all messages, so that the sum shows whether all came.
 */
#ifndef FERRY_BENCH_LINES_H
#define FERRY_BENCH_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_BYTES 64u
#define PAGE_STEP  4096u

static inline void lines_write(void *data, size_t bytes, uint64_t *count)
{
    char *at = data;
    uint64_t next = *count;

    for (const char *end = at + bytes; at < end; at += LINE_BYTES)
        *(volatile uint64_t *)(void *)at = next++;
    *count = next;
}

/* `step`: one word of each line, or of each page. */
static inline uint64_t lines_read(const void *data, size_t bytes, size_t step)
{
    const char *at = data;
    uint64_t sum = 0;

    for (const char *end = at + bytes; at < end; at += step)
        sum += *(const volatile uint64_t *)(const void *)at;
    return sum;
}

static inline uint64_t lines_sum(uint64_t bytes)
{
    uint64_t count = bytes / LINE_BYTES;

    return count % 2 ? (count - 1) / 2 * count : count / 2 * (count - 1);
}

/* What a receiver in a VM tells the host: the bytes after the first message, and how long they
 * took. */
struct stream_report {
    uint64_t bytes, ns, wrong;
};

#endif
