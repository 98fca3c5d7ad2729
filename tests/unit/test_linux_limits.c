/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: resource limits, and that they hold. */
#include "linux_fixture.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <ferry/abi/layout.h>

#define READ_WRITE (PROT_READ | PROT_WRITE)
#define ANONYMOUS  (MAP_PRIVATE | MAP_ANONYMOUS)
#define SECOND     1000000000ull
#define STACK      (FERRY_PROGRAM_HIGH - STACK_BYTES)

static int64_t set_limit(struct ferry_vm *vm, uint64_t which, uint64_t now, uint64_t most)
{
    *(struct rlimit *)guest(vm, SCRATCH) = (struct rlimit){now, most};
    return CALL(vm, setrlimit, which, SCRATCH);
}

static struct rlimit get_limit(struct ferry_vm *vm, uint64_t which)
{
    assert_int_equal(CALL(vm, getrlimit, which, SCRATCH), 0);
    return *(struct rlimit *)guest(vm, SCRATCH);
}

static int64_t map(struct ferry_vm *vm, uint64_t bytes, uint64_t prot, uint64_t flags)
{
    return CALL(vm, mmap, 0, bytes, prot, flags, UINT64_MAX, 0);
}

static void test_calls(void **state)
{
    struct ferry_vm *vm = *state;
    struct rlimit *old = guest(vm, SCRATCH + 128);

    assert_int_equal(get_limit(vm, RLIMIT_NOFILE).rlim_cur, 1024);
    *(struct rlimit *)guest(vm, SCRATCH) = (struct rlimit){10, 1024};
    assert_int_equal(CALL(vm, prlimit64, 0, RLIMIT_NOFILE, SCRATCH, SCRATCH + 128), 0);
    assert_int_equal(old->rlim_cur, 1024);
    assert_int_equal(get_limit(vm, RLIMIT_NOFILE).rlim_cur, 10);
    assert_int_equal(set_limit(vm, RLIMIT_NOFILE, 10, 10000), -EPERM);
    assert_int_equal(set_limit(vm, RLIMIT_NOFILE, 5, 4), -EINVAL);
    assert_int_equal(CALL(vm, getrlimit, 16, SCRATCH), -EINVAL);
    assert_int_equal(CALL(vm, setrlimit, RLIMIT_NOFILE, 0), -EFAULT);
    assert_int_equal(CALL(vm, prlimit64, 99, RLIMIT_AS, 0, SCRATCH), -ESRCH);
    assert_true(get_limit(vm, RLIMIT_AS).rlim_cur == RLIM_INFINITY);
    assert_int_equal(get_limit(vm, RLIMIT_DATA).rlim_cur, MEMORY);
}

static void test_address_space(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t mapped = SCRATCH_END - SCRATCH + PAGE;
    int64_t at;

    assert_int_equal(set_limit(vm, RLIMIT_AS, mapped + 4 * PAGE, RLIM_INFINITY), 0);
    at = map(vm, 3 * PAGE, PROT_NONE, ANONYMOUS);
    assert_true(at > 0);
    assert_int_equal(map(vm, 2 * PAGE, PROT_NONE, ANONYMOUS), -ENOMEM);
    /* A mapping that is replaced does not count twice. */
    assert_int_equal(
        CALL(vm, mmap, (uint64_t)at, 4 * PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, UINT64_MAX, 0),
        at);
    assert_int_equal(CALL(vm, brk, HEAP_START + 1), HEAP_START);
    assert_int_equal(CALL(vm, mremap, (uint64_t)at, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE), -ENOMEM);
    assert_int_equal(CALL(vm, munmap, (uint64_t)at, 4 * PAGE), 0);
    assert_int_equal(CALL(vm, brk, HEAP_START + 1), HEAP_START + 1);
    assert_int_equal(set_limit(vm, RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY), 0);
    assert_true(map(vm, 4096 * MIB, PROT_NONE, ANONYMOUS) > 0);
}

static void test_data(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t written = SCRATCH_END - SCRATCH;
    int64_t at = map(vm, 8 * PAGE, PROT_READ, ANONYMOUS);

    assert_true(at > 0);
    assert_int_equal(set_limit(vm, RLIMIT_DATA, written + 2 * PAGE, MEMORY), 0);
    assert_int_equal(map(vm, 3 * PAGE, READ_WRITE, ANONYMOUS), -ENOMEM);
    assert_true(map(vm, 3 * PAGE, PROT_READ, ANONYMOUS) > 0);
    assert_true(map(vm, 3 * PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS) > 0);
    assert_int_equal(CALL(vm, mprotect, (uint64_t)at, 3 * PAGE, READ_WRITE), -ENOMEM);
    assert_int_equal(CALL(vm, brk, HEAP_START + 2 * PAGE + 1), HEAP_START);
    assert_int_equal(CALL(vm, brk, HEAP_START + PAGE), HEAP_START + PAGE);
    assert_int_equal(CALL(vm, mprotect, (uint64_t)at, PAGE, READ_WRITE), 0);
    assert_int_equal(map(vm, PAGE, READ_WRITE, ANONYMOUS), -ENOMEM);
}

static int64_t map_at(struct ferry_vm *vm, uint64_t at, uint64_t bytes)
{
    return CALL(vm, mmap, at, bytes, READ_WRITE, ANONYMOUS | MAP_FIXED, UINT64_MAX, 0);
}

/* Memory of the far part counts like any other, and what is replaced there not twice. */
static void test_data_far_away(void **state)
{
    const uint64_t far = FERRY_PROGRAM_FAR_LOW;
    struct ferry_vm *vm = *state;
    uint64_t written = SCRATCH_END - SCRATCH;

#ifdef __SANITIZE_THREAD__
    skip(); /* ThreadSanitizer leaves no hole so long among the host's addresses */
#endif
    vm->space.backend.far_high = FERRY_PROGRAM_FAR_HIGH;
    assert_int_equal(set_limit(vm, RLIMIT_DATA, written + 4 * PAGE, MEMORY), 0);
    assert_int_equal(map_at(vm, far, 3 * PAGE), far);
    assert_int_equal(map_at(vm, far + 3 * PAGE, 2 * PAGE), -ENOMEM);
    assert_int_equal(map(vm, 2 * PAGE, READ_WRITE, ANONYMOUS), -ENOMEM);
    assert_int_equal(map_at(vm, far, 4 * PAGE), far);
    assert_int_equal(map_at(vm, far, 5 * PAGE), -ENOMEM);
}

static void map_stack(struct ferry_vm *vm)
{
    assert_int_equal(
        space_map(&vm->space, guest_addr(STACK), STACK_BYTES, SPACE_READ | SPACE_WRITE), 0);
    vm->cpu.sp = FERRY_PROGRAM_HIGH - 3 * PAGE;
}

static void test_stack(void **state)
{
    struct ferry_vm *vm = *state;

    map_stack(vm);
    assert_int_equal(get_limit(vm, RLIMIT_STACK).rlim_cur, STACK_BYTES);
    assert_int_equal(get_limit(vm, RLIMIT_STACK).rlim_max, MEMORY / 2);
    assert_int_equal(set_limit(vm, RLIMIT_STACK, 2 * STACK_BYTES, MEMORY / 2), 0);
    assert_non_null(
        space_at(&vm->space, guest_addr(STACK - STACK_BYTES), 2 * STACK_BYTES, SPACE_WRITE));
    assert_int_equal(CALL(vm, mprotect, vm->cpu.sp, PAGE, READ_WRITE | PROT_EXEC | PROT_GROWSDOWN),
                     0);
    assert_non_null(space_at(&vm->space, guest_addr(STACK - STACK_BYTES), STACK_BYTES, SPACE_EXEC));
    assert_null(space_at(&vm->space, guest_addr(FERRY_PROGRAM_HIGH - PAGE), PAGE, SPACE_EXEC));
    /* More than there is memory for is refused, and nothing changes. */
    assert_int_equal(CALL(vm, brk, HEAP_START + 40 * MIB), HEAP_START + 40 * MIB);
    assert_int_equal(set_limit(vm, RLIMIT_STACK, MEMORY / 2, MEMORY / 2), -EPERM);
    assert_int_equal(get_limit(vm, RLIMIT_STACK).rlim_cur, 2 * STACK_BYTES);
    /* A lower limit unmaps the part of the stack that is not in use. */
    assert_int_equal(set_limit(vm, RLIMIT_STACK, 16 * PAGE, MEMORY / 2), 0);
    assert_int_equal(vm->stack_bytes, 16 * PAGE);
    assert_null(space_at(&vm->space, guest_addr(FERRY_PROGRAM_HIGH - 17 * PAGE), 1, 0));
    assert_non_null(
        space_at(&vm->space, guest_addr(FERRY_PROGRAM_HIGH - 16 * PAGE), 16 * PAGE, SPACE_WRITE));
    assert_int_equal(set_limit(vm, RLIMIT_STACK, 0, MEMORY / 2), 0);
    assert_non_null(
        space_at(&vm->space, guest_addr(vm->cpu.sp - 128), 3 * PAGE + 128, SPACE_WRITE));
    assert_null(space_at(&vm->space, guest_addr(FERRY_PROGRAM_HIGH - 5 * PAGE), 1, 0));
}

/* A program that stands on a stack of its own may use the first one anyhow. */
static void test_stack_elsewhere(void **state)
{
    struct ferry_vm *vm = *state;

    map_stack(vm);
    vm->cpu.sp = SCRATCH;
    assert_int_equal(set_limit(vm, RLIMIT_STACK, PAGE, STACK_BYTES), 0);
    assert_non_null(space_at(&vm->space, guest_addr(STACK), STACK_BYTES, SPACE_WRITE));
}

static int interrupted(struct ferry_vm *vm, uint64_t used_ns)
{
    int status = 0;

    vm->cpu_ns = used_ns;
    struct linux_thread *thread = linux_first_thread(vm->linux_state);

    vm->next = linux_interrupted(vm->linux_state, thread, &status);
    if (vm->next == LINUX_RESUME && linux_has_signal(vm->linux_state, thread))
        vm->next = linux_deliver(vm->linux_state, thread, &vm->cpu, &status);
    return vm->next == LINUX_SIGNAL ? status : 0;
}

static void test_processor_time(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(interrupted(vm, 1000 * SECOND), 0);
    vm->cpu_ns = SECOND;
    assert_int_equal(set_limit(vm, RLIMIT_CPU, 2, 4), 0);
    assert_int_equal(vm->cpu_watch_ns, 2 * SECOND);
    assert_int_equal(interrupted(vm, SECOND), 0);
    assert_int_equal(interrupted(vm, 2 * SECOND), SIGXCPU);
    vm->cpu_ns = SECOND / 2;
    assert_int_equal(set_limit(vm, RLIMIT_CPU, 0, 4), 0);
    assert_int_equal(vm->cpu_watch_ns, SECOND);
    /* Ignored, it comes again each second, and SIGKILL at the end. */
    memcpy(guest(vm, SCRATCH), (uint64_t[]){1, 0, 0, 0}, 32);
    assert_int_equal(CALL(vm, rt_sigaction, SIGXCPU, SCRATCH, 0, 8), 0);
    assert_int_equal(interrupted(vm, SECOND + 1), 0);
    assert_int_equal(vm->cpu_watch_ns, 2 * SECOND);
    assert_int_equal(get_limit(vm, RLIMIT_CPU).rlim_cur, 2);
    assert_int_equal(interrupted(vm, 3 * SECOND), 0);
    assert_int_equal(vm->cpu_watch_ns, 4 * SECOND);
    assert_int_equal(interrupted(vm, 4 * SECOND), SIGKILL);
    assert_int_equal(set_limit(vm, RLIMIT_CPU, 9, 9), -EPERM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, linux_setup, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_calls),          TEST(test_address_space), TEST(test_data),
        TEST(test_data_far_away),  TEST(test_stack),         TEST(test_stack_elsewhere),
        TEST(test_processor_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
