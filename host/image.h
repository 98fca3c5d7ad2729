/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program file: its checks, segments, symbols and digest, read once and
 * shared by every VM that runs it.
 */
#ifndef FERRY_HOST_IMAGE_H
#define FERRY_HOST_IMAGE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/abi/control.h>
#include <ferry/ferry.h>

#include "space.h"

#define IMAGE_SEGMENTS_MAX 16

struct image_segment {
    uint64_t addr, file_bytes, memory_bytes, offset; /* as linked, not yet biased */
    unsigned prot;                                   /* SPACE_* */
};

struct image_symbol {
    uint64_t addr, bytes;
    const char *name;
};

struct image {
    int fd;
    char *path;
    uint64_t entry, bias; /* bias: what a static-PIE file is moved up by, else 0 */
    uint64_t phdr_addr;   /* AT_PHDR, biased; 0 if the headers are not in a segment */
    uint32_t phdr_count;
    uint64_t end; /* first page boundary after all segments, biased */
    struct image_segment segments[IMAGE_SEGMENTS_MAX];
    size_t segment_count;
    pthread_mutex_t symbols_lock; /* VMs that share the image may crash at once: the two below */
    struct image_symbol *symbols; /* functions by address, as linked; read when first asked for */
    size_t symbol_count;
    uint8_t digest[FERRY_DIGEST_BYTES];
};

/* Reads and checks the file. Errors with a text that names the path, the
 * reason and the way out: not found, not readable, a directory, not an ELF
 * file, not for x86-64, dynamically linked, not executable type, no load segments,
 * linked outside what a VM has, malformed (bounds that overflow or lie beyond the file). */
int image_open(const char *path, struct image **out, struct ferry_error *err);
void image_close(struct image *image);

/* Maps the segments into an empty space: file pages private, the rest zero. */
int image_load(const struct image *image, struct space *space, struct ferry_error *err);

/* Builds the initial stack of the System V x86-64 ABI (argc, argv, envp,
 * auxiliary vector with AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_ENTRY, AT_UID.., AT_SECURE,
 * AT_RANDOM from getrandom, AT_HWCAP, AT_CLKTCK, AT_EXECFN, AT_PLATFORM, FERRY_AT_CONTROL) in a
 * stack of stack_bytes (at most limited by the space) below FERRY_PROGRAM_HIGH. Returns the initial RSP.
 * -E2BIG: arguments and environment do not fit. */
int image_stack(const struct image *image, struct space *space, uint64_t stack_bytes,
                char *const *argv, char *const *envp, uint64_t control_addr, uint64_t *rsp,
                struct ferry_error *err);

/* Function at a guest address: "name+0x1f" into text, or "" without symbols. Any thread. */
void image_symbolize(struct image *image, uint64_t addr, char *text, size_t bytes);

#endif
