/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * token: passes tokens on until they have made all their hops. Each hop is
 * one exit: the message is queued, and the wait for the next takes it along.
 * It says on standard error that it is there.
 */
#include <unistd.h>

#include "messages.h"
#include "token.h"

static uint16_t out[FERRY_PEERS_MAX];
static unsigned out_count;

static void find_peers(void)
{
    const struct ferry_control *control = ferry_control();

    for (unsigned i = 0; control && i < control->info.peer_count; i++)
        if (control->info.peers[i].rights & FERRY_MAY_SEND)
            out[out_count++] = control->info.peers[i].id;
    expect("peers", out_count ? 0 : -ENOTCONN);
}

/* Random enough, and the same in every run. */
static uint64_t mix(uint64_t seed)
{
    return seed * 6364136223846793005u + 1442695040888963407u;
}

int main(void)
{
    struct ferry_msg msg;
    struct token token;

    find_peers();
    expect("ready", write(STDERR_FILENO, "", 1));
    for (;;) {
        receive(&msg, false);
        if (msg.mode != FERRY_INLINE)
            return 0;
        memcpy(&token, msg.small, sizeof token);
        if (token.hops-- == 0)
            continue;
        token.seed = mix(token.seed);
        unsigned peer = token.way == TOKEN_RING ? 0 : (unsigned)(token.seed >> 33) % out_count;
        msg = (struct ferry_msg){
            .mode = FERRY_INLINE, .dst = out[peer], .data = &token, .bytes = sizeof token};
        expect("send", ferry_send(&msg, FERRY_DEFERRED));
    }
}
