/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of loading an image and of the initial stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image_fixture.h"
#include "program/program.h"

#define STACK (1ull << 20)

static void test_load(void **state)
{
    struct elf elf = make_elf();
    struct image *image = must_open(&elf);
    struct fixture fixture;

    (void)state;
    load(&fixture, image);
    assert_memory_equal(look(&fixture, TEXT, 0x1800), elf.byte, 0x1800);
    assert_memory_equal(look(&fixture, DATA, 0x300), elf.byte + 0x1800, 0x300);
    /* bss, and on to the end of its last page */
    assert_zero(look(&fixture, DATA + 0x300, 0x405000 - DATA - 0x300), 0x405000 - DATA - 0x300);
    assert_int_equal(space_prot(&fixture.space, guest_addr(TEXT - 1)), 0);
    assert_int_equal(space_prot(&fixture.space, guest_addr(TEXT)), SPACE_READ | SPACE_EXEC);
    assert_int_equal(space_prot(&fixture.space, guest_addr(TEXT + 0x1fff)),
                     SPACE_READ | SPACE_EXEC);
    assert_int_equal(space_prot(&fixture.space, guest_addr(TEXT + 0x2000)),
                     SPACE_READ | SPACE_WRITE);
    assert_int_equal(space_prot(&fixture.space, guest_addr(DATA_END)), SPACE_READ | SPACE_WRITE);
    assert_int_equal(space_prot(&fixture.space, guest_addr(0x405000)), 0);
    fixture_fini(&fixture);
    image_close(image);
}

/* A VM does not see the writes of another. */
static void test_load_twice(void **state)
{
    struct elf elf = make_elf();
    struct image *image = must_open(&elf);
    struct fixture a, b;

    (void)state;
    load(&a, image);
    load(&b, image);
    memset(space_at(&a.space, guest_addr(DATA), 0x300, SPACE_WRITE), 0xaa, 0x300);
    assert_memory_equal(look(&b, DATA, 0x300), elf.byte + 0x1800, 0x300);
    fixture_fini(&a);
    load(&a, image);
    assert_memory_equal(look(&a, DATA, 0x300), elf.byte + 0x1800, 0x300);
    fixture_fini(&a);
    fixture_fini(&b);
    image_close(image);
}

static void test_load_pie(void **state)
{
    struct elf elf = make_elf();
    struct image *image;
    struct fixture fixture;

    (void)state;
    make_pie(&elf);
    image = must_open(&elf);
    load(&fixture, image);
    assert_memory_equal(look(&fixture, image->bias, 0x1800), elf.byte, 0x1800);
    assert_memory_equal(look(&fixture, image->bias + DATA - TEXT, 0x300), elf.byte + 0x1800, 0x300);
    assert_int_equal(space_prot(&fixture.space, guest_addr(TEXT)), 0);
    fixture_fini(&fixture);
    image_close(image);
}

/* Data begins on the page where text ends, from another page of the file, and a
 * third segment follows on that page: each keeps its bytes, the page has all rights. */
static void test_shared_page(void **state)
{
    struct elf elf = make_elf();
    struct image *image;
    struct fixture fixture;

    (void)state;
    elf.phdr[0].p_filesz = elf.phdr[0].p_memsz = 0x1400;
    elf.phdr[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                               .p_flags = PF_R,
                               .p_offset = 0x2400,
                               .p_vaddr = TEXT + 0x1400,
                               .p_filesz = 0x100,
                               .p_memsz = 0x200};
    elf.phdr[2] = (Elf64_Phdr){.p_type = PT_LOAD,
                               .p_flags = PF_R | PF_W,
                               .p_offset = 0x1800,
                               .p_vaddr = TEXT + 0x1800,
                               .p_filesz = 0x1000,
                               .p_memsz = 0x2800};
    image = must_open(&elf);
    load(&fixture, image);
    assert_memory_equal(look(&fixture, TEXT, 0x1400), elf.byte, 0x1400);
    assert_memory_equal(look(&fixture, TEXT + 0x1400, 0x100), elf.byte + 0x2400, 0x100);
    assert_zero(look(&fixture, TEXT + 0x1500, 0x100), 0x100);
    assert_memory_equal(look(&fixture, TEXT + 0x1800, 0x1000), elf.byte + 0x1800, 0x1000);
    assert_zero(look(&fixture, TEXT + 0x2800, 0x1800), 0x1800);
    assert_int_equal(space_prot(&fixture.space, guest_addr(TEXT)), SPACE_READ | SPACE_EXEC);
    assert_int_equal(space_prot(&fixture.space, guest_addr(TEXT + 0x1000)),
                     SPACE_READ | SPACE_WRITE | SPACE_EXEC);
    assert_int_equal(space_prot(&fixture.space, guest_addr(TEXT + 0x2000)),
                     SPACE_READ | SPACE_WRITE);
    assert_int_equal(space_prot(&fixture.space, guest_addr(TEXT + 0x3000)),
                     SPACE_READ | SPACE_WRITE);
    assert_int_equal(space_prot(&fixture.space, guest_addr(TEXT + 0x4000)), 0);
    fixture_fini(&fixture);
    image_close(image);
}

/* A segment that may not be written still has its zeros, and no more rights. */
static void test_read_only_bss(void **state)
{
    struct elf elf = make_elf();
    struct image *image;
    struct fixture fixture;

    (void)state;
    elf.phdr[1].p_flags = PF_R;
    image = must_open(&elf);
    load(&fixture, image);
    assert_memory_equal(look(&fixture, DATA, 0x300), elf.byte + 0x1800, 0x300);
    assert_zero(look(&fixture, DATA + 0x300, 0x1d00), 0x1d00);
    for (uint64_t addr = TEXT + 0x2000; addr < 0x405000; addr += PAGE)
        assert_int_equal(space_prot(&fixture.space, guest_addr(addr)), SPACE_READ);
    fixture_fini(&fixture);
    image_close(image);
}

/* A segment that is all bss has no part of the file, and its offset means nothing. */
static void test_only_bss(void **state)
{
    struct elf elf = make_elf();
    struct image *image;
    struct fixture fixture;

    (void)state;
    elf.phdr[1].p_filesz = 0;
    elf.phdr[1].p_offset = 0x123;
    image = must_open(&elf);
    load(&fixture, image);
    assert_zero(look(&fixture, TEXT + 0x2000, 0x3000), 0x3000);
    fixture_fini(&fixture);
    image_close(image);
}

static void test_no_memory(void **state)
{
    struct elf elf = make_elf();
    struct image *image = NULL;
    struct fixture fixture;
    struct ferry_error err = {0};
    uint64_t bytes;

    (void)state;
    elf.phdr[1].p_memsz = LIMIT; /* seen before anything of it is copied */
    assert_int_equal(open_elf(&elf, &image, &err), -ENOMEM);
    assert_null(image);
    assert_non_null(strstr(err.text, "no room for its 65552 KiB; give the VM more memory (--mem)"));

    /* An image that another VM has room for. */
    elf = make_elf();
    image = must_open(&elf);
    bytes = image->memory_bytes + image->unshared_bytes;
    assert_int_equal(bytes, 0x5000 + 0x1000); /* its pages; the copy of the one for data */
    fixture_init(&fixture, bytes - 1);
    assert_int_equal(image_load(image, 0, &fixture.space, &err), -ENOMEM);
    assert_non_null(strstr(err.text, "no room for its 24 KiB"));
    fixture_fini(&fixture);
    fixture_init(&fixture, bytes);
    assert_int_equal(image_load(image, 0, &fixture.space, &err), 0);
    assert_int_equal(fixture.space.used_bytes, bytes);
    fixture_fini(&fixture);
    image_close(image);
}

/* ---- the initial stack ----------------------------------------------------- */

/* The string at a guest address, which must end inside the stack. */
static const char *string_at(const struct fixture *fixture, uint64_t addr)
{
    const char *s;

    assert_in_range(addr, FERRY_PROGRAM_HIGH - STACK, FERRY_PROGRAM_HIGH - 1);
    s = (const char *)look(fixture, addr, FERRY_PROGRAM_HIGH - addr);
    assert_non_null(memchr(s, 0, FERRY_PROGRAM_HIGH - addr));
    return s;
}

static uint64_t aux_value(const uint64_t *aux, uint64_t type)
{
    for (; aux[0] != AT_NULL; aux += 2)
        if (aux[0] == type)
            return aux[1];
    fail_msg("no auxiliary entry %llu", (unsigned long long)type);
    return 0;
}

/* Checks argc, argv and envp at rsp; returns where the auxiliary vector begins. */
static const uint64_t *check_vectors(const struct fixture *fixture, uint64_t rsp,
                                     const char *const *argv, const char *const *envp)
{
    const uint64_t *words =
        (const uint64_t *)(const void *)look(fixture, rsp, FERRY_PROGRAM_HIGH - rsp);
    const char *const *vectors[2] = {argv, envp};
    uint64_t argc = 0;

    assert_int_equal(rsp % 16, 0);
    while (argv[argc])
        argc++;
    assert_int_equal(*words++, argc);
    for (int v = 0; v < 2; v++) {
        for (size_t i = 0; vectors[v][i]; i++)
            assert_string_equal(string_at(fixture, *words++), vectors[v][i]);
        assert_int_equal(*words++, 0);
    }
    return words;
}

/* The stack of a program that needs no loader. */
static int stack(struct image *image, struct fixture *fixture, const char *const *argv,
                 char *const *envp, uint64_t control, struct guest_addr *rsp,
                 struct ferry_error *err)
{
    const struct program program = {
        .image = image, .name = "/a/name", .argv = (char **)(uintptr_t)argv};

    return program_stack(&program, &fixture->space, STACK, envp, guest_addr(control), rsp, err);
}

static void test_stack(void **state)
{
    const char *const argv[] = {"prog", "", "an argument", NULL};
    const char *const envp[] = {"PATH=/bin", "LC_ALL=C", NULL};
    struct elf elf = make_elf();
    struct image *image = must_open(&elf);
    struct fixture fixture;
    const uint64_t *aux;
    struct guest_addr rsp;

    (void)state;
    load(&fixture, image);
    assert_int_equal(
        stack(image, &fixture, argv, (char *const *)envp, FERRY_SYSTEM_BASE, &rsp, NULL), 0);
    aux = check_vectors(&fixture, rsp.value, argv, envp);
    assert_int_equal(aux_value(aux, AT_PHDR), TEXT + 64);
    assert_int_equal(aux_value(aux, AT_PHENT), 56);
    assert_int_equal(aux_value(aux, AT_PHNUM), 3);
    assert_int_equal(aux_value(aux, AT_PAGESZ), PAGE);
    assert_int_equal(aux_value(aux, AT_ENTRY), TEXT + 0x1000);
    assert_int_equal(aux_value(aux, AT_SECURE), 0);
    assert_int_equal(aux_value(aux, AT_CLKTCK), 100);
    assert_int_equal(aux_value(aux, AT_HWCAP2), 0);
    assert_true(aux_value(aux, AT_HWCAP) & 1u << 26); /* SSE2: every x86-64 */
    assert_true(aux_value(aux, AT_MINSIGSTKSZ) >= 2048);
    assert_true(aux_value(aux, AT_UID) == aux_value(aux, AT_EUID) &&
                aux_value(aux, AT_GID) == aux_value(aux, AT_EGID));
    assert_int_equal(aux_value(aux, FERRY_AT_CONTROL), FERRY_SYSTEM_BASE);
    assert_string_equal(string_at(&fixture, aux_value(aux, AT_PLATFORM)), "x86_64");
    assert_string_equal(string_at(&fixture, aux_value(aux, AT_EXECFN)), "/a/name");
    assert_int_equal(aux_value(aux, AT_BASE), 0);
    assert_int_equal(aux_value(aux, AT_SYSINFO_EHDR), FERRY_VDSO_ADDR);
    assert_non_null(
        space_at(&fixture.space, guest_addr(FERRY_PROGRAM_HIGH - STACK), STACK, SPACE_WRITE));
    assert_int_equal(space_prot(&fixture.space, rsp), SPACE_READ | SPACE_WRITE);
    assert_int_equal(space_prot(&fixture.space, guest_addr(FERRY_PROGRAM_HIGH - STACK - 1)), 0);
    fixture_fini(&fixture);
    image_close(image);
}

/* Every alignment of the strings, and two runs that differ in their random bytes. */
static void test_stack_alignment(void **state)
{
    struct elf elf = make_elf();
    struct image *image = must_open(&elf);
    uint8_t before[16] = {0};

    (void)state;
    for (size_t n = 0; n < 40; n++) {
        char text[64] = {0};
        const char *const argv[] = {"p", text, n % 2 ? "odd" : NULL, NULL};
        struct fixture fixture;
        const uint64_t *aux;
        const uint8_t *random;
        struct guest_addr rsp;

        memset(text, 'a', n);
        load(&fixture, image);
        assert_int_equal(stack(image, &fixture, argv, NULL, 0, &rsp, NULL), 0);
        aux = check_vectors(&fixture, rsp.value, argv, (const char *const[]){NULL});
        random = look(&fixture, aux_value(aux, AT_RANDOM), sizeof(before));
        assert_memory_not_equal(random, before, sizeof(before));
        memcpy(before, random, sizeof(before));
        fixture_fini(&fixture);
    }
    image_close(image);
}

/* Arguments that just fit are taken; a little more is refused and changes nothing. */
static void test_stack_limit(void **state)
{
    struct elf elf = make_elf();
    struct image *image = must_open(&elf);
    char *big = malloc(STACK);
    char *argv[] = {big, NULL};
    struct fixture fixture;
    struct ferry_error err = {0};
    struct guest_addr rsp = guest_addr(1);

    (void)state;
    assert_non_null(big);
    memset(big, 'b', STACK);
    big[STACK / 4] = '\0';
    load(&fixture, image);
    assert_int_equal(stack(image, &fixture, (const char *const *)argv, NULL, 0, &rsp, &err),
                     -E2BIG);
    assert_non_null(strstr(err.text, "of 256 KiB at most"));
    assert_int_equal(rsp.value, 1);
    assert_int_equal(space_prot(&fixture.space, guest_addr(FERRY_PROGRAM_HIGH - 1)), 0);
    big[STACK / 4 - PAGE] = '\0';
    assert_int_equal(stack(image, &fixture, (const char *const *)argv, NULL, 0, &rsp, &err), 0);
    check_vectors(&fixture, rsp.value, (const char *const *)argv, (const char *const[]){NULL});
    fixture_fini(&fixture);

    fixture_init(&fixture, STACK - PAGE);
    assert_int_equal(stack(image, &fixture, (const char *const *)argv, NULL, 0, &rsp, &err),
                     -ENOMEM);
    assert_non_null(strstr(err.text, "no room for a stack of 1024 KiB"));
    fixture_fini(&fixture);
    free(big);
    image_close(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_load_twice),
        cmocka_unit_test(test_load_pie),
        cmocka_unit_test(test_shared_page),
        cmocka_unit_test(test_read_only_bss),
        cmocka_unit_test(test_only_bss),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_stack),
        cmocka_unit_test(test_stack_alignment),
        cmocka_unit_test(test_stack_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
