/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A page of clocks beside the host's clocks, which tests can set and stop. For programs linked with
 * -Wl,--wrap of clock_gettime and open64.
 */
#ifndef FERRY_TESTS_CLOCK_FIXTURE_H
#define FERRY_TESTS_CLOCK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <time.h>

#include "kvm/guest_clock.h"

#define SECOND 1000000000
#define MS     1000000

/* --- the host --- */

extern _Atomic int64_t set_ns[16]; /* by how much each clock was set */
extern atomic_bool is_slow;        /* to read a clock takes longer than is exact */
extern atomic_uint readings;
extern const char *clocksource;

int __real_clock_gettime(clockid_t id, struct timespec *now);
int64_t host_ns(clockid_t id);
uint64_t read_tsc(void);

/* --- the page --- */

extern struct ferry_clock_page page;
extern struct guest_clock clocks;

int clock_setup(void **state);
int clock_teardown(void **state);

#define TEST(name) cmocka_unit_test_setup_teardown(name, clock_setup, clock_teardown)

/* Renews the page until it tells the time, which takes a millisecond or more. */
void await_page(void);
/* Computes until so much time has passed. */
void await_ns(int64_t ns);
/* What the system call tells. */
uint64_t read_call(clockid_t id);

#endif
