/* SPDX-License-Identifier: BSD-2-Clause */
/* Which limit of this process or machine refused something, and how it is raised. */
#ifndef FERRY_HOST_RLIMITS_H
#define FERRY_HOST_RLIMITS_H

#include <stddef.h>

/* Appends to the line `text` what to do about `code`, a negative errno that came for want of
 * memory, descriptors or threads, or of size of a file; nothing for any other. */
void rlimits_advise(char *text, size_t bytes, int code);

/* What to do about a limit of memory that leaves hardly any; NULL: there is none. */
const char *rlimits_of_memory(void);

#endif
