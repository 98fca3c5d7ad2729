/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the helper processes. Each makes one call of the host that may never be answered. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/lock.h"
#include "lib/thread.h"
#include "linux/host_file.h"
#include "linux/state.h"

/* The most bytes that one call of a helper reads. */
#define HELPER_BYTES (1u << 20)
/* The most helpers that work for one VM at a time; further calls wait. */
#define HELPERS_MAX 16

/* The C library's clone by its other name. ThreadSanitizer intercepts the first name and would
 * treat a process that shares our memory as a fork. */
int __clone(int (*run)(void *), void *stack, int flags, void *arg, ...); /* NOLINT */

#define HELPER_STACK_BYTES (64u << 10)

/* A call that a helper process makes. A thread waits for the process, and the VM for the thread.
 * Once the VM has abandoned the call, the thread frees this. */
struct helper {
    struct host_call call;
    struct ferry_vm *vm;
    int ends[2];      /* a descriptor that was found comes through here */
    struct lock lock; /* abandoned; done is set under it */
    atomic_bool done;
    bool abandoned;
    _Alignas(16) char stack[HELPER_STACK_BYTES];
    char memory[]; /* the path, and the bytes that are read */
};

static void helper_free(struct helper *helper)
{
    lock_fini(&helper->lock);
    close(helper->ends[0]);
    close(helper->ends[1]);
    close(helper->call.fd);
    if (helper->call.path2)
        close(helper->call.fd2);
    free(helper);
}

/* Whether the result of the call is a descriptor. */
static bool gives_descriptor(const struct host_call *call)
{
    return (call->op == HOST_LOOK_UP || call->op == HOST_CREATE) && call->result >= 0;
}

union descriptor_space {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr header;
};

static void send_descriptor(int socket, int fd)
{
    union descriptor_space space = {0};
    char byte = 0;
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space)};

    space.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&space.header), &fd, sizeof(fd));
    sendmsg(socket, &message, 0);
}

static int receive_descriptor(int socket)
{
    union descriptor_space space = {0};
    char byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space)};
    int fd;

    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0 ||
        !CMSG_FIRSTHDR(&message) || space.header.cmsg_type != SCM_RIGHTS)
        return -EIO;
    memcpy(&fd, CMSG_DATA(&space.header), sizeof(fd));
    return fd;
}

/* Closes all descriptors but these; -1 stands for none. */
static void close_others(const int *keep, size_t count)
{
    unsigned from = 0;

    while (from != UINT_MAX) {
        unsigned next = UINT_MAX; /* the lowest one to keep from there on */

        for (size_t i = 0; i < count; i++) {
            if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
                next = (unsigned)keep[i];
        }
        if (next > from)
            syscall(SYS_close_range, from, next == UINT_MAX ? next : next - 1, 0);
        from = next == UINT_MAX ? next : next + 1;
    }
}

/* The helper process. If its call is never answered it stays behind, so it must hold none of our
 * pipes or VMs. */
static int helper_main(void *arg)
{
    struct helper *helper = arg;
    int keep[] = {helper->call.fd, helper->ends[1], helper->call.path2 ? helper->call.fd2 : -1};

    close_others(keep, sizeof(keep) / sizeof(keep[0]));
    host_call_make(&helper->call, true);
    if (gives_descriptor(&helper->call))
        send_descriptor(helper->ends[1], (int)helper->call.result);
    /* Not _exit, which a sanitizer takes for the end of our process. */
    syscall(SYS_exit_group, 0);
    return 0;
}

/* The thread sleeps until the helper ends, as after vfork. Meanwhile the helper uses the errno of
 * this thread. The thread does not keep our process from ending. Fills in what the process took. */
static void run_helper(struct helper *helper, struct rusage *used)
{
    int pid =
        __clone(helper_main, helper->stack + HELPER_STACK_BYTES, CLONE_VM | CLONE_VFORK, helper);

    if (pid < 0) {
        helper->call.result = -ENOMEM;
        return;
    }
    while (wait4(pid, NULL, __WALL, used) < 0 && errno == EINTR)
        ;
    if (gives_descriptor(&helper->call))
        helper->call.result = receive_descriptor(helper->ends[0]);
}

static uint64_t nanoseconds_of(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_usec * 1000u;
}

static void *helper_thread(void *arg)
{
    struct helper *helper = arg;
    struct rusage used = {0};

    run_helper(helper, &used);
    lock_take(&helper->lock);
    bool abandoned = helper->abandoned;
    if (!abandoned) {
        vm_took_cpu(helper->vm, clock_thread_ns() + nanoseconds_of(&used.ru_utime) +
                                    nanoseconds_of(&used.ru_stime));
        atomic_store(&helper->done, true);
        vm_wake_for(
            helper->vm,
            wakes_of(&helper->done)); /* the VM is there: it takes the lock before it goes on */
    }
    lock_drop(&helper->lock);
    if (abandoned) {
        if (gives_descriptor(&helper->call))
            close((int)helper->call.result);
        helper_free(helper);
    }
    return NULL;
}

/* Duplicates the descriptors: the program may close the file before the thread gets to it. */
static bool helper_descriptors(struct helper *helper, const struct host_call *call)
{
    helper->call.fd = fcntl(call->fd, F_DUPFD_CLOEXEC, 0);
    if (call->path2)
        helper->call.fd2 = fcntl(call->fd2, F_DUPFD_CLOEXEC, 0);
    if (helper->call.fd >= 0 && (!call->path2 || helper->call.fd2 >= 0) &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, helper->ends) == 0)
        return true;
    if (helper->call.fd >= 0)
        close(helper->call.fd);
    if (call->path2 && helper->call.fd2 >= 0)
        close(helper->call.fd2);
    return false;
}

static struct helper *helper_new(struct ferry_vm *vm, const struct host_call *call)
{
    size_t path_bytes = call->path ? strlen(call->path) + 1 : 0;
    size_t path2_bytes = call->path2 ? strlen(call->path2) + 1 : 0;
    size_t bytes =
        call->bytes < HELPER_BYTES || call->op == HOST_ALLOCATE ? call->bytes : HELPER_BYTES;
    size_t buffer_bytes = call->to || call->from ? bytes : 0;
    struct helper *helper = malloc(sizeof(*helper) + path_bytes + path2_bytes + buffer_bytes);

    if (!helper)
        return NULL;
    helper->call = *call;
    helper->vm = vm;
    helper->abandoned = false;
    atomic_init(&helper->done, false);
    if (!helper_descriptors(helper, call)) {
        free(helper);
        return NULL;
    }
    if (path_bytes)
        helper->call.path = memcpy(helper->memory, call->path, path_bytes);
    if (path2_bytes)
        helper->call.path2 = memcpy(helper->memory + path_bytes, call->path2, path2_bytes);
    helper->call.to = helper->memory + path_bytes + path2_bytes;
    if (call->from)
        helper->call.from = memcpy(helper->call.to, call->from, bytes);
    helper->call.bytes = bytes;
    lock_init(&helper->lock, LOCK_LEAF);
    return helper;
}

/* The call is done: its results become the caller's. */
static void take_result(struct host_call *call, const struct helper *helper)
{
    call->result = helper->call.result;
    call->local = helper->call.local;
    call->offset = helper->call.offset;
    call->stat = helper->call.stat;
    call->fs = helper->call.fs;
    call->grown = helper->call.grown;
    /* Within call->bytes, which the helper's are at most. */
    if (call->to && call->result > 0 &&
        !vm_still_has(helper->vm, call->to, (uint64_t)call->result, true))
        call->result = -EFAULT; /* another thread unmapped it meanwhile */
    else if (call->to && call->result > 0)
        memcpy(call->to, helper->call.to, (size_t)call->result);
}

static bool may_help(void *arg, uint64_t *again_ns)
{
    (void)again_ns;
    return ((const struct linux_state *)arg)->common->helpers < HELPERS_MAX;
}

/* Takes a place, once there is one, before anything is held for the call: who waits holds nothing. */
static int take_place(struct linux_state *state, const struct host_call *call)
{
    if (vm_wait(state->vm, may_help, state, UINT64_MAX) || vm_stopping(state->vm))
        return -EINTR;
    if (call->from && !vm_still_has(state->vm, call->from, call->bytes, false))
        return -EFAULT; /* another thread unmapped it meanwhile */
    state->common->helpers++;
    return 0;
}

static void give_place_back(struct linux_state *state)
{
    if (state->common->helpers-- == HELPERS_MAX)
        vm_wake(state->vm); /* who waits for a helper */
}

/* Makes the call in the place that was taken. What was abandoned keeps its place: the program ends, or
 * it does not yet, and must not leave one behind after the other. */
static int64_t call_in_place(struct linux_state *state, struct host_call *call)
{
    struct helper *helper = helper_new(state->vm, call);
    pthread_t thread;
    bool abandoned;

    if (!helper || thread_start(&thread, NULL, helper_thread, helper) < 0) {
        if (helper)
            helper_free(helper);
        give_place_back(state);
        return -ENOMEM;
    }
    pthread_detach(thread);
    vm_await(state->vm, &helper->done);
    lock_take(&helper->lock);
    abandoned = helper->abandoned = !atomic_load(&helper->done);
    lock_drop(&helper->lock);
    if (abandoned)
        return -EINTR; /* the thread frees it */
    give_place_back(state);
    take_result(call, helper);
    helper_free(helper);
    return call->result;
}

int64_t host_call_by_helper(struct linux_state *state, struct host_call *call)
{
    bool *patient = &state->thread->signals.patient, before = *patient;
    int64_t result;

    *patient = true; /* as Linux waits for a disk */
    result = take_place(state, call);
    if (!result)
        result = call_in_place(state, call);
    *patient = before;
    return result;
}
