/* SPDX-License-Identifier: BSD-2-Clause */
/* The stream layer as programs call it: with the library's lock. */
#include <ferry/guest.h>

#include "lock.h"
#include "stream.h"

ssize_t ferry_input(const void **data)
{
    ferry_guest_lock();
    ssize_t bytes = ferry_stream_input(data);
    ferry_guest_unlock();
    return bytes;
}

ssize_t ferry_output(void **data, size_t want)
{
    ferry_guest_lock();
    ssize_t result = ferry_stream_await_sender();
    if (result == 0)
        result = ferry_stream_output(data, want);
    ferry_guest_unlock();
    return result;
}

int ferry_commit(size_t bytes)
{
    ferry_guest_lock();
    int result = ferry_stream_await_sender();
    if (result == 0)
        result = ferry_stream_commit(bytes);
    ferry_guest_unlock();
    return result;
}

int ferry_forward(void)
{
    ferry_guest_lock();
    int result = ferry_stream_await_sender();
    if (result == 0)
        result = ferry_stream_forward();
    ferry_guest_unlock();
    return result;
}

int ferry_flush(void)
{
    ferry_guest_lock();
    int result = ferry_stream_await_sender();
    if (result == 0)
        result = ferry_stream_flush();
    ferry_guest_unlock();
    return result;
}

int ferry_close(void)
{
    ferry_guest_lock();
    int result = ferry_stream_await_sender();
    if (result == 0)
        result = ferry_stream_close();
    ferry_guest_unlock();
    return result;
}
