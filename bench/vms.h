/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Some VMs that run guest programs of the benchmark, each on a core of its own,
 * and what they report to the host as INLINE messages.
 */
#ifndef FERRY_BENCH_VMS_H
#define FERRY_BENCH_VMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/ferry.h>

#include "bench.h"

#define VMS_HOST (-1) /* the host as one end of a link */

struct vms;

/* `config` may be NULL. NULL: it failed, and a line on standard error says why. */
struct vms *vms_new(struct bench *bench, const struct ferry_engine_config *config);

/* Adds a VM that runs a guest program of the benchmark; `config` without `program` and `argv`.
 * `words` are its arguments, separated by blanks. `core`: as bench_pin. Returns its place from
 * 0 on, or a negative errno. */
int vms_add(struct vms *vms, const struct ferry_vm_config *config, const char *guest,
            const char *words, int core);

/* Links; the places are those that vms_add gave. A VM has one link from the host and one to it at
 * most. */
int vms_link(struct vms *vms, int from, int to, const struct ferry_link_config *config);

/* A link that was made; NULL: none. */
struct ferry_link *vms_link_at(struct vms *vms, int from, int to);

/* Starts all of them. */
int vms_start(struct vms *vms);

/* The next INLINE message from a VM, at most 32 bytes; blocks. -ENODATA: another length or
 * mode. */
int vms_receive(struct vms *vms, int from, void *data, size_t bytes);

struct ferry_vm *vms_at(struct vms *vms, int place);

/* Waits until all have ended; -EIO if one did not end with status 0, said on standard error. */
int vms_wait(struct vms *vms);

/* Ends what still runs and frees everything. NULL is allowed. */
void vms_free(struct vms *vms);

#endif
