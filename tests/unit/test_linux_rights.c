/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: descriptors that are sent from one socket to another, and their limits. */
#include "linux_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "linux/state.h"

#define PAIR    SCRATCH
#define HEADER  (SCRATCH + PAGE)
#define PIECE   (SCRATCH + 2 * PAGE)
#define CONTROL (SCRATCH + 3 * PAGE)
#define TEXT    (SCRATCH + 5 * PAGE)

static void pair_of(struct ferry_vm *vm, int type, int pair[2])
{
    assert_int_equal(CALL(vm, socketpair, AF_UNIX, (uint64_t)type, 0, PAIR), 0);
    memcpy(pair, guest(vm, PAIR), 2 * sizeof(int));
}

/* A message of one byte with these descriptors, or room for so many. */
static void put_header(struct ferry_vm *vm, const int *fds, size_t count)
{
    const struct iovec piece = {(void *)TEXT, 1};
    const struct msghdr header = {.msg_iov = (void *)PIECE,
                                  .msg_iovlen = 1,
                                  .msg_control = (void *)CONTROL,
                                  .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    const struct cmsghdr part = {CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};

    memcpy(guest(vm, PIECE), &piece, sizeof(piece));
    memcpy(guest(vm, HEADER), &header, sizeof(header));
    memcpy(guest(vm, CONTROL), &part, sizeof(part));
    if (fds)
        memcpy(guest(vm, CONTROL + sizeof(part)), fds, count * sizeof(int));
}

static int64_t send_files(struct ferry_vm *vm, int to, const int *fds, size_t count)
{
    put_header(vm, fds, count);
    return CALL(vm, sendmsg, (uint64_t)to, HEADER, MSG_DONTWAIT);
}

static int receive_one(struct ferry_vm *vm, int from)
{
    int fd;

    put_header(vm, NULL, 1);
    assert_int_equal(CALL(vm, recvmsg, (uint64_t)from, HEADER, 0), 1);
    memcpy(&fd, guest(vm, CONTROL + sizeof(struct cmsghdr)), sizeof(fd));
    return fd;
}

static void shut(struct ferry_vm *vm, int fd)
{
    assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
}

/* A socket that would hold itself, by way of others or not, could never be closed. */
static void no_socket_holds_itself(void **state)
{
    struct ferry_vm *vm = *state;
    int a[2], b[2], c[2], got;

    pair_of(vm, SOCK_STREAM, a);
    pair_of(vm, SOCK_DGRAM, b);
    pair_of(vm, SOCK_SEQPACKET, c);
    vm->linux_state->common->sockets_mark = UINT32_MAX; /* so often it was asked before */
    assert_int_equal(send_files(vm, a[0], &a[1], 1), -ETOOMANYREFS);
    assert_int_equal(send_files(vm, a[0], &a[0], 1), 1);
    assert_int_equal(send_files(vm, a[0], &b[1], 1), 1); /* b is held by a, */
    assert_int_equal(send_files(vm, b[0], &c[1], 1), 1); /* and c by b */
    assert_int_equal(send_files(vm, c[0], &a[1], 1), -ETOOMANYREFS);
    assert_int_equal(send_files(vm, b[0], &a[1], 1), -ETOOMANYREFS);
    assert_int_equal(send_files(vm, c[0], (const int[]){1, c[0], a[1]}, 3), -ETOOMANYREFS);
    got = receive_one(vm, b[1]); /* none holds c any more */
    assert_int_equal(send_files(vm, c[0], &a[1], 1), 1);
    assert_int_equal(send_files(vm, b[0], &got, 1), -ETOOMANYREFS);
}

static void those_on_their_way_count(void **state)
{
    struct ferry_vm *vm = *state;
    const struct rlimit limit = {20, 20};
    int a[2], fds[8] = {1, 1, 1, 1, 1, 1, 1, 1};

    pair_of(vm, SOCK_STREAM, a);
    memcpy(guest(vm, TEXT), &limit, sizeof(limit));
    assert_int_equal(CALL(vm, setrlimit, RLIMIT_NOFILE, TEXT), 0);
    assert_int_equal(send_files(vm, a[0], fds, 8), 1);
    assert_int_equal(send_files(vm, a[0], fds, 8), 1);
    assert_int_equal(send_files(vm, a[0], fds, 8), -ETOOMANYREFS);
    assert_int_equal(send_files(vm, a[0], fds, 4), 1);
    shut(vm, receive_one(vm, a[1]));
    assert_int_equal(send_files(vm, a[0], fds, 8), 1);
    assert_int_equal(vm->linux_state->common->files_sent, 20);
    shut(vm, a[1]);
    assert_int_equal(vm->linux_state->common->files_sent, 0);
}

/* Each socket waits for its receiver in the one before, which nobody else has. */
static void a_long_row_is_closed(void **state)
{
    struct ferry_vm *vm = *state;
    int first[2], next[2];
    unsigned sent = 0;

    pair_of(vm, SOCK_STREAM, first);
    for (int end = first[0]; sent < 200; sent++) {
        pair_of(vm, SOCK_STREAM, next);
        assert_int_equal(send_files(vm, end, &next[1], 1), 1);
        shut(vm, end);
        shut(vm, next[1]);
        end = next[0];
    }
    assert_int_equal(vm->linux_state->common->files[FILE_SOCKET], 202);
    shut(vm, first[1]);
    assert_int_equal(vm->linux_state->common->files[FILE_SOCKET], 1);
    assert_int_equal(vm->linux_state->common->files_sent, 0);
    assert_int_equal(vm->linux_state->common->object_bytes, 0);
}

/* Whatever a program says of itself that is not so; lengths that lead beyond what there is. */
static void bad_controls_are_refused(void **state)
{
    struct ferry_vm *vm = *state;
    const struct ucred other = {1, 0, 0}, me = {LINUX_PID, LINUX_USER, LINUX_USER};
    struct cmsghdr part = {CMSG_LEN(sizeof(other)), SOL_SOCKET, SCM_CREDENTIALS};
    uint64_t lengths[] = {0, 15, 25, UINT64_MAX, UINT64_MAX - 7};
    int a[3] = {0}; /* the third is not looked at */

    pair_of(vm, SOCK_STREAM, a);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        put_header(vm, a, 2);
        memcpy(guest(vm, CONTROL), &lengths[i], sizeof(lengths[i]));
        assert_int_equal(CALL(vm, sendmsg, (uint64_t)a[0], HEADER, 0), -EINVAL);
    }
    put_header(vm, a, 3);
    memcpy(guest(vm, CONTROL), &part, sizeof(part));
    memcpy(guest(vm, CONTROL + sizeof(part)), &other, sizeof(other));
    assert_int_equal(CALL(vm, sendmsg, (uint64_t)a[0], HEADER, 0), -EPERM);
    memcpy(guest(vm, CONTROL + sizeof(part)), &me, sizeof(me));
    assert_int_equal(CALL(vm, sendmsg, (uint64_t)a[0], HEADER, 0), 1);
    ((struct msghdr *)guest(vm, HEADER))->msg_control = (void *)NOWHERE;
    assert_int_equal(CALL(vm, sendmsg, (uint64_t)a[0], HEADER, 0), -EFAULT);
    ((struct msghdr *)guest(vm, HEADER))->msg_controllen = UINT64_MAX;
    assert_int_equal(CALL(vm, sendmsg, (uint64_t)a[0], HEADER, 0), -ENOBUFS);
    assert_int_equal(vm->linux_state->common->files_sent, 0);
}

/* What a file in memory holds counts as long as it can come back, by another open file of it too. */
static void what_is_on_its_way_is_charged(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t held;
    char name[32];
    int pair[2], again;
    int64_t file;

    pair_of(vm, SOCK_STREAM, pair);
    file = CALL(vm, memfd_create, guest_string(vm, TEXT, "name"), 0);
    assert_int_equal(CALL(vm, ftruncate, (uint64_t)file, 16 * PAGE), 0);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", (int)file);
    again = (int)CALL(vm, open, guest_string(vm, TEXT, name), O_RDWR);
    assert_true(again >= 0);
    assert_int_equal(send_files(vm, pair[0], &again, 1), 1);
    held = vm->space.used_bytes;
    shut(vm, again);
    shut(vm, (int)file);
    assert_true(vm->space.used_bytes > held - 16 * PAGE);
    shut(vm, receive_one(vm, pair[1]));
    assert_true(vm->space.used_bytes <= held - 16 * PAGE);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, linux_setup, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_socket_holds_itself),        TEST(those_on_their_way_count),
        TEST(a_long_row_is_closed),          TEST(bad_controls_are_refused),
        TEST(what_is_on_its_way_is_charged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
