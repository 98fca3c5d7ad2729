/* SPDX-License-Identifier: BSD-2-Clause */
/* What one round is made of. */
#ifndef FERRY_TESTS_TOPOLOGY_H
#define FERRY_TESTS_TOPOLOGY_H

#include "soak.h"

#define VMS_MAX    5
#define ENDS_MAX   4
#define NAME_BYTES 28

enum shape { CHAIN, RING, FAN_OUT, FAN_IN, PAIRS, PIPELINE, SHAPES }; /* PIPELINE: plain programs */
enum role { EXIT, DRAIN, CRASH, EVER, HOSTILE, PASS };

struct member {
    struct ferry_vm *vm;
    char name[NAME_BYTES];
    enum role role;
    bool started, stopped, signalled;
    bool keeps;            /* it is started for a snapshot, */
    bool kept;             /* and there is one, or it is a copy that has begun */
    struct ferry_vm *like; /* it is a copy of that one; or NULL */
};

struct round {
    struct ferry_engine *engine;
    struct chance *chance;
    struct totals *totals;
    struct wrong *wrong;
    enum shape shape;
    unsigned count;
    struct member members[VMS_MAX];
    struct ferry_link *links[VMS_MAX][VMS_MAX]; /* [from][to]; NULL: destroyed, or there is none */
    struct host_end ends[ENDS_MAX];
    unsigned end_count;
    int said; /* what guests print */
};

/* Makes VMs, links and ends of the host by chance; what was made stays, also if something is wrong. */
bool topology_make(struct round *round, const char *prefix);

#endif
