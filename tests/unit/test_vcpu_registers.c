/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of the registers with which a virtual CPU begins (host/kvm/vcpu.c, host/kvm/boot.c):
 * that KVM takes them all, and that no program gets more from them than it may have.
 */
#include "vcpu_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <ferry/abi/layout.h>

#include "kvm/boot.h"

/* The second of the registers is one that this KVM does not know. */
static void registers_that_are_not_set_are_an_error(void **state)
{
    struct ferry_error err = {""};
    char expected[32];
    struct kvm_msr_entry msrs[BOOT_MSRS];
    struct kvm_run *kept = vm_a->guest->vcpus[0]->run;

    (void)state;
    boot_msrs(msrs);
    snprintf(expected, sizeof expected, "register 0x%x", msrs[1].index);
    made_up = true;
    vm_a->engine->kvm.vcpu_mmap_bytes = 4096;
    int result = vcpu_create(vm_a->guest->vcpus[0], &vm_a->engine->kvm, &vm_a->guest->kvm,
                             guest_addr(0), guest_addr(0), &err);
    made_up = false;
    munmap(vm_a->guest->vcpus[0]->run, 4096);
    vm_a->guest->vcpus[0]->run = kept;
    assert_int_equal(result, -EIO);
    assert_non_null(strstr(err.text, expected));
}

/* Where the guest kernel runs at CPL0, its GS decides what it stores to. So a program must have no way
 * to choose a base: not by wrgsbase, and not by a selector of a descriptor that has one. */
static void no_program_chooses_a_base(void **state)
{
    static uint64_t pages[512 * 64];
    const uint64_t fsgsbase = 1u << 16, base = 0xff0000ffffff0000;
    struct guest_tables tables;
    struct kvm_sregs sregs = {0};
    uint64_t gdt[8];
    unsigned bases = 0;

    (void)state;
    guest_tables_init(&tables, pages, guest_addr(0), 64);
    assert_int_equal(boot_system(vm_a->guest->system, FERRY_EXTENT_BYTES, 1, &tables), 0);
    boot_sregs(&sregs, 0);
    assert_int_equal(sregs.cr4 & fsgsbase, 0);
    assert_int_equal(sregs.gdt.limit + 1, sizeof gdt);
    memcpy(gdt, vm_a->guest->system + (sregs.gdt.base - FERRY_SYSTEM_BASE), sizeof gdt);
    for (unsigned i = 0; i < 8; i++) {
        bool is_segment = gdt[i] >> 44 & 1, is_code = gdt[i] >> 43 & 1;

        bases += is_segment && gdt[i] & base;
        /* Of code a program may have 64 bits only: `syscall` enters elsewhere from 32. */
        assert_true(!is_segment || !is_code || gdt[i] >> 53 & 1);
    }
    assert_int_equal(bases, 0);
}

static void there_is_no_local_descriptor_table(void **state)
{
    struct kvm_sregs sregs = {.ldt = {.present = 1, .limit = 0xffff, .type = 2}};

    (void)state;
    boot_sregs(&sregs, 0);
    assert_int_equal(sregs.ldt.unusable, 1);
    assert_int_equal(sregs.ldt.present, 0);
    assert_int_equal(sregs.ldt.limit, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers_that_are_not_set_are_an_error),
        TEST(no_program_chooses_a_base),
        TEST(there_is_no_local_descriptor_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
