/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: waiting on words of the program. A word is known by its address in
 * the program, as no other VM shares it. The queues are changed by the thread that is served, and
 * so are looking at a word and beginning to wait for it one step: no wake falls between.
 */
#ifndef FERRY_HOST_LINUX_FUTEXES_H
#define FERRY_HOST_LINUX_FUTEXES_H

#include <stdbool.h>
#include <stdint.h>

#define LOCK_PI2 13 /* a command that headers of Linux before 5.14 do not name */
/* How often a change of a word is tried that other threads change meanwhile. */
#define CHANGES_MAX 64

struct futex_wait;
struct linux_state;
struct linux_thread;

void futex_init(struct linux_state *state);

/* Reads the word of the program. -EINVAL: it is not at a multiple of 4; -EFAULT. */
int futex_load(struct linux_state *state, uint64_t addr, uint32_t *value);
/* Compare and exchange, of such a word: 1: it was *old and is `value` now; 0: it is another, which
 * *old tells; -EFAULT. */
int futex_change(struct linux_state *state, uint64_t addr, uint32_t *old, uint32_t value);

/* A thread begins to wait, behind the others of that word. */
void futex_queue(struct linux_state *state, struct futex_wait *wait);
/* It is not in a queue any more. */
void futex_unqueue(struct futex_wait *wait);
/* Waits until one of the queued is woken, or the deadline: its index, -ETIMEDOUT or -EINTR. None is
 * in a queue afterwards. */
int64_t futex_sleep(struct linux_state *state, struct futex_wait *waits, unsigned count,
                    uint64_t deadline);
/* The first that waits for the word from `after` on (NULL: of all). NULL: none. */
struct futex_wait *futex_waiter(struct linux_state *state, uint64_t addr, struct futex_wait *after);
/* Takes it out of its queue and lets its thread go on. */
void futex_rouse(struct linux_state *state, struct futex_wait *wait);
/* Wakes as many as that of those that share a bit: how many, or -EINVAL. */
int64_t futex_wake(struct linux_state *state, uint64_t addr, int32_t most, uint32_t bitset);

/* ---- futexes_shared.c ------------------------------------------------------ */

/* The name of a word. */
struct futex_name futex_name_of(struct linux_state *state, uint64_t addr);
/* As futex_wake, of threads of other processes that have the word mapped; those that wait for a lock
 * with priority inheritance are not among them. */
int64_t futex_wake_others(struct linux_state *state, uint64_t addr, int32_t most, uint32_t bitset);

/* ---- futexes_pi.c ---------------------------------------------------------  */

/* Takes the lock for that thread if nobody holds it: 0. 1: it is held, and marked as waited for, if
 * that is wanted. *holder: the thread that holds it then. */
int64_t futex_take(struct linux_state *state, uint64_t addr, const struct linux_thread *thread,
                   bool waits, int32_t *holder);
/* The holder of a lock may wait for another such lock, its holder for a third, and so on: the thread
 * at the end of this row, which is the only one of them that may begin to wait. If it began to wait
 * for the first lock, none would ever go on. 0: the row has no end. */
int32_t futex_last_of_row(struct linux_state *state, int32_t holder);
/* As futex_sleep of one that waits for a lock, or will when it is moved to its queue. */
int64_t futex_sleep_for_lock(struct linux_state *state, struct futex_wait *wait, uint64_t deadline);
int64_t futex_lock_pi(struct linux_state *state, uint64_t addr, uint64_t deadline, bool waits);
int64_t futex_unlock_pi(struct linux_state *state, uint64_t addr);
/* A thread ends: locks that it holds and that others wait for, and those of its robust list, are
 * marked and passed on. */
void futex_thread_ends(struct linux_state *state, struct linux_thread *thread);

/* ---- futexes_requeue.c ----------------------------------------------------  */

int64_t futex_wait_requeue_pi(struct linux_state *state, const uint64_t arg[6], uint64_t deadline);
int64_t futex_cmp_requeue_pi(struct linux_state *state, const uint64_t arg[6]);

#endif
