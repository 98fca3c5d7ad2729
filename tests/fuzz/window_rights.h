/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the windows of some endpoints allow, unit by unit: stands in front of mprotect and writes down
 * what the kernel was asked for and did. A call may be made to fail, whole or half done.
 */
#ifndef FERRY_TESTS_WINDOW_RIGHTS_H
#define FERRY_TESTS_WINDOW_RIGHTS_H

#include "core_fixture.h"

#define RIGHTS_UNITS   1024u
#define RIGHTS_WINDOWS 16u

/* The endpoint's window, all closed, is watched under this number from now on; NULL: no longer. */
void rights_watch(unsigned number, const struct endpoint *endpoint);
enum window_access rights_of(unsigned number, uint32_t unit);
/* The `nth` call from now on (1: the next) fails for want of mappings; with `half` after it changed
 * the first of its units. 0: none does. */
void rights_fail(unsigned nth, bool half);
/* Whether one has failed since the last rights_fail. */
bool rights_failed(void);

#endif
