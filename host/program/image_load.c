/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns how a checked image becomes memory of a program. File pages are mapped privately, not
 * copied: pages that no VM writes to exist once for all VMs.
 */
#include <errno.h>
#include <string.h>

#include "program/image_internal.h"

struct loader {
    const struct image *image;
    struct space *space;
    uint64_t bias;       /* from addresses as linked to those in the space */
    uint64_t mapped_end; /* first page not yet mapped */
};

/* Puts the segment's part of one mapped page in place: its file bytes if asked for, and zeros from
 * there to the end of the page if it has any (segments come in order, so that belongs to no other
 * yet). The bytes before the segment stay. Ends with rights `prot`. */
static int fill_page(const struct loader *loader, const struct image_segment *segment,
                     uint64_t page, unsigned prot, bool with_file)
{
    uint64_t start = segment->addr + loader->bias;
    uint64_t file_end = start + segment->file_bytes, end = start + segment->memory_bytes;
    uint64_t page_end = page + FERRY_PAGE_BYTES, zero_from = max_u64(file_end, page);
    unsigned write = SPACE_READ | SPACE_WRITE, had = space_prot(loader->space, guest_addr(page));
    int result = 0;
    char *host;

    if ((had & write) != write)
        result = space_protect(loader->space, guest_addr(page), FERRY_PAGE_BYTES, write);
    if (result)
        return result;
    host = space_at(loader->space, guest_addr(page), FERRY_PAGE_BYTES, write);
    if (!host)
        return -EFAULT;
    if (with_file && file_end > start) {
        uint64_t from = max_u64(start, page), to = min_u64(file_end, page_end);

        /* The range lies within the page and, as image_check saw to it, within the copy. */
        result = image_pread(loader->image->fd, host + (from - page), to - from,
                             segment->offset + (from - start));
        if (result)
            return result;
    }
    if (end > file_end && page_end > zero_from)
        memset(host + (zero_from - page), 0, page_end - zero_from);
    /* Only where they change: each call may split a region. */
    return had == prot && (had & write) == write
               ? 0
               : space_protect(loader->space, guest_addr(page), FERRY_PAGE_BYTES, prot);
}

static int load_segment(struct loader *loader, const struct image_segment *segment)
{
    uint64_t start = segment->addr + loader->bias;
    uint64_t file_end = start + segment->file_bytes, end = start + segment->memory_bytes;
    uint64_t first = page_down(start), file_stop;
    int result = 0;

    if (first < loader->mapped_end) {
        /* The page begins with the segment before: it gets the bytes of both and the
         * rights of both, since a page cannot have less. */
        unsigned prot = segment->prot | space_prot(loader->space, guest_addr(first));

        result = fill_page(loader, segment, first, prot, true);
        first += FERRY_PAGE_BYTES;
    }
    file_stop = segment->file_bytes ? max_u64(page_up(file_end), first) : first;
    if (!result && file_stop > first)
        /* Offset and address are equal within a page, so this does not go below 0. */
        result = space_map_file(loader->space, guest_addr(first), file_stop - first, segment->prot,
                                loader->image->fd, segment->offset + first - start);
    /* The last page continues with the next bytes of the file, but bss needs zeros. */
    if (!result && file_stop > first && end > file_end && file_end < file_stop)
        result = fill_page(loader, segment, file_stop - FERRY_PAGE_BYTES, segment->prot, false);
    if (!result && page_up(end) > file_stop)
        result = space_map(loader->space, guest_addr(file_stop), page_up(end) - file_stop,
                           segment->prot);
    loader->mapped_end = page_up(end);
    return result;
}

uint64_t image_shift_of_loader(const struct image *image)
{
    return image->bias ? IMAGE_LOADER_SHIFT : 0;
}

int image_load(struct image *image, uint64_t shift, struct space *space, struct ferry_error *err)
{
    struct loader loader = {.image = image, .space = space, .bias = image->bias + shift};
    int result = image_copy_wait(image, err);

    if (result)
        return result;
    result = space_charge(space, image->unshared_bytes);

    for (size_t i = 0; i < image->segment_count && result == 0; i++)
        result = load_segment(&loader, &image->segments[i]);
    if (result == -ENOMEM)
        return image_no_room(image, err);
    if (result)
        return image_fail(err, result, image->path, "mapping it: %s", strerror(-result));
    return 0;
}
