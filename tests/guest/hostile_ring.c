/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile_ring PEER: writes bad values into its control structure. Bad descriptors must be refused
 * with the right status, bad indexes and tokens must do nothing, and a good message must pass after
 * each. If the link is direct, it writes bad values into that ring, too.
 */
#include <ferry/abi/direct.h>

#include "raw.h"

static uint16_t peer;
static struct ferry_direct *direct; /* NULL: there is none */

static void expect_good(const char *after)
{
    struct ferry_desc desc = {.mode = FERRY_INLINE, .inline_bytes = 4, .dst = peer};

    expect_status(after, &desc, 0);
}

/* ---- descriptors -------------------------------------------------------- */

static void bad_heads(void)
{
    const struct {
        const char *what;
        struct ferry_desc desc;
        int status;
    } cases[] = {
        {"mode 0", {.mode = 0, .dst = peer}, -EINVAL},
        {"mode 6", {.mode = 6, .dst = peer}, -EINVAL},
        {"mode 255", {.mode = 255, .dst = peer}, -EINVAL},
        {"flags", {.mode = FERRY_INLINE, .dst = peer, .flags = 1}, -EINVAL},
        /* With a ring it is between this VM and its peer what it means. */
        {"a turn", {.mode = FERRY_INLINE, .dst = peer, .turn = 1}, direct ? 0 : -EINVAL},
        {"more padding", {.mode = FERRY_INLINE, .dst = peer, .zero2 = 1u << 31}, -EINVAL},
        {"a forged source", {.mode = FERRY_INLINE, .dst = peer, .src = 1}, -EINVAL},
        {"a forged generation", {.mode = FERRY_INLINE, .dst = peer, .src_generation = 1}, -EINVAL},
        {"a forged receiver", {.mode = FERRY_INLINE, .dst = peer, .dst_generation = 1}, -EINVAL},
        {"nobody", {.mode = FERRY_INLINE, .dst = 777}, -EPERM},
        {"itself", {.mode = FERRY_INLINE, .dst = control->info.id}, -EPERM},
        {"33 bytes inline", {.mode = FERRY_INLINE, .dst = peer, .inline_bytes = 33}, -EMSGSIZE},
        {"255 bytes inline", {.mode = FERRY_INLINE, .dst = peer, .inline_bytes = 255}, -EMSGSIZE},
        {"inline bytes of a copy", {.mode = FERRY_COPY, .dst = peer, .inline_bytes = 1}, -EINVAL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_status(cases[i].what, &cases[i].desc, cases[i].status);
}

struct payload_case {
    const char *what;
    enum ferry_mode mode;
    struct ferry_payload payload;
    int status;
};

static void try_payload(const struct payload_case *tried)
{
    struct ferry_desc desc = {.mode = (uint8_t)tried->mode, .dst = peer};

    desc.payload = tried->payload;
    expect_status(tried->what, &desc, tried->status);
}

static void bad_copies(void)
{
    static uint8_t data[16];
    const uint64_t good = (uintptr_t)data, window = control->info.window_base;
    const uint64_t behind_control = (uintptr_t)control + sizeof(*control);
    const struct payload_case cases[] = {
        {"a token", FERRY_COPY, {.addr = good, .bytes = 1, .token = 1}, -EINVAL},
        {"a message number", FERRY_COPY, {.addr = good, .bytes = 1, .message = 1}, -EINVAL},
        {"payload padding", FERRY_COPY, {.addr = good, .bytes = 1, .zero = 1}, -EINVAL},
        {"a long copy", FERRY_COPY, {.addr = good, .bytes = FERRY_COPY_BYTES + 1}, -EMSGSIZE},
        {"an endless copy", FERRY_COPY, {.addr = good, .bytes = UINT64_MAX}, -EMSGSIZE},
        {"a copy that wraps", FERRY_COPY, {.addr = UINT64_MAX - 10, .bytes = 100}, -EFAULT},
        {"the null page", FERRY_COPY, {.addr = 0, .bytes = 8}, -EFAULT},
        {"the VMM's tables", FERRY_COPY, {.addr = behind_control - 1, .bytes = 2}, -EFAULT},
        {"another's page", FERRY_COPY, {.addr = window + 4096, .bytes = 8}, -EFAULT},
        {"kernel memory", FERRY_COPY, {.addr = 0xffff800000000000, .bytes = 8}, -EFAULT},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        try_payload(&cases[i]);
}

static void bad_units(enum ferry_mode mode)
{
    const struct ferry_control_info *info = &control->info;
    const uint64_t window = info->window_base, end = window + info->window_bytes;
    const uint64_t own = (uintptr_t)alloc_units(FERRY_EXTENT_BYTES);
    const struct payload_case cases[] = {
        {"no units", mode, {.addr = own, .bytes = 0}, -EFAULT},
        {"own memory", mode, {.addr = (uintptr_t)control, .bytes = 4096}, -EFAULT},
        {"the program", mode, {.addr = (uintptr_t)&bad_units, .bytes = 1}, -EFAULT},
        {"below the window", mode, {.addr = window - 1, .bytes = 2}, -EFAULT},
        {"beyond the window", mode, {.addr = end - 1, .bytes = 2}, -EFAULT},
        {"behind the window", mode, {.addr = end, .bytes = 1}, -EFAULT},
        {"units that wrap", mode, {.addr = own, .bytes = UINT64_MAX}, -EFAULT},
        {"units that wrap to before", mode, {.addr = own, .bytes = UINT64_MAX - own + 2}, -EFAULT},
        {"pages and extents", mode, {.addr = window + info->small_bytes - 1, .bytes = 2}, -EFAULT},
        {"another's extent", mode, {.addr = end - 1, .bytes = 1}, -EPERM},
        {"another's page", mode, {.addr = window, .bytes = 1}, -EPERM},
        {"a token", mode, {.addr = own, .bytes = 1, .token = 1}, -EINVAL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        try_payload(&cases[i]);
    fill((void *)own, 100, 0);
    expect_ok("free", ferry_free((void *)own, FERRY_EXTENT_BYTES));
}

/* Units that were given away cannot be given again, nor can a range that is owned only in part. */
static void given_away(void)
{
    const uint64_t own = (uintptr_t)alloc_units(2 * FERRY_EXTENT_BYTES);
    const uint64_t extent = FERRY_EXTENT_BYTES;
    const struct payload_case cases[] = {
        {"a move", FERRY_MOVE, {.addr = own, .bytes = extent}, 0},
        {"the same again", FERRY_MOVE, {.addr = own, .bytes = extent}, -EPERM},
        {"a loan of it", FERRY_LEND, {.addr = own, .bytes = 1}, -EPERM},
        {"a copy of it", FERRY_COPY, {.addr = own, .bytes = 1}, -EFAULT},
        {"both", FERRY_LEND, {.addr = own, .bytes = 2 * extent}, -EPERM},
        {"the other", FERRY_LEND, {.addr = own + extent, .bytes = extent}, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        try_payload(&cases[i]);
    if (ferry_free((void *)own, 2 * extent) == 0)
        fail("units that were given away could be freed");
}

/* ---- indexes and tokens ------------------------------------------------- */

static void bad_out_heads(void)
{
    const uint32_t wrong[] = {FERRY_RING_ENTRIES + 1, 5000, 1u << 31, UINT32_MAX, UINT32_MAX - 63};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        publish(&control->guest.out_head, head + wrong[i]);
        leave();
        if (out_tail() != head)
            fail("out_head + 0x%x: %u descriptors were taken", wrong[i], out_tail() - head);
        publish(&control->guest.out_head, head);
        expect_good("a good message after a bad out_head");
    }
}

static void bad_other_indexes(void)
{
    uint32_t *const indexes[] = {&control->guest.in_tail, &control->guest.home_tail,
                                 &control->guest.release_head};
    const uint32_t wrong[] = {1, FERRY_RING_ENTRIES + 1, 1u << 31, UINT32_MAX};

    for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
        for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++) {
            uint32_t right = *indexes[i];

            publish(indexes[i], right + wrong[j]);
            leave();
            publish(indexes[i], right);
            expect_good("a good message after a bad index");
        }
    }
}

static void bad_tokens(void)
{
    const uint32_t wrong[] = {0, 1, 63, 64, 1u << 31, UINT32_MAX};
    uint32_t count = control->guest.release_head;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        control->guest.release[count % FERRY_TOKENS] = wrong[i];
        publish(&control->guest.release_head, ++count);
        leave();
        expect_good("a good message after a bad token");
    }
}

/* ---- the direct ring ---------------------------------------------------- */

static void forge_slot(uint32_t slot, const struct ferry_desc *desc)
{
    struct ferry_desc *at = &direct->slots[slot % FERRY_RING_ENTRIES];

    *at = *desc;
    __atomic_store_n(&at->turn, desc->turn, __ATOMIC_RELEASE);
    leave();
}

/* The VMM looks at the turns of this ring: when the peer waits, and when bytes or a hang-up follow. */
static void bad_slots(void)
{
    const uint32_t turns[] = {0,        1,         2, FERRY_RING_ENTRIES, FERRY_RING_ENTRIES + 1,
                              1u << 31, UINT32_MAX};
    uint32_t slot = 0;

    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        for (unsigned mode = 0; mode < 256; mode += mode < 6 ? 1 : 83) {
            const struct ferry_desc desc = {.mode = (uint8_t)mode,
                                            .inline_bytes = (uint8_t)(mode * 37),
                                            .flags = (uint16_t)mode,
                                            .src = (uint16_t)mode,
                                            .dst = 777,
                                            .turn = turns[i]};
            forge_slot(slot++, &desc);
        }
        expect_good("a good message after bad slots");
    }
    /* The VMM finds the first free slot by halving: there is one beside each that is filled. */
    for (slot = 0; slot < FERRY_RING_ENTRIES; slot++)
        direct->slots[slot] =
            (struct ferry_desc){.mode = FERRY_INLINE, .turn = slot % 2 ? 0 : slot + 1};
    expect_good("a good message after a ring of holes");
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "hostile_ring PEER");
    peer = peer_of(argv[1])->id;
    direct = (struct ferry_direct *)(uintptr_t)peer_of(argv[1])->direct_out;
    raw_begin();
    bad_heads();
    bad_copies();
    bad_units(FERRY_LEND);
    bad_units(FERRY_MOVE);
    given_away();
    expect_good("a good message after bad ones");
    bad_out_heads();
    bad_tokens();
    bad_other_indexes();
    if (direct != NULL)
        bad_slots();
    return 0;
}
