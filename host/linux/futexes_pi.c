/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns locks whose word names their holder: those with priority inheritance, and robust ones at the
 * end of a thread. All threads of a VM have the same priority, so none is inherited; what is left
 * is that a lock passes from its holder to the thread that waits longest.
 */
#include <errno.h>
#include <linux/futex.h>

#include "linux/futexes.h"
#include "linux/state.h"

/* The kernel looks at as many entries of a robust list. */
#define ROBUST_MOST 2048

/* ---- locking ------------------------------------------------------------- */

/* The word names nobody, and there are waiters. A C library may clear the word of a robust lock
 * before its holder ends: the end passes the lock on to them, so none may take it before. 1: waits
 * too. */
static int64_t join_waiters(const struct futex_wait *first, uint32_t old, bool waits,
                            int32_t *holder)
{
    if (!first->pi || !(old & FUTEX_OWNER_DIED))
        return -EINVAL;
    *holder = first->holder;
    return waits ? 1 : -EAGAIN;
}

static bool is_alive(struct linux_state *state, int32_t id)
{
    const struct linux_thread *thread = thread_find(state, id);

    return thread && !thread->ended;
}

int64_t futex_take(struct linux_state *state, uint64_t addr, const struct linux_thread *thread,
                   bool waits, int32_t *holder)
{
    const struct futex_wait *first = futex_waiter(state, addr, NULL);
    uint32_t self = (uint32_t)thread->id, old;
    int result = futex_load(state, addr, &old);

    for (int i = 0; i < CHANGES_MAX && !result; i++) {
        uint32_t named = old & FUTEX_TID_MASK;

        *holder = (int32_t)(named ? named : self);
        if (named == self)
            return -EDEADLK;
        if (!named && first)
            return join_waiters(first, old, waits, holder);
        if (named && !is_alive(state, (int32_t)named))
            return -ESRCH;
        if (named && !waits)
            return -EAGAIN;
        if (named && old & FUTEX_WAITERS)
            return 1;
        result = futex_change(state, addr, &old,
                              named ? old | FUTEX_WAITERS : self | (old & FUTEX_OWNER_DIED));
        if (result > 0)
            return named != 0;
    }
    return result ? result : -EAGAIN;
}

int32_t futex_last_of_row(struct linux_state *state, int32_t holder)
{
    /* No row of threads that wait for each other is longer. */
    for (unsigned i = 0; i < state->thread_count; i++) {
        const struct linux_thread *thread = thread_find(state, holder);
        const struct futex_wait *wait = thread ? thread->lock_wait : NULL;

        if (!wait || !wait->next || !wait->pi) /* it waits for none, or was given it already */
            return holder;
        holder = wait->holder;
    }
    return 0;
}

int64_t futex_sleep_for_lock(struct linux_state *state, struct futex_wait *wait, uint64_t deadline)
{
    int64_t result;

    wait->thread->lock_wait = wait;
    result = futex_sleep(state, wait, 1, deadline);
    wait->thread->lock_wait = NULL;
    return result;
}

int64_t futex_lock_pi(struct linux_state *state, uint64_t addr, uint64_t deadline, bool waits)
{
    struct futex_wait wait = {.thread = state->thread, .addr = addr, .pi = true};
    int64_t result = futex_take(state, addr, state->thread, waits, &wait.holder);
    int32_t last;

    if (result != 1)
        return result;
    for (struct futex_wait *other = futex_waiter(state, addr, NULL); other;
         other = futex_waiter(state, addr, other)) {
        if (!other->pi)
            return -EINVAL;
    }
    last = futex_last_of_row(state, wait.holder);
    if (!last || last == state->thread->id)
        return -EDEADLK;
    futex_queue(state, &wait);
    return futex_sleep_for_lock(state, &wait, deadline);
}

/* The others wait for that thread now. */
static void give(struct linux_state *state, uint64_t addr, struct futex_wait *heir)
{
    for (struct futex_wait *other = heir; other; other = futex_waiter(state, addr, other))
        other->holder = heir->thread->id;
    futex_rouse(state, heir);
}

/* The lock becomes that of the thread that waits longest, or nobody's. `died`: FUTEX_OWNER_DIED, if
 * its holder ends with it; then the word is not asked who that is. */
static int64_t pass_on(struct linux_state *state, uint64_t addr, uint32_t holder, uint32_t died)
{
    struct futex_wait *heir = futex_waiter(state, addr, NULL);
    uint32_t value = 0, old;
    int result = futex_load(state, addr, &old);

    if (result)
        return result;
    if (heir && !heir->pi)
        return -EINVAL;
    if (heir)
        value = (uint32_t)heir->thread->id | (futex_waiter(state, addr, heir) ? FUTEX_WAITERS : 0);
    for (int i = 0; i < CHANGES_MAX && !result; i++) {
        if (!died && (old & FUTEX_TID_MASK) != holder)
            return -EPERM;
        result = futex_change(state, addr, &old, value | died);
    }
    if (result <= 0)
        return result ? result : -EAGAIN;
    if (heir)
        give(state, addr, heir);
    return 0;
}

int64_t futex_unlock_pi(struct linux_state *state, uint64_t addr)
{
    return pass_on(state, addr, (uint32_t)state->thread->id, 0);
}

/* ---- the end of a thread ------------------------------------------------- */

static void pass_on_all(struct linux_state *state, struct linux_thread *thread)
{
    for (unsigned i = 0; i < FUTEX_QUEUES; i++) {
        struct futex_wait *queue = &state->futexes[i], *wait = queue->next;

        while (wait != queue) {
            /* If it was passed on, the queue has changed, and this word is another's now. */
            if (wait->pi && wait->holder == thread->id &&
                pass_on(state, wait->addr, (uint32_t)thread->id, FUTEX_OWNER_DIED) == 0)
                wait = queue->next;
            else
                wait = wait->next;
        }
    }
}

/* `pending`: the thread was in the middle of locking or unlocking it. */
static void mark(struct linux_state *state, struct linux_thread *thread, uint64_t addr, bool pi,
                 bool pending)
{
    int result = 0;
    uint32_t old;

    if (futex_load(state, addr, &old))
        return;
    if (pending && !pi && !old) /* it had unlocked it, and was about to wake the next */
        futex_wake(state, addr, 1, FUTEX_BITSET_MATCH_ANY);
    for (int i = 0; i < CHANGES_MAX && !result && !vm_stopping(state->vm); i++) {
        if ((old & FUTEX_TID_MASK) != (uint32_t)thread->id)
            return;
        result = futex_change(state, addr, &old, (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
    }
    if (result > 0 && !pi && old & FUTEX_WAITERS)
        futex_wake(state, addr, 1, FUTEX_BITSET_MATCH_ANY);
}

/* As the kernel's struct robust_list_head. Bit 0 of an address says that the lock is one with
 * priority inheritance. */
struct robust_head {
    uint64_t first, offset, pending;
};

static void walk_robust_list(struct linux_state *state, struct linux_thread *thread)
{
    uint64_t head = thread->task.robust_list, at;
    struct robust_head list;

    if (!head || guest_get(state, head, &list, sizeof(list)))
        return;
    at = list.first;
    for (unsigned i = 0; (at & ~1ull) != head && i < ROBUST_MOST && !vm_stopping(state->vm); i++) {
        uint64_t entry = at & ~1ull, next;
        bool there = !guest_get(state, entry, &next, sizeof(next));

        if (entry != (list.pending & ~1ull))
            mark(state, thread, entry + list.offset, at & 1, false);
        if (!there)
            break;
        at = next;
    }
    if (list.pending & ~1ull)
        mark(state, thread, (list.pending & ~1ull) + list.offset, list.pending & 1, true);
}

void futex_thread_ends(struct linux_state *state, struct linux_thread *thread)
{
    pass_on_all(state, thread);
    walk_robust_list(state, thread);
}
