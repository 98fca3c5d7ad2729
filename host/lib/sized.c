/* SPDX-License-Identifier: BSD-2-Clause */
/* Structs of ferry.h: reading and filling the struct of an older or newer caller. */
#include "lib/sized.h"

#include <errno.h>
#include <string.h>

#include "lib/error.h"

#define MOST_BYTES 4096

int sized_check(size_t bytes, size_t first_bytes)
{
    if (bytes < first_bytes)
        return -EINVAL;
    return bytes > MOST_BYTES ? -E2BIG : 0;
}

int sized_take(void *own, size_t own_bytes, size_t first_bytes, const void *theirs, size_t bytes)
{
    int result = sized_check(bytes, first_bytes);

    if (result < 0)
        return result;
    for (size_t i = own_bytes; i < bytes; i++)
        if (((const char *)theirs)[i])
            return -E2BIG;
    size_t common = bytes < own_bytes ? bytes : own_bytes;
    memcpy(own, theirs, common);
    memset((char *)own + common, 0, own_bytes - common);
    return 0;
}

void sized_give(void *theirs, size_t bytes, const void *own, size_t own_bytes)
{
    size_t common = bytes < own_bytes ? bytes : own_bytes;

    memcpy(theirs, own, common);
    memset((char *)theirs + common, 0, bytes - common);
}

int sized_explain(struct ferry_error *err, int code, const char *name)
{
    if (code == -E2BIG)
        return error_set(err, code,
                         "the struct %s has members that libferry " FERRY_VERSION
                         " does not know; leave them 0, or use a newer libferry",
                         name);
    return error_set(err, code, "the struct %s is too short; see ferry/sized.h", name);
}

/* A struct that is shorter than in the first release would be read beyond its end. */
#define IS_NOT_LESS(type, first) _Static_assert(sizeof(struct type) >= (first), #type)
IS_NOT_LESS(ferry_engine_config, FIRST_ENGINE_CONFIG);
IS_NOT_LESS(ferry_ledger, FIRST_LEDGER);
IS_NOT_LESS(ferry_engine_info, FIRST_ENGINE_INFO);
IS_NOT_LESS(ferry_vm_config, FIRST_VM_CONFIG);
IS_NOT_LESS(ferry_vm_exit, FIRST_VM_EXIT);
IS_NOT_LESS(ferry_vm_stats, FIRST_VM_STATS);
IS_NOT_LESS(ferry_link_config, FIRST_LINK_CONFIG);
IS_NOT_LESS(ferry_link_stats, FIRST_LINK_STATS);
IS_NOT_LESS(ferry_identity, FIRST_IDENTITY);
IS_NOT_LESS(ferry_message, FIRST_MESSAGE);
IS_NOT_LESS(ferry_machine, FIRST_MACHINE);
IS_NOT_LESS(ferry_jail_config, FIRST_JAIL_CONFIG);
