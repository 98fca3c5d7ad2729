/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest kernel for CPL3 at either level, by the library's inner functions: no program gets it at
 * CPL0 where all else is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kvm/kernel.h"
#include "kvm/vcpu.h"
#include "lib/mapping.h"

#define CALL_GETPID 39
#define PROCESS     4711
#define BACK        FERRY_PROGRAM_LOW
#define STACK       (FERRY_PROGRAM_LOW + FERRY_PAGE_BYTES)

static struct kvm kvm;
static struct kvm_vm vm;
static struct vcpu vcpu;
static char *memory; /* the system area, and a page of the program */

/* What a call returns to makes an exit of its own. */
static void build(void)
{
    static const uint8_t code[] = {0xe6, FERRY_PORT_DOORBELL, 0x0f, 0x0b};
    const struct guest_addr low = guest_addr(FERRY_PROGRAM_LOW);
    struct guest_tables tables;
    int opened = kvm_open(&kvm, NULL, NULL);

    if (opened < 0 && !getenv("FERRY_REQUIRE_KVM"))
        skip(); /* as in kvm_fixture.c */
    assert_int_equal(opened, 0);
    memory = mapping_aligned(SYSTEM_BYTES + FERRY_EXTENT_BYTES, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    assert_non_null(memory);
    memcpy(memory + SYSTEM_BYTES, code, sizeof code);
    assert_int_equal(kvm_vm_create(&vm, &kvm), 0);
    assert_int_equal(kvm_vm_add_slot(&vm, guest_addr(FERRY_SYSTEM_BASE), SYSTEM_BYTES, memory), 0);
    assert_int_equal(kvm_vm_add_slot(&vm, low, FERRY_PAGE_BYTES, memory + SYSTEM_BYTES), 0);
    assert_int_equal(boot_system(memory, FERRY_EXTENT_BYTES, 1, &tables), 0);
    assert_int_equal(
        guest_tables_map(&tables, low, FERRY_PAGE_BYTES, GUEST_USER | GUEST_WRITE | GUEST_EXEC), 0);
    assert_int_equal(kernel_install(memory, &tables, true), 0);
    kernel_shown(memory)->process = PROCESS;
    assert_int_equal(vcpu_create(&vcpu, &kvm, &vm, low, low, NULL), 0);
}

static int setup(void **state)
{
    (void)state;
    kvm = (struct kvm){.fd = -1};
    vm = (struct kvm_vm){.fd = -1};
    vcpu = (struct vcpu){.fd = -1};
    memory = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vcpu_destroy(&vcpu);
    kvm_vm_destroy(&vm);
    kvm_close(&kvm);
    return memory ? munmap(memory, SYSTEM_BYTES + FERRY_EXTENT_BYTES) : 0;
}

/* The call as the guest kernel finds it where `syscall` arrived at that level. */
static const struct kvm_regs *call_at(bool cpl0)
{
    struct kvm_sregs *sregs = &vcpu.run->s.regs.sregs;
    struct kvm_regs regs;

    boot_regs(&regs, kernel_entry(true), guest_addr(STACK));
    regs.rax = CALL_GETPID;
    regs.rcx = BACK;
    regs.r11 = regs.rflags;
    regs.rdi = 0x1234;
    regs.rbx = 0x5678;
    vcpu_set_regs(&vcpu, &regs);
    boot_user_segments(sregs);
    if (cpl0) {
        sregs->cs.selector = 0x08;
        sregs->ss.selector = 0x10;
        sregs->cs.dpl = sregs->ss.dpl = 0;
    }
    assert_int_equal(vcpu_enter_kernel(&vcpu, kernel_entry(true), kernel_gs(0)), 0);
    vcpu.run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    assert_int_equal(vcpu_run(&vcpu), 0);
    assert_int_equal(vcpu_exit_reason(&vcpu), KVM_EXIT_IO);
    return vcpu_regs(&vcpu);
}

static void it_serves_at_cpl3(void **state)
{
    (void)state;
    build();
    const struct kvm_regs *regs = call_at(false);
    assert_int_equal(vcpu_exit_at(&vcpu), FERRY_PORT_DOORBELL);
    assert_int_equal(regs->rax, PROCESS);
    assert_int_equal(regs->rdi, 0x1234);
}

/* The VMM serves the call, with all registers as they were; the program's stack is as it was. */
static void it_leaves_at_cpl0(void **state)
{
    static char none[FERRY_KERNEL_CPU_BYTES - offsetof(struct ferry_kernel_cpu, stack)];

    (void)state;
    build();
    const struct kvm_regs *regs = call_at(true);
    assert_int_equal(vcpu_exit_at(&vcpu), FERRY_PORT_SYSCALL);
    assert_int_equal(regs->rax, CALL_GETPID);
    assert_int_equal(regs->rcx, BACK);
    assert_int_equal(regs->rdi, 0x1234);
    assert_int_equal(regs->rbx, 0x5678);
    assert_int_equal(regs->rsp, STACK);
    assert_memory_equal(memory + (FERRY_KERNEL_CPUS - FERRY_SYSTEM_BASE) +
                            offsetof(struct ferry_kernel_cpu, stack),
                        none, sizeof none);
}

/* KVM was about to deliver one when the CPU was stopped. */
static void no_fault_is_left_when_it_goes_back(void **state)
{
    struct kvm_vcpu_events events;
    struct vcpu_kept kept;

    (void)state;
    build();
    assert_int_equal(vcpu_run(&vcpu), 0);
    assert_int_equal(vcpu_keep(&vcpu, &kept), 0);
    assert_int_equal(ioctl(vcpu.fd, KVM_GET_VCPU_EVENTS, &events), 0);
    events.exception.injected = 1;
    events.exception.nr = 6;
    assert_int_equal(ioctl(vcpu.fd, KVM_SET_VCPU_EVENTS, &events), 0);
    assert_int_equal(ioctl(vcpu.fd, KVM_GET_VCPU_EVENTS, &events), 0);
    assert_true(events.exception.injected || events.exception.pending);
    assert_int_equal(vcpu_go_back(&vcpu, &kept), 0);
    assert_int_equal(ioctl(vcpu.fd, KVM_GET_VCPU_EVENTS, &events), 0);
    assert_false(events.exception.injected || events.exception.pending);
}

/* A guest that got around its rights finds no VMs to make. */
static void no_guest_sees_virtualization(void **state)
{
    uint32_t looked = 0;

    (void)state;
    build();
    for (uint32_t i = 0; i < kvm.cpuid->nent; i++) {
        const struct kvm_cpuid_entry2 *entry = &kvm.cpuid->entries[i];

        looked += entry->function == 1 || entry->function == 0x80000001;
        assert_false(entry->function == 1 && entry->ecx & 1u << 5);
        assert_false(entry->function == 0x80000001 && entry->ecx & 1u << 2);
        assert_false(entry->function == 0xa && entry->eax);
    }
    assert_int_equal(looked, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_serves_at_cpl3, setup, teardown),
        cmocka_unit_test_setup_teardown(it_leaves_at_cpl0, setup, teardown),
        cmocka_unit_test_setup_teardown(no_guest_sees_virtualization, setup, teardown),
        cmocka_unit_test_setup_teardown(no_fault_is_left_when_it_goes_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
