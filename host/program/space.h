/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program's address space in a VM: which ranges of [FERRY_PROGRAM_LOW,
 * FERRY_PROGRAM_HIGH) are mapped and with what rights. Host memory for all of
 * it is one reserved range, so the host address of guest address `a` is
 * base + a. The far part, [FERRY_PROGRAM_FAR_LOW, far_high), is another reserved range, made when
 * it is first used and kept until the end, as slots lead to it; what is not mapped is PROT_NONE on the host, and rights to read
 * and write are enforced by the host mapping. KVM memory slots are added
 * as ranges come into use and stay, but where a layer is had again. Memory that is charged by touch is closed on the
 * host until then.
 *
 * Changed by the VM's own thread only, while the guest does not run. space_at is also asked by a
 * poller that serves the VM while its guest runs: then nothing changes it.
 * Needs no KVM: slots and tables come in by `struct space_backend`.
 */
#ifndef FERRY_HOST_SPACE_H
#define FERRY_HOST_SPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/abi/layout.h>

#include "kvm/guest_tables.h"
#include "lib/address.h"
#include "lib/live.h"

enum {
    SPACE_READ = 1,
    SPACE_WRITE = 2,
    SPACE_EXEC = 4,
    SPACE_SHARED = 1024,       /* mapped MAP_SHARED: no right, but asked for beside them */
    SPACE_LIVE = 4096,         /* live memory: told, not asked for */
    SPACE_HOLES = 8192,        /* of a file whose holes are not charged yet: asked for, not told */
    SPACE_NORESERVE = 1 << 18, /* may be more than the limit: as SPACE_SHARED */
    SPACE_UNASKED = 1 << 19,   /* told: the right to read is there, but was not asked for */
    /* Told: private memory of a file that could be written once. To Linux, which counts it, that is
     * another mapping than one that never could. */
    SPACE_STORED = 1 << 20,
};

/* Mappings of this size and more should be charged by touch: for less it is not worth an exit. */
#define SPACE_TOUCH_LEAST (1ull << 20)

struct space_backend {
    /* Shows the guest [host, host + bytes) at `gpa`: the number of the slot, or a negative errno. And takes it
     * away; NULL: none is. */
    int (*slot_add)(void *arg, struct guest_addr gpa, uint64_t bytes, void *host);
    void (*slot_remove)(void *arg, int slot);
    /* Whether the host may have so many mappings for it; fewer than before always. NULL: any. */
    bool (*allow_mappings)(void *arg, uint64_t mappings);
    /* Whether the host may reserve the addresses of the far part; asked until it may. NULL: yes. */
    bool (*allow_far)(void *arg);
    int pagemap_and_one; /* /proc/self/pagemap, which the owner of the space keeps open, plus 1; or 0 */
    uint64_t far_high; /* where the far part ends; not above its beginning: there is none */
    void *arg;
    struct guest_tables *tables;
};

/* A file that is mapped, as the program knows it; or a name of other memory. Each region of it has a
 * reference. It is charged. */
struct space_file {
    uint64_t references;
    uint64_t dev, ino, charged;
    atomic_bool deleted; /* it has no name any more */
    char path[];
};

/* What a place is called: the file, or NULL, and what is added (modulo 2^64) to an address to have
 * the offset in the file. Of private memory without a file that was moved: to have its address at
 * first. */
struct space_label {
    struct space_file *file;
    uint64_t shift;
};

/* Of the guest's addresses, as numbers: nothing but ranges of them is known here. */
struct space_region {
    uint64_t start, end;
    unsigned prot;
    struct space_label label;
};

/* How much of fresh memory gets its pages at once: space_ahead.c. */
struct space_ahead {
    uint64_t bytes;            /* at most so much of the next */
    uint64_t start, stop, end; /* the last: up to `stop` it got them */
};

struct space {
    struct space_backend backend;
    char *base; /* host address of guest address 0 of the reservation */
    char *far;  /* of the beginning of the far part; NULL: not reserved yet */
    uint64_t limit_bytes, used_bytes;
    struct space *next_sharing;   /* a ring of those that share the limit; NULL: as alone */
    struct space_region *regions; /* sorted, disjoint, adjacent equals merged */
    size_t count, capacity;
    struct space_region *slots; /* sorted, disjoint: what KVM knows; prot: the number */
    size_t slot_count, slot_capacity;
    atomic_ullong host_calls; /* of the kernel, that changed the host's mappings; for any thread */
    struct space_ahead ahead;
    uint64_t changes; /* counts up whenever a place may have other rights, if only for a moment */
    /* Since it was last as a layer says: memory of the layer was moved; and what could not be written of it
     * could, for a while. */
    bool layer_moved, layer_opened;
};

int space_init(struct space *space, const struct space_backend *backend, uint64_t limit_bytes);
void space_fini(struct space *space);

/* Whether it is page-aligned, not empty, and lies in one of the parts of the program. */
bool space_is_range(const struct space *space, struct guest_addr start, uint64_t bytes);

/* Where guest address `addr`, in a part of the program that is reserved, is on the host; and the way
 * back: false if the host's address is in none. */
static inline char *space_host(const struct space *space, uint64_t addr)
{
    return addr < FERRY_PROGRAM_FAR_LOW ? space->base + addr
                                        : space->far + (addr - FERRY_PROGRAM_FAR_LOW);
}
bool space_guest(const struct space *space, const void *host, struct guest_addr *addr);

/* All take page-aligned ranges inside the program's part, else -EINVAL. Map
 * replaces what was there. -ENOMEM: over limit_bytes, or the host refused;
 * then nothing changed, but that what was to be replaced may be gone where the host refused late. */
int space_map(struct space *space, struct guest_addr start, uint64_t bytes, unsigned prot);
/* The same for the heap, for which some regions are kept when the program has used all others. Its
 * pages are the caller's to ask for. */
int space_map_heap(struct space *space, struct guest_addr start, uint64_t bytes);
/* Private file mapping; the part beyond the end of the file must not be asked for. What the
 * host refuses to map leaves nothing in that place. */
int space_map_file(struct space *space, struct guest_addr start, uint64_t bytes, unsigned prot,
                   int fd, uint64_t offset);
/* Maps a memfd that holds a copy of (a part of) a file, file_bytes long, and that the caller
 * closes: the mapping alone keeps it. Pages wholly beyond its end are mapped and cannot be
 * touched. What was written is charged beside the copy. */
int space_map_copy(struct space *space, struct guest_addr start, uint64_t bytes, unsigned prot,
                   int fd, uint64_t file_bytes);
/* Maps the file itself, which may become shorter and longer at any moment: live memory. Of a private
 * mapping pages that can be written are charged. What is written to a shared one is the file's, and
 * is the file's charge; with SPACE_HOLES, where the file may come to hold more, it is charged here
 * too. */
int space_map_live(struct space *space, struct guest_addr start, uint64_t bytes, unsigned prot,
                   int fd, uint64_t offset);
/* Whether the limit allows space_map_copy. */
bool space_has_room(const struct space *space, struct guest_addr start, uint64_t bytes,
                    unsigned prot);
/* Memory that is charged by touch; without rights a reservation, which is so when it gets some.
 * `prot` with SPACE_NORESERVE or not: then -ENOMEM for more than what is left of the limit. */
int space_map_by_touch(struct space *space, struct guest_addr start, uint64_t bytes, unsigned prot);
/* Memory that is no file's: by touch from SPACE_TOUCH_LEAST on. */
int space_map_memory(struct space *space, struct guest_addr start, uint64_t bytes, unsigned prot);
/* Opens what of the mapped range is not open yet, and charges for it. -ENOMEM: over the limit, or
 * the host refused; a part may be open. */
int space_touch(struct space *space, struct guest_addr start, uint64_t bytes);
/* As much of a range that the program may use as can be touched with half of what the limit leaves,
 * but a page at least. */
uint64_t space_touchable(const struct space *space, struct guest_addr start, uint64_t bytes);
/* As much as the limit allows of all that is mapped by touch around that address. */
void space_touch_around(struct space *space, struct guest_addr addr);
/* Whether a part of a mapped range is charged by touch and not open yet. */
bool space_is_closed(const struct space *space, struct guest_addr start, uint64_t bytes);
bool space_is_by_touch(const struct space *space, struct guest_addr addr);
/* Gives private memory that can be written its pages, before the guest takes a fault for each; those
 * of a file as the program's own copies. It may wait for the file. Where that cannot be it is only
 * slower. */
void space_populate(struct space *space, struct guest_addr start, uint64_t bytes);
/* The same for memory that was just mapped, from its start on: as much as the program uses of what it
 * maps and unmaps. */
void space_populate_fresh(struct space *space, struct guest_addr start, uint64_t bytes);
int space_unmap(struct space *space, struct guest_addr start, uint64_t bytes);
/* Unmaps all, and gives back `charged` bytes of space_charge. -ENOMEM: nothing changed; 1: only the far
 * part is left. */
int space_clear(struct space *space, uint64_t charged);
/* -ENOMEM if part of the range is not mapped, -EACCES for writing to a shared file. */
int space_protect(struct space *space, struct guest_addr start, uint64_t bytes, unsigned prot);

/* What is left of the limit. */
uint64_t space_room(const struct space *space);
/* Counts `bytes` against the limit for good: host memory that stands behind the mappings. */
int space_charge(struct space *space, uint64_t bytes);
/* Memory that stands elsewhere was counted as `before` bytes and is `now`, which may be above the
 * limit. */
void space_recharge(struct space *space, uint64_t before, uint64_t now);

/* Whether it is a range as above in which nothing is mapped. Reserves no addresses. */
bool space_is_unmapped(const struct space *space, struct guest_addr start, uint64_t bytes);
/* A free range of `bytes`, at `hint` if that is free, else first fit in the
 * area for mappings, else in the far part; 0: none. */
struct guest_addr space_find(struct space *space, struct guest_addr hint, uint64_t bytes);
/* The first free range of whole pages in [low, high); 0: none. */
struct guest_addr space_find_within(const struct space *space, struct guest_addr low,
                                    struct guest_addr high, uint64_t bytes);

/* Where [addr, addr + bytes) is, if the program has all of `prot` on all of it. The one check of guest
 * addresses in the program. */
struct reach space_reach(const struct space *space, struct guest_addr addr, uint64_t bytes,
                         unsigned prot);
/* The same for memory that the VMM may touch; NULL for live memory. */
void *space_at(const struct space *space, struct guest_addr addr, uint64_t bytes, unsigned prot);
/* The same, and what is charged by touch is touched, which the two above do not; NULL also if that
 * fails. */
void *space_touch_at(struct space *space, struct guest_addr addr, uint64_t bytes, unsigned prot);

/* How much of [start, end) is mapped with all of the rights `with` and none of `without`. */
uint64_t space_mapped_bytes(const struct space *space, struct guest_addr start,
                            struct guest_addr end, unsigned with, unsigned without);

/* Whether a part of [start, end) is live memory. */
bool space_has_live(const struct space *space, struct guest_addr start, struct guest_addr end);

/* What the program may do at addr: SPACE_* or 0. */
unsigned space_prot(const struct space *space, struct guest_addr addr);
/* Whether others have the pages there too, of a file or of a layer: who made them come is none of the
 * program's business. */
bool space_is_held_by_others(const struct space *space, struct guest_addr addr);
/* Whether it was mapped MAP_SHARED there. */
bool space_is_shared(const struct space *space, struct guest_addr addr);
/* Whether it is mapped there to a page beyond the end of a file. */
bool space_beyond_file(const struct space *space, struct guest_addr addr);

/* ---- space_copy.c ---------------------------------------------------------- */

/* Maps in `to`, where nothing is mapped, what is mapped in `from`: private memory with a copy of its
 * contents, shared memory as the same. -ENOMEM: a part may be mapped, and shared memory of `from` has
 * become such that it can be. */
int space_copy(struct space *to, struct space *from);
/* What private memory that may be written holds now, a mark for each page. -ENOMEM. */
struct space_mark {
    uint64_t addr, digest;
};
struct space_marks {
    struct space_mark *marks; /* by malloc */
    uint64_t count;
};
int space_mark(const struct space *space, struct space_marks *out);
/* Each page of `from` that changed since it was marked is copied to where `to` may be written. */
void space_copy_back(struct space *to, const struct space *from, const struct space_marks *marks);
/* The limit holds for both together, and for all with which `with` shares it already. Before
 * space_fini it has to leave, when nobody looks at what is mapped in it any more. */
void space_share_limit(struct space *space, struct space *with);
void space_leave_limit(struct space *space);
uint64_t space_used_by_all(const struct space *space);

/* ---- space_layer.c --------------------------------------------------------- */

struct space_layer;

/* Takes what the program's memory holds now, in the host's memory, which nobody is charged for. From then
 * on it can be had again any number of times; the program goes on as if nothing had happened. -EBUSY:
 * memory is shared with others; -ENOMEM, -EMFILE. */
int space_take_layer(struct space *space, struct space_layer **out);
/* The same memory again, and the same charge: what else counts against the limit is as it was, too. No
 * CPU is in the guest. -ENOMEM: there is less memory than then, or none; the next try may do. */
int space_go_back(struct space *space, struct space_layer *layer);
/* For `to`, in which nothing was ever mapped: a layer of its own with the same memory, for
 * space_go_back. It has only what never changes from the other one, whose program may run meanwhile.
 * -ENOMEM, -EMFILE. */
int space_copy_layer(struct space *to, const struct space_layer *from, struct space_layer **out);
/* What a name of the other one is called in the copy, with a reference. -ENOMEM. */
int space_copy_name(const struct space_layer *copy, const struct space_layer *from,
                    const struct space_file *name, struct space_file **out);
/* NULL is allowed. */
void space_layer_free(struct space *space, struct space_layer *layer);

/* ---- space_label.c --------------------------------------------------------- */

/* With one reference, the caller's. NULL: it would be over the limit, or the host has no memory. */
struct space_file *space_file_create(struct space *space, const char *path, uint64_t dev,
                                     uint64_t ino);
/* NULL is allowed. */
void space_file_release(struct space *space, struct space_file *file);
/* That of the address, whose file gains no reference. */
struct space_label space_label_at(const struct space *space, struct guest_addr addr);
/* All that is mapped in the range is called so. -ENOMEM: nothing changed; never if the range begins
 * and ends with a region, as one that was mapped from a file does. */
int space_set_label(struct space *space, struct guest_addr start, uint64_t bytes,
                    struct space_label label);

/* ---- space_move.c ---------------------------------------------------------- */

/* Whether all of the range is mapped, and would be one mapping of Linux: with the same rights and
 * of one kind. *prot: those rights with SPACE_SHARED; *file: a file is mapped. */
bool space_is_uniform(const struct space *space, struct guest_addr start, uint64_t bytes,
                      unsigned *prot, bool *file);
/* Moves a mapped range, with its contents, to `to`, in place of the mappings there; the two do not
 * overlap. -EFAULT: not all of it is mapped. -ENOMEM: nothing moved, but `to` may be unmapped. */
int space_move(struct space *space, struct guest_addr from, uint64_t bytes, struct guest_addr to);
/* Gives the pages back: private memory reads as zero afterwards and files as they were mapped.
 * Shared memory is emptied only if `shared`. -ENOMEM: a part was not mapped. */
int space_discard(struct space *space, struct guest_addr start, uint64_t bytes, bool shared);
/* The same of private memory that is no file's, up to the first that is something else: then -EINVAL. */
int space_discard_private(struct space *space, struct guest_addr start, uint64_t bytes);

#endif
