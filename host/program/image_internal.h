/* SPDX-License-Identifier: BSD-2-Clause */
/* Declarations that the files behind image.h share. */
#ifndef FERRY_HOST_IMAGE_INTERNAL_H
#define FERRY_HOST_IMAGE_INTERNAL_H

#include <gelf.h>
#include <stdint.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "program/image.h"

/* Segments of a program end below this; above it lie its loader, its mappings and its stack. */
#define IMAGE_HIGH 0x200000000ull /* 8 GiB */

/* A position-independent file may go anywhere. 4 GiB: a multiple of every alignment a
 * linker asks for, above all that 32 bits can hold, so that an address cut to
 * an int faults, and with 4 GiB for image and heap before the mappings. It is not
 * random: a run is repeatable, and an attacker gains no more than the VM. */
#define IMAGE_PIE_BIAS 0x100000000ull

/* A loader that may go anywhere is put where the mappings begin. */
#define IMAGE_LOADER_SHIFT (IMAGE_HIGH - IMAGE_PIE_BIAS)

/* Program headers of a file at most; real ones have some 15. */
#define IMAGE_HEADERS_MAX 128

/* The user and group a program runs as: nobody's. */
#define IMAGE_USER 65534

/* Fills err (NULL is allowed) with "cannot load 'path': reason" and returns code. */
int image_fail(struct ferry_error *err, int code, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The two headers of an ELF file. They are read once and kept, so that the code uses exactly the
 * values that were checked. */
struct image_headers {
    Elf64_Ehdr file;
    Elf64_Phdr program[IMAGE_HEADERS_MAX]; /* file.e_phnum of them */
};

/* The memory in which libelf sees a file. */
struct image_view {
    const struct image *image;
    char *memory;
    Elf *elf;
};

/* Begins with a file header, and the sections it tells of. Libelf sizes its own table by their
 * number, and where that is 0 but they have an offset, by a number in the first of them, which may
 * be as large as the file: so callers bound e_shnum, or set both to 0. False: out of memory, or
 * there are no such sections. */
bool image_view_begin(struct image_view *view, const struct image *image, const Elf64_Ehdr *ehdr);
/* Makes a part of the file visible, before libelf is asked for it. It may overwrite memory that
 * libelf works on, so keep earlier answers of libelf and do not ask again. -ENODATA: the file has no
 * such part; else why it cannot be read. */
int image_view_fetch(struct image_view *view, uint64_t offset, uint64_t bytes);
void image_view_end(struct image_view *view);

/* Checks the file, its header being read, and fills in the others, entry, bias, segments and all
 * that follows from them. */
int image_check(struct image *image, struct image_view *view, struct image_headers *headers,
                struct ferry_error *err);

/* Chooses the parts to copy, and computes the memory that the image costs a VM. */
void image_plan(struct image *image, const struct image_headers *headers);

/* -ENOMEM, with a text that tells how much it needs. */
int image_no_room(const struct image *image, struct ferry_error *err);

/* Makes the copy of the parts that run, a memfd, and fills it, on a thread of its own if it is
 * long. */
int image_copy_begin(struct image *image, const struct image_headers *headers,
                     struct ferry_error *err);

/* Reads [offset, offset + bytes) of the file as it was opened: from the copy as far as that has it,
 * the rest from the file. 0, or as image_pread. */
int image_read(const struct image *image, void *buffer, size_t bytes, uint64_t offset);

/* Whether image_read still gives the file as it was opened: the copy has all of it, or the file is
 * unchanged. */
bool image_is_whole(const struct image *image);

/* pread of all these bytes, even if it is interrupted: 0, -ENODATA beyond the end, or another
 * negative errno. */
int image_pread(int fd, void *buffer, size_t bytes, uint64_t offset);

#endif
