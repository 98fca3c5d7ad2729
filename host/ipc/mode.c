/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of modes. */
#include "ipc/mode.h"

#include <stddef.h>

static const struct mode modes[] = {
    [FERRY_INLINE] = {.carries = MODE_INLINE},
    [FERRY_COPY] = {.carries = MODE_COPY, .has_token = true},
    [FERRY_LEND] = {.carries = MODE_UNITS, .has_token = true},
    [FERRY_MOVE] = {.carries = MODE_UNITS, .moves = true},
    [FERRY_HANGUP] = {.carries = MODE_NOTHING, .is_last = true},
};

_Static_assert(sizeof modes / sizeof modes[0] <= 256, "a mode fits its byte of the descriptor");

const struct mode *mode_of(int mode)
{
    const int end = sizeof modes / sizeof modes[0];

    return mode >= FERRY_INLINE && mode < end ? &modes[mode] : NULL;
}
