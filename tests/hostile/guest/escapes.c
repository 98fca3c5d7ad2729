/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * escapes TOP: looks for TOP/secret, of which it was given TOP/ro and TOP/rw only, by each way that leads
 * there, and tries to change it, what is read-only, and what lies beside. Meanwhile threads exchange a
 * directory of its own with a link, put links, directories and files in the place of each other, and
 * move a directory up and down that is open. No way may read or change anything.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../secret.h"
#include "guest.h"

#define ROUNDS 300

static const char *top;
static atomic_bool over;

static const char *below(const char *name)
{
    static _Thread_local char paths[4][600];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", top, name);
    return path;
}

/* What was opened must not be the file with the secret. */
static void expect_other(const char *how, int fd)
{
    const char *hidden = getenv("HIDDEN");
    char bytes[SECRET_BYTES] = "";

    if (fd < 0)
        return;
    ssize_t got = read(fd, bytes, sizeof bytes);
    for (int i = 0; i < SECRET_BYTES; i++)
        bytes[i] = secret_hidden(bytes[i]);
    if (got == SECRET_BYTES && memcmp(bytes, hidden, SECRET_BYTES) == 0)
        fail("%s leads to the secret", how);
    close(fd);
}

static void try_paths(void)
{
    static const char *const ways[] = {
        "secret",
        "ro/../secret",
        "rw/../secret",
        "ro/out",
        "rw/out",
        "rw/./../secret",
        "ro/../../*/secret",
        "rw/own/link",
        "rw/swapped/secret",
        "rw/flip/secret",
        "rw/flip/rw/../secret",
        "rw/a/b/c/../../../../secret",
        "rw/c/../../secret",
        "rw/flip/../flip/secret",
    };
    static const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY | O_CREAT, O_PATH,
                                O_RDONLY | O_NOFOLLOW};
    char self[64];

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (size_t j = 0; j < sizeof flags / sizeof *flags; j++) {
            int fd = open(below(ways[i]), flags[j], 0600);

            if (fd >= 0 && flags[j] == O_PATH) {
                snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
                expect_other("a descriptor of O_PATH", open(self, O_RDONLY));
                expect_other("openat below it", openat(fd, "secret", O_RDONLY));
                expect_other("openat beside it", openat(fd, "../secret", O_RDONLY));
            }
            expect_other(ways[i], fd);
        }
    for (int fd = 0; fd < 64; fd++) {
        snprintf(self, sizeof self, "/proc/self/fd/%d/../secret", fd);
        expect_other(self, open(self, O_RDONLY));
        expect_other("an inherited descriptor", openat(fd, below("secret"), O_RDONLY));
        expect_other("openat of ..", openat(fd, "../secret", O_RDONLY));
    }
}

static void try_changes(void)
{
    if (link(below("secret"), below("rw/hard")) == 0 ||
        rename(below("secret"), below("rw/it")) == 0 || truncate(below("secret"), 0) == 0 ||
        unlink(below("secret")) == 0 || mkdir(below("made"), 0700) == 0 ||
        mkdir(below("rw/../made"), 0700) == 0 || rename(below("rw/own"), below("made")) == 0 ||
        unlink(below("ro/file")) == 0 || open(below("ro/file"), O_RDWR) >= 0)
        fail("a change outside of its directory");
}

/* The same through names that change meanwhile. What goes wrong is seen by the host. */
static void try_changes_by(const char *way)
{
    static const char *const names[] = {"secret",  "made",    "ro/file",
                                        "ro/made", "../made", "rw/../secret"};
    const struct timespec times[2] = {{1, 1}, {1, 1}};
    char path[300];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "rw/%s/%s", way, names[i]);
        const char *to = below(path), *own = below("rw/data");

        expect_other("what was made", open(to, O_RDWR | O_CREAT, 0600));
        close(open(to, O_WRONLY | O_TRUNC));
        close(open(to, O_WRONLY | O_CREAT | O_EXCL, 0600));
        (void)!truncate(to, 0);
        (void)mkdir(to, 0700);
        (void)mknod(to, S_IFIFO | 0600, 0);
        (void)symlink("secret", to);
        (void)link(own, to);
        (void)link(to, below("rw/hard"));
        (void)linkat(AT_FDCWD, to, AT_FDCWD, below("rw/hard"), AT_SYMLINK_FOLLOW);
        (void)rename(own, to);
        (void)rename(to, below("rw/moved"));
        (void)renameat2(AT_FDCWD, to, AT_FDCWD, own, RENAME_EXCHANGE);
        (void)chmod(to, 0777);
        (void)!chown(to, 1, 1);
        (void)utimensat(AT_FDCWD, to, times, 0);
        (void)unlink(to);
        (void)rmdir(to);
        expect_other("a hard link", open(below("rw/hard"), O_RDONLY));
        expect_other("what was moved", open(below("rw/moved"), O_RDONLY));
        expect_other("what was exchanged", open(own, O_RDWR | O_CREAT, 0600));
        (void)unlink(below("rw/hard"));
    }
}

/* From a directory that is open, and moves. */
static void try_from_inside(void)
{
    static const char *const ways[] = {"../secret", "../../secret", "../../../secret",
                                       "../../../../secret"};
    int fd = open(below("rw/a/b/c"), O_RDONLY | O_DIRECTORY);

    if (fd < 0)
        fd = open(below("rw/c"), O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return;
    bool inside = fchdir(fd) == 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char made[64];

        snprintf(made, sizeof made, "%.*smade", (int)(strlen(ways[i]) - strlen("secret")), ways[i]);
        expect_other("openat below a moved directory", openat(fd, ways[i], O_RDWR));
        if (inside)
            expect_other("a moved working directory", open(ways[i], O_RDONLY));
        (void)mkdirat(fd, made, 0700);
        (void)renameat(fd, ways[i], fd, "got");
        (void)unlinkat(fd, ways[i], 0);
    }
    expect_other("the working directory", open("/proc/self/cwd/../secret", O_RDONLY));
    expect_other("the root", open("/proc/self/root/proc/1/cwd/../secret", O_RDONLY));
    expect_other("a thread", open("/proc/thread-self/cwd/../../secret", O_RDONLY));
    (void)!chdir("/");
    close(fd);
}

/* Links, a directory and a file, each put where the one before was. */
static void *flip(void *unused)
{
    static const char *const links[] = {
        "..", "../..", "own/link", "/", "flip", "/proc/self/fd/3/..", "../ro"};

    for (unsigned i = 0; !atomic_load(&over); i++) {
        (void)unlink(below("rw/next"));
        if (i % 8 == 7)
            close(open(below("rw/next"), O_WRONLY | O_CREAT, 0600));
        else
            (void)symlink(i % 8 == 3 ? top : links[i % 8 % 7], below("rw/next"));
        (void)rename(below("rw/next"), below("rw/flip"));
        if (i % 5 == 0)
            (void)renameat2(AT_FDCWD, below("rw/flip"), AT_FDCWD, below("rw/a"), RENAME_EXCHANGE);
        if (i % 5 == 1)
            (void)renameat2(AT_FDCWD, below("rw/a"), AT_FDCWD, below("rw/flip"), RENAME_EXCHANGE);
    }
    return unused;
}

static void *move(void *unused)
{
    while (!atomic_load(&over)) {
        (void)rename(below("rw/a/b/c"), below("rw/c"));
        (void)rename(below("rw/c"), below("rw/a/b/c"));
    }
    return unused;
}

static void *swap(void *unused)
{
    while (!atomic_load(&over))
        (void)renameat2(AT_FDCWD, below("rw/swapped"), AT_FDCWD, below("rw/own"), RENAME_EXCHANGE);
    return unused;
}

int main(int argc, char **argv)
{
    void *(*const changes[])(void *) = {swap, flip, move};
    pthread_t threads[3];
    time_t begun = time(NULL);

    expect_arguments(argc, 1, "escapes TOP");
    top = argv[1];
    if (mkdir(below("rw/own"), 0700) < 0 || mkdir(below("rw/swapped"), 0700) < 0 ||
        mkdir(below("rw/a"), 0700) < 0 || mkdir(below("rw/a/b"), 0700) < 0 ||
        mkdir(below("rw/a/b/c"), 0700) < 0)
        fail("mkdir: %s", strerror(errno));
    (void)symlink("../..", below("rw/own/link"));
    (void)symlink("../../secret", below("rw/own/secret"));
    for (int i = 0; i < 3; i++)
        expect_ok("pthread_create", -pthread_create(&threads[i], NULL, changes[i], NULL));
    for (int i = 0; i < ROUNDS && time(NULL) <= begun + 1; i++) {
        try_paths();
        try_changes();
        try_changes_by("flip");
        try_changes_by("swapped");
        try_from_inside();
    }
    atomic_store(&over, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    if (open(below("ro/file"), O_RDONLY) < 0)
        fail("what it was given cannot be read: %s", strerror(errno));
    return 0;
}
