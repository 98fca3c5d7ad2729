/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page-table update: which parts of the pool a VM may access (claims 1, 8, 15).
 *
 * A window is one VM's mapping of the whole pool. Opening or closing part of it changes the host's
 * page table for that mapping, and KVM's MMU notifier carries the change into the nested or shadow
 * page table of the VM before the call returns. Nothing else is in this file, so that another
 * mechanism is another file.
 */
#ifndef FERRY_HOST_PAGE_TABLE_H
#define FERRY_HOST_PAGE_TABLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "lib/address.h"

enum window_access { WINDOW_CLOSED, WINDOW_READ, WINDOW_WRITE };

struct window {
    char *base; /* NULL: the host's, always open, as the VMM must reach every page */
    uint64_t bytes;
    /* Called before anything is opened while `hidden` is set, perhaps by several threads at once;
     * it clears that. -ENOMEM refuses the opening. */
    int (*show)(void *arg);
    void *show_arg;
    atomic_bool hidden;
};

/* Maps the pool file closed. The memory slot that shows it to the guest is the caller's, before
 * the first opening or by `show`. */
int window_create(struct window *window, int pool_fd, uint64_t bytes);
void window_destroy(struct window *window);

/* Where the window shows a place in the pool: the VMM's address. */
static inline char *window_at(const struct window *window, struct pool_offset offset)
{
    return window->base + offset.bytes;
}

/* Changes the rights on [offset, offset + bytes), all of which had the right `before`. All or
 * nothing: -ENOMEM (too many mappings: vm.max_map_count) leaves everything as it was. Any thread,
 * any time between create and destroy, also while the guest runs. */
int window_set(struct window *window, struct pool_offset offset, uint64_t bytes,
               enum window_access before, enum window_access access);

#endif
