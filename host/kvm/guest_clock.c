/* SPDX-License-Identifier: BSD-2-Clause */
/* The clocks of an engine's VMs: reading the host's, and writing the page. */
#include "kvm/guest_clock.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#include "lib/bits.h"

#define SECOND 1000000000

/* Readings that are further apart tell too little. */
#define EXACT_NS 1000
/* A thread may be interrupted between two readings: so often it reads again, */
#define READ_MOST 8
/* but no more once so many were close: the closest count. */
#define READ_ENOUGH 3
/* After so many readings in a row that were not close it waits until LOOK_NS have passed. */
#define FAILURES_MOST 3
/* A page is old when this part of its time has passed. */
#define OLD_PART 20
/* How often to look whether the host's kernel uses the TSC. */
#define LOOK_NS 1000000000ull
/* One processor's TSC may be behind another's by this part of a page's time, 20 us. */
#define BEHIND_PART 1000
/* CLOCK_BOOTTIME gained on CLOCK_MONOTONIC: the host slept. */
#define SLEPT_NS 1000000

/* What is read at one moment. */
struct reading {
    struct clock_sample samples[FERRY_LINES];
    int64_t first_ns, second_ns; /* CLOCK_MONOTONIC, before and after the next three */
    int64_t realtime_ns, boottime_ns, tai_ns;
    uint64_t monotonic_coarse_ns, realtime_coarse_ns;
};

static int64_t host_ns(clockid_t id)
{
    struct timespec now = {0};

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* After all loads that stand before it, and before those that stand after it. */
static uint64_t read_tsc(void)
{
    _mm_lfence();
    uint64_t tsc = __rdtsc();
    _mm_lfence();
    return tsc;
}

/* --- whether the TSC can be trusted --------------------------------------------- */

/* The kernel watches the TSC and takes another clock where it is not the same on all processors, or
 * not steady. */
static bool kernel_uses_tsc(void)
{
    int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                  O_RDONLY | O_CLOEXEC);
    char name[8];

    if (fd < 0)
        return false;
    ssize_t got = read(fd, name, sizeof name);
    close(fd);
    return got == 4 && memcmp(name, "tsc\n", 4) == 0;
}

static void look_at_tsc(struct guest_clock *clock)
{
    uint64_t now = (uint64_t)host_ns(CLOCK_MONOTONIC);

    if (now < clock->look_ns)
        return;
    clock->look_ns = now + LOOK_NS;
    clock->tsc_is_trusted = kernel_uses_tsc();
}

/* --- reading the host's clocks -------------------------------------------------- */

/* The TSC between two readings of the clock, which is then halfway between them. False: they were
 * never close enough. */
static bool read_beside_tsc(clockid_t id, struct clock_sample *out)
{
    int64_t before = host_ns(id), closest = EXACT_NS;

    for (int i = 0, good = 0; i < READ_MOST && good < READ_ENOUGH; i++) {
        uint64_t tsc = read_tsc();
        int64_t after = host_ns(id), apart = after - before;

        if (apart < closest) {
            closest = apart;
            *out = (struct clock_sample){.tsc = tsc, .ns = (uint64_t)(before + apart / 2)};
        }
        good += apart < EXACT_NS;
        before = after;
    }
    return closest < EXACT_NS;
}

/* The clocks between two readings of CLOCK_MONOTONIC. */
static bool read_beyond(struct reading *out)
{
    for (int i = 0; i < READ_MOST; i++) {
        out->first_ns = host_ns(CLOCK_MONOTONIC);
        out->tai_ns = host_ns(CLOCK_TAI);
        out->boottime_ns = host_ns(CLOCK_BOOTTIME);
        out->realtime_ns = host_ns(CLOCK_REALTIME);
        out->second_ns = host_ns(CLOCK_MONOTONIC);
        if (out->second_ns - out->first_ns < 2 * EXACT_NS)
            return true;
    }
    return false;
}

static bool read_all(struct reading *out)
{
    out->monotonic_coarse_ns = (uint64_t)host_ns(CLOCK_MONOTONIC_COARSE);
    out->realtime_coarse_ns = (uint64_t)host_ns(CLOCK_REALTIME_COARSE);
    return read_beyond(out) &&
           read_beside_tsc(CLOCK_MONOTONIC_RAW, &out->samples[FERRY_LINE_RAW]) &&
           read_beside_tsc(CLOCK_MONOTONIC, &out->samples[FERRY_LINE_MONOTONIC]);
}

/* Where no reading is ever close, to try at each entry of a guest costs more than the page saves. */
static bool try_to_read(struct guest_clock *clock, struct reading *out)
{
    if (read_all(out)) {
        clock->failures = 0;
        return true;
    }
    if (++clock->failures == FAILURES_MOST) {
        clock->failures = 0;
        clock->tsc_is_trusted = false;
        clock->look_ns = (uint64_t)host_ns(CLOCK_MONOTONIC) + LOOK_NS;
    }
    return false;
}

/* --- writing the page ----------------------------------------------------------- */

/* A clock that was read between two readings of CLOCK_MONOTONIC is beyond it by "at least" what
 * follows from the second, and "at most" what follows from the first. The largest "at least" is
 * nearest to the truth, and with it the clock never runs backwards, except where the host's was set. */
static void set_one_beyond(int64_t *known, int64_t first_ns, int64_t ns, int64_t second_ns)
{
    if (*known < ns - second_ns || *known > ns - first_ns)
        *known = ns - second_ns;
}

/* The host slept: the TSC may have run on or begun anew, and CLOCK_MONOTONIC did neither. */
static void notice_sleep(struct guest_clock *clock, int64_t beyond_ns)
{
    if (beyond_ns <= clock->page.boottime_ns + SLEPT_NS)
        return;
    for (int i = 0; i < FERRY_LINES; i++)
        clock_line_reset(&clock->lines[i]);
}

static void set_beyond(struct guest_clock *clock, const struct reading *reading)
{
    struct ferry_clock_page *page = &clock->page;
    int64_t first_ns = reading->first_ns, second_ns = reading->second_ns;

    notice_sleep(clock, reading->boottime_ns - second_ns);
    set_one_beyond(&page->realtime_ns, first_ns, reading->realtime_ns, second_ns);
    set_one_beyond(&page->boottime_ns, first_ns, reading->boottime_ns, second_ns);
    set_one_beyond(&page->tai_ns, first_ns, reading->tai_ns, second_ns);
    page->realtime_coarse_ns = reading->realtime_coarse_ns;
}

/* What guests may have seen of the lines up to now: all of them, if their time is over or the TSC
 * began anew. */
static void note_shown(struct guest_clock *clock, uint64_t tsc)
{
    const struct ferry_clock_page *page = &clock->page;
    uint64_t ticks = tsc - page->tsc;

    if (!page->ticks)
        return;
    if (ticks > page->ticks)
        ticks = page->tsc - tsc < page->ticks / BEHIND_PART ? 0 : page->ticks;
    for (int i = 0; i < FERRY_LINES; i++)
        clock->lines[i].shown_ns =
            max_u64(clock->lines[i].shown_ns, ferry_line_at(&page->lines[i], ticks));
}

/* By words, as guests read it. */
static void publish(const struct ferry_clock_page *page, struct ferry_clock_page *shared)
{
    const uint64_t *from = (const uint64_t *)page;
    uint64_t *to = (uint64_t *)shared;

    for (size_t i = offsetof(struct ferry_clock_page, tsc) / 8; i < sizeof *page / 8; i++)
        __atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
}

/* Draws the lines from this moment on; `ticks` 0: none, so that the page is closed. Guests that read
 * the page meanwhile see by its sequence that they must read again; so whoever read the old lines did
 * so before this moment. */
static void draw(struct guest_clock *clock, const struct reading *reading, uint64_t ticks)
{
    struct ferry_clock_page *page = &clock->page, *shared = clock->shared;
    uint64_t left = ticks;

    __atomic_exchange_n(&shared->sequence, ++page->sequence, __ATOMIC_ACQ_REL);
    uint64_t tsc = read_tsc();
    note_shown(clock, tsc);
    for (int i = 0; ticks && i < FERRY_LINES; i++)
        left = min_u64(left, clock_line_draw(&clock->lines[i], reading->samples[i], ticks, tsc,
                                             &page->lines[i]));
    __atomic_store_n(&page->tsc, tsc, __ATOMIC_RELAXED);
    __atomic_store_n(&page->ticks, left, __ATOMIC_RELAXED);
    /* Never ahead of the other, which may be 50 ns behind the host's. */
    page->monotonic_coarse_ns =
        min_u64(reading->monotonic_coarse_ns, page->lines[FERRY_LINE_MONOTONIC].ns);
    publish(page, shared);
    __atomic_store_n(&shared->sequence, ++page->sequence, __ATOMIC_RELEASE);
}

/* Who waits for nothing is not disturbed: a page that is closed stays as it is. */
static void close_page(struct guest_clock *clock)
{
    lock_assert_held(&clock->lock);
    if (clock->page.ticks)
        draw(clock, &(struct reading){0}, 0);
}

static void renew(struct guest_clock *clock)
{
    struct reading reading = {0};
    uint64_t ticks = UINT64_MAX;

    lock_assert_held(&clock->lock);
    look_at_tsc(clock);
    if (!clock->tsc_is_trusted || !try_to_read(clock, &reading)) {
        close_page(clock);
        return;
    }
    set_beyond(clock, &reading);
    for (int i = 0; i < FERRY_LINES; i++)
        ticks = min_u64(ticks, clock_line_measure(&clock->lines[i], reading.samples[i]));
    if (ticks || clock->page.ticks)
        draw(clock, &reading, ticks);
}

void guest_clock_init(struct guest_clock *clock, struct ferry_clock_page *page)
{
    struct timespec fine = {0}, coarse = {0};

    clock_getres(CLOCK_MONOTONIC, &fine);
    clock_getres(CLOCK_MONOTONIC_COARSE, &coarse);
    *clock = (struct guest_clock){.shared = page};
    clock->page.fine_step_ns = (uint32_t)fine.tv_nsec;
    clock->page.coarse_step_ns = (uint32_t)coarse.tv_nsec;
    *page = clock->page;
    lock_init(&clock->lock, LOCK_LEAF);
    guest_clock_renew(clock); /* so that the speed is known when the first program asks */
}

void guest_clock_fini(struct guest_clock *clock)
{
    if (clock->shared)
        lock_fini(&clock->lock);
    clock->shared = NULL;
}

void guest_clock_renew(struct guest_clock *clock)
{
    lock_take(&clock->lock);
    renew(clock);
    lock_drop(&clock->lock);
}

void guest_clock_close(struct guest_clock *clock)
{
    lock_take(&clock->lock);
    close_page(clock);
    lock_drop(&clock->lock);
}

/* By a reading of the TSC that may come early or late. A page that is closed is old. */
static bool is_old(const struct guest_clock *clock)
{
    const struct ferry_clock_page *page = &clock->page;

    return __rdtsc() - FERRY_CLOCK_WORD(page->tsc) >= FERRY_CLOCK_WORD(page->ticks) / OLD_PART;
}

void guest_clock_refresh(struct guest_clock *clock)
{
    if (!clock->tsc_is_trusted || !is_old(clock) || !lock_try(&clock->lock))
        return;
    renew(clock);
    lock_drop(&clock->lock);
}

/* No less than anybody has seen of it; and nobody will see less. */
static uint64_t show(struct clock_line *line, int64_t ns)
{
    line->shown_ns = max_u64(line->shown_ns, (uint64_t)ns);
    return line->shown_ns;
}

/* As the page tells it. */
static uint64_t show_beyond(struct guest_clock *clock, clockid_t id, int64_t *known)
{
    int64_t first_ns = host_ns(CLOCK_MONOTONIC), ns = host_ns(id);
    int64_t second_ns = host_ns(CLOCK_MONOTONIC);

    if (id == CLOCK_BOOTTIME)
        notice_sleep(clock, ns - second_ns);
    set_one_beyond(known, first_ns, ns, second_ns);
    return show(&clock->lines[FERRY_LINE_MONOTONIC], second_ns) + (uint64_t)*known;
}

/* What the host's clock shows. The page is closed: see guest_clock.h. */
static uint64_t show_host(struct guest_clock *clock, clockid_t id)
{
    struct clock_line *lines = clock->lines;
    uint64_t ns;

    switch (id) {
    case CLOCK_MONOTONIC:
        return show(&lines[FERRY_LINE_MONOTONIC], host_ns(id));
    case CLOCK_MONOTONIC_RAW:
        return show(&lines[FERRY_LINE_RAW], host_ns(id));
    case CLOCK_REALTIME:
        return show_beyond(clock, id, &clock->page.realtime_ns);
    case CLOCK_BOOTTIME:
        return show_beyond(clock, id, &clock->page.boottime_ns);
    case CLOCK_TAI:
        return show_beyond(clock, id, &clock->page.tai_ns);
    default:
        ns = (uint64_t)host_ns(id);
        if (id == CLOCK_MONOTONIC_COARSE) /* the page tells no less by either clock */
            show(&lines[FERRY_LINE_MONOTONIC], (int64_t)ns);
        return ns;
    }
}

struct timespec guest_clock_read(struct guest_clock *clock, clockid_t id)
{
    uint64_t ns;

    lock_take(&clock->lock);
    if (is_old(clock))
        renew(clock);
    if (!ferry_clock_at(&clock->page, read_tsc(), (uint32_t)id, &ns)) {
        close_page(clock);
        ns = show_host(clock, id);
    }
    lock_drop(&clock->lock);
    return (struct timespec){.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};
}
