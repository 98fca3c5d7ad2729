/* SPDX-License-Identifier: BSD-2-Clause */
/* What faults.c and who drives it share: the report, also as the file FAULT_FILE. */
#ifndef FERRY_TESTS_FAULTS_H
#define FERRY_TESTS_FAULTS_H

#include <stdatomic.h>
#include <stdint.h>

#define FAULT_CALLS 160

enum fault_mode { FAULT_ONCE, FAULT_ALL, FAULT_EVERY_SECOND };

struct fault_report {
    uint32_t target; /* 1 + the place in `calls`; 0: none */
    uint32_t nth;
    int32_t code; /* errno; 0: the usual one */
    _Atomic uint32_t hit;
    uint32_t mode; /* enum fault_mode */
    uint32_t is_short;
    uint64_t offset; /* of the caller, in `file` */
    char file[40];
    _Atomic int64_t blocks; /* of memory that were allocated and not freed */
    struct {
        char name[28];
        _Atomic uint32_t uses;
    } calls[FAULT_CALLS];
};

/* For a program that makes many runs in one process. Weak: whether it runs under faults.c shows by that. */
#define FAULT_API __attribute__((weak, visibility("default")))
FAULT_API struct fault_report *fault_report(void);
/* From here on uses are counted anew, and what the text says fails, as in FAULT; NULL: nothing fails. */
FAULT_API void fault_aim(const char *text);

#endif
