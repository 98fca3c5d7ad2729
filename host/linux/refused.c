/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the record of what a program was refused: one line about the last thing that matters, with
 * the option that allows it. It is printed if the program fails. Names come from the program: they
 * are bounded and made fit to print.
 */
#include "linux/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "lib/rlimits.h"
#include "linux/linux.h"
#include "linux/writable.h"

static void keep(struct linux_state *state, bool probe, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void keep(struct linux_state *state, bool probe, const char *format, ...)
{
    struct refused *refused = &state->refused_last;
    va_list args;

    if (probe && refused->text[0] && !refused->probe)
        return;
    va_start(args, format);
    vsnprintf(refused->text, sizeof(refused->text), format, args);
    va_end(args);
    refused->probe = probe;
}

/* ---- files --------------------------------------------------------------- */

static void keep_name(struct current_call *given, const char *name)
{
    size_t i = 0;

    for (; i < sizeof(given->name) - 1 && name[i]; i++)
        given->name[i] = (char)(name[i] >= ' ' && name[i] < 127 && name[i] != '\'' ? name[i] : '?');
    given->name[i] = '\0';
}

void refused_name(struct linux_state *state, const char *name, bool relative)
{
    if (!state->thread->call)
        return; /* the program does not run yet */
    state->thread->call->relative = relative;
    if (relative)
        keep_name(state->thread->call, name);
}

void refused_path(struct linux_state *state, const char *path, bool outside, bool rooted)
{
    struct current_call *given = state->thread->call;

    if (!given)
        return; /* the program does not run yet */
    if (rooted)
        given->relative = false;
    if (!given->relative)
        keep_name(given, path);
    given->named = true;
    given->outside = outside;
}

/* The directory that --ro must name for the file to be found under the name it was asked by. */
static void holder(const struct current_call *given, bool file, char *directory, size_t bytes)
{
    const char *name = given->name, *slash = strrchr(name, '/');
    size_t length = slash ? (size_t)(slash - name) : 0;

    if (given->relative) {
        /* The working directory has to be in it as well, and is the program's then. */
        length = strspn(name, "./");
        while (length > 0 && (name[length - 1] == '/' || strncmp(name, "..", 2) != 0))
            length--;
        snprintf(directory, bytes, "%.*s", length ? (int)length : 1, length ? name : ".");
    } else if (length == 0) {
        /* What stands at the top and is not opened as a file will be a directory. */
        snprintf(directory, bytes, "%s", file ? "/" : name);
    } else {
        snprintf(directory, bytes, "%.*s", (int)length, name);
    }
}

/* Whether it is one of the files and directories, or below one. */
static bool is_among(const struct current_call *given, const char *const *paths)
{
    for (size_t i = 0; paths[i] && !given->relative; i++) {
        size_t bytes = strlen(paths[i]);

        if (strncmp(given->name, paths[i], bytes) == 0 &&
            (given->name[bytes] == '\0' || given->name[bytes] == '/'))
            return true;
    }
    return false;
}

/* Handles names that --ro never gives, and names that nobody needs; of the latter nothing is kept.
 * False: it is another name. */
static bool keep_usual(struct linux_state *state)
{
    static const char *const never_there[] = {"/proc", "/sys", "/dev", NULL};
    /* C libraries, libselinux, busybox and node look for these at each start, and nothing fails without them. */
    static const char *const customary[] = {
        "/etc/busybox.conf",
        "/etc/ld.so.cache",
        "/etc/ld.so.preload",
        "/etc/localtime",
        "/etc/TZ",
        "/etc/suid-debug",
        "/usr/share/zoneinfo",
        "/usr/share/locale",
        "/usr/lib/locale",
        "/etc/terminfo",
        "/lib/terminfo",
        "/usr/share/terminfo",
        "/etc/inputrc",
        "/proc/self/exe",
        "/sys/devices/system/cpu",
        "/sys/fs/cgroup",
        "/etc/selinux",
        "/selinux",
        NULL,
    };
    const struct current_call *given = state->thread->call;

    if (is_among(given, customary))
        return true;
    if (!is_among(given, never_there))
        return false;
    keep(state, true, "'%s', which a VM does not have", given->name);
    return true;
}

/* `option` of the directory that holds it allows what was asked for. */
static void keep_directory(struct linux_state *state, bool probe, const char *wanted,
                           const char *option, bool file)
{
    const struct current_call *given = state->thread->call;
    char directory[GIVEN_NAME_BYTES];

    holder(given, file, directory, sizeof(directory));
    const char *quote = directory[strcspn(directory, " \"$&();<>*?[\\`|~#")] ? "'" : "";

    if (strlen(given->name) == sizeof(given->name) - 1)
        keep(state, probe, "%s'%s...': %s of its directory allows it", wanted, given->name, option);
    else
        keep(state, probe, "%s'%s': %s %s%s%s allows it", wanted, given->name, option, quote,
             directory, quote);
}

/* The flags of a call that opens a file; O_PATH stands for none. */
static uint64_t open_flags(const struct linux_call *call)
{
    switch (call->number) {
    case SYS_open:
        return call->arg[1];
    case SYS_openat:
        return call->arg[2];
    case SYS_creat:
        return O_WRONLY;
    default:
        return O_PATH;
    }
}

/* Whether it is a call that changes names or attributes of files. */
static bool changes_files(const struct linux_call *call)
{
    static const uint16_t numbers[] = {
        SYS_mkdir,    SYS_mkdirat,   SYS_mknod,     SYS_mknodat,   SYS_rmdir,     SYS_unlink,
        SYS_unlinkat, SYS_rename,    SYS_renameat,  SYS_renameat2, SYS_link,      SYS_linkat,
        SYS_symlink,  SYS_symlinkat, SYS_truncate,  SYS_chmod,     SYS_fchmodat,  SYS_chown,
        SYS_lchown,   SYS_fchownat,  SYS_utimensat, SYS_utimes,    SYS_futimesat, SYS_utime,
    };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (call->number == numbers[i])
            return true;
    }
    return false;
}

static void look_at_change(struct linux_state *state, const struct linux_call *call)
{
    /* Programs use these to clean up after they failed, so they are not the reason. */
    bool probe = call->number == SYS_unlink || call->number == SYS_unlinkat;

    if (call->result != -EROFS && call->result != -EACCES)
        return;
    if (!keep_usual(state))
        keep_directory(state, probe, "to write ", "--rw", true);
}

static void look_at_file(struct linux_state *state, const struct linux_call *call)
{
    const struct current_call *given = state->thread->call;
    uint64_t flags = open_flags(call);
    bool file = !(flags & (O_PATH | O_DIRECTORY));

    if (changes_files(call) ||
        (file && ((flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC))))
        look_at_change(state, call);
    else if (call->result != -EACCES && !(given->outside && call->result == -ENOENT))
        return;
    else if (keep_usual(state))
        return;
    else if (given->outside)
        keep_directory(state, false, "", "--ro", file);
    else
        keep(state, false, "'%s': no regular file, or none that you may read", given->name);
}

void refused_room(struct linux_state *state, const struct writable *writable)
{
    if (writable->memory)
        keep(state, false, "room for files in memory: a --mem larger than %llu MiB allows it",
             (unsigned long long)vm_space(state->vm)->limit_bytes >> 20);
    else
        keep(state, false, "to write more: a --rw-limit larger than %llu KiB allows it",
             (unsigned long long)writable->limit_bytes >> 10);
}

/* ---- memory -------------------------------------------------------------- */

static void look_at_memory(struct linux_state *state, uint64_t bytes)
{
    const struct space *space = vm_space(state->vm);

    if (bytes > space->limit_bytes || space_used_by_all(space) > space->limit_bytes - bytes) {
        keep(state, false, "%llu KiB more of memory: a --mem larger than %llu MiB allows it",
             (unsigned long long)bytes >> 10, (unsigned long long)space->limit_bytes >> 20);
    } else if (!state->refused_last.looked_at_host) {
        /* Once, as it takes a while, and the program chooses how often it asks. */
        const char *advice = rlimits_of_memory();

        state->refused_last.looked_at_host = true;
        if (advice)
            keep(state, false, "%llu KiB more of memory by the host: %s",
                 (unsigned long long)bytes >> 10, advice);
    }
}

/* ---- calls --------------------------------------------------------------- */

static bool wants_thread(const struct linux_call *call)
{
    return (call->number == SYS_clone || call->number == SYS_clone3) && call->result == -EAGAIN &&
           (call->number == SYS_clone3 || call->arg[0] & CLONE_THREAD);
}

/* One without memory for it is refused as well. */
static bool wants_process(const struct linux_call *call)
{
    bool forks = call->number == SYS_fork || call->number == SYS_vfork || call->number == SYS_clone;

    return forks && (call->result == -EAGAIN || call->result == -ENOMEM);
}

static void look_at_call(struct linux_state *state, const struct linux_call *call)
{
    switch (call->number) {
    case SYS_clone:
    case SYS_clone3:
        keep(state, false, "a process that shares more with others than its files");
        break;
    case SYS_socket:
        /* Name services and agents are asked by sockets of AF_UNIX, and done without. */
        keep(state, (uint32_t)call->arg[0] == AF_UNIX,
             "a socket: a VM has no network, and no option gives it one");
        break;
    default:
        keep(state, false, "the system call %s, which a VM does not have",
             linux_call_name(call->number));
    }
}

void refused_look(struct linux_state *state, const struct linux_call *call, bool never)
{
    if (call->number == SYS_brk && call->arg[0] > (uint64_t)call->result)
        look_at_memory(state, call->arg[0] - (uint64_t)call->result);
    else if (call->number == SYS_mmap && call->result == -ENOMEM)
        look_at_memory(state, call->arg[1]);
    else if (call->number == SYS_mremap && call->result == -ENOMEM)
        look_at_memory(state, call->arg[2]);
    else if (wants_thread(call))
        keep(state, false, "another thread: it has as many as --threads allows, or the host");
    else if (wants_process(call))
        keep(
            state, false,
            "another process: it has as many as --procs allows, or as much memory as --mem allows, "
            "or the "
            "host");
    else if (never ||
             ((call->number == SYS_clone || call->number == SYS_clone3) && call->result == -ENOSYS))
        look_at_call(state, call);
    else if (state->thread->call->named && call->result < 0)
        look_at_file(state, call);
}

const char *linux_refused(const struct linux_state *state)
{
    return state->refused_last.text[0] ? state->refused_last.text : NULL;
}
