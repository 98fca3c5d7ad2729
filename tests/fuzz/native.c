/* SPDX-License-Identifier: BSD-2-Clause */
/* Two trees, two tables of descriptors, two buffers. */
#include "native.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuzz.h"
#include "tree.h"

#define NAME         SCRATCH /* and OTHER, one behind the other */
#define BUFFER       (SCRATCH + 4 * PAGE)
#define BUFFER_BYTES (16 * PAGE)
#define TABLE        (SCRATCH + 24 * PAGE) /* of vectors and polls */
#define NOT_OPEN     999
#define SECRET       "beside it"

static struct {
    struct tree tree; /* of both: rw/ and native/ */
    struct ferry_vm *vm;
    bool used[SLOTS];
    struct word slot[SLOTS];
} run;
static uint8_t native_buffer[BUFFER_BYTES];
static char native_text[2][PATH_MAX];

/* ---- begin and end ---------------------------------------------------------- */

/* A pipe's last reader may go before a write: both are told so, and neither dies of it. */
static void ignore_broken_pipes(void)
{
    const uint64_t ignored[4] = {(uintptr_t)SIG_IGN};

    signal(SIGPIPE, SIG_IGN);
    memcpy(guest(run.vm, SCRATCH), ignored, sizeof ignored);
    FUZZ_ASSERT(CALL(run.vm, rt_sigaction, SIGPIPE, SCRATCH, 0, 8) == 0);
}

void native_begin(void)
{
    const char *parent = getenv("TMPDIR");

    memset(&run, 0, sizeof run);
    umask(022);
    FUZZ_ASSERT(tree_make(&run.tree, parent ? parent : "/tmp"));
    tree_put_directory(&run.tree, "rw");
    tree_put_directory(&run.tree, "native");
    tree_put_directory(&run.tree, "rw/d");
    tree_put_directory(&run.tree, "native/d");
    tree_put_file(&run.tree, "secret", SECRET);
    run.vm = linux_vm_create_as((struct linux_config){
        .read_write_dirs = (const char *const[]){tree_at(&run.tree, "rw"), NULL},
        .write_limit_bytes = 64 * MIB,
        .view = FERRY_VIEW_NONE,
        .stderr_fd = -1});
    ignore_broken_pipes();
}

struct entry {
    char name[64];
    unsigned char type;
};

static int by_name(const void *one, const void *other)
{
    return strcmp(((const struct entry *)one)->name, ((const struct entry *)other)->name);
}

static size_t list(const char *path, struct entry *out, size_t most)
{
    DIR *dir = opendir(path);
    size_t count = 0;

    FUZZ_ASSERT(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        FUZZ_ASSERT(count < most);
        snprintf(out[count].name, sizeof out[count].name, "%.60s", entry->d_name);
        out[count++].type = entry->d_type;
    }
    closedir(dir);
    qsort(out, count, sizeof *out, by_name);
    return count;
}

static size_t contents(const char *path, unsigned char type, char *to, size_t most)
{
    if (type == DT_LNK)
        return (size_t)readlink(path, to, most);
    if (type != DT_REG)
        return 0;
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, to, most);
    FUZZ_ASSERT(fd >= 0 && got >= 0);
    close(fd);
    return (size_t)got;
}

static void compare_trees(const char *name, int depth)
{
    static char one[1 << 20], other[1 << 20];
    struct entry guest[64], native[64];
    char at[2][PATH_MAX + 160], below[160];
    size_t count;

    snprintf(at[0], sizeof at[0], "%s/rw%s", run.tree.top, name);
    snprintf(at[1], sizeof at[1], "%s/native%s", run.tree.top, name);
    count = list(at[0], guest, 64);
    FUZZ_ASSERT(count == list(at[1], native, 64));
    for (size_t i = 0; i < count; i++) {
        FUZZ_ASSERT(!strcmp(guest[i].name, native[i].name) && guest[i].type == native[i].type);
        if (guest[i].name[0] == '.')
            continue;
        snprintf(below, sizeof below, "%.80s/%s", name, guest[i].name);
        if (guest[i].type == DT_DIR) {
            FUZZ_ASSERT(depth < 8);
            compare_trees(below, depth + 1);
            continue;
        }
        snprintf(at[0], sizeof at[0], "%s/rw%s", run.tree.top, below);
        snprintf(at[1], sizeof at[1], "%s/native%s", run.tree.top, below);
        size_t bytes = contents(at[0], guest[i].type, one, sizeof one);
        FUZZ_ASSERT(bytes == contents(at[1], guest[i].type, other, sizeof other));
        FUZZ_ASSERT(!memcmp(one, other, bytes));
    }
}

void native_end(void)
{
    char text[32] = "";

    for (uint64_t i = 0; i < SLOTS; i++) {
        if (run.used[i])
            close((int)run.slot[i].native);
    }
    linux_vm_destroy(run.vm);
    compare_trees("", 0);
    FUZZ_ASSERT(contents(tree_at(&run.tree, "secret"), DT_REG, text, 31) == strlen(SECRET));
    FUZZ_ASSERT(!strcmp(text, SECRET));
    tree_remove(&run.tree);
}

/* ---- arguments -------------------------------------------------------------- */

struct word with(uint64_t value)
{
    return (struct word){value, value};
}

struct word text_of(unsigned which, const char *text)
{
    snprintf(native_text[which], sizeof native_text[which], "%s", text);
    return (struct word){guest_string(run.vm, NAME + which * 2 * PAGE, text),
                         (uintptr_t)native_text[which]};
}

struct word name_of(unsigned which, const char *name)
{
    char path[PATH_MAX + 64];

    if (!*name)
        return text_of(which, name);
    snprintf(path, sizeof path, "%s/rw/%s", run.tree.top, name);
    guest_string(run.vm, NAME + which * 2 * PAGE, path);
    snprintf(native_text[which], sizeof native_text[which], "%s/native/%s", run.tree.top, name);
    return (struct word){NAME + which * 2 * PAGE, (uintptr_t)native_text[which]};
}

struct word slot_of(uint64_t slot)
{
    return run.used[slot] ? run.slot[slot] : with(NOT_OPEN);
}

bool slot_is_directory(uint64_t slot)
{
    struct stat stat;

    return run.used[slot] && !fstat((int)run.slot[slot].native, &stat) && S_ISDIR(stat.st_mode);
}

bool is_directory(const char *name)
{
    struct stat stat;

    return !lstat((const char *)name_of(0, name).native, &stat) && S_ISDIR(stat.st_mode);
}

void slots_add(struct both fds)
{
    if (fds.native < 0)
        return;
    for (uint64_t i = 0; i < SLOTS; i++) {
        if (run.used[i])
            continue;
        run.used[i] = true;
        run.slot[i] = (struct word){(uint64_t)fds.guest, (uint64_t)fds.native};
        return;
    }
    FUZZ_ASSERT(CALL(run.vm, close, (uint64_t)fds.guest) == 0);
    close((int)fds.native);
}

void slots_add_pair(void)
{
    int guest_fds[2], native_fds[2];

    memcpy(guest_fds, guest(run.vm, BUFFER), sizeof guest_fds);
    memcpy(native_fds, native_buffer, sizeof native_fds);
    for (int i = 0; i < 2; i++)
        slots_add((struct both){guest_fds[i], native_fds[i]});
}

void slots_drop(uint64_t slot)
{
    run.used[slot] = false;
}

struct word buffer(void)
{
    return (struct word){BUFFER, (uintptr_t)native_buffer};
}

/* Not all bytes are alike, so that an offset shows. */
void buffer_fill(uint8_t byte)
{
    uint8_t *to = guest(run.vm, BUFFER);

    for (uint64_t i = 0; i < BUFFER_BYTES; i++)
        to[i] = native_buffer[i] = (uint8_t)(byte + i / 3);
}

static void differ(const char *call, const char *what, int64_t guest_value, int64_t native_value)
{
    fprintf(stderr, "%s: %s: %lld, natively %lld\n", call, what, (long long)guest_value,
            (long long)native_value);
    abort();
}

void buffer_compare(const char *call)
{
    const uint8_t *got = guest(run.vm, BUFFER);

    for (int64_t i = 0; i < (int64_t)BUFFER_BYTES; i++) {
        if (got[i] != native_buffer[i]) {
            fprintf(stderr, "at %lld: ", (long long)i);
            differ(call, "data", got[i], native_buffer[i]);
        }
    }
}

struct word vector_of(const uint64_t *length, uint32_t count)
{
    static struct iovec native[VECTORS_MOST];
    uint64_t table[2 * VECTORS_MOST], at = 0;

    for (uint32_t i = 0; i < count; i++) {
        table[2 * i] = BUFFER + at;
        table[2 * i + 1] = length[i];
        native[i] = (struct iovec){native_buffer + at, length[i]};
        at += length[i];
    }
    memcpy(guest(run.vm, TABLE), table, count * 16);
    return (struct word){TABLE, (uintptr_t)native};
}

/* ---- calls ------------------------------------------------------------------ */

static struct both call(long number, const struct word arg[6])
{
    const uint64_t words[6] = {arg[0].guest, arg[1].guest, arg[2].guest,
                               arg[3].guest, arg[4].guest, arg[5].guest};
    struct both got = {.guest = linux_call(run.vm, (uint64_t)number, words)};

    got.native = syscall(number, arg[0].native, arg[1].native, arg[2].native, arg[3].native,
                         arg[4].native, arg[5].native);
    if (got.native < 0)
        got.native = -errno;
    FUZZ_ASSERT(run.vm->next == LINUX_RESUME);
    return got;
}

static bool makes_descriptor(long number, struct word command)
{
    return number == SYS_open || number == SYS_dup ||
           (number == SYS_fcntl &&
            (command.native == F_DUPFD || command.native == F_DUPFD_CLOEXEC));
}

/* Of two names, or a file and an offset, either may be looked at first, and each may be wrong in its own
 * way. */
static bool agree(long number, struct both got)
{
    bool of_two = number == SYS_link || number == SYS_renameat2 || number == SYS_ftruncate ||
                  number == SYS_pread64 || number == SYS_pwrite64;

    return got.guest == got.native || (of_two && got.guest < 0 && got.native < 0);
}

static const char *what_of(struct word arg)
{
    return arg.native == (uintptr_t)native_text[0] || arg.native == (uintptr_t)native_text[1]
               ? (const char *)arg.native
               : "result";
}

struct both call_both(const char *name, long number, struct word a, struct word b, struct word c,
                      struct word d)
{
    struct both got = call(number, (const struct word[6]){a, b, c, d, NONE, NONE});

    if (!(makes_descriptor(number, b) && got.guest >= 0 && got.native >= 0) && !agree(number, got))
        differ(name, what_of(a), got.guest, got.native);
    return got;
}

struct both both_open(const char *name, struct both got)
{
    if ((got.guest < 0) != (got.native < 0))
        differ(name, "result", got.guest, got.native);
    return got;
}

void call_five(const char *name, long number, struct word from, struct word to, uint64_t flags)
{
    const struct word here = with((uint64_t)AT_FDCWD);
    struct both got = call(number, (const struct word[6]){here, from, here, to, with(flags), NONE});

    if (!agree(number, got))
        differ(name, (const char *)to.native, got.guest, got.native);
}

void poll_both(const uint64_t *slot, const short *events, uint32_t count)
{
    struct pollfd polls[POLLS_MOST], native[POLLS_MOST];

    for (uint32_t i = 0; i < count; i++) {
        polls[i] = (struct pollfd){.fd = (int)slot_of(slot[i]).guest, .events = events[i]};
        native[i] = (struct pollfd){.fd = (int)slot_of(slot[i]).native, .events = events[i]};
    }
    memcpy(guest(run.vm, TABLE), polls, count * sizeof polls[0]);
    call_both("poll", SYS_poll, (struct word){TABLE, (uintptr_t)native}, with(count), with(0),
              NONE);
    memcpy(polls, guest(run.vm, TABLE), count * sizeof polls[0]);
    for (uint32_t i = 0; i < count; i++) {
        if (polls[i].revents != native[i].revents)
            differ("poll", "events", polls[i].revents, native[i].revents);
    }
}

static size_t parse(const uint8_t *from, int64_t bytes, struct entry *out)
{
    size_t count = 0;

    for (int64_t at = 0; at < bytes && count < 64; count++) {
        uint16_t length;
        memcpy(&length, from + at + 16, sizeof length);
        FUZZ_ASSERT(length > 19 && at + length <= bytes);
        out[count].type = from[at + 18];
        snprintf(out[count].name, sizeof out[count].name, "%.60s", (const char *)from + at + 19);
        at += length;
    }
    qsort(out, count, sizeof *out, by_name);
    return count;
}

void call_listing(struct word file)
{
    struct entry from_guest[64], native[64];
    struct both got = call_both("getdents64", SYS_getdents64, file, buffer(), with(8192), NONE);
    size_t count = parse(guest(run.vm, BUFFER), got.guest, from_guest);

    FUZZ_ASSERT(count == parse(native_buffer, got.native, native));
    for (size_t i = 0; i < count; i++)
        FUZZ_ASSERT(!strcmp(from_guest[i].name, native[i].name) &&
                    from_guest[i].type == native[i].type);
}

void stat_compare(void)
{
    struct stat one, other;

    memcpy(&one, guest(run.vm, BUFFER), sizeof one);
    memcpy(&other, native_buffer, sizeof other);
    if (one.st_mode != other.st_mode)
        differ("stat", "mode", one.st_mode, other.st_mode);
    if (S_ISDIR(one.st_mode))
        return;
    if (one.st_size != other.st_size)
        differ("stat", "size", one.st_size, other.st_size);
    if (one.st_nlink != other.st_nlink)
        differ("stat", "links", (int64_t)one.st_nlink, (int64_t)other.st_nlink);
}
