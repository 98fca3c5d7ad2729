/* SPDX-License-Identifier: BSD-2-Clause */
/* The page-table update: mprotect on a window over the pool. */
#include "pool/page_table.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "lib/mapping.h"

static const int prot_of[] = {
    [WINDOW_CLOSED] = PROT_NONE,
    [WINDOW_READ] = PROT_READ,
    [WINDOW_WRITE] = PROT_READ | PROT_WRITE,
};

int window_create(struct window *window, int pool_fd, uint64_t bytes)
{
    window->base = mapping_aligned(bytes, PROT_NONE, MAP_SHARED, pool_fd);
    if (!window->base)
        return -errno;
    window->bytes = bytes;
    /* Same-page merging and fork would both give a page a second mapping
     * that the ledger knows nothing of. */
    madvise(window->base, bytes, MADV_DONTFORK);
    return 0;
}

void window_destroy(struct window *window)
{
    if (window->base)
        munmap(window->base, window->bytes);
    window->base = NULL;
}

int window_set(struct window *window, struct pool_offset offset, uint64_t bytes,
               enum window_access before, enum window_access access)
{
    if (!window->base)
        return 0;
    if (access != WINDOW_CLOSED && atomic_load(&window->hidden)) {
        int result = window->show(window->show_arg);

        if (result < 0)
            return result;
    }
    if (mprotect(window_at(window, offset), bytes, prot_of[access]) == 0)
        return 0;
    int saved = -errno;
    /* The range may be several mappings and mprotect may have changed the
     * first of them. Going back only merges what it split, so it needs no
     * new mapping and cannot fail for the same reason. */
    mprotect(window_at(window, offset), bytes, prot_of[before]);
    return saved;
}
