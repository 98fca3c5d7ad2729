/* SPDX-License-Identifier: BSD-2-Clause */
/* The user's cache directory, as the XDG Base Directory Specification says. */
#include "cache.h"

#include <pwd.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* NULL: there is none. A missing home directory is not made: users of services often have none. */
static char *home_cache(const char *home)
{
    if (!home || !g_path_is_absolute(home) || !is_directory(home))
        return NULL;
    return g_build_filename(home, ".cache", NULL);
}

/* A relative or empty path would mean another directory for each place the command runs in, so it
 * is ignored. */
static char *user_cache(void)
{
    const char *xdg = g_getenv("XDG_CACHE_HOME");
    char *cache;

    if (xdg && g_path_is_absolute(xdg))
        return g_strdup(xdg);
    cache = home_cache(g_getenv("HOME"));
    if (!cache) {
        const struct passwd *user = getpwuid(getuid());

        cache = home_cache(user ? user->pw_dir : NULL);
    }
    return cache;
}

char *cache_path(void)
{
    char *cache = user_cache();

    if (!cache)
        return NULL;
    char *directory = g_build_filename(cache, "ferry", NULL);
    char *path = g_build_filename(directory, "crossover", NULL);

    g_mkdir_with_parents(directory, 0700);
    g_free(directory);
    g_free(cache);
    return path;
}
