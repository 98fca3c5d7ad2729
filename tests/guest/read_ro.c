/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * read_ro PATH...: copies files to standard output.
 * read_ro -d PATH...: none of them may be opened, in no way.
 */
#include <fcntl.h>
#include <unistd.h>

#include "guest.h"

static void copy(const char *path)
{
    static char data[65536];
    int fd = open(path, O_RDONLY);
    ssize_t bytes;

    if (fd < 0)
        fail("%s: %s", path, strerror(errno));
    while ((bytes = read(fd, data, sizeof(data))) > 0)
        if (write(1, data, (size_t)bytes) != bytes)
            fail("write: %s", strerror(errno));
    if (bytes < 0)
        fail("%s: %s", path, strerror(errno));
    if (write(fd, "x", 1) != -1)
        fail("%s: could be written to", path);
    close(fd);
    if (open(path, O_RDWR) != -1 || open(path, O_WRONLY | O_TRUNC) != -1)
        fail("%s: could be opened for writing", path);
}

static void expect_denied(const char *path)
{
    static const int flags[] = {O_RDONLY, O_RDONLY | O_DIRECTORY, O_PATH, O_RDWR,
                                O_WRONLY | O_CREAT};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (open(path, flags[i], 0600) != -1)
            fail("%s: was opened with flags 0x%x", path, flags[i]);
}

int main(int argc, char **argv)
{
    bool denied = argc > 1 && strcmp(argv[1], "-d") == 0;

    expect_arguments(argc, denied ? 2 : 1, "read_ro [-d] PATH...");
    for (int i = denied ? 2 : 1; i < argc; i++) {
        if (denied)
            expect_denied(argv[i]);
        else
            copy(argv[i]);
    }
    return 0;
}
