/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls on memory that is mapped: moving it, advice, locking, writing back. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "linux/calls.h"
#include "linux/mapped.h"
#include "linux/state.h"

#define PAGE FERRY_PAGE_BYTES
/* Of newer kernels than some C libraries know. */
#define ADVICE_POPULATE_READ   22
#define ADVICE_POPULATE_WRITE  23
#define ADVICE_DONTNEED_LOCKED 24
#define MINCORE_PAGES          512           /* looked at together */
#define POPULATE_PART          (16ull << 20) /* the VM may be stopped between two */
#define MLOCK_LATER            1             /* MLOCK_ONFAULT */
#define MLOCKALL_LATER         4             /* MCL_ONFAULT */

/* ---- mremap -------------------------------------------------------------- */

struct move {
    struct guest_addr old;
    uint64_t bytes, new_bytes;
    unsigned prot; /* with SPACE_SHARED */
    bool file;
};

/* Makes the mapping longer at `to`, by copying: moved memory would never be one region with its
 * new end. */
static int64_t grow_by_copy(struct space *space, const struct move *move, struct guest_addr to)
{
    int result =
        space_map_memory(space, to, move->new_bytes, move->prot | SPACE_READ | SPACE_WRITE);
    const void *from;
    void *at;

    if (result)
        return result;
    from = space_touch_at(space, move->old, move->bytes, SPACE_READ);
    at = space_touch_at(space, to, move->bytes, SPACE_WRITE);
    if (from && at)
        memcpy(at, from, move->bytes);
    result = !from || !at
                 ? -ENOMEM
                 : space_protect(space, to, move->new_bytes, move->prot & ~(unsigned)SPACE_SHARED);
    if (!result)
        result = space_unmap(space, move->old, move->bytes);
    if (result)
        space_unmap(space, to, move->new_bytes);
    return result ? result : (int64_t)to.value;
}

/* The same of memory without rights, which cannot be read, and of much memory. */
static int64_t grow_by_move(struct space *space, const struct move *move, struct guest_addr to)
{
    int result = space_map_memory(space, to, move->new_bytes, move->prot);

    if (!result)
        result = space_move(space, move->old, move->bytes, to);
    if (result)
        space_unmap(space, to, move->new_bytes);
    return result ? result : (int64_t)to.value;
}

static int64_t grow_to(struct space *space, const struct move *move, struct guest_addr to)
{
    if (move->file)
        return -ENOMEM; /* the rest of the file was not copied */
    return move->prot & SPACE_READ && move->bytes < SPACE_TOUCH_LEAST
               ? grow_by_copy(space, move, to)
               : grow_by_move(space, move, to);
}

/* Moves to an address of the program's choice. */
static int64_t move_fixed(struct space *space, struct move *move, struct guest_addr to)
{
    uint64_t start = to.value, old = move->old.value;
    int result = 0;

    if (start & (PAGE - 1) || start > MEMORY_USER_END - move->new_bytes ||
        (start < old + move->bytes && old < start + move->new_bytes))
        return -EINVAL;
    if (start < FERRY_PROGRAM_LOW)
        return -EPERM;
    if (!space_is_range(space, to, move->new_bytes))
        return -ENOMEM;
    if (move->new_bytes > move->bytes)
        return grow_to(space, move, to);
    if (move->new_bytes < move->bytes)
        result = space_unmap(space, guest_addr_add(move->old, move->new_bytes),
                             move->bytes - move->new_bytes);
    if (!result)
        result = space_move(space, move->old, move->new_bytes, to);
    return result ? result : (int64_t)to.value;
}

/* Stays where it is if that can be. */
static int64_t resize(struct space *space, const struct move *move, bool may_move)
{
    struct guest_addr end = guest_addr_add(move->old, move->bytes), to = guest_addr(0);
    uint64_t more = move->new_bytes - move->bytes;

    if (move->new_bytes <= move->bytes) {
        int result = move->new_bytes == move->bytes
                         ? 0
                         : space_unmap(space, guest_addr_add(move->old, move->new_bytes),
                                       move->bytes - move->new_bytes);

        return result ? result : (int64_t)move->old.value;
    }
    if (!move->file && space_is_unmapped(space, end, more) &&
        !space_map_memory(space, end, more, move->prot))
        return (int64_t)move->old.value;
    if (may_move)
        to = space_find(space, guest_addr(0), move->new_bytes);
    return to.value ? grow_to(space, move, to) : -ENOMEM;
}

/* Moves to another address, and leaves mapped memory there that nobody has touched. */
static int64_t move_pages(struct space *space, struct move *move, uint64_t at, bool fixed)
{
    struct guest_addr to = guest_addr(at);
    uint64_t old = move->old.value;
    int64_t moved;
    int result;

    if (move->file)
        return -EINVAL; /* as before Linux 5.13 */
    /* An address that is no more than wished for is checked, too. */
    if (at & (PAGE - 1) || at > MEMORY_USER_END - move->bytes ||
        (at < old + move->bytes && old < at + move->bytes))
        return -EINVAL;
    if (!fixed)
        to = space_find(space, to, move->bytes);
    if (!fixed && !to.value)
        return -ENOMEM;
    moved = move_fixed(space, move, to);
    if (moved < 0)
        return moved;
    result = space_map_by_touch(space, move->old, move->bytes, move->prot | SPACE_NORESERVE);
    if (result)
        space_move(space, to, move->bytes, move->old);
    return result ? result : moved;
}

static int64_t remap(struct linux_state *state, const uint64_t arg[6])
{
    struct space *space = vm_space(state->vm);
    struct move move = {
        .old = guest_addr(arg[0]), .bytes = page_up(arg[1]), .new_bytes = page_up(arg[2])};
    uint64_t flags = arg[3];
    bool shrinks;

    if (move.old.value & (PAGE - 1) || !move.bytes || !move.new_bytes ||
        flags & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) ||
        (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) && !(flags & MREMAP_MAYMOVE)) ||
        (flags & MREMAP_DONTUNMAP && move.bytes != move.new_bytes))
        return -EINVAL;
    if (move.new_bytes > MEMORY_USER_END)
        return -EINVAL;
    if (move.bytes > FERRY_PROGRAM_FAR_HIGH || move.new_bytes > FERRY_PROGRAM_FAR_HIGH)
        return -ENOMEM;
    memory_meet(state, move.old.value, max_u64(move.bytes, move.new_bytes));
    if (flags & MREMAP_FIXED)
        memory_meet(state, arg[4], move.new_bytes);
    /* To become shorter where it is, it need not be of one kind. */
    shrinks = move.new_bytes < move.bytes && !(flags & MREMAP_FIXED);
    if (!space_is_uniform(space, move.old, shrinks ? PAGE : move.bytes, &move.prot, &move.file))
        return -EFAULT;
    /* The limits are about sums: it may as well lie where it was. */
    if (move.new_bytes > move.bytes &&
        !limits_allow(state, move.old.value, move.new_bytes, move.prot))
        return -ENOMEM;
    if (flags & MREMAP_DONTUNMAP)
        return move_pages(space, &move, arg[4], flags & MREMAP_FIXED);
    if (!(flags & MREMAP_FIXED))
        return resize(space, &move, flags & MREMAP_MAYMOVE);
    if (move.file && mapped_move(state, move.old.value, move.bytes, arg[4]))
        return -ENOMEM;
    return move_fixed(space, &move, guest_addr(arg[4]));
}

/* What was added to the mapping is called as the rest, at its new place `now`, and what
 * MREMAP_DONTUNMAP leaves as before. The names are only for /proc/self/maps: where there are too many
 * regions already, private memory goes without. */
static void name_again(struct space *space, const uint64_t arg[6], uint64_t now,
                       struct space_label label)
{
    struct guest_addr old = guest_addr(arg[0]), fresh = guest_addr(now);
    uint64_t bytes = page_up(arg[1]), new_bytes = page_up(arg[2]);
    struct space_label moved = {label.file, label.shift + old.value - now};

    if (new_bytes > bytes && (label.file || space_label_at(space, fresh).shift))
        space_set_label(space, fresh, new_bytes, moved);
    if (arg[3] & MREMAP_DONTUNMAP && label.file)
        space_set_label(space, old, bytes, label);
}

int64_t sys_mremap(struct linux_state *state, const uint64_t arg[6])
{
    struct space *space = vm_space(state->vm);
    struct space_label label = space_label_at(space, guest_addr(arg[0]));
    int64_t result;

    if (label.file)
        label.file->references++;
    result = remap(state, arg);
    if (result >= 0)
        name_again(space, arg, (uint64_t)result, label);
    space_file_release(space, label.file);
    mapped_settle_all(state); /* also where it failed: see space_move */
    return result;
}

/* ---- advice -------------------------------------------------------------- */

/* Pages that are asked for beforehand are allocated at their first use; the answer says only
 * whether they can be. */
static int64_t populate_part(struct space *space, struct guest_addr start, uint64_t bytes,
                             unsigned prot)
{
    struct reach place = space_reach(space, start, bytes, prot);

    if (place.at && space_touch(space, start, bytes))
        return -ENOMEM; /* more than it may have */
    if (reach_may(place, bytes, prot & SPACE_WRITE))
        return 0;
    if (place.at)
        return -EFAULT;
    if (!space_reach(space, start, bytes, 0).at)
        return -ENOMEM;
    return space_beyond_file(space, guest_addr_add(start, bytes - 1)) ? -EFAULT : -EINVAL;
}

static int64_t populate(struct linux_state *state, struct guest_addr start, uint64_t bytes,
                        unsigned prot)
{
    int64_t result = 0;

    for (uint64_t done = 0, part; done < bytes && !result; done += part) {
        part = min_u64(bytes - done, POPULATE_PART);
        result = vm_stopping(state->vm)
                     ? -EINTR
                     : populate_part(vm_space(state->vm), guest_addr_add(start, done), part, prot);
    }
    return result;
}

/* Advice that may be ignored. */
static int64_t ignore(struct space *space, struct guest_addr start, uint64_t bytes)
{
    return !bytes || space_reach(space, start, bytes, 0).at ? 0 : -ENOMEM;
}

/* Advice for private memory that is no file's, which may be ignored too. */
static int64_t ignore_anonymous(struct space *space, struct guest_addr start, uint64_t bytes)
{
    unsigned prot;
    bool file;

    if (space_is_uniform(space, start, bytes, &prot, &file) && (file || prot & SPACE_SHARED))
        return -EINVAL;
    return ignore(space, start, bytes);
}

static int64_t discard(struct space *space, struct guest_addr start, uint64_t bytes, bool remove)
{
    unsigned prot;
    bool file;

    if (remove &&
        (!space_is_uniform(space, start, bytes, &prot, &file) || !(prot & SPACE_SHARED) || file))
        return -EINVAL; /* only shared memory can be emptied for all that share it */
    return space_discard(space, start, bytes, remove);
}

int64_t sys_madvise(struct linux_state *state, const uint64_t arg[6])
{
    struct space *space = vm_space(state->vm);
    struct guest_addr start = guest_addr(arg[0]);
    uint64_t bytes = page_up(arg[1]), end;

    if (start.value & (PAGE - 1) || (arg[1] && !bytes) ||
        __builtin_add_overflow(start.value, bytes, &end))
        return -EINVAL;
    switch (arg[2]) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_KEEPONFORK:
    case MADV_COLD:
    case MADV_PAGEOUT:
        return ignore(space, start, bytes);
    case MADV_FREE:
        /* Linux may drop such pages at any moment. At once is what gives back the charge: which of
         * them it has kept, and which were written again, nobody would tell us. */
        return bytes ? space_discard_private(space, start, bytes) : 0;
    case MADV_WIPEONFORK: /* nothing forks */
        return ignore_anonymous(space, start, bytes);
    case MADV_DONTNEED:
    case ADVICE_DONTNEED_LOCKED:
    case MADV_REMOVE:
        return bytes ? discard(space, start, bytes, arg[2] == MADV_REMOVE) : 0;
    case ADVICE_POPULATE_READ:
        return populate(state, start, bytes, SPACE_READ);
    case ADVICE_POPULATE_WRITE:
        return populate(state, start, bytes, SPACE_WRITE);
    default:
        return -EINVAL;
    }
}

/* ---- what stays in memory ------------------------------------------------ */

/* The range that a call of this family names: -ENOMEM if a part of it is not mapped. */
static int64_t check_mapped(struct linux_state *state, uint64_t start, uint64_t bytes)
{
    uint64_t first = page_down(start), all = page_up(bytes + (start - first));

    if (bytes + (start - first) < bytes || (bytes && !all) || first + all < first)
        return -EINVAL;
    return !bytes || space_reach(vm_space(state->vm), guest_addr(first), all, 0).at ? 0 : -ENOMEM;
}

/* Nothing inside a VM takes memory away from its program: it is locked as far as the VM goes. */
int64_t sys_mlock(struct linux_state *state, const uint64_t arg[6])
{
    return check_mapped(state, arg[0], arg[1]);
}

int64_t sys_mlock2(struct linux_state *state, const uint64_t arg[6])
{
    return arg[2] & ~(uint64_t)MLOCK_LATER ? -EINVAL : check_mapped(state, arg[0], arg[1]);
}

int64_t sys_mlockall(struct linux_state *state, const uint64_t arg[6])
{
    const uint64_t all = MCL_CURRENT | MCL_FUTURE | MLOCKALL_LATER;

    (void)state;
    return arg[0] & ~all || !(arg[0] & ~(uint64_t)MLOCKALL_LATER) ? -EINVAL : 0;
}

/* As Linux does for a file that the program may not write: its pages are said to be there. */
static void say_held(const struct linux_state *state, uint64_t start, uint64_t count,
                     unsigned char *resident)
{
    for (uint64_t i = 0; i < count; i++)
        if (space_is_held_by_others(vm_space(state->vm), guest_addr(start + i * PAGE)))
            resident[i] = 1;
}

int64_t sys_mincore(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t start = arg[0], pages = page_up(arg[1]) / PAGE;
    unsigned char resident[MINCORE_PAGES];
    char *host;

    if (start & (PAGE - 1))
        return -EINVAL;
    if (!arg[1])
        return 0;
    host = space_reach(vm_space(state->vm), guest_addr(start), pages * PAGE, 0).at;
    if (!pages || !host)
        return -ENOMEM;
    for (uint64_t done = 0; done < pages; done += MINCORE_PAGES) {
        uint64_t count = pages - done < MINCORE_PAGES ? pages - done : MINCORE_PAGES;

        if (vm_stopping(state->vm))
            return -EINTR;
        if (mincore(host + done * PAGE, count * PAGE, resident) < 0)
            return -EAGAIN;
        say_held(state, start + done * PAGE, count, resident);
        if (guest_put(state, arg[2] + done, resident, count))
            return -EFAULT;
    }
    return 0;
}

/* The host's kernel knows which mappings there are of which file. */
int64_t sys_msync(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t flags = arg[2], bytes = page_up(arg[1]);
    int64_t result;

    if (arg[0] & (PAGE - 1) || flags & ~(uint64_t)(MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
        (flags & MS_ASYNC && flags & MS_SYNC))
        return -EINVAL;
    result = check_mapped(state, arg[0], arg[1]);
    if (result || !bytes)
        return result;
    return msync(space_reach(vm_space(state->vm), guest_addr(arg[0]), bytes, 0).at, bytes,
                 (int)flags)
               ? -errno
               : 0;
}
