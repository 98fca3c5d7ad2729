/* SPDX-License-Identifier: BSD-2-Clause */
/* What faults.c and who drives it share: the report, also as the file FAULT_FILE. */
#ifndef FERRY_TESTS_FAULTS_H
#define FERRY_TESTS_FAULTS_H

#include <stdatomic.h>
#include <stdint.h>

#define FAULT_CALLS 160

struct fault_report {
    uint32_t target; /* 1 + the place in `calls`; 0: none */
    uint32_t nth;
    int32_t code; /* errno; 0: the usual one */
    uint32_t hit;
    uint64_t offset; /* of the caller, in `file` */
    char file[40];
    _Atomic int64_t blocks; /* of memory that were allocated and not freed */
    struct {
        char name[28];
        _Atomic uint32_t uses;
    } calls[FAULT_CALLS];
};

/* A weak reference tells whether faults.c is there. */
__attribute__((weak, visibility("default"))) struct fault_report *fault_report(void);

#endif
