/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds which limit of this process or machine refused something, and how to raise it. */
#ifndef FERRY_HOST_RLIMITS_H
#define FERRY_HOST_RLIMITS_H

#include <stddef.h>

/* Appends to the line `text` what to do about `code`, if that is a negative errno about missing
 * memory, descriptors or threads, or the size of a file; else appends nothing. */
void rlimits_advise(char *text, size_t bytes, int code);

/* What to do about a limit that leaves hardly any memory; NULL: there is no such limit. */
const char *rlimits_of_memory(void);

#endif
