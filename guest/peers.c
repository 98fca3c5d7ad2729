/* SPDX-License-Identifier: BSD-2-Clause */
/* The peers of this VM. All that is read here is fixed before the program runs. */
#include <string.h>

#include <ferry/guest.h>

#include "message.h"

/* One entry for each peer. The host is one of them, with id 0. The rights say who may send. */
const struct ferry_peer *ferry_guest_peer(uint16_t id, uint16_t rights)
{
    const struct ferry_control *control = ferry_control();

    if (control == NULL)
        return NULL;
    for (unsigned i = 0; i < control->info.peer_count && i < FERRY_PEERS_MAX; i++) {
        const struct ferry_peer *peer = &control->info.peers[i];

        if (peer->id == id && (peer->rights & rights) == rights)
            return peer;
    }
    return NULL;
}

const struct ferry_peer *ferry_peer_by_id(uint16_t id)
{
    return ferry_guest_peer(id, 0);
}

const struct ferry_peer *ferry_peer_by_name(const char *name)
{
    const struct ferry_control *control = ferry_control();

    if (control == NULL)
        return NULL;
    for (unsigned i = 0; i < control->info.peer_count && i < FERRY_PEERS_MAX; i++) {
        if (strncmp(control->info.peers[i].name, name, FERRY_NAME_BYTES) == 0)
            return &control->info.peers[i];
    }
    return NULL;
}
