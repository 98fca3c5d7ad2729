/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the making of directories in memory. They are in a tmpfs that is mounted nowhere: it exists
 * as long as somebody has a descriptor of it, so nothing has to be removed, whatever ends our
 * process. The kernel lets root make one, and anybody in a user name space of his own, for which a
 * process that shares our memory and descriptors is enough. Where neither is allowed the directory
 * is one of /dev/shm, and a shell that waits for our end removes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linux/state.h"
#include "linux/writable.h"

/* ---- a file system of its own -------------------------------------------- */

static int set_option(int fs, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, text, 0);
}

/* A descriptor of its top directory, or a negative errno. */
static int mount_memory(uint64_t limit_bytes)
{
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), top = -1;

    if (fs < 0)
        return -errno;
    if (!set_option(fs, "size", limit_bytes) &&
        !set_option(fs, "nr_inodes", limit_bytes / 1024 + 16) &&
        !syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0700", 0) &&
        !syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        top = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
    if (top < 0)
        top = -errno;
    close(fs);
    return top;
}

#define MAKER_STACK_BYTES (64u << 10)

struct maker {
    uint64_t limit_bytes;
    uid_t uid;
    gid_t gid;
    int result;
    _Alignas(16) char stack[MAKER_STACK_BYTES];
};

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return done;
}

/* The user of our process has to exist in the new name space, or could make no files there. */
static int maker_main(void *arg)
{
    struct maker *maker = arg;
    char users[32], groups[32];

    snprintf(users, sizeof(users), "%u %u 1", maker->uid, maker->uid);
    snprintf(groups, sizeof(groups), "%u %u 1", maker->gid, maker->gid);
    if (write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", users) &&
        write_text("/proc/self/gid_map", groups))
        maker->result = mount_memory(maker->limit_bytes);
    _exit(0);
}

/* The C library's clone by its other name; see helper.c. */
int __clone(int (*run)(void *), void *stack, int flags, void *arg, ...); /* NOLINT */

static int mount_by_maker(uint64_t limit_bytes)
{
    struct maker *maker = malloc(sizeof(*maker));
    int pid, result;

    if (!maker)
        return -ENOMEM;
    maker->limit_bytes = limit_bytes;
    maker->uid = geteuid();
    maker->gid = getegid();
    maker->result = -EPERM;
    /* We sleep until it ends, as after vfork. */
    pid = __clone(maker_main, maker->stack + MAKER_STACK_BYTES,
                  CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_NEWUSER | CLONE_NEWNS, maker);
    result = pid < 0 ? -errno : 0;
    while (pid >= 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    if (!result)
        result = maker->result;
    free(maker);
    return result;
}

/* ---- a directory of /dev/shm --------------------------------------------- */

/* Removes its argument when the other end of its input is closed. A first shell ends at once, so
 * that we can wait for it; the one that stays is nobody's child. */
static const char remover[] = "(trap '' HUP INT TERM; cd / && read x; rm -rf -- \"$1\") <&3 3<&- "
                              ">/dev/null 2>&1 &";

static int start_remover(const char *directory, int end)
{
    char *const argv[] = {"sh", "-c", (char *)remover, "sh", (char *)directory, NULL};
    char *const envp[] = {"PATH=/usr/bin:/bin", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid;
    int result;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_adddup2(&actions, end, 3);
    posix_spawn_file_actions_addclosefrom_np(&actions, 4);
    result = posix_spawn(&pid, "/bin/sh", &actions, &attributes, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (result)
        return -result;
    while (waitpid(pid, &result, 0) < 0 && errno == EINTR)
        ;
    return result ? -EPERM : 0;
}

static int make_in_shm(struct writable *writable)
{
    char directory[] = "/dev/shm/ferry-XXXXXX";
    int ends[2], result;

    if (!mkdtemp(directory))
        return -errno;
    if (pipe2(ends, O_CLOEXEC)) {
        rmdir(directory);
        return -EMFILE;
    }
    result = start_remover(directory, ends[0]);
    close(ends[0]);
    if (!result)
        result = open(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (result == -1)
        result = -errno;
    if (result < 0) {
        close(ends[1]);
        rmdir(directory);
        return result;
    }
    writable->lifeline = ends[1];
    return result;
}

int private_make(struct linux_state *state, struct writable *writable)
{
    int top = mount_memory(writable->limit_bytes);

    if (top < 0)
        top = mount_by_maker(writable->limit_bytes);
    writable->memory = true;
    if (top < 0) {
        vm_debug(state->vm, "no file system in memory can be made (%s): /dev/shm is used",
                 strerror(-top));
        return make_in_shm(writable);
    }
    writable->kernel = fcntl(top, F_DUPFD_CLOEXEC, 0);
    if (writable->kernel < 0) {
        close(top);
        return -EMFILE;
    }
    return top;
}
