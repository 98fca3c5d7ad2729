/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a file of the host a little at a time, in all ways that the guest kernel serves, and some that
 * it does not. The message layer is not used, as that keeps the guest kernel away. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include <ferry/abi/kernel.h>
#include <ferry/abi/layout.h>

static char buffer[1 << 20];
static char *volatile nowhere = (char *)16;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t chance;

static uint32_t below(uint32_t most)
{
    chance = chance * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(chance >> 33) % most;
}

static uint64_t digest = 14695981039346656037ull;

static void add(const void *from, size_t bytes)
{
    for (const unsigned char *byte = from; bytes; byte++, bytes--)
        digest = (digest ^ *byte) * 1099511628211ull;
}

/* What a call gave: its result, and the bytes that it read. */
static void note(int64_t result)
{
    add(&result, sizeof(result));
    if (result < 0)
        add(&errno, sizeof(errno));
    else if (result <= (int64_t)sizeof(buffer))
        add(buffer, (size_t)result);
}

static void note_position(int fd)
{
    off_t at = lseek(fd, 0, SEEK_CUR);

    add(&at, sizeof(at));
}

/* ---- all kinds of calls, in any order ------------------------------------- */

/* Those that touch the file by another way than the guest kernel's. */
static void do_otherwise(int fd, const char *path, off_t length)
{
    struct iovec pieces[2] = {{buffer, below(100)}, {buffer + 100, below(5000)}};
    off_t offset = below((uint32_t)length);
    int other = -1, ends[2];

    switch (below(6)) {
    case 0: /* the position is shared with a second descriptor */
        other = dup(fd);
        note(read(other, buffer, below(3000)));
        note_position(fd);
        close(other);
        break;
    case 1: /* the descriptor becomes another file, at the same position, with a history of its own */
        other = open(path, O_RDONLY);
        note(lseek(other, lseek(fd, 0, SEEK_CUR), SEEK_SET));
        if (dup2(other, fd) != fd || close(other))
            fail("dup2");
        break;
    case 2:
        note(readv(fd, pieces, 2));
        break;
    case 3:
        if (pipe(ends))
            fail("pipe");
        note(sendfile(ends[1], fd, below(2) ? &offset : NULL, below(4096)));
        close(ends[0]);
        close(ends[1]);
        add(&offset, sizeof(offset));
        break;
    case 4: /* more than is served without an exit */
        note(read(fd, buffer, 16384 + below(100000)));
        break;
    default: /* no buffer */
        note(pread(fd, nowhere, 10, 0));
    }
}

/* Side by side, so that their bytes can be noted. Some are empty, there may be none or more than are
 * served without an exit, and the first one may be nowhere. */
static void read_pieces(int fd, off_t where)
{
    struct iovec pieces[10];
    int count = (int)below(11);
    char *at = buffer;

    for (int i = 0; i < 10; i++) {
        pieces[i] = (struct iovec){at, below(4) ? below(3000) : 0};
        at += pieces[i].iov_len;
    }
    if (below(8) == 0) {
        pieces[0] = (struct iovec){nowhere, 10};
        note(preadv(fd, pieces, 1 + below(8), 0));
        return;
    }
    note(below(2) ? readv(fd, pieces, count) : preadv(fd, pieces, count, where));
}

static void do_any(int fd, const char *path, off_t length)
{
    uint32_t where = below((uint32_t)length + 1000);

    switch (below(40)) {
    case 0:
        do_otherwise(fd, path, length);
        break;
    case 1:
    case 2:
        note(lseek(fd, where, SEEK_SET));
        break;
    case 3:
        note(lseek(fd, (int)below(20000) - 10000, SEEK_CUR));
        break;
    case 4:
        note(lseek(fd, -(off_t)below(10000), SEEK_END));
        break;
    case 5:
        note(lseek(fd, -1, SEEK_SET));
        break;
    case 6:
        note_position(fd);
        break;
    case 7:
        note(pread(fd, buffer, 10, -(off_t)where));
        break;
    case 8:
    case 9:
        read_pieces(fd, where);
        break;
    default:
        note(below(2) ? read(fd, buffer, below(9000)) : pread(fd, buffer, below(1000), where));
    }
}

static void mix(const char *path, unsigned long calls)
{
    int fd = open(path, O_RDONLY);
    off_t length = lseek(fd, 0, SEEK_END);

    if (fd < 0 || length <= 0)
        fail(path);
    for (unsigned long i = 0; i < calls; i++)
        do_any(fd, path, length);
    note_position(fd);
    printf("%016llx\n", (unsigned long long)digest);
}

/* ---- many ----------------------------------------------------------------- */

static void in_order(const char *path, size_t bytes)
{
    int fd = open(path, O_RDONLY);
    ssize_t got;

    while ((got = read(fd, buffer, bytes)) > 0)
        note(got);
    note(got);
    close(fd);
    printf("%016llx\n", (unsigned long long)digest);
}

/* Half of it by readv, and then by preadv. */
static void in_pieces(const char *path, size_t bytes)
{
    struct iovec pieces[2] = {{buffer, bytes / 3}, {buffer + bytes / 3, bytes - bytes / 3}};
    int fd = open(path, O_RDONLY);
    off_t half = lseek(fd, 0, SEEK_END) / 2, where;
    ssize_t got;

    note(lseek(fd, 0, SEEK_SET));
    for (where = 0; where < half && (got = readv(fd, pieces, 2)) > 0; where += got)
        note(got);
    for (; (got = preadv(fd, pieces, 2, where)) > 0; where += got)
        note(got);
    note_position(fd);
    printf("%016llx\n", (unsigned long long)digest);
}

/* More files than are published at a time, read in turn. */
static void in_turn(const char *path, unsigned long calls)
{
    int files[40];

    for (int i = 0; i < 40; i++)
        if ((files[i] = open(path, O_RDONLY)) < 0 || lseek(files[i], 100 * i, SEEK_SET) < 0)
            fail(path);
    for (unsigned long i = 0; i < calls; i++)
        note(read(files[i / 20 % 40], buffer, 1 + i % 700));
    printf("%016llx\n", (unsigned long long)digest);
}

/* ---- a file that the program changes --------------------------------------- */

/* What is written, cut and made longer by another descriptor is read at once. */
static void change(const char *path, unsigned long calls)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), reader = open(path, O_RDONLY);

    if (fd < 0 || reader < 0)
        fail(path);
    for (unsigned long i = 0; i < calls; i++) {
        uint32_t bytes = below(3000), where = below(60000);

        memset(buffer, 'a' + (int)(i % 26), bytes);
        switch (below(30)) {
        case 0:
            note(ftruncate(fd, below(60000)));
            break;
        case 1:
            note(pwrite(fd, buffer, bytes, where));
            break;
        case 2:
            note(write(fd, buffer, bytes));
            break;
        case 3:
            note(lseek(reader, where, SEEK_SET));
            break;
        default:
            note(below(2) ? read(reader, buffer, bytes) : pread(reader, buffer, bytes, where));
        }
    }
    printf("%016llx\n", (unsigned long long)digest);
}

/* ---- a file that others change --------------------------------------------- */

/* For each byte of input: the first bytes of some places, as they are now. */
static void look(const char *path)
{
    int fd = open(path, O_RDONLY);
    char byte;

    for (int i = 0; i < 40; i++)
        note(pread(fd, buffer, 100, 4096 * i));
    while (read(0, &byte, 1) == 1) {
        for (int i = 0; i < 4; i++) {
            ssize_t got = pread(fd, buffer, 4, 8192 * i);
            printf("%zd:%.*s ", got, (int)(got > 0 ? got : 0), buffer);
        }
        printf("\n");
        fflush(stdout);
    }
}

/* ---- threads ---------------------------------------------------------------- */

static int shared_fd;
static atomic_ullong sum, count;

static void *read_some(void *argument)
{
    char own[3000];
    ssize_t got;

    while ((got = read(shared_fd, own, (size_t)(uintptr_t)argument)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            sum += (unsigned char)own[i];
        count += (unsigned long long)got;
    }
    return NULL;
}

/* Each byte is read by one of them. */
static void by_threads(const char *path)
{
    pthread_t threads[4];

    shared_fd = open(path, O_RDONLY);
    for (uintptr_t i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, read_some, (void *)(100 + 900 * i)))
            fail("thread");
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("%llu %llu\n", count, sum);
}

/* ---- hostile ---------------------------------------------------------------- */

static sigjmp_buf back;

static void jump_back(int signo)
{
    siglongjmp(back, signo);
}

/* Writes into the word of the file, and at the place where it is mapped; what a call says then may be
 * wrong, but concerns this program alone. */
static void forge(const char *path, unsigned long calls)
{
    struct ferry_kernel_words *words = (void *)FERRY_KERNEL_WORDS;
    volatile char *mapped = (void *)FERRY_FILES_BASE;
    int fd = open(path, O_RDONLY);

    signal(SIGSEGV, jump_back);
    signal(SIGBUS, jump_back);
    for (unsigned long i = 0; i < calls; i++) {
        off_t at = lseek(fd, 0, SEEK_END), here;

        if (lseek(fd, below(1000), SEEK_SET) < 0)
            fail("lseek");
        read(fd, buffer, 100);
        if (i > 20 && !sigsetjmp(back, 1)) {
            words->files[i % 3] = i % 2 ? words->files[i % 3] + below(1u << 31)
                                        : (uint64_t)below(1u << 31) << 33 | below(1u << 31);
            words->files[i % 3] |= (uint64_t)below(256) << FERRY_KERNEL_OWNER_SHIFT;
        }
        if (i > 20 && !sigsetjmp(back, 1))
            mapped[(uint64_t)below(FERRY_FILES_BYTES)] = 1;
        if (i > 20 && !sigsetjmp(back, 1))
            (void)mapped[(uint64_t)below(FERRY_FILES_BYTES)];
        if (write(1, (const char *)mapped + below(1000), 10) != -1 || errno != EFAULT)
            printf("written\n");
        read(fd, buffer, 100);
        close(dup(fd));
        here = lseek(fd, 0, SEEK_CUR);
        if (here < 0 || here > at)
            printf("at %lld of %lld\n", (long long)here, (long long)at);
    }
    printf("over\n");
}

int main(int argc, char **argv)
{
    const char *how = argc > 2 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
    unsigned long number = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;

    chance = number;
    if (strcmp(how, "mix") == 0)
        mix(path, number);
    else if (strcmp(how, "order") == 0)
        in_order(path, number);
    else if (strcmp(how, "pieces") == 0)
        in_pieces(path, number);
    else if (strcmp(how, "turn") == 0)
        in_turn(path, number);
    else if (strcmp(how, "change") == 0)
        change(path, number);
    else if (strcmp(how, "look") == 0)
        look(path);
    else if (strcmp(how, "threads") == 0)
        by_threads(path);
    else if (strcmp(how, "forge") == 0)
        forge(path, number);
    else
        return 2;
    return 0;
}
