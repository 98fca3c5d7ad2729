/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands in front of mprotect and knows the rights of every unit. */
#include "window_rights.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"

static struct watched {
    const struct endpoint *endpoint;
    uint8_t access[RIGHTS_UNITS];
} watched[RIGHTS_WINDOWS];
static unsigned fails_in;
static bool fails_half, failed;

int __real_mprotect(void *addr, size_t bytes, int rights);
int __wrap_mprotect(void *addr, size_t bytes, int rights);

void rights_watch(unsigned number, const struct endpoint *endpoint)
{
    FUZZ_ASSERT(number < RIGHTS_WINDOWS);
    memset(&watched[number], 0, sizeof watched[number]);
    watched[number].endpoint = endpoint;
}

enum window_access rights_of(unsigned number, uint32_t unit)
{
    return (enum window_access)watched[number].access[unit];
}

void rights_fail(unsigned nth, bool half)
{
    fails_in = nth;
    fails_half = half;
    failed = false;
}

bool rights_failed(void)
{
    return failed;
}

static struct watched *window_with(const char *addr)
{
    for (unsigned i = 0; i < RIGHTS_WINDOWS; i++) {
        const struct endpoint *endpoint = watched[i].endpoint;
        if (endpoint && endpoint->window.base &&
            (uint64_t)(addr - endpoint->window.base) < endpoint->window.bytes)
            return &watched[i];
    }
    return NULL;
}

static void note(struct watched *of, const char *addr, size_t bytes, int rights)
{
    const struct pool *pool = &of->endpoint->exchange->pool;
    enum window_access access = rights & PROT_WRITE  ? WINDOW_WRITE
                                : rights & PROT_READ ? WINDOW_READ
                                                     : WINDOW_CLOSED;
    uint64_t offset = (uint64_t)(addr - of->endpoint->window.base);
    struct units units;

    FUZZ_ASSERT(pool_covering(pool, (struct pool_offset){offset}, bytes, &units));
    FUZZ_ASSERT(units_bytes(pool, units) == bytes); /* whole units alone change hands */
    FUZZ_ASSERT(units.first + units.count <= RIGHTS_UNITS);
    memset(of->access + units.first, (int)access, units.count);
}

int __wrap_mprotect(void *addr, size_t bytes, int rights)
{
    struct watched *of = window_with(addr);
    uint64_t unit = of ? pool_unit_bytes(&of->endpoint->exchange->pool, 0) : 0;

    if (of && fails_in && --fails_in == 0) {
        failed = true;
        if (fails_half && bytes > unit && bytes % FERRY_EXTENT_BYTES &&
            __real_mprotect(addr, unit, rights) == 0)
            note(of, addr, unit, rights);
        errno = ENOMEM;
        return -1;
    }
    int result = __real_mprotect(addr, bytes, rights);
    if (of && result == 0)
        note(of, addr, bytes, rights);
    return result;
}
