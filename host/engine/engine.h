/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: what all VMs of one embedder share, and the threads that look after running VMs.
 */
#ifndef FERRY_HOST_ENGINE_H
#define FERRY_HOST_ENGINE_H

#include <stdatomic.h>

#include <ferry/ferry.h>

#include "engine/poller.h"
#include "engine/ticker.h"
#include "ipc/exchange.h"
#include "kvm/guest_clock.h"
#include "kvm/kvm.h"
#include "kvm/vdso.h"
#include "lib/budget.h"
#include "program/images.h"

struct ferry_engine {
    struct ferry_engine_config config;
    struct ferry_engine_info info;
    unsigned processors; /* of the host, at least 1 */
    struct kvm kvm;
    struct vdso vdso;
    struct guest_clock clock;
    struct exchange exchange;
    struct images images;
    struct budget mappings, files; /* of this process, shared among the VMs; each has its lock */
    atomic_uint far_parts;         /* VMs that have reserved one */
    atomic_ullong copies;          /* runs from snapshots that have begun */
    int pagemap;                   /* /proc/self/pagemap, for resets; or -1 */
    struct poller poller;
    char pad[64];
    struct ticker ticker;
};

/* Ends the ticker and the poller, and begins them again with the rights that the calling thread has now.
 * No VM of the engine runs. After an error there are none. */
int engine_restart_threads(struct ferry_engine *engine, struct ferry_error *err);

void engine_log(struct ferry_engine *engine, enum ferry_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
