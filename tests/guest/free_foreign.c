/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes calls with arguments that are not its to give; each must be refused and change nothing. */
#include "call.h"
#include "guest.h"

static void expect_refused(const char *what, int64_t result)
{
    if (result >= 0)
        fail("%s was not refused: %lld", what, (long long)result);
}

static void frees(const struct ferry_control_info *info, uint64_t extent)
{
    const uint64_t unit = FERRY_EXTENT_BYTES;
    const struct {
        const char *what;
        uint64_t addr, bytes;
    } cases[] = {
        {"an extent of nobody", info->window_base + info->window_bytes - unit, unit},
        {"one of its own and one more", extent, 2 * unit},
        {"half an extent", extent, unit / 2},
        {"an extent that begins inside", extent + 4096, unit},
        {"nothing", extent, 0},
        {"all there is", info->window_base, info->window_bytes},
        {"the whole address space", info->window_base, UINT64_MAX},
        {"a range that wraps", UINT64_MAX - 4095, unit},
        {"the null page", 0, 4096},
        {"its own image", (uintptr_t)&frees & ~4095ull, 4096},
        {"the control structure", (uintptr_t)info, 4096},
        {"just beyond the window", info->window_base + info->window_bytes, unit},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_refused(cases[i].what,
                       ferry_guest_call(FERRY_CALL_FREE, cases[i].addr, cases[i].bytes, 0));
}

int main(void)
{
    const struct ferry_control *control = ferry_control();
    uint8_t *extent;

    if (control == NULL)
        fail("not in a Ferry VM");
    extent = alloc_units(FERRY_EXTENT_BYTES);
    extent[5] = 99;
    frees(&control->info, (uintptr_t)extent);
    expect_refused("no units", ferry_guest_call(FERRY_CALL_ALLOC, 0, 0, 0));
    expect_refused("too many units", ferry_guest_call(FERRY_CALL_ALLOC, UINT64_MAX, 0, 0));
    expect_refused("more bytes than a word",
                   ferry_guest_call(FERRY_CALL_ALLOC, UINT64_MAX / FERRY_EXTENT_BYTES + 2, 0, 0));
    expect_refused("units of no kind", ferry_guest_call(FERRY_CALL_ALLOC, 1, 7, 0));
    expect_refused("call 0", ferry_guest_call((enum ferry_call)0, 0, 0, 0));
    expect_refused("call 99", ferry_guest_call((enum ferry_call)99, 0, 0, 0));
    if (extent[5] != 99)
        fail("a refused call changed memory");
    expect_ok("free", ferry_free(extent, FERRY_EXTENT_BYTES));
    expect_refused("free twice", ferry_free(extent, FERRY_EXTENT_BYTES));
    return 0;
}
