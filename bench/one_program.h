/* SPDX-License-Identifier: BSD-2-Clause */
/* One guest program that measures by itself, as a process or in a VM of its own. */
#ifndef FERRY_BENCH_ONE_PROGRAM_H
#define FERRY_BENCH_ONE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

/* Runs it to its end. It writes the nanoseconds that its work took, 8 bytes, to standard error. */
int one_program(const char *program, char *const *argv, bool in_vm, uint64_t *ns);

#endif
