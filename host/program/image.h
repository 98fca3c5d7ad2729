/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program file: its checks, segments, symbols and digest. The parts that run are read once and
 * shared by every VM that runs the file; the rest is read when somebody asks for it.
 */
#ifndef FERRY_HOST_IMAGE_H
#define FERRY_HOST_IMAGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/abi/control.h>
#include <ferry/ferry.h>

#include "lib/lock.h"
#include "program/space.h"

#define IMAGE_SEGMENTS_MAX 16
#define IMAGE_RANGES_MAX   (IMAGE_SEGMENTS_MAX + 2) /* the two headers may lie apart */

/* One state of one file: a file that is written to or replaced has another. */
struct image_key {
    uint64_t device, inode, bytes;
    int64_t modified_ns, changed_ns;
};

/* A file that was opened. */
struct image_source {
    int fd;
    struct image_key key;
    /* It is in memory, or a program could write it: what its image holds, only that program's VM is
     * charged for. So the file is copied whole, to be let go of, and no image of it is kept. */
    bool own;
    /* A memfd that nobody can change any more, as a copy that was sealed: where all of it is needed it
     * is the image's copy itself. Else the host would hold both for a moment. */
    bool sealed;
    /* A thread of its own may copy it, while a VM is made. Once the program runs, what it does not do
     * on a thread of its VM would not count as its processor time. */
    bool aside;
    /* So much its image may copy, within the limit: the rest is in use until the image is loaded. 0:
     * as much as the limit. */
    uint64_t room_bytes;
    /* Asked again and again while it is copied: true ends that. NULL: nothing does. */
    bool (*stopping)(void *arg);
    void *stopping_arg;
};

struct image_segment {
    uint64_t addr, file_bytes, memory_bytes, offset; /* as linked, not yet biased */
    unsigned prot;                                   /* SPACE_* */
};

/* The bytes [start, end) of a file. */
struct image_range {
    uint64_t start, end;
};

struct image {
    uint32_t users; /* of images.c, under its lock */
    int fd;         /* the copy of what runs, at the offsets of the file, with holes between */
    struct image_range copied[IMAGE_RANGES_MAX]; /* what the copy has; sorted, disjoint */
    size_t copied_count;
    /* The memory that a VM is charged for: the pages of its segments, and the part of the copy that
     * is not certain to be shared with other VMs. */
    uint64_t memory_bytes, unshared_bytes;
    uint64_t copied_bytes;      /* the pages of the copy */
    struct image_source source; /* the file, for bytes outside the copy; fd -1: there are none */
    char *path;
    uint64_t entry, bias; /* bias: how far a file that may go anywhere is moved up, else 0 */
    uint64_t phdr_addr;   /* AT_PHDR, biased; 0 if the headers are not in a segment */
    uint32_t phdr_count;
    uint64_t end; /* first page boundary after all segments, biased */
    struct image_segment segments[IMAGE_SEGMENTS_MAX];
    size_t segment_count;
    bool stack_executable; /* PT_GNU_STACK asks for it; without one it is not */
    char *loader;          /* the file that PT_INTERP names; NULL: the program needs none */
    struct lock copy_lock; /* the two below, of which the last is also read without */
    struct image_copying *copying;
    atomic_int copy_code;    /* why there is no copy, a negative errno */
    struct lock digest_lock; /* the three below, of which the last is also read without */
    struct image_hashing *hashing;
    uint8_t digest[FERRY_DIGEST_BYTES];
    atomic_bool digest_known;
};

/* Opens the file and tells its state. Errors with a text: not found, not readable, a
 * directory, not a regular file. */
int image_source_open(const char *path, struct image_source *out, struct ferry_error *err);
/* The same for a file that is open for reading. Takes over the descriptor, also on an error. */
int image_source_take(int fd, const char *path, struct image_source *out, struct ferry_error *err);

/* Seals a memfd: nobody can change it any more. 0, or -1 with errno. */
int image_seal(int fd);

/* Checks the file and begins to copy the parts that run; a thread of its own goes on with a long
 * copy. Takes over the source, also on an error. The text of an error names the path, the reason
 * and the way out: not an ELF file, not for x86-64, not executable type, no load segments, linked
 * outside what a VM has, malformed (bounds that overflow or lie beyond the file), more than
 * limit_bytes of memory. */
int image_open(const char *path, const struct image_source *source, uint64_t limit_bytes,
               struct image **out, struct ferry_error *err);
void image_close(struct image *image);

/* Waits until the copy is complete and sealed: 0, or the negative errno of the failure. Any
 * thread. */
int image_copy_wait(struct image *image, struct ferry_error *err);

/* A new descriptor of the file as it was opened, for reading, or a negative errno: -ESTALE: it was
 * changed since. The copy is complete. */
int image_file(const struct image *image);

/* Goes on with the digest of an image that was loaded, by one piece of the file, so that the caller
 * can look between two pieces whether to stop. True: the digest is there. Any thread. It is the
 * SHA-256 of the file as it was opened: the parts that run are read from the copy, the rest from
 * the file. It is all zeros if the rest was changed before it could be read, or cannot be read. */
bool image_digest_step(struct image *image);

/* How far beyond its own place a dynamic loader is put, so that it does not lie where a program
 * does: 0 for one that is linked to fixed addresses. */
uint64_t image_shift_of_loader(const struct image *image);

/* Waits for the copy and maps the segments into a space that is free there, `shift` bytes beyond
 * the image's own place: pages of the file are private, the rest is zero. */
int image_load(struct image *image, uint64_t shift, struct space *space, struct ferry_error *err);

/* Writes the function at an address of the image's own place into text, as "name+0x1f", or "" where
 * there are no symbols. The image is loaded. Looks through the symbols of the file each time, at
 * most some 60 MiB of them. Any thread. */
void image_symbolize(const struct image *image, uint64_t addr, char *text, size_t bytes);
/* The same for a place in the code of another file, such as a library: its offset in the file, which
 * was opened and is not trusted either. *linked: the address that the file has for it; -ENOEXEC: it
 * has none. */
int image_symbolize_file(const struct image_source *source, uint64_t offset, uint64_t *linked,
                         char *text, size_t bytes);

#endif
