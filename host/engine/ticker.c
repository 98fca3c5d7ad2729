/* SPDX-License-Identifier: BSD-2-Clause */
/* The ticker: bounds how long the messages and releases of a running guest wait, and how long a VM
 * runs. */
#include "engine/ticker.h"

#include "ipc/direct.h"
#include "ipc/loan.h"
#include "ipc/room.h"
#include "lib/clock.h"
#include "lib/thread.h"

/* A VM is no longer watched after so many looks at which its guest had not run. To be watched again
 * costs it a little, and the ticker may have to be woken. */
#define IDLE_LOOKS 16

static void end_wait(struct ticker *ticker)
{
    atomic_fetch_add(&ticker->events, 1);
    clock_futex_wake(&ticker->events);
}

static void wake(struct ticker *ticker)
{
    if (atomic_load(&ticker->asleep) && atomic_exchange(&ticker->asleep, false))
        end_wait(ticker);
}

void ticker_report(struct ticker *ticker, struct runner *runner)
{
    if (atomic_exchange(&runner->watched, true))
        return; /* the ticker was first and goes on watching it */
    struct runner *first = atomic_load_explicit(&ticker->reported, memory_order_relaxed);
    do
        runner->next_watched = first;
    while (!atomic_compare_exchange_weak(&ticker->reported, &first, runner));
    wake(ticker);
}

void ticker_stuck(struct ticker *ticker)
{
    atomic_store(&ticker->stuck, true);
    wake(ticker);
}

/* Begins to watch the VMs that reported themselves. */
static void adopt(struct ticker *ticker)
{
    lock_assert_held(&ticker->lock);
    struct runner *runner = atomic_exchange(&ticker->reported, NULL);

    while (runner) {
        struct runner *next = runner->next_watched;
        runner->next_watched = ticker->watched;
        ticker->watched = runner;
        runner = next;
    }
}

/* 0: never. */
static void limit_at(struct ticker *ticker, uint64_t moment_ns)
{
    lock_assert_held(&ticker->lock);
    if (!moment_ns || moment_ns >= ticker->next_limit_ns)
        return;
    ticker->next_limit_ns = moment_ns;
    end_wait(ticker);
}

void ticker_add(struct ticker *ticker, struct runner *runner)
{
    lock_take(&ticker->lock);
    runner->next_running = ticker->running;
    if (ticker->running)
        ticker->running->previous_running = runner;
    ticker->running = runner;
    limit_at(ticker, runner->deadline_ns);
    limit_at(ticker, runner->cpu_ns);
    lock_drop(&ticker->lock);
}

void ticker_alarm(struct ticker *ticker, struct runner *runner, uint64_t moment_ns)
{
    lock_take(&ticker->lock);
    runner->alarm_ns = moment_ns == CLOCK_NEVER ? 0 : moment_ns;
    limit_at(ticker, runner->alarm_ns);
    lock_drop(&ticker->lock);
}

void ticker_watch_cpu(struct ticker *ticker, struct runner *runner, uint64_t moment_ns)
{
    lock_take(&ticker->lock);
    if (!runner->cpu_ns || moment_ns < runner->cpu_ns)
        runner->cpu_ns = moment_ns;
    limit_at(ticker, runner->cpu_ns);
    lock_drop(&ticker->lock);
}

void ticker_remove(struct ticker *ticker, struct runner *runner)
{
    lock_take(&ticker->lock);
    adopt(ticker);
    for (struct runner **at = &ticker->watched; *at; at = &(*at)->next_watched) {
        if (*at == runner) {
            *at = runner->next_watched;
            break;
        }
    }
    if (runner->previous_running)
        runner->previous_running->next_running = runner->next_running;
    else
        ticker->running = runner->next_running;
    if (runner->next_running)
        runner->next_running->previous_running = runner->previous_running;
    runner->previous_running = NULL;       /* it may be added again, at the front; */
    atomic_store(&runner->watched, false); /* and reports itself then */
    lock_drop(&ticker->lock);
}

/* --- the tick ------------------------------------------------------------------- */

/* Its guest may be running. */
static void look_after(const struct ticker *ticker, struct runner *runner)
{
    /* A poller takes queued messages, and tries those again that wait for room, but for some. */
    if (runner_has_pending(runner) && (!ticker->polled || atomic_load(&runner->left)))
        runner_kick(runner);
    runner_look_at_stream(runner);
    direct_announce(runner->endpoint);
    /* The messages it took and the tokens it released, by stores alone, give room to its senders
     * and pages to their owners, which may be waiting. */
    loan_collect(runner->endpoint);
}

/* Whether its guest has not run since the last look. */
static bool was_idle(struct runner *runner)
{
    uint64_t exits = atomic_load_explicit(&runner->exits_immediate, memory_order_relaxed) +
                     atomic_load_explicit(&runner->exits_natural, memory_order_relaxed);
    bool idle = exits == runner->exits_seen && !atomic_load(&runner->in_guest);

    runner->exits_seen = exits;
    return idle;
}

uint64_t ticker_due(const struct runner *runner, uint64_t interval_ns)
{
    uint64_t entered = atomic_load_explicit(&runner->entered_ns, memory_order_relaxed);

    return (entered > runner->looked_ns ? entered : runner->looked_ns) + interval_ns;
}

/* A VM that is due within a quarter of the interval is looked at now, so that many VMs do not need
 * as many wake-ups. */
static uint64_t slack(const struct ticker *ticker)
{
    return ticker->interval_ns / 4;
}

/* Its guest may be running. Returns when it is due next. */
static uint64_t look_if_due(const struct ticker *ticker, struct runner *runner, uint64_t now)
{
    if (ticker_due(runner, ticker->interval_ns) <= now + slack(ticker)) {
        runner->looked_ns = now;
        look_after(ticker, runner);
    }
    return ticker_due(runner, ticker->interval_ns);
}

/* Returns when to look again. */
static uint64_t look_at_watched(struct ticker *ticker)
{
    lock_assert_held(&ticker->lock);
    struct runner **at = &ticker->watched;
    uint64_t now = clock_now(), next = now + ticker->interval_ns;

    while (*at) {
        struct runner *runner = *at;
        if (atomic_load(&runner->in_guest)) {
            uint64_t due = look_if_due(ticker, runner, now);
            next = due < next ? due : next;
        }
        /* A VM that exits often is never due, and its exits wake only senders that have much
         * room. */
        room_unpark(runner->endpoint);
        /* Its output was gathered at its last exit; it may be busy in the VMM since then. */
        runner_send_gathered(runner);
        runner->idle_looks = was_idle(runner) ? runner->idle_looks + 1 : 0;
        if (runner->idle_looks < IDLE_LOOKS) {
            at = &runner->next_watched;
            continue;
        }
        runner->idle_looks = 0;
        *at = runner->next_watched;
        atomic_store(&runner->watched, false); /* from here on it is on no list of the ticker */
        if (!atomic_load(&runner->in_guest) || atomic_exchange(&runner->watched, true))
            continue;
        runner->next_watched = ticker->watched;
        if (at == &ticker->watched)
            at = &runner->next_watched;
        ticker->watched = runner;
    }
    return next;
}

static void look_again(struct ticker *ticker, uint64_t moment_ns)
{
    if (moment_ns && moment_ns < ticker->next_limit_ns)
        ticker->next_limit_ns = moment_ns;
}

/* Ends VMs whose time is over, rings the alarms that are due, and looks at processor time. */
static void enforce_limits(struct ticker *ticker, uint64_t now)
{
    lock_assert_held(&ticker->lock);
    if (now < ticker->next_limit_ns)
        return;
    ticker->next_limit_ns = CLOCK_NEVER;
    for (struct runner *runner = ticker->running; runner; runner = runner->next_running) {
        if (runner->alarm_ns && now >= runner->alarm_ns) {
            runner->alarm_ns = 0;
            runner->alarm(runner);
        }
        look_again(ticker, runner->alarm_ns);
        if (runner->cpu_ns && now >= runner->cpu_ns)
            runner->cpu_ns = runner->cpu_look(runner);
        look_again(ticker, runner->cpu_ns);
        if (runner->deadline_ns && now >= runner->deadline_ns)
            runner->time_over(runner);
        else
            look_again(ticker, runner->deadline_ns);
    }
}

/* Tries again to close loans that were released, in all endpoints. */
static void collect_stuck(struct ticker *ticker)
{
    lock_assert_held(&ticker->lock);
    if (!atomic_exchange(&ticker->stuck, false))
        return;
    for (struct runner *runner = ticker->running; runner; runner = runner->next_running)
        loan_collect(runner->endpoint);
}

/* Drops the lock meanwhile: until `moment`, a time limit, or an event since
 * `seen`. */
static void wait_until(struct ticker *ticker, unsigned seen, uint64_t moment)
{
    lock_assert_held(&ticker->lock);
    if (moment > ticker->next_limit_ns)
        moment = ticker->next_limit_ns;
    lock_drop(&ticker->lock);
    clock_futex_wait(&ticker->events, seen, moment);
    lock_take(&ticker->lock);
}

/* Sleeps while there is nobody to look at. A VM that enters its guest after that opens the page of
 * clocks by itself; for one that did so before it was closed here, the ticker is awake. */
static void sleep_while_idle(struct ticker *ticker)
{
    lock_assert_held(&ticker->lock);
    unsigned seen = atomic_load(&ticker->events);

    if (ticker->watched)
        return;
    if (ticker->clock)
        guest_clock_close(ticker->clock);
    atomic_store(&ticker->asleep, true);
    if (!atomic_load(&ticker->reported) && !atomic_load(&ticker->stuck) && !ticker->stopping)
        wait_until(ticker, seen, CLOCK_NEVER);
    atomic_store(&ticker->asleep, false);
}

static void *ticker_thread(void *arg)
{
    struct ticker *ticker = arg;

    lock_take(&ticker->lock);
    while (!ticker->stopping) {
        adopt(ticker);
        if (ticker->watched && ticker->clock)
            guest_clock_renew(ticker->clock);
        uint64_t next = look_at_watched(ticker);
        collect_stuck(ticker);
        enforce_limits(ticker, clock_now());
        sleep_while_idle(ticker);
        /* After a sleep `next` is in the past, so the VM that woke the ticker is watched at
         * once. */
        unsigned seen = atomic_load(&ticker->events);
        if (!ticker->stopping)
            wait_until(ticker, seen, next);
    }
    lock_drop(&ticker->lock);
    return NULL;
}

int ticker_start(struct ticker *ticker, uint64_t interval_ns, bool polled,
                 struct guest_clock *clock)
{
    *ticker = (struct ticker){
        .interval_ns = interval_ns, .polled = polled, .clock = clock, .next_limit_ns = CLOCK_NEVER};
    lock_init(&ticker->lock, LOCK_TABLES);
    int result = thread_start(&ticker->thread, NULL, ticker_thread, ticker);
    ticker->started = result == 0;
    return result;
}

void ticker_tell_end(struct ticker *ticker)
{
    if (!ticker->started)
        return;
    lock_take(&ticker->lock);
    ticker->stopping = true;
    lock_drop(&ticker->lock);
    end_wait(ticker);
}

void ticker_stop(struct ticker *ticker)
{
    if (!ticker->started)
        return;
    ticker_tell_end(ticker);
    pthread_join(ticker->thread, NULL);
    lock_fini(&ticker->lock);
    ticker->started = false;
}
