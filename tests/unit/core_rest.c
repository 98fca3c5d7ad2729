/* SPDX-License-Identifier: BSD-2-Clause */
/* Three VMs and the host, of which B rests between its runs. */
#include "core_rest.h"

#include <string.h>

struct ferry_link *a_to_b, *c_to_b, *b_to_c, *host_to_b, *b_to_host;

struct endpoint_point point;
/* Its control structure then, but for the page of its peers, as in a VM. */
static char shown[sizeof(struct ferry_control) - sizeof(struct ferry_control_info)];

int rest_setup(void **state)
{
    (void)state;
    trio_setup();
    a_to_b = core_link(vm_a, vm_b, 8);
    c_to_b = core_link(vm_c, vm_b, 8);
    b_to_c = core_link(vm_b, vm_c, 8);
    host_to_b = core_link(NULL, vm_b, 8);
    b_to_host = core_link(vm_b, NULL, 8);
    return 0;
}

static char *shown_by_b(void)
{
    return (char *)b->control + sizeof(struct ferry_control_info);
}

int mark(void)
{
    endpoint_lock(b);
    int result = endpoint_mark(b, &point);
    endpoint_unlock(b);
    if (!result)
        memcpy(shown, shown_by_b(), sizeof shown);
    return result;
}

void end_run(void)
{
    loan_ignore_completions(b);
    endpoint_rest(b);
}

void clear(void)
{
    endpoint_clear(b);
    memcpy(shown_by_b(), shown, sizeof shown);
}

void begin_anew(void)
{
    end_run();
    clear();
    endpoint_go_on(b, &point);
}

void take_and_release(struct endpoint *endpoint)
{
    struct ferry_desc desc = core_take(endpoint);

    if (desc.mode != FERRY_INLINE)
        core_release(endpoint, desc.payload.token);
    loan_collect(endpoint);
}

struct units lend(struct endpoint *from, struct endpoint *to)
{
    struct units units = core_alloc(from, 1, true);

    assert_int_equal(send_units(FERRY_LEND, from, to, units), 0);
    return units;
}

int send_inline(struct endpoint *from, struct endpoint *to, uint64_t tag)
{
    struct ferry_desc desc = core_inline(to->id, tag);

    return core_send(from, &desc);
}

int send_copy(struct endpoint *from, uint16_t to)
{
    struct ferry_desc desc = core_payload(FERRY_COPY, to, CORE_MEMORY_ADDR, 5);

    return core_send(from, &desc);
}
