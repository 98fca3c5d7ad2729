/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * search_finds own|given|nothing: what the search is worth. `own` makes the secret in its own memory,
 * `given` waits for what the peer sends, and takes nothing of it.
 */
#include "../secret.h"
#include "call.h"
#include "guest.h"

static volatile char own[FERRY_PAGE_BYTES];

int main(int argc, char **argv)
{
    const char *hidden = getenv("HIDDEN");

    expect_arguments(argc, 1, "search_finds own|given|nothing");
    if (strcmp(argv[1], "own") == 0)
        for (int i = 0; i < SECRET_BYTES; i++)
            own[1000 + i] = (char)(hidden[i] - 1);
    if (strcmp(argv[1], "given") == 0 &&
        ferry_guest_call(FERRY_CALL_WAIT, FERRY_EVENT_IN, PATIENCE_NS, 0) != FERRY_EVENT_IN)
        fail("nothing came");
    return 0;
}
