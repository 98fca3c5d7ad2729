/* SPDX-License-Identifier: BSD-2-Clause */
/* A page of clocks beside the host's clocks. */
#include "clock_fixture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#define CLOCKSOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"

int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

/* --- the host ------------------------------------------------------------------- */

_Atomic int64_t set_ns[16];
atomic_bool is_slow;
atomic_uint readings;
const char *clocksource;

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    int result = __real_clock_gettime(id, now);
    int64_t ns = (int64_t)now->tv_sec * SECOND + now->tv_nsec + (id >= 0 ? set_ns[id] : 0);

    readings++;
    for (int i = 0; is_slow && i < 16; i++)
        set_ns[i] += 3000;
    *now = (struct timespec){ns / SECOND, ns % SECOND};
    return result;
}

int __wrap_open64(const char *path, int flags, ...)
{
    if (!strstr(path, CLOCKSOURCE))
        return __real_open64(path, flags, 0);
    int fd = memfd_create("clocksource", 0);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, clocksource, strlen(clocksource), 0), strlen(clocksource));
    return fd;
}

int64_t host_ns(clockid_t id)
{
    struct timespec now;

    __wrap_clock_gettime(id, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

uint64_t read_tsc(void)
{
    _mm_lfence();
    uint64_t tsc = __rdtsc();
    _mm_lfence();
    return tsc;
}

/* --- the page ------------------------------------------------------------------- */

struct ferry_clock_page page;
struct guest_clock clocks;

int clock_setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof set_ns / sizeof *set_ns; i++)
        set_ns[i] = 0;
    is_slow = false;
    clocksource = "tsc\n";
    memset(&page, 0, sizeof page);
    guest_clock_init(&clocks, &page);
    return 0;
}

int clock_teardown(void **state)
{
    (void)state;
    guest_clock_fini(&clocks);
    return 0;
}

/* The pretended clocksource helps nothing where the host's clock is another: to read it takes too
 * long, or it does not run as the TSC does. */
static bool host_uses_tsc(void)
{
    char name[8] = "";
    int fd = __real_open64(CLOCKSOURCE, O_RDONLY);

    if (fd >= 0) {
        assert_true(read(fd, name, sizeof name - 1) >= 0);
        close(fd);
    }
    return strcmp(name, "tsc\n") == 0;
}

void await_page(void)
{
    if (!host_uses_tsc())
        skip();
    for (int64_t until = host_ns(CLOCK_MONOTONIC) + 20ll * SECOND; !page.ticks;) {
        guest_clock_renew(&clocks);
        if (host_ns(CLOCK_MONOTONIC) > until)
            fail_msg("no reading of the host's clock was good enough");
    }
}

void await_ns(int64_t ns)
{
    for (int64_t until = host_ns(CLOCK_MONOTONIC) + ns; host_ns(CLOCK_MONOTONIC) < until;)
        ;
}

uint64_t read_call(clockid_t id)
{
    struct timespec now = guest_clock_read(&clocks, id);

    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}
