/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the address space: which KVM memory slots stand behind it. */
#ifndef FERRY_HOST_SPACE_SLOTS_H
#define FERRY_HOST_SPACE_SLOTS_H

#include "space.h"

/* Adds slots until [start, end), page-aligned inside the program's part, is
 * covered. -ENOMEM: more slot memory than the space's limit justifies; what was
 * added stays. */
int space_slots_cover(struct space *space, uint64_t start, uint64_t end);

#endif
