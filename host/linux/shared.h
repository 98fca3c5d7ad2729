/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: files in memory that a program maps for everybody to see its stores.
 *
 * Such a file is never cut short from then on, nor gets a hole: the VMM reads and writes the
 * program's memory too, and must not find that there is none.
 */
#ifndef FERRY_HOST_LINUX_SHARED_H
#define FERRY_HOST_LINUX_SHARED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct linux_state;
struct open_file;

/* Whether MAP_SHARED of the file shows it itself, and not a copy. */
bool file_is_shareable(const struct linux_state *state, const struct open_file *file);
/* Maps it there. */
int file_map_shared(struct linux_state *state, const struct open_file *file, uint64_t addr,
                    uint64_t bytes, unsigned prot, uint64_t offset);
/* -EBUSY: it was mapped so, and may not become shorter than `length`. */
int file_may_shrink(struct linux_state *state, const struct open_file *file, off_t length);
void shared_fini(struct linux_state *state);

/* ---- memfd.c ------------------------------------------------------------- */

bool file_is_memfd(const struct linux_state *state, const struct open_file *file);
/* As open(2) of its name in /proc/self/fd: fills in what `like` lacks. */
int memfd_reopen(struct linux_state *state, const struct open_file *file, struct open_file *like);
/* F_ADD_SEALS and F_GET_SEALS. */
int64_t file_seals(struct linux_state *state, const struct open_file *file, uint64_t command,
                   uint64_t seals);

#endif
