/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * greedy_threads WHAT THREADS [DIRECTORY]: many threads want more than there is, all at once.
 * memory: they map and touch it, and give some back, until none is left for any of them.
 * files: they make, lengthen, cut, rename and remove files in the directory; in the end the first
 * one writes until nothing more may be written.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

#define PIECE  (256 << 10)
#define PIECES 4096 /* of each thread: 1 GiB */
#define ROUNDS 60

static const char *directory;
static atomic_int refused;

static void *take_memory(void *arg)
{
    static _Thread_local char *pieces[PIECES];

    for (int i = 0; i < PIECES; i++) {
        char *piece = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (piece == MAP_FAILED) {
            atomic_fetch_add(&refused, 1);
            return arg;
        }
        memset(piece, 1, PIECE);
        pieces[i] = piece;
        if (i % 8 == 7)
            munmap(pieces[i / 2], PIECE);
    }
    return arg;
}

static void write_on(int fd, int pieces)
{
    static const char bytes[16 << 10];

    while (pieces-- > 0)
        if (write(fd, bytes, sizeof bytes) < 0) {
            if (errno != EDQUOT && errno != ENOSPC)
                fail("write: %s", strerror(errno));
            atomic_fetch_add(&refused, 1);
            return;
        }
}

static void *take_files(void *arg)
{
    long me = (long)arg;
    unsigned random = (unsigned)me;
    char name[300], other[300];

    snprintf(name, sizeof name, "%s/%ld", directory, me);
    snprintf(other, sizeof other, "%s/%ld", directory, me / 2); /* of two threads */
    for (int i = 0; i < ROUNDS; i++) {
        int fd = open(name, O_CREAT | O_RDWR, 0644);

        if (fd >= 0) {
            lseek(fd, 0, SEEK_END);
            write_on(fd, rand_r(&random) % 8);
            if (ftruncate(fd, rand_r(&random) % (1 << 20)))
                atomic_fetch_add(&refused, 1);
            close(fd);
        }
        if (i % 3 == 0)
            rename(name, other);
        else if (i % 5 == 0)
            unlink(other);
    }
    return NULL;
}

/* Files that were replaced while they were open are gone by now. */
static void fill_up(void)
{
    char name[300];

    snprintf(name, sizeof name, "%s/0", directory);
    int fd = open(name, O_CREAT | O_WRONLY | O_APPEND, 0644);
    if (fd >= 0)
        write_on(fd, PIECES);
}

int main(int argc, char **argv)
{
    pthread_t threads[64];

    expect_arguments(argc, 2, "greedy_threads WHAT THREADS [DIRECTORY]");
    bool memory = strcmp(argv[1], "memory") == 0;
    long count = atol(argv[2]);
    directory = argc > 3 ? argv[3] : "/tmp";
    for (long i = 0; i < count && i < 64; i++)
        expect_ok("pthread_create",
                  -pthread_create(&threads[i], NULL, memory ? take_memory : take_files, (void *)i));
    for (long i = 0; i < count && i < 64; i++)
        pthread_join(threads[i], NULL);
    if (!memory)
        fill_up();
    if (!atomic_load(&refused))
        fail("nothing was refused");
    return 0;
}
