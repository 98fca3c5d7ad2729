/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files behind snapshot.h share. */
#ifndef FERRY_HOST_SNAPSHOT_INTERNAL_H
#define FERRY_HOST_SNAPSHOT_INTERNAL_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "ipc/endpoint_rest.h"
#include "kvm/vcpu.h"
#include "linux/linux.h"
#include "program/program.h"
#include "program/space.h"
#include "vm/snapshot.h"

#define SNAPSHOT_FILES 2 /* descriptors: of memory, and of messages */

/* What it is made of never changes, but for notes of `layer` on the VM's own memory. */
struct snapshot {
    struct space_layer *layer; /* the program's memory, */
    struct linux_kept *kept;   /* what Linux would keep of it, */
    struct vcpu_kept cpu;
    bool by_call; /* the program called ferry_ready, whose result is the number of the copy */
    struct program program; /* what it runs, */
    unsigned programs;      /* and how many it had begun by then */
    uint64_t stack_bytes, kept_bytes;
    cpu_set_t processors; /* of the thread */
    struct endpoint_point point;
    int messages;   /* the file of message_layer.h, or -1 */
    unsigned files; /* descriptors of the VM that it takes */
};

/* That of the VM, if it was taken; or NULL. */
const struct snapshot *snapshot_of(struct ferry_vm *vm);
/* Why a VM with these links can have none, in words; or NULL. */
const char *snapshot_why_no_links(const struct ferry_vm *vm);
/* Takes the descriptors that it needs of the VM's budget. False: there are none. */
bool snapshot_take_files(struct ferry_vm *vm, struct snapshot *snapshot);
void snapshot_drop(struct ferry_vm *vm, struct snapshot *snapshot);
/* The VM's program begins anew at the point, on the VM's thread. Each step may be made again where a later
 * one has failed. */
int snapshot_begin_anew(struct ferry_vm *vm);

#endif
