/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: descriptors, streams and waiting for them. */
#include "linux_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* ---- calls that are not offered ------------------------------------------ */

static void test_unknown_calls_are_named_once(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, ptrace), -ENOSYS);
    assert_int_equal(vm->next, LINUX_RESUME);
    assert_string_equal(vm->line, "system call 101 (ptrace) is not offered: ENOSYS");
    assert_int_equal(CALL(vm, ptrace), -ENOSYS);
    assert_int_equal(vm->lines, 1);
    assert_int_equal(CALL(vm, io_uring_setup), -ENOSYS);
    assert_string_equal(vm->line, "system call 425 (io_uring_setup) is not offered: ENOSYS");
    assert_int_equal(linux_call(vm, 511, (const uint64_t[6]){0}), -ENOSYS);
    assert_string_equal(vm->line, "system call 511 (unknown) is not offered: ENOSYS");
    assert_int_equal(linux_call(vm, 512, (const uint64_t[6]){0}), -ENOSYS);
    assert_int_equal(linux_call(vm, UINT64_MAX, (const uint64_t[6]){0}), -ENOSYS);
    assert_int_equal(linux_call(vm, 0x40000000 + SYS_exit, (const uint64_t[6]){0}), -ENOSYS);
    assert_int_equal(vm->next, LINUX_RESUME);
    assert_int_equal(vm->lines, 3);
    assert_int_equal(CALL(vm, rseq), -ENOSYS);
    assert_int_equal(vm->lines, 3);
}

/* ---- streams ------------------------------------------------------------- */

static void test_read(void **state)
{
    struct ferry_vm *vm = *state;

    vm->input = "hello";
    assert_int_equal(CALL(vm, read, 0, SCRATCH, 3), 3);
    assert_memory_equal(guest(vm, SCRATCH), "hel", 4);
    assert_int_equal(CALL(vm, read, 0, NOWHERE, 1), -EFAULT);
    assert_int_equal(CALL(vm, read, 0, READ_ONLY, 1), -EFAULT);
    assert_int_equal(CALL(vm, read, 0, SCRATCH_END - 1, 2), -EFAULT);
    assert_int_equal(CALL(vm, read, 0, UINT64_MAX, 2), -EFAULT);
    assert_int_equal(CALL(vm, read, 0, SCRATCH, UINT64_MAX), -EFAULT);
    assert_int_equal(CALL(vm, read, 0, NOWHERE, 0), 0);
    assert_int_equal(CALL(vm, read, 1, SCRATCH, 1), -EBADF);
    assert_int_equal(CALL(vm, read, 3, SCRATCH, 1), -EBADF);
    assert_int_equal(CALL(vm, read, UINT64_MAX, SCRATCH, 1), -EBADF);
    assert_int_equal(CALL(vm, read, 0, SCRATCH, 100), 2);
    vm->input_ended = true;
    assert_int_equal(CALL(vm, read, 0, SCRATCH, 100), 0);
}

static void test_read_without_blocking(void **state)
{
    struct ferry_vm *vm = *state;
    int on = 1;

    assert_int_equal(CALL(vm, fcntl, 0, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(CALL(vm, fcntl, 0, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_NONBLOCK);
    assert_int_equal(CALL(vm, read, 0, SCRATCH, 10), -EAGAIN);
    assert_int_equal(vm->poll_timeout, 0);
    vm->input = "x";
    assert_int_equal(CALL(vm, read, 0, SCRATCH, 10), 1);
    vm->input_ended = true;
    assert_int_equal(CALL(vm, read, 0, SCRATCH, 10), 0);
    /* A duplicate shares the flag. */
    assert_int_equal(CALL(vm, dup, 0), 3);
    assert_int_equal(CALL(vm, fcntl, 3, F_SETFL, 0), 0);
    assert_int_equal(CALL(vm, fcntl, 0, F_GETFL) & O_NONBLOCK, 0);
    memcpy(guest(vm, SCRATCH), &on, sizeof(on));
    assert_int_equal(CALL(vm, ioctl, 3, FIONBIO, SCRATCH), 0);
    assert_int_equal(CALL(vm, fcntl, 0, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

static void test_write(void **state)
{
    struct ferry_vm *vm = *state;

    guest_string(vm, SCRATCH, "hello");
    assert_int_equal(CALL(vm, write, 1, SCRATCH, 5), 5);
    assert_int_equal(CALL(vm, write, 1, READ_ONLY, 1), 1);
    assert_memory_equal(vm->output, "hello", 6);
    assert_int_equal(CALL(vm, write, 1, NOWHERE, 1), -EFAULT);
    assert_int_equal(CALL(vm, write, 1, NOWHERE, 0), 0);
    assert_int_equal(CALL(vm, write, 0, SCRATCH, 1), -EBADF);
    assert_int_equal(CALL(vm, write, 77, SCRATCH, 1), -EBADF);
    assert_int_equal(vm->output_bytes, 6);
}

/* Two pieces in program memory, at SCRATCH. */
static void put_pieces(struct ferry_vm *vm, uint64_t a, uint64_t a_bytes, uint64_t b,
                       uint64_t b_bytes)
{
    memcpy(guest(vm, SCRATCH), (uint64_t[]){a, a_bytes, b, b_bytes}, 32);
}

static void test_pieces(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t text = SCRATCH + PAGE;

    vm->input = "hello";
    put_pieces(vm, text, 2, text + 100, 100);
    assert_int_equal(CALL(vm, readv, 0, SCRATCH, 2), 5);
    assert_memory_equal(guest(vm, text), "he", 3);
    assert_memory_equal(guest(vm, text + 100), "llo", 4);
    /* A full first piece and nothing more at hand: no blocking for the second. */
    vm->input = "he";
    assert_int_equal(CALL(vm, readv, 0, SCRATCH, 2), 2);

    put_pieces(vm, text, 2, text + 100, 3);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, 2), 5);
    assert_memory_equal(vm->output, "hello", 6);
    /* Bytes that cannot be read are not sent, nor is the page of a pipe that they would be in. */
    put_pieces(vm, text, 2, NOWHERE, 3);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, 2), -EFAULT);
    assert_int_equal(vm->output_bytes, 5);
    put_pieces(vm, text, 5000, NOWHERE, 3);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, 2), 4096);
    put_pieces(vm, NOWHERE, 0, UINT64_MAX, 0);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, 1), 0);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, 2), -EFAULT);
    put_pieces(vm, NOWHERE, 2, text, 3);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, 2), -EFAULT);
    put_pieces(vm, text, 2, text, UINT64_MAX);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, 2), -EINVAL);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, 1025), -EINVAL);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, UINT64_MAX), -EINVAL);
    assert_int_equal(CALL(vm, writev, 1, NOWHERE, 1), -EFAULT);
    assert_int_equal(CALL(vm, writev, 1, SCRATCH, 0), 0);
    assert_int_equal(CALL(vm, writev, 0, SCRATCH, 1), -EBADF);
    assert_int_equal(CALL(vm, readv, 1, SCRATCH, 1), -EBADF);
}

static void test_stop_ends_what_blocks(void **state)
{
    struct ferry_vm *vm = *state;

    vm->stop = true;
    CALL(vm, read, 0, SCRATCH, 10);
    assert_int_equal(vm->next, LINUX_STOPPED);
    CALL(vm, write, 1, SCRATCH, 10);
    assert_int_equal(vm->next, LINUX_STOPPED);
    CALL(vm, pause);
    assert_int_equal(vm->next, LINUX_STOPPED);
    CALL(vm, poll, 0, 0, 100);
    assert_int_equal(vm->next, LINUX_STOPPED);
    put_pieces(vm, SCRATCH + 128, 2, SCRATCH + 200, 3);
    CALL(vm, writev, 1, SCRATCH, 2);
    assert_int_equal(vm->next, LINUX_STOPPED);
    /* Also when part of it went out. */
    vm->stop = false;
    vm->stop_after_write = true;
    CALL(vm, writev, 1, SCRATCH, 2);
    assert_int_equal(vm->output_bytes, 2);
    assert_int_equal(vm->next, LINUX_STOPPED);
}

static void test_standard_error(void **state)
{
    char text[8200] = {0};
    struct ferry_vm *vm;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    vm = linux_vm_create(NULL, ends[1]);
    memset(guest(vm, SCRATCH), 'x', 8200);
    assert_int_equal(CALL(vm, write, 2, SCRATCH, 8200), 8200);
    assert_int_equal(read(ends[0], text, sizeof(text)), 8200);
    assert_int_equal(text[8199], 'x');
    /* Full: it waits, but not longer than the VM is to run. */
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    assert_int_equal(CALL(vm, write, 2, SCRATCH, 4096), 4096);
    vm->stop = true;
    CALL(vm, write, 2, SCRATCH, 4096);
    assert_int_equal(vm->next, LINUX_STOPPED);
    linux_vm_destroy(vm);
    close(ends[0]);
    close(ends[1]);
}

/* A stop ends a long write also where everything is taken at once. */
static void test_standard_error_that_never_waits(void **state)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct ferry_vm *vm = linux_vm_create(NULL, null);

    (void)state;
    assert_int_equal(CALL(vm, write, 2, SCRATCH, 16 * PAGE), 16 * PAGE);
    vm->stop = true;
    CALL(vm, write, 2, SCRATCH, 16 * PAGE);
    assert_int_equal(vm->next, LINUX_STOPPED);
    linux_vm_destroy(vm);
    close(null);
}

/* The pieces of a message leave in one write: this pipe keeps writes apart. */
static void test_standard_error_in_pieces(void **state)
{
    char text[100] = {0};
    struct ferry_vm *vm;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_DIRECT), 0);
    vm = linux_vm_create(NULL, ends[1]);
    put_pieces(vm, guest_string(vm, SCRATCH + 128, "one, "), 5,
               guest_string(vm, SCRATCH + 256, "two"), 3);
    assert_int_equal(CALL(vm, writev, 2, SCRATCH, 2), 8);
    assert_int_equal(read(ends[0], text, sizeof(text)), 8);
    assert_string_equal(text, "one, two");
    linux_vm_destroy(vm);
    close(ends[0]);
    close(ends[1]);
}

static void test_standard_error_discarded(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, write, 2, SCRATCH, 100), 100);
    assert_int_equal(CALL(vm, write, 2, NOWHERE, 100), -EFAULT);
}

/* ---- descriptors --------------------------------------------------------- */

static void test_last_close_ends_the_stream(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, dup, 1), 3);
    assert_int_equal(CALL(vm, dup2, 1, 10), 10);
    assert_int_equal(CALL(vm, close, 1), 0);
    assert_int_equal(CALL(vm, close, 3), 0);
    assert_false(vm->output_closed);
    assert_int_equal(CALL(vm, write, 10, SCRATCH, 1), 1);
    assert_int_equal(CALL(vm, close, 10), 0);
    assert_true(vm->output_closed);
    assert_int_equal(CALL(vm, close, 10), -EBADF);
    assert_int_equal(CALL(vm, write, 1, SCRATCH, 1), -EBADF);
    /* dup2 closes the old file. */
    assert_int_equal(CALL(vm, dup2, 2, 0), 0);
    assert_true(vm->input_closed);
    assert_int_equal(CALL(vm, read, 0, SCRATCH, 1), -EBADF);
}

static void test_dup(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, dup, 9), -EBADF);
    assert_int_equal(CALL(vm, dup2, 1, 1), 1);
    assert_int_equal(CALL(vm, dup2, 9, 9), -EBADF);
    assert_int_equal(CALL(vm, dup2, 1, 1024), -EBADF);
    assert_int_equal(CALL(vm, dup2, 1, UINT64_MAX), -EBADF);
    assert_int_equal(CALL(vm, dup3, 1, 1, 0), -EINVAL);
    assert_int_equal(CALL(vm, dup3, 1, 5, 4), -EINVAL);
    assert_int_equal(CALL(vm, dup3, 1, 5, O_CLOEXEC), 5);
    assert_int_equal(CALL(vm, fcntl, 5, F_GETFD), FD_CLOEXEC);
    assert_int_equal(CALL(vm, fcntl, 5, F_SETFD, 0), 0);
    assert_int_equal(CALL(vm, fcntl, 5, F_GETFD), 0);
    assert_int_equal(CALL(vm, fcntl, 1, F_DUPFD, 5), 6);
    assert_int_equal(CALL(vm, fcntl, 1, F_DUPFD_CLOEXEC, 1023), 1023);
    assert_int_equal(CALL(vm, fcntl, 1023, F_GETFD), FD_CLOEXEC);
    assert_int_equal(CALL(vm, fcntl, 1, F_DUPFD, 1023), -EMFILE);
    assert_int_equal(CALL(vm, fcntl, 1, F_DUPFD, 1024), -EINVAL);
    assert_int_equal(CALL(vm, fcntl, 1, F_DUPFD, UINT64_MAX), -EINVAL);
    assert_int_equal(CALL(vm, fcntl, 1, 9999), -EINVAL);
    assert_int_equal(CALL(vm, fcntl, 1, F_GETFL) & O_ACCMODE, O_WRONLY);
    for (int i = 3; i < 1023; i++) {
        if (i != 5 && i != 6)
            assert_int_equal(CALL(vm, dup, 0), i);
    }
    assert_int_equal(CALL(vm, dup, 0), -EMFILE);
}

static void test_close_range(void **state)
{
    struct ferry_vm *vm = *state;

    for (uint64_t fd = 3; fd < 8; fd++)
        assert_int_equal(CALL(vm, dup, 0), fd);
    assert_int_equal(CALL(vm, close_range, 4, 3, 0), -EINVAL);
    assert_int_equal(CALL(vm, close_range, 3, 4, 8), -EINVAL);
    assert_int_equal(CALL(vm, close_range, 3, UINT32_MAX, CLOSE_RANGE_CLOEXEC), 0);
    assert_int_equal(CALL(vm, fcntl, 7, F_GETFD), FD_CLOEXEC);
    assert_int_equal(CALL(vm, close_range, 4, 5, CLOSE_RANGE_UNSHARE), 0);
    assert_int_equal(CALL(vm, fcntl, 3, F_GETFD), FD_CLOEXEC);
    assert_int_equal(CALL(vm, fcntl, 4, F_GETFD), -EBADF);
    assert_int_equal(CALL(vm, fcntl, 5, F_GETFD), -EBADF);
    assert_int_equal(CALL(vm, fcntl, 6, F_GETFD), FD_CLOEXEC);
    assert_int_equal(CALL(vm, close_range, 5000, UINT32_MAX, 0), 0);
    assert_int_equal(CALL(vm, close_range, 0, UINT32_MAX, 0), 0);
    assert_int_equal(CALL(vm, fcntl, 6, F_GETFD), -EBADF);
    assert_true(vm->input_closed && vm->output_closed);
}

/* Descriptors open above the limit stay open, but no new ones come there. */
static void test_descriptor_limit(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, dup2, 0, 20), 20);
    memcpy(guest(vm, SCRATCH), (uint64_t[]){4, 1024}, 16);
    assert_int_equal(CALL(vm, setrlimit, RLIMIT_NOFILE, SCRATCH), 0);
    assert_int_equal(CALL(vm, dup, 0), 3);
    assert_int_equal(CALL(vm, dup, 0), -EMFILE);
    assert_int_equal(CALL(vm, dup2, 0, 4), -EBADF);
    assert_int_equal(CALL(vm, fcntl, 0, F_DUPFD, 4), -EINVAL);
    assert_int_equal(CALL(vm, poll, SCRATCH, 5, 0), -EINVAL);
    assert_int_equal(CALL(vm, fcntl, 20, F_GETFD), 0);
    memcpy(guest(vm, SCRATCH), (uint64_t[]){1024, 1024}, 16);
    assert_int_equal(CALL(vm, setrlimit, RLIMIT_NOFILE, SCRATCH), 0);
    assert_int_equal(CALL(vm, dup2, 0, 1023), 1023);
}

static void test_streams_look_like_pipes(void **state)
{
    struct ferry_vm *vm = *state;
    struct stat *stat = guest(vm, SCRATCH);
    int *answer = guest(vm, SCRATCH);

    for (uint64_t fd = 0; fd < 3; fd++) {
        assert_int_equal(CALL(vm, fstat, fd, SCRATCH), 0);
        assert_true(S_ISFIFO(stat->st_mode));
        /* Output that gathers in a larger buffer than for a pipe arrives later than by one. */
        assert_int_equal(stat->st_blksize, fd == 0 ? 256 << 10 : 4096);
        assert_int_equal(CALL(vm, ioctl, fd, TCGETS, SCRATCH), -ENOTTY);
        assert_int_equal(CALL(vm, lseek, fd, 0, SEEK_CUR), -ESPIPE);
    }
    guest_string(vm, SCRATCH + 4096, "");
    assert_int_equal(CALL(vm, newfstatat, 0, SCRATCH + 4096, SCRATCH, AT_EMPTY_PATH), 0);
    assert_true(S_ISFIFO(stat->st_mode));
    assert_int_equal(CALL(vm, fstat, 3, SCRATCH), -EBADF);
    assert_int_equal(CALL(vm, fstat, 0, READ_ONLY), -EFAULT);
    vm->input = "four";
    assert_int_equal(CALL(vm, ioctl, 0, FIONREAD, SCRATCH), 0);
    assert_int_equal(*answer, 4);
    assert_int_equal(CALL(vm, ioctl, 0, FIONREAD, NOWHERE), -EFAULT);
    assert_int_equal(CALL(vm, pread64, 0, SCRATCH, 1, 0), -ESPIPE);
    assert_int_equal(CALL(vm, pwrite64, 1, SCRATCH, 1, 0), -ESPIPE);
    assert_int_equal(CALL(vm, getsockopt, 0), -ENOTSOCK);
    assert_int_equal(CALL(vm, socket, 2, 1, 0), -EAFNOSUPPORT);
}

/* ---- waiting ------------------------------------------------------------- */

static struct pollfd *put_polls(struct ferry_vm *vm, const struct pollfd *polls, size_t count)
{
    return memcpy(guest(vm, SCRATCH), polls, count * sizeof(*polls));
}

static void test_poll(void **state)
{
    struct ferry_vm *vm = *state;
    struct pollfd *polls =
        put_polls(vm, (struct pollfd[]){{0, POLLIN, 0}, {1, POLLOUT, 0}, {-1, POLLIN, 9}}, 3);

    assert_int_equal(CALL(vm, poll, SCRATCH, 3, 5), 1);
    assert_int_equal(polls[0].revents, 0);
    assert_int_equal(polls[1].revents, POLLOUT);
    assert_int_equal(polls[2].revents, 0);
    assert_int_equal(vm->sleeps, 0);
    assert_int_equal(vm->poll_want, POLLOUT | POLLERR);

    /* Only input, and it does not come. */
    assert_int_equal(CALL(vm, poll, SCRATCH, 1, (uint32_t)-1), 0);
    assert_true(vm->slept_ns == UINT64_MAX);
    assert_int_equal(vm->poll_want, POLLIN | POLLHUP);
    vm->input = "x";
    polls[0].events = POLLIN | POLLRDNORM | POLLOUT;
    assert_int_equal(CALL(vm, poll, SCRATCH, 1, 0), 1);
    assert_int_equal(polls[0].revents, POLLIN | POLLRDNORM);
    vm->input = "";
    vm->input_ended = true;
    polls[0].events = 0;
    assert_int_equal(CALL(vm, poll, SCRATCH, 1, 0), 1);
    assert_int_equal(polls[0].revents, POLLHUP);
    vm->output_broken = true;
    assert_int_equal(CALL(vm, poll, SCRATCH + sizeof(*polls), 1, 0), 1);
    assert_int_equal(polls[1].revents, POLLOUT | POLLERR);
}

static void test_poll_of_others(void **state)
{
    struct ferry_vm *vm = *state;
    struct pollfd *polls =
        put_polls(vm, (struct pollfd[]){{2, POLLOUT, 0}, {99, POLLIN, 0}, {0, POLLIN, 0}}, 3);

    /* An event that holds at once needs no waiting. */
    assert_int_equal(CALL(vm, poll, SCRATCH, 3, 1000), 2);
    assert_int_equal(polls[0].revents, POLLOUT);
    assert_int_equal(polls[1].revents, POLLNVAL);
    assert_int_equal(vm->sleeps, 0);
    /* None at all: a sleep. */
    assert_int_equal(CALL(vm, poll, 0, 0, 7), 0);
    assert_int_equal(vm->slept_ns, 7000000);
    memcpy(guest(vm, SCRATCH + PAGE), &(struct timespec){1, 5}, sizeof(struct timespec));
    assert_int_equal(CALL(vm, ppoll, 0, 0, SCRATCH + PAGE, 0, 8), 0);
    assert_int_equal(vm->slept_ns, 1000000005);
    assert_int_equal(CALL(vm, poll, SCRATCH, 1025, 0), -EINVAL);
    assert_int_equal(CALL(vm, poll, SCRATCH, UINT64_MAX, 0), -EINVAL);
    assert_int_equal(CALL(vm, poll, NOWHERE, 1, 0), -EFAULT);
    assert_int_equal(CALL(vm, poll, READ_ONLY, 1, 0), -EFAULT);
}

static void put_timeval(struct ferry_vm *vm, uint64_t addr, long seconds, long microseconds)
{
    memcpy(guest(vm, addr), &(struct timeval){seconds, microseconds}, sizeof(struct timeval));
}

/* Standard error is what the host's descriptor is: a pipe has room and cannot be read, and tells
 * that its reader went, whatever was asked for. */
static void test_poll_of_standard_error(void **state)
{
    struct pollfd *polls;
    struct ferry_vm *vm;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    vm = linux_vm_create(NULL, ends[1]);
    polls = put_polls(vm, (struct pollfd[]){{2, POLLIN | POLLOUT, 0}, {2, POLLIN, 0}}, 2);
    assert_int_equal(CALL(vm, poll, SCRATCH, 1, 0), 1);
    assert_int_equal(polls[0].revents, POLLOUT);
    assert_int_equal(CALL(vm, poll, SCRATCH + sizeof(*polls), 1, 120), 0);
    assert_int_equal(vm->sleeps, 3); /* it looks again now and then */
    close(ends[0]);
    polls[0].events = POLLRDBAND;
    assert_int_equal(CALL(vm, poll, SCRATCH, 1, (uint32_t)-1), 1);
    assert_int_equal(polls[0].revents, POLLERR);
    linux_vm_destroy(vm);
    close(ends[1]);
}

/* It is told that the other side went, whatever was asked for. */
static void test_poll_tells_of_ends(void **state)
{
    static const short asked[] = {0, POLLRDBAND, POLLPRI, POLLHUP};
    struct ferry_vm *vm = *state;
    struct pollfd *polls = put_polls(vm, (struct pollfd[]){{0, 0, 0}, {1, 0, 0}}, 2);

    vm->input_ended = vm->output_broken = true;
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        polls[0].events = polls[1].events = asked[i];
        assert_int_equal(CALL(vm, poll, SCRATCH, 2, (uint32_t)-1), 2);
        assert_int_equal(polls[0].revents, POLLHUP);
        assert_int_equal(polls[1].revents, POLLERR);
    }
    polls[1].fd = -2;
    assert_int_equal(CALL(vm, poll, SCRATCH + sizeof(*polls), 1, 0), 0);
    assert_int_equal(polls[1].revents, 0);
}

static void test_select(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t *sets = guest(vm, SCRATCH);
    uint64_t timeout = SCRATCH + PAGE;
    const int64_t *left = guest(vm, timeout);

    sets[0] = 1;     /* read: 0 */
    sets[1] = 2 | 4; /* write: 1 and 2 */
    sets[2] = 1;
    put_timeval(vm, timeout, 2, 7);
    assert_int_equal(CALL(vm, select, 3, SCRATCH, SCRATCH + 8, SCRATCH + 16, timeout), 2);
    assert_int_equal(sets[0], 0);
    assert_int_equal(sets[1], 2 | 4);
    assert_int_equal(sets[2], 0);

    sets[0] = 1;
    put_timeval(vm, timeout, 2, 0);
    assert_int_equal(CALL(vm, select, 1, SCRATCH, 0, 0, timeout), 0);
    assert_int_equal(vm->slept_ns, 2000000000);
    assert_int_equal(*left, 1); /* the pretended wait took no time, but some passed */
    put_timeval(vm, timeout, 0, 0);
    sets[0] = 1;
    assert_int_equal(CALL(vm, select, 1, SCRATCH, 0, 0, timeout), 0);
    memcpy(guest(vm, timeout), &(struct timespec){2, 0}, sizeof(struct timespec));
    sets[0] = 1;
    assert_int_equal(CALL(vm, pselect6, 1, SCRATCH, 0, 0, timeout, 0), 0);
    assert_int_equal(*left, 1);
    memcpy(guest(vm, timeout), &(struct timespec){2, 0}, sizeof(struct timespec));
    assert_int_equal(CALL(vm, ppoll, 0, 0, timeout, 0, 8), 0);
    assert_int_equal(*left, 1);
    put_timeval(vm, timeout, 2, 7);
    sets[0] = 1 | 0x80; /* what lies above nfds is not looked at, and comes back clear */
    vm->input_ended = true;
    assert_int_equal(CALL(vm, pselect6, 1, SCRATCH, 0, 0, 0, 0), 1);
    assert_int_equal(sets[0], 1);
    sets[0] = 1 << 5;
    assert_int_equal(CALL(vm, select, 6, SCRATCH, 0, 0, 0), -EBADF);
    assert_int_equal(CALL(vm, select, (uint32_t)-1, SCRATCH, 0, 0, 0), -EINVAL);
    assert_int_equal(CALL(vm, select, 1, NOWHERE, 0, 0, 0), -EFAULT);
    assert_int_equal(CALL(vm, select, INT32_MAX, 0, 0, 0, timeout), 0);
    assert_int_equal(vm->slept_ns, 2000007000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, linux_setup, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unknown_calls_are_named_once),
        TEST(test_read),
        TEST(test_read_without_blocking),
        TEST(test_write),
        TEST(test_pieces),
        TEST(test_stop_ends_what_blocks),
        cmocka_unit_test(test_standard_error),
        cmocka_unit_test(test_standard_error_in_pieces),
        cmocka_unit_test(test_standard_error_that_never_waits),
        TEST(test_standard_error_discarded),
        TEST(test_last_close_ends_the_stream),
        TEST(test_dup),
        TEST(test_close_range),
        TEST(test_descriptor_limit),
        TEST(test_streams_look_like_pipes),
        TEST(test_poll),
        TEST(test_poll_of_others),
        cmocka_unit_test(test_poll_of_standard_error),
        TEST(test_poll_tells_of_ends),
        TEST(test_select),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
