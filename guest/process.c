/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams over read and write, for a stage that runs outside a VM. It reads and writes as an
 * ordinary filter does, as much as a pipe holds at a time, so that the two can be compared.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include <ferry/abi/layout.h>

#include "lock.h"
#include "process.h"

#define PIPE_BYTES 65536u /* the default size of a pipe */

static struct {
    ssize_t piece; /* length of the current piece of input */
    size_t room;   /* what the last ferry_output gave */
    size_t filled;
    bool closed;
    uint8_t in[PIPE_BYTES];
    uint8_t out[FERRY_EXTENT_BYTES];
} process;

static int write_all(const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(STDOUT_FILENO, data, bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        data += written;
        bytes -= (size_t)written;
    }
    return 0;
}

int ferry_process_flush(void)
{
    size_t filled = process.filled;

    process.filled = 0;
    process.room = 0;
    return write_all(process.out, filled);
}

ssize_t ferry_process_input(const void **data)
{
    /* The read may wait, so what was committed goes first. */
    int result = ferry_process_flush();

    if (result != 0)
        return result;
    ferry_guest_unlock(); /* another thread may make output meanwhile */
    do
        process.piece = read(STDIN_FILENO, process.in, sizeof(process.in));
    while (process.piece < 0 && errno == EINTR);
    result = process.piece < 0 ? -errno : 0;
    ferry_guest_lock();
    *data = process.in;
    return result < 0 ? result : process.piece;
}

ssize_t ferry_process_output(void **data, size_t want)
{
    size_t limit = want > PIPE_BYTES ? sizeof(process.out) : PIPE_BYTES;

    if (process.closed)
        return -EPIPE;
    if (process.filled >= limit || limit - process.filled < want) {
        int result = ferry_process_flush();

        if (result != 0)
            return result;
    }
    process.room = limit - process.filled;
    *data = process.out + process.filled;
    return (ssize_t)process.room;
}

int ferry_process_commit(size_t bytes)
{
    if (bytes > process.room)
        return -EINVAL;
    process.room -= bytes;
    process.filled += bytes;
    return process.filled >= PIPE_BYTES ? ferry_process_flush() : 0;
}

int ferry_process_forward(void)
{
    size_t bytes;
    int result;

    if (process.piece <= 0)
        return -EINVAL;
    bytes = (size_t)process.piece;
    process.piece = 0;
    if (process.closed)
        return -EPIPE;
    result = ferry_process_flush();
    return result != 0 ? result : write_all(process.in, bytes);
}

int ferry_process_close(void)
{
    int result = ferry_process_flush();

    if (!process.closed && close(STDOUT_FILENO) != 0 && result == 0)
        result = -errno;
    process.closed = true;
    return result;
}
