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
/* A page is old when this part of its time has passed. */
#define OLD_PART 20
/* How often to look whether the host's kernel uses the TSC. */
#define LOOK_NS 1000000000ull
/* CLOCK_BOOTTIME gained on CLOCK_MONOTONIC: the host slept. */
#define SLEPT_NS 1000000

/* What is read at one moment. */
struct reading {
    struct clock_sample samples[FERRY_LINES];
    int64_t realtime_ns, boottime_ns, tai_ns; /* beyond CLOCK_MONOTONIC, or a little less */
    int64_t realtime_most_ns, boottime_most_ns;
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

/* The clocks between two readings of CLOCK_MONOTONIC: how far they are beyond it lies between what
 * follows from the second and from the first. */
static bool read_beyond(struct reading *out)
{
    for (int i = 0; i < READ_MOST; i++) {
        int64_t first = host_ns(CLOCK_MONOTONIC);
        int64_t tai = host_ns(CLOCK_TAI);
        int64_t boottime = host_ns(CLOCK_BOOTTIME);
        int64_t realtime = host_ns(CLOCK_REALTIME);
        int64_t second = host_ns(CLOCK_MONOTONIC);

        out->realtime_ns = realtime - second;
        out->realtime_most_ns = realtime - first;
        out->boottime_ns = boottime - second;
        out->boottime_most_ns = boottime - first;
        /* It is ahead of CLOCK_REALTIME by whole seconds. */
        out->tai_ns = (tai - realtime + SECOND / 2) / SECOND * SECOND;
        if (second - first < 2 * EXACT_NS)
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

/* --- writing the page ----------------------------------------------------------- */

/* Each reading says "at least" and "at most". The largest "at least" is nearest to the truth, and
 * with it the clock never runs backwards, except where the host's was set. */
static int64_t nearer(int64_t known, int64_t least, int64_t most)
{
    return known < least || known > most ? least : known;
}

static void set_beyond(struct guest_clock *clock, const struct reading *reading)
{
    struct ferry_clock_page *page = &clock->page;

    if (reading->boottime_ns > page->boottime_ns + SLEPT_NS) {
        for (int i = 0; i < FERRY_LINES; i++)
            clock_line_reset(&clock->lines[i]);
    }
    page->realtime_ns = nearer(page->realtime_ns, reading->realtime_ns, reading->realtime_most_ns);
    page->boottime_ns = nearer(page->boottime_ns, reading->boottime_ns, reading->boottime_most_ns);
    page->tai_ns = page->realtime_ns + reading->tai_ns;
    page->realtime_coarse_ns = reading->realtime_coarse_ns;
}

/* What guests may have seen of the lines up to now. A TSC that reads less than where they began says
 * that another processor's is a little ahead. */
static void note_shown(struct guest_clock *clock, uint64_t tsc)
{
    const struct ferry_clock_page *page = &clock->page;
    uint64_t ticks = tsc - page->tsc;

    if (!page->ticks)
        return;
    if ((int64_t)ticks < 0)
        ticks = 0;
    else if (ticks > page->ticks)
        ticks = page->ticks;
    for (int i = 0; i < FERRY_LINES; i++)
        clock->lines[i].shown_ns = ferry_line_at(&page->lines[i], ticks);
}

/* By words, as guests read it. */
static void publish(const struct ferry_clock_page *page, struct ferry_clock_page *shared)
{
    const uint64_t *from = (const uint64_t *)page;
    uint64_t *to = (uint64_t *)shared;

    for (size_t i = offsetof(struct ferry_clock_page, tsc) / 8; i < sizeof *page / 8; i++)
        __atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
}

/* Draws the lines from this moment on. Guests that read the page meanwhile see by its sequence that
 * they must read again; so whoever read the old lines did so before this moment. */
static void draw(struct guest_clock *clock, const struct reading *reading, uint64_t ticks)
{
    struct ferry_clock_page *page = &clock->page, *shared = clock->shared;

    __atomic_exchange_n(&shared->sequence, ++page->sequence, __ATOMIC_ACQ_REL);
    uint64_t tsc = read_tsc();
    note_shown(clock, tsc);
    page->tsc = tsc;
    page->ticks = ticks;
    for (int i = 0; ticks && i < FERRY_LINES; i++)
        clock_line_draw(&clock->lines[i], reading->samples[i], tsc, &page->lines[i]);
    /* Never ahead of the other, which may be 50 ns behind the host's. */
    page->monotonic_coarse_ns =
        min_u64(reading->monotonic_coarse_ns, page->lines[FERRY_LINE_MONOTONIC].ns);
    publish(page, shared);
    __atomic_store_n(&shared->sequence, ++page->sequence, __ATOMIC_RELEASE);
}

static void renew(struct guest_clock *clock)
{
    struct reading reading = {0};
    uint64_t ticks = UINT64_MAX;

    lock_assert_held(&clock->lock);
    look_at_tsc(clock);
    if (clock->tsc_is_trusted) {
        if (!read_all(&reading))
            return; /* soon the page is too old, and nobody uses it */
        set_beyond(clock, &reading);
        for (int i = 0; i < FERRY_LINES; i++)
            ticks = min_u64(ticks, clock_line_measure(&clock->lines[i], reading.samples[i]));
    } else {
        ticks = 0;
    }
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

/* By a reading of the TSC that may come early or late. */
static bool is_old(const struct ferry_clock_page *page)
{
    return __rdtsc() - FERRY_CLOCK_WORD(page->tsc) >= FERRY_CLOCK_WORD(page->ticks) / OLD_PART;
}

void guest_clock_refresh(struct guest_clock *clock)
{
    if (!clock->tsc_is_trusted || !is_old(clock->shared) || !lock_try(&clock->lock))
        return;
    renew(clock);
    lock_drop(&clock->lock);
}

/* What the host's clock shows, and no less than guests have seen of it. */
static uint64_t host_shown_ns(const struct guest_clock *clock, clockid_t id)
{
    uint64_t ns = (uint64_t)host_ns(id);

    if (id == CLOCK_MONOTONIC)
        return max_u64(ns, clock->lines[FERRY_LINE_MONOTONIC].shown_ns);
    return id == CLOCK_MONOTONIC_RAW ? max_u64(ns, clock->lines[FERRY_LINE_RAW].shown_ns) : ns;
}

struct timespec guest_clock_read(struct guest_clock *clock, clockid_t id)
{
    uint64_t ns;

    lock_take(&clock->lock);
    if (is_old(clock->shared))
        renew(clock);
    if (!ferry_clock_at(&clock->page, read_tsc(), (uint32_t)id, &ns))
        ns = host_shown_ns(clock, id);
    lock_drop(&clock->lock);
    return (struct timespec){.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};
}
