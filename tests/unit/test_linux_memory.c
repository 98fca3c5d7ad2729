/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: heap and mappings. How it behaves beside Linux: tests/e2e/test_linux.py. */
#include "linux_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "linux/state.h"

#define AREA       0x200000000ull
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define ANONYMOUS  (MAP_PRIVATE | MAP_ANONYMOUS)

static int64_t map(struct ferry_vm *vm, uint64_t addr, uint64_t bytes, uint64_t prot,
                   uint64_t flags)
{
    return CALL(vm, mmap, addr, bytes, prot, flags, UINT64_MAX, 0);
}

static void test_heap(void **state)
{
    struct ferry_vm *vm = *state;
    char *heap = guest(vm, HEAP_START);

    assert_int_equal(CALL(vm, brk, 0), HEAP_START);
    assert_int_equal(CALL(vm, brk, HEAP_START - 1), HEAP_START);
    assert_int_equal(CALL(vm, brk, HEAP_START + 100), HEAP_START + 100);
    memset(heap, 7, PAGE);
    assert_null(space_at(&vm->space, guest_addr(HEAP_START + PAGE), 1, 0));
    assert_int_equal(CALL(vm, brk, HEAP_START + 3 * PAGE), HEAP_START + 3 * PAGE);
    assert_int_equal(heap[0], 7);
    memset(heap, 7, 3 * PAGE);
    assert_int_equal(CALL(vm, brk, HEAP_START + PAGE), HEAP_START + PAGE);
    assert_null(space_at(&vm->space, guest_addr(HEAP_START + PAGE), 1, 0));
    assert_int_equal(CALL(vm, brk, HEAP_START + 3 * PAGE), HEAP_START + 3 * PAGE);
    assert_int_equal(heap[PAGE - 1], 7);
    assert_int_equal(heap[PAGE], 0);
    assert_int_equal(CALL(vm, brk, HEAP_START), HEAP_START);
    assert_null(space_at(&vm->space, guest_addr(HEAP_START), 1, 0));
}

static void test_heap_bounds(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t used = vm->space.used_bytes;

    assert_int_equal(CALL(vm, brk, HEAP_START + MEMORY), HEAP_START);
    assert_int_equal(CALL(vm, brk, AREA), HEAP_START);
    assert_int_equal(CALL(vm, brk, AREA + 1), HEAP_START);
    assert_int_equal(CALL(vm, brk, UINT64_MAX), HEAP_START);
    assert_int_equal(vm->space.used_bytes, used);
    /* All that is left, though it is no whole number of the steps a large heap grows by. */
    assert_int_equal(CALL(vm, brk, HEAP_START + MEMORY - used), HEAP_START + MEMORY - used);
    assert_int_equal(vm->space.used_bytes, MEMORY);
    assert_int_equal(CALL(vm, brk, HEAP_START + MEMORY - used + 1), HEAP_START + MEMORY - used);
}

static void test_heap_stops_at_a_mapping(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t wall = HEAP_START + 5 * MIB;

    assert_int_equal(map(vm, wall, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED), wall);
    *(char *)guest(vm, wall) = 7;
    assert_int_equal(CALL(vm, brk, wall + PAGE), HEAP_START);
    assert_int_equal(CALL(vm, brk, wall), wall);
    assert_int_equal(CALL(vm, brk, wall + 1), wall);
    assert_int_equal(*(char *)guest(vm, wall), 7);
}

/* How many pages the host has there. */
static unsigned pages_there(struct ferry_vm *vm, uint64_t start, uint64_t bytes)
{
    unsigned char there[256];
    unsigned count = 0;

    assert_true(bytes / PAGE <= sizeof(there));
    assert_int_equal(mincore(guest(vm, start), bytes, there), 0);
    for (uint64_t i = 0; i < bytes / PAGE; i++)
        count += there[i] & 1;
    return count;
}

/* What the heap grows by has pages before it is touched; little of it at first. */
static void test_heap_has_pages(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t first = HEAP_START + 33 * PAGE, second = first + 50 * PAGE,
             third = second + 100 * PAGE;

    assert_int_equal(CALL(vm, brk, first), first);
    assert_int_equal(pages_there(vm, HEAP_START, 33 * PAGE), 16);
    assert_int_equal(CALL(vm, brk, second), second);
    assert_int_equal(pages_there(vm, first, 50 * PAGE), 50);
    assert_int_equal(CALL(vm, brk, third), third);
    assert_int_equal(pages_there(vm, second, 100 * PAGE), 64);
    /* Little of what goes and comes again and is not used. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(CALL(vm, brk, second), second);
        assert_int_equal(CALL(vm, brk, third), third);
    }
    assert_int_equal(pages_there(vm, second, 100 * PAGE), 16);
}

/* A large heap grows in steps, so that it can have huge pages. */
static void test_heap_steps(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t end = HEAP_START + 6 * MIB;

    assert_int_equal(CALL(vm, brk, end), end);
    assert_int_equal(CALL(vm, brk, end + PAGE), end + PAGE);
    assert_non_null(space_at(&vm->space, guest_addr(HEAP_START), 6 * MIB + PAGE, SPACE_WRITE));
    assert_int_equal(vm->space.count, 3); /* heap, scratch, read-only page */
    assert_int_equal(CALL(vm, brk, HEAP_START + PAGE), HEAP_START + PAGE);
    assert_null(space_at(&vm->space, guest_addr(HEAP_START + PAGE), 1, 0));
}

static void test_mmap(void **state)
{
    struct ferry_vm *vm = *state;
    char *host = guest(vm, AREA);

    assert_int_equal(map(vm, 0, 100, READ_WRITE, ANONYMOUS), AREA);
    assert_int_equal(space_prot(&vm->space, guest_addr(AREA)), SPACE_READ | SPACE_WRITE);
    host[0] = 7;
    assert_int_equal(map(vm, AREA, PAGE, PROT_READ, ANONYMOUS), AREA + PAGE);
    assert_int_equal(map(vm, AREA + 64 * PAGE + 5, PAGE, PROT_READ, ANONYMOUS), AREA + 64 * PAGE);
    assert_int_equal(map(vm, AREA, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED_NOREPLACE), -EEXIST);
    assert_int_equal(host[0], 7);
    assert_int_equal(map(vm, AREA, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED), AREA);
    assert_int_equal(host[0], 0);
    assert_int_equal(map(vm, 0, PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS), AREA + 2 * PAGE);
    /* Address space without memory: more than the program may have. */
    assert_true(map(vm, 0, 4096 * MIB, PROT_NONE, ANONYMOUS | MAP_NORESERVE) > 0);
    assert_int_equal(map(vm, 0, MEMORY, READ_WRITE, ANONYMOUS), -ENOMEM);
}

static void test_mmap_refuses(void **state)
{
    static const struct {
        uint64_t addr, bytes, prot, flags;
        int64_t result;
    } table[] = {
        {0, 0, READ_WRITE, ANONYMOUS, -EINVAL},
        {0, PAGE, READ_WRITE, MAP_ANONYMOUS, -EINVAL},
        {0, UINT64_MAX, READ_WRITE, ANONYMOUS, -ENOMEM},
        {0, UINT64_MAX - PAGE, READ_WRITE, ANONYMOUS, -ENOMEM},
        {0, 1ull << 40, PROT_NONE, ANONYMOUS, -ENOMEM},
        {0, PAGE, READ_WRITE, ANONYMOUS | MAP_HUGETLB, -ENOMEM},
        {0, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -EPERM},
        {AREA + 1, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -EINVAL},
        {0x800000000, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -ENOMEM},
        {0x1000000000, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -ENOMEM},
        {0xfffffffffffff000, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -ENOMEM},
        {AREA, 0x700000000, PROT_NONE, ANONYMOUS | MAP_FIXED, -ENOMEM},
        {0, PAGE, PROT_READ, MAP_PRIVATE, -EBADF},
    };
    struct ferry_vm *vm = *state;
    size_t count = vm->space.count;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(map(vm, table[i].addr, table[i].bytes, table[i].prot, table[i].flags),
                         table[i].result);
    assert_int_equal(CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, 0, 0), -ENODEV);
    assert_int_equal(CALL(vm, mmap, 0, PAGE, PROT_READ, ANONYMOUS, 0, 1), -EINVAL);
    assert_int_equal(vm->space.count, count);
}

static void test_mmap_of_a_file(void **state)
{
    const char *const directories[] = {"/tmp", NULL};
    char path[] = "/tmp/ferry-test-XXXXXX", *host;
    int host_fd = mkstemp(path);
    struct ferry_vm *vm;
    uint64_t fd;
    int64_t at;
    bool own;

    (void)state;
    assert_true(host_fd >= 0);
    assert_int_equal(pwrite(host_fd, "tail", 4, PAGE), 4);
    vm = linux_vm_create(directories, -1);
    fd = (uint64_t)CALL(vm, open, guest_string(vm, SCRATCH, path), O_RDONLY);
    assert_int_equal(fd, 3);
    at = CALL(vm, mmap, 0, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
    assert_int_equal(at, AREA);
    host = guest(vm, (uint64_t)at);
    assert_memory_equal(host, "tail", 5);
    assert_int_equal(host[PAGE - 1], 0); /* the rest of the last page */
    assert_int_equal(space_prot(&vm->space, guest_addr(AREA)), SPACE_READ);
    /* A page beyond the end is mapped, and is not there. No code of the VMM may touch any of it. */
    assert_null(space_at(&vm->space, guest_addr(AREA), PAGE, 0));
    assert_int_equal(CALL(vm, write, 1, AREA + PAGE, 1), -EFAULT);
    assert_int_equal(CALL(vm, mprotect, AREA, 2 * PAGE, READ_WRITE), 0);
    assert_int_equal(CALL(vm, pread64, fd, AREA + PAGE, 1, PAGE), -EFAULT);
    /* Written bytes are lost, and the file is there again. */
    memset(host, 7, PAGE);
    assert_int_equal(CALL(vm, madvise, AREA, 2 * PAGE, MADV_DONTNEED), 0);
    assert_memory_equal(host, "tail", 5);
    /* It follows the file. */
    assert_int_equal(pwrite(host_fd, "TAIL", 4, PAGE), 4);
    assert_memory_equal(host, "TAIL", 5);
    /* To be written, it is the program's own copy at once, where that needs no wait; */
    own = live_cached(host_fd, PAGE, PAGE) > 0;
    at = CALL(vm, mmap, 0, 2 * PAGE, READ_WRITE, MAP_PRIVATE, fd, PAGE);
    assert_int_equal(pwrite(host_fd, "tail", 4, PAGE), 4);
    assert_memory_equal(guest(vm, (uint64_t)at), own ? "TAIL" : "tail", 5);
    assert_int_equal(CALL(vm, munmap, at, 2 * PAGE), 0);
    /* one that others see never. */
    at = CALL(vm, mmap, 0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
    assert_memory_equal(guest(vm, (uint64_t)at), "tail", 5);
    assert_int_equal(CALL(vm, munmap, at, 2 * PAGE), 0);
    assert_int_equal(ftruncate(host_fd, 0), 0);
    assert_int_equal(CALL(vm, write, 1, AREA, 1), -EFAULT);
    assert_int_equal(CALL(vm, getcwd, AREA, PAGE), -EFAULT);
    assert_int_equal(CALL(vm, futex, AREA, FUTEX_WAIT_PRIVATE, 0, 0), -EFAULT);
    assert_int_equal(CALL(vm, mmap, 0, PAGE, READ_WRITE, MAP_SHARED, fd, 0), -EACCES);
    assert_int_equal(CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 1), -EINVAL);
    assert_int_equal(CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, -PAGE), -EOVERFLOW);
    assert_int_equal(CALL(vm, mmap, 0, 2 * MEMORY, READ_WRITE, MAP_PRIVATE, fd, 0), -ENOMEM);
    assert_true(CALL(vm, mmap, 0, 2 * MEMORY, PROT_READ, MAP_PRIVATE, fd, 0) > 0);
    assert_true(CALL(vm, mmap, 0, PAGE, READ_WRITE, MAP_PRIVATE, fd, 0) > 0);
    linux_vm_destroy(vm);
    close(host_fd);
    unlink(path);
}

static void test_munmap_and_mprotect(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(map(vm, 0, 3 * PAGE, READ_WRITE, ANONYMOUS), AREA);
    assert_int_equal(CALL(vm, munmap, AREA + PAGE, 1), 0);
    assert_null(space_at(&vm->space, guest_addr(AREA + PAGE), 1, 0));
    assert_int_equal(CALL(vm, munmap, AREA + PAGE, PAGE), 0);
    assert_int_equal(CALL(vm, munmap, AREA, 0), -EINVAL);
    assert_int_equal(CALL(vm, munmap, AREA + 1, PAGE), -EINVAL);
    assert_int_equal(CALL(vm, munmap, AREA, UINT64_MAX), -EINVAL);
    assert_int_equal(CALL(vm, munmap, 0x1000000000, PAGE), 0); /* nothing is there */
    assert_int_equal(CALL(vm, munmap, 0x7ffffffff000, PAGE), -EINVAL);
    assert_int_equal(CALL(vm, mprotect, AREA, PAGE, PROT_READ), 0);
    assert_int_equal(space_prot(&vm->space, guest_addr(AREA)), SPACE_READ);
    assert_int_equal(CALL(vm, mprotect, AREA, 3 * PAGE, PROT_READ), -ENOMEM);
    assert_int_equal(CALL(vm, mprotect, AREA, 0, PROT_READ), 0);
    assert_int_equal(CALL(vm, mprotect, AREA + 1, PAGE, PROT_READ), -EINVAL);
    assert_int_equal(CALL(vm, mprotect, AREA, PAGE, PROT_GROWSDOWN), -EINVAL); /* no stack */
    assert_int_equal(CALL(vm, mprotect, AREA, UINT64_MAX, PROT_READ), -ENOMEM);
    assert_int_equal(CALL(vm, mprotect, 0x1000000000, PAGE, READ_WRITE), -ENOMEM);
}

static void test_mremap(void **state)
{
    struct ferry_vm *vm = *state;
    char *host = guest(vm, AREA);
    uint64_t used = vm->space.used_bytes;

    assert_int_equal(map(vm, 0, 2 * PAGE, READ_WRITE, ANONYMOUS), AREA);
    memset(host, 7, 2 * PAGE);
    /* In place. */
    assert_int_equal(CALL(vm, mremap, AREA, 2 * PAGE, 3 * PAGE, 0), AREA);
    assert_int_equal(host[2 * PAGE - 1], 7);
    assert_int_equal(host[2 * PAGE], 0);
    assert_int_equal(CALL(vm, mremap, AREA, 3 * PAGE, 2 * PAGE, 0), AREA);
    assert_null(space_at(&vm->space, guest_addr(AREA + 2 * PAGE), 1, 0));
    /* Something is in the way. */
    assert_int_equal(map(vm, 0, PAGE, READ_WRITE, ANONYMOUS), AREA + 2 * PAGE);
    assert_int_equal(CALL(vm, mremap, AREA, 2 * PAGE, 4 * PAGE, 0), -ENOMEM);
    assert_int_equal(CALL(vm, mremap, AREA, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE), AREA + 3 * PAGE);
    assert_null(space_at(&vm->space, guest_addr(AREA), 1, 0));
    assert_int_equal(host[3 * PAGE], 7);
    assert_int_equal(host[5 * PAGE - 1], 7);
    assert_int_equal(host[5 * PAGE], 0);
    assert_int_equal(vm->space.used_bytes, used + 5 * PAGE);
    /* Read-only memory moves too, and stays so. */
    assert_int_equal(CALL(vm, mprotect, AREA + 2 * PAGE, PAGE, PROT_READ), 0);
    assert_int_equal(CALL(vm, mremap, AREA + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE), AREA);
    assert_int_equal(space_prot(&vm->space, guest_addr(AREA)), SPACE_READ);

    /* What becomes shorter where it is may be of several kinds. */
    assert_int_equal(CALL(vm, mprotect, AREA + PAGE, PAGE, PROT_NONE), 0);
    assert_int_equal(CALL(vm, mremap, AREA, 2 * PAGE, 3 * PAGE, 1), -EFAULT);
    assert_int_equal(CALL(vm, mremap, AREA, 2 * PAGE, PAGE, 0), AREA);
    assert_null(space_at(&vm->space, guest_addr(AREA + PAGE), 1, 0));

    assert_int_equal(CALL(vm, mremap, NOWHERE, PAGE, 2 * PAGE, 1), -EFAULT);
    assert_int_equal(CALL(vm, mremap, NOWHERE, 2 * PAGE, PAGE, 0), -EFAULT);
    assert_int_equal(CALL(vm, mremap, AREA, 16 * PAGE, 32 * PAGE, 1), -EFAULT);
    assert_int_equal(CALL(vm, mremap, AREA, 0, PAGE, 1), -EINVAL);
    assert_int_equal(CALL(vm, mremap, AREA, PAGE, 0, 1), -EINVAL);
    assert_int_equal(CALL(vm, mremap, AREA, PAGE, 2 * PAGE, 3, AREA), -EINVAL);
    assert_int_equal(CALL(vm, mremap, AREA, PAGE, PAGE, 3, 0), -EPERM);
    assert_int_equal(CALL(vm, mremap, AREA, PAGE, PAGE, 3, 0x1000000000), -ENOMEM);
    assert_int_equal(CALL(vm, mremap, AREA, PAGE, 1ull << 50, 1), -EINVAL);
    assert_int_equal(CALL(vm, mremap, AREA, PAGE, 1ull << 40, 1), -ENOMEM);
    assert_int_equal(CALL(vm, mremap, AREA, 1ull << 50, PAGE, 1), -ENOMEM);
    assert_int_equal(CALL(vm, mremap, AREA, PAGE, MEMORY, 1), -ENOMEM);
}

static void test_madvise(void **state)
{
    struct ferry_vm *vm = *state;
    char *host = guest(vm, AREA);

    assert_int_equal(map(vm, 0, 3 * PAGE, READ_WRITE, ANONYMOUS), AREA);
    memset(host, 7, 3 * PAGE);
    assert_int_equal(CALL(vm, madvise, AREA + PAGE, PAGE, MADV_DONTNEED), 0);
    assert_int_equal(host[PAGE - 1], 7);
    assert_int_equal(host[PAGE], 0);
    assert_int_equal(host[2 * PAGE], 7);
    assert_int_equal(CALL(vm, madvise, AREA, PAGE, MADV_FREE), 0);
    assert_int_equal(host[0], 0);
    assert_int_equal(CALL(vm, madvise, AREA, 4 * PAGE, MADV_FREE), -ENOMEM);
    assert_int_equal(host[2 * PAGE], 0); /* what was there is freed nevertheless */
    assert_int_equal(CALL(vm, madvise, AREA, 4 * PAGE, MADV_DONTNEED), -ENOMEM);
    assert_int_equal(CALL(vm, madvise, 0x1000000000, PAGE, MADV_DONTNEED), -ENOMEM);
    assert_int_equal(CALL(vm, madvise, AREA + 1, PAGE, MADV_DONTNEED), -EINVAL);
    assert_int_equal(CALL(vm, madvise, AREA, UINT64_MAX, MADV_DONTNEED), -EINVAL);
    assert_int_equal(CALL(vm, madvise, AREA, PAGE, MADV_REMOVE), -EINVAL);
    assert_int_equal(CALL(vm, madvise, AREA, PAGE, MADV_HWPOISON), -EINVAL);
}

static int64_t mapped_meanwhile;
static int calls_meanwhile;

/* In the midst of the read, after the file was asked how long it is. */
static void map_too(struct ferry_vm *vm)
{
    if (++calls_meanwhile < 10)
        vm->meanwhile = map_too;
    else
        mapped_meanwhile = other_call(
            vm, SYS_mmap, (const uint64_t[6]){0, 16 * MIB, PROT_READ, MAP_PRIVATE, 3, 0});
}

/* Two copies of files that are made at a time count both. */
static void test_copies_at_once(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, memfd_create, guest_string(vm, SCRATCH, ""), 0), 3);
    assert_int_equal(CALL(vm, ftruncate, 3, 16 * MIB), 0);
    vm->space.limit_bytes = vm->space.used_bytes + 24 * MIB;
    vm->linux_state->descriptors[3].file->local = false;
    calls_meanwhile = 0;
    vm->meanwhile = map_too;
    assert_true(CALL(vm, mmap, 0, 16 * MIB, PROT_READ, MAP_PRIVATE, 3, 0) > 0);
    assert_null(vm->meanwhile);
    assert_int_equal(mapped_meanwhile, -ENOMEM);
}

static void stop_now(struct ferry_vm *vm)
{
    vm->stop = true;
}

/* However much memory or file a call is about, it looks whether the VM is to stop. */
static void test_a_stop_ends_long_calls(void **state)
{
    struct ferry_vm *vm = *state;
    const uint64_t bytes = 80 * MIB;
    int64_t fd = CALL(vm, memfd_create, guest_string(vm, SCRATCH, ""), 0), area, got;

    vm->space.limit_bytes = 256 * MIB;
    area = map(vm, 0, bytes, READ_WRITE, ANONYMOUS);
    assert_true(area > 0);
    assert_int_equal(CALL(vm, ftruncate, (uint64_t)fd, bytes), 0);
    vm->aside = stop_now;
    got = CALL(vm, read, (uint64_t)fd, (uint64_t)area, bytes);
    assert_int_equal(got, 64 * MIB);
    assert_true(vm->stop);
    assert_int_equal(CALL(vm, madvise, (uint64_t)area, bytes, 23 /* MADV_POPULATE_WRITE */),
                     -EINTR);
    assert_int_equal(CALL(vm, mincore, (uint64_t)area, PAGE, SCRATCH), -EINTR);
    *(struct iovec *)guest(vm, SCRATCH) = (struct iovec){(void *)(uintptr_t)area, bytes};
    assert_int_equal(CALL(vm, writev, (uint64_t)fd, SCRATCH, 1), -EINTR);
    vm->stop = false;
    assert_int_equal(CALL(vm, madvise, (uint64_t)area, bytes, 23), 0);
}

/* Whether a place is free is asked without looking for another one, which might reserve the far part. */
static void test_a_busy_place_reserves_nothing(void **state)
{
    const uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const uint64_t area = 0x200000000, rest = FERRY_PROGRAM_HIGH - area;
    struct ferry_vm *vm = *state;

    vm->space.backend.far_high = FERRY_PROGRAM_FAR_LOW + area;
    assert_int_equal(CALL(vm, mmap, area, rest, PROT_NONE, flags | MAP_FIXED, UINT64_MAX, 0), area);
    assert_int_equal(CALL(vm, brk, area), HEAP_START); /* SCRATCH is in the way */
    assert_null(vm->space.far);
    assert_int_equal(CALL(vm, mmap, SCRATCH, area - SCRATCH, PROT_NONE, flags | MAP_FIXED_NOREPLACE,
                          UINT64_MAX, 0),
                     -EEXIST);
    assert_null(vm->space.far);
}

/* Of descriptor 3, for reading. */
static int64_t map_file(struct ferry_vm *vm, uint64_t addr, uint64_t bytes, uint64_t flags)
{
    return CALL(vm, mmap, addr, bytes, PROT_READ, flags, 3, 0);
}

/* What is made up is memory of ours: it counts while it is written, and while it is mapped, too. */
static void test_what_is_made_up_counts(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t name = guest_string(vm, SCRATCH, "/proc/self/maps");
    const uint64_t *counted = &vm->linux_state->common->object_bytes;
    uint64_t before, open_bytes, mapped_bytes;
    int64_t area, second;

    assert_int_equal(CALL(vm, open, name, O_RDONLY), 3);
    area = map_file(vm, 0, PAGE, MAP_SHARED); /* makes the list of such mappings */
    assert_int_equal(CALL(vm, munmap, (uint64_t)area, PAGE), 0);
    assert_int_equal(CALL(vm, close, 3), 0);
    before = *counted;
    assert_int_equal(CALL(vm, open, name, O_RDONLY), 3);
    open_bytes = *counted;
    assert_true(open_bytes > before);
    area = map_file(vm, 0, PAGE, MAP_SHARED);
    second = map_file(vm, 0, PAGE, MAP_PRIVATE);
    assert_true(area > 0 && second > 0);
    assert_int_equal(CALL(vm, close, 3), 0);
    assert_int_equal(*counted, open_bytes);
    assert_int_equal(CALL(vm, munmap, (uint64_t)area, PAGE), 0);
    assert_int_equal(*counted, open_bytes);
    assert_int_equal(CALL(vm, munmap, (uint64_t)second, PAGE), 0);
    assert_int_equal(*counted, before);

    assert_int_equal(CALL(vm, stat, name, SCRATCH + PAGE), 0);
    assert_int_equal(*counted, before);
    mapped_bytes = vm->space.limit_bytes;
    vm->linux_state->common->object_bytes_most = *counted;
    vm->space.limit_bytes = vm->space.used_bytes;
    assert_int_equal(CALL(vm, open, name, O_RDONLY), -ENOMEM);
    assert_int_equal(CALL(vm, stat, name, SCRATCH + PAGE), -ENOMEM);
    vm->space.limit_bytes = mapped_bytes;
    vm->stop = true;
    assert_int_equal(CALL(vm, open, name, O_RDONLY), -ENOMEM);
    vm->stop = false;
    assert_int_equal(*counted, before);
    assert_int_equal(CALL(vm, open, name, O_RDONLY), 3);
}

/* Each stays in mind as long as a page of it is mapped, though the next one lies over the rest. */
static void test_mapped_files_are_bounded(void **state)
{
    struct ferry_vm *vm = *state;
    const uint64_t bytes = 64 * MIB;
    int64_t area, at;
    uint64_t count = 0;

    assert_int_equal(CALL(vm, memfd_create, guest_string(vm, SCRATCH, ""), 0), 3);
    area = map(vm, 0, 2 * bytes, PROT_NONE, ANONYMOUS);
    assert_true(area > 0);
    for (at = area; at > 0 && count <= 8192; count++) {
        at = map_file(vm, (uint64_t)area + count * PAGE, bytes, MAP_SHARED | MAP_FIXED);
        CALL(vm, munmap, (uint64_t)area, count * PAGE + (at > 0 ? PAGE : 0));
    }
    assert_int_equal(at, -ENOMEM);
    assert_int_equal(count, 8193);
    assert_int_equal(CALL(vm, munmap, (uint64_t)area, 2 * bytes), 0);
    assert_true(map_file(vm, 0, PAGE, MAP_SHARED) > 0);
}

static unsigned looks;

bool __real_space_has_live(const struct space *space, struct guest_addr start,
                           struct guest_addr end);
bool __wrap_space_has_live(const struct space *space, struct guest_addr start,
                           struct guest_addr end);
bool __wrap_space_has_live(const struct space *space, struct guest_addr start,
                           struct guest_addr end)
{
    looks++;
    return __real_space_has_live(space, start, end);
}

/* A change of memory looks only at the mapped files that lie there. */
static void test_other_memory_is_no_walk(void **state)
{
    const uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS;
    struct ferry_vm *vm = *state;
    int64_t files[3], at;

    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/proc/self/maps"), O_RDONLY), 3);
    for (int i = 0; i < 3; i++) {
        files[i] = map_file(vm, 0x300000000 + (uint64_t)i * 4 * PAGE, PAGE, MAP_SHARED);
        assert_int_equal(files[i], 0x300000000 + (uint64_t)i * 4 * PAGE);
    }
    assert_int_equal(CALL(vm, brk, HEAP_START + 2 * PAGE), HEAP_START + 2 * PAGE);
    looks = 0;
    at = CALL(vm, mmap, 0, 2 * PAGE, PROT_READ, flags, UINT64_MAX, 0);
    assert_true(at > 0);
    assert_int_equal(CALL(vm, munmap, (uint64_t)at, PAGE), 0);
    assert_int_equal(CALL(vm, munmap, (uint64_t)files[0] + PAGE, PAGE), 0);
    assert_int_equal(CALL(vm, brk, HEAP_START), HEAP_START);
    assert_int_equal(looks, 0);
    assert_int_equal(CALL(vm, munmap, (uint64_t)files[1] - PAGE, 3 * PAGE), 0);
    assert_int_equal(looks, 1);
    assert_int_equal(vm->linux_state->mapped_count, 2);
    assert_int_equal(
        CALL(vm, mmap, (uint64_t)files[0], PAGE, PROT_READ, flags | MAP_FIXED, UINT64_MAX, 0),
        files[0]);
    assert_int_equal(looks, 2);
    assert_int_equal(vm->linux_state->mapped_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, linux_setup, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_heap),
        TEST(test_heap_bounds),
        TEST(test_heap_stops_at_a_mapping),
        TEST(test_heap_has_pages),
        TEST(test_heap_steps),
        TEST(test_mmap),
        TEST(test_mmap_refuses),
        cmocka_unit_test(test_mmap_of_a_file),
        TEST(test_munmap_and_mprotect),
        TEST(test_mremap),
        TEST(test_madvise),
        TEST(test_copies_at_once),
        TEST(test_a_stop_ends_long_calls),
        TEST(test_a_busy_place_reserves_nothing),
        TEST(test_what_is_made_up_counts),
        TEST(test_mapped_files_are_bounded),
        TEST(test_other_memory_is_no_walk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
