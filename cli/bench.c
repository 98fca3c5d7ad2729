/* SPDX-License-Identifier: BSD-2-Clause */
/* `ferry bench`: executes the benchmark, which is a program of its own. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "command.h"

/* Its path, relative to this command: where the build puts it, else where it is installed. */
static const char *const places[] = {"bench/ferry-bench", FERRY_LIBEXEC "/ferry-bench"};

int command_bench(int argc, char **argv)
{
    char *self = g_file_read_link("/proc/self/exe", NULL);
    char *directory = self ? g_path_get_dirname(self) : g_strdup(".");
    int error = ENOENT;

    (void)argc;
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        char *path = g_build_filename(directory, places[i], NULL);

        argv[0] = path;
        execv(path, argv);
        if (errno != ENOENT)
            error = errno;
        g_free(path);
    }
    say("bench: cannot run ferry-bench: %s; it is built and installed with ferry: run 'make' "
        "or 'make install' again",
        strerror(error));
    g_free(directory);
    g_free(self);
    return error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN;
}
