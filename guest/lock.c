/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's lock when several threads want it. */
#include "lock.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* It is held for some hundred nanoseconds, or for an exit: a thread tries for as long as the first
 * takes, and then sleeps. */
#define TRIES 100

uint32_t ferry_guest_lock_word;

void ferry_guest_lock_slowly(void)
{
    for (unsigned i = 0; i < TRIES; i++) {
        uint32_t free = 0;

        if (__atomic_load_n(&ferry_guest_lock_word, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&ferry_guest_lock_word, &free, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return;
        __builtin_ia32_pause();
    }
    while (__atomic_exchange_n(&ferry_guest_lock_word, 2, __ATOMIC_ACQUIRE) != 0)
        syscall(SYS_futex, &ferry_guest_lock_word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

void ferry_guest_unlock_slowly(void)
{
    if (__atomic_exchange_n(&ferry_guest_lock_word, 0, __ATOMIC_RELEASE) == 2)
        syscall(SYS_futex, &ferry_guest_lock_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
