/* SPDX-License-Identifier: BSD-2-Clause */
/* One stream of messages carried in several ways: between processes, and between two VMs. */
#ifndef FERRY_BENCH_STREAM_VMS_H
#define FERRY_BENCH_STREAM_VMS_H

#include "bench.h"
#include "processes.h"

#define WAY_FERRY  "Ferry, VM to VM"
#define WAY_WHOLE  "Ferry, in one loan" /* where all else goes in pieces */
#define WAY_MEMCPY "memcpy in one process"

struct named_transport {
    const char *name;
    const struct transport *transport;
};

#define NAMED_MAX 12

/* Compares these, memcpy and Ferry; `work` without transport. */
void stream_compare(struct bench *bench, const char *part, const char *label,
                    const struct work *work, const struct named_transport *named, size_t count);

#endif
