/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the personality: files and links that are made up, since programs look for them. They
 * tell of the VM, never of the host. */
#ifndef FERRY_HOST_LINUX_MADE_H
#define FERRY_HOST_LINUX_MADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct linux_state;

/* A file's number, by which it is opened, or -1. */
int made_find(const char *path);
/* The number of such a file for one thread, or one descriptor. */
static inline uint64_t made_with_number(unsigned which, uint64_t number)
{
    return which | (number + 1) << 16;
}
/* What it holds now, in a memfd: a descriptor, or a negative errno. *charged: what it takes of the
 * memory of the VM's objects, to be given back when it is closed. */
int made_open(struct linux_state *state, uint64_t which, size_t *charged);
/* Whether it is the file of a thread's name, which may be written; *thread: whose. */
bool made_names_thread(const struct linux_state *state, uint64_t which, int32_t *thread);
void made_fini(struct linux_state *state);

/* The target of a link that is made up; its length, or -ENOENT. */
int made_link(const struct linux_state *state, const char *path, char *target, size_t bytes);

/* The path of the i-th of all files and links; NULL: there are fewer. */
const char *made_name(unsigned i, bool *is_link);

/* ---- numbered.c ---------------------------------------------------------- */

/* The process whose directory in /proc a path begins with, by its number; *rest: what follows, "" or from '/' on.
 * NULL: none, and *rest stays. */
struct linux_state *numbered_process(const struct linux_state *state, const char *path,
                                     const char **rest);

/* Whether it is a file of one thread or descriptor; *which: its number. */
bool numbered_place(struct linux_state *state, const char *path, uint64_t *which);
/* Whether it is a directory of such files, or of such directories. */
bool numbered_above(struct linux_state *state, const char *path);
/* Calls `add` with each of these files and its type; false: it once returned that. */
bool numbered_names(const struct linux_state *state, bool (*add)(void *, const char *, uint8_t),
                    void *arg);

/* ---- proc.c: what they hold ---------------------------------------------- */

void proc_auxv(struct linux_state *state, FILE *out); /* maps.c, as proc_maps */
void proc_cmdline(struct linux_state *state, FILE *out);
void proc_comm(struct linux_state *state, FILE *out);
void proc_environ(struct linux_state *state, FILE *out);
void proc_cpuinfo(struct linux_state *state, FILE *out);
void proc_descriptor(struct linux_state *state, FILE *out);
void proc_limits(struct linux_state *state, FILE *out);
void proc_maps(struct linux_state *state, FILE *out);
void proc_meminfo(struct linux_state *state, FILE *out);
void proc_mountinfo(struct linux_state *state, FILE *out);
void proc_mounts(struct linux_state *state, FILE *out);
void proc_node_meminfo(struct linux_state *state, FILE *out);
void proc_processors(struct linux_state *state, FILE *out);
void proc_processor_map(struct linux_state *state, FILE *out);
void proc_self_stat(struct linux_state *state, FILE *out);
void proc_stat(struct linux_state *state, FILE *out);
void proc_statm(struct linux_state *state, FILE *out);
void proc_status(struct linux_state *state, FILE *out);
void proc_uptime(struct linux_state *state, FILE *out);
void proc_uuid(struct linux_state *state, FILE *out);

#endif
