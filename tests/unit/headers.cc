// SPDX-License-Identifier: BSD-2-Clause
// Owns the C++ half of test_headers.c.
#include <ferry/ferry.h>
#include <ferry/guest.h>

#include "headers.h"

extern "C" const char *headers_cxx_version(void)
{
    int (*const host_send)(ferry_link *, const ferry_message *, uint64_t) = ferry_link_send;
    int64_t (*const guest_send)(const ferry_msg *, ferry_when) = ferry_send;

    return (void *)host_send != (void *)guest_send ? ferry_version() : nullptr;
}
