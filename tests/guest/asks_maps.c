/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints the lines of /proc/self/maps for memory that it mapped, so that a run in a VM can be compared
 * with one outside: addresses count in pages from the beginning of a range of its own. Its argument is
 * a directory to write in. With a second argument, a number, it maps so many pieces of one file instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest.h"

enum { PAGE = 4096, PAGES = 1024, RW = PROT_READ | PROT_WRITE, NAME_COLUMN = 73 };
enum { FIXED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED };

static char *base;
static const char *directory;

struct line {
    unsigned long start, end, offset, ino;
    unsigned major, minor;
    char rights[5];
    const char *name; /* in the line itself */
};

static int read_line(FILE *maps, char *text, struct line *line)
{
    int column = 0;

    if (!fgets(text, PAGE, maps))
        return 0;
    if (sscanf(text, "%lx-%lx %4s %lx %x:%x %lu%n", &line->start, &line->end, line->rights,
               &line->offset, &line->major, &line->minor, &line->ino, &column) != 7)
        fail("a line of maps is '%s'", text);
    line->name = text + column + strspn(text + column, " ");
    text[strcspn(text, "\n")] = 0;
    /* Where there is no name, one blank ends the line. */
    if (*line->name ? line->name - text != NAME_COLUMN : strcmp(text + column, " ") != 0)
        fail("its name is misplaced: '%s'", text);
    return 1;
}

static void print_line(const struct line *line)
{
    struct stat stat;
    size_t bytes = strlen(directory);
    const char *name = line->name;
    int here = strncmp(name, directory, bytes) == 0;

    printf("  %lu-%lu %s %lx %d%s%s%s", (line->start - (unsigned long)base) / PAGE,
           (line->end - (unsigned long)base) / PAGE, line->rights, line->offset, line->ino != 0,
           *name ? " " : "", here ? "DIR" : "", here ? name + bytes : name);
    if (here && !strstr(name, " (deleted)"))
        printf(", %s", lstat(name, &stat) == 0 && stat.st_ino == line->ino &&
                               stat.st_dev == makedev(line->major, line->minor)
                           ? "which is that file"
                           : "which is another file");
    if (strstr(name, "memfd") || strstr(name, "zero (deleted)"))
        printf(", %u:%u", line->major, line->minor);
    putchar('\n');
}

/* What lies in the range, of which the ends may belong to longer lines. */
static void show(const char *what)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char text[PAGE];
    struct line line;

    if (!maps)
        fail("maps: %s", strerror(errno));
    printf("%s:\n", what);
    while (read_line(maps, text, &line)) {
        if (line.start >= (unsigned long)base && line.end <= (unsigned long)base + PAGES * PAGE)
            print_line(&line);
    }
    fclose(maps);
}

static char *put(size_t at, size_t pages, int prot, int flags, int fd, off_t offset)
{
    char *want = base + at * PAGE;

    if (mmap(want, pages * PAGE, prot, flags | MAP_FIXED, fd, offset) != want)
        fail("mmap: %s", strerror(errno));
    if (prot & PROT_WRITE)
        memset(want, 1, pages * PAGE);
    return want;
}

static void protect(size_t at, size_t pages, int prot)
{
    if (mprotect(base + at * PAGE, pages * PAGE, prot))
        fail("mprotect: %s", strerror(errno));
}

static void anonymous(void)
{
    put(2, 4, RW, FIXED, -1, 0);
    put(6, 4, RW, FIXED, -1, 0);
    show("two that are one");
    put(10, 2, PROT_READ, FIXED, -1, 0);
    put(12, 2, PROT_READ, FIXED | MAP_NORESERVE, -1, 0);
    put(16, 1, PROT_WRITE, FIXED, -1, 0);
    put(17, 1, PROT_READ | PROT_EXEC, FIXED, -1, 0);
    put(18, 1, PROT_EXEC, FIXED, -1, 0);
    put(19, 1, RW | PROT_EXEC, FIXED, -1, 0);
    show("with each right");
    protect(3, 2, PROT_READ);
    protect(8, 1, PROT_EXEC);
    show("protected in the middle");
    protect(3, 2, RW);
    protect(8, 1, RW);
    show("and again as before");
    munmap(base + 4 * PAGE, PAGE);
    show("with a hole");
    put(4, 1, RW, FIXED, -1, 0);
    show("which is closed");
    put(300, 600, RW, FIXED, -1, 0);
    put(900, 20, RW, FIXED, -1, 0);
    show("much of it");
    protect(400, 300, PROT_READ);
    show("a part of much");
    munmap(base + 300 * PAGE, 620 * PAGE);
    show("and less");
}

static void moved(void)
{
    char *from = put(30, 4, RW, FIXED, -1, 0), *to = base + 50 * PAGE;

    if (mremap(from, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
        fail("mremap: %s", strerror(errno));
    put(48, 2, RW, FIXED, -1, 0);
    put(54, 2, RW, FIXED, -1, 0);
    show("moved between others");
    munmap(base + 56 * PAGE, 4 * PAGE);
    if (mremap(base + 54 * PAGE, 2 * PAGE, 5 * PAGE, 0) != base + 54 * PAGE)
        fail("mremap: %s", strerror(errno));
    show("grown where it is");
}

static void shared(void)
{
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

    put(70, 2, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    put(72, 2, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    protect(71, 1, PROT_READ);
    put(76, 2, PROT_READ, MAP_PRIVATE, zero, PAGE);
    put(78, 2, RW, MAP_SHARED, zero, 0);
    show("shared memory");
    close(zero);
}

static int make(const char *name, char *path, size_t bytes)
{
    int fd;

    snprintf(path, bytes, "%s/%s", directory, name);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, 16 * PAGE))
        fail("%s: %s", path, strerror(errno));
    return fd;
}

static void files(void)
{
    char path[512], gone[512];
    int fd = make("a name\nof two lines", path, sizeof(path)),
        other = make("gone", gone, sizeof(gone));

    put(100, 4, PROT_READ, MAP_PRIVATE, fd, 2 * PAGE);
    put(104, 4, PROT_READ, MAP_PRIVATE, fd, 6 * PAGE);
    put(108, 2, PROT_READ, MAP_PRIVATE, fd, 0);
    put(112, 4, RW, MAP_SHARED, fd, PAGE);
    put(118, 4, RW, MAP_PRIVATE, fd, 0);
    put(124, 2, PROT_READ, MAP_SHARED, other, 0);
    close(fd);
    show("files");
    protect(119, 2, PROT_READ);
    munmap(base + 113 * PAGE, PAGE);
    put(105, 1, RW, FIXED, -1, 0);
    if (unlink(gone))
        fail("unlink: %s", strerror(errno));
    show("files in parts, and one that is gone");
    protect(118, 4, PROT_READ);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    put(122, 2, PROT_READ, MAP_PRIVATE, fd, 4 * PAGE);
    show("one that could be written");
    if (mremap(base + 112 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, base + 140 * PAGE) !=
        base + 140 * PAGE)
        fail("mremap: %s", strerror(errno));
    show("one that was moved");
    close(fd);
    close(other);
    unlink(path);
}

static void in_memory(void)
{
    int fd = memfd_create("a name", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, 4 * PAGE))
        fail("memfd: %s", strerror(errno));
    put(150, 4, RW, MAP_SHARED, fd, 0);
    put(156, 1, PROT_READ, MAP_PRIVATE, fd, 3 * PAGE);
    close(fd);
    show("a file in memory");
}

/* The line that an address lies in. */
static struct line line_of(const void *at)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char text[PAGE];
    struct line line;

    while (maps && read_line(maps, text, &line)) {
        if (line.start <= (unsigned long)at && line.end > (unsigned long)at) {
            line.name = strdup(line.name);
            fclose(maps);
            return line;
        }
    }
    fail("no line holds %p", at);
}

static void *look_at_stack(void *who)
{
    pthread_attr_t attributes;
    size_t bytes;
    void *start;
    int result = pthread_getattr_np(pthread_self(), &attributes);
    struct line line = line_of(&attributes);

    if (result)
        fail("pthread_getattr_np: %s", strerror(result));
    pthread_attr_getstack(&attributes, &start, &bytes);
    printf("%s: its line %s holds the stack's end: %d, its name is '%s'\n", (const char *)who,
           line.rights, line.end >= (unsigned long)start + bytes, line.name);
    printf("  it is on its stack: %d\n",
           (char *)&attributes > (char *)start && (char *)&attributes < (char *)start + bytes);
    pthread_attr_destroy(&attributes);
    return NULL;
}

static void others(void)
{
    static int data = 1;
    pthread_t thread;
    char *heap = sbrk(PAGE);
    struct line line = line_of(heap);

    printf("heap: %s %s, ends at the break: %d\n", line.rights, line.name,
           line.end == (((unsigned long)sbrk(0) + PAGE - 1) & ~(PAGE - 1ul)));
    line = line_of(&data);
    printf("data: %s %d\n", line.rights, strstr(line.name, "asks_maps") != NULL);
    line = line_of((const void *)(unsigned long)show);
    printf("code: %s %d\n", line.rights, strstr(line.name, "asks_maps") != NULL);
    look_at_stack("first thread");
    if (pthread_create(&thread, NULL, look_at_stack, "second thread") || pthread_join(thread, NULL))
        fail("no thread");
}

/* Many pieces of a file with a long name: each has its line in maps. */
static void many(long count)
{
    char path[512], name[201], text[PAGE];
    FILE *maps;
    struct line line;
    long mapped = 0, lines = 0;
    int fd;

    memset(name, 'n', 200);
    name[200] = 0;
    fd = make(name, path, sizeof(path));
    while (mapped < count && mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED)
        mapped++;
    unlink(path);
    printf("mapped: %ld\n", mapped);
    maps = fopen("/proc/self/maps", "re");
    if (!maps)
        fail("maps: %s", strerror(errno));
    while (read_line(maps, text, &line))
        lines += strstr(line.name, name) != NULL;
    printf("each has a line: %d\n", lines == mapped);
    fclose(maps);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        fail("it needs a directory");
    directory = argv[1];
    if (argc > 2) {
        many(atol(argv[2]));
        return 0;
    }
    base = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    /* So that nothing beside it is one with it. */
    munmap(base, PAGE);
    munmap(base + (PAGES - 1) * PAGE, PAGE);
    show("a reservation");
    anonymous();
    moved();
    shared();
    files();
    in_memory();
    others();
    return 0;
}
