/* SPDX-License-Identifier: BSD-2-Clause */
/* The stream layer of a program that runs as an ordinary process. */
#ifndef FERRY_GUEST_PROCESS_H
#define FERRY_GUEST_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

ssize_t ferry_process_input(const void **data);
ssize_t ferry_process_output(void **data, size_t want);
int ferry_process_commit(size_t bytes);
int ferry_process_forward(void);
int ferry_process_flush(void);
int ferry_process_close(void);

#endif
