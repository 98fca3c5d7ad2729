/* SPDX-License-Identifier: BSD-2-Clause */
/* See wait_calls.h. */
#include "wait_calls.h"

#include <errno.h>

#include "ipc/endpoint.h"

uint32_t __real_endpoint_prepare(struct endpoint *endpoint);
uint32_t __wrap_endpoint_prepare(struct endpoint *endpoint);
int __wrap_endpoint_block(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns);

void (*before_prepare)(void), (*instead_of_block)(void);
unsigned blocks;

uint32_t __wrap_endpoint_prepare(struct endpoint *endpoint)
{
    void (*act)(void) = before_prepare;

    before_prepare = NULL;
    if (act)
        act();
    return __real_endpoint_prepare(endpoint);
}

/* Nobody here wakes a thread that sleeps. */
int __wrap_endpoint_block(struct endpoint *endpoint, uint32_t seen, uint64_t deadline_ns)
{
    (void)endpoint;
    (void)seen;
    (void)deadline_ns;
    void (*act)(void) = instead_of_block;

    instead_of_block = NULL;
    if (act) {
        act();
        return 0;
    }
    blocks++;
    return -ETIMEDOUT;
}
