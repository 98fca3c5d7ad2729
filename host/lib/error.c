/* SPDX-License-Identifier: BSD-2-Clause */
/* One line for people about what failed. */
#include "lib/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/rlimits.h"

int error_set(struct ferry_error *err, int code, const char *format, ...)
{
    va_list args;

    if (!err)
        return code;
    /* A text with a semicolon already says what to do. */
    bool advises = strchr(format, ';') != NULL;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (!advises)
        rlimits_advise(err->text, sizeof err->text, code);
    return code;
}
