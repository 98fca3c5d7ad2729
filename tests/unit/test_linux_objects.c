/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality's objects: that they are counted, bounded, and given back. What they do is compared
 * with the host by asks_objects.c, asks_sockets.c and asks_files.c in tests/guest. */
#include "linux_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "linux/state.h"
#include "linux/vm_linux.h"

#define EVENT (SCRATCH + PAGE)
#define FDS   (SCRATCH + 2 * PAGE)
#define DATA  (SCRATCH + 3 * PAGE)

/* The ends of a pipe, from `fds`. */
static void make_pipe(struct ferry_vm *vm, int fds[2])
{
    assert_int_equal(CALL(vm, pipe2, FDS, O_NONBLOCK), 0);
    memcpy(fds, guest(vm, FDS), 2 * sizeof(int));
}

static int64_t watch(struct ferry_vm *vm, int64_t set, int64_t fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)fd};

    memcpy(guest(vm, EVENT), &event, sizeof event);
    return CALL(vm, epoll_ctl, (uint64_t)set, EPOLL_CTL_ADD, (uint64_t)fd, EVENT);
}

/* What pipes hold is memory of the program; what they gave back others get, and memory that is used
 * up is an error of the write. */
static void test_pipes_count_as_memory(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t before = vm->space.used_bytes;
    int fds[2], last[2] = {0};
    unsigned held = 0;

    for (int round = 0; round < 3; round++) {
        make_pipe(vm, fds);
        assert_int_equal(CALL(vm, write, (uint64_t)fds[1], DATA, 1), 1);
        assert_int_equal(vm->space.used_bytes, before + 65536);
        CALL(vm, close, (uint64_t)fds[0]);
        CALL(vm, close, (uint64_t)fds[1]);
    }
    vm->space.used_bytes = vm->space.limit_bytes - 3 * 65536;
    for (;; held++) {
        make_pipe(vm, fds);
        if (CALL(vm, write, (uint64_t)fds[1], DATA, 1) != 1)
            break;
        memcpy(last, fds, sizeof last);
    }
    assert_in_range(held, 1, 4);
    assert_int_equal(CALL(vm, write, (uint64_t)fds[1], DATA, 1), -ENOMEM);
    CALL(vm, close, (uint64_t)last[0]);
    CALL(vm, close, (uint64_t)last[1]);
    assert_int_equal(CALL(vm, write, (uint64_t)fds[1], DATA, 1), 1);
}

/* A look at a set is short, whatever the program puts into it. */
static int64_t open_list(struct ferry_vm *vm)
{
    return CALL(vm, open, guest_string(vm, SCRATCH, "/proc/self/fdinfo"), O_RDONLY | O_DIRECTORY);
}

/* And so are the names of a directory of which Ferry makes the list. */
static void test_lists_count_as_memory(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t before = vm->space.used_bytes, one;
    int64_t fd;

    for (unsigned i = 0; i < 200; i++)
        assert_true(CALL(vm, dup, 0) > 0);
    fd = open_list(vm);
    assert_true(fd > 0);
    one = vm->space.used_bytes - before;
    assert_true(one >= 200 * 256);
    assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
    assert_int_equal(open_list(vm), fd);
    assert_int_equal(vm->space.used_bytes - before, one);
    vm->space.used_bytes = vm->space.limit_bytes - one / 2;
    assert_int_equal(open_list(vm), -ENOMEM);
    assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
    assert_int_equal(open_list(vm), fd);
}

/* So no call on one needs to ask for that. */
static void test_none_is_opened_by_its_name(void **state)
{
    static const int flags[] = {O_PATH, O_RDONLY, O_RDWR};
    struct ferry_vm *vm = *state;
    int fds[4], pair[2];

    fds[0] = (int)CALL(vm, epoll_create1, 0);
    fds[1] = (int)CALL(vm, timerfd_create, 1, 0);
    assert_int_equal(CALL(vm, socketpair, AF_UNIX, SOCK_STREAM, 0, FDS), 0);
    memcpy(pair, guest(vm, FDS), sizeof(pair));
    fds[2] = pair[0];
    fds[3] = (int)CALL(vm, eventfd2, 0, 0);
    for (size_t i = 0; i < 4; i++) {
        char name[32];

        snprintf(name, sizeof(name), "/proc/self/fd/%d", fds[i]);
        for (size_t f = 0; f < 3; f++)
            assert_int_equal(CALL(vm, open, guest_string(vm, DATA, name), (uint64_t)flags[f]),
                             -ENXIO);
    }
}

static void test_sets_within_sets_are_bounded(void **state)
{
    struct ferry_vm *vm = *state;
    int64_t first = CALL(vm, epoll_create1, 0), inner = first, outer = 0, wide;
    int depth = 1;

    for (;; depth++) {
        int64_t result;

        outer = CALL(vm, epoll_create1, 0);
        result = watch(vm, outer, inner, EPOLLIN);
        if (result) {
            assert_int_equal(result, -ELOOP);
            break;
        }
        inner = outer;
    }
    assert_int_equal(depth, 4);
    /* From below as well. */
    assert_int_equal(watch(vm, first, outer, EPOLLIN), -ELOOP);
    assert_int_equal(watch(vm, first, inner, EPOLLIN), -ELOOP);
    wide = CALL(vm, epoll_create1, 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(watch(vm, wide, CALL(vm, epoll_create1, 0), EPOLLIN), 0);
    assert_int_equal(watch(vm, wide, CALL(vm, epoll_create1, 0), EPOLLIN), -ENOSPC);
}

/* The sets of a file that is closed, and the files of a set that is, forget each other. */
static void test_closed_files_leave_their_sets(void **state)
{
    struct ferry_vm *vm = *state;
    int64_t set = CALL(vm, epoll_create1, 0), other = CALL(vm, epoll_create1, 0);
    int fds[2];

    for (int round = 0; round < 5000; round++) { /* more than all sets may hold together */
        make_pipe(vm, fds);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(watch(vm, set, fds[i], EPOLLIN), 0);
            assert_int_equal(watch(vm, other, fds[i], EPOLLIN), 0);
        }
        CALL(vm, close, (uint64_t)fds[1]);
        assert_int_equal(CALL(vm, epoll_wait, (uint64_t)set, EVENT, 10, 0), 1);
        CALL(vm, close, (uint64_t)fds[0]);
        assert_int_equal(CALL(vm, epoll_wait, (uint64_t)set, EVENT, 10, 0), 0);
    }
    make_pipe(vm, fds);
    assert_int_equal(watch(vm, set, fds[0], EPOLLIN), 0);
    CALL(vm, close, (uint64_t)set);
    CALL(vm, close, (uint64_t)fds[0]);
    CALL(vm, close, (uint64_t)fds[1]);
}

/* A file in memory counts, as long as somebody has it open or mapped. */
static void test_memory_files(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t before = vm->space.used_bytes;
    int64_t fd = CALL(vm, memfd_create, guest_string(vm, SCRATCH, "name"), MFD_ALLOW_SEALING), at;
    int64_t moved;

    assert_true(fd >= 0);
    assert_int_equal(CALL(vm, pwrite64, (uint64_t)fd, DATA, 4 * PAGE, PAGE), 4 * PAGE);
    assert_in_range(vm->space.used_bytes - before, 4 * PAGE, 6 * PAGE);
    at = CALL(vm, mmap, 0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, (uint64_t)fd, 0);
    assert_true(at > 0);
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/proc/self/fd/3"), O_RDWR), fd + 1);
    assert_int_equal(CALL(vm, pread64, (uint64_t)fd, (uint64_t)at + 4 * PAGE, PAGE, 0), PAGE);
    assert_int_equal(CALL(vm, ftruncate, (uint64_t)fd + 1, 4 * PAGE), 0);
    assert_int_equal(CALL(vm, pread64, (uint64_t)fd, (uint64_t)at + 4 * PAGE, PAGE, 0), -EFAULT);
    /* It is mapped, and so it is there. */
    assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
    assert_int_equal(CALL(vm, close, (uint64_t)fd + 1), 0);
    assert_in_range(vm->space.used_bytes - before, 4 * PAGE, 6 * PAGE);
    moved = at + 8 * PAGE;
    assert_int_equal(CALL(vm, mremap, (uint64_t)at, 8 * PAGE, 8 * PAGE,
                          MREMAP_MAYMOVE | MREMAP_FIXED, (uint64_t)moved),
                     moved);
    assert_int_equal(CALL(vm, munmap, (uint64_t)at, 8 * PAGE), 0);
    assert_int_equal(CALL(vm, munmap, (uint64_t)moved + PAGE, 7 * PAGE), 0);
    assert_in_range(vm->space.used_bytes - before, 4 * PAGE, 6 * PAGE);
    assert_int_equal(CALL(vm, munmap, (uint64_t)moved, PAGE), 0);
    assert_in_range(vm->space.used_bytes - before, 0, PAGE);
    /* As much as there may be, again and again. */
    for (int i = 0; i < 4; i++) {
        fd = CALL(vm, memfd_create, guest_string(vm, SCRATCH, ""), 0);
        assert_int_equal(CALL(vm, ftruncate, (uint64_t)fd, MEMORY / 3), i < 3 ? 0 : -ENOSPC);
        at = CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, (uint64_t)fd, 0);
        assert_true(at > 0);
        assert_int_equal(CALL(vm, close, (uint64_t)fd), 0);
        if (i == 1)
            assert_int_equal(CALL(vm, munmap, (uint64_t)at, PAGE), 0);
    }
    fd = CALL(vm, memfd_create, guest_string(vm, SCRATCH, ""), 0);
    assert_int_equal(CALL(vm, fallocate, (uint64_t)fd, 0, 0, 2 * MEMORY), -ENOSPC);
    assert_int_equal(CALL(vm, ftruncate, (uint64_t)fd, 2 * MEMORY), -ENOSPC);
    /* A mapping that outlives its descriptor counts on. */
    assert_int_equal(CALL(vm, ftruncate, (uint64_t)fd, MEMORY / 4), 0);
    assert_true(CALL(vm, mmap, 0, MEMORY / 4, PROT_READ | PROT_WRITE, MAP_SHARED, (uint64_t)fd, 0) >
                0);
    CALL(vm, close, (uint64_t)fd);
    assert_true(vm->space.used_bytes - before >= MEMORY / 4);
}

/* Live memory is no reason to cut a message in two. */
static void test_messages_of_live_memory(void **state)
{
    const uint64_t bytes = 200000, mapped = 256 * 1024;
    struct ferry_vm *vm = *state;
    int64_t fd = CALL(vm, memfd_create, guest_string(vm, SCRATCH, "name"), 0), at;
    int pair[2];

    assert_int_equal(CALL(vm, ftruncate, (uint64_t)fd, mapped), 0);
    at = CALL(vm, mmap, 0, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, (uint64_t)fd, 0);
    assert_true(at > 0);
    assert_int_equal(CALL(vm, socketpair, AF_UNIX, SOCK_SEQPACKET, 0, FDS), 0);
    memcpy(pair, guest(vm, FDS), sizeof(pair));
    *(char *)guest(vm, (uint64_t)at + bytes - 1) = 7;
    assert_int_equal(CALL(vm, write, (uint64_t)pair[0], (uint64_t)at, bytes), bytes);
    *(char *)guest(vm, (uint64_t)at + bytes - 1) = 0;
    assert_int_equal(CALL(vm, read, (uint64_t)pair[1], (uint64_t)at, mapped), bytes);
    assert_int_equal(*(char *)guest(vm, (uint64_t)at + bytes - 1), 7);
}

/* A file is kept in mind once for all its mappings in a range. */
static void test_mappings_in_parts(void **state)
{
    struct ferry_vm *vm = *state;
    int64_t fd = CALL(vm, memfd_create, guest_string(vm, SCRATCH, "name"), 0), at;

    assert_int_equal(CALL(vm, ftruncate, (uint64_t)fd, 64 * PAGE), 0);
    at = CALL(vm, mmap, 0, 64 * PAGE, PROT_READ, MAP_SHARED, (uint64_t)fd, 0);
    assert_true(at > 0);
    for (uint64_t page = 0; page < 64 * PAGE; page += PAGE)
        assert_int_equal(CALL(vm, mmap, (uint64_t)at + page, PAGE, PROT_READ,
                              MAP_SHARED | MAP_FIXED, (uint64_t)fd, page),
                         (uint64_t)at + page);
    assert_int_equal(vm->linux_state->mapped_count, 1);
    assert_int_equal(CALL(vm, munmap, (uint64_t)at, 64 * PAGE), 0);
    assert_int_equal(vm->linux_state->mapped_count, 0);
}

/* An image of what the program could write is its own. */
static void test_memory_files_run(void **state)
{
    struct ferry_vm *vm = *state;
    int64_t fd = CALL(vm, memfd_create, guest_string(vm, SCRATCH, "name"), 0);

    assert_int_equal(
        CALL(vm, execveat, (uint64_t)fd, guest_string(vm, SCRATCH, ""), 0, 0, AT_EMPTY_PATH), 0);
    assert_int_equal(vm->execs, 1);
    assert_true(vm->exec_own);
}

/* What cannot be handed to the program is not left open. */
static void test_pairs_are_made_whole_or_not(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, pipe2, READ_ONLY, 0), -EFAULT);
    assert_int_equal(CALL(vm, socketpair, AF_UNIX, SOCK_STREAM, 0, NOWHERE), -EFAULT);
    for (uint64_t fd = 3; fd < 1023; fd++)
        assert_int_equal(CALL(vm, dup, 0), fd);
    assert_int_equal(CALL(vm, pipe, FDS), -EMFILE);
    assert_int_equal(CALL(vm, dup, 0), 1023);
    assert_int_equal(CALL(vm, eventfd2, 0, 0), -EMFILE);
}

/* Another thread closes what a call waits for: that stays until the call ends, and no longer. */
static void test_files_outlive_a_wait_for_them(void **state)
{
    struct ferry_vm *vm = *state;
    int64_t set = CALL(vm, epoll_create1, 0);
    int fds[2];

    assert_int_equal(CALL(vm, pipe, FDS), 0);
    memcpy(fds, guest(vm, FDS), sizeof fds);
    vm->closed_meanwhile = fds[0];
    assert_int_equal(CALL(vm, read, (uint64_t)fds[0], DATA, 8), -ETIMEDOUT);
    assert_int_equal(vm->closed_meanwhile, 0);
    assert_int_equal(CALL(vm, write, (uint64_t)fds[1], DATA, 8), -EPIPE);
    vm->closed_meanwhile = (int)set;
    assert_int_equal(CALL(vm, epoll_wait, (uint64_t)set, EVENT, 1, (uint32_t)-1), 0);
    assert_int_equal(CALL(vm, epoll_wait, (uint64_t)set, EVENT, 1, 0), -EBADF);
}

#define MESSAGES 6

static int sockets[MESSAGES][2];
static unsigned replaced;

static void make_sockets(struct ferry_vm *vm)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        assert_int_equal(CALL(vm, socketpair, AF_UNIX, SOCK_DGRAM, 0, FDS), 0);
        memcpy(sockets[i], guest(vm, FDS), sizeof sockets[i]);
    }
}

/* Puts the next socket in place of the one that is waited for, and sends to that one. */
static void replace_and_send(struct ferry_vm *vm)
{
    const uint64_t fd = (uint64_t)sockets[0][0];

    if (++replaced < MESSAGES)
        assert_int_equal(
            other_call(vm, SYS_dup2, (const uint64_t[6]){(uint64_t)sockets[replaced][0], fd}), fd);
    else
        assert_int_equal(other_call(vm, SYS_close, (const uint64_t[6]){fd}), 0);
    assert_int_equal(
        other_call(vm, SYS_write, (const uint64_t[6]){(uint64_t)sockets[0][1], DATA, replaced}),
        replaced);
}

/* A call for several messages works on the socket that it began with. */
static void test_several_messages_come_from_one_socket(void **state)
{
    struct ferry_vm *vm = *state;
    struct mmsghdr *messages = guest(vm, SCRATCH);
    struct iovec *piece = guest(vm, EVENT);

    make_sockets(vm);
    *piece = (struct iovec){(void *)DATA, 64};
    for (unsigned i = 0; i < MESSAGES; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = (void *)EVENT, .msg_iovlen = 1};
    replaced = 0;
    vm->waiting = replace_and_send;
    assert_int_equal(CALL(vm, recvmmsg, (uint64_t)sockets[0][0], SCRATCH, MESSAGES, 0, 0),
                     MESSAGES);
    vm->waiting = NULL;
    assert_int_equal(replaced, MESSAGES);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(messages[i].msg_len, i + 1);
    assert_int_equal(CALL(vm, recvmmsg, (uint64_t)sockets[0][0], SCRATCH, 1, 0, 0), -EBADF);
    assert_int_equal(CALL(vm, write, (uint64_t)sockets[0][1], DATA, 1), -ECONNREFUSED);
}

static void look_at_many(struct ferry_vm *vm)
{
    struct linux_state *linux_state = vm->linux_state;

    /* The call that waits has a file already. */
    for (unsigned i = 1; i < MESSAGES; i++) {
        struct open_file *file = descriptor_file(linux_state, (uint64_t)sockets[i][0]);

        assert_non_null(descriptor_look(linux_state, (uint64_t)sockets[i][0]));
        assert_ptr_equal(
            file, i < CALL_FILES ? descriptor_look(linux_state, (uint64_t)sockets[i][0]) : NULL);
    }
    assert_non_null(descriptor_file(linux_state, (uint64_t)sockets[1][0]));
    replaced++;
}

static int shut_socket;
static uint64_t shut_how;

static void shut_meanwhile(struct ferry_vm *vm)
{
    assert_int_equal(
        other_call(vm, SYS_shutdown, (const uint64_t[6]){(uint64_t)shut_socket, shut_how}), 0);
}

/* A write that waits for room ends when either side says that there will be no more of it. */
static void test_a_shutdown_ends_a_write(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    struct ferry_vm *vm = *state;
    int pair[2];

    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(
            CALL(vm, socketpair, AF_UNIX, (uint64_t)types[i / 2] | SOCK_NONBLOCK, 0, SCRATCH), 0);
        memcpy(pair, guest(vm, SCRATCH), sizeof(pair));
        while (CALL(vm, write, (uint64_t)pair[0], DATA, PAGE) > 0)
            ;
        assert_int_equal(CALL(vm, fcntl, (uint64_t)pair[0], F_SETFL, 0), 0);
        shut_socket = pair[i % 2];
        shut_how = i % 2 ? SHUT_RD : SHUT_WR;
        vm->waiting = shut_meanwhile;
        assert_int_equal(CALL(vm, sendto, (uint64_t)pair[0], DATA, PAGE, MSG_NOSIGNAL, 0, 0),
                         -EPIPE);
        vm->waiting = NULL;
    }
}

/* A call never gets a file that another thread could free meanwhile; those that need no such file
 * may be about more. */
static void test_calls_keep_all_files_that_they_get(void **state)
{
    struct ferry_vm *vm = *state;
    struct pollfd *entries = guest(vm, SCRATCH);

    make_sockets(vm);
    replaced = 0;
    vm->waiting = look_at_many;
    assert_int_equal(CALL(vm, read, (uint64_t)sockets[0][0], DATA, 1), -ETIMEDOUT);
    vm->waiting = NULL;
    assert_int_equal(replaced, 1);
    for (unsigned i = 0; i < MESSAGES; i++)
        entries[i] = (struct pollfd){.fd = sockets[i][0], .events = POLLOUT};
    assert_int_equal(CALL(vm, poll, SCRATCH, MESSAGES, 0), MESSAGES);
    assert_int_equal(CALL(vm, close_range, 3, 2 + 2 * MESSAGES, 0), 0);
    assert_int_equal(CALL(vm, poll, SCRATCH, MESSAGES, 0), MESSAGES);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(entries[i].revents, POLLNVAL);
}

static int64_t looked_at; /* the set that another thread changes */

/* Adds so much that the set moves, and takes out what was there. */
static void change_the_set(struct ferry_vm *vm)
{
    const struct epoll_event event = {.events = EPOLLIN};

    assert_int_equal(vm->polls, 0); /* nothing was looked at yet */
    for (int i = 0; i < 20; i++) {
        int64_t fd = other_call(vm, SYS_eventfd2, (const uint64_t[6]){1});

        memcpy(guest(vm, DATA), &event, sizeof event);
        assert_int_equal(
            other_call(vm, SYS_epoll_ctl,
                       (const uint64_t[6]){(uint64_t)looked_at, EPOLL_CTL_ADD, (uint64_t)fd, DATA}),
            0);
    }
    assert_int_equal(other_call(vm, SYS_close, (const uint64_t[6]){0}), 0);
    assert_int_equal(other_call(vm, SYS_close, (const uint64_t[6]){(uint64_t)looked_at}), 0);
}

/* The first look for input may wait, and others are served meanwhile: no set is looked at yet. */
static void test_the_first_look_holds_no_set(void **state)
{
    struct ferry_vm *vm = *state;
    int64_t outer = CALL(vm, epoll_create1, 0), inner;
    struct pollfd entry = {.events = POLLIN};

    for (int how = 0; how < 2; how++) {
        int64_t input =
            CALL(vm, openat, (uint64_t)AT_FDCWD, guest_string(vm, SCRATCH, "/dev/stdin"), O_RDONLY);

        inner = CALL(vm, epoll_create1, 0);
        assert_int_equal(watch(vm, inner, how ? input : 0, EPOLLIN), 0);
        assert_int_equal(watch(vm, outer, inner, EPOLLIN), 0);
        looked_at = inner;
        vm->polls = 0;
        vm->meanwhile = change_the_set;
        entry.fd = (int)outer;
        memcpy(guest(vm, EVENT), &entry, sizeof entry);
        if (how)
            assert_int_equal(CALL(vm, poll, EVENT, 1, 0), 0);
        else
            assert_int_equal(CALL(vm, epoll_wait, (uint64_t)outer, EVENT, 1, 0), 0);
        assert_null(vm->meanwhile);
        assert_int_equal(CALL(vm, dup2, (uint64_t)input, 0), 0);
    }
}

static void test_stop_ends_waits_for_objects(void **state)
{
    struct ferry_vm *vm = *state;
    int64_t set = CALL(vm, epoll_create1, 0), event = CALL(vm, eventfd2, 0, 0);
    int64_t filled = CALL(vm, eventfd2, 1, 0);

    vm->stop = true;
    *(uint64_t *)guest(vm, DATA) = UINT64_MAX - 1; /* there is room, but for less */
    assert_int_equal(CALL(vm, write, (uint64_t)filled, DATA, 8), -EINTR);
    assert_int_equal(CALL(vm, read, (uint64_t)event, DATA, 8), -EINTR);
    assert_int_equal(vm->next, LINUX_STOPPED);
    assert_int_equal(CALL(vm, epoll_wait, (uint64_t)set, EVENT, 1, (uint32_t)-1), -EINTR);
    assert_int_equal(vm->next, LINUX_STOPPED);
}

/* A thread that waits for a set sleeps on while others use what is not in it. */
static void test_a_set_is_woken_for_its_own(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t set = (uint64_t)CALL(vm, epoll_create1, 0), outer, second;
    uint32_t first;

    CALL(vm, epoll_wait, set, EVENT, 1, 1);
    assert_int_equal(vm->waits_for, WAKES_NONE);
    assert_int_equal(watch(vm, (int64_t)set, CALL(vm, eventfd2, 0, 0), EPOLLIN), 0);
    CALL(vm, epoll_wait, set, EVENT, 1, 1);
    first = vm->waits_for & ~WAKES_NONE;
    assert_int_equal(first & (first - 1), 0);
    assert_true(first);

    second = (uint64_t)CALL(vm, eventfd2, 0, 0);
    *(struct pollfd *)guest(vm, EVENT) = (struct pollfd){.fd = (int)second, .events = POLLIN};
    CALL(vm, poll, EVENT, 1, 1);
    uint32_t alone = vm->waits_for;
    assert_int_equal(watch(vm, (int64_t)set, (int64_t)second, EPOLLIN), 0);
    CALL(vm, epoll_wait, set, EVENT, 1, 1);
    assert_int_equal(vm->waits_for, first | alone);

    outer = (uint64_t)CALL(vm, epoll_create1, 0);
    assert_int_equal(watch(vm, (int64_t)outer, (int64_t)set, EPOLLIN), 0);
    CALL(vm, epoll_wait, outer, EVENT, 1, 1);
    assert_int_equal(vm->waits_for, WAKES_ALL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, linux_setup, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pipes_count_as_memory),
        TEST(test_lists_count_as_memory),
        TEST(test_none_is_opened_by_its_name),
        TEST(test_sets_within_sets_are_bounded),
        TEST(test_closed_files_leave_their_sets),
        TEST(test_pairs_are_made_whole_or_not),
        TEST(test_memory_files),
        TEST(test_memory_files_run),
        TEST(test_messages_of_live_memory),
        TEST(test_mappings_in_parts),
        TEST(test_files_outlive_a_wait_for_them),
        TEST(test_several_messages_come_from_one_socket),
        TEST(test_a_shutdown_ends_a_write),
        TEST(test_calls_keep_all_files_that_they_get),
        TEST(test_the_first_look_holds_no_set),
        TEST(test_stop_ends_waits_for_objects),
        TEST(test_a_set_is_woken_for_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
