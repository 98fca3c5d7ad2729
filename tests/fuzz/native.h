/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each call is made twice: by the personality in one directory, by this process in another. What
 * does not agree ends the process, with a line that says what.
 */
#ifndef FERRY_TESTS_NATIVE_H
#define FERRY_TESTS_NATIVE_H

#include "linux_fixture.h"

#define SLOTS        12u
#define VECTORS_MOST 4u
#define POLLS_MOST   4u

/* Results of the two, negative errnos. */
struct both {
    int64_t guest, native;
};

/* An argument, for the two. */
struct word {
    uint64_t guest, native;
};
#define NONE with(0)

/* Two trees with an empty directory "d"; a program that is in neither of them. And their end: what is
 * in them agrees, nothing beside them changed. */
void native_begin(void);
void native_end(void);

struct word with(uint64_t value);
/* A path below the directory of each; one of two such, and one of two texts. */
struct word name_of(unsigned which, const char *name);
struct word text_of(unsigned which, const char *text);
/* Descriptors that both have open; of a slot that is empty one that neither has. */
struct word slot_of(uint64_t slot);
bool slot_is_directory(uint64_t slot);
bool is_directory(const char *name);
void slots_add(struct both fds);
void slots_add_pair(void); /* that pipe2 wrote into the buffer */
void slots_drop(uint64_t slot);

struct word buffer(void);
void buffer_fill(uint8_t byte);
void buffer_compare(const char *call);
/* Parts of the buffer. */
struct word vector_of(const uint64_t *length, uint32_t count);

struct both call_both(const char *call, long number, struct word a, struct word b, struct word c,
                      struct word d);
/* The same for descriptors, whose numbers may differ. */
struct both both_open(const char *call, struct both got);
/* renameat2. */
void call_five(const char *call, long number, struct word from, struct word to, uint64_t flags);
void poll_both(const uint64_t *slot, const short *events, uint32_t count);
/* getdents64, whose order may differ. */
void call_listing(struct word file);
/* What stat wrote into the buffer, as far as it is not a file system's own. */
void stat_compare(void);

#endif
