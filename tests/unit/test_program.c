/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of what a file needs to run: scripts and their interpreters, dynamic programs and
 * their loaders. Files are opened by names of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image_fixture.h"
#include "program/images.h"
#include "program/program.h"
#include "program/script.h"

#define FILES_MAX 8

struct named {
    const char *name;
    const void *data;
    size_t bytes;
};

struct disk {
    struct named files[FILES_MAX];
    size_t count;
    struct images images;
    struct elf elf; /* "/elf" */
    /* Charged for the copies of the next program; NULL: nobody. What was charged when another file was
     * opened, and whether another thread of the program then takes what is left. */
    struct space *space;
    uint64_t used_meanwhile;
    bool others_take_all;
};

static int open_on_disk(void *arg, const char *name, struct image_source *out)
{
    struct disk *disk = arg;

    if (disk->space) {
        disk->used_meanwhile = disk->space->used_bytes;
        if (disk->others_take_all)
            assert_int_equal(space_charge(disk->space, space_room(disk->space)), 0);
    }
    for (size_t i = 0; i < disk->count; i++) {
        const struct named *file = &disk->files[i];

        if (strcmp(file->name, name) == 0) {
            int fd = memfd_create("test", MFD_CLOEXEC);

            assert_true(fd >= 0);
            assert_int_equal(write(fd, file->data, file->bytes), file->bytes);
            return image_source_take(fd, name, out, NULL);
        }
    }
    return strcmp(name, "/forbidden") == 0 ? -EACCES : -ENOENT;
}

static void add(struct disk *disk, const char *name, const void *data, size_t bytes)
{
    assert_true(disk->count < FILES_MAX);
    disk->files[disk->count++] = (struct named){name, data, bytes};
}

static void add_text(struct disk *disk, const char *name, const char *text)
{
    add(disk, name, text, strlen(text));
}

static void disk_init(struct disk *disk)
{
    *disk = (struct disk){.elf = make_elf()};
    images_init(&disk->images);
    add(disk, "/elf", disk->elf.byte, disk->elf.bytes);
}

static int run(struct disk *disk, const char *name, const char *const *argv, struct program *out,
               struct ferry_error *err)
{
    const struct program_opener opener = {.open = open_on_disk, .arg = disk, .space = disk->space};
    struct image_source source;
    bool others_take_all = disk->others_take_all;

    disk->others_take_all = false;
    assert_int_equal(open_on_disk(disk, name, &source), 0);
    disk->others_take_all = others_take_all;
    return program_open(out, &disk->images, &opener, name, &source, (char *const *)(uintptr_t)argv,
                        LIMIT, err);
}

/* ---- the first line ------------------------------------------------------ */

/* What Linux makes of each; interpreter NULL: it refuses. */
static const struct {
    const char *line, *interpreter, *argument;
} lines[] = {
    {"#!/bin/sh\n", "/bin/sh", NULL},
    {"#!/bin/sh", "/bin/sh", NULL},
    {"#! \t /bin/sh \t \necho", "/bin/sh", NULL},
    {"#!/bin/sh -e\n", "/bin/sh", "-e"},
    {"#!/usr/bin/env -S awk  -f \t\n", "/usr/bin/env", "-S awk  -f"},
    {"#!sh\n", "sh", NULL},
    {"#!/bin/sh\r\n", "/bin/sh\r", NULL},
    {"#!\n/bin/sh\n", NULL, NULL},
    {"#!  \t\n", NULL, NULL},
    {"#!", NULL, NULL},
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char head[SCRIPT_HEAD_BYTES] = {0};
        struct script script;

        memcpy(head, lines[i].line, strlen(lines[i].line));
        assert_true(script_is(head));
        if (!lines[i].interpreter) {
            assert_int_equal(script_read(&script, head), -ENOEXEC);
            continue;
        }
        assert_int_equal(script_read(&script, head), 0);
        assert_string_equal(script.interpreter, lines[i].interpreter);
        if (lines[i].argument)
            assert_string_equal(script.argument, lines[i].argument);
        else
            assert_null(script.argument);
    }
}

/* A line that goes on after the part that is looked at. */
static void test_long_lines(void **state)
{
    char head[SCRIPT_HEAD_BYTES];
    struct script script;

    (void)state;
    memset(head, 'x', sizeof(head));
    memcpy(head, "#!/", 3);
    assert_int_equal(script_read(&script, head), -ENOEXEC); /* its name may be longer */
    head[SCRIPT_HEAD_BYTES - 1] = ' ';
    assert_int_equal(script_read(&script, head), 0);
    assert_int_equal(strlen(script.interpreter), SCRIPT_HEAD_BYTES - 3);
    assert_null(script.argument);
    head[SCRIPT_HEAD_BYTES - 1] = '\n';
    assert_int_equal(script_read(&script, head), 0);
    head[SCRIPT_HEAD_BYTES - 1] = 'x';
    head[100] = ' ';
    assert_int_equal(script_read(&script, head), 0);
    assert_int_equal(strlen(script.interpreter), 98);
    assert_int_equal(strlen(script.argument), SCRIPT_HEAD_BYTES - 1 - 101); /* as Linux cuts it */
    memset(head + 2, ' ', sizeof(head) - 2);
    assert_int_equal(script_read(&script, head), -ENOEXEC);
}

/* ---- scripts ------------------------------------------------------------- */

static void expect_words(char *const *argv, const char *const *expected)
{
    size_t i = 0;

    for (; expected[i]; i++) {
        assert_non_null(argv[i]);
        assert_string_equal(argv[i], expected[i]);
    }
    assert_null(argv[i]);
}

static void test_script(void **state)
{
    const char *const argv[] = {"zero", "one", "two words", NULL};
    struct program program;
    struct disk disk;

    (void)state;
    disk_init(&disk);
    add_text(&disk, "/inner", "#! /elf -x\n");
    add_text(&disk, "/outer", "#!/inner a b\n");
    assert_int_equal(run(&disk, "/outer", argv, &program, NULL), 0);
    expect_words(program.argv, (const char *const[]){"/elf", "-x", "/inner", "a b", "/outer", "one",
                                                     "two words", NULL});
    assert_string_equal(program.name, "/outer");
    assert_string_equal(program.file, "/elf");
    assert_int_equal(program_entry(&program).value, TEXT + 0x1000);
    program_close(&program);
    /* A program that was given no argument at all, not even its name. */
    assert_int_equal(run(&disk, "/inner", argv + 3, &program, NULL), 0);
    expect_words(program.argv, (const char *const[]){"/elf", "-x", "/inner", NULL});
    program_close(&program);
    images_fini(&disk.images);
}

static void expect_refused(struct disk *disk, const char *name, int code, const char *text)
{
    const char *const argv[] = {name, NULL};
    struct ferry_error err = {""};
    struct program program;

    assert_int_equal(run(disk, name, argv, &program, &err), code);
    if (!strstr(err.text, text) || strchr(err.text, '\n'))
        fail_msg("%s: %s", name, err.text);
    assert_null(program.argv);
    assert_int_equal(run(disk, name, argv, &program, NULL), code);
}

static void test_scripts_refused(void **state)
{
    struct disk disk;

    (void)state;
    disk_init(&disk);
    add_text(&disk, "/no", "#!/no/such -x\n");
    add_text(&disk, "/may-not", "#!/forbidden\n");
    add_text(&disk, "/blank", "#!   \n");
    add_text(&disk, "/text", "#!/words\n");
    add_text(&disk, "/words", "words\n");
    expect_refused(&disk, "/no", -ENOENT, "interpreter '/no/such' is not there");
    expect_refused(&disk, "/may-not", -EACCES, "'/forbidden' is no file that may be run");
    expect_refused(&disk, "/blank", -ENOEXEC, "names no interpreter");
    expect_refused(&disk, "/text", -ENOEXEC, "cannot load '/words': not an ELF file");
    images_fini(&disk.images);
}

/* Linux runs five scripts, one after the other, and no sixth. */
static void test_nesting(void **state)
{
    static const char *const names[] = {"/1", "/2", "/3", "/4", "/5", "/6"};
    static const char *const texts[] = {"#!/elf", "#!/1", "#!/2", "#!/3", "#!/4", "#!/5"};
    const char *const argv[] = {"me", NULL};
    struct program program;
    struct disk disk;

    (void)state;
    disk_init(&disk);
    for (int i = 0; i < 6; i++)
        add_text(&disk, names[i], texts[i]);
    assert_int_equal(run(&disk, "/5", argv, &program, NULL), 0);
    expect_words(program.argv, (const char *const[]){"/elf", "/1", "/2", "/3", "/4", "/5", NULL});
    program_close(&program);
    expect_refused(&disk, "/6", -ELOOP, "more than 5");
    add_text(&disk, "/self", "#!/self");
    expect_refused(&disk, "/self", -ELOOP, "script");
    images_fini(&disk.images);
}

/* ---- loaders ------------------------------------------------------------- */

static uint64_t aux_value(const uint64_t *words, uint64_t type)
{
    words += 1 + words[0] + 1; /* argc, argv */
    while (*words++)           /* envp */
        ;
    for (; words[0] != AT_NULL; words += 2)
        if (words[0] == type)
            return words[1];
    fail_msg("no auxiliary entry %llu", (unsigned long long)type);
    return 0;
}

/* A position-independent program and loader, of one file: each in a place of its own. */
static void test_loader(void **state)
{
    const uint64_t program_at = 0x100000000, loader_at = 0x200000000;
    const char *const argv[] = {"me", NULL};
    struct fixture fixture;
    struct program program;
    struct disk disk;
    struct elf pie = make_elf();
    char text[64];
    struct guest_addr rsp;

    (void)state;
    disk_init(&disk);
    make_pie(&pie);
    add(&disk, "/ld.so", pie.byte, pie.bytes);
    make_dynamic(&pie, "/ld.so");
    assert_int_equal(run(&disk, "/ld.so", argv, &program, NULL), 0); /* names itself */
    assert_int_equal(program_entry(&program).value, loader_at + 0x1000);
    assert_int_equal(program_end(&program).value, program_at + 0x5000);
    fixture_init(&fixture, LIMIT);
    assert_int_equal(
        program_stack(&program, &fixture.space, 1 << 20, NULL, guest_addr(0), &rsp, NULL), 0);
    assert_int_equal(program_load(&program, &fixture.space, NULL), 0);
    const uint64_t *words = (const uint64_t *)(const void *)look(&fixture, rsp.value, 400);
    assert_int_equal(aux_value(words, AT_BASE), loader_at);
    assert_int_equal(aux_value(words, AT_ENTRY), program_at + 0x1000);
    assert_int_equal(aux_value(words, AT_PHDR), program_at + sizeof(Elf64_Ehdr));
    assert_memory_equal(look(&fixture, program_at, 0x1800), pie.byte, 0x1800);
    assert_memory_equal(look(&fixture, loader_at, 0x1800), pie.byte, 0x1800);
    assert_int_equal(space_prot(&fixture.space, guest_addr(loader_at + 0x3000)),
                     SPACE_READ | SPACE_WRITE);
    program_symbolize(&program, guest_addr(loader_at + 0x1101), text, sizeof(text));
    assert_string_equal(text, "alpha+0x1");
    fixture_fini(&fixture);
    program_close(&program);
    images_fini(&disk.images);
}

static void test_loaders_refused(void **state)
{
    struct elf lost = make_elf(), arm = make_elf(), fixed = make_elf(), arm_user, fixed_user;
    struct disk disk;

    (void)state;
    disk_init(&disk);
    make_dynamic(&lost, "/lib/ld-none.so");
    add(&disk, "/lost", lost.byte, lost.bytes);
    expect_refused(&disk, "/lost", -ENOENT, "'/lost': its loader '/lib/ld-none.so' is not there");
    arm_user = fixed_user = make_elf();
    arm.ehdr.e_machine = EM_AARCH64;
    add(&disk, "/arm", arm.byte, arm.bytes);
    make_dynamic(&arm_user, "/arm");
    add(&disk, "/arm-user", arm_user.byte, arm_user.bytes);
    expect_refused(&disk, "/arm-user", -ELIBBAD,
                   "'/arm-user': it needs a loader; cannot load '/arm': built for another machine");
    add(&disk, "/fixed", fixed.byte, fixed.bytes);
    make_dynamic(&fixed_user, "/fixed");
    add(&disk, "/fixed-user", fixed_user.byte, fixed_user.bytes);
    expect_refused(&disk, "/fixed-user", -ELIBBAD, "linked to addresses of the program");
    images_fini(&disk.images);
}

/* What was copied is charged before another thread is served, and the rest then has the room that is
 * left. An image that is in use already is charged just so. */
static void test_copies_are_charged_at_once(void **state)
{
    const char *const argv[] = {"me", NULL};
    struct program program, again;
    struct fixture fixture;
    struct disk disk;
    struct elf pie = make_elf();

    (void)state;
    disk_init(&disk);
    make_pie(&pie);
    add(&disk, "/ld.so", pie.byte, pie.bytes);
    make_dynamic(&pie, "/ld.so");
    add(&disk, "/dynamic", pie.byte, pie.bytes);
    fixture_init(&fixture, LIMIT);
    disk.space = &fixture.space;
    assert_int_equal(run(&disk, "/dynamic", argv, &program, NULL), 0);
    assert_in_range(disk.used_meanwhile, pie.bytes, fixture.space.used_bytes - 1);
    assert_int_equal(fixture.space.used_bytes, program_copied_bytes(&program));
    assert_int_equal(run(&disk, "/dynamic", argv, &again, NULL), 0);
    assert_int_equal(fixture.space.used_bytes, 2 * program_copied_bytes(&program));
    space_recharge(&fixture.space, fixture.space.used_bytes, 0);
    program_close(&again);
    for (int in_use = 1; in_use >= 0; in_use--) {
        disk.others_take_all = true;
        assert_int_equal(run(&disk, "/dynamic", argv, &again, NULL), -ENOMEM);
        assert_int_equal(fixture.space.used_bytes, LIMIT - disk.used_meanwhile);
        space_recharge(&fixture.space, fixture.space.used_bytes, 0);
        if (in_use)
            program_close(&program);
    }
    fixture_fini(&fixture);
    images_fini(&disk.images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),           cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_script),          cmocka_unit_test(test_scripts_refused),
        cmocka_unit_test(test_nesting),         cmocka_unit_test(test_loader),
        cmocka_unit_test(test_loaders_refused), cmocka_unit_test(test_copies_are_charged_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
