/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls of mprotect on windows, in order, for programs linked with -Wl,--wrap=mprotect. One of
 * them can be made to fail as it does where vm.max_map_count is met: nothing else shows the state
 * between two calls.
 */
#ifndef FERRY_TESTS_PAGE_CALLS_H
#define FERRY_TESTS_PAGE_CALLS_H

#include <stdint.h>

#include "ipc/endpoint.h"

#define PAGE_CALLS_MAX 16

struct page_call {
    const struct endpoint *of;
    int rights; /* PROT_* */
};

extern struct page_call page_calls[PAGE_CALLS_MAX];
extern uint32_t page_call_count;

/* From now on; call `failing` (1: the next) fails with ENOMEM, 0: none. */
void page_calls_record(struct endpoint *const *endpoints, uint32_t count, uint32_t failing);
void page_calls_stop(void);

#endif
