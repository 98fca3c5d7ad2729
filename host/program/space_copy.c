/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the copy of a program's memory for a process that it forks: private memory is copied, page by
 * page as far as there are pages; shared memory is mapped a second time.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "program/space_internal.h"

#define PAGE FERRY_PAGE_BYTES
/* So many pages are looked at in one call. */
#define LOOK_PAGES 512

static unsigned asked_rights(unsigned kind)
{
    return kind & SPACE_UNASKED ? (kind & RIGHTS) & ~(unsigned)SPACE_READ : kind & RIGHTS;
}

/* Copies [start, end), up to LOOK_PAGES, which the host may read in the one space and write in the other. */
static int copy_some(struct space *to, const struct space *from, uint64_t start, uint64_t end,
                     bool live)
{
    unsigned char there[LOOK_PAGES];

    if (mincore(space_host(from, start), end - start, there) < 0)
        return -errno;
    for (uint64_t at = start, next; at < end; at = next) {
        bool is_there = there[(at - start) / PAGE] & 1;

        for (next = at + PAGE; next < end && (there[(next - start) / PAGE] & 1) == is_there;)
            next += PAGE;
        if (is_there)
            reach_read(space_host(to, at), (struct reach){space_host(from, at), live}, next - at);
    }
    return 0;
}

static int copy_pages(struct space *to, struct space *from, const struct space_region *region)
{
    bool shut = !(region->prot & RIGHTS);
    int result = 0;

    if (shut && space_host_protect(from, region->start, region->end - region->start, PROT_READ))
        return -ENOMEM;
    for (uint64_t at = region->start, end; at < region->end && !result; at = end) {
        end = min_u64(at + LOOK_PAGES * PAGE, region->end);
        result = copy_some(to, from, at, end, region->prot & LIVE);
    }
    if (shut)
        space_host_protect(from, region->start, region->end - region->start, PROT_NONE);
    return result;
}

static int copy_private(struct space *to, struct space *from, const struct space_region *region)
{
    const struct guest_addr start = guest_addr(region->start);
    uint64_t bytes = region->end - region->start;
    unsigned asked = asked_rights(region->prot);
    bool empty = !(region->prot & (CHARGED | LIVE)) || region->prot & BEYOND;
    int result;

    if (region->prot & CLOSED)
        return space_map_by_touch(to, start, bytes, asked | (region->prot & SPACE_NORESERVE));
    if (empty)
        return space_map(to, start, bytes, 0);
    result = space_map(to, start, bytes, asked | SPACE_READ | SPACE_WRITE);
    if (!result)
        result = copy_pages(to, from, region);
    return result ? result : space_protect(to, start, bytes, asked);
}

/* A second mapping of the same pages: the length 0 asks the kernel for that. */
static int map_again(struct space *to, const struct space *from, const struct space_region *region)
{
    const int how = MREMAP_MAYMOVE | MREMAP_FIXED;
    uint64_t bytes = region->end - region->start;
    int result = space_reserve_fresh(to, region->start, region->end, ALONE, 0);

    if (!result && !space_take_part(to, region->start))
        result = -ENOMEM;
    if (!result)
        result = space_guest_reach(to, region->start, region->end, region->prot & RIGHTS, false);
    if (result)
        return result;
    if (mremap(space_host(from, region->start), 0, bytes, how, space_host(to, region->start)) ==
        MAP_FAILED)
        return -ENOMEM;
    space_set_region(to, region->start, region->end,
                     region->prot & ~(unsigned)(CHARGED | CHARGED_TWICE));
    return 0;
}

/* Memory that only one process had was shared in name. Now it becomes that of a file in memory. */
static int make_shared(struct space *space, const struct space_region *region)
{
    uint64_t bytes = region->end - region->start;
    struct space_label label = region->label;
    unsigned asked = asked_rights(region->prot);
    bool live = region->prot & LIVE;
    int fd = memfd_create("ferry-shared", MFD_CLOEXEC), result = 0;
    char *all;

    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || space_charge(space, bytes))
        result = -ENOMEM;
    all = result ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (all == MAP_FAILED)
        result = -ENOMEM;
    if (!result && !(region->prot & CLOSED) && region->prot & RIGHTS)
        reach_read(all, (struct reach){space_host(space, region->start), live}, bytes);
    if (all != MAP_FAILED)
        munmap(all, bytes);
    if (label.file)
        label.file->references++;
    if (!result)
        result =
            space_map_live(space, guest_addr(region->start), bytes, asked | SPACE_SHARED, fd, 0);
    if (!result)
        result = space_set_label(space, guest_addr(region->start), bytes, label);
    space_file_release(space, label.file);
    if (fd >= 0)
        close(fd);
    return result;
}

static int share_all(struct space *space)
{
    int result = 0;

    for (size_t i = 0; i < space->count && !result; i++) {
        struct space_region region = space->regions[i];

        if ((region.prot & SHARED_LIVE) == SHARED && !(region.prot & BEYOND))
            result = make_shared(space, &region);
    }
    return result;
}

int space_copy(struct space *to, struct space *from)
{
    int result = share_all(from);

    for (size_t i = 0; i < from->count && !result; i++) {
        const struct space_region *region = &from->regions[i];

        result = (region->prot & SHARED_LIVE) == SHARED_LIVE ? map_again(to, from, region)
                                                             : copy_private(to, from, region);
        if (!result && region->label.file)
            result = space_set_label(to, guest_addr(region->start), region->end - region->start,
                                     region->label);
    }
    return result;
}

static void return_page(struct space *to, const struct space *from, uint64_t at)
{
    void *place = space_at(to, guest_addr(at), PAGE, SPACE_READ | SPACE_WRITE);

    if (place && memcmp(place, space_host(from, at), PAGE) != 0)
        memcpy(place, space_host(from, at), PAGE);
}

void space_copy_back(struct space *to, const struct space *from)
{
    const unsigned writable = SPACE_READ | SPACE_WRITE;
    unsigned char there[1];

    for (size_t i = 0; i < from->count; i++) {
        const struct space_region *region = &from->regions[i];

        if ((region->prot & writable) != writable ||
            region->prot & (CLOSED | SHARED | LIVE | BEYOND))
            continue;
        for (uint64_t at = region->start; at < region->end; at += PAGE)
            if (mincore(space_host(from, at), PAGE, there) == 0 && there[0] & 1)
                return_page(to, from, at);
    }
}

/* ---- one limit for several ------------------------------------------------------ */

void space_share_limit(struct space *space, struct space *with)
{
    space->next_sharing = with->next_sharing;
    with->next_sharing = space;
}

/* What is left to charge, or was given back for others, is of memory that they share: another one's. */
void space_leave_limit(struct space *space)
{
    struct space *before = space;

    space->used_bytes -= space_charged_bytes(space, 0, UINT64_MAX);
    space_forget_regions(space, 0);
    while (before->next_sharing != space)
        before = before->next_sharing;
    before->next_sharing = space->next_sharing;
    if (before != space)
        before->used_bytes += space->used_bytes;
    space->next_sharing = space;
}

uint64_t space_used_by_all(const struct space *space)
{
    uint64_t used = space->used_bytes;

    for (const struct space *next = space->next_sharing; next && next != space;
         next = next->next_sharing)
        used += next->used_bytes;
    return used;
}
