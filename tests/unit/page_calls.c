/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands in front of mprotect. */
#include "page_calls.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

struct page_call page_calls[PAGE_CALLS_MAX];
uint32_t page_call_count;

static struct endpoint *const *watched;
static uint32_t watched_count, fails_at;

int __real_mprotect(void *addr, size_t bytes, int rights);
int __wrap_mprotect(void *addr, size_t bytes, int rights);

static const struct endpoint *owner_of(const void *addr)
{
    for (uint32_t i = 0; i < watched_count; i++)
        if ((uintptr_t)addr - (uintptr_t)watched[i]->window.base < watched[i]->window.bytes)
            return watched[i];
    return NULL;
}

int __wrap_mprotect(void *addr, size_t bytes, int rights)
{
    const struct endpoint *of = owner_of(addr);

    if (of && page_call_count < PAGE_CALLS_MAX) {
        page_calls[page_call_count++] = (struct page_call){of, rights};
        if (page_call_count == fails_at) {
            errno = ENOMEM;
            return -1;
        }
    }
    return __real_mprotect(addr, bytes, rights);
}

void page_calls_record(struct endpoint *const *endpoints, uint32_t count, uint32_t failing)
{
    watched = endpoints;
    watched_count = count;
    fails_at = failing;
    page_call_count = 0;
}

void page_calls_stop(void)
{
    watched_count = fails_at = 0;
}
