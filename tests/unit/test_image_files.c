/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of the cost of a program file and of the bytes its digest covers: files that are
 * large, sparse or changed while they run. Costs are counted in blocks, not in time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "image_fixture.h"
#include "program/image_internal.h"
#include "program/images.h"

#define FAR (3ull << 30) /* where the debugging information of a large program ends */

struct file {
    char path[300];
    int fd;
};

static struct file make_file(const char *dir, const struct elf *elf)
{
    struct file file;

    snprintf(file.path, sizeof(file.path), "%s/program", dir);
    file.fd = open(file.path, O_CREAT | O_RDWR | O_CLOEXEC, 0700);
    assert_true(file.fd >= 0);
    assert_int_equal(pwrite(file.fd, elf->byte, elf->bytes, 0), elf->bytes);
    return file;
}

static void remove_file(struct file *file)
{
    close(file->fd);
    unlink(file->path);
}

/* The blocks that the copy of the image takes. */
static uint64_t copied_bytes(const struct image *image)
{
    struct stat st;

    assert_int_equal(fstat(image->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void hash(const void *data, size_t bytes, uint8_t digest[SHA256_DIGEST_SIZE])
{
    struct sha256_ctx sha;

    sha256_init(&sha);
    sha256_update(&sha, bytes, data);
    sha256_digest(&sha, SHA256_DIGEST_SIZE, digest);
}

static const uint8_t *digest_of(struct image *image)
{
    while (!image_digest_step(image))
        ;
    return image->digest;
}

static void expect_digest(struct image *image, const void *data, size_t bytes)
{
    uint8_t digest[SHA256_DIGEST_SIZE];

    hash(data, bytes, digest);
    assert_memory_equal(digest_of(image), digest, sizeof(digest));
}

/* ---- cost ------------------------------------------------------------------- */

/* 3 GiB of nothing behind the program: not read, not copied. */
static void test_large_rest_costs_nothing(void **state)
{
    struct elf elf = make_elf();
    struct image *image = NULL;
    struct fixture fixture;
    struct file file;
    char text[64];

    elf.ehdr.e_shoff = FAR - 4096; /* sections at the end, as compilers put them */
    file = make_file(*state, &elf);
    assert_int_equal(pwrite(file.fd, elf.shdr, sizeof(elf.shdr), FAR - 4096), sizeof(elf.shdr));
    assert_int_equal(ftruncate(file.fd, FAR), 0);
    assert_int_equal(open_path(file.path, &image, NULL), 0);
    assert_in_range(copied_bytes(image), 0x2000, 0x3000);
    assert_false(image_digest_step(image)); /* a piece of it, not all */
    load(&fixture, image);
    assert_memory_equal(look(&fixture, TEXT, 0x1800), elf.byte, 0x1800);
    image_symbolize(image, TEXT + 0x1101, text, sizeof(text));
    assert_string_equal(text, "alpha+0x1");
    fixture_fini(&fixture);
    image_close(image);
    remove_file(&file);
}

/* A file of `bytes`, each word of which is another, with a segment that is all behind 0x1800. */
static struct file make_long(const char *dir, struct elf *elf, size_t bytes)
{
    uint64_t words[512];

    elf->ehdr.e_shnum = 0;
    elf->phdr[1].p_filesz = elf->phdr[1].p_memsz = bytes - 0x1800;
    struct file file = make_file(dir, elf);
    for (uint64_t at = elf->bytes & ~7ull; at < bytes; at += sizeof(words)) {
        size_t part = bytes - at < sizeof(words) ? bytes - at : sizeof(words);

        for (size_t i = 0; i < 512; i++)
            words[i] = at + i;
        assert_int_equal(pwrite(file.fd, words, part, (off_t)at), part);
    }
    return file;
}

static bool stops_at_0(void *arg)
{
    int *calls = arg;

    return (*calls)-- == 0;
}

/* Copying may take long, on a slow disk: a stop ends it, also in huge pages. */
static void test_a_stop_ends_the_copying(void **state)
{
    static const size_t lengths[] = {100000, 20 << 20};

    for (size_t i = 0; i < 2; i++) {
        struct elf elf = make_elf();
        struct file file = make_long(*state, &elf, lengths[i]);
        struct ferry_error err = {""};
        struct image_source source;
        struct image *image;
        int calls = 1;

        assert_int_equal(image_source_open(file.path, &source, NULL), 0);
        source.aside = false;
        source.stopping = stops_at_0;
        source.stopping_arg = &calls;
        assert_int_equal(image_open(file.path, &source, LIMIT, &image, &err), -EINTR);
        assert_non_null(strstr(err.text, "stopped"));
        assert_int_equal(calls, -1);
        remove_file(&file);
    }
}

static uint64_t inode_of(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

/* A copy that the caller made and sealed is not copied again, unless a part of it is never needed. */
static void test_sealed_copy_is_the_images(void **state)
{
    struct elf elf = make_elf();

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct image_source source;
        struct fixture fixture;
        struct image *image;

        assert_int_equal(pwrite(fd, elf.byte, elf.bytes, 0), elf.bytes);
        if (kind == 1)
            assert_int_equal(ftruncate(fd, FAR), 0);
        if (kind < 2)
            assert_int_equal(image_seal(fd), 0);
        uint64_t inode = inode_of(fd);
        assert_int_equal(image_source_take(fd, "test", &source, NULL), 0);
        assert_int_equal(image_open("test", &source, LIMIT, &image, NULL), 0);
        assert_int_equal(inode_of(image->fd) == inode, kind == 0);
        assert_int_equal(pwrite(image->fd, "x", 1, 0), -1);
        load(&fixture, image);
        assert_memory_equal(look(&fixture, TEXT, 0x1800), elf.byte, 0x1800);
        if (kind == 0)
            expect_digest(image, elf.byte, elf.bytes);
        fixture_fini(&fixture);
        image_close(image);
    }
}

/* A load segment that is mostly a hole, too large for the VM: refused before it is read. One
 * that is not: its holes stay holes. */
static void test_sparse_segment(void **state)
{
    struct elf elf = make_elf();
    struct image *image = NULL;
    struct fixture fixture;
    struct ferry_error err = {0};
    struct file file;
    char last = 'z';

    elf.ehdr.e_shnum = 0;
    elf.phdr[1].p_filesz = elf.phdr[1].p_memsz = 2ull << 30;
    file = make_file(*state, &elf);
    assert_int_equal(ftruncate(file.fd, FAR), 0);
    assert_int_equal(open_path(file.path, &image, &err), -ENOMEM);
    assert_non_null(strstr(err.text, "give the VM more memory (--mem)"));

    elf.phdr[1].p_filesz = elf.phdr[1].p_memsz = LIMIT / 4;
    assert_int_equal(pwrite(file.fd, elf.byte, elf.bytes, 0), elf.bytes);
    assert_int_equal(pwrite(file.fd, &last, 1, 0x1800 + LIMIT / 4 - 1), 1);
    assert_int_equal(open_path(file.path, &image, &err), 0);
    assert_in_range(copied_bytes(image), 0x3000, 0x8000);
    load(&fixture, image);
    assert_int_equal(look(&fixture, DATA, LIMIT / 4)[LIMIT / 4 - 1], last);
    assert_zero(look(&fixture, DATA + 0x100000, 4096), 4096);
    assert_true(fixture.space.used_bytes >= LIMIT / 2); /* each page, and its own copy */
    fixture_fini(&fixture);
    image_close(image);
    remove_file(&file);
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static bool no_huge;
static unsigned asked_huge;

int __real_madvise(void *start, size_t bytes, int advice);
int __wrap_madvise(void *start, size_t bytes, int advice);
int __wrap_madvise(void *start, size_t bytes, int advice)
{
    if (advice != MADV_COLLAPSE)
        return __real_madvise(start, bytes, advice);
    asked_huge++;
    if (!no_huge)
        return __real_madvise(start, bytes, advice);
    errno = EINVAL;
    return -1;
}

static void expect_long(const char *dir, size_t bytes)
{
    struct elf elf = make_elf();
    struct image *image = NULL;
    struct fixture fixture;
    char *whole = malloc(bytes);
    struct file file = make_long(dir, &elf, bytes);

    assert_non_null(whole);
    assert_int_equal(pread(file.fd, whole, bytes, 0), bytes);
    assert_int_equal(open_path(file.path, &image, NULL), 0);
    assert_int_equal(pwrite(image->fd, "x", 1, 0), -1); /* it is sealed */
    load(&fixture, image);
    assert_memory_equal(look(&fixture, TEXT, 0x1800), whole, 0x1800);
    assert_memory_equal(look(&fixture, DATA, bytes - 0x1800), whole + 0x1800, bytes - 0x1800);
    expect_digest(image, whole, bytes);
    fixture_fini(&fixture);
    image_close(image);
    remove_file(&file);
    free(whole);
}

/* One that fills most of its huge pages is copied into such, once for all of them; where there
 * are none, as before. What would fill too little of the last one has small pages there. */
static void test_long_in_huge_pages(void **state)
{
    const size_t huge = FERRY_EXTENT_BYTES;

    expect_long(*state, huge - 0x30000); /* too short */
    assert_int_equal(asked_huge, 0);
    no_huge = true;
    expect_long(*state, 2 * huge - 0x1003);
    assert_int_equal(asked_huge, 1);
    no_huge = false;
    expect_long(*state, 2 * huge - 0x1003);
    expect_long(*state, 2 * huge);
    expect_long(*state, 2 * huge + 0x5003);
    assert_int_equal(asked_huge, 4);
}

static long peak_kib(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* What a library would size its tables by, as large as a sparse file allows: it takes no memory,
 * and the program runs. This test is the first, since a peak shows only what is above all
 * before. */
static void test_tables_are_bounded(void **state)
{
    static const struct {
        uint64_t offset;
        uint16_t count;
    } sections[] = {
        {SHDRS, UINT16_MAX}, /* as many as an ELF header can tell */
        {SHDRS, 0},          /* the first section's size tells how many there are */
        {24, 0}, /* that size lies in the ELF header: e_phnum and e_shentsize, 4 million */
    };
    long before = peak_kib();

    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        struct elf elf = make_elf();
        struct ferry_error err = {0};
        struct image *image = NULL;
        struct file file;
        char text[64] = "untouched";

        elf.ehdr.e_shoff = sections[i].offset;
        elf.ehdr.e_shnum = sections[i].count;
        elf.shdr[0].sh_size = elf.shdr[0].sh_info = 4 << 20;
        file = make_file(*state, &elf);
        assert_int_equal(ftruncate(file.fd, 300 << 20), 0);
        assert_int_equal(open_path(file.path, &image, NULL), 0);
        image_symbolize(image, TEXT + 0x1101, text, sizeof(text));
        assert_string_equal(text, "");
        image_close(image);

        elf.ehdr.e_phnum = PN_XNUM; /* the first section's sh_info tells how many */
        assert_int_equal(pwrite(file.fd, elf.byte, elf.bytes, 0), elf.bytes);
        assert_int_equal(open_path(file.path, &image, &err), -ENOEXEC);
        assert_non_null(strstr(err.text, "bad program header table"));
        remove_file(&file);
    }
    assert_in_range(peak_kib(), before, before + (4 << 10));
}

/* Symbol tables that a file claims to have: more than are looked through, or beyond its end. */
static void test_symbols_are_bounded(void **state)
{
    static const struct {
        uint64_t offset, bytes;
    } claims[] = {
        {SYMS, FAR - SYMS}, {FAR - 100, 200}, {UINT64_MAX - 100, 200}, {SYMS, UINT64_MAX}};

    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        struct elf elf = make_elf();
        struct image *image = NULL;
        struct file file;
        char text[64] = "untouched";

        elf.shdr[1].sh_offset = claims[i].offset;
        elf.shdr[1].sh_size = claims[i].bytes;
        file = make_file(*state, &elf);
        assert_int_equal(ftruncate(file.fd, FAR), 0);
        assert_int_equal(open_path(file.path, &image, NULL), 0);
        image_symbolize(image, TEXT + 0x1101, text, sizeof(text));
        assert_string_equal(text, "");
        image_close(image);
        remove_file(&file);
    }
}

/* The file that is cut short at the moment the test chooses; see cut_now. */
static struct {
    int fd; /* -1: none */
    bool before_copy;
} cut = {.fd = -1};

static void cut_now(void)
{
    assert_int_equal(ftruncate(cut.fd, 0x2000), 0);
    cut.fd = -1;
}

int __real_image_copy_begin(struct image *image, const struct image_headers *headers,
                            struct ferry_error *err);
int __wrap_image_copy_begin(struct image *image, const struct image_headers *headers,
                            struct ferry_error *err);
int __real_image_pread(int fd, void *buffer, size_t bytes, uint64_t offset);
int __wrap_image_pread(int fd, void *buffer, size_t bytes, uint64_t offset);

/* This is called when the file was checked and nothing of it was copied yet. */
int __wrap_image_copy_begin(struct image *image, const struct image_headers *headers,
                            struct ferry_error *err)
{
    if (cut.fd >= 0 && cut.before_copy)
        cut_now();
    return __real_image_copy_begin(image, headers, err);
}

/* The copy knows that there are data at `offset`, and is about to read them. */
int __wrap_image_pread(int fd, void *buffer, size_t bytes, uint64_t offset)
{
    if (cut.fd >= 0 && !cut.before_copy && offset >= 1 << 20)
        cut_now();
    return __real_image_pread(fd, buffer, bytes, offset);
}

/* Opens the file as an engine does. */
static int open_image(struct images *images, const char *path, struct image **out,
                      struct ferry_error *err)
{
    struct image_source source;
    int result = image_source_open(path, &source, err);

    return result ? result : images_open(images, path, &source, LIMIT, out, err);
}

/* 16 MiB of it are copied. */
static struct file make_large(const char *dir, struct elf *elf)
{
    *elf = make_elf();
    elf->ehdr.e_shnum = 0;
    elf->phdr[1].p_filesz = elf->phdr[1].p_memsz = 16 << 20;
    struct file file = make_file(dir, elf);
    for (uint64_t at = elf->bytes; at < 17 << 20; at += sizeof(elf->byte))
        assert_int_equal(pwrite(file.fd, elf->byte, sizeof(elf->byte), (off_t)at),
                         sizeof(elf->byte));
    return file;
}

/* What a program executes is copied by its own thread, whose processor time is the program's. */
static void test_copied_aside_only_at_the_start(void **state)
{
    struct elf elf;
    struct file file = make_large(*state, &elf);

    for (int aside = 0; aside <= 1; aside++) {
        struct image_source source;
        struct image *image;

        assert_int_equal(image_source_open(file.path, &source, NULL), 0);
        source.aside &= aside;
        assert_int_equal(image_open(file.path, &source, LIMIT, &image, NULL), 0);
        assert_int_equal(image->copying != NULL, aside);
        assert_int_equal(image_copy_wait(image, NULL), 0);
        image_close(image);
    }
    remove_file(&file);
}

/* A file that is truncated while it is copied: a thread that waits for it gets an error, and the
 * next that asks for it gets another copy. */
static void cut_short(const char *dir, bool before_copy)
{
    struct ferry_error err = {0};
    struct images images;
    struct image *image = NULL, *again = NULL;
    struct fixture fixture;

    struct elf elf;
    struct file file = make_large(dir, &elf);

    images_init(&images);
    cut.before_copy = before_copy;
    cut.fd = file.fd;
    assert_int_equal(open_image(&images, file.path, &image, NULL), 0);
    fixture_init(&fixture, LIMIT);
    assert_int_equal(image_load(image, 0, &fixture.space, &err), -EAGAIN);
    assert_non_null(strstr(err.text, "cut short while it was read; try again"));

    assert_int_equal(pwrite(file.fd, elf.byte, elf.bytes, 0), elf.bytes);
    assert_int_equal(ftruncate(file.fd, 17 << 20), 0);
    assert_int_equal(image_load(image, 0, &fixture.space, NULL), -EAGAIN);
    fixture_fini(&fixture);
    assert_int_equal(open_image(&images, file.path, &again, NULL), 0);
    assert_int_equal(image_copy_wait(again, NULL), 0);
    images_fini(&images);
    remove_file(&file);
}

static void test_cut_short_before_it_is_copied(void **state)
{
    cut_short(*state, true);
}

static void test_cut_short_while_copied(void **state)
{
    cut_short(*state, false);
}

/* ---- digest ------------------------------------------------------------------- */

static void test_digest(void **state)
{
    struct elf elf = make_elf();
    struct file file = make_file(*state, &elf);
    size_t bytes = 5u << 20;
    char *whole = calloc(1, bytes);
    struct image *image = NULL;

    assert_non_null(whole);
    assert_int_equal(open_path(file.path, &image, NULL), 0);
    expect_digest(image, elf.byte, elf.bytes);
    image_close(image);

    /* Of a file with a rest that is not copied, the digest is that of all, and each byte is read
     * once. */
    assert_int_equal(ftruncate(file.fd, (off_t)bytes), 0);
    assert_int_equal(pwrite(file.fd, "debug", 5, 4 << 20), 5);
    assert_int_equal(pread(file.fd, whole, bytes, 0), bytes);
    assert_int_equal(open_path(file.path, &image, NULL), 0);
    expect_digest(image, whole, bytes);
    image_close(image);
    free(whole);
    remove_file(&file);
}

static void *take_digest(void *image)
{
    digest_of(image);
    return NULL;
}

/* Several threads that want the digest at once compute it together. */
static void test_digest_by_many(void **state)
{
    struct elf elf = make_elf();
    struct file file = make_file(*state, &elf);
    size_t bytes = 20u << 20;
    char *whole = calloc(1, bytes);
    struct image *image = NULL;
    pthread_t threads[4];

    assert_non_null(whole);
    assert_int_equal(ftruncate(file.fd, (off_t)bytes), 0);
    memcpy(whole, elf.byte, elf.bytes);
    assert_int_equal(open_path(file.path, &image, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_digest, image), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    expect_digest(image, whole, bytes);
    image_close(image);
    free(whole);
    remove_file(&file);
}

/* The program is overwritten in place and cut short after it was opened, and only then is its
 * digest asked for: it is that of what runs. */
static void test_digest_is_of_what_runs(void **state)
{
    struct elf elf = make_elf(), other = make_elf();
    struct file file = make_file(*state, &elf);
    struct image *image = NULL;
    struct fixture fixture;

    assert_int_equal(open_path(file.path, &image, NULL), 0);
    memset(other.byte + 0x1000, 0x90, 0x800);
    assert_int_equal(pwrite(file.fd, other.byte, other.bytes, 0), other.bytes);
    assert_int_equal(ftruncate(file.fd, 0x1800), 0);
    load(&fixture, image);
    assert_memory_equal(look(&fixture, TEXT, 0x1800), elf.byte, 0x1800);
    expect_digest(image, elf.byte, elf.bytes);
    assert_int_equal(pwrite(image->fd, "x", 1, 0), -1); /* it is sealed */
    fixture_fini(&fixture);
    image_close(image);
    remove_file(&file);
}

/* Bytes outside the copy were changed: no digest rather than a wrong one, and no symbols. */
static void test_changed_rest_has_no_digest(void **state)
{
    static const uint8_t none[FERRY_DIGEST_BYTES];
    struct elf elf = make_elf();
    struct image *image = NULL;
    struct file file;
    char text[64];

    elf.ehdr.e_shoff = 4u << 20;
    file = make_file(*state, &elf);
    assert_int_equal(pwrite(file.fd, elf.shdr, sizeof(elf.shdr), 4 << 20), sizeof(elf.shdr));
    assert_int_equal(ftruncate(file.fd, 5 << 20), 0);
    assert_int_equal(open_path(file.path, &image, NULL), 0);
    image_symbolize(image, TEXT + 0x1101, text, sizeof(text));
    assert_string_equal(text, "alpha+0x1");
    assert_int_equal(pwrite(file.fd, "other", 5, 3 << 20), 5);
    assert_memory_equal(digest_of(image), none, sizeof(none));
    image_symbolize(image, TEXT + 0x1101, text, sizeof(text));
    assert_string_equal(text, "");
    image_close(image);

    /* Bytes outside the copy are not there any more. */
    assert_int_equal(open_path(file.path, &image, NULL), 0);
    assert_int_equal(ftruncate(file.fd, 1 << 20), 0);
    assert_memory_equal(digest_of(image), none, sizeof(none));
    image_close(image);
    remove_file(&file);
}

/* ---- which image a path means ----------------------------------------------------- */

static struct image *must_find(struct images *images, const char *path)
{
    struct image *image = NULL;
    struct ferry_error err = {0};

    if (open_image(images, path, &image, &err))
        fail_msg("%s", err.text);
    return image;
}

/* Other bytes in the same file, as many, and with the old time of modification. */
static void test_replaced_in_place(void **state)
{
    struct elf elf = make_elf(), other = make_elf();
    struct file file = make_file(*state, &elf);
    struct images images;
    struct stat st;

    images_init(&images);
    struct image *first = must_find(&images, file.path);
    assert_int_equal(fstat(file.fd, &st), 0);
    other.byte[0x1100] ^= 1;
    assert_int_equal(pwrite(file.fd, other.byte, other.bytes, 0), other.bytes);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(futimens(file.fd, times), 0);
    struct image *second = must_find(&images, file.path);
    assert_ptr_not_equal(first, second);
    expect_digest(first, elf.byte, elf.bytes);
    expect_digest(second, other.byte, other.bytes);
    images_fini(&images);
    remove_file(&file);
}

/* Two names of one file that nobody touches are one image. */
static void test_same_file_is_one_image(void **state)
{
    struct images images;

    (void)state;
    images_init(&images);
    assert_ptr_equal(must_find(&images, "/bin/busybox"), must_find(&images, "/bin/../bin/busybox"));
    images_fini(&images);
}

static unsigned open_files(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* A file that changes a hundred times, each state run by a VM that is then destroyed: images that
 * no VM uses are not kept for ever, those in use are. */
static void test_images_do_not_pile_up(void **state)
{
    struct elf elf = make_elf();
    struct file file = make_file(*state, &elf);
    struct images images;
    unsigned before = open_files();

    images_init(&images);
    struct image *used = must_find(&images, file.path);
    for (unsigned i = 0; i < 100; i++) {
        memset(elf.byte + 0x1100, (int)i, 4);
        assert_int_equal(pwrite(file.fd, elf.byte, elf.bytes, 0), elf.bytes);
        images_release(&images, must_find(&images, file.path));
    }
    assert_in_range(open_files(), before + 1, before + 12);
    elf = make_elf();
    expect_digest(used, elf.byte, elf.bytes);
    images_release(&images, used);
    images_fini(&images);
    assert_int_equal(open_files(), before);
    remove_file(&file);
}

/* Those that a program could write are not kept at all, nor their files; of others only so much. */
static void test_what_is_kept_is_bounded(void **state)
{
    struct elf elf = make_elf();
    struct file file = make_file(*state, &elf);
    struct images images;
    struct image_source source;
    struct image *image;
    unsigned before = open_files();

    elf.phdr[1].p_filesz = elf.phdr[1].p_memsz = 1 << 20;
    assert_int_equal(pwrite(file.fd, elf.byte, elf.bytes, 0), elf.bytes);
    assert_int_equal(ftruncate(file.fd, 4 << 20), 0); /* more than such a copy has, */
    images_init(&images);
    assert_int_equal(image_source_open(file.path, &source, NULL), 0);
    source.own = true;
    assert_int_equal(images_open(&images, file.path, &source, LIMIT, &image, NULL), 0);
    assert_int_equal(image_copy_wait(image, NULL), 0);
    assert_int_equal(image->copied_bytes, 4 << 20); /* but not this one */
    assert_int_equal(image->source.fd, -1);
    images_release(&images, image);
    assert_int_equal(open_files(), before);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pwrite(file.fd, elf.byte, elf.bytes, 0), elf.bytes);
        image = must_find(&images, file.path);
        assert_int_equal(image_copy_wait(image, NULL), 0);
        image->copied_bytes = 30 << 20; /* as a larger file has */
        images_release(&images, image);
    }
    assert_int_equal(open_files(), before + 2 * 2);
    images_fini(&images);
    remove_file(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_are_bounded), /* first: see there */
        cmocka_unit_test(test_large_rest_costs_nothing),
        cmocka_unit_test(test_sealed_copy_is_the_images),
        cmocka_unit_test(test_sparse_segment),
        cmocka_unit_test(test_long_in_huge_pages),
        cmocka_unit_test(test_a_stop_ends_the_copying),
        cmocka_unit_test(test_symbols_are_bounded),
        cmocka_unit_test(test_copied_aside_only_at_the_start),
        cmocka_unit_test(test_cut_short_before_it_is_copied),
        cmocka_unit_test(test_cut_short_while_copied),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_digest_by_many),
        cmocka_unit_test(test_digest_is_of_what_runs),
        cmocka_unit_test(test_changed_rest_has_no_digest),
        cmocka_unit_test(test_replaced_in_place),
        cmocka_unit_test(test_same_file_is_one_image),
        cmocka_unit_test(test_images_do_not_pile_up),
        cmocka_unit_test(test_what_is_kept_is_bounded),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
