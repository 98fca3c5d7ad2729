/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns timerfd: timers that can be waited for. Nothing runs when one expires: whoever waits for it
 * waits until that moment, and how often it expired is counted when somebody looks. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

#include "lib/clock.h"
#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/objects.h"
#include "linux/state.h"

#define NS_PER_S 1000000000ull

struct timer {
    clockid_t clock;
    uint64_t next_ns; /* of CLOCK_MONOTONIC; 0: it does not run */
    uint64_t interval_ns;
    uint32_t edges; /* that were counted so far */
};

/* How often it has expired and nobody read it. */
static uint64_t expired(const struct timer *timer, uint64_t now)
{
    if (!timer->next_ns || now < timer->next_ns)
        return 0;
    return timer->interval_ns ? 1 + (now - timer->next_ns) / timer->interval_ns : 1;
}

static int64_t timer_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    struct timer *timer = file->object;
    uint64_t count = expired(timer, clock_now());

    (void)state;
    if (bytes < sizeof(count))
        return -EINVAL;
    if (!count)
        return -EAGAIN;
    timer->edges += (uint32_t)count;
    timer->next_ns = timer->interval_ns ? timer->next_ns + count * timer->interval_ns : 0;
    memcpy(to, &count, sizeof(count));
    return sizeof(count);
}

static int timer_poll(struct linux_state *state, struct open_file *file, int want,
                      struct readiness *readiness)
{
    const struct timer *timer = file->object;
    uint64_t count = expired(timer, clock_now());

    (void)state;
    readiness->in_edges = timer->edges + (uint32_t)count;
    if (timer->next_ns) /* edges come also while it can be read */
        readiness->again_ns = timer->next_ns + count * timer->interval_ns;
    if (count && !timer->interval_ns)
        readiness->again_ns = UINT64_MAX;
    return count ? want & POLLIN : 0;
}

static void timer_release(struct linux_state *state, const struct open_file *file)
{
    (void)state;
    free(file->object);
}

const struct file_type timer_type = {
    .name = "anon_inode:[timerfd]",
    .mode = 0600,
    .stream = true,
    .get = timer_get,
    .poll = timer_poll,
    .release = timer_release,
};

int64_t sys_timerfd_create(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file like = {.kind = FILE_TIMER, .fd = -1};
    uint32_t flags = (uint32_t)arg[1];
    clockid_t clock = (clockid_t)arg[0];
    struct timer *timer;

    if (flags & ~(uint32_t)(TFD_CLOEXEC | TFD_NONBLOCK))
        return -EINVAL;
    if (clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM)
        return -EPERM;
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME)
        return -EINVAL;
    timer = calloc(1, sizeof(*timer));
    if (!timer)
        return -ENOMEM;
    timer->clock = clock;
    like.object = timer;
    like.status = O_RDWR | (int)(flags & O_NONBLOCK);
    return install_object(state, &like, flags & TFD_CLOEXEC);
}

static int in_nanoseconds(const struct timespec *time, uint64_t *out)
{
    if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec >= (long)NS_PER_S)
        return -EINVAL;
    if (__builtin_mul_overflow((uint64_t)time->tv_sec, NS_PER_S, out) ||
        __builtin_add_overflow(*out, (uint64_t)time->tv_nsec, out) || *out > INT64_MAX)
        *out = INT64_MAX; /* that is beyond any wait */
    return 0;
}

static struct timespec in_seconds(uint64_t nanoseconds)
{
    return (struct timespec){.tv_sec = (time_t)(nanoseconds / NS_PER_S),
                             .tv_nsec = (long)(nanoseconds % NS_PER_S)};
}

static struct itimerspec left_of(const struct timer *timer)
{
    uint64_t now = clock_now(), next = timer->next_ns;

    if (timer->interval_ns)
        next += expired(timer, now) * timer->interval_ns;
    return (struct itimerspec){.it_interval = in_seconds(timer->interval_ns),
                               .it_value = in_seconds(next > now ? next - now : 0)};
}

/* The moment of CLOCK_MONOTONIC that is this one of the timer's clock. */
static uint64_t on_our_clock(const struct timer *timer, uint64_t moment)
{
    struct timespec time;
    uint64_t theirs, now = clock_now();

    clock_gettime(timer->clock, &time);
    theirs = (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
    return moment > theirs ? now + (moment - theirs) : now;
}

static struct timer *timer_of(struct linux_state *state, uint64_t fd, int *result)
{
    const struct open_file *file = descriptor_file(state, fd);

    *result = !file || file->status & O_PATH ? -EBADF : file->kind == FILE_TIMER ? 0 : -EINVAL;
    return *result ? NULL : file->object;
}

int64_t sys_timerfd_settime(struct linux_state *state, const uint64_t arg[6])
{
    struct itimerspec spec, old;
    uint64_t value, interval;
    struct timer *timer;
    int result;

    if (guest_get(state, arg[2], &spec, sizeof(spec)))
        return -EFAULT;
    if ((uint32_t)arg[1] & ~(uint32_t)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) ||
        in_nanoseconds(&spec.it_value, &value) || in_nanoseconds(&spec.it_interval, &interval))
        return -EINVAL;
    timer = timer_of(state, arg[0], &result);
    if (!timer)
        return result;
    old = left_of(timer);
    timer->edges += (uint32_t)expired(timer, clock_now());
    timer->interval_ns = interval;
    timer->next_ns = 0;
    if (value)
        timer->next_ns =
            arg[1] & TFD_TIMER_ABSTIME ? on_our_clock(timer, value) : clock_now() + value;
    vm_wake(state->vm);
    return arg[3] ? guest_put(state, arg[3], &old, sizeof(old)) : 0;
}

int64_t sys_timerfd_gettime(struct linux_state *state, const uint64_t arg[6])
{
    const struct timer *timer;
    struct itimerspec left;
    int result;

    timer = timer_of(state, arg[0], &result);
    if (!timer)
        return result;
    left = left_of(timer);
    return guest_put(state, arg[1], &left, sizeof(left));
}
