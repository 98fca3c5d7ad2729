/* SPDX-License-Identifier: BSD-2-Clause */
/* The processors of a VM and their threads of the host, which are real ones. The CPUs are made up, and no
 * guest runs. */
#include "core_fixture.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../until.h"
#include "kvm/boot.h"
#include "vm/syscall.h"
#include "vm/turn.h"
#include "vm/vm_cpus.h"

int __wrap_ioctl(int fd, unsigned long request, void *argument);

static int enter(void);

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    (void)fd;
    if (request == KVM_RUN)
        return enter();
    (void)argument;
    if (request == KVM_CREATE_VCPU) {
        int made = memfd_create("vcpu", MFD_CLOEXEC);

        assert_int_equal(ftruncate(made, 4096), 0);
        return made;
    }
    return request == KVM_SET_MSRS ? BOOT_MSRS : 0;
}

void __wrap_linux_now_serves(struct linux_state *state, struct linux_thread *thread);

/* There is no program: a thread of it is but an address. */
void __wrap_linux_now_serves(struct linux_state *state, struct linux_thread *thread)
{
    (void)state;
    (void)thread;
}

void __wrap_linux_drop_thread(struct linux_state *state, struct linux_thread *thread);

void __wrap_linux_drop_thread(struct linux_state *state, struct linux_thread *thread)
{
    (void)state;
    (void)thread;
}

static char threads[4];

static struct ferry_engine *engine;
static struct ferry_vm *vm;

static int setup(void **state)
{
    (void)state;
    engine = core_engine(512, 2);
    engine->kvm.vcpu_mmap_bytes = 4096;
    budget_init(&engine->files, 100, 100);
    budget_init(&engine->mappings, 100, 100);
    vm = core_vm(engine, "a");
    vm->guest->kvm.vcpus = 1;
    vm->most_threads = 4;
    assert_true(budget_join(&engine->files, &vm->files, 1));
    assert_true(budget_join(&engine->mappings, &vm->mappings, 1));
    vm->guest->first_cpu.runs = &threads[0];
    vm_serve(vm, &vm->guest->first_cpu);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vm_give_way(vm, &vm->guest->first_cpu);
    ferry_vm_destroy(vm);
    budget_fini(&engine->files);
    budget_fini(&engine->mappings);
    core_end(engine);
    return 0;
}

static struct vcpu *new_cpu(void)
{
    struct vcpu *cpu;

    assert_int_equal(vm_new_cpu(vm, &vm->guest->first_cpu, &cpu), 0);
    return cpu;
}

static void end_threads(void)
{
    vm->process->ending = true;
    for (unsigned i = 1; i < vm->guest->vcpu_count; i++)
        vm_rouse(vm, vm->guest->vcpus[i]);
    vm_join_others(vm);
}

/* Its thread wakes and finds nothing to do. False: it was not seen to take any time yet. */
static bool took_time(struct vcpu *cpu)
{
    vm_rouse(vm, cpu);
    vm_give_way(vm, &vm->own.first_cpu);
    vm_serve(vm, &vm->own.first_cpu);
    return vcpu_cpu_ns(cpu) > 0;
}

/* What a limit is compared with while the rest is sent. */
static void test_processor_time_of_threads_that_ended_counts(void **state)
{
    struct vcpu *cpu = new_cpu();
    uint64_t before;

    (void)state;
    until(took_time(cpu));
    before = vm_cpu_ns(vm);
    assert_true(before > 0);
    end_threads();
    assert_int_equal(vm->guest->vcpu_count, 1);
    assert_true(vm_cpu_ns(vm) >= before);
}

/* The personality has no record of it any more, whatever another thread does at the same moment. */
static void test_a_thread_that_ended_meanwhile_is_gone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct vcpu *cpu = new_cpu();

        cpu->runs = &threads[1];
        vm->process->only = i == 0 ? &vm->guest->first_cpu : NULL; /* begins another program */
        vm->process->ending = i == 1;
        assert_false(syscall_goes_on(vm, cpu, LINUX_ENDED, 0));
        assert_null(cpu->runs);
        vm->process->only = NULL;
    }
    end_threads();
}

/* What each entry of CPU 1 that runs nothing more ends with; at last it is interrupted. */
static const uint32_t *left_undone;

static int enter(void)
{
    struct kvm_run *run = vm->guest->vcpus[1]->run;

    assert_true(run->immediate_exit);
    if (*left_undone == 0) {
        errno = EINTR;
        return -1;
    }
    run->exit_reason = *left_undone++;
    return 0;
}

/* Its last exit was one of a string instruction, say, and nobody serves it. */
static void test_a_thread_that_leaves_ends_its_instruction(void **state)
{
    static const uint32_t exits[] = {KVM_EXIT_IO, KVM_EXIT_MMIO, KVM_EXIT_IO, 0};
    struct vcpu *cpu = new_cpu();

    (void)state;
    left_undone = exits;
    cpu->runs = &threads[1];
    vm->process->only = &vm->guest->first_cpu;
    vm_rouse(vm, cpu);
    while (cpu->runs)
        vm_doze(vm, &vm->guest->first_cpu, atomic_load(&vm->guest->first_cpu.wakes), CLOCK_NEVER);
    vm->process->only = NULL;
    assert_int_equal(*left_undone, 0);
    assert_false(cpu->run->immediate_exit);
    end_threads();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_processor_time_of_threads_that_ended_counts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_thread_that_ended_meanwhile_is_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_thread_that_leaves_ends_its_instruction, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
