/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program as a VM runs it: the image of its file, that of the dynamic loader which the file names,
 * and its arguments. Where the file is a script, the image is that of its interpreter. All of these
 * files are untrusted.
 */
#ifndef FERRY_HOST_PROGRAM_H
#define FERRY_HOST_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include <ferry/ferry.h>

#include "program/image.h"

struct images;

/* Opens the files that a program names: interpreters and loaders. 0 or a negative errno. Meanwhile
 * other threads may use up memory. */
struct program_opener {
    int (*open)(void *arg, const char *name, struct image_source *out);
    void *arg;
    bool (*stopping)(void *arg); /* as in image_source; or NULL */
    /* Charged for what the host holds of the images, from when each is open; the caller gives it
     * back. NULL: nobody is charged before they are loaded. */
    struct space *space;
};

struct program {
    struct images *images;        /* that the two are of, each with a reference */
    struct image *image, *loader; /* loader NULL: it has none */
    uint64_t loader_shift;        /* how far beyond its own place the loader is loaded */
    char *name;                   /* the name it was started by (AT_EXECFN) */
    char *file;                   /* the name of the image's file: another one for a script */
    char **argv;                  /* NULL-terminated, in memory of its own */
};

/* Finds out what the file is and opens what else it needs; `name` and `argv` are copied. Takes over
 * the source, also on an error. Sets all of *out, for program_close.
 *
 * Errors with a text, besides those of image_open, after which nothing is charged: -ENOENT: an interpreter or loader is not there;
 * -EACCES: it may not be run; -ELOOP: scripts that interpret each other in too many steps; -ELIBBAD:
 * the loader is no loader. */
int program_open(struct program *out, struct images *images, const struct program_opener *opener,
                 const char *name, const struct image_source *source, char *const *argv,
                 uint64_t limit_bytes, struct ferry_error *err);
/* What another process runs, for one that it forked; charged to its space, beside what it has mapped. NULL:
 * what is there is charged already. */
int program_share(struct program *out, const struct program *program, struct space *space);
/* NULL members are allowed. */
void program_close(struct program *program);

/* Where it begins to run, and where its heap may begin. */
struct guest_addr program_entry(const struct program *program);
struct guest_addr program_end(const struct program *program);
/* The memory that its images take at the start; the part of it that program_load charges for good. */
uint64_t program_memory_bytes(const struct program *program);
uint64_t program_unshared_bytes(const struct program *program);
/* What the host holds of them before they are loaded. */
uint64_t program_copied_bytes(const struct program *program);

/* Waits until its images are read, so that program_load will not have to: 0, or the negative errno of
 * a failure. */
int program_wait(struct program *program, struct ferry_error *err);
/* Maps the images into a space that is free there. */
int program_load(struct program *program, struct space *space, struct ferry_error *err);

/* Builds the initial stack of the System V x86-64 ABI (argc, argv, envp,
 * auxiliary vector with AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_ENTRY, AT_UID..,
 * AT_SECURE, AT_RANDOM from getrandom, AT_HWCAP, AT_CLKTCK, AT_EXECFN, AT_PLATFORM,
 * FERRY_AT_CONTROL) in a stack of stack_bytes (at most limited by the space) below
 * FERRY_PROGRAM_HIGH. *stack: the stack pointer to begin with.
 * -E2BIG: arguments and environment do not fit. */
int program_stack(const struct program *program, struct space *space, uint64_t stack_bytes,
                  char *const *envp, struct guest_addr control, struct guest_addr *stack,
                  struct ferry_error *err);

/* Whether arguments and environment fit into a stack of stack_bytes. */
bool program_stack_fits(const struct program *program, uint64_t stack_bytes, char *const *envp);

/* Writes the function at a guest address into text, as "name+0x1f", or "" where there are no
 * symbols. See image_symbolize. */
void program_symbolize(const struct program *program, struct guest_addr addr, char *text,
                       size_t bytes);
/* Whether the address is in its loader; *linked: the address that the loader's file has for it. */
bool program_in_loader(const struct program *program, struct guest_addr addr, uint64_t *linked);

#endif
