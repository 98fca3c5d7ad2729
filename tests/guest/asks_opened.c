/* SPDX-License-Identifier: BSD-2-Clause */
/* asks_opened ROUNDS FILE DIRECTORY: opens the file and asks about it, as the C library and interpreters
 * do, reads it to its end and once more. Then what changes the answers: by this thread, by another
 * one, by another descriptor. The same lines come from a process and from a VM. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "guest.h"

static uint64_t sum;

static void add(long value)
{
    sum = sum * 31 + (uint64_t)(value < 0 ? -errno : value);
}

static void add_questions(int fd)
{
    struct stat stat = {0};
    struct termios modes;

    add(fstat(fd, &stat));
    add(stat.st_size);
    add(stat.st_mode);
    add(tcgetattr(fd, &modes));
    add(lseek(fd, 0, SEEK_CUR));
}

static void round_of(const char *name)
{
    char bytes[4096];
    int fd = open(name, O_RDONLY | O_CLOEXEC);

    add_questions(fd);
    add(fstat(fd, &(struct stat){0}));
    add(lseek(fd, 0, SEEK_CUR));
    add(read(fd, bytes, sizeof(bytes)));
    add(read(fd, bytes, 1));
    close(fd);
}

static void say(const char *what)
{
    printf("%s: %llx\n", what, (unsigned long long)sum);
    sum = 0;
}

static void *grow(void *arg)
{
    add(pwrite(*(int *)arg, "more", 4, 100));
    return NULL;
}

static long size_of(int fd)
{
    struct stat stat;

    return fstat(fd, &stat) ? -1 : (long)stat.st_size;
}

static void changes(void)
{
    char name[] = "/tmp/asks_openedXXXXXX", byte;
    int fd = mkstemp(name), other = open(name, O_RDWR), copy;
    pthread_t thread;

    for (int i = 0; i < 50; i++) {
        add(size_of(fd));
        add(write(other, "x", 1)); /* by another descriptor */
        add(size_of(fd));
        add(read(fd, &byte, 1));
        add(read(fd, &byte, 1)); /* the end */
        add(write(other, "y", 1));
        add(read(fd, &byte, 1)); /* no longer */
        add(size_of(fd));
        pthread_create(&thread, NULL, grow, &other);
        pthread_join(thread, NULL);
        add(size_of(fd));
        add(ftruncate(other, 2 * (i + 1)));
        add(size_of(fd));
        copy = dup(fd);
        add(lseek(copy, -1, SEEK_CUR)); /* of the same position */
        add(lseek(fd, 0, SEEK_CUR));
        add(lseek(copy, 1, SEEK_CUR));
        close(copy);
        add(lseek(fd, 0, SEEK_CUR));
    }
    close(other);
    dup2(STDERR_FILENO, fd); /* another file by the same number */
    add(lseek(fd, 0, SEEK_CUR) == 2);
    close(fd);
    add(size_of(fd));
    unlink(name);
}

static void badly(const char *name)
{
    char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), byte;
    int fd = open(name, O_RDONLY);

    mprotect(edge + 4096, 4096, PROT_READ);
    add(syscall(SYS_fstat, fd, edge + 4096 - 16));
    add(syscall(SYS_fstat, fd, 8));
    add(syscall(SYS_fstat, fd, UINT64_MAX - 7));
    add(syscall(SYS_newfstatat, fd, "", edge, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
    add(syscall(SYS_lseek, fd, 0, 9));
    add(syscall(SYS_lseek, fd, 0, SEEK_END));
    add(syscall(SYS_read, fd, 8, 1)); /* nothing is there to be stored */
    add(syscall(SYS_read, fd, UINT64_MAX - 7, 1));
    add(syscall(SYS_read, fd, edge, 0));
    close(fd);
    fd = open(name, O_WRONLY | O_PATH);
    add(lseek(fd, 0, SEEK_CUR));
    add(read(fd, &byte, 1));
    add(ioctl(fd, TCGETS, edge));
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    for (int i = 0; i < atoi(argv[1]); i++)
        round_of(argv[2]);
    say("opened");
    add_questions(open(argv[3], O_RDONLY | O_DIRECTORY));
    sum = sum ? 1 : 0; /* a directory's length differs */
    say("a directory");
    changes();
    say("changed");
    badly(argv[2]);
    say("badly");
    return 0;
}
