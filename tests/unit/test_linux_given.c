/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: descriptors of the host that the embedder gave the program. */
#include "linux_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "../until.h"
#include "lib/live.h"
#include "linux/state.h"

#define EVENTS (SCRATCH + PAGE)
#define WORD   (SCRATCH + 2 * PAGE)

#define TCGETS2_MODES 0x802c542aul /* TCGETS2, which only the kernel's headers have */

/* The next so many looks at the modes of a terminal fail. */
static int refused_looks;

int __real_ioctl(int fd, unsigned long command, void *arg);
int __wrap_ioctl(int fd, unsigned long command, void *arg);

int __wrap_ioctl(int fd, unsigned long command, void *arg)
{
    if (command == TCGETS2_MODES && refused_looks > 0) {
        refused_looks--;
        errno = EINTR;
        return -1;
    }
    return __real_ioctl(fd, command, arg);
}

/* So many looks find a descriptor ready, as before somebody else is faster. */
static unsigned false_looks;
/* The kernel cannot be asked to read without waiting, as older ones of a pipe. */
static bool is_old;

int __real_poll(struct pollfd *entries, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout)
{
    if (!false_looks)
        return __real_poll(entries, count, timeout);
    false_looks--;
    entries->revents = entries->events;
    return 1;
}

ssize_t __real_preadv2(int fd, const struct iovec *pieces, int count, off_t at, int flags);
ssize_t __wrap_preadv2(int fd, const struct iovec *pieces, int count, off_t at, int flags);

ssize_t __wrap_preadv2(int fd, const struct iovec *pieces, int count, off_t at, int flags)
{
    if (!is_old)
        return __real_preadv2(fd, pieces, count, at, flags);
    errno = EOPNOTSUPP;
    return -1;
}

static void give(struct ferry_vm *vm, unsigned fd, int host_fd)
{
    assert_int_equal(linux_give(vm->linux_state, fd, host_fd), 0);
    close(host_fd);
}

/* The first end of a pair of sockets is descriptor 0; gives the other. */
static int give_socket(struct ferry_vm *vm)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    give(vm, 0, ends[0]);
    return ends[1];
}

static void test_input_is_an_edge_beside_room(void **state)
{
    struct ferry_vm *vm = *state;
    struct epoll_event *event = guest(vm, EVENTS);
    int peer = give_socket(vm);

    *event = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    assert_int_equal(CALL(vm, epoll_create1, 0), 3);
    assert_int_equal(CALL(vm, epoll_ctl, 3, EPOLL_CTL_ADD, 0, EVENTS), 0);
    assert_int_equal(CALL(vm, epoll_wait, 3, EVENTS, 1, 0), 1);
    assert_int_equal(event->events, EPOLLOUT);
    assert_int_equal(CALL(vm, epoll_wait, 3, EVENTS, 1, 0), 0);
    assert_int_equal(write(peer, "x", 1), 1);
    until(atomic_load(&vm->wakes));
    assert_int_equal(CALL(vm, epoll_wait, 3, EVENTS, 1, 0), 1);
    assert_int_equal(event->events, EPOLLIN | EPOLLOUT);
    assert_int_equal(CALL(vm, epoll_wait, 3, EVENTS, 1, 0), 0);
    shutdown(peer, SHUT_WR);
    assert_int_equal(CALL(vm, epoll_wait, 3, EVENTS, 1, 0), 1);
    assert_int_equal(event->events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    close(peer);
}

/* What came after a read is new, also if the read made no call that was served here. */
static void test_a_read_of_the_guest_kernel_makes_an_edge(void **state)
{
    struct ferry_vm *vm = *state;
    struct epoll_event *event = guest(vm, EVENTS);

    *event = (struct epoll_event){.events = EPOLLIN | EPOLLET};
    vm->input = "first";
    assert_int_equal(CALL(vm, epoll_create1, 0), 3);
    assert_int_equal(CALL(vm, epoll_ctl, 3, EPOLL_CTL_ADD, 0, EVENTS), 0);
    assert_int_equal(CALL(vm, epoll_wait, 3, EVENTS, 1, 0), 1);
    assert_int_equal(CALL(vm, epoll_wait, 3, EVENTS, 1, 0), 0);
    vm->input = "second";
    vm->guest_reads++;
    assert_int_equal(CALL(vm, epoll_wait, 3, EVENTS, 1, 0), 1);
    assert_int_equal(event->events, EPOLLIN);
    assert_int_equal(CALL(vm, epoll_wait, 3, EVENTS, 1, 0), 0);
}

static void test_what_cannot_be_watched_counts_no_file(void **state)
{
    struct ferry_vm *vm = *state;
    struct pollfd *entry = guest(vm, EVENTS);
    int peer = give_socket(vm), before = vm->files;
    struct rlimit limit, none;

    *entry = (struct pollfd){.fd = 0, .events = POLLIN};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(CALL(vm, poll, EVENTS, 1, 0), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(vm->files, before);
    close(peer);
}

/* A pipe that only its owner may open anew. */
static void give_borrowed(struct ferry_vm *vm, unsigned fd, int host_fd)
{
    struct open_file *file;

    give(vm, fd, host_fd);
    file = descriptor_file(vm->linux_state, fd);
    file->may_block = true;
    file->status |= O_NONBLOCK; /* the program's own: a call that must wait tells so */
    /* As it would be had it not been opened anew. */
    assert_int_equal(fcntl(file->fd, F_SETFL, fcntl(file->fd, F_GETFL) & ~O_NONBLOCK), 0);
}

/* Somebody else takes the bytes, or the room, between the look and the call. */
static void test_a_pipe_that_others_use_is_not_waited_for(void **state)
{
    struct ferry_vm *vm = *state;
    int in[2], out[2];
    char *bytes = guest(vm, EVENTS);

    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    give_borrowed(vm, 0, in[0]);
    give_borrowed(vm, 1, out[1]);
    false_looks = UINT_MAX;
    is_old = true;
    assert_int_equal(CALL(vm, read, 0, EVENTS, 10), -EAGAIN);
    assert_int_equal(write(in[1], "pipe", 4), 4);
    assert_int_equal(CALL(vm, read, 0, EVENTS, 10), 4);
    assert_memory_equal(bytes, "pipe", 4);
    close(in[1]);
    assert_int_equal(CALL(vm, read, 0, EVENTS, 10), 0);
    memset(bytes, 'x', PAGE);
    int64_t put, all = 0;
    while ((put = CALL(vm, write, 1, EVENTS, PAGE)) > 0)
        all += put;
    assert_int_equal(put, -EAGAIN);
    assert_int_equal(all, fcntl(out[0], F_GETPIPE_SZ));
    assert_int_equal(read(out[0], bytes, PAGE), PAGE);
    assert_int_equal(CALL(vm, write, 1, EVENTS, 5), 5);
    false_looks = 0;
    is_old = false;
    close(out[0]);
}

/* Likewise standard error. */
static void test_a_full_standard_error_is_not_waited_for(void **state)
{
    struct ferry_vm *vm = *state;
    struct open_file *file = descriptor_file(vm->linux_state, 2);
    int ends[2], kept = file->fd, opened = vm->linux_state->common->error_fd;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    memset(guest(vm, EVENTS), 'x', PAGE);
    file->fd = ends[1];
    file->status |= O_NONBLOCK;
    vm->linux_state->common->error_fd = -1; /* it could not be opened anew */
    for (int i = 0; i < fcntl(ends[0], F_GETPIPE_SZ) / (int)PAGE; i++)
        assert_int_equal(CALL(vm, write, 2, EVENTS, PAGE), PAGE);
    false_looks = 1;
    assert_int_equal(CALL(vm, write, 2, EVENTS, 1), -EAGAIN);
    assert_int_equal(false_looks, 0);
    file->fd = kept;
    vm->linux_state->common->error_fd = opened;
    close(ends[0]);
    close(ends[1]);
}

static void test_tee(void **state)
{
    struct ferry_vm *vm = *state;
    int in[2], out[2], pipe[2];
    char bytes[8] = "";

    vm->input = "of the stream";
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    give(vm, 0, in[0]);
    give(vm, 1, out[1]);
    assert_int_equal(write(in[1], "pipe", 4), 4);
    assert_int_equal(CALL(vm, tee, 0, 1, 100, 0), 4);
    assert_int_equal(read(out[0], bytes, sizeof(bytes)), 4);
    assert_string_equal(bytes, "pipe");
    assert_int_equal(CALL(vm, read, 0, WORD, 100), 4); /* it stays for the next read */
    assert_int_equal(CALL(vm, tee, 0, 1, 100, SPLICE_F_NONBLOCK), -EAGAIN);
    assert_int_equal(CALL(vm, pipe, WORD), 0);
    memcpy(pipe, guest(vm, WORD), sizeof(pipe));
    assert_int_equal(CALL(vm, tee, 0, (uint64_t)pipe[1], 100, SPLICE_F_NONBLOCK), -EINVAL);
    assert_string_equal(vm->input, "of the stream");
    close(in[1]);
    close(out[0]);
}

/* What the file did not take is there for the next read: of a pipe of the host, and of one of its own. */
static void test_nothing_is_lost_between_a_pipe_and_a_file(void **state)
{
    const struct rlimit limit = {6, 6};
    struct ferry_vm *vm = *state;
    FILE *file = tmpfile();
    int host[2], own[2];

    assert_non_null(file);
    assert_int_equal(pipe2(host, O_CLOEXEC), 0);
    assert_int_equal(write(host[1], "abcdefgh", 8), 8);
    give(vm, 0, host[0]);
    assert_int_equal(linux_give(vm->linux_state, 1, fileno(file)), 0);
    assert_int_equal(CALL(vm, pipe2, WORD, 0), 0);
    memcpy(own, guest(vm, WORD), sizeof(own));
    assert_int_equal(CALL(vm, write, (uint64_t)own[1], guest_string(vm, WORD, "12345678"), 8), 8);
    memcpy(guest(vm, WORD), &limit, sizeof(limit));
    assert_int_equal(CALL(vm, setrlimit, RLIMIT_FSIZE, WORD), 0);
    vm->linux_state->signals.actions[SIGXFSZ - 1].handler = HANDLER_IGNORE;

    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 2, 0), 2);
    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 100, 0), 4);
    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 100, 0), -EFBIG);
    assert_int_equal(CALL(vm, read, 0, WORD, 100), 2);
    assert_memory_equal(guest(vm, WORD), "gh", 2);
    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 100, SPLICE_F_NONBLOCK), -EFBIG);
    assert_int_equal(CALL(vm, lseek, 1, 0, SEEK_SET), 0);
    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 100, SPLICE_F_NONBLOCK), -EAGAIN);
    assert_int_equal(CALL(vm, splice, (uint64_t)own[0], 0, 1, 0, 100, 0), 6);
    assert_int_equal(CALL(vm, splice, (uint64_t)own[0], 0, 1, 0, 100, 0), -EFBIG);
    assert_int_equal(CALL(vm, read, (uint64_t)own[0], WORD, 100), 2);
    assert_memory_equal(guest(vm, WORD), "78", 2);
    close(host[1]);
    fclose(file);
}

/* Opened anew, a named pipe that no writer has does not tell its end. */
static void test_the_end_of_a_named_pipe(void **state)
{
    struct ferry_vm *vm = *state;
    char directory[] = "/tmp/given-XXXXXX", name[64];
    int reader, writer;

    assert_non_null(mkdtemp(directory));
    snprintf(name, sizeof(name), "%s/fifo", directory);
    assert_int_equal(mkfifo(name, 0600), 0);
    reader = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    writer = open(name, O_WRONLY | O_CLOEXEC);
    assert_true(reader >= 0 && writer >= 0);
    assert_int_equal(fcntl(reader, F_SETFL, 0), 0);
    close(writer);
    give(vm, 0, reader);
    *(struct pollfd *)guest(vm, EVENTS) = (struct pollfd){.fd = 0, .events = POLLIN};
    assert_int_equal(CALL(vm, poll, EVENTS, 1, 0), 1);
    assert_int_equal(CALL(vm, read, 0, WORD, 1), 0);
    unlink(name);
    rmdir(directory);
}

static void test_appending_is_for_good(void **state)
{
    struct ferry_vm *vm = *state;
    FILE *file = tmpfile();
    char bytes[16] = "";

    assert_non_null(file);
    assert_int_equal(write(fileno(file), "before", 6), 6);
    assert_int_equal(fcntl(fileno(file), F_SETFL, O_APPEND), 0);
    assert_int_equal(linux_give(vm->linux_state, 1, fileno(file)), 0);
    assert_int_equal(CALL(vm, fcntl, 1, F_SETFL, 0), 0);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/proc/self/fd/1"), O_WRONLY), 3);
    assert_int_equal(CALL(vm, write, 3, guest_string(vm, WORD, "after"), 5), 5);
    assert_int_equal(pread(fileno(file), bytes, sizeof(bytes), 0), 11);
    assert_string_equal(bytes, "beforeafter");
    fclose(file);
}

/* Of the length of files the program's limit holds, too. */
static void test_a_file_has_a_longest_length(void **state)
{
    const struct rlimit limit = {10, 100};
    struct ferry_vm *vm = *state;
    struct stat stat;
    FILE *file = tmpfile();

    assert_non_null(file);
    assert_int_equal(linux_give(vm->linux_state, 1, fileno(file)), 0);
    memcpy(guest(vm, WORD), &limit, sizeof(limit));
    assert_int_equal(CALL(vm, setrlimit, RLIMIT_FSIZE, WORD), 0);
    assert_int_equal(CALL(vm, write, 1, WORD, 4), 4);
    assert_int_equal(CALL(vm, write, 1, WORD, 16), 6); /* what fits, and no signal */
    assert_int_equal(vm->next, LINUX_RESUME);
    assert_int_equal(CALL(vm, pwrite64, 1, WORD, 16, 8), 2);
    vm->linux_state->signals.actions[SIGXFSZ - 1].handler = HANDLER_IGNORE;
    assert_int_equal(CALL(vm, pwrite64, 1, WORD, 16, 10), -EFBIG);
    assert_int_equal(CALL(vm, ftruncate, 1, 11), -EFBIG);
    assert_int_equal(CALL(vm, fallocate, 1, 0, 8, 3), -EFBIG);
    assert_int_equal(CALL(vm, fcntl, 1, F_SETFL, O_APPEND), 0);
    assert_int_equal(CALL(vm, write, 1, WORD, 1), -EFBIG);
    assert_int_equal(CALL(vm, ftruncate, 1, 4), 0);
    assert_int_equal(CALL(vm, write, 1, WORD, 16), 6);
    assert_int_equal(CALL(vm, lseek, 1, 0, SEEK_CUR), 10);
    vm->linux_state->signals.actions[SIGXFSZ - 1].handler = HANDLER_DEFAULT;
    assert_int_equal(CALL(vm, write, 1, WORD, 1), -EFBIG);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGXFSZ);
    assert_int_equal(fstat(fileno(file), &stat), 0);
    assert_int_equal(stat.st_size, 10);
    fclose(file);
}

/* Opening it anew makes another terminal. */
static void test_the_master_of_a_terminal(void **state)
{
    struct ferry_vm *vm = *state;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
    struct termios modes;
    char byte = 0;

    assert_int_equal(grantpt(master) | unlockpt(master), 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    assert_true(slave >= 0);
    assert_int_equal(tcgetattr(slave, &modes), 0);
    cfmakeraw(&modes);
    assert_int_equal(tcsetattr(slave, TCSANOW, &modes), 0);
    give(vm, 0, master);
    assert_int_equal(CALL(vm, write, 0, guest_string(vm, WORD, "x"), 1), 1);
    assert_int_equal(poll(&(struct pollfd){.fd = slave, .events = POLLIN}, 1, 1000 * UNTIL_SECONDS),
                     1);
    assert_int_equal(read(slave, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(slave);
}

static int open_terminal(int *master)
{
    *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_int_equal(grantpt(*master) | unlockpt(*master), 0);
    return open(ptsname(*master), O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* Puts other modes on the terminal that is the descriptor; gives what they were. */
static struct termios spoil(struct ferry_vm *vm, unsigned fd, int master)
{
    struct termios before;
    char *modes = guest(vm, WORD);

    assert_int_equal(tcgetattr(master, &before), 0);
    assert_int_equal(CALL(vm, ioctl, fd, TCGETS, WORD), 0);
    modes[12] ^= (char)(ECHO | ISIG); /* the local ones */
    assert_int_equal(CALL(vm, ioctl, fd, TCSETS, WORD), 0);
    return before;
}

/* Each is as it was, in whatever order they are changed, and has its own name. */
static void test_two_terminals(void **state)
{
    struct ferry_vm *vm = *state;
    struct termios before[2], now;
    struct stat *stat = guest(vm, EVENTS);
    int master[2];
    char name[64];

    for (unsigned fd = 0; fd < 2; fd++)
        give(vm, fd, open_terminal(&master[fd]));
    for (unsigned fd = 0; fd < 2; fd++)
        before[fd] = spoil(vm, 1 - fd, master[1 - fd]);
    spoil(vm, 1, master[1]);
    for (unsigned fd = 0; fd < 2; fd++) {
        ino_t ino;

        assert_int_equal(ptsname_r(master[fd], name, sizeof(name)), 0);
        assert_int_equal(CALL(vm, fstat, fd, EVENTS), 0);
        ino = stat->st_ino;
        assert_int_equal(CALL(vm, stat, guest_string(vm, SCRATCH, name), EVENTS), 0);
        assert_int_equal(stat->st_ino, ino);
        assert_int_equal(CALL(vm, open, SCRATCH, O_RDWR), 3);
        assert_int_equal(CALL(vm, fstat, 3, EVENTS), 0);
        assert_int_equal(stat->st_ino, ino);
        assert_int_equal(CALL(vm, close, 3), 0);
    }
    linux_vm_destroy(vm);
    *state = linux_vm_create(NULL, -1);
    for (unsigned fd = 0; fd < 2; fd++) {
        assert_int_equal(tcgetattr(master[fd], &now), 0);
        assert_int_equal(now.c_lflag, before[1 - fd].c_lflag);
        close(master[fd]);
    }
}

/* Whatever comes after it: a name of the terminal stands for one that may write. */
static void test_what_can_write_to_a_terminal_stays(void **state)
{
    struct ferry_vm *vm = *state;
    int master, slave = open_terminal(&master);
    char byte = 0;

    give(vm, 1, open(ptsname(master), O_WRONLY | O_NOCTTY | O_CLOEXEC));
    give(vm, 0, open(ptsname(master), O_RDONLY | O_NOCTTY | O_CLOEXEC));
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, ptsname(master)), O_WRONLY), 3);
    assert_int_equal(CALL(vm, write, 3, guest_string(vm, WORD, "x"), 1), 1);
    assert_int_equal(read(master, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    give(vm, 2, open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC));
    assert_int_equal(CALL(vm, open, SCRATCH, O_RDWR), 4);
    close(slave);
    close(master);
}

/* Modes that nobody knows cannot be put back. */
static void test_modes_that_could_not_be_read_are_not_put_back(void **state)
{
    struct ferry_vm *vm = *state;
    struct termios before, now;
    int master;

    give(vm, 0, open_terminal(&master));
    refused_looks = 1;
    before = spoil(vm, 0, master);
    assert_int_equal(refused_looks, 0);
    linux_vm_destroy(vm);
    *state = linux_vm_create(NULL, -1);
    assert_int_equal(tcgetattr(master, &now), 0);
    assert_int_equal(now.c_lflag, before.c_lflag ^ (ECHO | ISIG));
    close(master);
}

static void test_a_terminal_is_not_stopped(void **state)
{
    struct ferry_vm *vm = *state;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    assert_int_equal(grantpt(master) | unlockpt(master), 0);
    give(vm, 0, open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC));
    assert_int_equal(CALL(vm, ioctl, 0, TCXONC, TCOON), 0);
    assert_int_equal(CALL(vm, ioctl, 0, TCXONC, TCOOFF), -EPERM);
    assert_int_equal(CALL(vm, ioctl, 0, TCXONC, TCIOFF), -EPERM);
    assert_int_equal(CALL(vm, ioctl, 0, TCXONC, TCION), -EPERM);
    close(master);
}

/* In the list of mappings a file is called what its descriptor is. */
static void test_a_mapped_file_has_the_name_of_its_descriptor(void **state)
{
    struct ferry_vm *vm = *state;
    int fd = memfd_create("given", MFD_CLOEXEC);
    char *name = guest(vm, EVENTS);
    int64_t addr, bytes;

    assert_int_equal(ftruncate(fd, PAGE), 0);
    give(vm, 0, fd);
    addr = CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, 0, 0);
    assert_true(addr > 0);
    bytes = CALL(vm, readlink, guest_string(vm, SCRATCH, "/proc/self/fd/0"), EVENTS, 100);
    assert_in_range(bytes, 8, 99);
    name[bytes] = 0;
    assert_string_equal(space_label_at(&vm->space, guest_addr((uint64_t)addr)).file->path, name);
}

/* What was given may be written in another way: a private mapping follows it until it is written. */
static void test_a_private_mapping_follows_what_was_given(void **state)
{
    struct ferry_vm *vm = *state;
    FILE *file = tmpfile();
    char name[32];
    int64_t map;

    assert_non_null(file);
    assert_int_equal(write(fileno(file), "before", 6), 6); /* so that the page is there */
    assert_int_equal(ftruncate(fileno(file), PAGE), 0);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fileno(file));
    give(vm, 0, open(name, O_RDONLY | O_CLOEXEC));
    give(vm, 1, open(name, O_WRONLY | O_CLOEXEC));
    map = CALL(vm, mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, 0);
    assert_true(map > 0);
    assert_int_equal(CALL(vm, pwrite64, 1, guest_string(vm, WORD, "text"), 5, 0), 5);
    if (live_works()) /* else it is a copy */
        assert_memory_equal(guest(vm, (uint64_t)map), "text", 5);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_input_is_an_edge_beside_room, linux_setup,
                                        linux_teardown),
        cmocka_unit_test_setup_teardown(test_a_read_of_the_guest_kernel_makes_an_edge, linux_setup,
                                        linux_teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_watched_counts_no_file, linux_setup,
                                        linux_teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_lost_between_a_pipe_and_a_file, linux_setup,
                                        linux_teardown),
        cmocka_unit_test_setup_teardown(test_a_pipe_that_others_use_is_not_waited_for, linux_setup,
                                        linux_teardown),
        cmocka_unit_test_setup_teardown(test_a_full_standard_error_is_not_waited_for, linux_setup,
                                        linux_teardown),
        cmocka_unit_test_setup_teardown(test_tee, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_the_end_of_a_named_pipe, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_appending_is_for_good, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_a_file_has_a_longest_length, linux_setup,
                                        linux_teardown),
        cmocka_unit_test_setup_teardown(test_the_master_of_a_terminal, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_a_mapped_file_has_the_name_of_its_descriptor,
                                        linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_a_private_mapping_follows_what_was_given, linux_setup,
                                        linux_teardown),
        cmocka_unit_test_setup_teardown(test_two_terminals, linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_what_can_write_to_a_terminal_stays, linux_setup,
                                        linux_teardown),
        cmocka_unit_test_setup_teardown(test_modes_that_could_not_be_read_are_not_put_back,
                                        linux_setup, linux_teardown),
        cmocka_unit_test_setup_teardown(test_a_terminal_is_not_stopped, linux_setup,
                                        linux_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
