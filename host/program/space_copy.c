/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the copy of a program's memory for a process that it forks: private memory is copied, page by
 * page as far as it is not zero; shared memory is mapped a second time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "program/space_internal.h"

#define PAGE FERRY_PAGE_BYTES

static unsigned asked_rights(unsigned kind)
{
    return kind & SPACE_UNASKED ? (kind & RIGHTS) & ~(unsigned)SPACE_READ : kind & RIGHTS;
}

/* Memory that is no file's: what is zero stays without a page in the copy. Whether there is a page the
 * kernel tells only of what is not swapped out, so all is looked at. */
static void copy_pages(char *to, const char *from, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += PAGE)
        if (!page_is_zero(from + at))
            memcpy(to + at, from + at, PAGE);
}

/* A file itself: a page of it that is gone is zero in the copy. */
static void copy_live(char *to, char *from, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes;) {
        at += reach_read(to + at, (struct reach){from + at, true}, bytes - at);
        if (at < bytes)
            at = (at & ~(PAGE - 1)) + PAGE;
    }
}

/* Memory that the program may not read is opened meanwhile. */
static int open_shut(struct space *space, const struct space_region *region)
{
    uint64_t bytes = region->end - region->start;

    if (region->prot & RIGHTS || !space_host_protect(space, region->start, bytes, PROT_READ))
        return 0;
    return -ENOMEM;
}

static void shut_again(struct space *space, const struct space_region *region)
{
    if (!(region->prot & RIGHTS))
        space_host_protect(space, region->start, region->end - region->start, PROT_NONE);
}

static int copy_contents(char *to, struct space *from, const struct space_region *region)
{
    uint64_t bytes = region->end - region->start;
    int result = open_shut(from, region);

    if (result)
        return result;
    if (region->prot & LIVE)
        copy_live(to, space_host(from, region->start), bytes);
    else
        copy_pages(to, space_host(from, region->start), bytes);
    shut_again(from, region);
    return 0;
}

static int write_page(int fd, uint64_t at, const char *page)
{
    if (page_is_zero(page) || pwrite(fd, page, PAGE, (off_t)at) == (ssize_t)PAGE)
        return 0;
    return -ENOMEM;
}

/* By writes: a store to a mapping of the file would end this process where the host has no page for it. */
int space_write_contents(int fd, uint64_t at, struct space *from, const struct space_region *region)
{
    char *place = space_host(from, region->start), page[PAGE];
    int result = open_shut(from, region);

    if (result)
        return result;
    for (uint64_t i = 0; i < region->end - region->start && !result; i += PAGE) {
        if (region->prot & LIVE) {
            memset(page, 0, sizeof(page)); /* where it is gone */
            copy_live(page, place + i, PAGE);
        }
        result = write_page(fd, at + i, region->prot & LIVE ? page : place + i);
    }
    shut_again(from, region);
    return result;
}

static int copy_private(struct space *to, struct space *from, const struct space_region *region)
{
    const struct guest_addr start = guest_addr(region->start);
    uint64_t bytes = region->end - region->start;
    unsigned asked = asked_rights(region->prot);
    bool empty = !(region->prot & (CHARGED | LIVE | LAYER)) || region->prot & BEYOND;
    int result;

    if (region->prot & CLOSED)
        return space_map_by_touch(to, start, bytes, asked | (region->prot & SPACE_NORESERVE));
    if (empty)
        return space_map(to, start, bytes, 0);
    result = space_map(to, start, bytes, asked | SPACE_READ | SPACE_WRITE);
    if (!result)
        result = copy_contents(space_host(to, region->start), from, region);
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

/* A file in memory with the contents of the region: a descriptor, or -ENOMEM. */
static int file_of(struct space *space, const struct space_region *region)
{
    uint64_t bytes = region->end - region->start;
    int fd = memfd_create("ferry-shared", MFD_CLOEXEC);
    int result = fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 ? 0 : -ENOMEM;

    if (!result && region->prot & CHARGED)
        result = space_write_contents(fd, 0, space, region);
    if (!result)
        return fd;
    if (fd >= 0)
        close(fd);
    return result;
}

/* In the place of the region. */
static int map_file_of(struct space *space, const struct space_region *region)
{
    const struct guest_addr start = guest_addr(region->start);
    uint64_t bytes = region->end - region->start;
    unsigned prot = asked_rights(region->prot) | SPACE_SHARED;
    int fd = file_of(space, region), result;

    if (fd < 0)
        return fd;
    result = space_map_live(space, start, bytes, prot, fd, 0);
    close(fd);
    return result ? result : space_set_label(space, start, bytes, region->label);
}

/* Memory that only one process had was shared in name. Now it becomes that of a file in memory, which is
 * charged as long as it has a name in the list. */
static int make_shared(struct space *space, const struct space_region *region)
{
    uint64_t bytes = region->end - region->start;
    struct space_file *name = region->label.file;
    int result;

    if (!name || space_charge(space, bytes))
        return -ENOMEM;
    name->references++; /* while no region has it */
    result = map_file_of(space, region);
    if (result)
        space_recharge(space, bytes, 0);
    else
        name->charged += bytes;
    space_file_release(space, name);
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

/* ---- what a child of vfork stored -------------------------------------------------- */

/* Only such memory is given back. */
static bool is_given_back(const struct space_region *region)
{
    const unsigned writable = SPACE_READ | SPACE_WRITE;

    return (region->prot & writable) == writable &&
           !(region->prot & (CLOSED | SHARED | LIVE | BEYOND));
}

static uint64_t digest(const char *page)
{
    uint64_t all = 0x9e3779b97f4a7c15ull, word;

    for (size_t i = 0; i < PAGE; i += sizeof(word)) {
        memcpy(&word, page + i, sizeof(word));
        all = (all ^ word) * 0xff51afd7ed558ccdull;
        all ^= all >> 32;
    }
    return all;
}

int space_mark(const struct space *space, struct space_marks *out)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < space->count; i++)
        if (is_given_back(&space->regions[i]))
            pages += (space->regions[i].end - space->regions[i].start) / PAGE;
    *out = (struct space_marks){.marks = malloc((pages + 1) * sizeof(*out->marks))};
    if (!out->marks)
        return -ENOMEM;
    for (size_t i = 0; i < space->count; i++) {
        const struct space_region *region = &space->regions[i];

        for (uint64_t at = region->start; is_given_back(region) && at < region->end; at += PAGE)
            out->marks[out->count++] = (struct space_mark){at, digest(space_host(space, at))};
    }
    return 0;
}

void space_copy_back(struct space *to, const struct space *from, const struct space_marks *marks)
{
    const unsigned both = SPACE_READ | SPACE_WRITE;

    for (uint64_t i = 0; i < marks->count; i++) {
        const struct space_mark *mark = &marks->marks[i];
        const void *now = space_at(from, guest_addr(mark->addr), PAGE, SPACE_READ);
        void *place = now && digest(now) != mark->digest
                          ? space_at(to, guest_addr(mark->addr), PAGE, both)
                          : NULL;

        if (place)
            memcpy(place, now, PAGE);
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
