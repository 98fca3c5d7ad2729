/* SPDX-License-Identifier: BSD-2-Clause */
/* Three VMs without links. */
#include "core_trio.h"

struct ferry_engine *engine;
struct ferry_vm *vm_a, *vm_b, *vm_c;
struct endpoint *a, *b, *c;

void trio_setup(void)
{
    engine = core_engine(512, 4);
    vm_a = core_vm(engine, "a");
    vm_b = core_vm(engine, "b");
    vm_c = core_vm(engine, "c");
    a = vm_a->endpoint;
    b = vm_b->endpoint;
    c = vm_c->endpoint;
}

int trio_teardown(void **state)
{
    (void)state;
    ferry_vm_destroy(vm_a);
    ferry_vm_destroy(vm_b);
    ferry_vm_destroy(vm_c);
    core_end(engine);
    return 0;
}

int send_units(enum ferry_mode mode, struct endpoint *from, struct endpoint *to, struct units units)
{
    struct ferry_desc desc = core_units(mode, from, to->id, units);

    return core_send(from, &desc);
}
