/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns waits that end with a lock: a thread waits for a word, and the thread that would wake it gives
 * it the lock at once, or lets it wait for the lock, so that not all are woken to find it held.
 */
#include <errno.h>
#include <linux/futex.h>

#include "linux/futexes.h"
#include "linux/state.h"

static int check_word(struct linux_state *state, uint64_t addr, uint32_t expected)
{
    uint32_t value;
    int result = futex_load(state, addr, &value);

    return result ? result : value == expected ? 0 : -EAGAIN;
}

int64_t futex_wait_requeue_pi(struct linux_state *state, const uint64_t arg[6], uint64_t deadline)
{
    struct futex_wait wait = {
        .thread = state->thread, .addr = arg[0], .bitset = FUTEX_BITSET_MATCH_ANY, .lock = arg[4]};
    uint32_t value;
    int64_t result = arg[0] == arg[4] ? -EINVAL : futex_load(state, arg[4], &value);

    if (!result)
        result = check_word(state, arg[0], (uint32_t)arg[2]);
    if (result)
        return result;
    futex_queue(state, &wait);
    result = futex_sleep_for_lock(state, &wait, deadline);
    /* Once it waits for the lock it cannot wait for the word again. */
    return result == -EINTR && wait.pi ? -EAGAIN : result;
}

static int mark_waited_for(struct linux_state *state, uint64_t addr)
{
    uint32_t old;
    int result = futex_load(state, addr, &old);

    for (int i = 0; i < CHANGES_MAX && !result; i++)
        result = old & FUTEX_WAITERS ? 1 : futex_change(state, addr, &old, old | FUTEX_WAITERS);
    return result < 0 ? result : 0;
}

/* The first gets the lock if nobody holds it; the others, so many at most, wait for it. */
static int64_t requeue_all(struct linux_state *state, uint64_t from, uint64_t to, int64_t most)
{
    struct futex_wait *wait = futex_waiter(state, from, NULL);
    int64_t count = 0, result;
    int32_t holder, last;

    if (!wait)
        return 0;
    if (wait->lock != to)
        return -EINVAL;
    result = futex_take(state, to, wait->thread, true, &holder);
    if (result < 0)
        return result;
    if (result == 0) {
        futex_rouse(state, wait);
        count++;
        result = futex_waiter(state, from, NULL) && most ? mark_waited_for(state, to) : 0;
    }
    last = futex_last_of_row(state, holder); /* whoever waits for the lock from now on */
    for (wait = futex_waiter(state, from, NULL); wait && count <= most && result >= 0;
         wait = futex_waiter(state, from, NULL)) {
        if (wait->lock != to)
            return -EINVAL;
        if (!last || last == wait->thread->id)
            return -EDEADLK;
        futex_unqueue(wait);
        wait->addr = to;
        wait->pi = true;
        wait->holder = holder;
        futex_queue(state, wait);
        count++;
    }
    return result < 0 ? result : count;
}

int64_t futex_cmp_requeue_pi(struct linux_state *state, const uint64_t arg[6])
{
    int32_t most = (int32_t)arg[3];
    uint32_t value;
    int64_t result;

    if ((int32_t)arg[2] != 1 || most < 0 || arg[0] == arg[4])
        return -EINVAL;
    result = futex_load(state, arg[4], &value);
    if (!result)
        result = check_word(state, arg[0], (uint32_t)arg[5]);
    return result ? result : requeue_all(state, arg[0], arg[4], most);
}
