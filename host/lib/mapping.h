/* SPDX-License-Identifier: BSD-2-Clause */
/* Host mappings at 2 MiB-aligned addresses, which huge pages need. */
#ifndef FERRY_HOST_MAPPING_H
#define FERRY_HOST_MAPPING_H

#include <stdint.h>

/* As mmap with offset 0, at an address aligned to 2 MiB; NULL with errno set. */
void *mapping_aligned(uint64_t bytes, int prot, int flags, int fd);

#endif
