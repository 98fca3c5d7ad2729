/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where memory is refused to GLib, the command ends with a line of its own. GLib would end the process too, but takes
 * memory to say so, and where none is left at all calls itself until its stack is used up: the linker puts
 * these functions in the place of those that it asks (--wrap). What it takes as slices, before 2.76, is not
 * reached by them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "command.h"
#include "lib/rlimits.h"
#include "process.h"

/* A terminal would stay in the modes of a program. */
static _Noreturn void end(void)
{
    char line[256];

    process_restore_modes();
    snprintf(line, sizeof(line), "%s", strerror(ENOMEM));
    rlimits_advise(line, sizeof(line), -ENOMEM);
    say("%s", line);
    _exit(STATUS_FERRY);
}

static void *or_end(void *memory, gsize bytes)
{
    if (!memory && bytes > 0)
        end();
    return memory;
}

static gsize product(gsize count, gsize bytes)
{
    gsize all;

    if (__builtin_mul_overflow(count, bytes, &all))
        end();
    return all;
}

/* What GLib promises: NULL for nothing. */
#define TAKE(bytes, memory) ((bytes) > 0 ? or_end(memory, bytes) : NULL)

void *__wrap_g_malloc(gsize bytes);
void *__wrap_g_malloc0(gsize bytes);
void *__wrap_g_realloc(void *old, gsize bytes);
void *__wrap_g_malloc_n(gsize count, gsize bytes);
void *__wrap_g_malloc0_n(gsize count, gsize bytes);
void *__wrap_g_realloc_n(void *old, gsize count, gsize bytes);

void *__wrap_g_malloc(gsize bytes)
{
    return TAKE(bytes, malloc(bytes));
}

void *__wrap_g_malloc0(gsize bytes)
{
    return TAKE(bytes, calloc(1, bytes));
}

void *__wrap_g_realloc(void *old, gsize bytes)
{
    if (bytes > 0)
        return or_end(realloc(old, bytes), bytes);
    free(old);
    return NULL;
}

void *__wrap_g_malloc_n(gsize count, gsize bytes)
{
    return __wrap_g_malloc(product(count, bytes));
}

void *__wrap_g_malloc0_n(gsize count, gsize bytes)
{
    return __wrap_g_malloc0(product(count, bytes));
}

void *__wrap_g_realloc_n(void *old, gsize count, gsize bytes)
{
    return __wrap_g_realloc(old, product(count, bytes));
}
