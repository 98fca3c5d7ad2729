/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes the input of pipelines. */
#include "pipeline_input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#define BLOCK_BYTES (64u << 20) /* of libraries; the rest of the file repeats them */

static void add_file(GByteArray *block, const char *path)
{
    char *content;
    gsize length;

    if (!g_file_test(path, G_FILE_TEST_IS_REGULAR) ||
        !g_file_get_contents(path, &content, &length, NULL))
        return;
    g_byte_array_append(block, (guint8 *)content, (guint)MIN(length, BLOCK_BYTES - block->len));
    g_free(content);
}

static void add_directory(GByteArray *block, const char *path)
{
    GDir *directory = g_dir_open(path, 0, NULL);
    const char *name;

    while (directory && block->len < BLOCK_BYTES && (name = g_dir_read_name(directory))) {
        char *file = g_build_filename(path, name, NULL);

        add_file(block, file);
        g_free(file);
    }
    if (directory)
        g_dir_close(directory);
}

static int write_repeated(int fd, const GByteArray *block, size_t bytes)
{
    while (bytes > 0) {
        ssize_t done = write(fd, block->data, MIN(bytes, block->len));

        if (done < 0 && errno != EINTR)
            return -errno;
        if (done > 0)
            bytes -= (size_t)done;
    }
    return 0;
}

int pipeline_input(size_t bytes)
{
    static const char *const directories[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib64",
                                              "/usr/bin"};
    GByteArray *block = g_byte_array_new();
    char *path = g_build_filename(g_get_tmp_dir(), "ferry-bench.XXXXXX", NULL);
    int fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600), result = 0;

    if (fd < 0)
        result = -errno;
    else
        unlink(path);
    for (size_t i = 0; result == 0 && i < G_N_ELEMENTS(directories); i++)
        add_directory(block, directories[i]);
    if (result == 0)
        result = block->len ? write_repeated(fd, block, bytes) : -ENODATA;
    if (result != 0 && fd >= 0)
        close(fd);
    g_free(path);
    g_byte_array_free(block, TRUE);
    return result ? result : fd;
}
