/* SPDX-License-Identifier: BSD-2-Clause */
/* The border of the VM: finding the control structure, and making exits. */
#include <sys/auxv.h>

#include <ferry/abi/layout.h>
#include <ferry/guest.h>

#include "call.h"

int64_t ferry_guest_call(enum ferry_call number, uint64_t first, uint64_t second, uint64_t third)
{
    int64_t result = number;

    __asm__ volatile("outb %%al, %[port]"
                     : "+a"(result)
                     : [port] "N"(FERRY_PORT_CALL), "D"(first), "S"(second), "d"(third)
                     : "memory");
    return result;
}

void ferry_guest_doorbell(void)
{
    __asm__ volatile("outb %%al, %[port]" : : [port] "N"(FERRY_PORT_DOORBELL), "a"(0) : "memory");
}

uint64_t ferry_ready(void)
{
    return ferry_control() != NULL ? (uint64_t)ferry_guest_call(FERRY_CALL_READY, 0, 0, 0) : 0;
}

const struct ferry_control *ferry_control(void)
{
    static const struct ferry_control *found;
    static bool looked; /* threads that look at the same time find the same */

    if (!__atomic_load_n(&looked, __ATOMIC_ACQUIRE)) {
        const struct ferry_control *control = (const void *)getauxval(FERRY_AT_CONTROL);

        if (control != NULL && control->info.magic == FERRY_CONTROL_MAGIC &&
            control->info.version == FERRY_ABI_VERSION &&
            control->info.size_bytes == sizeof(*control))
            found = control;
        __atomic_store_n(&looked, true, __ATOMIC_RELEASE);
    }
    return found;
}
