/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands in front of endpoint_prepare and endpoint_block, for tests of what happens just before
 * somebody is known to wait. Nobody sleeps: each wait ends at once, as if its time were over. */
#ifndef FERRY_TESTS_WAIT_CALLS_H
#define FERRY_TESTS_WAIT_CALLS_H

/* Called once, when the next thread begins to wait. */
extern void (*before_prepare)(void);

/* Called once, in place of the next sleep, which ends by what it does. */
extern void (*instead_of_block)(void);

/* How often a thread would have slept for nothing. */
extern unsigned blocks;

#endif
