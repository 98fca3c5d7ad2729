/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threat: a program that makes calls for files in any order, to have one that answers otherwise than
 * Linux does, so that a program that is right on Linux loses or reveals data, or that works on another
 * file than the one that is meant, or outside of the directory that was given.
 *
 * An input is a list of calls. Each is made by the personality, without KVM, in a directory that --rw
 * names, and by this process in another directory. Results, errors and data must be the same, and in the
 * end so must the two trees be; a file beside the directory is as it was.
 *
 * Not here: modes and users, as this process may be root; times, inodes; calls that wait; which of two errors a
 * call that is wrong in two ways has; names that lead out of the directory, locks, files in memory.
 */
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuzz.h"

#define STEPS 40

static uint64_t take_file(struct fuzz *fuzz)
{
    return fuzz_below(fuzz, SLOTS);
}

static int64_t take_offset(struct fuzz *fuzz)
{
    uint8_t kind = fuzz_byte(fuzz);

    return kind < 128 ? kind : kind < 144 ? kind - 144 : (int64_t)(fuzz_bytes(fuzz, 2) * 2);
}

static uint64_t take_length(struct fuzz *fuzz)
{
    uint8_t kind = fuzz_byte(fuzz);

    return kind < 200 ? kind : (kind - 199u) * 128;
}

/* ---- names ------------------------------------------------------------------ */

/* The last ones name no entry of a directory: changes of such fail, and which of two errors they fail with
 * is not compared. */
static const char *const names[] = {"a",   "b",   "c",    "d",   "e",   "l",      "d/x",
                                    "d/y", "e/x", "e/y",  "a/x", "l/x", "d/../b", "d//x",
                                    "./a", "d/.", "d/..", "",    "c/",  "d/"};
#define NAMES   (sizeof names / sizeof names[0])
#define ENTRIES (NAMES - 5)

static const char *take_name(struct fuzz *fuzz)
{
    return names[fuzz_below(fuzz, NAMES)];
}

static const char *take_entry(struct fuzz *fuzz)
{
    return names[fuzz_below(fuzz, ENTRIES)];
}

static void call_open(struct fuzz *fuzz)
{
    static const int further[] = {O_CREAT,    O_EXCL,      O_TRUNC,   O_APPEND,
                                  O_NOFOLLOW, O_DIRECTORY, O_CLOEXEC, O_PATH};
    uint8_t at = (uint8_t)fuzz_below(fuzz, NAMES);
    uint8_t bits = fuzz_byte(fuzz);
    int flags = (int)fuzz_below(fuzz, 3) | O_NONBLOCK;

    for (int i = 0; i < 8; i++)
        flags |= bits >> i & 1 ? further[i] : 0;
    if (flags & O_CREAT && flags & O_DIRECTORY)
        flags &= ~O_DIRECTORY; /* kernels differ */
    if (at >= ENTRIES)
        flags &= ~O_CREAT;
    slots_add(both_open("open", call_both("open", SYS_open, name_of(0, names[at]),
                                          with((uint64_t)flags), with(0644), NONE)));
}

static void call_unlink(struct fuzz *fuzz)
{
    call_both("unlink", SYS_unlink, name_of(0, take_entry(fuzz)), NONE, NONE, NONE);
}

static void call_rmdir(struct fuzz *fuzz)
{
    call_both("rmdir", SYS_rmdir, name_of(0, take_entry(fuzz)), NONE, NONE, NONE);
}

static void call_mkdir(struct fuzz *fuzz)
{
    call_both("mkdir", SYS_mkdir, name_of(0, take_entry(fuzz)), with(0755), NONE, NONE);
}

static void call_rename(struct fuzz *fuzz)
{
    const char *from = take_entry(fuzz), *to = take_entry(fuzz);

    /* A directory may move down, but never up, and two may change places: CAVEATS. */
    if ((strchr(from, '/') || strchr(to, '/')) && (is_directory(from) || is_directory(to)))
        return;
    call_five("renameat2", SYS_renameat2, name_of(0, from), name_of(1, to),
              fuzz_below(fuzz, 4) /* NOREPLACE 1, EXCHANGE 2 */);
}

static void call_link(struct fuzz *fuzz)
{
    const char *from = take_entry(fuzz), *to = take_entry(fuzz);

    call_both("link", SYS_link, name_of(0, from), name_of(1, to), NONE, NONE);
}

static void call_symlink(struct fuzz *fuzz)
{
    static const char *const targets[] = {"a", "b", "d", "d/x", "e", "l", "nothing", "./a"};
    const char *target = targets[fuzz_below(fuzz, 8)];

    call_both("symlink", SYS_symlink, text_of(1, target), name_of(0, take_entry(fuzz)), NONE, NONE);
}

static void call_readlink(struct fuzz *fuzz)
{
    const char *name = take_name(fuzz);
    uint64_t length = take_length(fuzz) % 64;

    buffer_fill(0xee);
    call_both("readlink", SYS_readlink, name_of(0, name), buffer(), with(length), NONE);
    buffer_compare("readlink");
}

static void call_truncate(struct fuzz *fuzz)
{
    const char *name = take_name(fuzz);

    call_both("truncate", SYS_truncate, name_of(0, name), with((uint64_t)take_offset(fuzz)), NONE,
              NONE);
}

static void call_stat(struct fuzz *fuzz)
{
    const char *name = take_name(fuzz);
    bool link = fuzz_byte(fuzz) & 1;

    buffer_fill(0);
    call_both("stat", link ? SYS_lstat : SYS_stat, name_of(0, name), buffer(), NONE, NONE);
    stat_compare();
}

/* ---- descriptors ------------------------------------------------------------ */

static void call_close(struct fuzz *fuzz)
{
    uint64_t slot = take_file(fuzz);

    call_both("close", SYS_close, slot_of(slot), NONE, NONE, NONE);
    slots_drop(slot);
}

static void call_read(struct fuzz *fuzz)
{
    struct word file = slot_of(take_file(fuzz));

    buffer_fill(0xee);
    call_both("read", SYS_read, file, buffer(), with(take_length(fuzz)), NONE);
    buffer_compare("read");
}

static void call_write(struct fuzz *fuzz)
{
    struct word file = slot_of(take_file(fuzz));

    buffer_fill(fuzz_byte(fuzz));
    call_both("write", SYS_write, file, buffer(), with(take_length(fuzz)), NONE);
}

static void call_pread(struct fuzz *fuzz)
{
    struct word file = slot_of(take_file(fuzz));
    uint64_t length = take_length(fuzz);

    buffer_fill(0xee);
    call_both("pread64", SYS_pread64, file, buffer(), with(length),
              with((uint64_t)take_offset(fuzz)));
    buffer_compare("pread64");
}

static void call_pwrite(struct fuzz *fuzz)
{
    struct word file = slot_of(take_file(fuzz));
    uint64_t length = take_length(fuzz);

    buffer_fill(fuzz_byte(fuzz));
    call_both("pwrite64", SYS_pwrite64, file, buffer(), with(length),
              with((uint64_t)take_offset(fuzz)));
}

static void call_vector(struct fuzz *fuzz)
{
    struct word file = slot_of(take_file(fuzz));
    uint32_t count = fuzz_below(fuzz, VECTORS_MOST + 1);
    uint64_t length[VECTORS_MOST];
    bool writes = fuzz_byte(fuzz) & 1;

    for (uint32_t i = 0; i < count; i++)
        length[i] = take_length(fuzz);
    buffer_fill(writes ? 0x77 : 0xee);
    call_both(writes ? "writev" : "readv", writes ? SYS_writev : SYS_readv, file,
              vector_of(length, count), with(count), NONE);
    buffer_compare("readv");
}

static void call_lseek(struct fuzz *fuzz)
{
    uint64_t slot = take_file(fuzz);
    int64_t offset = take_offset(fuzz);
    uint64_t whence = fuzz_below(fuzz, 6);

    if (slot_is_directory(slot)) /* places in it are the file system's own */
        offset = (int64_t)(whence = 0);
    call_both("lseek", SYS_lseek, slot_of(slot), with((uint64_t)offset), with(whence), NONE);
}

static void call_ftruncate(struct fuzz *fuzz)
{
    struct word file = slot_of(take_file(fuzz));

    call_both("ftruncate", SYS_ftruncate, file, with((uint64_t)take_offset(fuzz)), NONE, NONE);
}

static void call_dup(struct fuzz *fuzz)
{
    struct word file = slot_of(take_file(fuzz));

    slots_add(both_open("dup", call_both("dup", SYS_dup, file, NONE, NONE, NONE)));
}

static void call_fcntl(struct fuzz *fuzz)
{
    static const int commands[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD, F_DUPFD_CLOEXEC};
    struct word file = slot_of(take_file(fuzz));
    int command = commands[fuzz_below(fuzz, 6)];
    uint64_t value = fuzz_below(fuzz, 2);

    if (command == F_SETFL)
        value = O_NONBLOCK | (value ? O_APPEND : 0);
    struct both got =
        call_both("fcntl", SYS_fcntl, file, with((uint64_t)command),
                  with(command == F_DUPFD || command == F_DUPFD_CLOEXEC ? 0 : value), NONE);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        slots_add(both_open("fcntl", got));
}

static void call_pipe(struct fuzz *fuzz)
{
    buffer_fill(0);
    call_both("pipe2", SYS_pipe2, buffer(),
              with(O_NONBLOCK | (fuzz_byte(fuzz) & 1 ? O_CLOEXEC : 0)), NONE, NONE);
    slots_add_pair();
}

static void call_poll(struct fuzz *fuzz)
{
    uint32_t count = fuzz_below(fuzz, POLLS_MOST + 1);
    uint64_t slot[POLLS_MOST];
    short events[POLLS_MOST];

    for (uint32_t i = 0; i < count; i++) {
        slot[i] = take_file(fuzz);
        events[i] = fuzz_byte(fuzz) & (POLLIN | POLLOUT | POLLPRI);
    }
    poll_both(slot, events, count);
}

static void call_getdents(struct fuzz *fuzz)
{
    struct word file = slot_of(take_file(fuzz));

    buffer_fill(0);
    call_listing(file);
}

static void call_fstat(struct fuzz *fuzz)
{
    buffer_fill(0);
    call_both("fstat", SYS_fstat, slot_of(take_file(fuzz)), buffer(), NONE, NONE);
    stat_compare();
}

static void step(struct fuzz *fuzz)
{
    static void (*const calls[])(struct fuzz *) = {
        call_open,    call_open,  call_write,  call_read,     call_lseek,
        call_close,   call_pread, call_pwrite, call_vector,   call_ftruncate,
        call_dup,     call_fcntl, call_pipe,   call_poll,     call_getdents,
        call_fstat,   call_stat,  call_rename, call_link,     call_unlink,
        call_symlink, call_mkdir, call_rmdir,  call_readlink, call_truncate};

    calls[fuzz_below(fuzz, sizeof calls / sizeof calls[0])](fuzz);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz fuzz = fuzz_begin(data, bytes);

    native_begin();
    for (int i = 0; i < STEPS && fuzz_left(&fuzz); i++)
        step(&fuzz);
    native_end();
    return 0;
}
