/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks the names of VMs and makes up those that were not given. */
#include "ipc/name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ipc/endpoint.h"
#include "ipc/exchange.h"
#include "lib/error.h"

static bool is_control(char character)
{
    unsigned char c = (unsigned char)character;

    return c < 0x20 || c == 0x7f;
}

/* In UTF-8, U+0080 to U+009F: a terminal may obey these too. */
static bool is_control_pair(const char *at)
{
    return (unsigned char)at[0] == 0xc2 && (unsigned char)at[1] >= 0x80 &&
           (unsigned char)at[1] < 0xa0;
}

static int check(const char *name, struct ferry_error *err)
{
    if (!name[0])
        return error_set(err, -EINVAL, "the name of a VM is empty; give it another, or none");
    for (const char *c = name; *c; c++)
        if (is_control(*c) || is_control_pair(c))
            return error_set(err, -EINVAL, "the name of a VM holds a control character");
    if (strlen(name) >= FERRY_NAME_BYTES)
        return error_set(err, -EINVAL, "the name '%.60s' is too long: at most %u bytes", name,
                         FERRY_NAME_BYTES - 1u);
    if (strcmp(name, NAME_OF_HOST) == 0)
        return error_set(err, -EINVAL, "a VM cannot be called '" NAME_OF_HOST "', as the host is");
    return 0;
}

/* Whether another that is there has this name. */
static bool is_taken(const struct endpoint *endpoint, const char *name)
{
    lock_assert_held(&endpoint->exchange->lock);
    const struct exchange *exchange = endpoint->exchange;

    if (strcmp(name, NAME_OF_HOST) == 0)
        return true;
    for (uint32_t i = 0; i < exchange->index_end; i++) {
        const struct endpoint *other = exchange->endpoints[i];
        if (other && other != endpoint && !endpoint_is_host(other) && !other->retired &&
            strcmp(other->name, name) == 0)
            return true;
    }
    return false;
}

/* Makes a name of the file's name, with a number behind it if that name
 * is taken. The first number is the endpoint's index, so hardly ever a second one is tried. */
static void make_up(const struct endpoint *endpoint, const char *program,
                    char name[FERRY_NAME_BYTES])
{
    lock_assert_held(&endpoint->exchange->lock);
    const char *slash = strrchr(program, '/');
    char base[FERRY_NAME_BYTES], suffix[16];

    snprintf(base, sizeof base, "%s", slash ? slash + 1 : program);
    for (char *c = base; *c; c++)
        if (is_control(*c) || is_control_pair(c))
            *c = '?';
    snprintf(name, FERRY_NAME_BYTES, "%s", base[0] ? base : "vm");
    for (unsigned n = endpoint->index + 1u; is_taken(endpoint, name); n++) {
        int length = snprintf(suffix, sizeof suffix, ".%u", n);
        snprintf(name, FERRY_NAME_BYTES, "%.*s%s", (int)FERRY_NAME_BYTES - 1 - length, base,
                 suffix);
    }
}

int name_endpoint(struct endpoint *endpoint, const char *name, const char *program,
                  struct ferry_error *err)
{
    struct exchange *exchange = endpoint->exchange;
    char chosen[FERRY_NAME_BYTES] = "";
    int result = name ? check(name, err) : 0;

    if (result < 0)
        return result;
    lock_take(&exchange->lock);
    if (!name) {
        make_up(endpoint, program, chosen);
    } else if (is_taken(endpoint, name)) {
        result =
            error_set(err, -EEXIST, "there is a VM '%s' already; its name must be another", name);
    } else {
        memcpy(chosen, name, strlen(name) + 1);
    }
    if (result == 0) {
        endpoint_lock(endpoint); /* a report of another VM may read it */
        memcpy(endpoint->name, chosen, sizeof endpoint->name);
        endpoint_unlock(endpoint);
    }
    lock_drop(&exchange->lock);
    return result;
}
