/* SPDX-License-Identifier: BSD-2-Clause */
/* What follows from the costs of this machine. */
#include "engine/costs.h"

#include <ferry/abi/layout.h>

uint64_t costs_crossover(const struct costs *costs, bool huge)
{
    /* Messages share exits: a full link makes each side leave once for all in flight. */
    uint64_t message_ns = costs->exit_ns / COSTS_IN_FLIGHT;
    /* Both sides touch. Loans that are released together go home in one call for their
     * batch, so that only the way there is paid for each. */
    uint64_t loan_ns = costs->handover_ns + 2 * costs->touch_ns + message_ns;
    /* For each extent that is sent: */
    uint64_t copy_ns = costs->copy_ns + COSTS_PIECES * message_ns;

    /* 1024 faults for a loan: dearer than its copy even where one takes a third of a microsecond,
     * and one may be too short to be measured beside an exit. */
    if (!huge || copy_ns == 0)
        return FERRY_EXTENT_BYTES;
    uint64_t bytes = loan_ns * FERRY_EXTENT_BYTES / copy_ns;
    return bytes < FERRY_EXTENT_BYTES ? bytes : FERRY_EXTENT_BYTES;
}
