/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of opening a program file: a small ELF file in one piece and
 * with one thing wrong at a time, what is no program file at all, and random damage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_fixture.h"

static void test_fields(void **state)
{
    struct elf elf = make_elf();
    struct image *image = must_open(&elf);

    (void)state;
    assert_int_equal(image->entry, TEXT + 0x1000);
    assert_int_equal(image->bias, 0);
    assert_int_equal(image->phdr_addr, TEXT + sizeof(Elf64_Ehdr));
    assert_int_equal(image->phdr_count, 3);
    assert_int_equal(image->end, 0x405000);
    assert_int_equal(image->segment_count, 2);
    assert_int_equal(image->segments[0].addr, TEXT);
    assert_int_equal(image->segments[0].prot, SPACE_READ | SPACE_EXEC);
    assert_int_equal(image->segments[1].offset, 0x1800);
    assert_int_equal(image->segments[1].file_bytes, 0x300);
    assert_int_equal(image->segments[1].memory_bytes, 0x2000);
    assert_int_equal(image->segments[1].prot, SPACE_READ | SPACE_WRITE);
    image_close(image);
    image_close(NULL);
}

static void test_pie_fields(void **state)
{
    struct elf elf = make_elf();
    struct image *image;

    (void)state;
    make_pie(&elf);
    image = must_open(&elf);
    assert_int_equal(image->bias, 0x100000000);
    assert_int_equal(image->entry, 0x100001000);
    assert_int_equal(image->phdr_addr, 0x100000040);
    assert_int_equal(image->end, 0x100005000);
    assert_int_equal(image->segments[1].addr, DATA - TEXT);
    image_close(image);
}

/* Program headers that no segment holds have no address. */
static void test_phdr_unmapped(void **state)
{
    struct elf elf = make_elf();
    struct image *image;

    (void)state;
    elf.phdr[0].p_offset = 0x1000;
    elf.phdr[0].p_vaddr = TEXT + 0x1000;
    elf.phdr[0].p_filesz = elf.phdr[0].p_memsz = 0x800;
    image = must_open(&elf);
    assert_int_equal(image->phdr_addr, 0);
    image_close(image);
}

struct damage {
    const char *name;
    void (*make)(struct elf *elf);
    int code;
    const char *text; /* part of what the error must say */
};

/* Each function damages one thing in a file. */
#define DAMAGE(name_, statement_)               \
    static void damage_##name_(struct elf *elf) \
    {                                           \
        statement_;                             \
    }

/* clang-format off */
DAMAGE(empty, elf->bytes = 0)
DAMAGE(one_byte, elf->bytes = 1)
DAMAGE(script, memcpy(elf->byte, "#!/bin/sh\n", 10))
DAMAGE(text, memcpy(elf->byte, "hello, world\n", 13))
DAMAGE(archive, memcpy(elf->byte, "!<arch>\n", 8))
DAMAGE(class32, elf->byte[EI_CLASS] = ELFCLASS32)
DAMAGE(class9, elf->byte[EI_CLASS] = 9)
DAMAGE(big_endian, elf->byte[EI_DATA] = ELFDATA2MSB)
DAMAGE(data9, elf->byte[EI_DATA] = 9)
DAMAGE(version, elf->byte[EI_VERSION] = 2)
DAMAGE(ident_only, elf->bytes = EI_NIDENT)
DAMAGE(header_cut, elf->bytes = sizeof(Elf64_Ehdr) - 1)
DAMAGE(phdrs_cut, elf->bytes = sizeof(Elf64_Ehdr) + 80)
DAMAGE(machine, elf->ehdr.e_machine = EM_AARCH64)
DAMAGE(object, elf->ehdr.e_type = ET_REL)
DAMAGE(core, elf->ehdr.e_type = ET_CORE)
DAMAGE(type, elf->ehdr.e_type = 0xff00)
DAMAGE(no_phdrs, elf->ehdr.e_phnum = 0)
DAMAGE(many_phdrs, elf->ehdr.e_phnum = 0xfffe)
DAMAGE(xnum_phdrs, elf->ehdr.e_phnum = PN_XNUM)
DAMAGE(phentsize, elf->ehdr.e_phentsize = 55)
DAMAGE(phoff, elf->ehdr.e_phoff = UINT64_MAX - 8)
DAMAGE(phoff_end, elf->ehdr.e_phoff = FILE_BYTES - 100)
DAMAGE(loader_nothing, make_dynamic(elf, ""); elf->phdr[2].p_filesz = 0)
DAMAGE(loader_one_byte, make_dynamic(elf, ""))
DAMAGE(loader_empty, make_dynamic(elf, ""); elf->phdr[2].p_filesz = 2)
DAMAGE(loader_open, make_dynamic(elf, "/ld.so"); elf->phdr[2].p_filesz--)
DAMAGE(loader_long, make_dynamic(elf, "/ld.so"); elf->phdr[2].p_filesz = PATH_MAX + 1)
DAMAGE(loader_beyond, make_dynamic(elf, "/ld.so"); elf->phdr[2].p_offset = FILE_BYTES - 3)
DAMAGE(loader_wild, make_dynamic(elf, "/ld.so"); elf->phdr[2].p_offset = UINT64_MAX - 3)
DAMAGE(no_load, elf->phdr[0].p_type = elf->phdr[1].p_type = PT_NOTE)
DAMAGE(only_empty_load, elf->phdr[1].p_type = PT_NOTE; elf->phdr[0].p_memsz = elf->phdr[0].p_filesz = 0)
DAMAGE(file_larger, elf->phdr[0].p_memsz = 0x17ff)
DAMAGE(file_beyond, elf->phdr[1].p_filesz = FILE_BYTES - 0x1800 + 1)
DAMAGE(file_cut, elf->bytes = 0x1aff)
DAMAGE(offset_beyond, elf->phdr[1].p_offset += 0x10000)
DAMAGE(offset_wild, elf->phdr[1].p_offset = UINT64_MAX - 0x7ff)
DAMAGE(filesz_wild, elf->phdr[1].p_filesz = elf->phdr[1].p_memsz = UINT64_MAX - 0x1000)
DAMAGE(misaligned, elf->phdr[1].p_offset += 8)
DAMAGE(memsz_wild, elf->phdr[1].p_memsz = UINT64_MAX)
DAMAGE(vaddr_wild, elf->phdr[1].p_vaddr = 0xfffffffffffff800)
DAMAGE(vaddr_wild_pie, make_pie(elf); elf->phdr[1].p_vaddr = 0xffffffff00000800)
DAMAGE(vaddr_kernel, elf->phdr[1].p_vaddr = 0xffffffff80000800)
DAMAGE(vaddr_low, elf->phdr[0].p_vaddr = 0xf000)
DAMAGE(vaddr_zero, elf->phdr[0].p_vaddr = 0)
DAMAGE(vaddr_high, elf->phdr[1].p_vaddr = 0x1fffff800 - 0x1000)
DAMAGE(memsz_high, elf->phdr[1].p_memsz = 0x200000001 - DATA)
DAMAGE(memsz_high_pie, make_pie(elf); elf->phdr[1].p_memsz = 0x100000000)
DAMAGE(overlap, elf->phdr[1].p_vaddr = TEXT + 0x800)
DAMAGE(overlap_byte, elf->phdr[0].p_memsz = DATA - TEXT + 1)
DAMAGE(unsorted, Elf64_Phdr first = elf->phdr[0]; elf->phdr[0] = elf->phdr[1]; elf->phdr[1] = first)
DAMAGE(entry_zero, elf->ehdr.e_entry = 0)
DAMAGE(entry_data, elf->ehdr.e_entry = DATA)
DAMAGE(entry_end, elf->ehdr.e_entry = TEXT + 0x1800)
DAMAGE(library, make_pie(elf); elf->ehdr.e_entry = 0; elf->phdr[0].p_vaddr += 0x1000; elf->phdr[1].p_vaddr += 0x1000)
DAMAGE(shnum_wild, elf->ehdr.e_shnum = 0; elf->shdr[0].sh_size = UINT64_MAX)
DAMAGE(shoff_wild, elf->ehdr.e_shoff = UINT64_MAX - 63)
/* clang-format on */

static void damage_many_segments(struct elf *elf)
{
    elf->ehdr.e_phnum = IMAGE_SEGMENTS_MAX + 1;
    for (unsigned i = 1; i <= IMAGE_SEGMENTS_MAX; i++)
        elf->phdr[i] = (Elf64_Phdr){
            .p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = TEXT + (i + 1) * PAGE, .p_memsz = PAGE};
}

#define ROW(name_, code_, text_)             \
    {                                        \
#name_, damage_##name_, code_, text_ \
    }

static const struct damage damages[] = {
    ROW(empty, -ENOEXEC, "empty"),
    ROW(one_byte, -ENOEXEC, "not an ELF file"),
    ROW(script, -ENOEXEC, "not an ELF file"),
    ROW(text, -ENOEXEC, "not an ELF file"),
    ROW(archive, -ENOEXEC, "not an ELF file"),
    ROW(class32, -ENOEXEC, "32-bit"),
    ROW(class9, -ENOEXEC, "malformed"),
    ROW(big_endian, -ENOEXEC, "big-endian"),
    ROW(data9, -ENOEXEC, "malformed"),
    ROW(version, -ENOEXEC, "malformed"),
    ROW(ident_only, -ENOEXEC, "malformed"),
    ROW(header_cut, -ENOEXEC, "malformed"),
    ROW(phdrs_cut, -ENOEXEC, "malformed"),
    ROW(machine, -ENOEXEC, "another machine (ELF machine 183)"),
    ROW(object, -ENOEXEC, "object file"),
    ROW(core, -ENOEXEC, "core dump"),
    ROW(type, -ENOEXEC, "not an executable"),
    ROW(no_phdrs, -ENOEXEC, "no load segments"),
    ROW(many_phdrs, -ENOEXEC, "malformed"),
    ROW(xnum_phdrs, -ENOEXEC, "malformed"),
    ROW(phentsize, -ENOEXEC, "malformed"),
    ROW(phoff, -ENOEXEC, "malformed"),
    ROW(phoff_end, -ENOEXEC, "malformed"),
    ROW(loader_nothing, -ENOEXEC, "loader is empty"),
    ROW(loader_one_byte, -ENOEXEC, "loader is empty"),
    ROW(loader_empty, -ENOEXEC, "loader is empty"),
    ROW(loader_open, -ENOEXEC, "does not end"),
    ROW(loader_long, -ENOEXEC, "too long"),
    ROW(loader_beyond, -ENOEXEC, "beyond the end"),
    ROW(loader_wild, -ENOEXEC, "beyond the end"),
    ROW(no_load, -ENOEXEC, "no load segments"),
    ROW(only_empty_load, -ENOEXEC, "no load segments"),
    ROW(many_segments, -ENOEXEC, "more than 16 load segments"),
    ROW(file_larger, -ENOEXEC, "larger in the file than in memory"),
    ROW(file_beyond, -ENOEXEC, "beyond the end of the file"),
    ROW(file_cut, -ENOEXEC, "beyond the end of the file"),
    ROW(offset_beyond, -ENOEXEC, "beyond the end of the file"),
    ROW(offset_wild, -ENOEXEC, "beyond the end of the file"),
    ROW(filesz_wild, -ENOEXEC, "beyond the end of the file"),
    ROW(misaligned, -ENOEXEC, "do not go together"),
    ROW(memsz_wild, -ENOEXEC, "overflows"),
    ROW(vaddr_wild, -ENOEXEC, "overflows"),
    ROW(vaddr_wild_pie, -ENOEXEC, "overflows"),
    ROW(vaddr_kernel, -ENOEXEC, "linked at 0xffffffff80000800"),
    ROW(vaddr_low, -ENOEXEC, "linked at 0xf000"),
    ROW(vaddr_zero, -ENOEXEC, "linked at 0x0"),
    ROW(vaddr_high, -ENOEXEC, "linked at 0x1ffffe800"),
    ROW(memsz_high, -ENOEXEC, "outside 0x10000 to 0x200000000"),
    ROW(memsz_high_pie, -ENOEXEC, "outside 0x10000 to 0x200000000"),
    ROW(overlap, -ENOEXEC, "overlap"),
    ROW(overlap_byte, -ENOEXEC, "overlap"),
    ROW(unsorted, -ENOEXEC, "not in order"),
    ROW(entry_zero, -ENOEXEC, "entry point"),
    ROW(entry_data, -ENOEXEC, "entry point"),
    ROW(entry_end, -ENOEXEC, "entry point"),
    ROW(library, -ENOEXEC, "shared library"),
};

static void test_damages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        struct elf elf = make_elf();
        struct image *image = NULL;
        struct ferry_error err = {0};
        int code;

        damages[i].make(&elf);
        code = open_elf(&elf, &image, &err);
        if (code != damages[i].code || image)
            fail_msg("%s: returned %d (%s)", damages[i].name, code, err.text);
        if (!strstr(err.text, damages[i].text) || strchr(err.text, '\n') ||
            strncmp(err.text, "cannot load '", 13) != 0)
            fail_msg("%s: says \"%s\"", damages[i].name, err.text);
        assert_int_equal(open_elf(&elf, &image, NULL), code);
    }
}

/* Section headers are for symbols only: a program with bad ones may be
 * refused, but one that is opened must load and symbolize without harm. */
static void test_bad_sections(void **state)
{
    void (*const make[])(struct elf *) = {damage_shnum_wild, damage_shoff_wild};

    (void)state;
    for (size_t i = 0; i < sizeof(make) / sizeof(make[0]); i++) {
        struct elf elf = make_elf();
        struct image *image = NULL;
        char text[64] = "untouched";

        make[i](&elf);
        if (open_elf(&elf, &image, NULL) == 0) {
            image_symbolize(image, TEXT + 0x1100, text, sizeof(text));
            assert_string_equal(text, "");
        } else {
            assert_null(image);
        }
        image_close(image);
    }
}

/* A name of 100 bytes and more. */
static void test_long_path(void **state)
{
    char path[2000];
    struct image *image;
    struct ferry_error err = {0};

    (void)state;
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    for (size_t i = 200; i < sizeof(path); i += 200)
        path[i] = '/';
    strcpy(path + sizeof(path) - 5, "/end");
    assert_int_equal(open_path(path, &image, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/end': not found; check the path"));
}

static void expect_error(const char *path, int code, const char *text)
{
    struct image *image = NULL;
    struct ferry_error err = {0};

    assert_int_equal(open_path(path, &image, &err), code);
    assert_null(image);
    if (!strstr(err.text, text) || !strstr(err.text, path))
        fail_msg("%s: says \"%s\"", path, err.text);
}

static void test_not_files(void **state)
{
    const char *dir = *state;
    char path[300];

    expect_error("/nonexistent/program", -ENOENT, "not found; check the path");
    expect_error("/", -EISDIR, "directory");
    expect_error("/dev/null", -EACCES, "not a regular file");
    expect_error("/proc/self/exe/x", -ENOTDIR, "Not a directory");
    snprintf(path, sizeof(path), "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_error(path, -EACCES, "not a regular file"); /* and does not wait for a writer */
    unlink(path);
    snprintf(path, sizeof(path), "%s/unreadable", dir);
    close(open(path, O_CREAT | O_WRONLY, 0));
    if (access(path, R_OK) != 0) /* root may read anything */
        expect_error(path, -EACCES, "chmod +r");
    unlink(path);
}

/* The program must not change under a running VM, nor under its digest. */
static void test_file_changes_later(void **state)
{
    struct elf elf = make_elf();
    struct image *image;
    struct fixture fixture;
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/changing", (const char *)*state);
    fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, elf.byte, elf.bytes, 0), elf.bytes);
    assert_int_equal(open_path(path, &image, NULL), 0);
    load(&fixture, image);
    memset(elf.byte, 0x55, elf.bytes);
    assert_int_equal(pwrite(fd, elf.byte, elf.bytes, 0), elf.bytes);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(look(&fixture, TEXT + 0x1234, 1)[0], 0x1234 % 251 + 1);
    assert_int_equal(pwrite(image->fd, "x", 1, 0), -1);
    fixture_fini(&fixture);
    image_close(image);
    close(fd);
    unlink(path);
}

/* The name of the loader is that of the first PT_INTERP. */
static void test_name_of_the_loader(void **state)
{
    struct elf elf = make_elf();
    struct image *image;

    (void)state;
    make_dynamic(&elf, "/lib/first.so");
    elf.phdr[3] = elf.phdr[2];
    elf.phdr[3].p_offset += 4;
    elf.phdr[3].p_filesz -= 4;
    elf.ehdr.e_phnum = 4;
    image = must_open(&elf);
    assert_string_equal(image->loader, "/lib/first.so");
    image_close(image);
    assert_int_equal(open_path("/proc/self/exe", &image, NULL), 0); /* this test is dynamic */
    assert_non_null(strstr(image->loader, "ld"));
    assert_true(image_shift_of_loader(image) > 0 || image->bias == 0);
    image_close(image);
}

/* ---- random damage --------------------------------------------------------- */

/* Threat: an attacker chose the bytes of the file. Whatever they are, opening, loading and
 * symbolizing end without a crash and within the bounds of the VM. */

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void mutate(struct elf *elf, uint64_t *x)
{
    static const uint64_t values[] = {0,           1,          0x7f,      0xfff,      0x1000,
                                      0xffff,      0x10000,    0x400000,  0x7fffffff, 0xffffffff,
                                      0x1ffffffff, 1ull << 33, INT64_MAX, UINT64_MAX};
    uint64_t count = next_random(x) % 4 + 1;

    for (uint64_t i = 0; i < count; i++) {
        /* Mostly the headers, and there the fields. */
        size_t at = next_random(x) % (next_random(x) % 4 ? 240 : PAGE);
        uint64_t r = next_random(x);

        if (r % 3 == 0) {
            elf->byte[at] = (uint8_t)(r >> 8);
        } else if (r % 3 == 1) {
            elf->byte[at] ^= (uint8_t)(1u << (r >> 8) % 8);
        } else {
            size_t width = (size_t)2 << (r >> 8) % 3;

            at -= at % width;
            memcpy(elf->byte + at, &values[(r >> 16) % (sizeof(values) / sizeof(values[0]))],
                   width);
        }
    }
    if (next_random(x) % 16 == 0)
        elf->bytes = next_random(x) % FILE_BYTES;
}

static void exercise(struct image *image, uint64_t x)
{
    struct fixture fixture;
    char text[64];
    int code;

    fixture_init(&fixture, LIMIT);
    code = image_load(image, 0, &fixture.space, NULL);
    assert_true(code == 0 || code == -ENOMEM);
    assert_true(fixture.space.used_bytes <= LIMIT);
    for (size_t i = 0; i < image->segment_count && code == 0; i++) {
        const struct image_segment *segment = &image->segments[i];
        uint64_t start = segment->addr + image->bias;

        assert_true(start >= FERRY_PROGRAM_LOW);
        assert_true(start + segment->memory_bytes <= image->end);
        assert_int_equal(space_prot(&fixture.space, guest_addr(start)) & segment->prot,
                         segment->prot);
    }
    image_symbolize(image, image->entry, text, sizeof(text));
    image_symbolize(image, image->bias + x % 0x8000 + 0x3ff000, text, sizeof(text));
    fixture_fini(&fixture);
}

static void test_random_damage(void **state)
{
    uint64_t x = 0x9e3779b97f4a7c15;
    unsigned opened = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct elf elf = make_elf();
        struct image *image = NULL;
        struct ferry_error err = {0};

        if (round % 2)
            make_pie(&elf);
        mutate(&elf, &x);
        if (open_elf(&elf, &image, &err) == 0) {
            opened++;
            exercise(image, x);
        } else {
            assert_null(image);
            assert_true(strlen(err.text) > 20);
        }
        image_close(image);
    }
    assert_in_range(opened, 1000, 19000); /* else it tests only one half */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_pie_fields),
        cmocka_unit_test(test_phdr_unmapped),
        cmocka_unit_test(test_damages),
        cmocka_unit_test(test_bad_sections),
        cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_not_files),
        cmocka_unit_test(test_file_changes_later),
        cmocka_unit_test(test_name_of_the_loader),
        cmocka_unit_test(test_random_damage),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
