/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting in a test for what another thread does: it comes, or the test says what did not. */
#ifndef FERRY_TESTS_UNTIL_H
#define FERRY_TESTS_UNTIL_H

#include <sched.h>
#include <time.h>

#define UNTIL_SECONDS 60 /* a bound for what must come, never a pause */

/* On the main thread of a test; cmocka.h is included before. */
#define until(condition)                                                \
    do {                                                                \
        time_t until_begun = time(NULL);                                \
        while (!(condition)) {                                          \
            if (time(NULL) - until_begun > UNTIL_SECONDS)               \
                fail_msg("not in %d s: %s", UNTIL_SECONDS, #condition); \
            sched_yield();                                              \
        }                                                               \
    } while (0)

#endif
