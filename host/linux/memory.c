/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the program's heap and mappings, and the fetching of its arguments. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "linux/calls.h"
#include "linux/mapped.h"
#include "linux/state.h"

#define PAGE FERRY_PAGE_BYTES
/* The limit that MAP_32BIT means. */
#define LOW_START 0x40000000ull
#define LOW_END   0x80000000ull
/* The heap ends where space_find begins to place mappings. */
#define HEAP_MAX 0x200000000ull
/* Of a mapped file, which is copied. */
#define POPULATE_MOST (1ull << 20)
/* Of the heap's first growth: many a program hardly uses its heap. */
#define POPULATE_FIRST (64ull << 10)
/* From this size on the heap grows in steps that can be huge pages. */
#define HEAP_STEP (4ull << 20)

int guest_get(struct linux_state *state, uint64_t addr, void *to, size_t bytes)
{
    return vm_copy_in(state->vm, to, guest_addr(addr), bytes);
}

int guest_put(struct linux_state *state, uint64_t addr, const void *from, size_t bytes)
{
    return vm_copy_out(state->vm, guest_addr(addr), from, bytes);
}

int guest_get_string(struct linux_state *state, uint64_t addr, char *to, size_t bytes)
{
    size_t done = 0;

    /* Page by page: the string may end just before memory that is not there. */
    while (done < bytes) {
        size_t part = PAGE - ((addr + done) & (PAGE - 1));
        int result;

        if (part > bytes - done)
            part = bytes - done;
        result = guest_get(state, addr + done, to + done, part);
        if (result)
            return result;
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
    int result;

    if (!limits_allow(state, state->heap_mapped, bytes, SPACE_WRITE))
        return -ENOMEM;
    if (end > HEAP_MAX || !space_is_unmapped(space, guest_addr(state->heap_mapped), bytes))
        return -ENOMEM;
    result = space_map_heap(space, guest_addr(state->heap_mapped), bytes);
    if (result)
        return result;
    if (state->heap_mapped == state->heap_start)
        space_populate(space, guest_addr(state->heap_mapped), min_u64(bytes, POPULATE_FIRST));
    else
        space_populate_fresh(space, guest_addr(state->heap_mapped), bytes);
    state->heap_mapped = end;
    return 0;
}

static int heap_shrink(struct linux_state *state, uint64_t end)
{
    uint64_t bytes = state->heap_mapped - end;
    int result = space_unmap(vm_space(state->vm), guest_addr(end), bytes);

    if (result)
        return result;
    state->heap_mapped = end;
    mapped_settle(state, end, bytes); /* a file may have been mapped over it */
    return 0;
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
        if (heap_shrink(state, end))
            return (int64_t)state->heap_break;
    }
    state->heap_break = wanted;
    return (int64_t)wanted;
}

void memory_meet(struct linux_state *state, uint64_t start, uint64_t bytes)
{
    uint64_t end = page_up(state->heap_break);

    if (end < state->heap_mapped && start < state->heap_mapped && start + bytes > end)
        heap_shrink(state, end);
}

/* The bits of PROT_READ, PROT_WRITE and PROT_EXEC are those of SPACE_*. */
_Static_assert(PROT_READ == SPACE_READ && PROT_WRITE == SPACE_WRITE && PROT_EXEC == SPACE_EXEC,
               "rights need no translation");

/* The flags that MAP_SHARED_VALIDATE lets pass: those older than itself. */
#define FLAGS_OF_OLD                                                                              \
    (uint64_t)(MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_32BIT | MAP_GROWSDOWN | MAP_DENYWRITE | \
               MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK |        \
               MAP_STACK | MAP_HUGETLB)

#define PROT_ALL  (PROT_READ | PROT_WRITE | PROT_EXEC)
#define PROT_ATOM 8 /* PROT_SEM, which means nothing on x86 */

/* Where a mapping goes, or a negative errno. */
static int64_t choose_address(struct linux_state *state, uint64_t addr, uint64_t bytes,
                              uint64_t flags)
{
    struct space *space = vm_space(state->vm);
    uint64_t found;

    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (addr & (PAGE - 1))
            return -EINVAL;
        if (addr < FERRY_PROGRAM_LOW)
            return -EPERM;
        if (!space_is_range(space, guest_addr(addr), bytes))
            return -ENOMEM;
        memory_meet(state, addr, bytes);
        if (flags & MAP_FIXED_NOREPLACE && !space_is_unmapped(space, guest_addr(addr), bytes))
            return -EEXIST;
        return (int64_t)addr;
    }
    if (flags & MAP_HUGETLB)
        return -ENOMEM; /* there is no such memory */
    if (flags & MAP_32BIT)
        found = space_find_within(space, guest_addr(LOW_START), guest_addr(LOW_END), bytes).value;
    else
        found = space_find(space, guest_addr(addr & ~(PAGE - 1)), bytes).value;
    return found ? (int64_t)found : -ENOMEM;
}

/* The same, if the limits allow these rights there. */
static int64_t choose_allowed(struct linux_state *state, const uint64_t arg[6], uint64_t bytes,
                              unsigned prot)
{
    int64_t addr = choose_address(state, arg[0], bytes, arg[3]);

    return addr < 0 || limits_allow(state, (uint64_t)addr, bytes, prot) ? addr : -ENOMEM;
}

/* Reads the file from `offset` on into the memfd, which has room for `bytes`; *got: how much. */
static int read_file(struct linux_state *state, const struct open_file *file, int copy,
                     uint64_t bytes, uint64_t offset, uint64_t *got)
{
    char *to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0);
    int64_t part = 1;

    if (to == MAP_FAILED)
        return -ENOMEM;
    madvise(to, bytes, MADV_DONTFORK); /* in a child it would keep the copy from being sealed */
    for (*got = 0; part > 0 && *got<bytes; *got += part> 0 ? (uint64_t)part : 0) {
        uint64_t left = bytes - *got;

        part = vm_stopping(state->vm)
                   ? -EINTR
                   : file_read(state, file, to + *got, left, (off_t)(offset + *got));
    }
    munmap(to, bytes);
    return part < 0 ? (int)part : 0;
}

/* While it is read others are served, who may have files copied too: it is charged until the caller
 * has it, who charges what becomes of it. */
static int read_charged(struct linux_state *state, const struct open_file *file, int copy,
                        uint64_t bytes, uint64_t offset, uint64_t *got)
{
    struct space *space = vm_space(state->vm);
    int result = space_charge(space, page_up(bytes));

    if (result)
        return result;
    result =
        ftruncate(copy, (off_t)bytes) ? -ENOMEM : read_file(state, file, copy, bytes, offset, got);
    space_recharge(space, page_up(bytes), 0);
    return result;
}

int file_copy(struct linux_state *state, const struct open_file *file, uint64_t bytes,
              uint64_t offset, uint64_t *got)
{
    int copy = memfd_create("ferry-file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat stat;
    int result = copy < 0 ? -ENOMEM : file_stat(state, file, &stat);

    if (result)
        bytes = 0;
    else if (offset >= (uint64_t)stat.st_size)
        bytes = 0;
    else if (bytes > (uint64_t)stat.st_size - offset)
        bytes = (uint64_t)stat.st_size - offset;
    *got = 0;
    if (!result && bytes)
        result = read_charged(state, file, copy, bytes, offset, got);
    /* Somebody may have cut the file short meanwhile: then it ends there. */
    if (!result && *got < bytes && ftruncate(copy, (off_t)*got))
        result = -ENOMEM;
    if (!result)
        return copy;
    if (copy >= 0)
        close(copy);
    return result;
}

/* Whether the file itself is mapped. A fault on another file system may never be answered. */
static bool is_live(struct linux_state *state, const struct open_file *file)
{
    if (file->local && !state->common->live_known) {
        state->common->live_known = true;
        state->common->live_works = live_works();
    }
    return file->local && state->common->live_works;
}

/* A library's data: nearly all of it is written when it is relocated. Not of a file that the program
 * may write itself, since it would see by that which pages are its own copies already. */
static void populate_live(struct linux_state *state, const struct open_file *file, uint64_t addr,
                          uint64_t bytes, uint64_t offset)
{
    uint64_t cached = live_cached(file->fd, offset, min_u64(bytes, POPULATE_MOST));

    if (cached)
        space_populate(vm_space(state->vm), guest_addr(addr), cached);
}

static int64_t map_live(struct linux_state *state, const uint64_t arg[6], uint64_t bytes,
                        unsigned prot, struct open_file *file)
{
    int64_t addr = choose_allowed(state, arg, bytes, prot);
    int result = addr < 0 ? (int)addr : mapped_reserve(state, file);

    if (!result)
        result = space_map_live(vm_space(state->vm), guest_addr((uint64_t)addr), bytes,
                                prot | file_map_flags(file), file->fd, arg[5]);
    if (result)
        return result;
    mapped_add(state, file, (uint64_t)addr, bytes);
    if ((prot & (SPACE_WRITE | SPACE_SHARED)) == SPACE_WRITE && !file->writable && !file->given)
        populate_live(state, file, (uint64_t)addr, bytes, arg[5]);
    return addr;
}

/* Maps a copy of the file. It is mapped, not read into other memory: so the kernel shows its bytes
 * again where the program's own pages were given back. The address is chosen only after all waits for
 * the file: meanwhile another thread may have mapped memory where there was none. */
static int64_t map_copy(struct linux_state *state, const uint64_t arg[6], uint64_t bytes,
                        unsigned prot, const struct open_file *file)
{
    struct space *space = vm_space(state->vm);
    int64_t addr = choose_allowed(state, arg, bytes, prot);
    uint64_t file_bytes;
    int copy, result;

    if (addr < 0)
        return addr;
    /* Before it is read: a program must not make the host hold more than it may have. */
    if (!space_has_room(space, guest_addr((uint64_t)addr), bytes, prot))
        return -ENOMEM;
    copy = file_copy(state, file, bytes, arg[5], &file_bytes);
    if (copy < 0)
        return copy;
    addr = choose_allowed(state, arg, bytes, prot);
    result = addr < 0
                 ? (int)addr
                 : space_map_copy(space, guest_addr((uint64_t)addr), bytes, prot, copy, file_bytes);
    close(copy);
    return result ? result : addr;
}

/* Checks the arguments. *file: NULL for anonymous memory. */
static int check_mapping(struct linux_state *state, const uint64_t arg[6], uint64_t bytes,
                         struct open_file **file)
{
    uint64_t flags = arg[3], type = flags & MAP_TYPE, offset = arg[5], end;
    bool grows = flags & MAP_GROWSDOWN; /* asked for; only private memory may, and here none does */

    if (!arg[1] || offset & (PAGE - 1) ||
        (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE))
        return -EINVAL;
    if (!bytes || bytes > FERRY_PROGRAM_FAR_HIGH)
        return -ENOMEM;
    *file = NULL;
    if (flags & MAP_ANONYMOUS)
        return type == MAP_SHARED_VALIDATE || (grows && type == MAP_SHARED) ? -EINVAL : 0;
    *file = descriptor_file(state, arg[4]);
    if (!*file || (*file)->status & O_PATH)
        return -EBADF;
    if (!file_can_read(*file))
        return -EACCES;
    if ((*file)->kind == FILE_DEVICE && (*file)->device == DEVICE_ZERO) {
        *file = NULL; /* as good as no file */
        return grows ? -EINVAL : 0;
    }
    if ((*file)->kind != FILE_REGULAR)
        return -ENODEV;
    if (type == MAP_SHARED_VALIDATE && flags & ~FLAGS_OF_OLD)
        return -EOPNOTSUPP;
    if (type != MAP_PRIVATE && arg[2] & PROT_WRITE && !file_can_write(*file))
        return -EACCES;
    if (type != MAP_PRIVATE && arg[2] & PROT_WRITE && !is_live(state, *file))
        return -ENODEV;
    if (__builtin_add_overflow(offset, bytes, &end) || end > INT64_MAX)
        return -EOVERFLOW;
    return grows ? -EINVAL : 0;
}

/* Memory that is no file's. */
static int memory_map(struct linux_state *state, uint64_t addr, uint64_t bytes, unsigned prot,
                      uint64_t flags)
{
    if (flags & MAP_NORESERVE)
        prot |= SPACE_NORESERVE;
    return space_map_memory(vm_space(state->vm), guest_addr(addr), bytes, prot);
}

static int64_t map_checked(struct linux_state *state, const uint64_t arg[6], uint64_t bytes,
                           unsigned prot, struct open_file *file)
{
    int64_t addr;
    int result;

    if (file) {
        addr = is_live(state, file) ? map_live(state, arg, bytes, prot, file)
                                    : map_copy(state, arg, bytes, prot, file);
        if (addr >= 0 && prot & SPACE_EXEC)
            code_file_mapped(state, file, (uint64_t)addr, bytes, arg[5]);
        return addr;
    }
    addr = choose_allowed(state, arg, bytes, prot);
    if (addr < 0)
        return addr;
    result = memory_map(state, (uint64_t)addr, bytes, prot, arg[3]);
    return result ? result : addr;
}

/* What the mapping is called; *seen NULL: nothing, as private memory. */
static int find_name(struct linux_state *state, const uint64_t arg[6], struct open_file *file,
                     struct space_file **seen)
{
    *seen = NULL;
    if (!file && (arg[3] & MAP_TYPE) != MAP_PRIVATE)
        return maps_of_shared(state, seen);
    if (!file && !(arg[3] & MAP_ANONYMOUS))
        file = descriptor_file(state, arg[4]); /* /dev/zero */
    return file ? maps_of_file(state, file, seen) : 0;
}

static int64_t map(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t bytes = page_up(arg[1]);
    /* Linux takes any further bits of the rights, and they mean nothing. */
    unsigned prot = (unsigned)(arg[2] & PROT_ALL);
    struct space *space = vm_space(state->vm);
    struct space_file *seen = NULL;
    struct open_file *file;
    int result = check_mapping(state, arg, bytes, &file);
    int64_t addr;

    if (!result)
        result = find_name(state, arg, file, &seen);
    if (result)
        return result;
    if ((arg[3] & MAP_TYPE) != MAP_PRIVATE)
        prot |= SPACE_SHARED;
    addr = map_checked(state, arg, bytes, prot, file);
    if (addr >= 0 && seen) {
        uint64_t offset = arg[3] & MAP_ANONYMOUS ? 0 : arg[5];
        struct space_label label = {seen, offset - (uint64_t)addr};

        /* Cannot fail: it is a region of its own, or more than one. */
        space_set_label(space, guest_addr((uint64_t)addr), bytes, label);
    }
    space_file_release(space, seen);
    return addr;
}

int64_t sys_mmap(struct linux_state *state, const uint64_t arg[6])
{
    int64_t result = map(state, arg);

    if (result >= 0)
        mapped_settle(state, (uint64_t)result, page_up(arg[1]));
    else if (arg[3] & MAP_FIXED) /* what was to be replaced may be gone */
        mapped_settle(state, arg[0], page_up(arg[1]));
    return result;
}

/* Unmaps what of the range lies in one part of the program. */
static int unmap_part(struct space *space, uint64_t start, uint64_t end, uint64_t low,
                      uint64_t high)
{
    start = max_u64(start, low);
    end = min_u64(end, high);
    return start < end ? space_unmap(space, guest_addr(start), end - start) : 0;
}

/* Outside of the program's parts it has nothing to unmap, so that succeeds: also of the vDSO, which
 * stays. */
int64_t sys_munmap(struct linux_state *state, const uint64_t arg[6])
{
    struct space *space = vm_space(state->vm);
    uint64_t start = arg[0], bytes = page_up(arg[1]), end;
    int result;

    if (start & (PAGE - 1) || !bytes || __builtin_add_overflow(start, bytes, &end) ||
        end > MEMORY_USER_END)
        return -EINVAL;
    memory_meet(state, start, end - start);
    result = unmap_part(space, start, end, FERRY_PROGRAM_LOW, FERRY_PROGRAM_HIGH);
    if (!result)
        result = unmap_part(space, start, end, FERRY_PROGRAM_FAR_LOW, space->backend.far_high);
    mapped_settle(state, start, end - start);
    return result;
}

int64_t sys_mprotect(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t start = arg[0], bytes = page_up(arg[1]), prot = arg[2];

    if (start & (PAGE - 1))
        return -EINVAL;
    if (!arg[1])
        return 0;
    if (prot & ~(uint64_t)(PROT_ALL | PROT_ATOM | PROT_GROWSDOWN))
        return -EINVAL;
    if (!space_is_range(vm_space(state->vm), guest_addr(start), bytes))
        return -ENOMEM;
    if (prot & PROT_GROWSDOWN) {
        if (start < state->stack_start || start > FERRY_PROGRAM_HIGH)
            return -EINVAL;
        bytes += start - state->stack_start; /* all of the stack below, too */
        start = state->stack_start;
    }
    memory_meet(state, start, bytes);
    if (prot & PROT_WRITE && (start < state->stack_start || start > FERRY_PROGRAM_HIGH) &&
        !limits_allow(state, start, bytes, (unsigned)prot & PROT_ALL))
        return -ENOMEM;
    return space_protect(vm_space(state->vm), guest_addr(start), bytes, (unsigned)prot & PROT_ALL);
}
