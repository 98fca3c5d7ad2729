/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files that keep results which would take long to find out again. */
#include "lib/kept_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t kept_file_read(const char *path, void *buffer, size_t bytes)
{
    struct stat st;
    ssize_t got = -1;

    /* Opened without blocking, as it might be a pipe. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        got = read(fd, buffer, bytes);
    close(fd);
    return got;
}

static int write_whole(int fd, const void *data, size_t bytes)
{
    ssize_t done = write(fd, data, bytes);

    if (done < 0)
        return -errno;
    return (size_t)done == bytes ? 0 : -ENOSPC;
}

int kept_file_write(const char *path, const void *data, size_t bytes)
{
    char fresh[KEPT_PATH_BYTES];

    if (snprintf(fresh, sizeof fresh, "%s.XXXXXX", path) >= (int)sizeof fresh)
        return -ENAMETOOLONG;
    int fd = mkostemp(fresh, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = write_whole(fd, data, bytes);
    if (close(fd) < 0 && result == 0)
        result = -errno;
    if (result == 0 && rename(fresh, path) < 0)
        result = -errno;
    if (result < 0)
        unlink(fresh);
    return result;
}
