/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: files of the host that the guest kernel reads by itself (abi/kernel.h).
 *
 * A file of which the program reads little at a time is mapped where the guest kernel finds it, so
 * what is read is what the host has then. A part of the file is published while no call is served: its
 * position is taken back before the next one, so calls know nothing of all this. Only files with one
 * descriptor are published, and none that a call works on, which has a reference as well.
 */
#ifndef FERRY_HOST_LINUX_GUEST_FILES_H
#define FERRY_HOST_LINUX_GUEST_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct linux_state;
struct open_file;

/* A read of the file by that descriptor was served, from that offset on. `got`: its result. */
void guest_files_served(struct linux_state *state, struct open_file *file, uint64_t fd,
                        off_t offset, int64_t got);
/* A call begins, or begins to work on a file: the positions of all files are the VMM's again. */
void guest_files_take_back(struct linux_state *state);
/* Whether it is mapped for the guest kernel. */
bool guest_files_has(const struct linux_state *state, const struct open_file *file);
/* The program may have made a file shorter, or a hole in it. */
void guest_files_cut(struct linux_state *state);
/* The file is about to be closed. */
void guest_files_forget(struct linux_state *state, const struct open_file *file);
/* The files are not closed yet. */
void guest_files_fini(struct linux_state *state);

#endif
