/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the way from a name to a program in the tree of another system; see tree.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <glib.h>

#include "tree.h"
#include "words.h"

/* Where distributions have programs: PATH is about this one. */
static const char *const program_dirs[] = {"usr/local/bin", "usr/local/sbin", "usr/bin", "usr/sbin",
                                           "bin",           "sbin",           NULL};

/* The path on this machine of what a name in the tree leads to, through its links; NULL. */
static char *host_path(int root, const char *name)
{
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    int fd = (int)syscall(SYS_openat2, root, name, &how, sizeof how);
    char *link, *path;

    if (fd < 0)
        return NULL;
    link = g_strdup_printf("/proc/self/fd/%d", fd);
    path = g_file_read_link(link, NULL);
    g_free(link);
    close(fd);
    return path;
}

static int find_at(int root, const char *name, char **file)
{
    char *path = host_path(root, name);
    int result = path ? words_find_program(path, NULL, file) : -ENOENT;

    g_free(path);
    return result;
}

int tree_find_program(const char *root, const char *program, char **file)
{
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int result = -ENOENT;

    *file = NULL;
    if (fd < 0)
        return -errno;
    if (strchr(program, '/'))
        result = find_at(fd, program, file);
    for (size_t i = 0; program_dirs[i] && result == -ENOENT && !strchr(program, '/'); i++) {
        char *name = g_build_filename(program_dirs[i], program, NULL);

        result = find_at(fd, name, file);
        g_free(name);
    }
    close(fd);
    return result;
}
