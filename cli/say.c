/* SPDX-License-Identifier: BSD-2-Clause */
/* One-line messages on standard error. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

void say(const char *format, ...)
{
    char line[2048] = "ferry: ";
    size_t used = strlen(line);
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    size_t end = strlen(line);
    for (size_t i = used; i < end; i++) {
        unsigned char c = (unsigned char)line[i];

        if (c < 0x20 || c == 0x7f)
            line[i] = '?';
    }
    line[end++] = '\n';
    /* Nobody to tell if this fails. */
    if (write(STDERR_FILENO, line, end) < 0)
        return;
}
