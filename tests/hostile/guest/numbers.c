/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * numbers OLD: sends to OLD, a peer that has ended and whose number another VM has, by every mode and with
 * every generation that VM may have; then to each number that is no peer's, and to itself.
 */
#include "raw.h"

#define GENERATIONS 40
#define NUMBERS     400

static const uint8_t modes[] = {FERRY_INLINE, FERRY_COPY, FERRY_LEND, FERRY_MOVE, FERRY_HANGUP};
static uint64_t page;

static struct ferry_desc to(uint16_t dst, uint8_t mode)
{
    struct ferry_desc desc = {.mode = mode, .dst = dst};

    if (mode >= FERRY_COPY && mode <= FERRY_MOVE) {
        desc.payload.addr = page;
        desc.payload.bytes = FERRY_PAGE_BYTES;
    }
    return desc;
}

static bool is_linked(uint16_t id)
{
    for (unsigned i = 0; i < control->info.peer_count; i++)
        if (control->info.peers[i].id == id && control->info.peers[i].rights & FERRY_MAY_SEND)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "numbers OLD");
    const struct ferry_peer *old = peer_of(argv[1]);
    raw_begin();
    if (old->state != FERRY_PEER_GONE)
        fail("it has not ended");
    page = (uintptr_t)alloc_units(FERRY_PAGE_BYTES);
    for (size_t i = 0; i < sizeof modes; i++) {
        struct ferry_desc desc = to(old->id, modes[i]);

        /* To say that nothing more will come is right at any time, once. */
        expect_status("to who has ended", &desc, modes[i] == FERRY_HANGUP ? 0 : -EPIPE);
        for (uint32_t j = 1; j < GENERATIONS; j++) {
            desc.dst_generation = old->generation + j;
            expect_status("to another generation", &desc, -EINVAL);
        }
        for (uint32_t id = 0; id < NUMBERS; id++) {
            desc = to((uint16_t)(id < NUMBERS / 2 ? id : UINT16_MAX - id), modes[i]);
            if (!is_linked(desc.dst))
                expect_status("without a link", &desc, -EPERM);
        }
    }
    expect_ok("free", ferry_free((void *)page, FERRY_PAGE_BYTES));
    return 0;
}
