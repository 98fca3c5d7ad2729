/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the queues of threads that wait for a word of the program, and the calls on them. */
#include "linux/futexes.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <time.h>

#include "lib/clock.h"
#include "linux/calls.h"
#include "linux/state.h"

/* ---- queues -------------------------------------------------------------- */

static struct futex_wait *queue_of(struct linux_state *state, uint64_t addr)
{
    return &state->futexes[addr / sizeof(uint32_t) % FUTEX_QUEUES];
}

void futex_init(struct linux_state *state)
{
    for (unsigned i = 0; i < FUTEX_QUEUES; i++)
        state->futexes[i].next = state->futexes[i].previous = &state->futexes[i];
}

int futex_load(struct linux_state *state, uint64_t addr, uint32_t *value)
{
    struct reach word = vm_memory(state->vm, guest_addr(addr), sizeof(*value), false);

    if (addr % sizeof(*value))
        return -EINVAL;
    return word.at ? reach_load(word, value) : -EFAULT;
}

int futex_change(struct linux_state *state, uint64_t addr, uint32_t *old, uint32_t value)
{
    struct reach word = vm_memory(state->vm, guest_addr(addr), sizeof(value), true);

    return word.at ? reach_change(word, old, value) : -EFAULT;
}

void futex_queue(struct linux_state *state, struct futex_wait *wait)
{
    struct futex_wait *queue = queue_of(state, wait->addr);

    wait->next = queue;
    wait->previous = queue->previous;
    queue->previous->next = wait;
    queue->previous = wait;
}

void futex_unqueue(struct futex_wait *wait)
{
    if (!wait->next)
        return;
    wait->next->previous = wait->previous;
    wait->previous->next = wait->next;
    wait->next = NULL;
}

struct futex_wait *futex_waiter(struct linux_state *state, uint64_t addr, struct futex_wait *after)
{
    struct futex_wait *queue = queue_of(state, addr);

    for (struct futex_wait *at = after ? after->next : queue->next; at != queue; at = at->next) {
        if (at->addr == addr)
            return at;
    }
    return NULL;
}

void futex_rouse(struct linux_state *state, struct futex_wait *wait)
{
    futex_unqueue(wait);
    vm_rouse(state->vm, wait->thread->call->cpu);
}

int64_t futex_sleep(struct linux_state *state, struct futex_wait *waits, unsigned count,
                    uint64_t deadline)
{
    struct vcpu *cpu = state->thread->call->cpu;
    int64_t result = 0, woken = -1;

    while (woken < 0 && result == 0) {
        result = vm_suspend(state->vm, cpu, deadline);
        for (unsigned i = 0; i < count && woken < 0; i++)
            woken = waits[i].next ? -1 : (int64_t)i;
    }
    for (unsigned i = 0; i < count; i++)
        futex_unqueue(&waits[i]);
    return woken >= 0 ? woken : result;
}

/* ---- waiting and waking -------------------------------------------------- */

static int64_t wait_for(struct linux_state *state, const uint64_t arg[6], uint32_t bitset,
                        uint64_t deadline)
{
    struct futex_wait wait = {.thread = state->thread, .addr = arg[0], .bitset = bitset};
    uint32_t value;
    int result = futex_load(state, arg[0], &value);

    if (!bitset)
        return -EINVAL;
    if (result)
        return result;
    if (value != (uint32_t)arg[2])
        return -EAGAIN;
    if (!(arg[1] & FUTEX_PRIVATE_FLAG))
        wait.name = futex_name_of(state, arg[0]);
    futex_queue(state, &wait);
    return futex_sleep(state, &wait, 1, deadline);
}

int64_t futex_wake(struct linux_state *state, uint64_t addr, int32_t most, uint32_t bitset)
{
    struct futex_wait *wait = futex_waiter(state, addr, NULL);
    int32_t woken = 0;

    while (wait && (woken < most || !woken)) {
        struct futex_wait *next = futex_waiter(state, addr, wait);

        if (wait->pi || wait->lock)
            return -EINVAL;
        if (wait->bitset & bitset) {
            futex_rouse(state, wait);
            woken++;
        }
        wait = next;
    }
    return woken;
}

static int64_t wake_call(struct linux_state *state, const uint64_t arg[6], uint32_t bitset)
{
    uint32_t value;

    if (!bitset || arg[0] % sizeof(value))
        return -EINVAL;
    /* One that threads alone share is known by its address and not looked at. */
    if (!(arg[1] & FUTEX_PRIVATE_FLAG) && futex_load(state, arg[0], &value))
        return -EFAULT;
    int64_t woken = futex_wake(state, arg[0], (int32_t)arg[2], bitset);

    if (woken >= 0 && !(arg[1] & FUTEX_PRIVATE_FLAG))
        woken += futex_wake_others(state, arg[0], (int32_t)arg[2] - (int32_t)woken, bitset);
    return woken;
}

/* Wakes some of the threads that wait for one word, and lets others wait for another word. */
static int64_t requeue(struct linux_state *state, const uint64_t arg[6], bool compares)
{
    int32_t most = (int32_t)arg[2], most_moved = (int32_t)arg[3];
    uint64_t from = arg[0], to = arg[4];
    struct futex_wait *wait;
    int64_t count = 0;
    uint32_t value;
    int result;

    if (most < 0 || most_moved < 0 || from % sizeof(value) || to % sizeof(value))
        return -EINVAL;
    if (compares) {
        result = futex_load(state, from, &value);
        if (result)
            return result;
        if (value != (uint32_t)arg[5])
            return -EAGAIN;
    }
    wait = futex_waiter(state, from, NULL);
    while (wait && count < (int64_t)most + most_moved) {
        struct futex_wait *next = futex_waiter(state, from, wait);

        if (wait->pi || wait->lock)
            return -EINVAL;
        if (count < most) {
            futex_rouse(state, wait);
        } else if (to != from) {
            futex_unqueue(wait);
            wait->addr = to;
            futex_queue(state, wait);
        }
        count++;
        wait = next;
    }
    return count;
}

/* ---- wake_op ------------------------------------------------------------- */

static uint32_t operate(uint32_t operation, uint32_t old, uint32_t operand)
{
    switch (operation) {
    case FUTEX_OP_SET:
        return operand;
    case FUTEX_OP_ADD:
        return old + operand;
    case FUTEX_OP_OR:
        return old | operand;
    case FUTEX_OP_ANDN:
        return old & ~operand;
    default:
        return old ^ operand;
    }
}

static int compare(uint32_t comparison, int32_t old, int32_t with)
{
    switch (comparison) {
    case FUTEX_OP_CMP_EQ:
        return old == with;
    case FUTEX_OP_CMP_NE:
        return old != with;
    case FUTEX_OP_CMP_LT:
        return old < with;
    case FUTEX_OP_CMP_LE:
        return old <= with;
    case FUTEX_OP_CMP_GT:
        return old > with;
    default:
        return old >= with;
    }
}

/* Changes the word as `code` says. Whether what it was before compares as `code` says. */
static int64_t operate_on(struct linux_state *state, uint64_t addr, uint32_t code)
{
    uint32_t operation = code >> 28 & 7, comparison = code >> 24 & 15;
    uint32_t operand = (uint32_t)((int32_t)(code << 8) >> 20), old;
    int32_t with = (int32_t)(code << 20) >> 20;
    int result = futex_load(state, addr, &old);

    if (result)
        return result;
    if (operation > FUTEX_OP_XOR || comparison > FUTEX_OP_CMP_GE)
        return -ENOSYS;
    if (code >> 28 & FUTEX_OP_OPARG_SHIFT)
        operand = 1u << (operand & 31);
    result = 0;
    for (int i = 0; i < CHANGES_MAX && !result; i++)
        result = futex_change(state, addr, &old, operate(operation, old, operand));
    if (result > 0)
        return compare(comparison, (int32_t)old, with);
    return result ? result : -EAGAIN;
}

static int64_t wake_op(struct linux_state *state, const uint64_t arg[6])
{
    int64_t also, woken, more = 0;

    if (arg[0] % sizeof(uint32_t))
        return -EINVAL;
    also = operate_on(state, arg[4], (uint32_t)arg[5]);
    if (also < 0)
        return also;
    woken = futex_wake(state, arg[0], (int32_t)arg[2], FUTEX_BITSET_MATCH_ANY);
    if (woken >= 0 && also)
        more = futex_wake(state, arg[4], (int32_t)arg[3], FUTEX_BITSET_MATCH_ANY);
    return woken < 0 ? woken : more < 0 ? more : woken + more;
}

/* ---- the calls ----------------------------------------------------------- */

/* The moment until which a call waits. FUTEX_WAIT is told how long, the others until when. */
static int get_deadline(struct linux_state *state, uint64_t addr, bool absolute, int clock,
                        uint64_t *deadline)
{
    uint64_t nanoseconds;
    int result = time_get(state, addr, &nanoseconds);

    if (!result && absolute)
        nanoseconds = time_until(clock, nanoseconds);
    *deadline = clock_deadline(nanoseconds);
    return result;
}

int64_t sys_futex(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t command = (uint32_t)(arg[1] & FUTEX_CMD_MASK);
    bool timed = command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET ||
                 command == FUTEX_WAIT_REQUEUE_PI || command == FUTEX_LOCK_PI ||
                 command == LOCK_PI2;
    /* FUTEX_LOCK_PI always took the time of the day. */
    bool real = arg[1] & FUTEX_CLOCK_REALTIME || command == FUTEX_LOCK_PI;
    uint64_t deadline = UINT64_MAX;
    int result = 0;

    if (arg[1] & FUTEX_CLOCK_REALTIME &&
        (!timed || command == FUTEX_WAIT || command == FUTEX_LOCK_PI))
        return -ENOSYS;
    if (timed)
        result = get_deadline(state, arg[3], command != FUTEX_WAIT,
                              real ? CLOCK_REALTIME : CLOCK_MONOTONIC, &deadline);
    if (result)
        return result;
    switch (command) {
    case FUTEX_WAIT:
        return wait_for(state, arg, FUTEX_BITSET_MATCH_ANY, deadline);
    case FUTEX_WAIT_BITSET:
        return wait_for(state, arg, (uint32_t)arg[5], deadline);
    case FUTEX_WAKE:
        return wake_call(state, arg, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return wake_call(state, arg, (uint32_t)arg[5]);
    case FUTEX_REQUEUE:
        return requeue(state, arg, false);
    case FUTEX_CMP_REQUEUE:
        return requeue(state, arg, true);
    case FUTEX_WAKE_OP:
        return wake_op(state, arg);
    case FUTEX_LOCK_PI:
    case LOCK_PI2:
        return futex_lock_pi(state, arg[0], deadline, true);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(state, arg[0], 0, false);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(state, arg[0]);
    case FUTEX_WAIT_REQUEUE_PI:
        return futex_wait_requeue_pi(state, arg, deadline);
    case FUTEX_CMP_REQUEUE_PI:
        return futex_cmp_requeue_pi(state, arg);
    default:
        return -ENOSYS;
    }
}

/* ---- futex_waitv --------------------------------------------------------- */

#define WAITV_MOST         128
#define SIZE_MASK          3u
#define SIZE_32            2u
#define CLOCK_IS_OK(clock) ((clock) == CLOCK_MONOTONIC || (clock) == CLOCK_REALTIME)

/* As the kernel's struct futex_waitv. */
struct waitv {
    uint64_t value, addr;
    uint32_t flags, reserved;
};

/* Queues the waits for all words, or none: 0. */
static int64_t queue_all(struct linux_state *state, const struct waitv *words, unsigned count,
                         struct futex_wait *waits)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t value;
        int result = futex_load(state, words[i].addr, &value);

        waits[i] = (struct futex_wait){
            .thread = state->thread, .addr = words[i].addr, .bitset = FUTEX_BITSET_MATCH_ANY};
        if (!result && value != (uint32_t)words[i].value)
            result = -EAGAIN;
        if (!result) {
            futex_queue(state, &waits[i]);
            continue;
        }
        while (i--)
            futex_unqueue(&waits[i]);
        return result;
    }
    return 0;
}

int64_t sys_futex_waitv(struct linux_state *state, const uint64_t arg[6])
{
    struct waitv words[WAITV_MOST];
    struct futex_wait waits[WAITV_MOST];
    uint64_t deadline = UINT64_MAX;
    unsigned count = (uint32_t)arg[1];
    int64_t result;

    if (arg[2] || !count || count > WAITV_MOST || (arg[3] && !CLOCK_IS_OK((uint32_t)arg[4])))
        return -EINVAL;
    result = get_deadline(state, arg[3], true, (int)arg[4], &deadline);
    if (result)
        return result;
    if (guest_get(state, arg[0], words, count * sizeof(words[0])))
        return -EFAULT;
    for (unsigned i = 0; i < count; i++) {
        if ((words[i].flags & ~FUTEX_PRIVATE_FLAG) != SIZE_32 || words[i].reserved)
            return -EINVAL;
    }
    result = queue_all(state, words, count, waits);
    return result ? result : futex_sleep(state, waits, count, deadline);
}
