/* SPDX-License-Identifier: BSD-2-Clause */
/* The first line of a script, as Linux reads it. */
#ifndef FERRY_HOST_SCRIPT_H
#define FERRY_HOST_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#define SCRIPT_HEAD_BYTES 256 /* Linux looks at no more (BINPRM_BUF_SIZE) */

struct script {
    char text[SCRIPT_HEAD_BYTES];       /* that the two point into */
    const char *interpreter, *argument; /* argument NULL: there is none */
};

/* Whether the head of a file, filled up with zeros, is that of a script. */
bool script_is(const char head[SCRIPT_HEAD_BYTES]);

/* Reads the line of a script. -ENOEXEC: no interpreter in it, or its name is cut off. */
int script_read(struct script *script, const char head[SCRIPT_HEAD_BYTES]);

#endif
