/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the timers that send signals: alarm, setitimer, timer_create. Those of real time are kept by
 * the VM's alarm, which interrupts the program when the first is due; those of processor time by the
 * watch that RLIMIT_CPU uses as well. Whoever is interrupted looks here what is due.
 */
#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "lib/clock.h"
#include "linux/calls.h"
#include "linux/signal_state.h"
#include "linux/state.h"

#define NS_PER_S     1000000000ull
#define NS_PER_US    1000ull
#define NEVER        UINT64_MAX
#define ITIMERS      3 /* at the start of the table */
#define OVERRUN_MOST INT32_MAX
/* However short the interval of a timer, the program is interrupted no more often. */
#define LEAST_NS 100000ull

/* As the kernel's struct sigevent, without its unused end. */
struct signal_event {
    uint64_t value;
    int32_t signo, notify, thread;
};

/* ---- what is due --------------------------------------------------------- */

static uint64_t now_of(struct linux_state *state, const struct alarm *alarm)
{
    return alarm->of_cpu ? cpu_clock_ns(state, alarm->cpu_thread) : clock_now();
}

/* Whether it counts processor time, and goes on: that of a thread that has ended does not. */
static bool counts_cpu(struct linux_state *state, const struct alarm *alarm)
{
    const struct linux_thread *thread;

    if (!alarm->used || !alarm->of_cpu || alarm->due_ns == NEVER)
        return false;
    thread = alarm->cpu_thread ? thread_find(state, alarm->cpu_thread) : NULL;
    return thread ? !thread->ended : !alarm->cpu_thread;
}

/* How much more the process has to use before it can be due, which for the time of a thread is what
 * that thread has to use. */
static uint64_t rest_of(struct linux_state *state, const struct alarm *alarm)
{
    uint64_t now = now_of(state, alarm);

    return alarm->due_ns > now ? alarm->due_ns - now : 0;
}

uint64_t alarms_cpu_rest(struct linux_state *state)
{
    uint64_t rest = NEVER;

    for (unsigned i = 0; i < ALARMS_MAX; i++) {
        const struct alarm *alarm = &state->alarms.table[i];

        if (counts_cpu(state, alarm) && rest_of(state, alarm) < rest)
            rest = rest_of(state, alarm);
    }
    return rest;
}

/* The VM has one alarm for all processes. */
static uint64_t next_of_all(const struct linux_state *state)
{
    uint64_t next = NEVER;

    for (const struct linux_state *of = state->common->processes; of; of = of->next_process)
        if (of->alarms.next_ns && of->alarms.next_ns < next)
            next = of->alarms.next_ns;
    return next;
}

/* Asks to be interrupted when the next is due. */
static void rearm(struct linux_state *state)
{
    uint64_t due = NEVER;

    for (unsigned i = 0; i < ALARMS_MAX; i++) {
        const struct alarm *alarm = &state->alarms.table[i];

        if (alarm->used && !alarm->of_cpu && alarm->due_ns < due)
            due = alarm->due_ns;
    }
    if (due < state->alarms.last_ns + LEAST_NS)
        due = state->alarms.last_ns + LEAST_NS;
    bool changes = due != state->alarms.next_ns;

    state->alarms.next_ns = due;
    if (changes)
        vm_alarm(state->vm, next_of_all(state));
    limits_watch_cpu(state);
}

bool alarms_any(const struct linux_state *state)
{
    for (unsigned i = 0; i < ALARMS_MAX; i++) {
        const struct alarm *alarm = &state->alarms.table[i];

        if (alarm->used && (i >= ITIMERS || alarm->due_ns != NEVER))
            return true;
    }
    return false;
}

void alarms_end(struct linux_state *state)
{
    uint64_t next = state->alarms.next_ns;

    state->alarms.next_ns = NEVER;
    if (next && next != NEVER) /* it would be over with its moment */
        vm_alarm(state->vm, next_of_all(state));
}

/* Signals of one timer do not queue: the one that is pending counts the others. */
static void send(struct linux_state *state, unsigned id, uint64_t times)
{
    struct alarm *alarm = &state->alarms.table[id];
    struct signal_info info = {.signo = alarm->signo, .code = SI_KERNEL};

    struct linux_thread *thread;

    if (alarm->notify == SIGEV_NONE)
        return;
    if (id >= ITIMERS) {
        if (signal_add_overrun(state, (int32_t)(id - ITIMERS), times))
            return;
        info.code = SI_TIMER;
        info.timer = (int32_t)(id - ITIMERS);
        info.overrun = times - 1 < OVERRUN_MOST ? (int32_t)(times - 1) : OVERRUN_MOST;
        info.value = alarm->value;
    }
    thread = alarm->thread ? thread_find(state, alarm->thread) : NULL;
    if (thread || !alarm->thread) /* else it has ended */
        signal_post(state, thread, &info);
}

static void expire(struct linux_state *state, unsigned id, uint64_t now)
{
    struct alarm *alarm = &state->alarms.table[id];
    uint64_t times = 1, later;

    if (alarm->interval_ns)
        times += (now - alarm->due_ns) / alarm->interval_ns;
    if (!alarm->interval_ns || __builtin_mul_overflow(times, alarm->interval_ns, &later) ||
        __builtin_add_overflow(alarm->due_ns, later, &alarm->due_ns))
        alarm->due_ns = NEVER;
    send(state, id, times);
}

static void expire_all(struct linux_state *state, bool of_cpu)
{
    for (unsigned i = 0; i < ALARMS_MAX; i++) {
        const struct alarm *alarm = &state->alarms.table[i];

        if (of_cpu ? counts_cpu(state, alarm) : alarm->used && !alarm->of_cpu) {
            uint64_t now = now_of(state, alarm);

            if (alarm->due_ns <= now)
                expire(state, i, now);
        }
    }
    rearm(state);
}

void alarms_look(struct linux_state *state)
{
    if (!state->alarms.next_ns || state->alarms.next_ns == NEVER)
        return;
    if (clock_now() < state->alarms.next_ns)
        return;
    state->alarms.last_ns = clock_now();
    expire_all(state, false);
}

void alarms_look_cpu(struct linux_state *state)
{
    expire_all(state, true);
}

/* ---- setting and asking -------------------------------------------------- */

/* How long until it is due; 0: it does not run. One that is due and was not looked at: 1 ns. */
static uint64_t left_of(struct linux_state *state, const struct alarm *alarm)
{
    uint64_t rest;

    if (!alarm->used || alarm->due_ns == NEVER)
        return 0;
    if (alarm->of_cpu && !counts_cpu(state, alarm))
        return 0;
    rest = rest_of(state, alarm);
    return rest ? rest : 1;
}

/* Starts it `value_ns` from now, or stops it: 0. */
static void set(struct linux_state *state, struct alarm *alarm, uint64_t value_ns,
                uint64_t interval_ns)
{
    if (!value_ns || __builtin_add_overflow(now_of(state, alarm), value_ns, &alarm->due_ns))
        alarm->due_ns = NEVER;
    alarm->interval_ns = interval_ns;
    rearm(state);
}

static struct alarm *itimer(struct linux_state *state, unsigned which)
{
    static const int signals[ITIMERS] = {SIGALRM, SIGVTALRM, SIGPROF};
    struct alarm *alarm = &state->alarms.table[which];

    if (!alarm->used)
        *alarm = (struct alarm){
            .used = true, .of_cpu = which != ITIMER_REAL, .signo = signals[which], .due_ns = NEVER};
    return alarm;
}

static struct timeval timeval_of(uint64_t nanoseconds)
{
    /* Up, so that a timer that runs never looks stopped. */
    uint64_t microseconds = (nanoseconds + NS_PER_US - 1) / NS_PER_US;

    return (struct timeval){.tv_sec = (time_t)(microseconds / 1000000),
                            .tv_usec = (suseconds_t)(microseconds % 1000000)};
}

/* False: no time. */
static bool nanoseconds_of(const struct timeval *time, uint64_t *out)
{
    if (time->tv_sec < 0 || time->tv_usec < 0 || time->tv_usec >= 1000000)
        return false;
    if (__builtin_mul_overflow((uint64_t)time->tv_sec, NS_PER_S, out) ||
        __builtin_add_overflow(*out, (uint64_t)time->tv_usec * NS_PER_US, out))
        *out = NEVER;
    return true;
}

int64_t sys_getitimer(struct linux_state *state, const uint64_t arg[6])
{
    struct itimerval now;

    if ((uint32_t)arg[0] >= ITIMERS)
        return -EINVAL;
    alarms_look(state);
    now.it_value = timeval_of(left_of(state, itimer(state, (uint32_t)arg[0])));
    now.it_interval = timeval_of(itimer(state, (uint32_t)arg[0])->interval_ns);
    return guest_put(state, arg[1], &now, sizeof(now));
}

int64_t sys_setitimer(struct linux_state *state, const uint64_t arg[6])
{
    struct itimerval timer = {0}, old;
    uint64_t value, interval;
    struct alarm *alarm;

    if ((uint32_t)arg[0] >= ITIMERS)
        return -EINVAL;
    if (arg[1] && guest_get(state, arg[1], &timer, sizeof(timer)))
        return -EFAULT;
    if (!nanoseconds_of(&timer.it_value, &value) || !nanoseconds_of(&timer.it_interval, &interval))
        return -EINVAL;
    alarms_look(state);
    alarm = itimer(state, (uint32_t)arg[0]);
    old.it_value = timeval_of(left_of(state, alarm));
    old.it_interval = timeval_of(alarm->interval_ns);
    set(state, alarm, value, interval);
    return arg[2] ? guest_put(state, arg[2], &old, sizeof(old)) : 0;
}

int64_t sys_alarm(struct linux_state *state, const uint64_t arg[6])
{
    struct alarm *alarm = itimer(state, ITIMER_REAL);
    uint64_t left;

    alarms_look(state);
    left = left_of(state, alarm);
    set(state, alarm, (uint32_t)arg[0] * NS_PER_S, 0);
    /* To the next second, but never to none. */
    return (int64_t)((left + NS_PER_S / 2) / NS_PER_S + (left && left < NS_PER_S / 2));
}

/* ---- timers of POSIX ----------------------------------------------------- */

/* Whether it counts processor time, and whose. -EINVAL, -EOPNOTSUPP: no timer runs on that clock. */
static int is_cpu_clock(struct linux_state *state, uint64_t clock, int32_t *thread)
{
    switch ((uint32_t)clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
        return 0;
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
        return -EOPNOTSUPP;
    default:
        return cpu_clock_find(state, clock, false, thread) ? -EINVAL : 1;
    }
}

/* Whether Linux takes it. */
static bool check_event(struct linux_state *state, const struct signal_event *event)
{
    if (event->notify == SIGEV_NONE)
        return true;
    if (event->signo < 1 || event->signo > SIGNALS)
        return false;
    return event->notify == SIGEV_SIGNAL || event->notify == SIGEV_THREAD ||
           (event->notify == SIGEV_THREAD_ID && thread_find(state, event->thread));
}

int64_t sys_timer_create(struct linux_state *state, const uint64_t arg[6])
{
    struct signal_event event = {.signo = SIGALRM, .notify = SIGEV_SIGNAL};
    int32_t cpu_thread = 0, id = 0;
    int of_cpu = is_cpu_clock(state, arg[0], &cpu_thread);

    if (of_cpu < 0)
        return of_cpu;
    if (arg[1] && guest_get(state, arg[1], &event, sizeof(event)))
        return -EFAULT;
    while (id < ALARMS_MAX - ITIMERS && state->alarms.table[ITIMERS + id].used)
        id++;
    if (!arg[1])
        event.value = (uint64_t)id;
    if (!check_event(state, &event))
        return -EINVAL;
    if (id == ALARMS_MAX - ITIMERS)
        return -EAGAIN;
    if (guest_put(state, arg[2], &id, sizeof(id)))
        return -EFAULT;
    state->alarms.table[ITIMERS + id] =
        (struct alarm){.used = true,
                       .of_cpu = of_cpu,
                       .clock = (int)arg[0],
                       .cpu_thread = cpu_thread,
                       .signo = event.signo,
                       .notify = event.notify,
                       .thread = event.notify == SIGEV_THREAD_ID ? event.thread : 0,
                       .value = event.value,
                       .due_ns = NEVER};
    return 0;
}

/* NULL: there is no such timer. */
static struct alarm *find(struct linux_state *state, uint64_t id)
{
    struct alarm *alarm = &state->alarms.table[ITIMERS];

    return (uint32_t)id < ALARMS_MAX - ITIMERS && alarm[(uint32_t)id].used ? &alarm[(uint32_t)id]
                                                                           : NULL;
}

static struct itimerspec told(struct linux_state *state, const struct alarm *alarm)
{
    uint64_t left = left_of(state, alarm), interval = alarm->interval_ns;

    return (struct itimerspec){
        .it_value = {(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)},
        .it_interval = {(time_t)(interval / NS_PER_S), (long)(interval % NS_PER_S)}};
}

/* A moment of the timer's clock becomes a time from now on; what is past is due at once. */
static uint64_t from_now(struct linux_state *state, const struct alarm *alarm, uint64_t moment)
{
    struct timespec time = {0};
    uint64_t now;

    if (alarm->of_cpu) {
        now = now_of(state, alarm);
    } else {
        clock_gettime(alarm->clock, &time);
        now = (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
    }
    return moment > now ? moment - now : 1;
}

int64_t sys_timer_settime(struct linux_state *state, const uint64_t arg[6])
{
    struct alarm *alarm = find(state, arg[0]);
    uint64_t value, interval;
    struct itimerspec old;
    int result;

    if (!arg[2])
        return -EINVAL;
    result = time_get(state, arg[2], &interval);
    if (!result)
        result = time_get(state, arg[2] + sizeof(struct timespec), &value);
    if (result)
        return result;
    if (!alarm)
        return -EINVAL;
    alarms_look(state);
    old = told(state, alarm);
    if (value && arg[1] & TIMER_ABSTIME)
        value = from_now(state, alarm, value);
    alarm->overrun = 0;
    set(state, alarm, value, interval);
    if (arg[3])
        result = guest_put(state, arg[3], &old, sizeof(old));
    return result;
}

int64_t sys_timer_gettime(struct linux_state *state, const uint64_t arg[6])
{
    const struct alarm *alarm = find(state, arg[0]);
    struct itimerspec now;

    if (!alarm)
        return -EINVAL;
    alarms_look(state);
    now = told(state, alarm);
    return guest_put(state, arg[1], &now, sizeof(now));
}

int64_t sys_timer_getoverrun(struct linux_state *state, const uint64_t arg[6])
{
    const struct alarm *alarm = find(state, arg[0]);

    return alarm ? alarm->overrun : -EINVAL;
}

int64_t sys_timer_delete(struct linux_state *state, const uint64_t arg[6])
{
    struct alarm *alarm = find(state, arg[0]);

    if (!alarm)
        return -EINVAL;
    *alarm = (struct alarm){0};
    rearm(state);
    return 0;
}

void alarms_taken(struct linux_state *state, const struct signal_info *info)
{
    struct alarm *alarm = find(state, (uint32_t)info->timer);

    if (alarm)
        alarm->overrun = info->overrun;
}

void alarms_exec(struct linux_state *state)
{
    for (unsigned i = ITIMERS; i < ALARMS_MAX; i++)
        state->alarms.table[i] = (struct alarm){0};
    rearm(state);
}
