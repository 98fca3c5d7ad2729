/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers about files in memory and, with the name of a directory, what inotify
 * tells of its files, so that a run in a VM can be compared with one outside. */
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "say.h"

static void *map(int fd, size_t bytes, int prot, long offset)
{
    void *at = mmap(NULL, bytes, prot, MAP_SHARED, fd, offset);

    say("map", at == MAP_FAILED ? -1 : 0);
    return at;
}

static void memory_files(void)
{
    int fd = memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING), other;
    char text[16] = "", *first, *second;
    struct stat stat;

    say("memfd", fd);
    say_kind("it", fd);
    say("flags", memfd_create("", 0x100));
    say("nowhere", syscall(SYS_memfd_create, 1, 0));
    say("write", write(fd, "hello", 5));
    say("at", pread(fd, text, 5, 0));
    say("seek", lseek(fd, 1, SEEK_SET));
    say("longer", ftruncate(fd, 10000));
    say("seals", fcntl(fd, F_GET_SEALS));
    first = map(fd, 12288, PROT_READ | PROT_WRITE, 0);
    second = map(fd, 4096, PROT_READ, 0);
    first[1] = 'a';
    first[9999] = 'z';
    printf("%.5s\n", second);
    say("read", read(fd, text, 4));
    say("at", pread(fd, text + 4, 4, 9996));
    printf("%.4s %d\n", text, text[7]);
    say("write", pwrite(fd, "b", 1, 2));
    printf("%.5s\n", first);
    say("into itself", pread(fd, first + 4096, 5, 0));
    printf("%.5s\n", first + 4096);
    say("read-only", mprotect(first, 4096, PROT_READ));
    say("writable", mprotect(first, 4096, PROT_READ | PROT_WRITE));
    first[3] = 'c';
    say("unmap", munmap(first, 12288));
    printf("%.5s\n", second);
    say("another", other = open("/proc/self/fd/3", O_RDONLY));
    say("its position", read(other, text, 5));
    printf("%.5s\n", text);
    say("read only", write(other, "x", 1));
    say("map to write", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, other, 0) == MAP_FAILED ? -1 : 0);
    say("seal writing", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    say("grow", ftruncate(fd, 20000));
    munmap(second, 4096);
    say("seal writing", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL));
    say("write", write(fd, "x", 1));
    say("seals", fcntl(fd, F_GET_SEALS));
    say("no more seals", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    say("size", fstat(fd, &stat));
    printf("size %ld, links %d\n", (long)stat.st_size, (int)stat.st_nlink);
    close(other);
    close(fd);
    say("no seals", fd = memfd_create("", 0));
    say("seals", fcntl(fd, F_GET_SEALS));
    say("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    close(fd);
}

/* A file in /tmp, which is in memory in a VM. */
static void temporary_file(void)
{
    char name[] = "/tmp/asks_files.XXXXXX", text[8] = "", *first, *second;
    int fd = mkstemp(name);

    say("file", fd);
    say("unlink", unlink(name));
    say("longer", ftruncate(fd, 8192));
    first = map(fd, 8192, PROT_READ | PROT_WRITE, 0);
    second = map(fd, 4096, PROT_READ, 4096);
    memcpy(first + 4096, "stored", 7);
    printf("%s\n", second);
    say("read", pread(fd, text, 7, 4096));
    printf("%s\n", text);
    say("sync", msync(first, 8192, MS_SYNC));
    say("longer still", ftruncate(fd, 12288));
    munmap(first, 8192);
    munmap(second, 4096);
    say("close", close(fd));
}

/* Tells of changes that others make in a directory, until the file there is gone. */
static void changes(const char *directory)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), number, other, set = epoll_create1(0);
    char events[4096];
    uint32_t last = 0;

    say("inotify", fd);
    say_kind("it", fd);
    say("flags", inotify_init1(1));
    say("no events", inotify_add_watch(fd, directory, 0));
    say("no file", inotify_add_watch(fd, "/nowhere", IN_CREATE));
    say("no inotify", inotify_add_watch(1, directory, IN_CREATE));
    say("watch", number = inotify_add_watch(fd, directory, IN_CREATE | IN_MODIFY | IN_DELETE));
    say("again", inotify_add_watch(fd, directory, IN_CREATE | IN_MODIFY | IN_DELETE));
    say("another", other = inotify_add_watch(fd, "/etc/passwd", IN_MODIFY));
    say("off", inotify_rm_watch(fd, other));
    say("off again", inotify_rm_watch(fd, other));
    say("gone", read(fd, events, sizeof events));
    say("nothing", read(fd, events, sizeof events));
    watch("inotify", set, EPOLL_CTL_ADD, fd, EPOLLIN);
    printf("ready\n");
    fflush(stdout);
    while (!(last & IN_DELETE)) {
        struct epoll_event told;
        ssize_t bytes = epoll_wait(set, &told, 1, -1) == 1 ? read(fd, events, sizeof events) : -1;

        for (ssize_t at = 0; at < bytes;) {
            struct inotify_event event;

            memcpy(&event, events + at, sizeof event);
            printf("%#x %s %d\n", event.mask, events + at + sizeof event, event.wd == number);
            last = event.mask;
            at += (ssize_t)(sizeof event + event.len);
        }
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc > 1) {
        changes(argv[1]);
        return 0;
    }
    memory_files();
    temporary_file();
    return 0;
}
