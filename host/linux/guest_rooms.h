/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: files in memory that the guest kernel writes by itself (abi/kernel.h).
 *
 * A file to which the program writes little at a time has a room while no call is served: the guest
 * kernel puts there what is written at the file's position, and it is written out when a CPU has left
 * the guest or ends a wait, before anything else is done for the program. So calls know nothing of all this,
 * nor does anybody else: only files of a file system of the program's own have rooms, which it looks at
 * by no other descriptor and no mapping.
 */
#ifndef FERRY_HOST_LINUX_GUEST_ROOMS_H
#define FERRY_HOST_LINUX_GUEST_ROOMS_H

#include <stdint.h>

struct linux_state;
struct open_file;

/* A write to the file by that descriptor was served. `put`: its result. */
void guest_rooms_served(struct linux_state *state, struct open_file *file, uint64_t fd,
                        int64_t put);
/* Somebody has the turn to serve calls: what is in the rooms is written out. */
void guest_rooms_take_back(struct linux_state *state);
/* The file is about to be closed. */
void guest_rooms_forget(struct linux_state *state, const struct open_file *file);
void guest_rooms_fini(struct linux_state *state);

#endif
