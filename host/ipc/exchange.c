/* SPDX-License-Identifier: BSD-2-Clause */
/* The exchange: making it, its table of endpoints, the figures of the ledger. */
#include "ipc/exchange.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/endpoint.h"
#include "ipc/link.h"
#include "lib/error.h"

/* --- who takes part ------------------------------------------------------------- */

/* The lowest index that is free. All below the hint are taken. */
static int64_t free_index(struct exchange *exchange)
{
    lock_assert_held(&exchange->lock);
    for (uint32_t i = exchange->free_index_hint; i < ENDPOINTS_MAX; i++) {
        exchange->free_index_hint = i;
        if (!exchange->endpoints[i] || exchange->endpoints[i]->retired)
            return i;
    }
    return -1;
}

/* Zeroed, and not touched before it is used: most of an endpoint is its queue, and most
 * queues are short. */
static struct endpoint *make_endpoint(void)
{
    struct endpoint *endpoint =
        mmap(NULL, sizeof *endpoint, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (endpoint == MAP_FAILED)
        return NULL;
    madvise(endpoint, sizeof *endpoint, MADV_NOHUGEPAGE);
    if (endpoint_init(endpoint) == 0)
        return endpoint;
    munmap(endpoint, sizeof *endpoint);
    return NULL;
}

/* Memory for an endpoint, that of a retired one if there is any. */
static struct endpoint *endpoint_memory(struct exchange *exchange)
{
    lock_assert_held(&exchange->lock);
    struct endpoint *endpoint = exchange->spare;

    if (endpoint) {
        exchange->spare = endpoint->next_spare;
        return endpoint;
    }
    endpoint = make_endpoint();
    if (endpoint) {
        endpoint->next_made = exchange->made;
        exchange->made = endpoint;
    }
    return endpoint;
}

/* Peers take a generation that comes back for the same program, and 0 is none. */
static bool next_generation(struct exchange *exchange, uint32_t *generation)
{
    lock_assert_held(&exchange->lock);
    if (exchange->generation == UINT32_MAX)
        return false;
    *generation = ++exchange->generation;
    return true;
}

int exchange_generation(struct exchange *exchange, uint32_t *generation)
{
    lock_take(&exchange->lock);
    bool any = next_generation(exchange, generation);
    lock_drop(&exchange->lock);
    return any ? 0 : -EAGAIN;
}

int exchange_endpoint_new(struct exchange *exchange, struct ferry_vm *vm, struct endpoint **out)
{
    uint32_t generation = 0;

    lock_take(&exchange->lock);
    int64_t index = free_index(exchange);
    bool any = !vm || next_generation(exchange, &generation);
    struct endpoint *endpoint = index >= 0 && any ? endpoint_memory(exchange) : NULL;
    if (endpoint) {
        endpoint_begin(endpoint, exchange, (uint16_t)index);
        endpoint->vm = vm;
        endpoint->id = vm ? (uint16_t)(index + 1) : 0;
        endpoint->generation = generation;
        exchange->endpoints[index] = endpoint;
        if (index >= exchange->index_end)
            exchange->index_end = (uint32_t)index + 1;
        *out = endpoint;
    }
    lock_drop(&exchange->lock);
    return endpoint ? 0 : any ? -ENOMEM : -EAGAIN;
}

/* Frees the resources of a retired endpoint. If no link leads to it, its memory may
 * also be used for another: only a thread that comes late can still have a pointer to it. */
static void recycle(struct exchange *exchange, struct endpoint *endpoint)
{
    lock_assert_held(&exchange->lock);
    if (!endpoint->retired || endpoint->out_count || endpoint->in_count)
        return;
    if (endpoint_is_host(endpoint) && endpoint->receive_buffers)
        munmap(endpoint->receive_buffers, (size_t)FERRY_TOKENS * FERRY_COPY_BYTES);
    if (endpoint->byte_stream)
        endpoint->stream_does->destroy(endpoint->byte_stream);
    endpoint->byte_stream = NULL;
    endpoint->receive_buffers = NULL;
    if (exchange->endpoints[endpoint->index] == endpoint)
        exchange->endpoints[endpoint->index] = NULL;
    endpoint->next_spare = exchange->spare;
    exchange->spare = endpoint;
}

void exchange_link_free(struct exchange *exchange, struct ferry_link *link)
{
    lock_assert_held(&exchange->lock);
    struct endpoint *from = link->from, *to = link->to;

    link_disconnect(link);
    link_free(link);
    recycle(exchange, from);
    recycle(exchange, to);
}

/* Frees those of its links whose other end is retired as well. */
static void free_links(struct exchange *exchange, struct endpoint *endpoint)
{
    lock_assert_held(&exchange->lock);
    for (uint32_t i = endpoint->out_count; i-- > 0;)
        if (endpoint->out[i]->to->retired)
            exchange_link_free(exchange, endpoint->out[i]);
    for (uint32_t i = endpoint->in_count; i-- > 0;)
        if (endpoint->in[i]->from->retired)
            exchange_link_free(exchange, endpoint->in[i]);
}

void exchange_endpoint_retire(struct exchange *exchange, struct endpoint *endpoint)
{
    lock_take(&exchange->lock);
    endpoint->retired = true;
    if (endpoint->index < exchange->free_index_hint)
        exchange->free_index_hint = endpoint->index;
    endpoint->control = NULL;
    endpoint->vm = NULL;
    if (endpoint->out_count || endpoint->in_count)
        free_links(exchange, endpoint);
    else
        recycle(exchange, endpoint);
    lock_drop(&exchange->lock);
}

static void free_endpoints(struct exchange *exchange)
{
    while (exchange->made) {
        struct endpoint *endpoint = exchange->made;
        exchange->made = endpoint->next_made;
        endpoint_fini(endpoint);
        munmap(endpoint, sizeof *endpoint);
    }
}

/* --- making --------------------------------------------------------------------- */

int exchange_create(struct exchange *exchange, uint32_t pages, uint32_t extents,
                    struct ferry_error *err)
{
    lock_init(&exchange->lock, LOCK_TABLES);
    int result = pool_create(&exchange->pool, pages, extents);
    if (result < 0)
        return error_set(err, result, "cannot make a pool of %u extents and %u pages: %s", extents,
                         pages, strerror(-result));
    result = ledger_create(&exchange->ledger, &exchange->pool);
    return result < 0 ? error_set(err, result, "no memory for the ledger") : 0;
}

void exchange_destroy(struct exchange *exchange)
{
    free_endpoints(exchange);
    ledger_destroy(&exchange->ledger);
    pool_destroy(&exchange->pool);
    lock_fini(&exchange->lock);
}

/* --- books ---------------------------------------------------------------------- */

/* The lock is held, so that no endpoint begins meanwhile. Tells which endpoints may own or hold
 * units. An endpoint that is ending may, until it is settled. */
static void note_alive(struct exchange *exchange, bool alive[ENDPOINTS_MAX])
{
    lock_assert_held(&exchange->lock);
    for (uint32_t i = 0; i < ENDPOINTS_MAX; i++) {
        struct endpoint *endpoint = exchange->endpoints[i];
        if (!endpoint)
            continue;
        endpoint_lock(endpoint);
        alive[i] = !endpoint->settled;
        endpoint_unlock(endpoint);
    }
}

void exchange_count(struct exchange *exchange, struct ferry_ledger *out)
{
    bool alive[ENDPOINTS_MAX] = {false};

    *out = (struct ferry_ledger){.extents = exchange->pool.extents, .pages = exchange->pool.pages};
    lock_take(&exchange->lock);
    note_alive(exchange, alive);
    for (uint32_t i = 0; i < pool_units(&exchange->pool); i++) {
        struct ledger_unit unit = ledger_look(&exchange->ledger, i);
        bool orphan = unit.owner == LEDGER_NOBODY;
        if (unit.state == UNIT_FREE)
            out->free++;
        else if (!alive[unit.holder] || (!orphan && !alive[unit.owner]))
            out->leaked++;
        else if (unit.state == UNIT_LENT)
            out->lent++;
        else
            out->owned++;
    }
    lock_drop(&exchange->lock);
}
