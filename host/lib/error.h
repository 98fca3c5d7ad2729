/* SPDX-License-Identifier: BSD-2-Clause */
/* One line for people about what failed: what, why, what to do. */
#ifndef FERRY_HOST_ERROR_H
#define FERRY_HOST_ERROR_H

#include <ferry/ferry.h>

/* Writes err->text, unless err is NULL, and returns `code`. */
int error_set(struct ferry_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
