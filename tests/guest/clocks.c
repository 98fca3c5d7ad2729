/* SPDX-License-Identifier: BSD-2-Clause */
/* The clocks that the vDSO tells, by functions that are looked up here by hand; the first argument
 * says what is asked. Ends with 0 if all was right. */
#include <elf.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "guest.h"

#define NS_PER_S 1000000000ll
#define EXACT_NS 1000
#define THREADS  4
#define DT_GNU   0x6ffffef5

/* ---- the image ------------------------------------------------------------------ */

static struct {
    const char *base; /* address 0 of the image */
    const Elf64_Sym *symbols;
    const char *strings;
    const uint32_t *hash, *gnu_hash;
    const uint16_t *versions;
    const Elf64_Verdef *definitions;
} image;

static void find_image(void)
{
    const char *start = (const char *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)start;
    const Elf64_Phdr *part;
    const Elf64_Dyn *entry = NULL;

    if (!start || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_type != ET_DYN)
        fail("no vDSO");
    part = (const Elf64_Phdr *)(start + head->e_phoff);
    for (int i = 0; i < head->e_phnum; i++) {
        if (part[i].p_type == PT_LOAD && !image.base)
            image.base = start + part[i].p_offset - part[i].p_vaddr;
        if (part[i].p_type == PT_DYNAMIC)
            entry = (const Elf64_Dyn *)(start + part[i].p_offset);
    }
    for (; entry->d_tag != DT_NULL; entry++) {
        const char *at = image.base + entry->d_un.d_ptr;

        if (entry->d_tag == DT_SYMTAB)
            image.symbols = (const Elf64_Sym *)at;
        else if (entry->d_tag == DT_STRTAB)
            image.strings = at;
        else if (entry->d_tag == DT_HASH)
            image.hash = (const uint32_t *)at;
        else if (entry->d_tag == DT_GNU)
            image.gnu_hash = (const uint32_t *)at;
        else if (entry->d_tag == DT_VERSYM)
            image.versions = (const uint16_t *)at;
        else if (entry->d_tag == DT_VERDEF)
            image.definitions = (const Elf64_Verdef *)at;
        else if (entry->d_tag == DT_RELA || entry->d_tag == DT_REL || entry->d_tag == DT_NEEDED)
            fail("the vDSO asks for relocations or libraries");
    }
    if (!image.symbols || !image.strings || !image.hash || !image.gnu_hash || !image.versions ||
        !image.definitions)
        fail("the vDSO lacks a table");
}

/* Of the version that C libraries ask for. */
static bool is_it(uint32_t index, const char *name)
{
    const char *definition = (const char *)image.definitions;
    const Elf64_Verdef *version = image.definitions;

    if (strcmp(image.strings + image.symbols[index].st_name, name) != 0 ||
        image.symbols[index].st_shndx == SHN_UNDEF)
        return false;
    while (version->vd_ndx != (image.versions[index] & 0x7fff)) {
        if (!version->vd_next)
            return false;
        definition += version->vd_next;
        version = (const Elf64_Verdef *)definition;
    }
    const Elf64_Verdaux *text = (const Elf64_Verdaux *)(definition + version->vd_aux);

    return strcmp(image.strings + text->vda_name, "LINUX_2.6") == 0;
}

static uint32_t by_hash(const char *name)
{
    const uint32_t buckets = image.hash[0], *chain = image.hash + 2 + buckets;
    uint32_t hash = 0;

    for (const char *byte = name; *byte; byte++) {
        hash = (hash << 4) + (unsigned char)*byte;
        hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
    }
    for (uint32_t i = image.hash[2 + hash % buckets]; i; i = chain[i])
        if (is_it(i, name))
            return i;
    return 0;
}

static uint32_t by_gnu_hash(const char *name)
{
    const uint32_t *table = image.gnu_hash, buckets = table[0], first = table[1];
    const uint64_t *bloom = (const uint64_t *)(table + 4);
    const uint32_t *bucket = (const uint32_t *)(bloom + table[2]), *chain = bucket + buckets;
    uint32_t hash = 5381;

    for (const char *byte = name; *byte; byte++)
        hash = hash * 33 + (unsigned char)*byte;
    uint64_t word = bloom[hash / 64 % table[2]];
    if (!(word >> hash % 64 & word >> (hash >> table[3]) % 64 & 1) || !bucket[hash % buckets])
        return 0;
    for (uint32_t i = bucket[hash % buckets];; i++) {
        uint32_t one = chain[i - first];

        if ((one | 1) == (hash | 1) && is_it(i, name))
            return i;
        if (one & 1)
            return 0;
    }
}

static void *find(const char *name)
{
    uint32_t index = by_hash(name);

    if (!index)
        fail("%s is not in the table DT_HASH", name);
    if (by_gnu_hash(name) != index)
        fail("%s is not in the table DT_GNU_HASH", name);
    return (void *)(uintptr_t)(image.base + image.symbols[index].st_value);
}

static int (*vdso_clock_gettime)(clockid_t, struct timespec *);
static int (*vdso_clock_getres)(clockid_t, struct timespec *);
static int (*vdso_gettimeofday)(struct timeval *, struct timezone *);
static time_t (*vdso_time)(time_t *);
static long (*vdso_getcpu)(unsigned *, unsigned *, void *);

static void find_functions(void)
{
    find_image();
    vdso_clock_gettime = (int (*)(clockid_t, struct timespec *))find("__vdso_clock_gettime");
    vdso_clock_getres = (int (*)(clockid_t, struct timespec *))find("__vdso_clock_getres");
    vdso_gettimeofday = (int (*)(struct timeval *, struct timezone *))find("__vdso_gettimeofday");
    vdso_time = (time_t(*)(time_t *))find("__vdso_time");
    vdso_getcpu = (long (*)(unsigned *, unsigned *, void *))find("__vdso_getcpu");
    if (by_hash("__vdso_no") || by_gnu_hash("__vdso_no"))
        fail("there is what is not there");
}

/* ---- beside the system calls ---------------------------------------------------- */

static int64_t in_ns(struct timespec time)
{
    return (int64_t)time.tv_sec * NS_PER_S + time.tv_nsec;
}

static int64_t by_vdso(clockid_t clock)
{
    struct timespec now;

    if (vdso_clock_gettime(clock, &now) || now.tv_nsec < 0 || now.tv_nsec >= NS_PER_S)
        fail("clock %d is not told", (int)clock);
    return in_ns(now);
}

static int64_t by_call(clockid_t clock)
{
    struct timespec now;

    if (syscall(SYS_clock_gettime, clock, &now))
        fail("clock %d: %s", (int)clock, strerror(errno));
    return in_ns(now);
}

static void between(const char *what, int64_t before, int64_t now, int64_t after, int64_t slack)
{
    if (now < before - slack || now > after + slack)
        fail("%s: %lld is not between %lld and %lld", what, (long long)now, (long long)before,
             (long long)after);
}

static void compare_clocks(void)
{
    static const clockid_t clocks[] = {
        CLOCK_REALTIME,          CLOCK_MONOTONIC,     CLOCK_PROCESS_CPUTIME_ID,
        CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
        CLOCK_MONOTONIC_COARSE,  CLOCK_BOOTTIME,      CLOCK_TAI};

    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct timespec told, step;

        for (int round = 0; round < 200; round++) {
            int64_t before = by_call(clocks[i]), now = by_vdso(clocks[i]);

            between("clock", before, now, by_call(clocks[i]), 0);
        }
        if (syscall(SYS_clock_getres, clocks[i], &told) || vdso_clock_getres(clocks[i], &step) ||
            in_ns(told) != in_ns(step) || vdso_clock_getres(clocks[i], NULL))
            fail("the step of clock %d is another", (int)clocks[i]);
    }
    for (clockid_t clock = -8; clock < 16; clock++) { /* newer kernels have more from there on */
        struct timespec now;
        int call = (int)syscall(SYS_clock_gettime, clock, &now) ? -errno : 0;
        int step = (int)syscall(SYS_clock_getres, clock, &now) ? -errno : 0;

        if (vdso_clock_gettime(clock, &now) != call || vdso_clock_getres(clock, &now) != step)
            fail("clock %d is there and is not", (int)clock);
    }
}

static void compare_time(void)
{
    struct timezone zone = {1, 1};
    struct timeval now;

    for (int round = 0; round < 200; round++) {
        int64_t before = by_call(CLOCK_REALTIME);

        if (vdso_gettimeofday(&now, &zone) || zone.tz_minuteswest || zone.tz_dsttime)
            fail("gettimeofday failed");
        between("gettimeofday", before - 999, now.tv_sec * NS_PER_S + now.tv_usec * 1000,
                by_call(CLOCK_REALTIME), 0);
    }
    if (vdso_gettimeofday(NULL, NULL) || vdso_gettimeofday(NULL, &zone))
        fail("gettimeofday wants to tell the time");
    for (int round = 0; round < 200; round++) {
        time_t before = syscall(SYS_time, NULL), stored = 0, told = vdso_time(&stored);

        between("time", before, told, syscall(SYS_time, NULL), 0);
        if (stored != told || vdso_time(NULL) < told)
            fail("time tells one thing and stores another");
    }
}

static void compare_cpu(void)
{
    cpu_set_t one;
    unsigned cpu = 99, node = 99;

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    if (sched_setaffinity(0, sizeof(one), &one) || vdso_getcpu(&cpu, &node, NULL) ||
        vdso_getcpu(NULL, NULL, NULL) || cpu != 0 || node != 0)
        fail("a thread that may run on processor 0 runs on %u", cpu);
}

/* ---- never backwards ------------------------------------------------------------- */

static _Atomic int64_t newest;

static void look(bool by_system_call)
{
    int64_t seen = atomic_load(&newest);
    int64_t now = by_system_call ? by_call(CLOCK_MONOTONIC) : by_vdso(CLOCK_MONOTONIC);

    if (now < seen)
        fail("CLOCK_MONOTONIC ran backwards by %lld ns", (long long)(seen - now));
    while (seen < now && !atomic_compare_exchange_weak(&newest, &seen, now))
        ;
}

static void *look_often(void *arg)
{
    int64_t until = by_vdso(CLOCK_MONOTONIC) + NS_PER_S / 2;

    for (int i = 0; atomic_load(&newest) < until; i++)
        look(i % 64 == 0);
    return arg;
}

static void look_in_threads(void)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        expect_ok("pthread_create", -pthread_create(&threads[i], NULL, look_often, NULL));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static atomic_int signals;

static void on_alarm(int signo)
{
    (void)signo;
    look(signals % 2);
    signals++;
}

/* Signals come in the midst of the vDSO, and their handlers call it. */
static void look_in_handlers(void)
{
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};

    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; signals < 50; i++)
        look(i % 1024 == 0);
    setitimer(ITIMER_REAL, &never, NULL);
}

/* Looks on until standard input ends, and tells each byte of it. */
static void watch(void)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char byte;

    puts("begun");
    for (;;) {
        fflush(stdout);
        for (int i = 0; i < 100000; i++)
            look(i % 64 == 0);
        if (poll(&input, 1, 0) == 0)
            continue;
        if (read(0, &byte, 1) != 1)
            return;
        int64_t before = by_call(CLOCK_REALTIME), now = by_vdso(CLOCK_REALTIME);

        between("the time of day", before, now, by_call(CLOCK_REALTIME), 0);
        puts("goes on");
    }
}

/* ---- faults ---------------------------------------------------------------------- */

static sigjmp_buf back;
static siginfo_t fault;
static uintptr_t fault_rip;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    fault = *info;
#ifdef REG_RIP
    fault_rip = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#endif
    siglongjmp(back, 1);
}

/* At first, or always, the system call may be made, which does not fault. */
static void ask(char *at)
{
    for (int i = 0; i < 10000; i++) {
        if (vdso_clock_gettime(CLOCK_MONOTONIC, (struct timespec *)(void *)at) != -EFAULT)
            fail("the time was told in a wrong place");
    }
    fault = (siginfo_t){.si_signo = 0};
    siglongjmp(back, 1);
}

static void expect_fault(const char *what, void (*act)(char *), char *at, int code)
{
    if (sigsetjmp(back, 1) == 0) {
        act(at);
        fail("%s: no fault", what);
    }
    if (act == ask && !fault.si_signo)
        return;
    if (fault.si_addr != at || fault.si_code != code)
        fail("%s: a fault of code %d at %p, not %d at %p", what, fault.si_code, fault.si_addr, code,
             (void *)at);
}

static void store(char *at)
{
    *(volatile char *)at = 1;
}

static void test_faults(void)
{
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    char *vdso = (char *)getauxval(AT_SYSINFO_EHDR), bytes[8];
    char *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int ends[2];

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    expect_fault("asking for it at 16", ask, (char *)16, SEGV_MAPERR);
    if (fault.si_signo && fault_rip - (uintptr_t)vdso > 8191)
        fail("the fault was not in the vDSO");
    expect_fault("asking for it in memory without rights", ask, closed, SEGV_ACCERR);
    expect_fault("a store to the vDSO", store, vdso, SEGV_ACCERR);
    expect_fault("a store to the page of clocks", store, vdso - 4096, SEGV_ACCERR);
    if (pipe(ends) || write(ends[1], vdso, 8) != 8 || read(ends[0], bytes, 8) != 8 ||
        memcmp(bytes, vdso, 8) != 0)
        fail("the vDSO cannot be written to a pipe");
    if (write(ends[1], vdso, 4) != 4 || read(ends[0], vdso, 4) != -1 || errno != EFAULT)
        fail("read(2) stores into the vDSO");
}

/* The first touch of memory may be the vDSO's. */
static void test_fresh_memory(void)
{
    const size_t bytes = 8u << 20;

    for (int i = 0; i < 40; i++) {
        char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct timespec *now = (struct timespec *)(void *)(at + (size_t)i * 4096 + 4096 - 8);

        if (at == MAP_FAILED)
            fail("no memory");
        look(false);
        if (vdso_clock_gettime(CLOCK_MONOTONIC, now) || in_ns(*now) < newest)
            fail("the time in fresh memory is wrong");
        if (vdso_gettimeofday((struct timeval *)(void *)(at + bytes - 16), NULL))
            fail("no time of day in fresh memory");
        munmap(at, bytes);
    }
}

/* Where the other part of a program's addresses begins, in VMs that have one. */
#define FAR ((void *)0x5000000000)

static void check_line(const char *line, uintptr_t from, uintptr_t to, const char *rights)
{
    const uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);

    if (strstr(line, "[vvar") && (from >= to || to != vdso || strcmp(rights, "r--p") != 0))
        fail("the page of clocks is at %lx-%lx %s", from, to, rights);
    if (strstr(line, "[vdso]") &&
        (from != vdso || to - from != 8192 || strcmp(rights, "r-xp") != 0))
        fail("the vDSO is at %lx-%lx %s", from, to, rights);
}

/* Each line lies behind the one before it, also with a mapping far behind the vDSO. */
static void look_at_maps(const void *mapping)
{
    unsigned long from, to, last = 0;
    char line[256], rights[5];
    FILE *maps = fopen("/proc/self/maps", "r");
    int clocks = 0, vdso = 0, mappings = 0;

    if (!maps)
        fail("no maps");
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3)
            fail("a line of maps cannot be read: %s", line);
        if (from < last)
            fail("a line of maps begins before the end of the one before it: %s", line);
        last = to;
        clocks += strstr(line, "[vvar") != NULL;
        vdso += strstr(line, "[vdso]") != NULL;
        mappings += (uintptr_t)mapping - from < to - from;
        check_line(line, from, to, rights);
    }
    fclose(maps);
    if (clocks != 1 || vdso != 1 || mappings != 1)
        fail("maps has %d lines of the page of clocks, %d of the vDSO, %d of a mapping", clocks,
             vdso, mappings);
}

static void test_maps(void)
{
    void *mapping;

    look_at_maps(&image);
    mapping = mmap(FAR, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        fail("no memory");
    look_at_maps(mapping);
    /* It is not the program's, and stays. */
    if (munmap((void *)getauxval(AT_SYSINFO_EHDR), 8192) || by_vdso(CLOCK_MONOTONIC) < newest)
        fail("the vDSO cannot be unmapped");
    look_at_maps(mapping);
}

/* ---------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "clocks compare|threads|handlers|watch|faults|memory|maps|count N");
    find_functions();
    if (!strcmp(argv[1], "compare")) {
        compare_clocks();
        compare_time();
        compare_cpu();
    } else if (!strcmp(argv[1], "threads")) {
        look_in_threads();
    } else if (!strcmp(argv[1], "handlers")) {
        look_in_handlers();
    } else if (!strcmp(argv[1], "watch")) {
        watch();
    } else if (!strcmp(argv[1], "faults")) {
        test_faults();
    } else if (!strcmp(argv[1], "memory")) {
        test_fresh_memory();
    } else if (!strcmp(argv[1], "maps")) {
        test_maps();
    } else if (!strcmp(argv[1], "count")) { /* as its C library asks */
        struct timespec now;
        struct timeval day;

        for (int i = argc > 2 ? atoi(argv[2]) : 0; i > 0; i--) {
            if (clock_gettime(CLOCK_MONOTONIC, &now) || gettimeofday(&day, NULL))
                fail("no clock");
        }
    } else {
        fail("no test '%s'", argv[1]);
    }
    puts("all right");
    return 0;
}
