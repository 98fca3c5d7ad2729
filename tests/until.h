/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting in a test for what another thread does: it comes, or the test says what did not. And for how
 * long a race goes on. */
#ifndef FERRY_TESTS_UNTIL_H
#define FERRY_TESTS_UNTIL_H

#include <sched.h>
#include <stdbool.h>
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

#define RACE_SECONDS 10 /* on a machine that others keep busy */

/* Whether a race that began then goes on: until there was enough of it, for a while if there was at
 * least something, and as long as one waits for anything else if there was nothing. */
static inline bool race_goes_on(time_t begun, bool enough, bool something)
{
    return !enough && time(NULL) - begun <= (something ? RACE_SECONDS : UNTIL_SECONDS);
}

#endif
