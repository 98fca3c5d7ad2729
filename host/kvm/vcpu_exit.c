/* SPDX-License-Identifier: BSD-2-Clause */
/* With what a virtual CPU left the guest. */
#include <errno.h>
#include <linux/kvm.h>

#include "kvm/vcpu.h"
#include "lib/bits.h"

uint32_t vcpu_exit_reason(const struct vcpu *vcpu)
{
    return vcpu->run->exit_reason;
}

#define NO_PORT UINT32_MAX

/* Only an `out` of one byte is an exit of one of Ferry's ports. What a program began by `in`, or by a
 * string instruction, KVM ends at the next entry: it would put RIP behind it, whatever was set since. */
static uint64_t port_of(const struct vcpu *vcpu)
{
    const bool is_plain = vcpu->run->io.direction == KVM_EXIT_IO_OUT && vcpu->run->io.size == 1 &&
                          vcpu->run->io.count == 1;

    return is_plain ? vcpu->run->io.port : NO_PORT;
}

uint64_t vcpu_exit_at(const struct vcpu *vcpu)
{
    switch (vcpu->run->exit_reason) {
    case KVM_EXIT_IO:
        return port_of(vcpu);
    case KVM_EXIT_MMIO:
        return vcpu->run->mmio.phys_addr;
    default:
        return 0;
    }
}

void *vcpu_mmio(struct vcpu *vcpu, uint32_t *bytes, bool *write)
{
    *bytes = min_u64(vcpu->run->mmio.len, sizeof vcpu->run->mmio.data);
    *write = vcpu->run->mmio.is_write;
    return vcpu->run->mmio.data;
}

uint64_t vcpu_entry_failure(const struct vcpu *vcpu)
{
    return vcpu->run->fail_entry.hardware_entry_failure_reason;
}

uint32_t vcpu_internal_error(const struct vcpu *vcpu)
{
    return vcpu->run->internal.suberror;
}

/* A repeated instruction makes one exit after the other, without a step into the guest in between. */
#define REPEATS_MOST 4096

static bool is_half_done(const struct vcpu *vcpu)
{
    return vcpu_exit_reason(vcpu) == KVM_EXIT_MMIO || vcpu_exit_reason(vcpu) == KVM_EXIT_IO;
}

int vcpu_end_instruction(struct vcpu *vcpu)
{
    int result;

    vcpu->run->immediate_exit = 1;
    for (unsigned more = 0; (result = vcpu_run(vcpu)) == 0; more++)
        if (!is_half_done(vcpu) || more == REPEATS_MOST)
            break;
    vcpu->run->immediate_exit = 0;
    return result == 0 ? -EIO : vcpu_refresh(vcpu);
}
