/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's end of a link: making it, and ending it. */
#include "ipc/host_end.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "ipc/endpoint_end.h"
#include "ipc/exchange.h"
#include "ipc/name.h"

int host_end_new(struct exchange *exchange, const struct endpoint *peer, bool sends,
                 struct endpoint **out)
{
    int result = exchange_endpoint_new(exchange, NULL, out);
    if (result < 0)
        return result;
    struct endpoint *endpoint = *out;
    endpoint_lock(endpoint); /* a report on another thread may read these members */
    snprintf(endpoint->name, sizeof endpoint->name, NAME_OF_HOST);
    endpoint_unlock(endpoint);
    endpoint->most_extents = sends ? exchange->pool.extents : peer->most_extents;
    endpoint->most_pages = sends ? exchange->pool.pages : peer->most_pages;
    if (sends)
        shares_keep_for(&exchange->ledger.shares, endpoint->index);
    void *receive_buffers =
        mmap(NULL, (size_t)FERRY_TOKENS * FERRY_COPY_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (receive_buffers == MAP_FAILED) {
        result = -errno;
        exchange_endpoint_retire(exchange, endpoint);
        return result;
    }
    endpoint->receive_buffers = receive_buffers;
    return 0;
}

struct endpoint *host_end_of(const struct ferry_link *link)
{
    if (endpoint_is_host(link->from))
        return link->from;
    return endpoint_is_host(link->to) ? link->to : NULL;
}

struct endpoint *host_end_peer(const struct ferry_link *link)
{
    return endpoint_is_host(link->from) ? link->to : link->from;
}

void host_end_close(struct ferry_link *link)
{
    struct endpoint *host = host_end_of(link);

    host->stopping = true;
    endpoint_wake(host);
    link_close(link);
    endpoint_shutdown(host);
    link->given_up = true;
    exchange_endpoint_retire(link->exchange, host);
}

void host_end_close_all(struct endpoint *endpoint)
{
    for (uint32_t i = 0; i < endpoint->out_count; i++)
        if (endpoint_is_host(endpoint->out[i]->to) && !endpoint->out[i]->given_up)
            host_end_close(endpoint->out[i]);
    for (uint32_t i = 0; i < endpoint->in_count; i++)
        if (endpoint_is_host(endpoint->in[i]->from) && !endpoint->in[i]->given_up)
            host_end_close(endpoint->in[i]);
}
