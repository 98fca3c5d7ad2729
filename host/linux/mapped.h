/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: mapped files that the program may write, and such that are made up.
 *
 * As on Linux a mapping keeps its file open: what the file holds is on the host, or in memory, and
 * counts until nothing of it is mapped any more.
 */
#ifndef FERRY_HOST_LINUX_MAPPED_H
#define FERRY_HOST_LINUX_MAPPED_H

#include <stdbool.h>
#include <stdint.h>

struct linux_state;
struct open_file;

/* SPACE_HOLES for a file in which stores make more than it is charged for, or 0. */
unsigned file_map_flags(const struct open_file *file);

/* Before a file is mapped: makes room to keep that in mind, or -ENOMEM; and afterwards. */
int mapped_reserve(struct linux_state *state, const struct open_file *file);
void mapped_add(struct linux_state *state, struct open_file *file, uint64_t start, uint64_t bytes);
/* After memory was unmapped, all of it in that range. */
void mapped_settle(struct linux_state *state, uint64_t start, uint64_t bytes);
/* Before memory is moved; mapped_settle_all comes afterwards. -ENOMEM. */
int mapped_move(struct linux_state *state, uint64_t from, uint64_t bytes, uint64_t to);
void mapped_settle_all(struct linux_state *state);
/* Looks which of these files have no name any more. */
void mapped_look(struct linux_state *state);
/* For a process that is forked, and has the same mapped: -ENOMEM. */
int mapped_copy(struct linux_state *to, const struct linux_state *from);
/* No memory is mapped any more. */
void mapped_clear(struct linux_state *state);

/* ---- memfd.c ------------------------------------------------------------- */

bool file_is_memfd(const struct linux_state *state, const struct open_file *file);
/* As open(2) of its name in /proc/self/fd: fills in what `like` lacks. */
int memfd_reopen(struct linux_state *state, const struct open_file *file, struct open_file *like);
/* F_ADD_SEALS and F_GET_SEALS. */
int64_t file_seals(struct linux_state *state, const struct open_file *file, uint64_t command,
                   uint64_t seals);

#endif
