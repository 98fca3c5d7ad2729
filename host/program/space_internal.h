/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of regions, which the files behind space.h share. */
#ifndef FERRY_HOST_SPACE_INTERNAL_H
#define FERRY_HOST_SPACE_INTERNAL_H

#include "program/space.h"

/* Bits of a region's `prot` besides rights. */
enum {
    RIGHTS = SPACE_READ | SPACE_WRITE | SPACE_EXEC,
    /* Counts against the limit: it was accessible once, so it may hold memory.
     * It stays charged if its rights go, until it is unmapped. */
    CHARGED = 16,
    ALONE = 32, /* a file mapping: the kernel merges it with nothing */
    HUGE = 64,  /* has MADV_HUGEPAGE */
    /* The copy of a file: a memfd that only this mapping refers to. It is charged once more
     * when it can be written, since each page written is a page beside that of the memfd. */
    COPIED = 128,
    CHARGED_TWICE = 256,
    BEYOND = 512, /* pages wholly beyond the end of the file: whatever the rights, no access */
    /* Live memory: a file itself is mapped. It is charged only when it is private and can be
     * written. */
    LIVE = SPACE_LIVE,
    SHARED = SPACE_SHARED,
    SHARED_LIVE = SHARED | LIVE, /* what is written is the file's: never charged */
    MOVED = 2048,                /* the kernel may not merge it with a later mapping beside it */
    BY_TOUCH = 1 << 16,          /* charged by touch (space_touch.c) */
    CLOSED = 1 << 17, /* of that: not touched. Not charged, and no memory of the host whatever its
                         * rights */
    UNASKED = SPACE_UNASKED,
    /* The host maps a layer there: its pages begin as that has them. With ALONE it was a file. */
    LAYER = 1 << 21,
};

/* x86 knows no right to write or execute without the one to read. With UNASKED if that one was not
 * asked for. */
static inline unsigned space_rights(unsigned prot)
{
    return prot & (SPACE_WRITE | SPACE_EXEC) && !(prot & SPACE_READ) ? prot | SPACE_READ | UNASKED
                                                                     : prot;
}

/* Index of the first region that ends after addr. */
size_t space_first_after(const struct space *space, uint64_t addr);
bool space_is_free(const struct space *space, uint64_t start, uint64_t end);
/* Whether all of [start, end) is mapped, with all of the rights. */
bool space_has_all(const struct space *space, uint64_t start, uint64_t end, unsigned prot);
/* The same; *kinds: all bits of the regions there. */
bool space_has_kinds(const struct space *space, uint64_t start, uint64_t end, unsigned prot,
                     unsigned *kinds);
uint64_t space_charged_bytes(const struct space *space, uint64_t start, uint64_t end);
/* The charge that these rights on all of [start, end) would add to the present one. */
uint64_t space_fresh_bytes(const struct space *space, uint64_t start, uint64_t end, unsigned prot);
/* Whether `more` further bytes may be charged once `less` are given back. */
bool space_within_limit(const struct space *space, uint64_t less, uint64_t more);

/* Regions that only the heap may take, so that it can begin and grow when all others are used. */
#define REGIONS_KEPT 2

/* Make room for further regions, so that changing the list afterwards cannot fail: for `more`, */
int space_reserve_regions(struct space *space, size_t more);
/* for mapping the range as a region of this kind (three places), with `kept` of REGIONS_KEPT, */
int space_reserve_fresh(struct space *space, uint64_t start, uint64_t end, unsigned kind,
                        size_t kept);
/* for unmapping it (two places), and for giving it other rights (two). */
int space_reserve_cut(struct space *space, uint64_t start, uint64_t end);
int space_reserve_split(struct space *space, uint64_t start, uint64_t end);
/* Gives back reserved mappings of the host that are not needed. */
void space_settle(struct space *space);
/* Most regions are in use: no more should be made that can be done without. */
bool space_regions_are_scarce(const struct space *space);
/* The rest takes reserved places. One: */
void space_insert_region(struct space *space, size_t at, struct space_region region);
/* One. Index of the region that begins at addr, or of the first one after it; a region that addr
 * lies in is split there. */
size_t space_split_at(struct space *space, uint64_t addr);
/* At most two. Takes [start, end) out of the list. */
size_t space_cut_regions(struct space *space, uint64_t start, uint64_t end);
/* Takes all out that end after that address. */
void space_forget_regions(struct space *space, uint64_t from);
/* None. A fresh region joins the one neighbour it can, the left one first. */
bool space_merge_fresh(struct space *space, size_t i);
/* Takes three. Puts [start, end) into the list in place of the regions there, and charges for
 * it. */
void space_set_region(struct space *space, uint64_t start, uint64_t end, unsigned prot);

/* ---- space.c --------------------------------------------------------------- */

/* Whether host memory is reserved for the part that holds `addr`; the far part is reserved now. */
bool space_take_part(struct space *space, uint64_t addr);
/* Whether to ask for huge pages in a mapping that ends there. */
bool space_wants_huge(uint64_t end, uint64_t bytes, unsigned prot);
/* The guest's way to [start, end): memory slots and table entries. */
int space_guest_reach(struct space *space, uint64_t start, uint64_t end, unsigned prot, bool large);

/* --- space_host.c --- */

/* The host's rights for memory with such rights. */
int space_host_prot(unsigned prot);
/* Makes [start, start + bytes) host memory that is reserved and nothing else. */
int space_host_reserve(struct space *space, uint64_t start, uint64_t bytes);
/* As mmap with MAP_FIXED, mprotect, madvise and mremap with MREMAP_DONTUNMAP. Negative errno. */
int space_host_map(struct space *space, uint64_t start, uint64_t bytes, int prot, int how, int fd,
                   uint64_t offset);
int space_host_protect(struct space *space, uint64_t start, uint64_t bytes, int prot);
int space_host_advise(struct space *space, uint64_t start, uint64_t bytes, int advice);
int space_host_move(struct space *space, uint64_t from, uint64_t bytes, uint64_t to);
/* Of what a program is linked with, nearly all is written, if only to relocate it. */
#define SPACE_AHEAD_IMAGE (2ull << 20)
/* Closes memory again that is not charged, and that other threads may have stored to meanwhile. */
void space_host_shut(struct space *space, uint64_t start, uint64_t end);

/* --- space_label.c --- */

/* The same name for another space, for which nobody is charged yet, with no reference. */
struct space_file *space_file_copy(const struct space_file *name);

/* --- space_ahead.c --- */

void space_ahead_init(struct space *space);
/* What lies there is to be unmapped, or another mapping comes there. */
void space_ahead_learn(struct space *space, uint64_t start, uint64_t end);

/* --- space_touch.c --- */

/* Gives the charge for whole pieces in [from, to), a part of region i, back, whose contents nobody
 * wants any more. False: nothing changed. */
bool space_close(struct space *space, size_t i, uint64_t from, uint64_t to);
/* Whether all of the range may have these rights, as far as that is known beforehand. */
bool space_may_promise(const struct space *space, uint64_t start, uint64_t end, unsigned prot);
/* Whether what lies in [start, end) of the region stays closed on the host when it has rights
 * `prot`. */
bool space_stays_closed(const struct space_region *region, uint64_t start, uint64_t end,
                        unsigned prot);

/* --- space_copy.c --- */

/* What the region holds, which the host may read meanwhile, comes into a file in memory that has nothing
 * there yet, from that offset on. -ENOMEM. */
int space_write_contents(int fd, uint64_t at, struct space *from,
                         const struct space_region *region);

/* --- space_layer.c --- */

/* [from, to), a part of region i, which is of a layer, becomes memory that is zero. -ENOMEM. */
int space_leave_layer(struct space *space, size_t i, uint64_t from, uint64_t to);

/* --- space_slots.c --- */

/* Adds slots until [start, end), page-aligned inside the program's part, is covered. -ENOMEM: more
 * slot memory than the space's limit justifies; slots that were added stay. */
int space_slots_cover(struct space *space, uint64_t start, uint64_t end);
/* All numbers of slots are below it. And: those from there on are taken away. */
unsigned space_slots_end(const struct space *space);
void space_slots_cut(struct space *space, unsigned end);

#endif
