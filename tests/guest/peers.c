/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peers [write]: prints its peers, one a line: id, name and digest. With write it then stores to
 * the table of peers.
 */
#include "guest.h"

int main(int argc, char **argv)
{
    const struct ferry_control *control = ferry_control();

    if (!control)
        fail("not in a Ferry VM");
    for (uint32_t i = 0; i < control->info.peer_count; i++) {
        const struct ferry_peer *peer = &control->info.peers[i];

        char hex[2 * FERRY_DIGEST_BYTES + 1];

        for (unsigned k = 0; k < FERRY_DIGEST_BYTES; k++)
            snprintf(hex + 2 * k, 3, "%02x", peer->digest[k]);
        fprintf(stderr, "%u %s %s\n", peer->id, peer->name, hex); /* a line is one write */
    }
    if (argc > 1 && strcmp(argv[1], "write") == 0)
        *(volatile uint8_t *)control->info.peers[0].digest = 0;
    return 0;
}
