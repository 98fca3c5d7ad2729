/* SPDX-License-Identifier: BSD-2-Clause */
/* Reserves more memory than a VM has, and touches some of it in every way. Prints the same in a VM of
 * 256 MiB and outside. With an argument it takes what it can: "all" the memory of one mapping,
 * "sparse" pages far apart, "filled" pieces until it is refused one, "threads" many stacks. */
#include <fcntl.h>
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

#define PAGE ((size_t)4096)
#define MIB  ((size_t)1 << 20)
#define GIB  ((size_t)1 << 30)

enum { RW = PROT_READ | PROT_WRITE, ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS, THREADS = 64 };

static char *map(size_t bytes, int prot, int flags)
{
    char *at = mmap(NULL, bytes, prot, ANONYMOUS | flags, -1, 0);

    if (at == MAP_FAILED)
        fail("mmap of %zu MiB: %s", bytes / MIB, strerror(errno));
    return at;
}

/* Twice, so that the second finds addresses that were in use before. */
static char *fresh(size_t bytes)
{
    char *at = map(bytes, RW, MAP_NORESERVE);

    at[0] = at[bytes - 1] = 1;
    munmap(at, bytes);
    return map(bytes, RW, MAP_NORESERVE);
}

/* A process may have a guard around a mapping that is nobody's business here. */
static void reserved(void)
{
    static const size_t sizes[] = {GIB / 2, 6 * GIB, 10 * GIB};
    char *at, *part;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        at = map(sizes[i], PROT_NONE, MAP_NORESERVE);
        part = at + sizes[i] / 2;
        if (mprotect(part, 2 * PAGE, RW) || mprotect(part + MIB, 64 * MIB, RW))
            fail("mprotect: %s", strerror(errno));
        part[PAGE] = part[5 * MIB] = 'x';
        if (mmap(at, 16 * MIB, RW, ANONYMOUS | MAP_FIXED, -1, 0) != at)
            fail("fixed: %s", strerror(errno));
        at[16 * MIB - 1] = 'y';
        printf("%zu MiB: %c%c%c %d\n", sizes[i] / MIB, part[PAGE], part[5 * MIB], at[16 * MIB - 1],
               part[6 * MIB]);
        munmap(at, sizes[i]);
    }
}

static void sparse(void)
{
    const size_t step = 4 * MIB + 3 * PAGE;
    char *at = map(8 * GIB, RW, MAP_NORESERVE);
    long sum = 0;

    for (size_t i = 0; i < 2000; i++)
        at[i * step] = (char)(i % 100);
    for (size_t i = 0; i < 2000; i++)
        sum += at[i * step];
    printf("sparse: %ld\n", sum);
    munmap(at, 8 * GIB);
}

/* More than there is in all, but never at once. */
static void given_back(void)
{
    char *at = map(GIB, RW, MAP_NORESERVE);
    long sum = 0;

    for (size_t i = 0; i < 8; i++) {
        char *part = at + i * 100 * MIB;

        memset(part, (int)i, 100 * MIB);
        sum += part[50 * MIB];
        if (madvise(part, 100 * MIB, MADV_DONTNEED))
            fail("madvise: %s", strerror(errno));
        sum += part[50 * MIB];
    }
    printf("given back: %ld\n", sum);
    munmap(at, GIB);
    for (size_t i = 0; i < 8; i++) {
        at = map(100 * MIB, RW, 0);
        memset(at, 1, 100 * MIB);
        munmap(at, 100 * MIB);
    }
}

static void string_store(char *to, size_t bytes)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"('s') : "memory");
}

/* What a processor may do at a place that nothing has touched. */
static void by_instructions(void)
{
    char *at = fresh(512 * MIB);
    unsigned long exchanged = 0;
    __m128i zeros = _mm_setzero_si128(), loaded;

    string_store(at + 3 * MIB - 10, 3 * MIB);
    printf("string: %d %c %d\n", at[3 * MIB - 11], at[5 * MIB], at[6 * MIB - 10]);
    *(uint64_t *)(void *)(at + 20 * MIB - 3) = ~0ull;
    printf("across: %d %d %d\n", at[20 * MIB - 4], at[20 * MIB], at[20 * MIB + 5]);
    printf("added: %d", __sync_fetch_and_add((int *)(void *)(at + 30 * MIB), 7));
    printf(" %d\n", *(int *)(void *)(at + 30 * MIB));
    printf("exchanged: %d\n",
           __sync_bool_compare_and_swap((unsigned long *)(void *)(at + 40 * MIB), exchanged, 9ul));
    loaded = _mm_loadu_si128((__m128i *)(void *)(at + 50 * MIB - 7));
    printf("vector: %x\n", _mm_movemask_epi8(_mm_cmpeq_epi8(loaded, zeros)));
    _mm_stream_si128((__m128i *)(void *)(at + 60 * MIB), _mm_set1_epi8(5));
    printf("streamed: %d\n", at[60 * MIB + 15]);
    memmove(at + 70 * MIB, at + 100 * MIB, 20 * MIB);
    printf("moved: %d\n", memcmp(at + 70 * MIB, at + 200 * MIB, MIB));
    munmap(at, 512 * MIB);
}

__attribute__((target("avx2"))) static int gathered(const char *at)
{
    __m256i places = _mm256_set_epi32(0, 16, 32, 48, 64, 80, 96, 112), sum;

    places = _mm256_slli_epi32(places, 18); /* MiB apart, in steps of four bytes */
    sum = _mm256_i32gather_epi32((const int *)(const void *)at, places, 4);
    return _mm256_extract_epi32(sum, 0) + _mm256_extract_epi32(sum, 7);
}

static void by_gathering(void)
{
    char *at = fresh(128 * MIB);

    at[112 * MIB] = 3;
    printf("gathered: %d\n", __builtin_cpu_supports("avx2") ? gathered(at) : 3);
    munmap(at, 128 * MIB);
}

static void by_calls(void)
{
    char *at = fresh(512 * MIB);
    int ends[2], zero = open("/dev/zero", O_RDONLY);
    struct timespec *when;

    if (pipe(ends) || write(ends[1], "hello", 5) != 5)
        fail("pipe: %s", strerror(errno));
    printf("read: %zd", read(ends[0], at + 10 * MIB - 2, 3 * MIB));
    printf(" %.5s\n", at + 10 * MIB - 2);
    printf("write: %zd", write(ends[1], at + 100 * MIB - 4, 8));
    printf(" %zd\n", read(ends[0], at + 200 * MIB, 8));
    munmap(at, 512 * MIB);
    at = fresh(GIB);
    when = (struct timespec *)(void *)(at + 300 * MIB);
    printf("little: %zd", write(ends[1], "little", 6));
    printf(" %zd %.6s\n", read(ends[0], at, GIB), at);
    printf("zeros: %zd\n", read(zero, at + 201 * MIB, MIB));
    printf("clock: %d\n", clock_gettime(CLOCK_MONOTONIC, when) == 0 && when->tv_sec > 0);
    printf("futex: %ld\n",
           syscall(SYS_futex, at + 310 * MIB, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0));
    munmap(at + 400 * MIB, PAGE);
    printf("refused: %zd", write(ends[1], at + 400 * MIB, 5));
    printf(" %s\n", strerror(errno));
    close(ends[0]);
    close(ends[1]);
    close(zero);
    munmap(at, GIB);
}

static void rights(void)
{
    char *at = fresh(64 * MIB);
    size_t size = 64 * MIB;

    at[9 * MIB] = 'a';
    mprotect(at, size, PROT_READ);
    printf("read only: %c %d\n", at[9 * MIB], at[30 * MIB]);
    mprotect(at, size, PROT_NONE);
    mprotect(at + 8 * MIB, 30 * MIB, RW);
    at[20 * MIB] = 'b';
    printf("again: %c%c%d\n", at[9 * MIB], at[20 * MIB], at[31 * MIB]);
    mprotect(at, size, RW);
    at = mremap(at, size, 2 * size, MREMAP_MAYMOVE);
    if (at == MAP_FAILED)
        fail("mremap: %s", strerror(errno));
    at[2 * size - 1] = 'c';
    printf("longer: %c%c%d%c\n", at[9 * MIB], at[20 * MIB], at[size + 5], at[2 * size - 1]);
    munmap(at, 2 * size);
}

static void on_new_stack(int signo)
{
    printf("signal %d, local %d\n", signo, *(volatile char *)__builtin_frame_address(0) == 77);
}

static void stacks(void)
{
    char *at = fresh(8 * MIB);
    stack_t stack = {.ss_sp = at, .ss_size = 8 * MIB};

    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_new_stack, .sa_flags = SA_ONSTACK},
              NULL);
    raise(SIGUSR1);
}

static pthread_barrier_t all_there;

static void *deep(void *arg)
{
    volatile char room[100 << 10];

    memset((char *)room, 1, sizeof(room));
    pthread_barrier_wait(&all_there);
    return (char *)arg + room[sizeof(room) - 1];
}

/* All at the same time, with stacks of the usual size. */
static void many_threads(unsigned count)
{
    pthread_t threads[THREADS];
    void *result;
    long sum = 0;

    pthread_barrier_init(&all_there, NULL, count + 1);
    for (unsigned i = 0; i < count; i++) {
        int err = pthread_create(&threads[i], NULL, deep, (void *)(uintptr_t)i);

        if (err)
            fail("thread %u: %s", i, strerror(err));
    }
    pthread_barrier_wait(&all_there);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], &result);
        sum += (long)result;
    }
    printf("%u threads: %ld\n", count, sum);
}

/* ---- what it can take ---------------------------------------------------- */

static void take(size_t step, bool say)
{
    char *at = map(12 * GIB, RW, MAP_NORESERVE);

    for (size_t i = 0; i < 12 * GIB; i += step) {
        at[i] = 1;
        if (say && i % (500 * step) == 0) {
            printf("%zu\n", i / step);
            fflush(stdout);
        }
    }
}

static void take_pieces(void)
{
    size_t pieces = 0;
    char *at;

    while ((at = mmap(NULL, 4 * MIB, RW, ANONYMOUS, -1, 0)) != MAP_FAILED) {
        memset(at, 1, 4 * MIB);
        pieces++;
    }
    printf("%zu MiB, then %s\n", 4 * pieces, strerror(errno));
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";

    if (!strcmp(how, "all")) {
        take(PAGE, false);
    } else if (!strcmp(how, "sparse")) {
        take(3 * MIB + PAGE, true);
    } else if (!strcmp(how, "filled")) {
        take_pieces();
    } else if (!strcmp(how, "threads")) {
        many_threads(THREADS - 1);
        many_threads(THREADS - 1);
    } else {
        reserved();
        sparse();
        given_back();
        by_instructions();
        by_gathering();
        by_calls();
        rights();
        stacks();
        many_threads(8);
    }
    return 0;
}
