/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of host/image*.c share: a small ELF file made in memory, and
 * the real address space over a backend that accepts all, so that no KVM is needed.
 */
#ifndef FERRY_TEST_IMAGE_FIXTURE_H
#define FERRY_TEST_IMAGE_FIXTURE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/abi/layout.h>

#include "program/image.h"

#define PAGE  4096u
#define LIMIT (64ull << 20) /* memory of the space that load() makes */

#define TEXT       0x400000ull /* R-X: file offset 0 to 0x1800 */
#define DATA       0x402800ull /* RW-: file offset 0x1800 to 0x1b00, then bss */
#define DATA_END   (DATA + 0x2000)
#define FILE_BYTES 0x3000
#define SHDRS      0x600
#define SYMS       0x800
#define SYM_COUNT  9
#define STRS       0xa00
#define DYNS       0xc00

struct elf {
    union {
        struct {
            Elf64_Ehdr ehdr;
            Elf64_Phdr phdr[20];
        };
        struct {
            uint8_t before_shdrs[SHDRS];
            Elf64_Shdr shdr[4];
        };
        struct {
            uint8_t before_syms[SYMS];
            Elf64_Sym sym[SYM_COUNT];
        };
        struct {
            uint8_t before_strs[STRS];
            char strs[512];
        };
        struct {
            uint8_t before_dyns[DYNS];
            Elf64_Dyn dyn[3];
        };
        uint8_t byte[FILE_BYTES];
    };
    size_t bytes; /* of the file; the rest is cut off */
};

/* A valid static program with symbols. Bytes from 0x1000 on tell where they are from. */
struct elf make_elf(void);
/* The same as static-PIE, linked at 0, with a dynamic section. */
void make_pie(struct elf *elf);
/* The same with the name of a loader. */
void make_dynamic(struct elf *elf, const char *loader);
/* Opens as an engine does, with LIMIT bytes of memory, and waits until all is copied. */
int open_path(const char *path, struct image **out, struct ferry_error *err);
/* The same for the file as made; it is gone afterwards. */
int open_elf(const struct elf *elf, struct image **out, struct ferry_error *err);
struct image *must_open(const struct elf *elf);

struct fixture {
    struct space space;
    struct guest_tables tables;
    void *table_pages;
};

void fixture_init(struct fixture *fixture, uint64_t limit);
void fixture_fini(struct fixture *fixture);
/* Initialises the fixture, loads the image into it. */
void load(struct fixture *fixture, struct image *image);
/* Host view of memory that must be readable. */
const uint8_t *look(const struct fixture *fixture, uint64_t addr, uint64_t bytes);
void assert_zero(const uint8_t *p, size_t bytes);

/* Setup and teardown of a group: *state is the path of a directory, empty at the end. */
int make_dir(void **state);
int remove_dir(void **state);

#endif
