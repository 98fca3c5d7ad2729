/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers about mapped memory, so that a run in a VM can be compared with one
 * outside. The file it is given has 5000 bytes of 'q'. With a second argument it ends by touching
 * memory: "beyond" the end of the file, or a "moved" page of that. "filled": before the end no address
 * is left. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS };

/* A result and, if it is -1, why. */
static void say(const char *what, long result)
{
    printf("%s: %ld", what, result);
    if (result == -1)
        printf(" (%s)", strerror(errno));
    putchar('\n');
}

static char *map(size_t pages, int prot, int flags, int fd, off_t offset)
{
    char *at = mmap(NULL, pages * PAGE, prot, flags, fd, offset);

    if (at == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    return at;
}

static void given_back(int fd)
{
    char *private = map(3, RW, MAP_PRIVATE, fd, 0), *shared = map(3, PROT_READ, MAP_SHARED, fd, 0);
    char *anonymous = map(4, RW, ANONYMOUS, -1, 0),
         *all = map(2, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    private[0] = private[PAGE] = 'x';
    say("one page of a file", madvise(private, PAGE, MADV_DONTNEED));
    printf("%c%c tail %d\n", private[0], private[PAGE], private[5000]);
    say("all of it", madvise(private, 3 * PAGE, MADV_DONTNEED));
    printf("%c%c\n", private[0], private[PAGE]);
    say("without rights", mprotect(private, PAGE, PROT_NONE));
    say("given back then", madvise(private, PAGE, MADV_DONTNEED));
    mprotect(private, PAGE, PROT_READ);
    printf("%c\n", private[0]);
    say("shared", madvise(shared, 3 * PAGE, MADV_DONTNEED));
    printf("%c%c tail %d\n", shared[0], shared[4999], shared[5000]);
    say("writing to it", mprotect(shared, PAGE, RW));
    say("freeing a file", madvise(private, PAGE, MADV_FREE));
    say("removing private pages", madvise(anonymous, PAGE, MADV_REMOVE));

    memset(anonymous, 7, 4 * (size_t)PAGE);
    munmap(anonymous + PAGE, PAGE);
    say("with a hole", madvise(anonymous, 3 * PAGE, MADV_DONTNEED));
    printf("%d %d %d\n", anonymous[0], anonymous[2 * PAGE], anonymous[3 * PAGE]);
    say("advice with a hole", madvise(anonymous, 3 * PAGE, MADV_WILLNEED));

    memset(all, 7, 2 * (size_t)PAGE);
    say("shared with nobody", madvise(all, PAGE, MADV_DONTNEED));
    printf("%d\n", all[0]);
    say("removed", madvise(all, PAGE, MADV_REMOVE));
    printf("%d %d\n", all[0], all[PAGE]);
    say("unknown advice", madvise(all, PAGE, 999));
    say("unaligned", madvise(all + 1, PAGE, MADV_DONTNEED));
}

/* By the call itself: some C libraries pass no address without MREMAP_FIXED. */
static char *keep_mapped(char *at, size_t bytes, int flags, char *to)
{
    return (char *)syscall(SYS_mremap, at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | flags,
                           to);
}

static void moved(int fd)
{
    char *file = map(3, RW, MAP_PRIVATE, fd, 0), *place = map(8, PROT_NONE, ANONYMOUS, -1, 0), *at;
    char *one = map(1, RW, ANONYMOUS, -1, 0);

    file[0] = 'x';
    at = mremap(file, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    say("a file moves", at == place);
    printf("%c%c\n", at[0], at[PAGE]);
    say("and is", madvise(at, 2 * PAGE, MADV_DONTNEED));
    printf("%c%c\n", at[0], at[PAGE]);
    say("where it was", mprotect(file, PAGE, PROT_READ));
    *one = 9;
    say("onto itself",
        mremap(one, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, one) == MAP_FAILED ? -1 : 0);
    at = mremap(one, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place + 4 * PAGE);
    say("grown where it was told", at == place + 4 * PAGE && at[0] == 9 && at[PAGE] == 0);
    at = mremap(at, 2 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place + 6 * PAGE);
    say("cut and moved", at == place + 6 * PAGE && at[0] == 9);
    say("the rest", mprotect(place + 5 * PAGE, PAGE, PROT_READ));
    say("to nowhere aligned",
        mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place + 1) == MAP_FAILED ? -1 : 0);
    say("fixed, without the right to move",
        mremap(at, PAGE, PAGE, MREMAP_FIXED, place) == MAP_FAILED ? -1 : 0);
    mprotect(at, PAGE, PROT_NONE);
    at = mremap(at, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    say("without rights", at == MAP_FAILED ? -1 : mprotect(at, 3 * PAGE, RW));
    printf("%d %d\n", at[0], at[2 * PAGE]);
    at[0] = 5;
    one = keep_mapped(at, 3 * PAGE, 0, NULL);
    say("without unmapping", one == MAP_FAILED || one == at ? -1 : 0);
    printf("%d %d\n", one[0], at[0]);
    at[0] = 6;
    place = keep_mapped(at, 3 * PAGE, MREMAP_FIXED, one);
    printf("%d %d %d\n", place == one, one[0], at[0]);
    say("at an odd place", keep_mapped(at, PAGE, 0, one + 1) == MAP_FAILED ? -1 : 0);
    say("onto itself, too", keep_mapped(at, PAGE, 0, at) == MAP_FAILED ? -1 : 0);
    say("with another length",
        syscall(SYS_mremap, at, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0));
    say("without moving", syscall(SYS_mremap, at, PAGE, PAGE, MREMAP_DONTUNMAP, 0));
}

static void asked(int fd)
{
    unsigned char there[3] = {9, 9, 9};
    char *at = map(2, RW, ANONYMOUS, -1, 0);

    at[0] = 1;
    say("mlock", mlock(at, PAGE));
    say("mlock of what is not there", mlock((void *)0x700000000, PAGE));
    say("munlock", munlock(at, 1));
    say("mlockall", mlockall(MCL_CURRENT));
    say("mlockall of nothing", mlockall(0));
    say("munlockall", munlockall());
    say("mincore", mincore(at, PAGE, there));
    printf("%d %d\n", there[0] & 1, there[1]);
    say("mincore of what is not there", mincore((void *)0x700000000, PAGE, there));
    say("msync", msync(at, 2 * PAGE, MS_SYNC));
    say("msync of what is not there", msync((void *)0x700000000, PAGE, MS_SYNC));
    say("msync both ways", msync(at, PAGE, MS_SYNC | MS_ASYNC));
    say("low", (unsigned long)map(1, RW, ANONYMOUS | MAP_32BIT, -1, 0) < 0x80000000);
    say("odd rights", (map(1, PROT_READ | 0x100, ANONYMOUS, -1, 0), 0));
    say("past the end", (map(1, PROT_READ, MAP_PRIVATE, fd, 1 << 20), 0));
    say("no pages, no rights", mprotect(at, 0, 99));
    say("further than there is", madvise(at, (size_t)-PAGE, MADV_NORMAL));
    say("wiped", madvise(at, PAGE, MADV_WIPEONFORK));
    mprotect(at, PAGE, PROT_READ);
    say("written beforehand", madvise(at, PAGE, 23));
    say("read beforehand", madvise(at, 2 * PAGE, 22));
    say("unknown flags",
        mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x80000, fd, 0) == MAP_FAILED ? -1 : 0);
    say("growing private memory", (map(1, RW, ANONYMOUS | MAP_GROWSDOWN, -1, 0), 0));
    say("growing a file",
        mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, fd, 0) == MAP_FAILED ? -1 : 0);
    say("growing shared memory",
        mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0) == MAP_FAILED ? -1
                                                                                              : 0);
    say("shared and private",
        mmap(NULL, PAGE, RW, MAP_SHARED | ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    say("larger than all", mremap(at, PAGE, 1UL << 48, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0);
    say("mlock around the end", mlock((void *)-(uintptr_t)PAGE, 2 * PAGE));
    say("unmapping what nobody has", munmap((void *)0x7d0000000000, PAGE));
}

/* When no page is free any more, the heap cannot grow either. */
static void filled(void)
{
    char *last = NULL, *at;

    for (size_t bytes = 1ul << 46; bytes >= PAGE; bytes /= 2) {
        while ((at = mmap(NULL, bytes, PROT_NONE, ANONYMOUS, -1, 0)) != MAP_FAILED)
            last = at;
    }
    say("no addresses left", mmap(NULL, PAGE, RW, ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    say("heap, where all is mapped", (long)sbrk(PAGE));
    say("a page less", munmap(last, PAGE));
    say("taken again", mmap(NULL, PAGE, RW, ANONYMOUS, -1, 0) == last);
}

int main(int argc, char **argv)
{
    int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    char *file, *volatile touched;

    if (fd < 0)
        fail("usage: asks_memory FILE [beyond|moved|filled]");
    given_back(fd);
    moved(fd);
    asked(fd);
    file = map(3, RW, MAP_PRIVATE, fd, 0);
    say("written from beyond the end", write(1, file + 2 * PAGE, 1));
    say("read to beyond the end", read(fd, file + 2 * PAGE, 1));
    if (argc > 2 && !strcmp(argv[2], "filled"))
        filled();
    fflush(stdout);
    if (argc > 2 && !strcmp(argv[2], "moved"))
        file = mremap(file + PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                      map(2, PROT_NONE, ANONYMOUS, -1, 0)) -
               PAGE;
    touched = file + (argc > 2 && strcmp(argv[2], "filled") ? 2 * PAGE : PAGE);
    return *touched == 'q' ? 0 : 3;
}
