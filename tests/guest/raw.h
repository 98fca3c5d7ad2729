/* SPDX-License-Identifier: BSD-2-Clause */
/* The control structure without the library, whose own indexes a program of this must not use. */
#ifndef FERRY_TESTS_RAW_H
#define FERRY_TESTS_RAW_H

#include "call.h"
#include "guest.h"

static struct ferry_control *control;
static uint32_t head; /* of the out ring */

static inline void raw_begin(void)
{
    control = (struct ferry_control *)(uintptr_t)ferry_control();
    if (!control)
        fail("not in a Ferry VM");
    head = control->guest.out_head;
}

static inline void leave(void)
{
    ferry_guest_call(FERRY_CALL_WAIT, FERRY_EVENT_OUT, 0, 0);
}

static inline uint32_t out_tail(void)
{
    return __atomic_load_n(&control->vmm.out_tail, __ATOMIC_ACQUIRE);
}

static inline void publish(uint32_t *index, uint32_t value)
{
    __atomic_store_n(index, value, __ATOMIC_RELEASE);
}

static inline int send_raw(const struct ferry_desc *desc)
{
    uint32_t slot = head % FERRY_RING_ENTRIES;

    control->out[slot] = *desc;
    publish(&control->guest.out_head, ++head);
    ferry_guest_call(FERRY_CALL_WAIT, FERRY_EVENT_OUT, PATIENCE_NS, 0);
    if (out_tail() != head)
        fail("a descriptor was not taken");
    return control->out_status[slot];
}

static inline void expect_status(const char *what, const struct ferry_desc *desc, int expected)
{
    int status = send_raw(desc);

    if (status != expected)
        fail("%s: %s (%d), not %d", what, strerror(-status), status, expected);
}

#endif
