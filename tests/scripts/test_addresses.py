# SPDX-License-Identifier: BSD-2-Clause
"""The compiler refuses an address of one kind where the library wants another kind."""

import os
import re
import shlex
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "../..")
sys.path.append(os.path.join(HERE, ".."))
import tap  # noqa: E402

COMPILE = [*shlex.split(os.environ.get("FERRY_CC", "cc")), "-fsyntax-only", "-std=gnu17", "-w",
           "-D_GNU_SOURCE", "-I", f"{TOP}/include", "-I", f"{TOP}/host", "-x", "c", "-"]  # fmt: skip

BEFORE = """
#include "ipc/decode.h"
#include "ipc/exchange.h"
#include "ipc/loan.h"
#include "ipc/units.h"
#include "kvm/guest_tables.h"
#include "kvm/vcpu.h"
#include "linux/vm_linux.h"
#include "program/program.h"
void lines(struct endpoint *endpoint, struct pool *pool, struct transfer *transfer,
           struct ferry_payload *payload, struct units *units, struct kvm_vm *kvm,
           struct guest_tables *tables, struct vcpu *vcpu, struct space *space,
           struct ferry_vm *vm, void *host, struct program *program,
           struct guest_addr *addr)
{
"""

# What is right, and a line beside it that mixes two kinds up.
LINES = [
    ("window_set(&endpoint->window, pool_offset(pool, 0), 1, WINDOW_CLOSED, WINDOW_READ);",
     "window_set(&endpoint->window, endpoint->window_addr, 1, WINDOW_CLOSED, WINDOW_READ);"),
    ("pool_covering(pool, endpoint_offset(endpoint, guest_addr(payload->addr)), 1, units);",
     "pool_covering(pool, payload->addr, 1, units);"),
    ("pool_covering(pool, pool_place(pool, pool->base), 1, units);",
     "pool_covering(pool, pool->base, 1, units);"),
    ("units_at(endpoint, endpoint_offset(endpoint, guest_addr(payload->addr)), 1, units);",
     "units_at(endpoint, payload->addr, 1, units);"),
    ("loan_claim(endpoint, transfer->offset, transfer->bytes);",
     "loan_claim(endpoint, payload->addr, transfer->bytes);"),
    ("decode_units(endpoint, endpoint_offset(endpoint, guest_addr(payload->addr)), 1, transfer);",
     "decode_units(endpoint, payload->addr, 1, transfer);"),
    ("transfer->source.at = pool_at(pool, transfer->offset);",
     "transfer->source.at = pool->base + transfer->offset;"),
    ("endpoint->memory(endpoint->vm, guest_addr(payload->addr), 1, false);",
     "endpoint->memory(endpoint->vm, transfer->offset, 1, false);"),
    ("payload->addr = endpoint_addr(endpoint, transfer->offset).value;",
     "payload->addr = transfer->offset;"),
    ("kvm_vm_add_slot(kvm, endpoint->window_addr, pool->bytes, endpoint->window.base);",
     "kvm_vm_add_slot(kvm, pool_offset(pool, 0), pool->bytes, endpoint->window.base);"),
    ("guest_tables_map(tables, endpoint->window_addr, pool->bytes, 0);",
     "guest_tables_map(tables, endpoint->window.base, pool->bytes, 0);"),
    ("boot_vector(guest_addr(vcpu_regs(vcpu)->rip));",
     "boot_vector(transfer->offset);"),
    ("endpoint_offset(endpoint, vcpu_fault_address(vcpu));",
     "pool_at(pool, vcpu_fault_address(vcpu));"),
    ("space_map(space, space_find(space, guest_addr(payload->addr), 1), 1, SPACE_READ);",
     "space_map(space, transfer->offset, 1, SPACE_READ);"),
    ("transfer->source = space_reach(space, guest_addr(payload->addr), 1, SPACE_READ);",
     "transfer->source = space_reach(space, payload->addr, 1, SPACE_READ);"),
    ("space_move(space, endpoint->window_addr, 1, endpoint->receive_buffers_addr);",
     "space_move(space, endpoint->window.base, 1, endpoint->receive_buffers);"),
    ("vcpu_create(vcpu, NULL, kvm, program_entry(program), *addr, NULL);",
     "vcpu_create(vcpu, NULL, kvm, transfer->offset, *addr, NULL);"),
    ("*addr = program_end(program);",
     "transfer->offset = program_end(program);"),
    ("vm_copy_in(vm, host, guest_addr(payload->addr), 1);",
     "vm_copy_in(vm, host, payload->addr, 1);"),
    ("vm_copy_out(vm, endpoint_addr(endpoint, transfer->offset), host, 1);",
     "vm_copy_out(vm, transfer->offset, host, 1);"),
    ("vm_may(vm, endpoint->window_addr, 1, false);",
     "vm_may(vm, endpoint->window.base, 1, false);"),
    ("vm_memory(vm, guest_addr(vm_stack_pointer(vcpu)), 1, true);",
     "vm_memory(vm, vm_stack_pointer(vcpu), 1, true);"),
]  # fmt: skip


def refused(lines):
    """Of these lines those that the compiler does not accept, and all that it said."""
    done = subprocess.run(COMPILE, input=BEFORE + "\n".join(lines) + "\n}\n", text=True,
                          capture_output=True, check=False)  # fmt: skip
    first = BEFORE.count("\n") + 1
    errors = re.findall(r"^<stdin>:(\d+):\d+: error: ", done.stderr, re.MULTILINE)
    numbers = {int(number) - first for number in errors}
    if (done.returncode == 0) != (not numbers):
        raise RuntimeError(done.stderr)
    return [line for i, line in enumerate(lines) if i in numbers], done.stderr


class Addresses(unittest.TestCase):
    def test_one_kind_is_accepted(self):
        lines, said = refused([right for right, _ in LINES])
        self.assertEqual(lines, [], said)

    def test_kinds_that_are_mixed_up_are_refused(self):
        for _, wrong in LINES:  # one by one: a compiler may stop after some errors
            with self.subTest(wrong):
                self.assertEqual(refused([wrong])[0], [wrong])


if __name__ == "__main__":
    tap.main()
