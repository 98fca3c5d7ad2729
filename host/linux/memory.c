/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the program's memory calls (heap and mappings) and the fetching of its arguments. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ferry/abi/layout.h>

#include "calls.h"
#include "state.h"

#define PAGE FERRY_PAGE_BYTES
/* The heap ends where space_find begins to place mappings. */
#define HEAP_MAX 0x200000000ull
/* From this size on the heap grows in steps that can be huge pages. */
#define HEAP_STEP (4ull << 20)

/* Rounds up to whole pages; 0 if that overflows. */
static uint64_t page_up(uint64_t bytes)
{
    return (bytes + PAGE - 1) & ~(PAGE - 1);
}

int guest_get(struct linux_state *state, uint64_t addr, void *to, size_t bytes)
{
    const void *from = vm_memory(state->vm, addr, bytes, false);

    if (!from)
        return -EFAULT;
    memcpy(to, from, bytes);
    return 0;
}

int guest_put(struct linux_state *state, uint64_t addr, const void *from, size_t bytes)
{
    void *to = vm_memory(state->vm, addr, bytes, true);

    if (!to)
        return -EFAULT;
    memcpy(to, from, bytes);
    return 0;
}

int guest_get_string(struct linux_state *state, uint64_t addr, char *to, size_t bytes)
{
    size_t done = 0;

    /* Page by page: the string may end just before memory that is not there. */
    while (done < bytes) {
        size_t part = PAGE - ((addr + done) & (PAGE - 1));
        int err;

        if (part > bytes - done)
            part = bytes - done;
        err = guest_get(state, addr + done, to + done, part);
        if (err)
            return err;
        if (memchr(to + done, 0, part))
            return 0;
        done += part;
    }
    return -ENAMETOOLONG;
}

void memory_init(struct linux_state *state, uint64_t heap_start)
{
    state->heap_start = page_up(heap_start);
    state->heap_break = state->heap_start;
    state->heap_mapped = state->heap_start;
}

/* Maps the heap up to `end`, if nothing is in the way. */
static int heap_grow(struct linux_state *state, uint64_t end)
{
    struct space *space = vm_space(state->vm);
    uint64_t bytes = end - state->heap_mapped;
    int err;

    if (end > HEAP_MAX || space_find(space, state->heap_mapped, bytes) != state->heap_mapped)
        return -ENOMEM;
    err = space_map(space, state->heap_mapped, bytes, SPACE_READ | SPACE_WRITE);
    if (!err)
        state->heap_mapped = end;
    return err;
}

/* The result is the break in any case; that it has not moved says that it could not. */
int64_t sys_brk(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t wanted = arg[0], end = page_up(wanted);

    if (wanted < state->heap_start || wanted > HEAP_MAX)
        return (int64_t)state->heap_break;
    if (end > state->heap_mapped) {
        uint64_t step = (end + HEAP_STEP - 1) & ~(HEAP_STEP - 1);

        if ((end - state->heap_start < HEAP_STEP || heap_grow(state, step)) &&
            heap_grow(state, end))
            return (int64_t)state->heap_break;
    } else if (wanted < state->heap_break && end < state->heap_mapped) {
        if (space_unmap(vm_space(state->vm), end, state->heap_mapped - end))
            return (int64_t)state->heap_break;
        state->heap_mapped = end;
    }
    state->heap_break = wanted;
    return (int64_t)wanted;
}

/* The bits of PROT_READ, PROT_WRITE and PROT_EXEC are those of SPACE_*. */
_Static_assert(PROT_READ == SPACE_READ && PROT_WRITE == SPACE_WRITE && PROT_EXEC == SPACE_EXEC,
               "rights need no translation");

static bool is_prot(uint64_t prot)
{
    return !(prot & ~(uint64_t)(PROT_READ | PROT_WRITE | PROT_EXEC));
}

/* Where a mapping goes, or a negative errno. */
static int64_t choose_address(struct linux_state *state, uint64_t addr, uint64_t bytes,
                              uint64_t flags)
{
    const struct space *space = vm_space(state->vm);
    uint64_t found;

    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (addr & (PAGE - 1))
            return -EINVAL;
        if (addr < FERRY_PROGRAM_LOW)
            return -EPERM;
        if (addr > FERRY_PROGRAM_HIGH || bytes > FERRY_PROGRAM_HIGH - addr)
            return -ENOMEM;
        if (flags & MAP_FIXED_NOREPLACE && space_find(space, addr, bytes) != addr)
            return -EEXIST;
        return (int64_t)addr;
    }
    if (flags & (MAP_32BIT | MAP_HUGETLB))
        return -ENOMEM; /* there is no such memory */
    found = space_find(space, addr & ~(PAGE - 1), bytes);
    return found ? (int64_t)found : -ENOMEM;
}

static int read_file(int fd, char *to, uint64_t bytes, uint64_t offset)
{
    while (bytes) {
        ssize_t got = pread(fd, to, bytes, (off_t)offset);

        if (got < 0)
            return -EIO;
        if (!got)
            return 0; /* the rest is beyond the end of the file: zero */
        to += got;
        bytes -= (uint64_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

/* A mapping of a file is a copy of it: were it the file itself, somebody who
 * cuts the file short could make the host fault on program memory. */
static int map_file(struct linux_state *state, uint64_t addr, uint64_t bytes, unsigned prot,
                    const struct open_file *file, uint64_t offset)
{
    struct space *space = vm_space(state->vm);
    int err = space_map(space, addr, bytes, SPACE_READ | SPACE_WRITE);

    if (err)
        return err;
    err = read_file(file->fd, space_at(space, addr, bytes, SPACE_WRITE), bytes, offset);
    if (!err)
        err = space_protect(space, addr, bytes, prot);
    if (err)
        space_unmap(space, addr, bytes);
    return err;
}

int64_t sys_mmap(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t bytes = page_up(arg[1]), prot = arg[2], flags = arg[3], type = flags & MAP_TYPE;
    uint64_t offset = arg[5], end;
    const struct open_file *file = NULL;
    int64_t addr;
    int err;

    if (!arg[1] || !is_prot(prot) || offset & (PAGE - 1) ||
        (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE))
        return -EINVAL;
    if (!bytes || bytes > FERRY_PROGRAM_HIGH)
        return -ENOMEM;
    if (!(flags & MAP_ANONYMOUS)) {
        file = descriptor_file(state, arg[4]);
        if (!file)
            return -EBADF;
        if (file->kind != FILE_REGULAR)
            return -ENODEV;
        if (type != MAP_PRIVATE && prot & PROT_WRITE)
            return -EACCES;
        if (__builtin_add_overflow(offset, bytes, &end) || end > INT64_MAX)
            return -EOVERFLOW;
    }
    addr = choose_address(state, arg[0], bytes, flags);
    if (addr < 0)
        return addr;
    if (file)
        err = map_file(state, (uint64_t)addr, bytes, (unsigned)prot, file, offset);
    else
        err = space_map(vm_space(state->vm), (uint64_t)addr, bytes, (unsigned)prot);
    return err ? err : addr;
}

int64_t sys_munmap(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t bytes = page_up(arg[1]);

    return bytes ? space_unmap(vm_space(state->vm), arg[0], bytes) : -EINVAL;
}

int64_t sys_mprotect(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t bytes = page_up(arg[1]);

    if (arg[0] & (PAGE - 1) || !is_prot(arg[2]))
        return -EINVAL;
    if (!arg[1])
        return 0;
    if (!bytes || arg[0] < FERRY_PROGRAM_LOW || arg[0] >= FERRY_PROGRAM_HIGH ||
        bytes > FERRY_PROGRAM_HIGH - arg[0])
        return -ENOMEM;
    return space_protect(vm_space(state->vm), arg[0], bytes, (unsigned)arg[2]);
}

/* Moves [old, old + bytes) to a larger place by copying; growing in place was tried. */
static int64_t move_mapping(struct linux_state *state, uint64_t old, uint64_t bytes,
                            uint64_t new_bytes, unsigned prot)
{
    struct space *space = vm_space(state->vm);
    uint64_t to = space_find(space, 0, new_bytes);
    int err = to ? space_map(space, to, new_bytes, prot | SPACE_READ | SPACE_WRITE) : -ENOMEM;

    if (err)
        return err;
    memcpy(space_at(space, to, bytes, SPACE_WRITE), space_at(space, old, bytes, SPACE_READ), bytes);
    err = space_protect(space, to, new_bytes, prot);
    if (!err)
        err = space_unmap(space, old, bytes);
    if (err)
        space_unmap(space, to, new_bytes);
    return err ? err : (int64_t)to;
}

int64_t sys_mremap(struct linux_state *state, const uint64_t arg[6])
{
    struct space *space = vm_space(state->vm);
    uint64_t old = arg[0], bytes = page_up(arg[1]), new_bytes = page_up(arg[2]);
    unsigned prot = space_prot(space, old);

    /* Moving to a place of the caller's choice is not offered; libraries that ask do without. */
    if (old & (PAGE - 1) || !bytes || !new_bytes || arg[3] & ~(uint64_t)MREMAP_MAYMOVE)
        return -EINVAL;
    if (bytes > FERRY_PROGRAM_HIGH || new_bytes > FERRY_PROGRAM_HIGH)
        return -ENOMEM;
    /* One kind of memory throughout: rights are what is known of it. */
    if (!(prot & SPACE_READ) || !space_at(space, old, bytes, prot))
        return -EFAULT;
    if (new_bytes <= bytes) {
        int err = new_bytes < bytes ? space_unmap(space, old + new_bytes, bytes - new_bytes) : 0;

        return err ? err : (int64_t)old;
    }
    if (space_find(space, old + bytes, new_bytes - bytes) == old + bytes &&
        !space_map(space, old + bytes, new_bytes - bytes, prot))
        return (int64_t)old;
    return arg[3] & MREMAP_MAYMOVE ? move_mapping(state, old, bytes, new_bytes, prot) : -ENOMEM;
}

/* What allocators count on is that pages given back with MADV_DONTNEED read as
 * zero. All other advice that Linux takes may be ignored. */
int64_t sys_madvise(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t bytes = page_up(arg[1]);
    void *host;

    if (arg[0] & (PAGE - 1) || (arg[1] && !bytes))
        return -EINVAL;
    switch (arg[2]) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_FREE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_COLD:
    case MADV_PAGEOUT:
        return 0;
    case MADV_DONTNEED:
        if (!bytes)
            return 0;
        host = space_at(vm_space(state->vm), arg[0], bytes, 0);
        return host && !madvise(host, bytes, MADV_DONTNEED) ? 0 : -ENOMEM;
    default:
        return -EINVAL;
    }
}
