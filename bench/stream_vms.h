/* SPDX-License-Identifier: BSD-2-Clause */
/* A stream of messages between two VMs, on a core each. */
#ifndef FERRY_BENCH_STREAM_VMS_H
#define FERRY_BENCH_STREAM_VMS_H

#include "bench.h"

#define FERRY_WAY "Ferry, VM to VM"

/* struct way's run; arg is a struct work of processes.h, without transport. Gives GB/s. */
int stream_vms_run(struct bench *bench, const void *arg, struct sample *out);

#endif
