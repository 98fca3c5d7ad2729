/* SPDX-License-Identifier: BSD-2-Clause */
/* Two VMs with a stream between them. */
#include "core_pair.h"

#include <stdlib.h>
#include <string.h>

struct ferry_engine *engine;
struct ferry_vm *vm_a, *vm_b;
struct endpoint *a, *b;
struct ferry_link *link_ab;
char *sent, *got;

int pair_setup(void **state)
{
    (void)state;
    engine = core_engine(512, 6);
    vm_a = core_vm(engine, "a");
    vm_b = core_vm(engine, "b");
    a = vm_a->endpoint;
    b = vm_b->endpoint;
    link_ab = core_stream_link(vm_a, vm_b);
    sent = malloc(8 * EXTENT);
    got = malloc(8 * EXTENT + 1);
    if (!sent || !got)
        return -1;
    for (uint64_t i = 0; i < 8 * EXTENT; i++)
        sent[i] = (char)(i * 7 + i / 4096);
    memset(got, 0, 8 * EXTENT);
    return 0;
}

int pair_teardown(void **state)
{
    (void)state;
    free(sent);
    free(got);
    ferry_vm_destroy(vm_a);
    ferry_vm_destroy(vm_b);
    core_end(engine);
    return 0;
}
