/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files that make up image.h share among themselves. */
#ifndef FERRY_HOST_IMAGE_INTERNAL_H
#define FERRY_HOST_IMAGE_INTERNAL_H

#include <libelf.h>
#include <stdint.h>

#include <ferry/abi/layout.h>

#include "image.h"

/* Segments end below this; above it lie the program's mappings and its stack. */
#define IMAGE_HIGH 0x200000000ull /* 8 GiB */

/* A static-PIE file may go anywhere. 4 GiB: a multiple of every alignment a
 * linker asks for, above all that 32 bits can hold, so that an address cut to
 * an int faults, and with 4 GiB for image and heap before the mappings. It is not
 * random: a run is repeatable, and an attacker gains no more than the VM. */
#define IMAGE_PIE_BIAS 0x100000000ull

/* The user and group a program runs as: nobody's. */
#define IMAGE_USER 65534

static inline uint64_t page_down(uint64_t addr)
{
    return addr & ~(FERRY_PAGE_BYTES - 1);
}

/* Callers have checked that addr is below FERRY_PROGRAM_HIGH. */
static inline uint64_t page_up(uint64_t addr)
{
    return page_down(addr + FERRY_PAGE_BYTES - 1);
}

/* Fills err (NULL is allowed) with "cannot load 'path': reason" and returns code. */
int image_fail(struct ferry_error *err, int code, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Checks the copy and fills in entry, bias, segments and all that follows from them. */
int image_check(struct image *image, Elf *elf, struct ferry_error *err);

#endif
