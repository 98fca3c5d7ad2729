/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the personality: processes that a program forks. */
#ifndef FERRY_HOST_LINUX_PROCESSES_H
#define FERRY_HOST_LINUX_PROCESSES_H

#include <stdint.h>

#include "linux/state.h"

/* A call for a thread or a process. */
struct clone_request {
    uint64_t flags, stack, tls, parent_id, child_id;
    int exit_signal;
};

/* fork.c: what a process of that number has that is as `from` and its thread that is served, with the same
 * parent; among no others yet. process_free frees it. NULL: there is no memory. */
struct linux_state *process_copy(const struct linux_state *from, int32_t pid);
/* The same, as a process of that VM, and with nothing open or mapped; it only reads `from`. */
struct linux_state *process_copy_bare(const struct linux_state *from,
                                      const struct linux_state *where, int32_t pid);
int64_t fork_process(struct linux_state *state, const struct clone_request *request);

/* children.c: what is left of a process that has ended, until its parent asks. */
struct zombie {
    struct zombie *next;
    int32_t pid, group, session;
    int status; /* as wait4 tells it */
    struct used used;
};
/* As a signal and waitid tell of a status. */
struct signal_info child_info(int32_t pid, int status, int signo);
/* Whether a signal that stops is for one process alone: else ferry stops with all of them. */
bool process_stops_alone(const struct linux_state *state, const struct signal_info *info);
/* Its threads enter the guest no more; and do so again, by this signal. */
void process_stop(struct linux_state *state, int signo);
void process_go_on(struct linux_state *state, int signo);
void zombies_free(struct linux_state *state, struct zombie *zombies);
/* One of that number and in that group, of any parent; 0: of any. */
const struct zombie *zombie_find(const struct linux_state *state, int32_t pid, int32_t group);

/* process.c: whether there is a group of that number, in that session; 0: in any. Also where all of it have
 * ended, until their parents know: a shell adds the next of a pipeline. */
bool process_is_group(const struct linux_state *state, int32_t group, int32_t session);
/* The number of its parent. */
int32_t process_parent(const struct linux_state *state);

/* threads.c: a number that no thread has. */
int32_t thread_next_id(struct linux_state *state);

/* serve.c */
void process_free(struct linux_state *state);

#endif
