/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threat: a program file, or the first line of a script, in which every number was chosen by an
 * attacker, to make the VMM read or map beyond the file or the VM, take memory or time without bound,
 * give pages other rights than the file names, or put control characters into a report.
 *
 * An input is one of four small files and a list of changes (place, number), or a whole file, or a
 * script's head. What is opened is loaded into an address space without KVM; then each page has the
 * bytes and rights that the segments say, all within the program's part and the limit. Symbols are
 * asked for at several addresses, also as a library's; the digest ends.
 *
 * Not here: files that change while they are read, loaders.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "image_fixture.h"
#include "lib/bits.h"
#include "program/script.h"

#define CHANGES 40
#define PLACES  12

static struct elf file;

static void make_file(struct fuzz *fuzz, uint8_t kind)
{
    file = make_elf();
    if (kind == 1)
        make_pie(&file);
    else if (kind == 2)
        make_dynamic(&file, "/lib64/ld-linux-x86-64.so.2");
    else if (kind == 3) {
        memset(&file, 0, sizeof file);
        for (file.bytes = 0; fuzz_left(fuzz) && file.bytes < FILE_BYTES; file.bytes++)
            file.byte[file.bytes] = fuzz_byte(fuzz);
        return;
    }
    if (fuzz_byte(fuzz) & 1)
        file.bytes = fuzz_bytes(fuzz, 2) % (FILE_BYTES + 1);
    /* All numbers of the headers, sections, symbols and dynamic entries lie below. */
    for (int i = 0; i < CHANGES && fuzz_left(fuzz); i++) {
        uint32_t at = (uint32_t)fuzz_bytes(fuzz, 2) % (DYNS + 64);
        uint8_t width = fuzz_byte(fuzz) % 4;
        uint64_t value = fuzz_value(fuzz);
        memcpy(file.byte + at, &value, 1u << width);
    }
}

static void check_script(struct fuzz *fuzz)
{
    char head[SCRIPT_HEAD_BYTES] = {0};
    struct script script;

    for (size_t i = 0; i < sizeof head && fuzz_left(fuzz); i++)
        head[i] = (char)fuzz_byte(fuzz);
    if (!script_is(head) || script_read(&script, head))
        return;
    const char *const words[] = {script.interpreter, script.argument};
    for (int i = 0; i < 2; i++) {
        if (!words[i] && i == 1)
            continue;
        FUZZ_ASSERT(words[i] >= script.text && words[i] < script.text + sizeof script.text);
        FUZZ_ASSERT(memchr(words[i], 0, (size_t)(script.text + sizeof script.text - words[i])));
        FUZZ_ASSERT(words[i][0] && !strchr(words[i], '\n'));
    }
}

/* What image_check promises of every file it lets through. */
static void check_segments(const struct image *image)
{
    uint64_t end = 0;

    FUZZ_ASSERT(image->segment_count > 0 && image->segment_count <= IMAGE_SEGMENTS_MAX);
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];
        uint64_t start = segment->addr + image->bias;
        FUZZ_ASSERT(segment->file_bytes <= segment->memory_bytes);
        FUZZ_ASSERT(segment->offset <= file.bytes &&
                    segment->file_bytes <= file.bytes - segment->offset);
        FUZZ_ASSERT(start >= FERRY_PROGRAM_LOW && start >= end);
        FUZZ_ASSERT(segment->memory_bytes <= LIMIT);
        end = start + segment->memory_bytes;
        FUZZ_ASSERT(end >= start && end <= image->end);
    }
    FUZZ_ASSERT(image->end <= FERRY_PROGRAM_HIGH && image->end % PAGE == 0);
    FUZZ_ASSERT(image->memory_bytes <= LIMIT);
}

/* The byte that a program finds at an address of a page that belongs to one segment alone. Before the
 * segment and, without bss, behind it lie the bytes of the file beside it. */
static bool is_right_byte(const struct image *image, const struct image_segment *segment,
                          uint64_t addr, uint8_t byte)
{
    uint64_t start = segment->addr + image->bias;

    if (addr >= start + segment->file_bytes)
        return byte == 0 || segment->memory_bytes == segment->file_bytes;
    return addr < start || byte == file.byte[segment->offset + (addr - start)];
}

static const struct image_segment *only_segment(const struct image *image, uint64_t page)
{
    const struct image_segment *found = NULL;

    for (size_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];
        uint64_t start = segment->addr + image->bias;
        if (segment->memory_bytes == 0 || page_up(start + segment->memory_bytes) <= page ||
            page_down(start) > page)
            continue;
        if (found)
            return NULL;
        found = segment;
    }
    return found;
}

static void check_page(const struct fixture *fixture, const struct image *image, uint64_t page)
{
    const struct image_segment *segment = only_segment(image, page);

    if (!segment)
        return;
    unsigned rights = SPACE_READ | SPACE_WRITE | SPACE_EXEC;
    FUZZ_ASSERT((space_prot(&fixture->space, guest_addr(page)) & rights) == segment->prot);
    const uint8_t *bytes = space_at(&fixture->space, guest_addr(page), PAGE, SPACE_READ);
    for (uint32_t i = 0; bytes && i < PAGE; i++)
        FUZZ_ASSERT(is_right_byte(image, segment, page + i, bytes[i]));
}

static void check_loaded(const struct fixture *fixture, const struct image *image)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];
        uint64_t start = page_down(segment->addr + image->bias);
        uint64_t end = page_up(segment->addr + image->bias + segment->memory_bytes);
        for (int p = 0; p < PLACES && start + p * PAGE < end; p++) {
            check_page(fixture, image, start + p * PAGE);
            check_page(fixture, image, end - (p + 1) * PAGE);
        }
    }
    FUZZ_ASSERT(fixture->space.used_bytes <= LIMIT);
}

static void check_text(const char *text, size_t bytes)
{
    size_t length = strnlen(text, bytes);

    FUZZ_ASSERT(length < bytes);
    for (size_t i = 0; i < length; i++)
        FUZZ_ASSERT((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
}

static void check_symbols(struct fuzz *fuzz, const struct image *image)
{
    char text[40];

    for (size_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];
        image_symbolize(image, segment->addr, text, sizeof text);
        check_text(text, sizeof text);
        image_symbolize(image, segment->addr + 0x1100, text, sizeof text);
        check_text(text, sizeof text);
    }
    image_symbolize(image, fuzz_value(fuzz), text, sizeof text);
    check_text(text, sizeof text);
}

/* A library that a program mapped is looked at without having been checked. */
static void check_library(int fd, uint64_t offset)
{
    struct image_source source;
    uint64_t linked;
    char text[40] = "";

    if (image_source_take(dup(fd), "library", &source, NULL))
        return;
    if (image_symbolize_file(&source, offset, &linked, text, sizeof text) == 0)
        check_text(text, sizeof text);
    close(source.fd);
}

static void check_image(struct fuzz *fuzz, int fd)
{
    struct ferry_error err = {0};
    struct fixture fixture;
    struct image *image = NULL;
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (open_path(path, &image, &err)) {
        check_text(err.text, sizeof err.text);
        image_close(image);
        return;
    }
    check_segments(image);
    fixture_init(&fixture, LIMIT);
    if (image_load(image, 0, &fixture.space, &err) == 0)
        check_loaded(&fixture, image);
    check_symbols(fuzz, image);
    int steps = 0;
    while (!image_digest_step(image))
        FUZZ_ASSERT(++steps < 10);
    fixture_fini(&fixture);
    image_close(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz fuzz = fuzz_begin(data, bytes);
    uint8_t kind = fuzz_below(&fuzz, 5);

    if (kind == 4) {
        check_script(&fuzz);
        return 0;
    }
    make_file(&fuzz, kind);
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_ASSERT(fd >= 0 && pwrite(fd, file.byte, file.bytes, 0) == (ssize_t)file.bytes);
    check_image(&fuzz, fd);
    check_library(fd, fuzz_value(&fuzz));
    check_library(fd, 0x1100);
    close(fd);
    return 0;
}
