/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files that keep results which would take long to find out again. They are only an aid: if
 * anything is wrong with one, the result is found out again. */
#ifndef FERRY_HOST_KEPT_FILE_H
#define FERRY_HOST_KEPT_FILE_H

#include <stddef.h>
#include <sys/types.h>

#define KEPT_PATH_BYTES 4096

/* Reads at most `bytes` of a regular file; -1: there is none, or it cannot be read. Never
 * blocks. */
ssize_t kept_file_read(const char *path, void *buffer, size_t bytes);

/* Replaces the file as a whole. Its directory must be there. 0 or a negative errno. */
int kept_file_write(const char *path, const void *data, size_t bytes);

#endif
