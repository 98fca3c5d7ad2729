/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of function names, and of programs as real compilers make them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_fixture.h"

static void expect_symbol(struct image *image, uint64_t addr, const char *want)
{
    char text[64] = "untouched";

    image_symbolize(image, addr, text, sizeof(text));
    if (strcmp(text, want) != 0)
        fail_msg("0x%llx: \"%s\", not \"%s\"", (unsigned long long)addr, text, want);
}

static void check_symbols(struct image *image, uint64_t text)
{
    expect_symbol(image, text + 0x10ff, "");
    expect_symbol(image, text + 0x1100, "alpha+0x0"); /* not __alpha, but with its size */
    expect_symbol(image, text + 0x111f, "alpha+0x1f");
    expect_symbol(image, text + 0x1120, "");
    expect_symbol(image, text + 0x1200, "bravo+0x0");
    expect_symbol(image, text + 0x12ff, "bravo+0xff"); /* no size: up to the next one */
    expect_symbol(image, text + 0x130f, "charlie+0xf");
    expect_symbol(image, text + 0x1310, "");
    expect_symbol(image, text + 0x1401, "esc?[2J?+0x1");
    expect_symbol(image, text + 0x17ff, "last+0x2ff");
    expect_symbol(image, text + 0x1800, ""); /* the end of the segment */
    expect_symbol(image, text + 0x2800, "");
    expect_symbol(image, 0, "");
    expect_symbol(image, UINT64_MAX, "");
}

static void test_symbols(void **state)
{
    struct elf elf = make_elf();
    struct image *image = must_open(&elf);
    char text[8];

    (void)state;
    check_symbols(image, TEXT);
    image_symbolize(image, TEXT + 0x130f, text, sizeof(text));
    assert_string_equal(text, "charlie");
    image_close(image);

    make_pie(&elf);
    image = must_open(&elf);
    check_symbols(image, image->bias);
    image_close(image);

    elf = make_elf();
    elf.shdr[1].sh_type = SHT_DYNSYM;
    image = must_open(&elf);
    check_symbols(image, TEXT);
    image_close(image);
}

/* Neither a name without a size nor one with too large a size reaches beyond
 * its own segment. */
static void test_symbol_ends_with_segment(void **state)
{
    struct elf elf = make_elf();
    struct image *image;

    (void)state;
    elf.phdr[1].p_flags = PF_R | PF_X;
    image = must_open(&elf);
    expect_symbol(image, TEXT + 0x17ff, "last+0x2ff");
    expect_symbol(image, DATA, "");
    image_close(image);

    elf = make_elf();
    elf.sym[7].st_size = UINT64_MAX;
    image = must_open(&elf);
    expect_symbol(image, TEXT + 0x17ff, "last+0x2ff");
    expect_symbol(image, DATA, "");
    image_close(image);
}

static void test_no_symbols(void **state)
{
    /* clang-format off */
    static const struct { uint32_t type, link; uint64_t size; } rows[] = {
        {SHT_NOTE, 2, sizeof(((struct elf *)0)->sym)},
        {SHT_SYMTAB, 99, sizeof(((struct elf *)0)->sym)},
        {SHT_SYMTAB, 2, 0},
        {SHT_SYMTAB, 2, UINT64_MAX},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct elf elf = make_elf();
        struct image *image;

        elf.shdr[1].sh_type = rows[i].type;
        elf.shdr[1].sh_link = rows[i].link;
        elf.shdr[1].sh_size = rows[i].size;
        image = must_open(&elf);
        expect_symbol(image, TEXT + 0x1100, "");
        expect_symbol(image, TEXT + 0x1100, "");
        image_close(image);
    }
}

/* ---- files that are not run, such as libraries ------------------------------ */

static int symbolize(const struct elf *elf, uint64_t offset, uint64_t *linked, char text[64])
{
    int fd = memfd_create("library", MFD_CLOEXEC);
    struct image_source source;
    int result;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, elf->byte, elf->bytes), (ssize_t)elf->bytes);
    assert_int_equal(image_source_take(fd, "library", &source, NULL), 0);
    result = image_symbolize_file(&source, offset, linked, text, 64);
    close(source.fd);
    return result;
}

static void test_libraries(void **state)
{
    struct elf elf = make_elf();
    uint64_t linked = 0;
    char text[64];

    (void)state;
    assert_int_equal(symbolize(&elf, 0x1105, &linked, text), 0);
    assert_int_equal(linked, TEXT + 0x1105);
    assert_string_equal(text, "alpha+0x5");
    assert_int_equal(symbolize(&elf, 0x10ff, &linked, text), 0);
    assert_string_equal(text, "");
    assert_int_equal(symbolize(&elf, 0x1900, &linked, text), -ENOEXEC); /* data */
    elf.ehdr.e_shnum = 0;
    assert_int_equal(symbolize(&elf, 0x1105, &linked, text), 0);
    assert_string_equal(text, "");
    elf.ehdr.e_phnum = UINT16_MAX;
    assert_int_equal(symbolize(&elf, 0x1105, &linked, text), -ENOEXEC);
    elf = make_elf();
    elf.phdr[0].p_vaddr = UINT64_MAX - 1;
    assert_int_equal(symbolize(&elf, 0x1105, &linked, text), -ENOEXEC);
    elf = make_elf();
    elf.bytes = 40;
    assert_int_equal(symbolize(&elf, 0, &linked, text), -ENOEXEC);
}

/* Whatever is damaged, an answer comes, and what it says is fit to print. */
static void test_damaged_libraries(void **state)
{
    const struct elf whole = make_elf();

    (void)state;
    srand(1);
    for (int round = 0; round < 1000; round++) {
        struct elf elf = whole;
        uint64_t linked;
        char text[64];

        for (int i = 0; i < 1 + round % 8; i++)
            elf.byte[(unsigned)rand() % DYNS] = (uint8_t)rand();
        symbolize(&elf, (unsigned)rand() % FILE_BYTES, &linked, text);
        for (const char *p = text; *p; p++)
            assert_in_range(*p, ' ', '~');
    }
}

/* ---- real programs --------------------------------------------------------- */

/* Compares what was loaded with the file, by a reading of our own. */
static void check_program(const char *path)
{
    struct image *image = NULL;
    struct ferry_error err = {0};
    struct fixture fixture;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const uint8_t *file;
    const Elf64_Ehdr *ehdr;
    const Elf64_Phdr *phdr;

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(file != MAP_FAILED);
    ehdr = (const Elf64_Ehdr *)(const void *)file;
    phdr = (const Elf64_Phdr *)(const void *)(file + ehdr->e_phoff);
    if (open_path(path, &image, &err))
        fail_msg("%s", err.text);
    load(&fixture, image);
    assert_int_equal(image->entry, ehdr->e_entry + image->bias);
    assert_memory_equal(look(&fixture, image->phdr_addr, 56), phdr, 56);
    for (int i = 0; i < ehdr->e_phnum; i++) {
        const uint8_t *host;

        if (phdr[i].p_type != PT_LOAD)
            continue;
        host = look(&fixture, phdr[i].p_vaddr + image->bias, phdr[i].p_memsz);
        assert_memory_equal(host, file + phdr[i].p_offset, phdr[i].p_filesz);
        assert_zero(host + phdr[i].p_filesz, phdr[i].p_memsz - phdr[i].p_filesz);
    }
    fixture_fini(&fixture);
    image_close(image);
    munmap((void *)file, (size_t)st.st_size);
    close(fd);
}

static const char source[] =
    "#include <stdio.h>\n"
    "static int table[5000]; int filled[3] = {1, 2, 3};\n"
    "int marker_function(int n) { return table[n] + filled[n % 3]; }\n"
    "int main(int argc, char **argv)\n"
    "{ (void)argv; printf(\"%d\\n\", marker_function(argc)); return 0; }\n";

/* Builds the program with the given command; false if there is no such compiler. */
static bool build(const char *dir, const char *compiler, const char *options, char path[300])
{
    char command[1000];
    FILE *file;

    snprintf(command, sizeof(command), "command -v %s >/dev/null", compiler);
    if (system(command) != 0)
        return false;
    snprintf(path, 300, "%s/program.c", dir);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(source, file);
    assert_int_equal(fclose(file), 0);
    snprintf(command, sizeof(command), "%s -O1 %s -o %s/program %s", compiler, options, dir, path);
    assert_int_equal(system(command), 0);
    snprintf(path, 300, "%s/program", dir);
    return true;
}

static void test_programs(void **state)
{
    static const char *const rows[][2] = {
        {"cc", "-static"},
        {"cc", "-static-pie"},
        {"cc", "-static -Wl,-z,noseparate-code"},
        {"cc", "-static -Wl,-z,max-page-size=0x200000"},
        {"cc", "-static -s"},
        {"musl-gcc", "-static"},
    };
    const char *dir = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char path[300];

        if (!build(dir, rows[i][0], rows[i][1], path)) {
            fprintf(stderr, "no %s here, left out\n", rows[i][0]);
            continue;
        }
        check_program(path);
    }
    if (access("/bin/busybox", R_OK) == 0)
        check_program("/bin/busybox");
}

/* The symbols of a real program, position-independent. */
static void test_program_symbol(void **state)
{
    struct image *image;
    char path[300], text[64];
    unsigned long long addr = 0;
    char command[400];

    assert_true(build(*state, "cc", "-static-pie", path));
    assert_int_equal(open_path(path, &image, NULL), 0);
    image_symbolize(image, image->entry, text, sizeof(text));
    assert_string_equal(text, "_start+0x0");
    snprintf(command, sizeof(command), "nm '%s' | grep marker_function", path);
    FILE *names = popen(command, "r");
    assert_non_null(names);
    assert_int_equal(fscanf(names, "%llx", &addr), 1);
    pclose(names);
    expect_symbol(image, image->bias + addr + 3, "marker_function+0x3");
    image_close(image);
}

static int remove_all(void **state)
{
    const char *dir = *state;
    char path[300];

    snprintf(path, sizeof(path), "%s/program", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/program.c", dir);
    unlink(path);
    return remove_dir(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_symbols),           cmocka_unit_test(test_symbol_ends_with_segment),
        cmocka_unit_test(test_no_symbols),        cmocka_unit_test(test_libraries),
        cmocka_unit_test(test_damaged_libraries), cmocka_unit_test(test_programs),
        cmocka_unit_test(test_program_symbol),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_all);
}
