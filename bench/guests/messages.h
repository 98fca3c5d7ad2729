/* SPDX-License-Identifier: BSD-2-Clause */
/* Code that the guest programs with small messages share. */
#ifndef FERRY_BENCH_GUESTS_MESSAGES_H
#define FERRY_BENCH_GUESTS_MESSAGES_H

#include <errno.h>

#include "guest.h"
#include "report.h"

static inline const char *word(int argc, char **argv, int place)
{
    expect("arguments", place < argc ? 0 : -EINVAL);
    return argv[place];
}

/* The first VM, other than the host, that this one may send to. */
static inline uint16_t receiver(void)
{
    const struct ferry_control *control = ferry_control();

    for (unsigned i = 0; control && i < control->info.peer_count; i++)
        if (control->info.peers[i].id != HOST_ID && control->info.peers[i].rights & FERRY_MAY_SEND)
            return control->info.peers[i].id;
    expect("receiver", -ENOTCONN);
    return FERRY_NO_PEER;
}

static inline enum ferry_when when_of(const char *text)
{
    if (strcmp(text, "immediate") == 0)
        return FERRY_IMMEDIATE;
    if (strcmp(text, "deferred") == 0)
        return FERRY_DEFERRED;
    return FERRY_WHEN_AUTO;
}

/* The next message: looking all the time, or blocked. */
static inline void receive(struct ferry_msg *msg, bool poll)
{
    int result;

    while ((result = ferry_recv(msg, poll ? 0 : UINT64_MAX)) == -ETIMEDOUT)
        _mm_pause();
    expect("receive", result);
}

#endif
