/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls that libferry makes, counted where they are made: a test that is linked with
 * host_calls.c has its own mprotect, madvise, mmap, munmap and ioctl, which the library uses. So
 * a call that Ferry's own figures leave out shows too.
 */
#ifndef FERRY_TESTS_HOST_CALLS_H
#define FERRY_TESTS_HOST_CALLS_H

#include <stdint.h>

struct host_calls {
    uint64_t memory; /* calls that change this process's page table */
    uint64_t ioctls;
};

/* Of all threads so far. */
struct host_calls host_calls_made(void);

#endif
