/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of execve: what it fetches, what it refuses, and what is different afterwards. */
#include "linux_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "linux/state.h"

#define PROGRAM "/usr/bin/env"
#define NAME    SCRATCH
#define VECTOR  (SCRATCH + PAGE)
#define WORDS   (SCRATCH + 2 * PAGE)

static int setup(void **state)
{
    *state = linux_vm_create((const char *const[]){"/usr", NULL}, -1);
    return 0;
}

/* Puts pointers into program memory, NULL-terminated; returns their address. */
static uint64_t vector(struct ferry_vm *vm, uint64_t at, const uint64_t *words, size_t count)
{
    memcpy(guest(vm, at), words, count * sizeof(*words));
    memset((char *)guest(vm, at) + count * sizeof(*words), 0, sizeof(*words));
    return at;
}

static int64_t run(struct ferry_vm *vm, uint64_t argv, uint64_t envp)
{
    return CALL(vm, execve, guest_string(vm, NAME, PROGRAM), argv, envp);
}

static void test_arguments(void **state)
{
    struct ferry_vm *vm = *state;
    const uint64_t words[] = {guest_string(vm, WORDS, "zero"), guest_string(vm, WORDS + 8, ""),
                              guest_string(vm, WORDS + 16, "two"),
                              guest_string(vm, WORDS + 24, "3"), guest_string(vm, WORDS + 32, "4")};

    assert_int_equal(run(vm, vector(vm, VECTOR, words, 5), vector(vm, VECTOR + 64, words, 1)), 0);
    assert_string_equal(vm->exec_text, PROGRAM "|zero  two 3 4 |zero ");
    assert_false(vm->exec_own);
    assert_int_equal(vm->next, LINUX_RESUME);
    /* A program that is given no words has its empty name; and it may have no variables. */
    assert_int_equal(run(vm, 0, 0), 0);
    assert_string_equal(vm->exec_text, PROGRAM "| |");
    assert_int_equal(run(vm, vector(vm, VECTOR, words, 0), 0), 0);
    assert_string_equal(vm->exec_text, PROGRAM "| |");
}

/* Whatever its memory says, the work for one call is bounded. */
static void test_too_much(void **state)
{
    struct ferry_vm *vm = *state;
    const uint64_t at = 0x20000000;
    uint64_t *words;

    assert_int_equal(
        space_map(&vm->space, guest_addr(0x20000000), 8 * MIB, SPACE_READ | SPACE_WRITE), 0);
    memset(guest(vm, 0x20000000), 'a', 8 * MIB);
    assert_int_equal(run(vm, vector(vm, VECTOR, &at, 1), 0), -E2BIG); /* one word without end */
    words = guest(vm, 0x20400000);
    ((char *)guest(vm, 0x20000000))[4096] = 0;
    for (uint64_t i = 0; i < MIB / 2; i++)
        words[i] = 0x20000000;
    vm->fetched = 0;
    assert_int_equal(run(vm, 0x20400000, 0), -E2BIG); /* many */
    assert_true(vm->fetched < 4 * STACK_BYTES);
    assert_int_equal(vm->execs, 0);
}

/* `count` words of 100000 bytes each, of which the pointers are at `at`. */
static int64_t run_long(struct ferry_vm *vm, uint64_t at, uint64_t count, uint64_t stack_bytes)
{
    const uint64_t limit[2] = {stack_bytes, stack_bytes};
    uint64_t *words = guest(vm, at);

    for (uint64_t i = 0; i < count; i++)
        words[i] = at + PAGE;
    words[count] = 0;
    memset(guest(vm, at + PAGE), 'a', 100000);
    ((char *)guest(vm, at + PAGE))[100000] = 0;
    memcpy(guest(vm, VECTOR), limit, sizeof(limit));
    assert_int_equal(CALL(vm, setrlimit, RLIMIT_STACK, VECTOR), 0);
    return run(vm, at, 0);
}

/* All of them together take up to a quarter of the stack, but never more than 6 MiB. */
static void test_room(void **state)
{
    struct ferry_vm *vm = *state;
    const uint64_t at = 0x20000000;

    assert_int_equal(space_map(&vm->space, guest_addr(at), MIB, SPACE_READ | SPACE_WRITE), 0);
    assert_int_equal(run_long(vm, at, 70, 32 * MIB), -E2BIG);
    assert_int_equal(vm->execs, 0);
    assert_int_equal(run_long(vm, at, 62, 32 * MIB), 0);
    assert_int_equal(run_long(vm, at, 21, 8 * MIB), -E2BIG);
    assert_int_equal(run_long(vm, at, 20, 8 * MIB), 0);
    assert_int_equal(run_long(vm, at, 2, 256 << 10), -E2BIG);
    assert_int_equal(run_long(vm, at, 1, 256 << 10), 0);
    assert_int_equal(vm->execs, 3);
}

/* While a call has words they count as memory, with what the host needs for each. */
static void test_words_are_charged(void **state)
{
    const uint64_t at = 0x20000000, count = 100000;
    struct ferry_vm *vm = *state;
    uint64_t *words = guest(vm, at), before, taken;

    assert_int_equal(space_map(&vm->space, guest_addr(at), MIB, SPACE_READ | SPACE_WRITE), 0);
    for (uint64_t i = 0; i < count; i++)
        words[i] = guest_string(vm, WORDS, "a");
    words[count] = 0;
    before = vm->space.used_bytes;
    assert_int_equal(run(vm, at, 0), 0);
    assert_int_equal(vm->space.used_bytes, before);
    assert_in_range(vm->exec_used - before, count * 40, count * 80);
    assert_in_range(vm->exec_kept, count * 40, 2 * count * 80);
    taken = vm->space.limit_bytes - before - count * 32;
    assert_int_equal(space_charge(&vm->space, taken), 0);
    assert_int_equal(run(vm, at, 0), -ENOMEM);
    assert_int_equal(vm->execs, 1);
    assert_int_equal(vm->space.used_bytes, before + taken);
}

/* Many words take long to fetch, so a stop ends that. */
static void test_stop(void **state)
{
    struct ferry_vm *vm = *state;
    const uint64_t words[] = {WORDS};

    assert_int_equal(CALL(vm, open, guest_string(vm, NAME, PROGRAM), O_RDONLY), 3);
    guest_string(vm, NAME, "");
    vector(vm, VECTOR, words, 1);
    vm->stop = true;
    assert_int_equal(CALL(vm, execveat, 3, NAME, VECTOR, 0, AT_EMPTY_PATH), -EINTR);
    assert_int_equal(vm->execs, 0);
}

static void test_refused(void **state)
{
    struct ferry_vm *vm = *state;
    const uint64_t wild = NOWHERE;

    assert_int_equal(CALL(vm, execve, NOWHERE, 0, 0), -EFAULT);
    assert_int_equal(run(vm, NOWHERE, 0), -EFAULT);
    assert_int_equal(run(vm, 0, NOWHERE), -EFAULT);
    assert_int_equal(run(vm, vector(vm, VECTOR, &wild, 1), 0), -EFAULT);
    assert_int_equal(CALL(vm, execve, guest_string(vm, NAME, ""), 0, 0), -ENOENT);
    assert_int_equal(CALL(vm, execve, guest_string(vm, NAME, "/usr"), 0, 0), -EACCES);
    assert_int_equal(CALL(vm, execve, guest_string(vm, NAME, "/dev/null"), 0, 0), -EACCES);
    assert_int_equal(CALL(vm, execve, guest_string(vm, NAME, "/home/x"), 0, 0), -ENOENT);
    assert_int_equal(CALL(vm, execve, guest_string(vm, NAME, "/dev/stdin"), 0, 0), -EACCES);
    assert_int_equal(CALL(vm, execve, guest_string(vm, NAME, "/dev/fd/77"), 0, 0), -EBADF);
    assert_int_equal(CALL(vm, execveat, 77, guest_string(vm, NAME, "x"), 0, 0, 0), -EBADF);
    assert_int_equal(CALL(vm, execveat, 0, guest_string(vm, NAME, "x"), 0, 0, 0), -ENOTDIR);
    assert_int_equal(CALL(vm, execveat, 0, guest_string(vm, NAME, ""), 0, 0, 0), -ENOENT);
    assert_int_equal(CALL(vm, execveat, 0, guest_string(vm, NAME, ""), 0, 0, AT_EMPTY_PATH),
                     -EACCES);
    assert_int_equal(CALL(vm, execveat, 0, guest_string(vm, NAME, PROGRAM), 0, 0, 1u << 30),
                     -EINVAL);
    assert_int_equal(vm->execs, 0);
}

static void test_descriptors(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, open, guest_string(vm, NAME, "/usr/bin"), O_RDONLY), 3);
    assert_int_equal(CALL(vm, open, guest_string(vm, NAME, PROGRAM), O_RDONLY), 4);
    assert_int_equal(CALL(vm, execveat, 3, guest_string(vm, NAME, "env"), 0, 0, 0), 0);
    assert_string_equal(vm->exec_text, "/dev/fd/3/env| |");
    assert_int_equal(CALL(vm, execveat, 4, guest_string(vm, NAME, ""), 0, 0, AT_EMPTY_PATH), 0);
    assert_string_equal(vm->exec_text, "/dev/fd/4| |");
    assert_int_equal(CALL(vm, execve, guest_string(vm, NAME, "/proc/self/fd/4"), 0, 0), 0);
    assert_string_equal(vm->exec_text, "/proc/self/fd/4| |");
}

/* A file that may not answer is copied, and the image takes the copy as it is. */
static void test_a_copy_is_sealed(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, open, guest_string(vm, NAME, PROGRAM), O_RDONLY), 3);
    for (int local = 1; local >= 0; local--) {
        vm->linux_state->descriptors[3].file->local = local;
        assert_int_equal(CALL(vm, execveat, 3, guest_string(vm, NAME, ""), 0, 0, AT_EMPTY_PATH), 0);
        assert_int_equal(vm->exec_own, !local);
        assert_int_equal(vm->exec_sealed, !local);
    }
}

/* What a program is called is looked for in what the program sees, never on the host: a name may be
 * that of one of our descriptors there, and tell where a link of the host leads. */
static void test_names_are_the_programs(void **state)
{
    struct ferry_vm *vm = *state;
    int usr = open("/usr", O_PATH | O_CLOEXEC);
    int host = fcntl(usr, F_DUPFD_CLOEXEC, 100); /* a number that the program does not have */
    char name[64], *path;

    assert_true(host >= 100);
    close(usr);
    snprintf(name, sizeof(name), "/dev/fd/%d/lib/../bin/env", host);
    path = program_path(vm->linux_state, name);
    assert_string_equal(path, name);
    free(path);
    snprintf(name, sizeof(name), "/dev/fd/%d", host);
    path = program_path(vm->linux_state, name);
    assert_string_equal(path, name);
    free(path);
    path = program_path(vm->linux_state, "/etc/passwd/..");
    assert_string_equal(path, "/etc/passwd/..");
    free(path);
    assert_int_equal(CALL(vm, open, guest_string(vm, NAME, "/usr/bin"), O_RDONLY), 3);
    path = program_path(vm->linux_state, "/dev/fd/3/../bin/env");
    assert_string_equal(path, PROGRAM);
    free(path);
    close(host);
}

static uint64_t handler_of(struct ferry_vm *vm, int signo)
{
    assert_int_equal(CALL(vm, rt_sigaction, (uint64_t)signo, 0, WORDS, 8), 0);
    return *(uint64_t *)guest(vm, WORDS);
}

static void set_handler(struct ferry_vm *vm, int signo, uint64_t handler)
{
    memset(guest(vm, WORDS), 0, 32);
    memcpy(guest(vm, WORDS), &handler, sizeof(handler));
    assert_int_equal(CALL(vm, rt_sigaction, (uint64_t)signo, WORDS, 0, 8), 0);
}

/* A failure leaves all as it was. */
static void test_what_changes(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, open, guest_string(vm, NAME, PROGRAM), O_RDONLY), 3);
    assert_int_equal(CALL(vm, open, guest_string(vm, NAME, PROGRAM), O_RDONLY | O_CLOEXEC), 4);
    assert_int_equal(CALL(vm, fcntl, 0, F_SETFD, FD_CLOEXEC), 0);
    set_handler(vm, SIGUSR1, 0x400000);
    set_handler(vm, SIGUSR2, 1);
    assert_int_equal(CALL(vm, prctl, PR_SET_DUMPABLE, 0), 0);
    vm->exec_result = -ENOEXEC;
    assert_int_equal(run(vm, 0, 0), -ENOEXEC);
    assert_int_equal(vm->next, LINUX_RESUME);
    assert_int_equal(CALL(vm, fcntl, 4, F_GETFD), FD_CLOEXEC);
    assert_int_equal(handler_of(vm, SIGUSR1), 0x400000);
    vm->exec_result = 0;
    assert_int_equal(run(vm, 0, 0), 0);
    assert_int_equal(CALL(vm, fcntl, 3, F_GETFD), 0);
    assert_int_equal(CALL(vm, fcntl, 4, F_GETFD), -EBADF);
    assert_true(vm->input_closed);
    assert_int_equal(handler_of(vm, SIGUSR1), 0);
    assert_int_equal(handler_of(vm, SIGUSR2), 1);
    assert_int_equal(CALL(vm, prctl, PR_GET_DUMPABLE), 1);
    vm->exec_result = 1; /* too late to go back */
    run(vm, 0, 0);
    assert_int_equal(vm->next, LINUX_SIGNAL);
    assert_int_equal(vm->status, SIGKILL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_arguments),
        TEST(test_too_much),
        TEST(test_room),
        TEST(test_stop),
        TEST(test_refused),
        TEST(test_descriptors),
        TEST(test_what_changes),
        TEST(test_names_are_the_programs),
        TEST(test_a_copy_is_sealed),
        TEST(test_words_are_charged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
