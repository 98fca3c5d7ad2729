/* SPDX-License-Identifier: BSD-2-Clause */
/* The user's cache directory. */
#include "cache.h"

#include <glib.h>

char *cache_path(void)
{
    char *directory = g_build_filename(g_get_user_cache_dir(), "ferry", NULL);
    char *path = g_build_filename(directory, "crossover", NULL);

    g_mkdir_with_parents(directory, 0700);
    g_free(directory);
    return path;
}
