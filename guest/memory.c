/* SPDX-License-Identifier: BSD-2-Clause */
/* Units of the pool: getting them, giving them back, and finding the units around a range. */
#include <errno.h>

#include <ferry/abi/layout.h>
#include <ferry/guest.h>

#include "call.h"
#include "message.h"

void ferry_guest_units(const void *data, size_t bytes, uint64_t *addr, uint64_t *whole)
{
    const struct ferry_control_info *info = &ferry_control()->info;
    uint64_t start = (uintptr_t)data, end = start + bytes;
    uint64_t unit =
        start < info->window_base + info->small_bytes ? FERRY_PAGE_BYTES : FERRY_EXTENT_BYTES;

    *addr = start & ~(unit - 1);
    *whole = ((end + unit - 1) & ~(unit - 1)) - *addr;
}

static void *alloc(size_t count, uint64_t page)
{
    int64_t result = -ENOSYS;

    if (ferry_control() != NULL)
        result = ferry_guest_call(FERRY_CALL_ALLOC, count, page, 0);
    if (result < 0) {
        errno = (int)-result;
        return NULL;
    }
    return (void *)result;
}

void *ferry_alloc_extents(size_t count)
{
    return alloc(count, 0);
}

void *ferry_alloc_pages(size_t count)
{
    return alloc(count, 1);
}

int ferry_free(void *addr, size_t bytes)
{
    if (ferry_control() == NULL)
        return -ENOSYS;
    return (int)ferry_guest_call(FERRY_CALL_FREE, (uintptr_t)addr, bytes, 0);
}
