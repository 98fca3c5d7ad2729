/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * escapes TOP: looks for TOP/secret, of which it was given TOP/ro and TOP/rw only, by each way that leads
 * there, while a thread exchanges a directory of its own with a link. No way may read or change it.
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

static void *swap(void *unused)
{
    while (!atomic_load(&over))
        (void)renameat2(AT_FDCWD, below("rw/swapped"), AT_FDCWD, below("rw/own"), RENAME_EXCHANGE);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    time_t begun = time(NULL);

    expect_arguments(argc, 1, "escapes TOP");
    top = argv[1];
    if (mkdir(below("rw/own"), 0700) < 0 || mkdir(below("rw/swapped"), 0700) < 0)
        fail("mkdir: %s", strerror(errno));
    (void)symlink("../..", below("rw/own/link"));
    (void)symlink("../../secret", below("rw/own/secret"));
    expect_ok("pthread_create", -pthread_create(&thread, NULL, swap, NULL));
    for (int i = 0; i < ROUNDS && time(NULL) <= begun + 1; i++) {
        try_paths();
        try_changes();
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    if (open(below("ro/file"), O_RDONLY) < 0)
        fail("what it was given cannot be read: %s", strerror(errno));
    return 0;
}
