/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: what the guest kernel is told about the descriptor that a call was about. */
#include "tree.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <ferry/abi/kernel.h>

#include "linux/linux.h"
#include "linux/state.h"
#include "linux/told.h"

static struct ferry_kernel_shown page;
static struct ferry_kernel_words words;

static int setup(void **state)
{
    struct tree *tree;

    tree_setup(state);
    tree = *state;
    tree_put_file(tree, "file", "seven..");
    tree->vm = linux_vm_create((const char *const[]){tree->top, NULL}, -1);
    memset(&page, 0, sizeof(page));
    memset(&words, 0, sizeof(words));
    return 0;
}

static void served(struct tree *tree, uint64_t number, uint64_t fd, int64_t result)
{
    struct linux_call call = {.number = number, .arg = {fd}, .result = result};

    told_served(tree->vm->linux_state, &call);
    linux_tell_descriptor(tree->vm->linux_state, &page, &words);
}

static uint64_t opened(struct tree *tree)
{
    int64_t fd = CALL(tree->vm, openat, (uint64_t)AT_FDCWD,
                      guest_string(tree->vm, SCRATCH, tree_at(tree, "file")), O_RDONLY);

    assert_true(fd >= 0);
    served(tree, SYS_openat, (uint64_t)AT_FDCWD, fd);
    return (uint64_t)fd;
}

static bool is_told(void)
{
    return ferry_kernel_generation(words.told);
}

static void test_what_is_told(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = opened(tree);
    struct stat stat;

    assert_true(is_told());
    assert_int_equal(page.told.fd, fd);
    assert_int_equal(page.told.position, 0);
    assert_true(page.told.has_position);
    assert_false(page.told.at_end);
    memcpy(&stat, page.told.stat, sizeof(stat));
    assert_int_equal(stat.st_size, 7);
}

static void test_the_end(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = opened(tree);

    assert_int_equal(CALL(tree->vm, read, fd, SCRATCH, 6), 6);
    served(tree, SYS_read, fd, 6);
    assert_false(page.told.at_end);
    assert_int_equal(CALL(tree->vm, read, fd, SCRATCH, 6), 1);
    served(tree, SYS_read, fd, 1);
    assert_true(page.told.at_end);
    assert_int_equal(page.told.position, 7);
}

static void test_a_call_takes_it_back(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = opened(tree), first = words.told;

    assert_int_equal(CALL(tree->vm, fcntl, fd, F_GETFD, 0), 0); /* it works on the file */
    assert_false(is_told());
    served(tree, SYS_fstat, fd, 0);
    assert_true(is_told());
    assert_int_not_equal(words.told, first);
    /* Another call ends, about no descriptor of which more is asked. */
    served(tree, SYS_write, fd, 1);
    assert_false(is_told());
}

static void test_what_is_not_told(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = opened(tree);

    served(tree, SYS_openat, (uint64_t)AT_FDCWD, -2);
    assert_false(is_told());
    served(tree, SYS_fstat, 1, 0); /* a stream */
    assert_false(is_told());
    served(tree, SYS_fstat, 1000, -9);
    assert_false(is_told());
    tree->vm->linux_state->descriptors[fd].file->references++; /* a call works on it */
    served(tree, SYS_fstat, fd, 0);
    assert_false(is_told());
    tree->vm->linux_state->descriptors[fd].file->references--;
    tree->vm->linux_state->descriptors[fd].file->local = false;
    served(tree, SYS_fstat, fd, 0);
    assert_false(is_told());
    tree->vm->linux_state->descriptors[fd].file->local = true;
    tree->vm->linux_state->traced = true;
    served(tree, SYS_fstat, fd, 0);
    assert_false(is_told());
    tree->vm->linux_state->traced = false;
    served(tree, SYS_fstat, fd, 0);
    assert_true(is_told());
}

static void test_a_signal_takes_it_back(void **state)
{
    struct tree *tree = *state;
    struct linux_state *linux_state = tree->vm->linux_state;
    uint64_t fd = opened(tree);
    int status = 0;

    assert_int_equal(CALL(tree->vm, kill, LINUX_PID, SIGUSR1), 0);
    served(tree, SYS_fstat, fd, 0);
    assert_true(is_told());
    assert_int_equal(signals_deliver(linux_state, NULL, NULL, &status), LINUX_SIGNAL);
    assert_int_equal(status, SIGUSR1);
    assert_false(is_told());
}

static void test_who_shares_memory_is_not_told(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = opened(tree);

    tree->vm->linux_state->mapped_count++;
    served(tree, SYS_fstat, fd, 0);
    assert_false(is_told());
    tree->vm->linux_state->mapped_count--;
    served(tree, SYS_fstat, fd, 0);
    assert_true(is_told());
}

static void test_who_asks_much(void **state)
{
    struct tree *tree = *state;
    uint64_t fd = opened(tree);

    for (int i = 0; i < 4; i++) {
        assert_false(linux_asks_descriptors(tree->vm->linux_state));
        served(tree, SYS_fstat, fd, 0);
    }
    assert_true(linux_asks_descriptors(tree->vm->linux_state));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_told),
        TEST(test_the_end),
        TEST(test_a_call_takes_it_back),
        TEST(test_what_is_not_told),
        TEST(test_who_asks_much),
        TEST(test_a_signal_takes_it_back),
        TEST(test_who_shares_memory_is_not_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
