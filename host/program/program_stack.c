/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the stack of a program at its first instruction: argc, argv, envp and the auxiliary vector,
 * as the System V x86-64 ABI lays them out.
 */
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "program/image_internal.h"
#include "program/program.h"

#define RANDOM_BYTES 16
#define STACK_ALIGN  16
#define AUX_WORDS    44 /* two for each entry of put_aux */

static const char platform[] = "x86_64";

/* Strings are put from the top of the stack downwards. */
struct writer {
    char *host;    /* host view of the part that may be written */
    uint64_t addr; /* its guest address */
    uint64_t next; /* guest address just above the next string */
};

/* The bytes that a NULL-terminated vector needs: pointers with the NULL, and strings. */
struct vector_size {
    uint64_t words, bytes;
};

static struct vector_size measure(char *const *vector)
{
    struct vector_size size = {.words = 1};

    /* Cannot overflow: these strings are in our own memory. */
    for (size_t i = 0; vector && vector[i]; i++) {
        size.words++;
        size.bytes += strlen(vector[i]) + 1;
    }
    return size;
}

/* Stays in bounds: program_stack measured all strings before it made room. */
static uint64_t put(struct writer *writer, const void *data, size_t bytes)
{
    writer->next -= bytes;
    memcpy(writer->host + (writer->next - writer->addr), data, bytes);
    return writer->next;
}

/* Puts the strings and, from words on, their addresses and a NULL. */
static uint64_t *put_vector(struct writer *writer, uint64_t *words, char *const *vector)
{
    for (size_t i = 0; vector && vector[i]; i++)
        *words++ = put(writer, vector[i], strlen(vector[i]) + 1);
    *words++ = 0;
    return words;
}

/* The feature word that Linux puts into AT_HWCAP: CPUID leaf 1, EDX, which every x86-64 has. The C
 * library's getauxval gives another. */
static uint64_t hardware_capabilities(void)
{
    unsigned eax, ebx, ecx, edx;

    __cpuid(1, eax, ebx, ecx, edx);
    return edx;
}

static uint64_t minimal_signal_stack(void)
{
    uint64_t bytes = getauxval(AT_MINSIGSTKSZ);

    return bytes ? bytes : 2048; /* MINSIGSTKSZ, from before kernels told */
}

/* AT_HWCAP2 is 0, so that C libraries leave FSGSBASE alone. */
static void put_aux(const struct program *program, struct writer *writer, struct guest_addr control,
                    const uint8_t random[RANDOM_BYTES], uint64_t *words)
{
    const struct image *image = program->image, *loader = program->loader;
    const uint64_t all[][2] = {
        {AT_PHDR, image->phdr_addr},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, image->phdr_addr ? image->phdr_count : 0},
        {AT_PAGESZ, FERRY_PAGE_BYTES},
        {AT_SYSINFO_EHDR, FERRY_VDSO_ADDR},
        {AT_BASE, loader ? loader->bias + program->loader_shift : 0},
        {AT_FLAGS, 0},
        {AT_ENTRY, image->entry},
        {AT_UID, IMAGE_USER},
        {AT_EUID, IMAGE_USER},
        {AT_GID, IMAGE_USER},
        {AT_EGID, IMAGE_USER},
        {AT_SECURE, 0},
        {AT_CLKTCK, 100},
        {AT_HWCAP, hardware_capabilities()},
        {AT_HWCAP2, 0},
        {AT_MINSIGSTKSZ, minimal_signal_stack()},
        {AT_PLATFORM, put(writer, platform, sizeof(platform))},
        {AT_RANDOM, put(writer, random, RANDOM_BYTES)},
        {AT_EXECFN, put(writer, program->name, strlen(program->name) + 1)},
        {FERRY_AT_CONTROL, control.value},
        {AT_NULL, 0},
    };

    _Static_assert(sizeof(all) == AUX_WORDS * sizeof(uint64_t), "program_stack made room for them");
    memcpy(words, all, sizeof(all));
}

/* The bytes at the top of the stack that are in use at the start; `all` in whole pages. */
struct start_size {
    uint64_t words, strings, all, args;
};

static struct start_size measure_start(const struct program *program, char *const *envp)
{
    struct vector_size args = measure(program->argv), env = measure(envp);
    struct start_size size = {
        .words = (1 + args.words + env.words + AUX_WORDS) * sizeof(uint64_t),
        .strings =
            args.bytes + env.bytes + strlen(program->name) + 1 + sizeof(platform) + RANDOM_BYTES,
        .args = args.words - 1,
    };

    size.all = page_up(size.words + size.strings + STACK_ALIGN);
    return size;
}

static bool fits(const struct start_size *size, uint64_t stack_bytes)
{
    return size->all <= stack_bytes / 4;
}

bool program_stack_fits(const struct program *program, uint64_t stack_bytes, char *const *envp)
{
    const struct start_size size = measure_start(program, envp);

    return fits(&size, stack_bytes);
}

int program_stack(const struct program *program, struct space *space, uint64_t stack_bytes,
                  char *const *envp, struct guest_addr control, struct guest_addr *stack,
                  struct ferry_error *err)
{
    const struct start_size size = measure_start(program, envp);
    uint64_t total = size.all;
    struct writer writer = {.addr = FERRY_PROGRAM_HIGH - total, .next = FERRY_PROGRAM_HIGH};
    unsigned prot = SPACE_READ | SPACE_WRITE;
    uint8_t random[RANDOM_BYTES];
    uint64_t *words;
    int result;

    if (!fits(&size, stack_bytes))
        return image_fail(err, -E2BIG, program->name,
                          "its arguments and environment take %llu KiB, of %llu KiB at most; pass "
                          "fewer or shorter ones",
                          (unsigned long long)total >> 10, (unsigned long long)stack_bytes >> 12);
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return image_fail(err, -EIO, program->name, "the kernel gives no random bytes: %s",
                          strerror(errno));
    if (program->image->stack_executable)
        prot |= SPACE_EXEC;
    result =
        space_map_by_touch(space, guest_addr(FERRY_PROGRAM_HIGH - stack_bytes), stack_bytes, prot);
    if (result)
        return image_fail(err, result, program->name,
                          "no room for a stack of %llu KiB: %s; give the VM more memory (--mem)",
                          (unsigned long long)stack_bytes >> 10, strerror(-result));
    writer.host = space_touch_at(space, guest_addr(writer.addr), total, SPACE_READ | SPACE_WRITE);
    if (!writer.host)
        return image_fail(err, -ENOMEM, program->name, "its stack cannot be written: %s",
                          strerror(ENOMEM));

    /* The words lie below all strings: total has room for both and the alignment. */
    *stack =
        guest_addr((FERRY_PROGRAM_HIGH - size.strings - size.words) & ~(uint64_t)(STACK_ALIGN - 1));
    words = (uint64_t *)(void *)(writer.host + (stack->value - writer.addr));
    *words++ = size.args;
    words = put_vector(&writer, words, program->argv);
    words = put_vector(&writer, words, envp);
    put_aux(program, &writer, control, random, words);
    return 0;
}
