/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lock of the library: each public call that uses the rings or the streams holds it, and gives
 * it up while it waits (ferry_guest_wait). A program with one thread does not pay for it: the C
 * library knows whether there is another.
 */
#ifndef FERRY_GUEST_LOCK_H
#define FERRY_GUEST_LOCK_H

#include <stdbool.h>
#include <stdint.h>

/* 0: free, 1: held, 2: held and waited for. */
extern uint32_t ferry_guest_lock_word __attribute__((visibility("hidden")));

void ferry_guest_lock_slowly(void);
void ferry_guest_unlock_slowly(void);

/* Of glibc, and of any C library. A static program that never begins a thread has not the second; a C
 * library other than glibc has not the first, and then every call takes the lock. */
extern char __libc_single_threaded __attribute__((weak)); /* NOLINT(bugprone-reserved-identifier) */
extern char ferry_guest_begins_threads __asm__("pthread_create") __attribute__((weak));

static inline bool ferry_guest_is_alone(void)
{
    return !&ferry_guest_begins_threads || (&__libc_single_threaded && __libc_single_threaded);
}

static inline void ferry_guest_lock(void)
{
    uint32_t free = 0;

    if (__builtin_expect(ferry_guest_is_alone(), 1))
        return;
    if (!__atomic_compare_exchange_n(&ferry_guest_lock_word, &free, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        ferry_guest_lock_slowly();
}

/* A thread that was alone when it began did not take it, and is still alone. */
static inline void ferry_guest_unlock(void)
{
    if (__atomic_load_n(&ferry_guest_lock_word, __ATOMIC_RELAXED) != 0)
        ferry_guest_unlock_slowly();
}

#endif
