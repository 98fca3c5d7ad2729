/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks for a bit of everything and checks the answers: memory, streams, time, refusals. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define EXPECT(condition)                                                    \
    do {                                                                     \
        if (!(condition))                                                    \
            fail("line %d: %s (%s)", __LINE__, #condition, strerror(errno)); \
    } while (0)

static void memory(void)
{
    const size_t bytes = 1 << 20;
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *grown, *heap = (char *)syscall(SYS_brk, 0); /* musl has no sbrk to speak of */

    EXPECT(map != MAP_FAILED);
    EXPECT(map[0] == 0 && map[bytes - 1] == 0);
    memset(map, 7, bytes);
    EXPECT(mprotect(map, 4096, PROT_READ) == 0);
    EXPECT(mprotect(map, 4096, PROT_READ | PROT_WRITE) == 0);
    map[0] = 8;
    grown = mremap(map, bytes, 4 * bytes, MREMAP_MAYMOVE);
    EXPECT(grown != MAP_FAILED);
    EXPECT(grown[0] == 8 && grown[bytes - 1] == 7 && grown[bytes] == 0);
    EXPECT(munmap(grown, 4 * bytes) == 0);
    EXPECT(munmap((void *)1, 4096) == -1 && errno == EINVAL);
    EXPECT(mprotect(grown, 4096, PROT_READ) == -1 && errno == ENOMEM);
    EXPECT((char *)syscall(SYS_brk, heap + 100000) == heap + 100000);
    memset(heap, 1, 100000);
    EXPECT((char *)syscall(SYS_brk, heap) == heap);
}

static void streams(void)
{
    char *volatile nowhere = (char *)16;
    struct pollfd polled = {.fd = 1, .events = POLLOUT};
    struct stat stat;
    int available;

    EXPECT(isatty(0) == 0 && errno == ENOTTY);
    EXPECT(isatty(1) == 0 && errno == ENOTTY);
    EXPECT(fstat(0, &stat) == 0 && S_ISFIFO(stat.st_mode));
    EXPECT(fstat(1, &stat) == 0 && S_ISFIFO(stat.st_mode));
    EXPECT(lseek(0, 0, SEEK_CUR) == -1 && errno == ESPIPE);
    EXPECT(poll(&polled, 1, 1000) == 1 && (polled.revents & POLLOUT) != 0);
    EXPECT(ioctl(0, FIONREAD, &available) == 0 && available >= 0);
    EXPECT(write(77, "x", 1) == -1 && errno == EBADF);
    EXPECT(write(1, nowhere, 10) == -1 && errno == EFAULT);
    EXPECT(fcntl(1, F_GETFL) >= 0);
    EXPECT(write(1, "", 0) == 0);
}

static void time_and_chance(void)
{
    struct timespec before, after, pause = {0, 2000000};
    uint64_t first = 0, second = 0;

    EXPECT(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
    EXPECT(nanosleep(&pause, NULL) == 0);
    EXPECT(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    EXPECT((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= 2000000);
    EXPECT(time(NULL) > 1700000000);
    EXPECT(getrandom(&first, sizeof(first), 0) == sizeof(first));
    EXPECT(getrandom(&second, sizeof(second), 0) == sizeof(second));
    EXPECT(first != second);
}

static void identity(void)
{
    struct utsname name;
    struct rlimit limit;

    EXPECT(uname(&name) == 0 && strcmp(name.sysname, "Linux") == 0);
    EXPECT(strcmp(name.machine, "x86_64") == 0);
    EXPECT(getpid() > 0);
    EXPECT(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur > 0);
    EXPECT(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

static void processes(void)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(getppid() == 2 ? 7 : 1);
    EXPECT(child > 0 && waitpid(child, &status, 0) == child);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    EXPECT(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
}

static void refused(void)
{
    EXPECT(open("/etc/shadow", O_RDONLY) == -1 && (errno == EACCES || errno == ENOENT));
    EXPECT(open("/usr/x", O_WRONLY | O_CREAT, 0600) == -1);
    EXPECT(socket(AF_INET, SOCK_STREAM, 0) == -1);
    EXPECT(syscall(9999) == -1 && errno == ENOSYS);
    EXPECT(syscall(-1) == -1 && errno == ENOSYS);
    EXPECT(syscall(SYS_ptrace, 0, 0, 0, 0) == -1);
}

int main(void)
{
    memory();
    streams();
    time_and_chance();
    identity();
    processes();
    refused();
    return 0;
}
