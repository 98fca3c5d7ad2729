/* SPDX-License-Identifier: BSD-2-Clause */
/* The polled engine's thread. */

#include "engine/poller.h"

#include <errno.h>
#include <immintrin.h>

#include "lib/clock.h"
#include "lib/thread.h"

/* After so many passes without a running guest the poller sleeps: some 100 us, longer than a
 * wake-up takes, so that it does not fall asleep each time between two VMs that answer each
 * other. */
#define IDLE_PASSES 2000

/* One look at every VM. *running: a guest runs. */
static void look_round(struct poller *poller, bool *running)
{
    while (atomic_load(&poller->wanted))
        _mm_pause();
    lock_take(&poller->lock);
    for (struct runner *runner = poller->runners; runner; runner = runner->next_polled) {
        *running |= atomic_load(&runner->in_guest);
        runner_poll(runner);
    }
    lock_drop(&poller->lock);
}

/* A VM's thread sets in_guest and then loads `asleep`; this thread sets `asleep` and then loads
 * in_guest. One of the two sees the other, so no guest runs unwatched (models/wake.pml). */
static void sleep_until_woken(struct poller *poller)
{
    bool running = false;
    unsigned seen = atomic_load(&poller->events);

    atomic_store(&poller->asleep, true);
    look_round(poller, &running);
    if (!running && !poller->stopping)
        clock_futex_wait(&poller->events, seen, CLOCK_NEVER);
    atomic_store(&poller->asleep, false);
}

static void *poll_thread(void *arg)
{
    struct poller *poller = arg;
    unsigned idle = 0;

    while (!poller->stopping) {
        bool running = false;
        look_round(poller, &running);
        idle = running ? 0 : idle + 1;
        if (idle > IDLE_PASSES) {
            sleep_until_woken(poller);
            idle = 0;
        }
        _mm_pause();
    }
    return NULL;
}

int poller_start(struct poller *poller, const int *cpu)
{
    cpu_set_t only;

    CPU_ZERO(&only);
    if (cpu && (*cpu < 0 || *cpu >= CPU_SETSIZE))
        return -EINVAL;
    if (cpu)
        CPU_SET(*cpu, &only);
    lock_init(&poller->lock, LOCK_POLLER);
    poller->cpu = cpu ? *cpu : -1;
    poller->stopping = false;
    int result = thread_start(&poller->thread, cpu ? &only : NULL, poll_thread, poller);
    poller->running = result == 0;
    return result;
}

void poller_stop(struct poller *poller)
{
    if (!poller->running)
        return;
    poller->stopping = true;
    poller_wake(poller);
    pthread_join(poller->thread, NULL);
    lock_fini(&poller->lock);
    poller->running = false;
}

/* While the poller spins the lock is free for moments only, so the poller is asked to give way. */
static void lock_list(struct poller *poller)
{
    atomic_fetch_add(&poller->wanted, 1);
    lock_take(&poller->lock);
    atomic_fetch_sub(&poller->wanted, 1);
}

void poller_add(struct poller *poller, struct runner *runner)
{
    if (!poller->running)
        return;
    lock_list(poller);
    runner->next_polled = poller->runners;
    poller->runners = runner;
    lock_drop(&poller->lock);
}

void poller_remove(struct poller *poller, struct runner *runner)
{
    if (!poller->running)
        return;
    lock_list(poller);
    for (struct runner **at = &poller->runners; *at; at = &(*at)->next_polled) {
        if (*at == runner) {
            *at = runner->next_polled;
            break;
        }
    }
    lock_drop(&poller->lock);
}

void poller_wake(struct poller *poller)
{
    atomic_fetch_add(&poller->events, 1);
    clock_futex_wake(&poller->events);
}
