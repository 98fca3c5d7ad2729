/* SPDX-License-Identifier: BSD-2-Clause */
/* Capabilities, which Linux keeps for each thread by itself. */
#ifndef FERRY_HOST_CAPABILITIES_H
#define FERRY_HOST_CAPABILITIES_H

#include <stdbool.h>
#include <stdint.h>

/* What a program that the calling thread starts could have at most, without the right to say so nothing is
 * done. */
void capabilities_bound(uint64_t keep);

/* The calling thread, and those that it starts later, keep of their capabilities those of `keep`, by
 * bits, and lose all others for ever. 0 or a negative errno. */
int capabilities_keep(uint64_t keep);

/* Whether the calling thread has any. */
bool capabilities_any(void);

#endif
