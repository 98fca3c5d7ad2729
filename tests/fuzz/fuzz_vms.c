/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threat: a program of which every instruction was chosen by an attacker, with descriptors, indexes and
 * system calls of its choice, to bring the VMM down, to keep it from ending the program at its time, to
 * reach memory of another VM, or to keep units, threads, descriptors after its end.
 *
 * An input is the code of a program: some pieces are ready-made (a system call, a call of the VMM, an
 * `out`, a store to the control structure, the window, the rings, a descriptor in the out ring), with
 * numbers from the input; others are any bytes. It runs in a VM with a link to a second one, whose program
 * only waits, and with links from and to the host. The attacker must end, by itself or at its time, and the
 * second one only when it is told to. Then all units are free, and this process has as many threads and
 * descriptors as before.
 *
 * Not here: threads of a program, files. A finding may depend on the time at which the VM was stopped.
 */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ferry/abi/control.h>
#include <ferry/abi/layout.h>
#include <ferry/abi/message.h>
#include <ferry/ferry.h>

#include "fuzz.h"

#define TEXT        0x400000ull
#define DATA        0x500000ull
#define CODE_MOST   3000u
#define PIECES      48
#define TIME_NS     30000000ull    /* of the program */
#define PATIENCE    20000000000ull /* of this process, for its end */
#define DESCRIPTORS 256            /* looked at */
#define IMAGES_MOST 10
#define MEMORY      (32ull << 20)
#define CODE_STARTS 0x1000u /* in the file */
#define FILE_BYTES  0x2000u

static struct ferry_engine *engine;
static unsigned known_fds, known_threads;

int LLVMFuzzerInitialize(int *count, char ***words);

/* ---- the program -------------------------------------------------------------- */

struct code {
    uint8_t byte[CODE_MOST];
    unsigned bytes;
};

static void put(struct code *code, const void *bytes, unsigned count)
{
    if (code->bytes + count <= sizeof code->byte) {
        memcpy(code->byte + code->bytes, bytes, count);
        code->bytes += count;
    }
}

#define PUT(code, ...) \
    put(code, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* movabs: register by its number. */
static void put_load(struct code *code, unsigned reg, uint64_t value)
{
    PUT(code, (uint8_t)(0x48 | reg >> 3), (uint8_t)(0xb8 | (reg & 7)));
    put(code, &value, sizeof value);
}

/* A number, or an address of something. */
static uint64_t take_value(struct fuzz *fuzz)
{
    static const uint64_t bases[] = {FERRY_SYSTEM_BASE,
                                     FERRY_SYSTEM_BASE + 3 * 4096,
                                     FERRY_SYSTEM_BASE + 4 * 4096,
                                     FERRY_WINDOW_BASE,
                                     DATA,
                                     TEXT,
                                     FERRY_KERNEL_BASE,
                                     FERRY_CLOCK_ADDR,
                                     FERRY_DIRECT_BASE,
                                     FERRY_PROGRAM_HIGH - 4096};
    uint32_t which = fuzz_below(fuzz, 16);

    return which < 10 ? bases[which] + fuzz_bytes(fuzz, 2) : fuzz_value(fuzz);
}

/* For rdi: the descriptor's receiver is that peer, as the VMM tells it. */
static void put_receiver(struct code *code, uint32_t peer)
{
    const uint64_t entry = FERRY_SYSTEM_BASE + offsetof(struct ferry_control, info.peers) +
                           peer * sizeof(struct ferry_peer);

    put_load(code, 1, entry);
    PUT(code, 0x66, 0x8b, 0x41, offsetof(struct ferry_peer, id)); /* mov ax, [rcx + ...] */
    PUT(code, 0x66, 0x89, 0x47, offsetof(struct ferry_desc, dst));
    PUT(code, 0x8b, 0x41, offsetof(struct ferry_peer, generation));
    PUT(code, 0x89, 0x47, offsetof(struct ferry_desc, dst_generation));
}

static void put_descriptor(struct fuzz *fuzz, struct code *code)
{
    const uint64_t slot = FERRY_SYSTEM_BASE + offsetof(struct ferry_control, out) +
                          fuzz_below(fuzz, 8) * sizeof(struct ferry_desc);
    struct ferry_desc desc = {.mode = (uint8_t)fuzz_below(fuzz, 8)};
    uint64_t words[sizeof desc / 8];
    uint8_t how = fuzz_byte(fuzz);

    desc.flags = fuzz_byte(fuzz) == 0xff;
    desc.dst = (uint16_t)fuzz_below(fuzz, 4);
    desc.dst_generation = fuzz_below(fuzz, 4);
    if (desc.mode == FERRY_INLINE) {
        desc.inline_bytes = (uint8_t)fuzz_below(fuzz, 40);
    } else {
        desc.payload.addr = take_value(fuzz);
        desc.payload.bytes = fuzz_value(fuzz);
    }
    memcpy(words, &desc, sizeof desc);
    put_load(code, 7, slot);
    for (unsigned i = 0; i < sizeof desc / 8; i++) {
        put_load(code, 0, words[i]);
        PUT(code, 0x48, 0x89, 0x47, (uint8_t)(8 * i)); /* mov [rdi + 8 i], rax */
    }
    if ((how & 3) != 3)
        put_receiver(code, how & 3);
    if (how & 4) /* mov [rdi + ...], r15: what was allocated */
        PUT(code, 0x4c, 0x89, 0x7f, offsetof(struct ferry_desc, payload.addr));
}

static void put_doorbell(struct fuzz *fuzz, struct code *code)
{
    put_load(code, 7, FERRY_SYSTEM_BASE + offsetof(struct ferry_control, guest.out_head));
    put_load(code, 0, fuzz_byte(fuzz) < 200 ? fuzz_below(fuzz, 9) : fuzz_value(fuzz));
    PUT(code, 0x89, 0x07, 0xe6, FERRY_PORT_DOORBELL); /* mov [rdi], eax; out */
}

static void put_call(struct fuzz *fuzz, struct code *code, const uint8_t *how, unsigned bytes)
{
    static const uint8_t order[] = {7, 6, 2, 10, 8, 9, 3}; /* rdi rsi rdx r10 r8 r9 rbx */

    for (unsigned i = 0; i < sizeof order; i++)
        put_load(code, order[i], take_value(fuzz));
    put_load(code, 0,
             fuzz_byte(fuzz) < 240 ? fuzz_byte(fuzz) + (fuzz_byte(fuzz) & 1) * 200u
                                   : fuzz_value(fuzz));
    put(code, how, bytes);
}

static void put_piece(struct fuzz *fuzz, struct code *code)
{
    uint8_t raw[16];
    unsigned count;

    switch (fuzz_below(fuzz, 8)) {
    case 0:
        count = fuzz_below(fuzz, 16);
        for (unsigned i = 0; i < count; i++)
            raw[i] = fuzz_byte(fuzz);
        put(code, raw, count);
        break;
    case 1:
    case 2:
        put_call(fuzz, code, (const uint8_t[]){0x0f, 0x05}, 2); /* syscall */
        break;
    case 3:
        put_load(code, 0, 1 + fuzz_below(fuzz, 4));
        put_load(code, 7, take_value(fuzz));
        put_load(code, 6, fuzz_value(fuzz));
        put_load(code, 2, fuzz_value(fuzz));
        PUT(code, 0xe6, FERRY_PORT_CALL, 0x49, 0x89, 0xc7); /* out; mov r15, rax */
        break;
    case 4:
        put_call(fuzz, code,
                 (const uint8_t[]){0xe6, (uint8_t)(FERRY_PORT_DOORBELL + fuzz_below(fuzz, 8))}, 2);
        break;
    case 5:
        put_load(code, 7, take_value(fuzz));
        put_load(code, 0, fuzz_value(fuzz));
        PUT(code, 0x48, 0x89, 0x07); /* mov [rdi], rax */
        break;
    case 6:
        put_descriptor(fuzz, code);
        break;
    default:
        put_doorbell(fuzz, code);
        break;
    }
}

/* As few headers as run. */
static int make_program(const struct code *code)
{
    static uint8_t file[FILE_BYTES];
    const Elf64_Ehdr header = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = TEXT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2};
    const Elf64_Phdr parts[2] = {{.p_type = PT_LOAD,
                                  .p_flags = PF_R | PF_X,
                                  .p_offset = CODE_STARTS,
                                  .p_vaddr = TEXT,
                                  .p_filesz = FILE_BYTES - CODE_STARTS,
                                  .p_memsz = FILE_BYTES - CODE_STARTS,
                                  .p_align = 4096},
                                 {.p_type = PT_LOAD,
                                  .p_flags = PF_R | PF_W,
                                  .p_vaddr = DATA,
                                  .p_memsz = 65536,
                                  .p_align = 4096}};
    int fd = memfd_create("program", MFD_CLOEXEC);

    memset(file, 0xcc, sizeof file); /* behind the code: int3 */
    memcpy(file, &header, sizeof header);
    memcpy(file + sizeof header, parts, sizeof parts);
    memcpy(file + CODE_STARTS, code->byte, code->bytes);
    FUZZ_ASSERT(fd >= 0 && write(fd, file, sizeof file) == (ssize_t)sizeof file);
    return fd;
}

/* ---- running ------------------------------------------------------------------ */

static struct ferry_vm *make_vm(const char *name, const struct code *code, uint64_t timeout_ns)
{
    struct ferry_error err = {0};
    struct ferry_vm *vm;
    int fd = make_program(code);
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const struct ferry_vm_config config = {.name = name,
                                           .program = path,
                                           .memory_bytes = MEMORY,
                                           .stderr_fd = -1,
                                           .view = FERRY_VIEW_NONE,
                                           .timeout_ns = timeout_ns,
                                           .threads = 4};
    int result = ferry_vm_create(engine, &config, &vm, &err);
    if (result)
        fprintf(stderr, "%s\n", err.text);
    FUZZ_ASSERT(result == 0);
    close(fd);
    return vm;
}

static void join(struct ferry_vm *from, struct ferry_vm *to)
{
    const struct ferry_link_config config = {.max_messages = 8};
    struct ferry_error err = {0};
    struct ferry_link *link;

    FUZZ_ASSERT(ferry_link_create(engine, from, to, &config, &link, &err) == 0);
}

static void check_text(const char *text)
{
    for (; *text; text++)
        FUZZ_ASSERT((unsigned char)*text >= ' ' && *text != 0x7f);
}

static struct ferry_vm_exit end_of(struct ferry_vm *vm)
{
    struct ferry_vm_exit end;

    FUZZ_ASSERT(ferry_vm_wait(vm, PATIENCE, &end) == 0);
    check_text(end.text);
    return end;
}

static unsigned count_in(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;

    FUZZ_ASSERT(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* But images, of which the engine keeps a few for the next VM, and pipes: libFuzzer has some to the process
 * that tells it names of functions. */
static unsigned count_descriptors(void)
{
    unsigned count = 0, images = 0;
    char path[64], to[64];

    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t bytes = readlink(path, to, sizeof to - 1);
        to[bytes > 0 ? bytes : 0] = '\0';
        count += bytes > 0 && strncmp(to, "pipe:", 5) != 0;
        images += strstr(to, "ferry-image") != NULL;
    }
    FUZZ_ASSERT(images <= IMAGES_MOST);
    return count - images;
}

/* A thread that was waited for may be in the list for a moment longer. */
static void check_left(void)
{
    struct ferry_ledger ledger;
    unsigned threads = 0;

    ferry_engine_ledger(engine, &ledger);
    FUZZ_ASSERT(!ledger.leaked && !ledger.lent && !ledger.owned);
    FUZZ_ASSERT(ledger.free == ledger.extents + ledger.pages);
    FUZZ_ASSERT(!known_fds || count_descriptors() == known_fds);
    for (int i = 0; i < 1000; i++) {
        threads = count_in("/proc/self/task");
        if (!known_threads || threads <= known_threads)
            break;
        usleep(1000);
    }
    FUZZ_ASSERT(!known_threads || threads <= known_threads);
}

static void run(const struct code *code)
{
    /* mov eax, 34; syscall (pause), again and again */
    const struct code waits = {.byte = {0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7}, .bytes = 9};
    struct ferry_error err = {0};
    struct ferry_vm *attacker = make_vm("attacker", code, TIME_NS),
                    *peer = make_vm("peer", &waits, 0);

    join(attacker, peer);
    join(peer, attacker);
    join(attacker, NULL);
    join(NULL, attacker);
    FUZZ_ASSERT(ferry_vm_start(peer, &err) == 0 && ferry_vm_start(attacker, &err) == 0);
    end_of(attacker);
    ferry_vm_stop(peer, SIGTERM);
    FUZZ_ASSERT(end_of(peer).how == FERRY_ENDED_STOPPED);
    ferry_vm_destroy(attacker);
    ferry_vm_destroy(peer);
    check_left();
}

int LLVMFuzzerInitialize(int *count, char ***words)
{
    const struct ferry_engine_config config = {.pool_extents = 16, .pool_pages = 256};
    const struct code ends = {.byte = {0x0f, 0x0b}, .bytes = 2};
    struct ferry_error err = {0};

    (void)count;
    (void)words;
    if (ferry_engine_create(&config, &engine, &err)) {
        printf("%s\nskip: no virtual machines here\n", err.text);
        fflush(stdout);
        _exit(0);
    }
    run(&ends); /* what is made once and stays is there afterwards */
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz fuzz = fuzz_begin(data, bytes);
    struct code code = {.bytes = 0};

    if (!known_fds) { /* libFuzzer has its own by now */
        known_fds = count_descriptors();
        known_threads = count_in("/proc/self/task");
    }
    for (int i = 0; i < PIECES && fuzz_left(&fuzz); i++)
        put_piece(&fuzz, &code);
    run(&code);
    return 0;
}
