/* SPDX-License-Identifier: BSD-2-Clause */
/* The ticker: bounds how long what a running guest left waits, and how long a VM runs. */
#include "ticker.h"

#include "clock.h"
#include "direct.h"
#include "engine.h"
#include "loan.h"
#include "room.h"
#include "thread.h"
#include "vm.h"

/* A VM is given up after so many looks at which its guest had not run. Being watched again
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

void ticker_report(struct ticker *ticker, struct ferry_vm *vm)
{
    if (atomic_exchange(&vm->watched, true))
        return; /* the ticker was first, and keeps it */
    struct ferry_vm *first = atomic_load_explicit(&ticker->reported, memory_order_relaxed);
    do
        vm->next_watched = first;
    while (!atomic_compare_exchange_weak(&ticker->reported, &first, vm));
    wake(ticker);
}

void ticker_stuck(struct ticker *ticker)
{
    atomic_store(&ticker->stuck, true);
    wake(ticker);
}

/* Under lock: those that reported themselves are watched. */
static void adopt(struct ticker *ticker)
{
    struct ferry_vm *vm = atomic_exchange(&ticker->reported, NULL);

    while (vm) {
        struct ferry_vm *next = vm->next_watched;
        vm->next_watched = ticker->watched;
        ticker->watched = vm;
        vm = next;
    }
}

void ticker_add(struct ticker *ticker, struct ferry_vm *vm)
{
    pthread_mutex_lock(&ticker->lock);
    vm->next_running = ticker->running;
    if (ticker->running)
        ticker->running->before_running = vm;
    ticker->running = vm;
    if (vm->deadline_ns && vm->deadline_ns < ticker->next_limit_ns) {
        ticker->next_limit_ns = vm->deadline_ns;
        end_wait(ticker);
    }
    pthread_mutex_unlock(&ticker->lock);
}

void ticker_remove(struct ticker *ticker, struct ferry_vm *vm)
{
    pthread_mutex_lock(&ticker->lock);
    adopt(ticker);
    for (struct ferry_vm **at = &ticker->watched; *at; at = &(*at)->next_watched) {
        if (*at == vm) {
            *at = vm->next_watched;
            break;
        }
    }
    if (vm->before_running)
        vm->before_running->next_running = vm->next_running;
    else
        ticker->running = vm->next_running;
    if (vm->next_running)
        vm->next_running->before_running = vm->before_running;
    pthread_mutex_unlock(&ticker->lock);
}

/* --- the tick ------------------------------------------------------------------- */

/* Its guest may be running. */
static void look_after(struct ferry_vm *vm)
{
    /* A poller takes what is queued, and tries again what waits for room. */
    if (vm_has_pending(vm) && !vm->engine->poller.running)
        vm_kick(vm);
    direct_announce(vm->endpoint);
    /* What it took and released by stores alone is room for its senders
     * and pages for their owners, who may be waiting. */
    loan_collect(vm->endpoint);
}

/* Whether its guest has not run since the last look. */
static bool was_idle(struct ferry_vm *vm)
{
    uint64_t exits = atomic_load_explicit(&vm->exits_immediate, memory_order_relaxed) +
                     atomic_load_explicit(&vm->exits_natural, memory_order_relaxed);
    bool idle = exits == vm->exits_seen && !atomic_load(&vm->in_guest);

    vm->exits_seen = exits;
    return idle;
}

uint64_t ticker_due(const struct ferry_vm *vm, uint64_t interval_ns)
{
    uint64_t entered = atomic_load_explicit(&vm->entered_ns, memory_order_relaxed);

    return (entered > vm->looked_ns ? entered : vm->looked_ns) + interval_ns;
}

/* Whoever is due within a quarter of the interval is looked at now, so that many VMs do not
 * take as many wake-ups. */
static uint64_t slack(const struct ticker *ticker)
{
    return ticker->interval_ns / 4;
}

/* Its guest may be running. Returns when it is due next. */
static uint64_t look_if_due(const struct ticker *ticker, struct ferry_vm *vm, uint64_t now)
{
    if (ticker_due(vm, ticker->interval_ns) <= now + slack(ticker)) {
        vm->looked_ns = now;
        look_after(vm);
    }
    return ticker_due(vm, ticker->interval_ns);
}

/* Under lock. Returns when to look again. */
static uint64_t look_at_watched(struct ticker *ticker)
{
    struct ferry_vm **at = &ticker->watched;
    uint64_t now = clock_now(), next = now + ticker->interval_ns;

    while (*at) {
        struct ferry_vm *vm = *at;
        if (atomic_load(&vm->in_guest)) {
            uint64_t due = look_if_due(ticker, vm, now);
            next = due < next ? due : next;
        }
        /* One that leaves often is never due, and its exits wake only who has much room. */
        room_unpark(vm->endpoint);
        /* Gathered at its last exit; it may be busy in the VMM since. */
        vm_send_gathered(vm);
        vm->idle_looks = was_idle(vm) ? vm->idle_looks + 1 : 0;
        if (vm->idle_looks < IDLE_LOOKS) {
            at = &vm->next_watched;
            continue;
        }
        vm->idle_looks = 0;
        *at = vm->next_watched;
        atomic_store(&vm->watched, false); /* from here on it is on no list of ours */
        if (!atomic_load(&vm->in_guest) || atomic_exchange(&vm->watched, true))
            continue;
        vm->next_watched = ticker->watched;
        if (at == &ticker->watched)
            at = &vm->next_watched;
        ticker->watched = vm;
    }
    return next;
}

/* Under lock: ends VMs whose time is over. */
static void enforce_limits(struct ticker *ticker, uint64_t now)
{
    if (now < ticker->next_limit_ns)
        return;
    ticker->next_limit_ns = CLOCK_NEVER;
    for (struct ferry_vm *vm = ticker->running; vm; vm = vm->next_running) {
        if (!vm->deadline_ns)
            continue;
        if (now >= vm->deadline_ns)
            vm_stop(vm, STOP_TIMEOUT);
        else if (vm->deadline_ns < ticker->next_limit_ns)
            ticker->next_limit_ns = vm->deadline_ns;
    }
}

/* Under lock: tries again to close what was released, wherever it is. */
static void collect_stuck(struct ticker *ticker)
{
    if (!atomic_exchange(&ticker->stuck, false))
        return;
    for (struct ferry_vm *vm = ticker->running; vm; vm = vm->next_running)
        loan_collect(vm->endpoint);
}

/* Under lock, which is dropped meanwhile: until `moment`, a time limit, or an event since
 * `seen`. */
static void wait_until(struct ticker *ticker, unsigned seen, uint64_t moment)
{
    if (moment > ticker->next_limit_ns)
        moment = ticker->next_limit_ns;
    pthread_mutex_unlock(&ticker->lock);
    clock_futex_wait(&ticker->events, seen, moment);
    pthread_mutex_lock(&ticker->lock);
}

/* Under lock: sleeps while there is nobody to look at. */
static void sleep_while_idle(struct ticker *ticker)
{
    unsigned seen = atomic_load(&ticker->events);

    if (ticker->watched)
        return;
    atomic_store(&ticker->asleep, true);
    if (!atomic_load(&ticker->reported) && !atomic_load(&ticker->stuck) && !ticker->stopping)
        wait_until(ticker, seen, CLOCK_NEVER);
    atomic_store(&ticker->asleep, false);
}

static void *ticker_thread(void *arg)
{
    struct ticker *ticker = arg;

    pthread_mutex_lock(&ticker->lock);
    while (!ticker->stopping) {
        adopt(ticker);
        uint64_t next = look_at_watched(ticker);
        collect_stuck(ticker);
        enforce_limits(ticker, clock_now());
        sleep_while_idle(ticker);
        /* After a sleep `next` is long over, so the one who woke it is adopted at once. */
        unsigned seen = atomic_load(&ticker->events);
        if (!ticker->stopping)
            wait_until(ticker, seen, next);
    }
    pthread_mutex_unlock(&ticker->lock);
    return NULL;
}

int ticker_start(struct ticker *ticker, uint64_t interval_ns)
{
    *ticker = (struct ticker){.interval_ns = interval_ns, .next_limit_ns = CLOCK_NEVER};
    pthread_mutex_init(&ticker->lock, NULL);
    int result = thread_start(&ticker->thread, NULL, ticker_thread, ticker);
    ticker->started = result == 0;
    return result;
}

void ticker_tell_end(struct ticker *ticker)
{
    if (!ticker->started)
        return;
    pthread_mutex_lock(&ticker->lock);
    ticker->stopping = true;
    pthread_mutex_unlock(&ticker->lock);
    end_wait(ticker);
}

void ticker_stop(struct ticker *ticker)
{
    if (!ticker->started)
        return;
    ticker_tell_end(ticker);
    pthread_join(ticker->thread, NULL);
    pthread_mutex_destroy(&ticker->lock);
    ticker->started = false;
}
