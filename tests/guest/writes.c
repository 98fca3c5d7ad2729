/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to files a little at a time, in all ways that the guest kernel serves, and some that it does
 * not, in the working directory. The message layer is not used, as that keeps the guest kernel away. */
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
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <ferry/abi/kernel.h>
#include <ferry/abi/layout.h>

#define FILES 6 /* more than there are rooms */

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

static int64_t note(int64_t result)
{
    add(&result, sizeof(result));
    if (result < 0)
        add(&errno, sizeof(errno));
    return result;
}

static void note_bytes(int64_t result)
{
    if (note(result) > 0)
        add(buffer, (size_t)result);
}

static void print_digest(void)
{
    printf("%016llx\n", (unsigned long long)digest);
}

static int open_file(const char *name, int flags)
{
    int fd = open(name, flags | O_CREAT, 0600);

    if (fd < 0)
        fail(name);
    return fd;
}

static void fill(size_t bytes)
{
    static unsigned char next;

    for (size_t i = 0; i < bytes; i++)
        buffer[i] = (char)(next += 7);
}

static void note_stat(const struct stat *stat)
{
    add(&stat->st_size, sizeof(stat->st_size));
    add(&stat->st_nlink, sizeof(stat->st_nlink));
}

static void note_file(const char *name)
{
    int fd = open_file(name, O_RDONLY);

    ssize_t got;

    while ((got = read(fd, buffer, sizeof(buffer))) > 0)
        note_bytes(got);
    close(fd);
}

/* ---- all kinds of calls, in any order ------------------------------------- */

static struct {
    int fd;
    char name[8];
} files[FILES];

/* Some are empty, there may be more than are served without an exit, and the first one may be nowhere. */
static void write_pieces(int fd)
{
    struct iovec pieces[10];
    int count = 1 + (int)below(10);
    char *at = buffer;

    for (int i = 0; i < count; i++) {
        pieces[i] = (struct iovec){at, below(4) ? below(3000) : 0};
        at += pieces[i].iov_len;
    }
    if (below(8) == 0)
        pieces[0] = (struct iovec){nowhere, 10};
    fill((size_t)(at - buffer));
    note(writev(fd, pieces, count));
}

static void write_many(int fd)
{
    for (uint32_t count = below(40); count; count--) {
        uint32_t bytes = below(16) ? below(5000) : below(100000);

        fill(bytes);
        note(write(fd, buffer, bytes));
    }
}

/* Looks at the file by a mapping, and writes to it by both while there is one. */
static void map_file(int fd)
{
    struct stat stat;
    char *map;

    if (fstat(fd, &stat) || stat.st_size == 0)
        return;
    map = mmap(NULL, (size_t)stat.st_size, PROT_READ | PROT_WRITE,
               below(2) ? MAP_SHARED : MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        fail("mmap");
    add(map + stat.st_size - 1, 1);
    add(map, 1);
    for (int i = 0; i < 20; i++) {
        note(lseek(fd, below((uint32_t)stat.st_size), SEEK_SET));
        fill(10);
        note(write(fd, buffer, 10));
        add(&map[below((uint32_t)stat.st_size)], 1);
    }
    map[below((uint32_t)stat.st_size)] = 'm';
    munmap(map, (size_t)stat.st_size);
}

/* Another way to the same file. */
static void use_other(int fd, const char *name)
{
    int other = below(2) ? dup(fd) : open_file(name, O_RDWR), ends[2];
    off_t offset = 0;

    fill(100);
    for (int i = 0; i < 10; i++) {
        note(write(fd, buffer, 100));
        note_bytes(below(2) ? read(other, buffer, 50) : pread(other, buffer, 50, 10));
        note(write(other, buffer, 50));
    }
    if (pipe(ends))
        fail("pipe");
    note(sendfile(ends[1], other, &offset, 3000));
    close(ends[0]);
    close(ends[1]);
    if (below(2)) { /* the descriptor becomes another open file */
        if (dup2(other, fd) != fd)
            fail("dup2");
    }
    close(other);
}

static void append(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (fcntl(fd, F_SETFL, flags | O_APPEND))
        fail("F_SETFL");
    write_many(fd);
    if (fcntl(fd, F_SETFL, flags))
        fail("F_SETFL");
}

static void do_any(unsigned i)
{
    int fd = files[i].fd;
    uint32_t where = below(300000);
    struct stat status;

    switch (below(20)) {
    case 0:
        note(lseek(fd, where, SEEK_SET));
        break;
    case 1:
        note(lseek(fd, 0, below(2) ? SEEK_CUR : SEEK_END));
        break;
    case 2:
        note(ftruncate(fd, where));
        break;
    case 3:
        note(truncate(files[i].name, where));
        break;
    case 4:
        note(fstat(fd, &status));
        note_stat(&status);
        break;
    case 5:
        note(stat(files[i].name, &status));
        note_stat(&status);
        break;
    case 6:
        note_bytes(pread(fd, buffer, below(9000), where));
        break;
    case 7:
        note(lseek(fd, below(3000), SEEK_SET));
        for (int times = 0; times < 12; times++)
            note_bytes(read(fd, buffer, below(300)));
        break;
    case 8:
        fill(500);
        note(pwrite(fd, buffer, 500, where));
        break;
    case 9:
        map_file(fd);
        break;
    case 10:
        use_other(fd, files[i].name);
        break;
    case 11:
        append(fd);
        break;
    case 12:
        close(fd);
        files[i].fd = open_file(files[i].name, below(2) ? O_RDWR | O_TRUNC : O_RDWR);
        break;
    case 13:
        note(rename(files[i].name, "moved"));
        note(rename("moved", files[i].name));
        note_file(files[i].name);
        break;
    case 14:
        note(write(fd, nowhere, 10));
        note(write(fd, nowhere, 0));
        break;
    case 15:
        write_pieces(fd);
        break;
    default:
        write_many(fd);
    }
}

static void mix(unsigned long calls)
{
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(files[i].name, sizeof(files[i].name), "file%u", i);
        files[i].fd = open_file(files[i].name, O_RDWR | O_TRUNC);
    }
    for (unsigned long i = 0; i < calls; i++) {
        unsigned file = below(FILES);

        do_any(file);
        note(lseek(files[file].fd, below(100000), SEEK_SET));
        write_many(files[file].fd);
    }
    for (unsigned i = 0; i < FILES; i++) {
        close(files[i].fd);
        note_file(files[i].name);
        unlink(files[i].name);
    }
    print_digest();
}

/* ---- many ----------------------------------------------------------------- */

static void in_order(unsigned long writes)
{
    int fd = open_file("order", O_WRONLY | O_TRUNC);

    fill(4096);
    for (unsigned long i = 0; i < writes; i++)
        note(write(fd, buffer, 4096));
    note_file("order");
    unlink("order");
    print_digest();
}

static void until_refused(void)
{
    const struct rlimit limit = {300001, RLIM_INFINITY};
    int fd = open_file("limited", O_WRONLY | O_TRUNC);

    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit))
        fail("setrlimit");
    for (int i = 0; i < 200; i++) {
        fill(3000);
        note(write(fd, buffer, 3000));
    }
    note_file("limited");
    unlink("limited");
    print_digest();
}

/* Until there is no memory left. What was written is there, and what was refused is not. */
static void until_full(void)
{
    int fd = open_file("full", O_RDWR | O_TRUNC);
    uint64_t written = 0, right = 0;
    ssize_t put;

    memset(buffer, 'f', 4096);
    while ((put = write(fd, buffer, 4000)) > 0)
        written += (uint64_t)put;
    printf("%s\n", strerror(errno));
    lseek(fd, 0, SEEK_SET);
    while ((put = read(fd, buffer, sizeof(buffer))) > 0)
        for (ssize_t i = 0; i < put; i++)
            right += buffer[i] == 'f';
    printf("%s\n", right == written ? "all" : "not all");
    unlink("full");
}

/* ---- threads ---------------------------------------------------------------- */

#define RECORD 96

static int shared_fd;
static unsigned long rounds;
static atomic_ulong shared_bytes;

/* Each record is of one letter. */
static void *write_records(void *argument)
{
    char record[RECORD];

    memset(record, 'a' + (int)(uintptr_t)argument, RECORD);
    for (unsigned long i = 0; i < rounds; i++) {
        if (write(shared_fd, record, RECORD) != RECORD)
            fail("write");
        shared_bytes += RECORD;
    }
    return NULL;
}

/* Whatever another thread wrote before is in the file, by any way to look. */
static void *look_on(void *argument)
{
    struct stat by_name, by_fd;
    char byte;

    (void)argument;
    while (shared_bytes < 4 * rounds * RECORD) {
        unsigned long before = shared_bytes;
        if (stat("shared", &by_name) || fstat(shared_fd, &by_fd))
            fail("stat");
        if ((unsigned long)by_name.st_size < before || (unsigned long)by_fd.st_size < before)
            printf("%ld and %ld after %lu\n", (long)by_name.st_size, (long)by_fd.st_size, before);
        before = shared_bytes;
        if (before && pread(shared_fd, &byte, 1, (off_t)before - 1) != 1)
            printf("nothing at %lu\n", before);
        usleep(100);
    }
    return NULL;
}

static void by_threads(unsigned long number)
{
    unsigned long whole[4] = {0}, torn = 0;
    pthread_t threads[5];

    rounds = number;
    shared_fd = open_file("shared", O_RDWR | O_TRUNC);
    for (uintptr_t i = 0; i < 5; i++)
        if (pthread_create(&threads[i], NULL, i < 4 ? write_records : look_on, (void *)i))
            fail("thread");
    for (int i = 0; i < 5; i++)
        pthread_join(threads[i], NULL);
    if (lseek(shared_fd, 0, SEEK_SET))
        fail("lseek");
    while (read(shared_fd, buffer, RECORD) == RECORD) {
        if (buffer[0] < 'a' || buffer[0] > 'd' || memcmp(buffer, buffer + 1, RECORD - 1) != 0)
            torn++;
        else
            whole[buffer[0] - 'a']++;
    }
    printf("%lu %lu %lu %lu %lu\n", whole[0], whole[1], whole[2], whole[3], torn);
    unlink("shared");
}

/* ---- signals ---------------------------------------------------------------- */

static int handler_fd;
static volatile unsigned long handled;

static void on_alarm(int signo)
{
    (void)signo;
    if (write(handler_fd, "handler\n", 8) == 8)
        handled++;
}

/* Signals arrive within writes; none is lost, none is made twice. */
static void by_signals(unsigned long writes)
{
    const struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    int fd = open_file("main", O_RDWR | O_TRUNC);
    struct stat status;
    unsigned long wrong = 0;
    char record[2048];

    handler_fd = open_file("handler", O_WRONLY | O_TRUNC);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (unsigned long i = 0; i < writes || handled < 20; i++) {
        memset(record, (int)(i & 127), sizeof(record));
        if (write(fd, record, sizeof(record)) != sizeof(record))
            fail("write");
        if (i == writes)
            writes++;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    if (fstat(handler_fd, &status) || lseek(fd, 0, SEEK_SET))
        fail("stat");
    for (unsigned long i = 0; i < writes; i++) {
        if (read(fd, record, sizeof(record)) != sizeof(record) || record[0] != (char)(i & 127) ||
            memcmp(record, record + 1, sizeof(record) - 1) != 0)
            wrong++;
    }
    printf("%lu wrong, %ld more, handler %s\n", wrong, (long)read(fd, record, 1),
           (unsigned long)status.st_size == 8 * handled ? "right" : "wrong");
    unlink("main");
    unlink("handler");
}

/* ---- hostile ---------------------------------------------------------------- */

static sigjmp_buf back;

static void jump_back(int signo)
{
    siglongjmp(back, signo);
}

/* Writes into the word of the room and into the room; what is in the file then may be wrong, but it is
 * no longer than the room allows, and no other file changes. */
static void forge(unsigned long calls)
{
    struct ferry_kernel_words *words = (void *)FERRY_KERNEL_WORDS;
    volatile char *rooms = (void *)FERRY_ROOMS_BASE;
    int other = open_file("other", O_RDWR | O_TRUNC), fd = open_file("forged", O_RDWR | O_TRUNC);
    struct stat status;

    signal(SIGSEGV, jump_back);
    signal(SIGBUS, jump_back);
    if (write(other, "mine", 4) != 4)
        fail("write");
    for (unsigned long i = 0; i < calls; i++) {
        off_t at = lseek(fd, 0, SEEK_CUR), here;

        fill(100);
        for (int writes = 0; writes < 3; writes++)
            if (write(fd, buffer, 100) != 100)
                fail("write");
        if (i > 20 && !sigsetjmp(back, 1)) {
            uint64_t *word = &words->rooms[i % FERRY_KERNEL_ROOMS];

            *word =
                i % 2 ? *word + below(1u << 31) : (uint64_t)below(1u << 31) << 33 | below(1u << 31);
            *word |= (uint64_t)below(256) << FERRY_KERNEL_OWNER_SHIFT;
        }
        if (i > 20 && !sigsetjmp(back, 1))
            rooms[below(FERRY_ROOMS_BYTES)] = 1;
        if (i > 20 && !sigsetjmp(back, 1))
            (void)rooms[below(2 << 20)];
        if (write(1, (const char *)rooms + below(1000), 10) != -1 || errno != EFAULT)
            printf("written\n");
        here = lseek(fd, 0, SEEK_CUR);
        if (here < at || here > at + 300 + (off_t)FERRY_KERNEL_ROOM_BYTES)
            printf("at %lld after %lld\n", (long long)here, (long long)at);
        if (here > 1 << 20 && lseek(fd, 0, SEEK_SET))
            fail("lseek");
        if (fstat(fd, &status) || status.st_size > (1 << 21))
            printf("too long\n");
    }
    memset(buffer, 0, 8);
    if (pread(other, buffer, 8, 0) != 4 || memcmp(buffer, "mine", 4) != 0)
        printf("the other file has changed\n");
    printf("over\n");
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    unsigned long number = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;

    chance = number;
    if (argc > 3 && chdir(argv[3]))
        fail(argv[3]);
    if (strcmp(how, "mix") == 0)
        mix(number);
    else if (strcmp(how, "order") == 0)
        in_order(number);
    else if (strcmp(how, "refused") == 0)
        until_refused();
    else if (strcmp(how, "full") == 0)
        until_full();
    else if (strcmp(how, "threads") == 0)
        by_threads(number);
    else if (strcmp(how, "signals") == 0)
        by_signals(number);
    else if (strcmp(how, "forge") == 0)
        forge(number);
    else
        return 2;
    return 0;
}
