/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the calls of the host on files of its file systems, and the processes that make those which
 * may never be answered. */
#include "host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../thread.h"
#include "state.h"

/* What one call of a process reads at most. */
#define ERRAND_BYTES (1u << 20)

/* Newer than the headers of Debian 12, or in none. */
#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif
#define EXFAT_MAGIC    0x2011bab0
#define BCACHEFS_MAGIC 0xca451a4e
#define NTFS3_MAGIC    0x7366746e
#define UDF_MAGIC      0x15013346
#define ZFS_MAGIC      0x2fc12fc1
#define AUTOFS_MAGIC   0x0187
#define EFIVARS_MAGIC  0xde5e81e4
#define CEPH_MAGIC     0x00c36400
#define NFS_MAGIC      0x6969
#define FUSE_MAGIC     0x65735546
#define SMB2_MAGIC     0xfe534d42
#define CIFS_MAGIC     0xff534d42

/* ---- file systems -------------------------------------------------------- */

/* On a disk of this machine or in its memory. */
static bool type_is_local(uint32_t type)
{
    static const uint32_t local[] = {
        EXT4_SUPER_MAGIC,
        XFS_SUPER_MAGIC,
        BTRFS_SUPER_MAGIC,
        F2FS_SUPER_MAGIC,
        TMPFS_MAGIC,
        RAMFS_MAGIC,
        OVERLAYFS_SUPER_MAGIC,
        SQUASHFS_MAGIC,
        EROFS_SUPER_MAGIC_V1,
        ISOFS_SUPER_MAGIC,
        MSDOS_SUPER_MAGIC,
        EXFAT_MAGIC,
        BCACHEFS_MAGIC,
        NTFS3_MAGIC,
        UDF_MAGIC,
        ZFS_MAGIC,
    };

    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        if (local[i] == type)
            return true;
    }
    return false;
}

/* The file systems that hold no files but the kernel's own state have no blocks at all. Reading
 * there may wait, take away what others want to read, or show the host's processes. Of real ones
 * only some tell no size. sysfs is let through: programs count processors there, and its files
 * are plain values. */
static bool is_pseudo(const struct statfs *fs)
{
    static const uint32_t without_size[] = {
        SYSFS_MAGIC, FUSE_MAGIC, NFS_MAGIC,    SMB2_MAGIC,       CIFS_MAGIC,
        CEPH_MAGIC,  V9FS_MAGIC, AFS_FS_MAGIC, CODA_SUPER_MAGIC, AUTOFS_MAGIC,
    };
    uint32_t type = (uint32_t)fs->f_type;

    if (type == PROC_SUPER_MAGIC || type == EFIVARS_MAGIC)
        return true;
    if (fs->f_blocks || type_is_local(type))
        return false;
    for (size_t i = 0; i < sizeof(without_size) / sizeof(without_size[0]); i++) {
        if (without_size[i] == type)
            return false;
    }
    return true;
}

/* ---- the calls ----------------------------------------------------------- */

static int open_below(const struct host_call *call)
{
    const struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | (call->follow ? 0 : O_NOFOLLOW),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                   (call->here ? RESOLVE_NO_XDEV | RESOLVE_CACHED : 0),
    };

    /* EAGAIN: something was renamed on the way, so the kernel could not be sure; or it would
     * have to wait. */
    for (int attempt = 0; attempt < (call->here ? 1 : 16); attempt++) {
        long fd = syscall(SYS_openat2, call->fd, *call->path ? call->path : ".", &how, sizeof(how));

        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN)
            break;
    }
    return -errno;
}

/* Only files and directories: no devices, FIFOs or sockets, and nothing of pseudo file systems. */
static int check_kind(struct host_call *call, int fd)
{
    if (fstat(fd, &call->stat) || (!call->here && fstatfs(fd, &call->fs)))
        return -EIO;
    call->local = call->here || type_is_local((uint32_t)call->fs.f_type);
    if (!call->here && is_pseudo(&call->fs))
        return -EACCES;
    return S_ISDIR(call->stat.st_mode) || S_ISREG(call->stat.st_mode) ||
                   (!call->follow && S_ISLNK(call->stat.st_mode))
               ? 0
               : -EACCES;
}

static int look_up(struct host_call *call)
{
    int fd = open_below(call), err;

    if (fd < 0)
        return fd;
    err = check_kind(call, fd);
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}

/* What an O_PATH descriptor stands for. */
static int open_anew(const struct host_call *call)
{
    char name[sizeof("/proc/self/fd/") + 3 * sizeof(int)];

    snprintf(name, sizeof(name), "/proc/self/fd/%d", call->fd);
    return open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | call->number);
}

static int64_t read_entries(struct host_call *call, int fd)
{
    int64_t got;

    if (lseek(fd, call->offset, SEEK_SET) < 0)
        return -1;
    got = syscall(SYS_getdents64, fd, call->to, call->bytes);
    call->offset = lseek(fd, 0, SEEK_CUR);
    return got;
}

/* What needs an open file. */
static int64_t call_on_open(struct host_call *call, int fd)
{
    switch (call->op) {
    case HOST_READ:
        return pread(fd, call->to, call->bytes, call->offset);
    case HOST_ENTRIES:
        return read_entries(call, fd);
    case HOST_SEEK:
        return lseek(fd, call->offset, call->number);
    default:
        return 0;
    }
}

static int64_t make_call(struct host_call *call, bool apart)
{
    int64_t result = -1;
    int fd;

    switch (call->op) {
    case HOST_LOOK_UP:
        return look_up(call);
    case HOST_ACCESS:
        result = syscall(SYS_faccessat2, call->fd, "", call->number, AT_EMPTY_PATH);
        break;
    case HOST_READLINK:
        result = readlinkat(call->fd, "", call->to, call->bytes);
        break;
    case HOST_STAT:
        result = fstat(call->fd, &call->stat);
        break;
    case HOST_STATFS:
        result = fstatfs(call->fd, &call->fs);
        break;
    default:
        fd = apart || call->op == HOST_OPEN ? open_anew(call) : call->fd;
        if (fd >= 0)
            result = call->op == HOST_OPEN && !apart ? fd : call_on_open(call, fd);
    }
    return result < 0 ? -errno : result;
}

static void perform(struct host_call *call, bool apart)
{
    call->result = make_call(call, apart);
    if (call->result == -EINTR)
        call->result = -EIO; /* here -EINTR means that the VM is to stop */
}

/* ---- the processes ------------------------------------------------------- */

#define APART_STACK_BYTES (64u << 10)

/* A call that a process makes and a thread waits for. It belongs to the thread once the VM has
 * given it up. */
struct errand {
    struct host_call call;
    struct ferry_vm *vm;
    int ends[2];          /* a descriptor that was found comes through here */
    pthread_mutex_t lock; /* given_up; done is set under it */
    atomic_bool done;
    bool given_up;
    _Alignas(16) char stack[APART_STACK_BYTES];
    char memory[]; /* the path, and what is read */
};

static void errand_free(struct errand *errand)
{
    pthread_mutex_destroy(&errand->lock);
    close(errand->ends[0]);
    close(errand->ends[1]);
    close(errand->call.fd);
    free(errand);
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

/* The process. If it is never answered it stays behind, so it holds none of our pipes or VMs. */
static int apart_main(void *arg)
{
    struct errand *errand = arg;
    unsigned fd = (unsigned)errand->call.fd, end = (unsigned)errand->ends[1];
    unsigned first = fd < end ? fd : end, second = fd < end ? end : fd;

    if (first)
        syscall(SYS_close_range, 0, first - 1, 0);
    if (first + 1 < second)
        syscall(SYS_close_range, first + 1, second - 1, 0);
    syscall(SYS_close_range, second + 1, ~0u, 0);
    perform(&errand->call, true);
    if (errand->call.op == HOST_LOOK_UP && errand->call.result >= 0)
        send_descriptor(errand->ends[1], (int)errand->call.result);
    _exit(0);
}

/* The thread sleeps while the process is there, as after vfork: until then it lends it its errno,
 * and is ended at once when our process is. */
static void perform_apart(struct errand *errand)
{
    int pid = clone(apart_main, errand->stack + APART_STACK_BYTES, CLONE_VM | CLONE_VFORK, errand);

    if (pid < 0) {
        errand->call.result = -ENOMEM;
        return;
    }
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    if (errand->call.op == HOST_LOOK_UP && errand->call.result >= 0)
        errand->call.result = receive_descriptor(errand->ends[0]);
}

static void *errand_run(void *arg)
{
    struct errand *errand = arg;

    perform_apart(errand);
    pthread_mutex_lock(&errand->lock);
    bool given_up = errand->given_up;
    if (!given_up) {
        atomic_store(&errand->done, true);
        vm_wake(errand->vm); /* it is there until it takes the lock */
    }
    pthread_mutex_unlock(&errand->lock);
    if (given_up) {
        if (errand->call.op == HOST_LOOK_UP && errand->call.result >= 0)
            close((int)errand->call.result);
        errand_free(errand);
    }
    return NULL;
}

/* With a descriptor of its own: the program may have closed the file when the thread gets to it. */
static struct errand *errand_new(struct ferry_vm *vm, const struct host_call *call)
{
    size_t path_bytes = call->path ? strlen(call->path) + 1 : 0;
    size_t bytes = call->bytes < ERRAND_BYTES ? call->bytes : ERRAND_BYTES;
    struct errand *errand = malloc(sizeof(*errand) + path_bytes + bytes);

    if (!errand)
        return NULL;
    errand->call = *call;
    errand->vm = vm;
    errand->given_up = false;
    atomic_init(&errand->done, false);
    errand->call.fd = fcntl(call->fd, F_DUPFD_CLOEXEC, 0);
    if (errand->call.fd < 0 ||
        socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, errand->ends) < 0) {
        if (errand->call.fd >= 0)
            close(errand->call.fd);
        free(errand);
        return NULL;
    }
    if (path_bytes)
        errand->call.path = memcpy(errand->memory, call->path, path_bytes);
    errand->call.to = errand->memory + path_bytes;
    errand->call.bytes = bytes;
    pthread_mutex_init(&errand->lock, NULL);
    return errand;
}

/* It is done: what it found becomes the caller's. */
static void take_result(struct host_call *call, const struct errand *errand)
{
    call->result = errand->call.result;
    call->local = errand->call.local;
    call->offset = errand->call.offset;
    call->stat = errand->call.stat;
    call->fs = errand->call.fs;
    /* Within call->bytes, which the errand's are at most. */
    if (call->to && call->result > 0)
        memcpy(call->to, errand->call.to, (size_t)call->result);
}

static int64_t send_errand(struct linux_state *state, struct host_call *call)
{
    struct errand *errand = errand_new(state->vm, call);
    pthread_t thread;

    if (!errand)
        return -ENOMEM;
    if (thread_start(&thread, NULL, errand_run, errand) < 0) {
        errand_free(errand);
        return -ENOMEM;
    }
    pthread_detach(thread);
    vm_await(state->vm, &errand->done);
    pthread_mutex_lock(&errand->lock);
    errand->given_up = !atomic_load(&errand->done);
    bool given_up = errand->given_up;
    pthread_mutex_unlock(&errand->lock);
    if (given_up)
        return -EINTR; /* the thread frees it */
    take_result(call, errand);
    errand_free(errand);
    return call->result;
}

int64_t host_file_call(struct linux_state *state, bool local, struct host_call *call)
{
    if (!local)
        return send_errand(state, call);
    perform(call, false);
    return call->result;
}
