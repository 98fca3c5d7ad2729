/* SPDX-License-Identifier: BSD-2-Clause */
/* A host that refuses one change of its mappings: stands in front of mprotect, mmap and mremap. */
#ifndef FERRY_TESTS_HOST_REFUSES_H
#define FERRY_TESTS_HOST_REFUSES_H

#include <stdbool.h>

/* The `nth` change from now on (1: the next) fails for want of memory; 0: none. */
void host_refuse(unsigned nth);
/* Whether one has failed since. */
bool host_refused(void);

#endif
