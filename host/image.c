/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns program files: opening them and their digest. What is in them is
 * checked by image_check.c.
 *
 * The file is copied once into a sealed memfd, and all else is done on that
 * copy. So the digest that peers are shown is that of the very bytes that
 * run, a file that is overwritten or cut short later changes nothing in a
 * running VM, and no access to image pages can raise SIGBUS. VMs of one image
 * share the copy's pages until they write to them.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_internal.h"

_Static_assert(SHA256_DIGEST_SIZE == FERRY_DIGEST_BYTES, "the digest is SHA-256");

#define SEAL_TRIES     20
#define COPY_BYTES     (256u << 10)
#define FILE_BYTES_MAX IMAGE_HIGH /* no program that fits comes in a larger file */
#define PATH_SHOWN_MAX 120        /* leaves room in struct ferry_error for the reason */

int image_fail(struct ferry_error *err, int code, const char *path, const char *format, ...)
{
    size_t length = strlen(path);
    size_t skipped = length > PATH_SHOWN_MAX ? length - PATH_SHOWN_MAX : 0;
    int used;
    va_list args;

    if (!err)
        return code;
    used = snprintf(err->text, sizeof(err->text), "cannot load '%s%s': ", skipped ? "..." : "",
                    path + skipped);
    va_start(args, format);
    vsnprintf(err->text + used, sizeof(err->text) - (size_t)used, format, args);
    va_end(args);
    return code;
}

/* The first bytes say what the file is; libelf sees only what may be ELF. */
static int check_ident(const char *path, const unsigned char *data, size_t bytes,
                       struct ferry_error *err)
{
    if (bytes == 0)
        return image_fail(err, -ENOEXEC, path, "not an ELF file but an empty one; build it again");
    if (bytes >= 2 && data[0] == '#' && data[1] == '!')
        return image_fail(err, -ENOEXEC, path,
                          "not an ELF file but a script; run its interpreter, linked with "
                          "-static, and give it the script as an argument");
    if (bytes < EI_NIDENT || memcmp(data, ELFMAG, SELFMAG) != 0)
        return image_fail(err, -ENOEXEC, path,
                          "not an ELF file; give a Linux x86-64 program linked with -static");
    if (data[EI_DATA] == ELFDATA2MSB)
        return image_fail(err, -ENOEXEC, path,
                          "built for a big-endian machine; build it for x86-64");
    if (data[EI_CLASS] == ELFCLASS32)
        return image_fail(err, -ENOEXEC, path, "a 32-bit program; build it for x86-64 (-m64)");
    if (data[EI_CLASS] != ELFCLASS64 || data[EI_DATA] != ELFDATA2LSB ||
        data[EI_VERSION] != EV_CURRENT)
        return image_fail(err, -ENOEXEC, path, "its ELF header is malformed; build it again");
    return 0;
}

static int open_source(const char *path, struct ferry_error *err)
{
    struct stat st;
    int code;
    /* O_NONBLOCK: a FIFO without a writer must not hold us up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        code = -errno;
        if (code == -ENOENT)
            return image_fail(err, code, path, "not found; check the path");
        if (code == -EACCES)
            return image_fail(err, code, path, "no right to read it; try chmod +r");
        return image_fail(err, code, path, "%s", strerror(-code));
    }
    if (fstat(fd, &st) < 0) {
        code = -errno;
        image_fail(err, code, path, "%s", strerror(-code));
    } else if (S_ISDIR(st.st_mode)) {
        code = image_fail(err, -EISDIR, path, "it is a directory; name a program inside it");
    } else if (!S_ISREG(st.st_mode)) {
        code = image_fail(err, -EACCES, path, "not a regular file; copy the program to one");
    } else {
        return fd;
    }
    close(fd);
    return code;
}

static int write_all(int fd, const unsigned char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(fd, data, bytes);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            bytes -= (size_t)n;
        }
    }
    return 0;
}

/* The kernel itself may hold a page for a moment, as when it moves pages about. It waits a while
 * for that before it says EBUSY, and then it is worth asking again. */
static int seal(int fd)
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

/* Copies the file, each byte read once, and takes the digest of what it wrote. */
static int copy_file(struct image *image, int source, unsigned char *buffer,
                     struct ferry_error *err)
{
    struct sha256_ctx sha;
    uint64_t total = 0;

    sha256_init(&sha);
    for (;;) {
        ssize_t n = read(source, buffer, COPY_BYTES);
        int code = 0;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return image_fail(err, -errno, image->path, "reading it: %s", strerror(errno));
        if (total == 0)
            code = check_ident(image->path, buffer, (size_t)n, err);
        if (code)
            return code;
        if (n == 0)
            break;
        total += (uint64_t)n;
        if (total > FILE_BYTES_MAX)
            return image_fail(err, -EFBIG, image->path,
                              "larger than 8 GiB; strip it of debugging information");
        sha256_update(&sha, (size_t)n, buffer);
        code = write_all(image->fd, buffer, (size_t)n);
        if (code)
            return image_fail(err, code, image->path, "making a copy in memory: %s",
                              strerror(-code));
    }
    sha256_digest(&sha, sizeof(image->digest), image->digest);
    if (seal(image->fd) < 0)
        return image_fail(err, -errno, image->path, "sealing its copy: %s", strerror(errno));
    return 0;
}

static int take_copy(struct image *image, struct ferry_error *err)
{
    unsigned char *buffer;
    int source, code;

    source = open_source(image->path, err);
    if (source < 0)
        return source;
    image->fd = memfd_create("ferry-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    buffer = malloc(COPY_BYTES);
    if (image->fd < 0)
        code = image_fail(err, -errno, image->path, "memfd_create: %s", strerror(errno));
    else if (!buffer)
        code = image_fail(err, -ENOMEM, image->path, "out of memory");
    else
        code = copy_file(image, source, buffer, err);
    free(buffer);
    close(source);
    return code;
}

int image_open(const char *path, struct image **out, struct ferry_error *err)
{
    struct image *image = calloc(1, sizeof(*image));
    Elf *elf;
    int code;

    if (!image)
        return image_fail(err, -ENOMEM, path, "out of memory");
    image->fd = -1;
    pthread_mutex_init(&image->symbols_lock, NULL);
    image->path = strdup(path);
    code = image->path ? take_copy(image, err) : image_fail(err, -ENOMEM, path, "out of memory");
    if (code)
        goto fail;
    elf_version(EV_CURRENT);
    elf = elf_begin(image->fd, ELF_C_READ, NULL);
    code = elf ? image_check(image, elf, err)
               : image_fail(err, -ENOEXEC, path,
                            "malformed: its ELF headers lie beyond the end of the file; build it "
                            "again");
    elf_end(elf);
    if (code)
        goto fail;
    *out = image;
    return 0;
fail:
    image_close(image);
    return code;
}

void image_close(struct image *image)
{
    if (!image)
        return;
    if (image->fd >= 0)
        close(image->fd);
    pthread_mutex_destroy(&image->symbols_lock);
    free(image->symbols); /* their names lie in the same block */
    free(image->path);
    free(image);
}
