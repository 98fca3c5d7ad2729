/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the copy of a program file: choosing the parts to copy, and reading the file as it was when
 * it was opened.
 *
 * The parts that run are copied once into a sealed memfd and mapped from there. So the digest is
 * that of exactly the bytes that run, a file that is overwritten or truncated later changes nothing
 * in a running VM, and no access to image pages can raise SIGBUS. A mapping of the file itself
 * would promise none of this. VMs of one image share the copy's pages until they write to them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mapping.h"
#include "lib/thread.h"
#include "program/image_internal.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; older C libraries lack the name */
#endif

#define SEAL_TRIES 20
#define COPY_BYTES (32u << 10)
#define LONG_BYTES (256u << 10) /* a tenth of a millisecond */
#define PART_BYTES (16u << 20)  /* that is read in huge pages before a stop is looked for */

/* So much of the last huge page may stay unused. */
#define SLACK_BYTES (FERRY_EXTENT_BYTES / 16)

/* Parts that are not loaded are copied too if they are no longer than this, such as symbols and
 * section headers of an ordinary program. Then digest and symbols are there whatever happens to the
 * file. */
#define REST_BYTES (256u << 10)

/* ---- what is copied ----------------------------------------------------------- */

/* Callers add at most IMAGE_RANGES_MAX; the end lies within the file, or on its last page. */
static void add_range(struct image *image, uint64_t start, uint64_t end)
{
    uint64_t bytes = image->source.key.bytes;
    struct image_range *range = &image->copied[image->copied_count++];

    *range = (struct image_range){page_down(start), page_up(end)};
    if (range->end > bytes)
        range->end = bytes;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct image_range *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static void merge_ranges(struct image *image)
{
    struct image_range *ranges = image->copied;
    size_t kept = 0;

    qsort(ranges, image->copied_count, sizeof(*ranges), compare_ranges);
    for (size_t i = 1; i < image->copied_count; i++) {
        if (ranges[i].start > ranges[kept].end)
            ranges[++kept] = ranges[i];
        else if (ranges[i].end > ranges[kept].end)
            ranges[kept].end = ranges[i].end;
    }
    image->copied_count = kept + 1;
}

static uint64_t file_pages_bytes(const struct image_segment *segment)
{
    return segment->file_bytes
               ? page_up(segment->offset + segment->file_bytes) - page_down(segment->offset)
               : 0;
}

static void reckon(struct image *image)
{
    uint64_t shared = 0;

    for (size_t i = 0; i < image->copied_count; i++)
        image->copied_bytes += page_up(image->copied[i].end) - image->copied[i].start;
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];
        uint64_t start = segment->addr + image->bias;

        image->memory_bytes += page_up(start + segment->memory_bytes) - page_down(start);
        if (!(segment->prot & SPACE_WRITE))
            shared += file_pages_bytes(segment);
    }
    image->unshared_bytes = image->copied_bytes > shared ? image->copied_bytes - shared : 0;
}

void image_plan(struct image *image, const struct image_headers *headers)
{
    const Elf64_Ehdr *ehdr = &headers->file;
    uint64_t bytes = image->source.key.bytes, copied = 0;

    add_range(image, 0, sizeof(*ehdr));
    add_range(image, ehdr->e_phoff, ehdr->e_phoff + ehdr->e_phnum * sizeof(Elf64_Phdr));
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];

        if (segment->file_bytes)
            add_range(image, segment->offset, segment->offset + segment->file_bytes);
    }
    merge_ranges(image);
    for (size_t i = 0; i < image->copied_count; i++)
        copied += image->copied[i].end - image->copied[i].start;
    if (bytes - copied <= REST_BYTES || image->source.own) {
        image->copied[0] = (struct image_range){0, bytes};
        image->copied_count = 1;
    }
    reckon(image);
}

int image_no_room(const struct image *image, struct ferry_error *err)
{
    return image_fail(err, -ENOMEM, image->path,
                      "no room for its %llu KiB; give the VM more memory (--mem)",
                      (unsigned long long)(image->memory_bytes + image->unshared_bytes) >> 10);
}

/* ---- copying ---------------------------------------------------------------- */

static int pwrite_all(int fd, const void *data, size_t bytes, uint64_t offset)
{
    const char *from = data;

    while (bytes > 0) {
        ssize_t n = pwrite(fd, from, bytes, (off_t)offset);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            from += n;
            offset += (uint64_t)n;
            bytes -= (size_t)n;
        }
    }
    return 0;
}

static int cut_short(const struct image *image, struct ferry_error *err)
{
    return image_fail(err, -EAGAIN, image->path, "it was cut short while it was read; try again");
}

static int read_file(const struct image *image, void *buffer, size_t bytes, uint64_t at,
                     struct ferry_error *err)
{
    const struct image_source *source = &image->source;
    int result;

    if (source->stopping && source->stopping(source->stopping_arg))
        return image_fail(err, -EINTR, image->path, "its VM was stopped while it was read");
    result = image_pread(source->fd, buffer, bytes, at);
    if (result == -ENODATA)
        return cut_short(image, err);
    return result ? image_fail(err, result, image->path, "reading it: %s", strerror(-result)) : 0;
}

static int copy_bytes(struct image *image, uint64_t start, uint64_t end, char *buffer,
                      struct ferry_error *err)
{
    while (start < end) {
        size_t bytes = end - start < COPY_BYTES ? (size_t)(end - start) : COPY_BYTES;
        int result = read_file(image, buffer, bytes, start, err);

        if (result)
            return result;
        result = pwrite_all(image->fd, buffer, bytes, start);
        if (result)
            return image_fail(err, result, image->path, "making a copy in memory: %s",
                              strerror(-result));
        start += bytes;
    }
    return 0;
}

/* Makes [from, to) of the copy huge pages; false where they are not to be had. */
static bool make_huge(const struct image *image, char *host, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += FERRY_EXTENT_BYTES)
        if (pwrite_all(image->fd, "", 1, at)) /* where there is nothing, nothing is made huge */
            return false;
    return madvise(host + from, to - from, MADV_COLLAPSE) == 0;
}

/* Reads [from, to) into huge pages: that is one copy instead of two, and one allocation where
 * there were 512. 1: it was done, 0: there are none. */
static int read_huge(const struct image *image, uint64_t from, uint64_t to, uint64_t end,
                     struct ferry_error *err)
{
    int result = 0;
    char *host = mapping_aligned(to, PROT_READ | PROT_WRITE, MAP_SHARED, image->fd);

    if (!host)
        return 0;
    madvise(host, to, MADV_DONTFORK); /* in a child it would keep the copy from being sealed */
    for (uint64_t part; from < to && result == 0; from += part) {
        part = min_u64(to - from, PART_BYTES);
        if (!make_huge(image, host, from, from + part))
            break;
        result = read_file(image, host + from, min_u64(from + part, end) - from, from, err);
    }
    munmap(host, to);
    return result == 0 && from == to ? 1 : result;
}

static int copy_data(struct image *image, uint64_t start, uint64_t end, char *buffer,
                     struct ferry_error *err)
{
    uint64_t from = align_up(start, FERRY_EXTENT_BYTES);
    uint64_t to = (end + SLACK_BYTES) & ~(FERRY_EXTENT_BYTES - 1);
    int result = from < to ? read_huge(image, from, to, end, err) : 0;

    if (result < 0)
        return result;
    if (result == 0)
        return copy_bytes(image, start, end, buffer, err);
    result = copy_bytes(image, start, from, buffer, err);
    return result ? result : copy_bytes(image, to, end, buffer, err);
}

/* Keeps holes of the file as holes of the copy, so that a sparse file costs only its data. */
static int copy_range(struct image *image, struct image_range range, char *buffer,
                      struct ferry_error *err)
{
    uint64_t at = range.start;
    int result = 0;

    while (at < range.end && result == 0) {
        off_t data = lseek(image->source.fd, (off_t)at, SEEK_DATA);
        off_t hole = data < 0 ? -1 : lseek(image->source.fd, data, SEEK_HOLE);

        if (data < 0 && errno == ENXIO)
            break;
        if (hole < 0) { /* a file system that cannot tell */
            data = (off_t)at;
            hole = (off_t)range.end;
        }
        if ((uint64_t)data >= range.end)
            break;
        at = (uint64_t)hole < range.end ? (uint64_t)hole : range.end;
        result = copy_data(image, (uint64_t)data, at, buffer, err);
    }
    return result;
}

/* The kernel itself may hold a page for a moment, as when it moves pages about. It waits a while
 * for that before it says EBUSY, and then it is worth asking again. */
int image_seal(int fd)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    int result = -1;

    for (int i = 0; i < SEAL_TRIES && result < 0; i++) {
        result = fcntl(fd, F_ADD_SEALS, seals);
        if (result < 0 && errno != EBUSY)
            break;
    }
    return result;
}

/* The headers as they were checked: the file may have changed since. */
static int copy_headers(const struct image *image, const struct image_headers *headers)
{
    int result = pwrite_all(image->fd, &headers->file, sizeof(headers->file), 0);

    return result ? result
                  : pwrite_all(image->fd, headers->program,
                               headers->file.e_phnum * sizeof(Elf64_Phdr), headers->file.e_phoff);
}

/* A long copy is made by a thread of its own, while the VM is made: it takes as long as that. */
struct image_copying {
    struct image *image;
    struct image_headers headers;
    struct ferry_error error;
    pthread_t thread;
    bool started;
    char buffer[COPY_BYTES];
};

/* Whether the copy has all of the file. */
static bool is_whole(const struct image *image)
{
    return image->copied[0].end == image->source.key.bytes;
}

static int copy(struct image_copying *copying)
{
    struct image *image = copying->image;
    struct ferry_error *err = &copying->error;
    struct stat st;
    int result = 0;

    for (size_t i = 0; i < image->copied_count && result == 0; i++)
        result = copy_range(image, image->copied[i], copying->buffer, err);
    if (result)
        return result;
    /* Bytes that are missing at the end look like a hole. */
    if (fstat(image->source.fd, &st) < 0)
        return image_fail(err, -errno, image->path, "looking at it: %s", strerror(errno));
    if ((uint64_t)st.st_size < image->source.key.bytes)
        return cut_short(image, err);
    result = copy_headers(image, &copying->headers);
    if (result)
        return image_fail(err, result, image->path, "making a copy in memory: %s",
                          strerror(-result));
    if (image_seal(image->fd) < 0)
        return image_fail(err, -errno, image->path, "sealing its copy: %s", strerror(errno));
    if (is_whole(image)) {
        close(image->source.fd); /* nothing will be asked of it */
        image->source.fd = -1;
    }
    return 0;
}

static void *copy_main(void *arg)
{
    struct image_copying *copying = arg;

    atomic_store(&copying->image->copy_code, copy(copying));
    return NULL;
}

int image_copy_begin(struct image *image, const struct image_headers *headers,
                     struct ferry_error *err)
{
    uint64_t bytes = image->copied[image->copied_count - 1].end;
    struct image_copying *copying;

    if (image->source.sealed && is_whole(image)) {
        image->fd = image->source.fd;
        image->source.fd = -1;
        return 0;
    }
    copying = calloc(1, sizeof(*copying));
    if (!copying)
        return image_fail(err, -ENOMEM, image->path, "out of memory");
    copying->image = image;
    copying->headers = *headers;
    image->copying = copying;
    image->fd = memfd_create("ferry-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (image->fd < 0)
        return image_fail(err, -errno, image->path, "memfd_create: %s", strerror(errno));
    if (ftruncate(image->fd, (off_t)bytes) < 0)
        return image_fail(err, -errno, image->path, "making a copy in memory: %s", strerror(errno));
    copying->started = bytes >= LONG_BYTES && image->source.aside &&
                       thread_start(&copying->thread, NULL, copy_main, copying) == 0;
    if (copying->started)
        return 0;
    copy_main(copying);
    image->source.stopping = NULL; /* the image may outlive who is asked */
    return image_copy_wait(image, err);
}

int image_copy_wait(struct image *image, struct ferry_error *err)
{
    int result;

    lock_take(&image->copy_lock);
    if (image->copying && image->copying->started)
        pthread_join(image->copying->thread, NULL);
    result = atomic_load(&image->copy_code);
    if (result && image->copying && err)
        *err = image->copying->error;
    else if (result)
        image_fail(err, result, image->path, "%s", strerror(-result));
    free(image->copying);
    image->copying = NULL;
    lock_drop(&image->copy_lock);
    return result;
}

int image_file(const struct image *image)
{
    int fd;

    if (!image_is_whole(image))
        return -ESTALE;
    fd = fcntl(image->source.fd < 0 ? image->fd : image->source.fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/* ---- reading the file as it was opened ------------------------------------------ */

/* Whether `at` lies in the copy, and where that changes. */
static bool is_copied(const struct image *image, uint64_t at, uint64_t *until)
{
    *until = UINT64_MAX;
    for (size_t i = 0; i < image->copied_count; i++) {
        const struct image_range *range = &image->copied[i];

        if (at < range->start) {
            *until = range->start;
            return false;
        }
        if (at < range->end) {
            *until = range->end;
            return true;
        }
    }
    return false;
}

int image_read(const struct image *image, void *buffer, size_t bytes, uint64_t offset)
{
    char *to = buffer;

    while (bytes > 0) {
        uint64_t until;
        int fd = is_copied(image, offset, &until) ? image->fd : image->source.fd;
        size_t part = until - offset < bytes ? (size_t)(until - offset) : bytes;

        int result = image_pread(fd, to, part, offset);
        if (result < 0)
            return result;
        to += part;
        offset += part;
        bytes -= part;
    }
    return 0;
}
