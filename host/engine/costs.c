/* SPDX-License-Identifier: BSD-2-Clause */
/* The crossover that follows from the costs of this machine. */
#include "engine/costs.h"

#include <ferry/abi/layout.h>

#include "ipc/link.h"

uint64_t costs_crossover(const struct costs *costs, bool huge)
{
    /* Messages share exits: with a full link each side makes one exit for all messages in
     * flight. */
    uint64_t message_ns = costs->exit_ns / LINK_MESSAGES_DEFAULT;
    /* Both sides touch the extent. Loans that are released together go home in one call for the
     * batch, so each pays only for the way to the receiver. */
    uint64_t loan_ns = costs->handover_ns + 2 * costs->touch_ns + message_ns;
    /* For each extent that is sent: */
    uint64_t copy_ns = costs->copy_ns + COSTS_PIECES * message_ns;

    /* Without huge pages a loan takes 1024 faults. That costs more than a copy even where a fault
     * takes a third of a microsecond, which may be too short to be measured beside an exit. */
    if (!huge || copy_ns == 0)
        return FERRY_EXTENT_BYTES;
    uint64_t bytes = loan_ns * FERRY_EXTENT_BYTES / copy_ns;
    return bytes < FERRY_EXTENT_BYTES ? bytes : FERRY_EXTENT_BYTES;
}
