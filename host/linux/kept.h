/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the personality: what it keeps of a process at a moment. */
#ifndef FERRY_HOST_LINUX_KEPT_H
#define FERRY_HOST_LINUX_KEPT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "linux/state.h"

struct kept_file {
    struct open_file *file; /* the copy has a reference */
    off_t position;
    int status;
    bool seen; /* its mappings had a name already, which it keeps */
};

/* A descriptor of a stream: those of one open file follow each other in no order. */
struct kept_stream {
    unsigned fd;
    bool close_on_exec;
    const struct open_file *was; /* the same for descriptors that share one; it may be gone */
    struct open_file like;
};

struct linux_kept {
    struct linux_state *state; /* the copy */
    struct kept_file *files;
    unsigned file_count;
    struct kept_stream *streams;
    unsigned stream_count;
    int32_t last_id, foreground;
    uint64_t objects;           /* that were made until then: their numbers go on from there */
    uint64_t object_bytes_most; /* for which the program is charged */
    uint64_t memory_bytes;      /* that its directories in memory are charged for */
};

/* What a copy of a process has beside what a process has that it forks. */
void kept_rest(struct linux_state *to, const struct linux_state *from);

#endif
