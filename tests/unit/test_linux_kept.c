/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: all that Linux keeps of a program is as it was when it was kept, in each run. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "linux/state.h"
#include "linux/writable.h"
#include "write_fixture.h"

#define HANDLER 0x600000ull

static int64_t close_fd(struct ferry_vm *vm, int64_t fd)
{
    return CALL(vm, close, (uint64_t)fd);
}

static unsigned count_host_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* All that open files count for. */
struct counts {
    unsigned host_files, files[FILE_KINDS], descriptors;
    int taken;
};

static struct counts count_files(const struct tree *tree)
{
    const struct linux_common *common = tree->vm->linux_state->common;
    struct counts counts = {.host_files = common->host_files,
                            .descriptors = count_host_descriptors(),
                            .taken = tree->vm->files};

    memcpy(counts.files, common->files, sizeof(counts.files));
    return counts;
}

static struct linux_kept *keep(const struct tree *tree)
{
    struct linux_kept *kept = NULL;

    assert_null(linux_why_not_kept(tree->vm->linux_state));
    assert_int_equal(linux_keep(tree->vm->linux_state, &kept), 0);
    return kept;
}

static void go_back(const struct tree *tree, const struct linux_kept *kept)
{
    assert_int_equal(linux_go_back(&tree->vm->linux_state, kept), 0);
    linux_now_serves(tree->vm->linux_state, linux_first_thread(tree->vm->linux_state));
}

static int64_t position(struct ferry_vm *vm, uint64_t fd)
{
    return CALL(vm, lseek, fd, 0, SEEK_CUR);
}

/* 3: of "ro/file", of which "r" was read; 4: "rw/file", for which nobody waits; 5: the same as 3; and
 * 9, which closes with exec. */
static void open_files(struct tree *tree)
{
    struct ferry_vm *vm = tree->vm;

    make(tree, "rw/file", "0123456789");
    assert_int_equal(open_name(tree, "ro/file", O_RDONLY), 3);
    assert_int_equal(CALL(vm, read, 3, BUFFER, 1), 1);
    assert_int_equal(open_name(tree, "rw/file", O_RDWR | O_NONBLOCK), 4);
    assert_int_equal(CALL(vm, dup, 3), 5);
    assert_int_equal(CALL(vm, dup3, 4, 9, O_CLOEXEC), 9);
}

static void change_files(struct tree *tree)
{
    struct ferry_vm *vm = tree->vm;

    assert_int_equal(CALL(vm, read, 3, BUFFER, 1), 1);
    assert_int_equal(CALL(vm, lseek, 4, 7, SEEK_SET), 7);
    assert_int_equal(CALL(vm, fcntl, 4, F_SETFL, O_APPEND), 0);
    assert_int_equal(CALL(vm, fcntl, 9, F_SETFD, 0), 0);
    assert_int_equal(close_fd(vm, 0), 0);
    assert_int_equal(close_fd(vm, 3), 0);
    assert_int_equal(CALL(vm, dup2, 4, 5), 5);
    assert_int_equal(open_name(tree, "ro/file", O_RDONLY), 0);
    assert_int_equal(open_name(tree, "rw", O_RDONLY | O_DIRECTORY), 3);
    assert_int_equal(CALL(vm, pipe2, SCRATCH, 0), 0);
    assert_true(CALL(vm, eventfd2, 0, 0) > 0);
    assert_true(CALL(vm, memfd_create, guest_string(vm, SCRATCH, "m"), 0) > 0);
    assert_true(CALL(vm, timerfd_create, CLOCK_MONOTONIC, 0) > 0);
    assert_true(open_name(tree, "/private/file", O_CREAT | O_RDWR) > 0);
}

static void expect_files(struct tree *tree)
{
    struct ferry_vm *vm = tree->vm;

    assert_int_equal(position(vm, 3), 1);
    assert_int_equal(position(vm, 5), 1);
    assert_int_equal(position(vm, 4), 0);
    assert_int_equal(CALL(vm, fcntl, 4, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK),
                     O_RDWR | O_NONBLOCK);
    assert_int_equal(CALL(vm, fcntl, 9, F_GETFD), FD_CLOEXEC);
    assert_int_equal(CALL(vm, fcntl, 4, F_GETFD), 0);
    for (uint64_t fd = 6; fd < DESCRIPTORS_MAX; fd++)
        assert_int_equal(CALL(vm, fcntl, fd, F_GETFD), fd == 9 ? FD_CLOEXEC : -EBADF);
    vm->input = "in";
    assert_int_equal(CALL(vm, read, 0, BUFFER, 2), 2);
    assert_memory_equal(guest(vm, BUFFER), "in", 2);
    assert_int_equal(CALL(vm, read, 5, BUFFER, 2), 2); /* 3 and 5 are the same */
    assert_memory_equal(guest(vm, BUFFER), "ea", 2);
    assert_int_equal(position(vm, 3), 3);
}

static void descriptors_are_as_they_were(void **state)
{
    struct tree *tree = *state;
    struct counts before;

    open_files(tree);
    assert_int_equal(CALL(tree->vm, access, name(tree, "/private"), W_OK), 0); /* it is made */
    struct linux_kept *kept = keep(tree);
    before = count_files(tree);
    for (int i = 0; i < 5; i++) {
        if (i % 2)
            change_files(tree);
        else
            for (int64_t fd = 0; fd < 10; fd++)
                close_fd(tree->vm, fd);
        /* Nobody else has the streams open: their other ends learn of it. */
        assert_true(tree->vm->input_closed);
        assert_true(tree->vm->output_closed == !(i % 2));
        tree->vm->input_closed = tree->vm->output_closed = false;
        go_back(tree, kept);
        assert_false(tree->vm->input_closed || tree->vm->output_closed);
        const struct counts now = count_files(tree);
        assert_memory_equal(&now, &before, sizeof(now));
        expect_files(tree);
    }
    linux_forget(kept);
    assert_false(tree->vm->input_closed || tree->vm->output_closed);
}

/* The references that the kept copy has end with it. */
static void what_was_kept_is_forgotten(void **state)
{
    struct tree *tree = *state;
    struct counts before = count_files(tree);

    linux_forget(NULL);
    for (int i = 0; i < 3; i++) {
        open_files(tree);
        struct linux_kept *kept = keep(tree);
        if (i)
            go_back(tree, kept);
        linux_forget(kept);
        for (int64_t fd = 3; fd < 10; fd++)
            close_fd(tree->vm, fd);
        assert_int_equal(CALL(tree->vm, unlink, name(tree, "rw/file")), 0);
        const struct counts now = count_files(tree);
        assert_memory_equal(&now, &before, sizeof(now));
    }
}

static void set_blocked(struct ferry_vm *vm, uint64_t mask)
{
    memcpy(guest(vm, SCRATCH), &mask, sizeof(mask));
    assert_int_equal(CALL(vm, rt_sigprocmask, SIG_SETMASK, SCRATCH, 0, 8), 0);
}

static struct signal_action action(struct ferry_vm *vm, int signo)
{
    struct signal_action out;

    assert_int_equal(CALL(vm, rt_sigaction, (uint64_t)signo, 0, SCRATCH, 8), 0);
    memcpy(&out, guest(vm, SCRATCH), sizeof(out));
    return out;
}

static void set_action(struct ferry_vm *vm, int signo, uint64_t handler)
{
    const struct signal_action to = {.handler = handler, .flags = SA_RESTART | 0x4000000};

    memcpy(guest(vm, SCRATCH), &to, sizeof(to));
    assert_int_equal(CALL(vm, rt_sigaction, (uint64_t)signo, SCRATCH, 0, 8), 0);
}

static uint64_t blocked(struct ferry_vm *vm)
{
    uint64_t mask;

    assert_int_equal(CALL(vm, rt_sigprocmask, SIG_SETMASK, 0, SCRATCH, 8), 0);
    memcpy(&mask, guest(vm, SCRATCH), sizeof(mask));
    return mask;
}

static void set_stack(struct ferry_vm *vm, uint64_t sp)
{
    const struct signal_stack stack = {.sp = sp, .bytes = 2 * PAGE};

    memcpy(guest(vm, SCRATCH), &stack, sizeof(stack));
    assert_int_equal(CALL(vm, sigaltstack, SCRATCH, 0), 0);
}

static void signals_are_as_they_were(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;

    set_action(vm, SIGUSR1, HANDLER);
    set_action(vm, SIGTERM, HANDLER_IGNORE);
    set_blocked(vm, signal_bit(SIGUSR2));
    set_stack(vm, SCRATCH + 8 * PAGE);
    struct linux_kept *kept = keep(tree);
    for (int i = 0; i < 3; i++) {
        set_action(vm, SIGUSR1, HANDLER_DEFAULT);
        set_action(vm, SIGTERM, HANDLER + 8);
        set_action(vm, SIGINT, HANDLER + 16);
        set_blocked(vm, signal_bit(SIGUSR1) | signal_bit(SIGINT));
        set_stack(vm, SCRATCH + 12 * PAGE);
        /* One that waits, and one that is due later. */
        assert_int_equal(CALL(vm, kill, (uint64_t)CALL(vm, getpid), SIGINT), 0);
        assert_int_equal(CALL(vm, alarm, 1000), 0);
        assert_true(vm->alarm_ns < UINT64_MAX);
        go_back(tree, kept);
        assert_true(vm->alarm_ns == UINT64_MAX);
        assert_int_equal(action(vm, SIGUSR1).handler, HANDLER);
        assert_int_equal(action(vm, SIGUSR1).flags, SA_RESTART | 0x4000000);
        assert_int_equal(action(vm, SIGTERM).handler, HANDLER_IGNORE);
        assert_int_equal(action(vm, SIGINT).handler, HANDLER_DEFAULT);
        assert_int_equal(blocked(vm), signal_bit(SIGUSR2));
        assert_int_equal(CALL(vm, rt_sigpending, SCRATCH, 8), 0);
        assert_int_equal(*(uint64_t *)guest(vm, SCRATCH), 0);
        assert_int_equal(CALL(vm, sigaltstack, 0, SCRATCH), 0);
        assert_int_equal(((struct signal_stack *)guest(vm, SCRATCH))->sp, SCRATCH + 8 * PAGE);
        assert_int_equal(CALL(vm, alarm, 0), 0);
    }
    linux_forget(kept);
}

static struct rlimit limit(struct ferry_vm *vm, uint64_t which)
{
    assert_int_equal(CALL(vm, getrlimit, which, SCRATCH), 0);
    return *(struct rlimit *)guest(vm, SCRATCH);
}

static void set_limit(struct ferry_vm *vm, uint64_t which, rlim_t now, rlim_t most)
{
    *(struct rlimit *)guest(vm, SCRATCH) = (struct rlimit){now, most};
    assert_int_equal(CALL(vm, setrlimit, which, SCRATCH), 0);
}

static void expect_cwd(const struct tree *tree, const char *text)
{
    assert_true(CALL(tree->vm, getcwd, BUFFER, PAGE) > 0);
    assert_string_equal(guest(tree->vm, BUFFER), tree_at(tree, text));
}

static void the_process_is_as_it_was(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    const int64_t pid = CALL(vm, getpid);

    CALL(vm, umask, 027);
    assert_int_equal(CALL(vm, chdir, name(tree, "rw/sub")), 0);
    set_limit(vm, RLIMIT_NOFILE, 100, 1000);
    assert_int_equal(CALL(vm, brk, HEAP_START + 3 * PAGE), HEAP_START + 3 * PAGE);
    assert_int_equal(CALL(vm, set_tid_address, SCRATCH + PAGE), pid);
    struct linux_kept *kept = keep(tree);
    struct space_layer *layer; /* the heap's memory */
    assert_int_equal(space_take_layer(&vm->space, &layer), 0);
    const int32_t last_id = vm->linux_state->common->last_id;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(CALL(vm, umask, 077), 027);
        assert_int_equal(CALL(vm, chdir, name(tree, "ro")), 0);
        set_limit(vm, RLIMIT_NOFILE, 20, 30);
        set_limit(vm, RLIMIT_CPU, 5, 6);
        assert_true(vm->cpu_watch_ns < UINT64_MAX);
        assert_int_equal(CALL(vm, brk, HEAP_START + 9 * PAGE), HEAP_START + 9 * PAGE);
        assert_int_equal(CALL(vm, prctl, PR_SET_NAME, guest_string(vm, BUFFER, "run")), 0);
        assert_int_equal(CALL(vm, set_tid_address, 0), pid);
        vm->linux_state->common->last_id += 7;
        vm->linux_state->common->first_ended = true;
        go_back(tree, kept);
        expect_cwd(tree, "rw/sub");
        assert_int_equal(limit(vm, RLIMIT_NOFILE).rlim_cur, 100);
        assert_int_equal(limit(vm, RLIMIT_NOFILE).rlim_max, 1000);
        assert_true(limit(vm, RLIMIT_CPU).rlim_cur == RLIM_INFINITY);
        assert_true(vm->cpu_watch_ns == UINT64_MAX);
        assert_int_equal(vm->linux_state->heap_start, HEAP_START);
        assert_int_equal(vm->linux_state->heap_break, HEAP_START + 3 * PAGE);
        assert_int_equal(vm->linux_state->heap_mapped, HEAP_START + 3 * PAGE);
        assert_string_not_equal(vm->linux_state->thread->task.name, "run");
        assert_int_equal(vm->linux_state->thread->clear_id, SCRATCH + PAGE);
        assert_int_equal(CALL(vm, getpid), pid);
        assert_int_equal(CALL(vm, gettid), pid);
        assert_int_equal(vm->linux_state->common->last_id, last_id);
        assert_int_equal(vm->linux_state->common->process_count, 1);
        assert_false(vm->linux_state->common->first_ended);
        assert_ptr_equal(vm->linux_state->common->processes, vm->linux_state);
        assert_int_equal(space_go_back(&vm->space, layer), 0);
    }
    space_layer_free(&vm->space, layer);
    linux_forget(kept);
}

/* Locks of the run before hold against nobody. */
static void locks_are_given_up(void **state)
{
    const struct flock lock = {.l_type = F_WRLCK, .l_len = 1};
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;

    make(tree, "rw/file", "0123456789");
    int host = open(tree_at(tree, "rw/file"), O_RDWR | O_CLOEXEC);
    struct linux_kept *kept = keep(tree);
    for (int i = 0; i < 3; i++) {
        struct flock other = lock;

        assert_int_equal(open_name(tree, "rw/file", O_RDWR), 3);
        memcpy(guest(vm, BUFFER), &lock, sizeof(lock));
        assert_int_equal(CALL(vm, fcntl, 3, F_SETLK, BUFFER), 0);
        assert_int_equal(fcntl(host, F_OFD_SETLK, &other), -1);
        go_back(tree, kept);
        assert_int_equal(fcntl(host, F_OFD_SETLK, &other), 0);
        other.l_type = F_UNLCK;
        assert_int_equal(fcntl(host, F_OFD_SETLK, &other), 0);
    }
    close(host);
    linux_forget(kept);
}

static void map_and_fill(struct ferry_vm *vm, int64_t fd)
{
    assert_int_equal(CALL(vm, ftruncate, (uint64_t)fd, MIB), 0);
    int64_t at = CALL(vm, mmap, 0, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, (uint64_t)fd, 0);
    assert_true(at > 0);
    memset(guest(vm, (uint64_t)at), 1, MIB);
}

/* A mapping keeps what its file holds until the memory is as it was, which comes later; what is counted
 * of it meanwhile must not stay, or the next run could have more than its limit. */
static void mapped_files_in_memory_are_not_counted_any_more(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    struct linux_common *common = vm->linux_state->common;
    struct space_layer *layer;

    assert_int_equal(CALL(vm, access, name(tree, "/private"), W_OK), 0);
    struct linux_kept *kept = keep(tree);
    assert_int_equal(space_take_layer(&vm->space, &layer), 0);
    const uint64_t used = vm->space.used_bytes, counted = common->view.memory->used_bytes;
    for (int i = 0; i < 3; i++) {
        map_and_fill(vm, open_name(tree, "/private/file", O_CREAT | O_RDWR));
        map_and_fill(vm, CALL(vm, memfd_create, guest_string(vm, SCRATCH, "m"), 0));
        assert_true(vm->space.used_bytes >= used + 2 * MIB);
        go_back(tree, kept);
        assert_int_equal(space_go_back(&vm->space, layer), 0);
        assert_int_equal(vm->space.used_bytes, used);
        assert_int_equal(common->view.memory->used_bytes, counted);
        assert_int_equal(common->memfds->used_bytes, 0);
        /* As when the program makes its next file there. */
        writable_recount(vm->linux_state, common->view.memory);
        assert_int_equal(vm->space.used_bytes, used);
    }
    space_layer_free(&vm->space, layer);
    linux_forget(kept);
}

/* The name that mappings of a file have, among others, which stays with the open file. */
static void what_is_mapped_is_charged_in_each_run(void **state)
{
    struct tree *tree = *state;
    struct ferry_vm *vm = tree->vm;
    struct space_layer *layer;
    uint64_t mapped = 0;

    assert_int_equal(open_name(tree, "ro/file", O_RDONLY), 3);
    assert_int_equal(open_name(tree, "rw/setuid", O_RDONLY), 4);
    assert_true(CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, 4, 0) > 0);
    struct linux_kept *kept = keep(tree);
    assert_int_equal(space_take_layer(&vm->space, &layer), 0);
    const uint64_t used = vm->space.used_bytes;
    for (int i = 0; i < 4; i++) {
        for (uint64_t fd = 3; fd < 5; fd++)
            assert_true(CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) > 0);
        assert_true(vm->space.used_bytes > used);
        mapped = i ? mapped : vm->space.used_bytes;
        assert_int_equal(vm->space.used_bytes, mapped);
        go_back(tree, kept);
        assert_int_equal(space_go_back(&vm->space, layer), 0);
        assert_int_equal(vm->space.used_bytes, used);
    }
    space_layer_free(&vm->space, layer);
    linux_forget(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(descriptors_are_as_they_were),
        TEST(what_was_kept_is_forgotten),
        TEST(signals_are_as_they_were),
        TEST(the_process_is_as_it_was),
        TEST(locks_are_given_up),
        TEST(mapped_files_in_memory_are_not_counted_any_more),
        TEST(what_is_mapped_is_charged_in_each_run),
    };

    return cmocka_run_group_tests_name("linux_kept", tests, NULL, NULL);
}
