/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest_kernel TOP: attacks what the guest kernel and the VMM tell each other. It has the VMM publish input,
 * room for output, a file and answers about a descriptor; then
 *   - stores to its code and to what only the VMM writes, and maps over both;
 *   - has a thread change the words, by positions, owners and generations of every class, while it
 *     makes all calls that are served there, and loads from pieces that it had before;
 *   - has a thread change the registers that a CPU saved while it is in the guest kernel;
 *   - jumps to each of its entry points with registers, stacks and a GS that it must not trust.
 * Where `syscall` arrives at CPL0 it must not reach any of that; where it stays at CPL3 it gets what it asked
 * for: its own calls go wrong.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <ferry/abi/kernel.h>

#include "try.h"

#define WARM_UP      40
#define ROUNDS       400
#define BOUNCES_MAX  100
#define HARM_SECONDS 30 /* less than the others wait */

static struct ferry_kernel_words *const words = (void *)FERRY_KERNEL_WORDS;
static const struct ferry_kernel_shown *const shown = (void *)FERRY_KERNEL_SHOWN;
static struct ferry_kernel_cpu *const cpus = (void *)FERRY_KERNEL_CPUS;
static char bytes[3 * FERRY_PAGE_BYTES];
static int file;
static atomic_bool racing, left_alone;
static struct ferry_kernel_cpu *victim;
static void (*change)(void);

static uint64_t any(void)
{
    static uint64_t seed = 88172645463325252ull;

    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

/* Every call that the guest kernel serves, with whatever result. */
static void make_calls(void)
{
    struct iovec pieces[3] = {{bytes, 10}, {bytes + 100, 0}, {bytes + 200, 30}};
    struct pollfd polled[2] = {{0, POLLIN, 0}, {1, POLLOUT, 0}};
    struct stat stat;
    fd_set set;

    (void)!read(0, bytes, 1 + any() % 5000);
    (void)!write(1, bytes, 1 + any() % 5000);
    (void)!readv(0, pieces, 3);
    (void)!writev(1, pieces, 3);
    (void)!poll(polled, 2, 0);
    FD_ZERO(&set);
    FD_SET(0, &set);
    (void)select(1, &set, NULL, NULL, &(struct timeval){0, 0});
    (void)!read(file, bytes, 1 + any() % 4);
    (void)!pread(file, bytes, 3, (off_t)(any() % 12));
    (void)!preadv(file, pieces, 1, 0);
    (void)lseek(file, (off_t)(any() % 10), SEEK_SET);
    (void)fstat(file, &stat);
    (void)fstat(0, &stat);
    (void)fcntl(1, F_GETFL);
    (void)getppid();
}

static int load(uint64_t at)
{
    try_put("488b07");
    return try_run((struct try_registers){.rdi = at});
}

static int store(uint64_t at)
{
    try_put("f0480107"); /* adds 0 */
    return try_run((struct try_registers){.rdi = at});
}

/* ---- what only the VMM writes -------------------------------------------- */

static void stores(void)
{
    for (uint64_t at = FERRY_KERNEL_BASE; at < FERRY_KERNEL_WORDS; at += 256)
        if (!store(at))
            fail("a store to %#llx", (unsigned long long)at);
    for (uint64_t at = FERRY_KERNEL_BASE; at < FERRY_KERNEL_BASE + FERRY_KERNEL_BYTES;
         at += FERRY_PAGE_BYTES) {
        void *page = (void *)at;

        if (mmap(page, FERRY_PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED ||
            mprotect(page, FERRY_PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC) == 0 ||
            mremap(page, FERRY_PAGE_BYTES, FERRY_PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
                   bytes) != MAP_FAILED ||
            madvise(page, FERRY_PAGE_BYTES, MADV_DONTNEED) == 0 || read(file, page, 1) >= 0)
            fail("a change of the mapping at %p", page);
        (void)munmap(page, FERRY_PAGE_BYTES);
    }
}

/* ---- jumps ---------------------------------------------------------------- */

/* RBX is the try's own code, at whose end there is `ret`; RCX, where a call would return to, is an
 * instruction that ends the try. */
static void jump(uint64_t to, uint64_t stack, uint64_t gs)
{
    static const uint16_t calls[] = {0, 1, 5, 8, 17, 39};

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        /* mov rsp,rsi if it is not 0; jmp rdx */
        try_put(stack ? "4889f4ffe20f0b" : "ffe29090900f0b");
        (void)syscall(SYS_arch_prctl, 0x1001, gs); /* ARCH_SET_GS */
        (void)try_run((struct try_registers){.rax = calls[i],
                                             .rcx = (uintptr_t)try_code + 5,
                                             .rdx = to,
                                             .rdi = FERRY_KERNEL_CPUS,
                                             .rsi = stack});
    }
    (void)syscall(SYS_arch_prctl, 0x1001, 0);
}

static void jumps(void)
{
    const struct ferry_kernel_head head = *(const struct ferry_kernel_head *)FERRY_KERNEL_BASE;
    const struct ferry_kernel_entry entries[] = {head.at_cpl3, head.at_cpl0};
    const uint64_t stacks[] = {0, 8, FERRY_KERNEL_WORDS + 256, 1ull << 63, FERRY_WINDOW_BASE + 512};
    const uint64_t bases[] = {0, FERRY_KERNEL_CPUS + FERRY_KERNEL_CPU_BYTES, (uintptr_t)bytes, 8};

    for (size_t i = 0; i < 2; i++) {
        const uint32_t places[] = {entries[i].entry, entries[i].saved, entries[i].committed,
                                   entries[i].done, entries[i].end};

        for (size_t j = 0; j < 5; j++)
            for (size_t k = 0; k < 5; k++)
                for (size_t l = 0; l < 4; l++)
                    jump(FERRY_KERNEL_BASE + places[j], stacks[k], bases[l]);
    }
}

/* ---- words ---------------------------------------------------------------- */

static void change_word(uint64_t *word)
{
    static const uint64_t positions[] = {0, 1, 4096, 8192, 0x7fffffff, 0x80000000, UINT32_MAX};
    static const uint64_t owners[] = {0, 1, 2, 64, 65, 255};
    uint64_t now = __atomic_load_n(word, __ATOMIC_RELAXED);

    switch (any() % 8) {
    case 0:
        now = (now & ~(uint64_t)UINT32_MAX) | positions[any() % 7];
        break;
    case 1:
        now += any() % 64; /* a little further on */
        break;
    case 2:
        now -= any() % 64;
        break;
    case 3:
        now = (now & ~(FERRY_KERNEL_OWNER_MASK << FERRY_KERNEL_OWNER_SHIFT)) |
              owners[any() % 6] << FERRY_KERNEL_OWNER_SHIFT;
        break;
    case 4:
        now += (any() % 3 - 1) << FERRY_KERNEL_GENERATION_SHIFT;
        break;
    case 5:
        now = any() % 2 ? 0 : UINT64_MAX;
        break;
    case 6:
        now &= (uint64_t)UINT32_MAX;
        break;
    default:
        now = any();
        break;
    }
    __atomic_store_n(word, now, __ATOMIC_RELEASE);
}

static void change_words(void)
{
    uint64_t *const all[] = {&words->input,
                             &words->output,
                             &words->sent_ticks,
                             &words->files[0],
                             &words->files[any() % FERRY_KERNEL_FILES],
                             &words->told};

    change_word(all[any() % 6]);
    for (unsigned i = any() % 300; i; i--)
        __asm__ volatile("pause");
}

/* Pieces of input and room that were published some rounds ago. */
static void use_old_pieces(void)
{
    static uint64_t old[16];
    static unsigned next;

    if (load(old[next % 16]) == 0)
        (void)store(old[next % 16]);
    old[next % 16] = next % 2 ? shown->room_base : shown->pieces[next / 2 % 8].base;
    next++;
}

/* ---- registers ------------------------------------------------------------ */

extern const char landing[];

static void change_registers(void)
{
    const uint64_t values[] = {0,
                               8,
                               UINT64_MAX,
                               1ull << 63,
                               (uintptr_t)landing,
                               (uintptr_t)bytes,
                               FERRY_KERNEL_BASE,
                               FERRY_KERNEL_CPUS,
                               FERRY_KERNEL_WORDS,
                               FERRY_KERNEL_SHOWN,
                               FERRY_SYSTEM_BASE,
                               FERRY_WINDOW_BASE,
                               0xffffffffff600000,
                               1ull << 40};

    uint64_t *cpu = (uint64_t *)victim;

    if (cpu)
        __atomic_store_n(&cpu[any() % 128], values[any() % 14], __ATOMIC_RELAXED);
}

/* A call by a program that has nothing to lose: it comes back, or goes on at another place. There is one
 * `landing`, so it is one function. */
__attribute__((noinline)) static void naked_call(uint64_t number, uint64_t first, uint64_t second,
                                                 uint64_t third)
{
    const uint64_t mark = 0x5ca1ab1e;

    __asm__ volatile("mov %[mark], %%r12; syscall; landing:"
                     : "+a"(number), "+D"(first), "+S"(second), "+d"(third)
                     : [mark] "r"(mark)
                     : "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory",
                       "cc");
}

static void find_victim(void)
{
    naked_call(SYS_read, 0, (uintptr_t)bytes, 16);
    for (int i = 0; i < FERRY_KERNEL_CPUS_MAX; i++)
        if (cpus[i].r12 == 0x5ca1ab1e)
            victim = &cpus[i];
}

static void make_naked_calls(void)
{
    const uint64_t calls[] = {SYS_read, SYS_write, SYS_pread64, SYS_fstat, SYS_getppid};
    unsigned i = (unsigned)any() % 5;

    naked_call(calls[i], i == 2 ? (uint64_t)file : i, (uintptr_t)bytes, 1 + any() % 9000);
}

/* ---- all ------------------------------------------------------------------ */

static void *change_on_and_on(void *unused)
{
    while (!atomic_load(&racing))
        __asm__ volatile("pause");
    while (atomic_load(&racing))
        change();
    atomic_store(&left_alone, true);
    return unused;
}

/* A fault in the race comes back to a frame that is still there, and what the loop counts by is in no register.
 * It waits for the other thread without a call, which would go wrong. */
static void race(void (*changes)(void), void (*calls)(void))
{
    static time_t begun;
    static int round;
    pthread_t thread;

    begun = time(NULL);
    change = changes;
    atomic_store(&left_alone, false);
    expect_ok("pthread_create", -pthread_create(&thread, NULL, change_on_and_on, NULL));
    atomic_store(&racing, true);
    for (round = 0; round < ROUNDS && time(NULL) <= begun + 1; round++)
        if (sigsetjmp(try_back, 1) == 0) {
            try_bounces = 0;
            calls();
        }
    atomic_store(&racing, false);
    while (!atomic_load(&left_alone))
        __asm__ volatile("pause");
    pthread_join(thread, NULL);
}

static void calls_and_old_pieces(void)
{
    make_calls();
    use_old_pieces();
}

static void end_well(int signo)
{
    (void)signo;
    _exit(0);
}

/* A program that changes its own registers, or jumps to where a call returns that ended long ago, may come
 * back to frames that are others' now and go round there for ever. That is its end too. */
static void may_harm_itself(void)
{
    try_bounces_max = BOUNCES_MAX;
    signal(SIGALRM, end_well);
    alarm(HARM_SECONDS);
}

int main(int argc, char **argv)
{
    char path[600];

    expect_arguments(argc, 1, "guest_kernel TOP");
    snprintf(path, sizeof path, "%s/ro/file", argv[1]);
    file = open(path, O_RDONLY);
    try_prepare();
    fcntl(0, F_SETFL, O_NONBLOCK);
    fcntl(1, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < WARM_UP; i++)
        make_calls();
    if (load(FERRY_KERNEL_BASE))
        fail("there is no guest kernel");
    stores();
    may_harm_itself();
    if (load((uintptr_t)words)) {
        for (uint64_t at = FERRY_KERNEL_SHOWN; at < FERRY_KERNEL_BASE + FERRY_KERNEL_BYTES;
             at += 512)
            if (!load(at))
                fail("%#llx can be read, but not all", (unsigned long long)at);
    } else {
        race(change_words, calls_and_old_pieces);
        find_victim();
        race(change_registers, make_naked_calls);
    }
    jumps();
    return 0;
}
