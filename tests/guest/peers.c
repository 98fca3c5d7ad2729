/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peers [write | twice]: prints its peers, one a line: id, name and digest. With write it then stores
 * to the table of peers; with twice it waits for a hang-up and prints them again.
 */
#include "guest.h"

static void print(const struct ferry_control *control)
{
    for (uint32_t i = 0; i < control->info.peer_count; i++) {
        const struct ferry_peer *peer = &control->info.peers[i];

        char hex[2 * FERRY_DIGEST_BYTES + 1];

        for (unsigned k = 0; k < FERRY_DIGEST_BYTES; k++)
            snprintf(hex + 2 * k, 3, "%02x", peer->digest[k]);
        fprintf(stderr, "%u %s %s\n", peer->id, peer->name, hex); /* a line is one write */
    }
}

int main(int argc, char **argv)
{
    const struct ferry_control *control = ferry_control();
    const char *what = argc > 1 ? argv[1] : "";
    struct ferry_msg msg = {.mode = FERRY_INLINE};

    if (!control)
        fail("not in a Ferry VM");
    print(control);
    if (strcmp(what, "write") == 0)
        *(volatile uint8_t *)control->info.peers[0].digest = 0;
    if (strcmp(what, "twice") != 0)
        return 0;
    while (msg.mode != FERRY_HANGUP)
        receive(&msg);
    if (msg.src_generation != control->info.peers[0].generation)
        fail("the table is of another program than the last message");
    print(control);
    return 0;
}
