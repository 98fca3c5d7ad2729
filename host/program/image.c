/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns program files: opening them, and the order of the steps. image_check.c checks their
 * contents, image_copy.c copies the parts that run.
 */
#include "program/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/rlimits.h"
#include "program/image_internal.h"

#define PATH_SHOWN_MAX 120 /* leaves room in struct ferry_error for the reason */

int image_fail(struct ferry_error *err, int code, const char *path, const char *format, ...)
{
    size_t length = strlen(path);
    size_t skipped = length > PATH_SHOWN_MAX ? length - PATH_SHOWN_MAX : 0;
    int used;
    va_list args;

    if (!err)
        return code;
    /* A text with a semicolon says itself what to do. */
    bool limited = !strchr(format, ';') && (code == -EMFILE || code == -ENFILE || code == -ENOMEM);
    used = snprintf(err->text, sizeof(err->text), "cannot load '%s%s': ", skipped ? "..." : "",
                    path + skipped);
    va_start(args, format);
    vsnprintf(err->text + used, sizeof(err->text) - (size_t)used, format, args);
    va_end(args);
    if (limited)
        rlimits_advise(err->text, sizeof(err->text), code);
    return code;
}

/* ---- opening ---------------------------------------------------------------- */

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct image_key key_of(const struct stat *st)
{
    /* The change time too: a process that writes the same number of bytes can set the modification
     * time back. */
    return (struct image_key){.device = st->st_dev,
                              .inode = st->st_ino,
                              .bytes = (uint64_t)st->st_size,
                              .modified_ns = nanoseconds(st->st_mtim),
                              .changed_ns = nanoseconds(st->st_ctim)};
}

bool image_is_whole(const struct image *image)
{
    struct image_key key;
    struct stat st;

    if (image->source.fd < 0)
        return true;
    if (fstat(image->source.fd, &st) < 0)
        return false;
    key = key_of(&st);
    return memcmp(&key, &image->source.key, sizeof(key)) == 0;
}

/* Such memory in huge pages cannot be mapped by the page. */
static bool is_sealed(int fd)
{
    const int all = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    int seals = fcntl(fd, F_GET_SEALS);
    struct statfs fs;

    return seals >= 0 && (seals & all) == all && !fstatfs(fd, &fs) && fs.f_type == TMPFS_MAGIC;
}

int image_source_take(int fd, const char *path, struct image_source *out, struct ferry_error *err)
{
    bool sealed = is_sealed(fd); /* before its state is looked at */
    struct stat st;
    int result;

    if (fstat(fd, &st) < 0) {
        result = -errno;
        image_fail(err, result, path, "%s", strerror(-result));
    } else if (S_ISDIR(st.st_mode)) {
        result = image_fail(err, -EISDIR, path, "it is a directory; name a program inside it");
    } else if (!S_ISREG(st.st_mode)) {
        result = image_fail(err, -EACCES, path, "not a regular file; copy the program to one");
    } else {
        *out = (struct image_source){.fd = fd, .key = key_of(&st), .sealed = sealed};
        return 0;
    }
    close(fd);
    return result;
}

int image_source_open(const char *path, struct image_source *out, struct ferry_error *err)
{
    int result;
    /* O_NONBLOCK: a FIFO without a writer must not hold us up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        result = -errno;
        if (result == -ENOENT)
            return image_fail(err, result, path, "not found; check the path");
        if (result == -EACCES)
            return image_fail(err, result, path, "no right to read it; try chmod +r");
        return image_fail(err, result, path, "%s", strerror(-result));
    }
    result = image_source_take(fd, path, out, err);
    out->aside = result == 0;
    return result;
}

/* ---- reading ---------------------------------------------------------------- */

int image_pread(int fd, void *buffer, size_t bytes, uint64_t offset)
{
    char *to = buffer;

    if (offset > (uint64_t)INT64_MAX - bytes)
        return -ENODATA; /* no file is so long */
    while (bytes > 0) {
        ssize_t n = pread(fd, to, bytes, (off_t)offset);

        if (n == 0)
            return -ENODATA;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            to += n;
            offset += (uint64_t)n;
            bytes -= (size_t)n;
        }
    }
    return 0;
}

/* The first bytes tell the type of the file. */
static int check_ident(const char *path, const unsigned char *data, size_t bytes,
                       struct ferry_error *err)
{
    if (bytes == 0)
        return image_fail(err, -ENOEXEC, path, "not an ELF file but an empty one; build it again");
    if (bytes < EI_NIDENT || memcmp(data, ELFMAG, SELFMAG) != 0)
        return image_fail(err, -ENOEXEC, path,
                          "not an ELF file, nor a script that begins with '#!' and the path of its "
                          "interpreter; give a Linux x86-64 program");
    if (data[EI_DATA] == ELFDATA2MSB)
        return image_fail(err, -ENOEXEC, path,
                          "built for a big-endian machine; build it for x86-64");
    if (data[EI_CLASS] == ELFCLASS32)
        return image_fail(err, -ENOEXEC, path, "a 32-bit program; build it for x86-64 (-m64)");
    if (data[EI_CLASS] != ELFCLASS64 || data[EI_DATA] != ELFDATA2LSB ||
        data[EI_VERSION] != EV_CURRENT || bytes < sizeof(Elf64_Ehdr))
        return image_fail(err, -ENOEXEC, path, "its ELF header is malformed; build it again");
    return 0;
}

/* Looked at before libelf sees it, as that sizes its tables by it. */
static int read_file_header(struct image *image, Elf64_Ehdr *ehdr, struct ferry_error *err)
{
    uint64_t all = image->source.key.bytes;
    size_t bytes = all < sizeof(*ehdr) ? (size_t)all : sizeof(*ehdr);
    int result = image_pread(image->source.fd, ehdr, bytes, 0);

    if (result == -ENODATA)
        return image_fail(err, -EAGAIN, image->path,
                          "it was cut short while it was read; try again");
    if (result)
        return image_fail(err, result, image->path, "reading it: %s", strerror(-result));
    return check_ident(image->path, (const unsigned char *)ehdr, bytes, err);
}

static int read_headers(struct image *image, struct image_headers *headers, struct ferry_error *err)
{
    struct image_view view;
    Elf64_Ehdr shown;
    int result = read_file_header(image, &headers->file, err);

    if (result)
        return result;
    shown = headers->file;
    shown.e_shoff = shown.e_shnum = 0; /* nothing that runs needs sections */
    if (!image_view_begin(&view, image, &shown))
        return image_fail(err, -ENOMEM, image->path, "out of memory");
    result = image_check(image, &view, headers, err);
    image_view_end(&view);
    return result;
}

static int read_image(struct image *image, uint64_t limit_bytes, struct ferry_error *err)
{
    struct image_headers headers = {0};
    int result = read_headers(image, &headers, err);

    if (result)
        return result;
    image_plan(image, &headers);
    /* Before the first byte is copied: a file may be sparse, and far larger than any VM. */
    if (image->memory_bytes + image->unshared_bytes > limit_bytes)
        return image_no_room(image, err);
    if (image->source.room_bytes && image->copied_bytes > image->source.room_bytes)
        return image_no_room(image, err);
    return image_copy_begin(image, &headers, err);
}

int image_open(const char *path, const struct image_source *source, uint64_t limit_bytes,
               struct image **out, struct ferry_error *err)
{
    struct image *image = calloc(1, sizeof(*image));
    int result;

    if (!image) {
        close(source->fd);
        return image_fail(err, -ENOMEM, path, "out of memory");
    }
    image->fd = -1;
    image->source = *source;
    lock_init(&image->copy_lock, LOCK_LEAF);
    lock_init(&image->digest_lock, LOCK_LEAF);
    image->path = strdup(path);
    result = image->path ? read_image(image, limit_bytes, err)
                         : image_fail(err, -ENOMEM, path, "out of memory");
    if (result) {
        image_close(image);
        return result;
    }
    *out = image;
    return 0;
}

void image_close(struct image *image)
{
    if (!image)
        return;
    image_copy_wait(image, NULL);
    if (image->fd >= 0)
        close(image->fd);
    if (image->source.fd >= 0)
        close(image->source.fd);
    lock_fini(&image->copy_lock);
    lock_fini(&image->digest_lock);
    free(image->hashing);
    free(image->loader);
    free(image->path);
    free(image);
}
