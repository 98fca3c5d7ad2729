/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: what those who watch a program are told of its calls and signals. */
#include "linux_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "linux/calls.h"
#include "linux/state.h"
#include "linux/trace.h"

#define AT_CWD  ((uint64_t)AT_FDCWD)
#define OTHER   (SCRATCH + PAGE)
#define HANDLER 0x401000ull

static int set_up(void **state)
{
    *state = linux_vm_create_as(
        (struct linux_config){.view = FERRY_VIEW_NONE, .stderr_fd = -1, .traced = true});
    return 0;
}

/* All that was told since the last look. */
static void check(struct ferry_vm *vm, const char *expected)
{
    if (strcmp(vm->traced, expected) != 0)
        fail_msg("'%s' in place of '%s'", vm->traced, expected);
    vm->traced[0] = '\0';
}

static void make(struct ferry_vm *vm, uint64_t number, const uint64_t arg[6], const char *expected)
{
    linux_call(vm, number, arg);
    check(vm, expected);
}
#define MAKE(vm, expected, name, ...) \
    make(vm, SYS_##name, (const uint64_t[6]){__VA_ARGS__}, expected "\n")

/* ---- arguments and results -------------------------------------------------- */

/* Names of files are shown up to 1024 bytes; what would take more room than there is is cut. */
static void long_names(void **state)
{
    struct ferry_vm *vm = *state;
    char name[1026], expected[1200];

    memset(name, 'n', sizeof(name));
    name[1024] = '\0';
    guest_string(vm, SCRATCH, name);
    snprintf(expected, sizeof(expected), "chdir(\"%s\") = -1 ENAMETOOLONG (File name too long)\n",
             name);
    make(vm, SYS_chdir, (const uint64_t[6]){SCRATCH}, expected);
    memcpy(name + 1024, "n", 2);
    guest_string(vm, SCRATCH, name);
    name[1024] = '\0';
    snprintf(expected, sizeof(expected),
             "chdir(\"%s\"...) = -1 ENAMETOOLONG (File name too long)\n", name);
    make(vm, SYS_chdir, (const uint64_t[6]){SCRATCH}, expected);
    memset(name, 1, 1024);
    guest_string(vm, SCRATCH, name);
    linux_call(vm, SYS_chdir, (const uint64_t[6]){SCRATCH});
    assert_non_null(strstr(vm->traced, "\\1\\1\"...) = -1"));
}

/* An array that has as many words as are shown ends there; one that has more goes on. */
static void words_up_to_the_last_that_is_shown(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t words[18] = {0};

    guest_string(vm, OTHER, "w");
    for (size_t i = 0; i < 17; i++) {
        words[i] = OTHER;
        words[i + 1] = 0;
        memcpy(guest(vm, SCRATCH), words, sizeof(words));
        linux_call(vm, SYS_execve, (const uint64_t[6]){OTHER, SCRATCH, 0});
        assert_non_null(strstr(vm->traced, i < 16 ? "\"w\"], NULL)" : "\"w\", ...], NULL)"));
        vm->traced[0] = '\0';
    }
}

static void numbers_have_names(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t name = guest_string(vm, SCRATCH, "/a");

    MAKE(vm, "getpid() = 2", getpid, 1, 2, 3);
    MAKE(vm, "openat(AT_FDCWD, \"/a\", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)",
         openat, AT_CWD, name, O_CLOEXEC, 0777);
    MAKE(vm, "openat(7, \"/a\", O_WRONLY|O_CREAT|O_TRUNC, 0640) = -1 EACCES (Permission denied)",
         openat, 7, name, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    MAKE(vm, "open(\"/a\", O_RDWR|O_SYNC|0x40000000) = -1 EACCES (Permission denied)", open, name,
         O_RDWR | O_SYNC | 0x40000000);
    MAKE(vm, "access(\"/a\", F_OK) = -1 ENOENT (No such file or directory)", access, name, F_OK);
    MAKE(vm, "access(\"/a\", R_OK|X_OK) = -1 ENOENT (No such file or directory)", access, name,
         R_OK | X_OK);
    MAKE(vm, "munmap(0x20000000, 8192) = 0", munmap, 0x20000000, 8192);
    MAKE(vm, "madvise(0x10000000, 4096, MADV_DONTNEED) = 0", madvise, SCRATCH, PAGE, MADV_DONTNEED);
    MAKE(vm, "mprotect(0x10001000, 4096, PROT_READ|PROT_WRITE) = 0", mprotect, OTHER, PAGE,
         PROT_READ | PROT_WRITE);
    MAKE(vm, "mprotect(0x10001000, 0, PROT_NONE) = 0", mprotect, OTHER, 0, 0);
    MAKE(vm,
         "mmap(0x30000000, 4096, PROT_READ, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0) = "
         "0x30000000",
         mmap, 0x30000000, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, (uint64_t)-1,
         0);
    MAKE(vm, "lseek(99, -5, SEEK_END) = -1 EBADF (Bad file descriptor)", lseek, 99, (uint64_t)-5,
         SEEK_END);
    MAKE(vm, "fcntl(99, F_GETFL) = -1 EBADF (Bad file descriptor)", fcntl, 99, F_GETFL, 7);
    MAKE(vm, "fcntl(1, F_SETFD, FD_CLOEXEC) = 0", fcntl, 1, F_SETFD, FD_CLOEXEC);
    MAKE(vm, "futex(0x10000000, FUTEX_WAKE_PRIVATE, 1) = 0", futex, SCRATCH, FUTEX_WAKE_PRIVATE, 1,
         5, 6, 7);
    MAKE(vm,
         "clone(SIGCHLD|CLONE_VM|CLONE_VFORK, NULL, NULL, NULL, NULL) = -1 EAGAIN (Resource "
         "temporarily unavailable)",
         clone, CLONE_VM | CLONE_VFORK | SIGCHLD);
}

static void bytes_are_quoted_and_cut(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t text = guest_string(vm, SCRATCH,
                                 "a\n\"b\\\x01"
                                 "7\xff");

    vm->output_room = 4096;
    MAKE(vm, "write(1, \"a\\n\\\"b\\\\\\0017\\377\", 8) = 8", write, 1, text, 8);
    guest_string(vm, SCRATCH, "0123456789012345678901234567890123456789");
    MAKE(vm, "write(1, \"01234567890123456789012345678901\", 32) = 32", write, 1, text, 32);
    MAKE(vm, "write(1, \"01234567890123456789012345678901\"..., 33) = 33", write, 1, text, 33);
    MAKE(vm, "write(1, \"\", 0) = 0", write, 1, text, 0);
    MAKE(vm, "memfd_create(\"01234567890123456789012345678901\"..., MFD_CLOEXEC) = 3", memfd_create,
         text, MFD_CLOEXEC);
    vm->input = "some input";
    MAKE(vm, "read(0, \"some inp\", 8) = 8", read, 0, OTHER, 8);
    MAKE(vm, "getcwd(\"/\", 80) = 2", getcwd, OTHER, 80);
}

/* Memory that a program may not read, and lengths that nobody would copy. */
static void what_cannot_be_read_is_an_address(void **state)
{
    struct ferry_vm *vm = *state;
    const uint64_t end = SCRATCH_END - 4;

    memcpy(guest(vm, end), "ends", 4); /* and no NUL */
    MAKE(vm, "write(1, 0x12000000, 5) = -1 EFAULT (Bad address)", write, 1, NOWHERE, 5);
    MAKE(vm, "write(1, NULL, 5) = -1 EFAULT (Bad address)", write, 1, 0, 5);
    MAKE(vm, "openat(AT_FDCWD, 0x12000000, O_RDONLY) = -1 EFAULT (Bad address)", openat, AT_CWD,
         NOWHERE, 0);
    MAKE(vm, "chdir(0x1003fffc) = -1 EFAULT (Bad address)", chdir, end);
    MAKE(vm, "fstat(0, 0x12000000) = -1 EFAULT (Bad address)", fstat, 0, NOWHERE);
    MAKE(vm, "rt_sigprocmask(SIG_BLOCK, 0xffffffffffffff00, NULL, 8) = -1 EFAULT (Bad address)",
         rt_sigprocmask, SIG_BLOCK, ~255ull, 0, 8);
    MAKE(vm, "writev(1, 0xffffffffffffff00, -1) = -1 EINVAL (Invalid argument)", writev, 1, ~255ull,
         UINT64_MAX);
    MAKE(vm, "poll(0x12000000, -1, 0) = -1 EINVAL (Invalid argument)", poll, NOWHERE, UINT64_MAX,
         0);
    MAKE(vm, "execve(0x12000000, 0x12000000, 0x12000000 /* 0 vars */) = -1 EFAULT (Bad address)",
         execve, NOWHERE, NOWHERE, NOWHERE);
    assert_true(vm->fetched < 4096);
}

/* Every argument is as long as it can be, and each of its bytes takes four characters. */
static void a_line_is_bounded(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t words[200];

    memset(guest(vm, SCRATCH), 0x80, 16 * PAGE);
    for (size_t i = 0; i < 200; i++)
        words[i] = SCRATCH + i;
    memcpy(guest(vm, SCRATCH + 20 * PAGE), words, sizeof(words));
    for (int i = 0; i < 3; i++) {
        uint64_t at = i ? SCRATCH + 20 * PAGE : SCRATCH;

        linux_call(vm, i < 2 ? SYS_execve : SYS_renameat,
                   (const uint64_t[6]){i < 2 ? SCRATCH : 5, i < 2 ? at : SCRATCH, at, SCRATCH});
        assert_in_range(strlen(vm->traced), 500, 6 * TRACE_ARG_BYTES);
        assert_non_null(strstr(vm->traced, "\\200\"..."));
        assert_non_null(strstr(vm->traced, ") = -1 "));
        vm->traced[0] = '\0';
    }
}

static void structs_are_shown(void **state)
{
    struct ferry_vm *vm = *state;
    const struct iovec pieces[] = {{(void *)OTHER, 3}, {(void *)NOWHERE, 0}};
    const struct pollfd polls[] = {{.fd = 1, .events = POLLOUT | POLLIN}, {.fd = 77}};
    const uint64_t words[] = {OTHER, OTHER, 0};
    const uint64_t mask = signal_bit(SIGINT) | signal_bit(40);

    guest_string(vm, OTHER, "abc");
    memcpy(guest(vm, SCRATCH), pieces, sizeof(pieces));
    MAKE(vm, "writev(1, [{iov_base=\"abc\", iov_len=3}, {iov_base=\"\", iov_len=0}], 2) = 3",
         writev, 1, SCRATCH, 2);
    memcpy(guest(vm, SCRATCH), polls, sizeof(polls));
    MAKE(vm,
         "poll([{fd=1, events=POLLIN|POLLOUT, revents=POLLOUT}, {fd=77, events=0, "
         "revents=POLLNVAL}], 2, 0) = 2",
         poll, SCRATCH, 2, 0);
    memcpy(guest(vm, SCRATCH), words, sizeof(words));
    MAKE(
        vm,
        "execve(\"abc\", [\"abc\", \"abc\"], 0x10000008 /* 1 vars */) = -1 ENOENT (No such file or "
        "directory)",
        execve, OTHER, SCRATCH, SCRATCH + 8);
    memcpy(guest(vm, SCRATCH), &mask, sizeof(mask));
    MAKE(vm, "rt_sigprocmask(SIG_SETMASK, [INT RT_8], [], 8) = 0", rt_sigprocmask, SIG_SETMASK,
         SCRATCH, OTHER, 8);
    memset(guest(vm, SCRATCH), 0xff, 8);
    MAKE(vm, "rt_sigprocmask(SIG_SETMASK, ~[], [INT RT_8], 8) = 0", rt_sigprocmask, SIG_SETMASK,
         SCRATCH, OTHER, 8);
    MAKE(vm, "pipe2([3, 4], O_NONBLOCK|O_CLOEXEC) = 0", pipe2, SCRATCH, O_NONBLOCK | O_CLOEXEC);
    MAKE(vm, "fstat(3, {st_mode=S_IFIFO|0600, st_size=0, ...}) = 0", fstat, 3, SCRATCH);
    MAKE(vm,
         "prlimit64(0, RLIMIT_FSIZE, NULL, {rlim_cur=RLIM64_INFINITY, rlim_max=RLIM64_INFINITY}) = "
         "0",
         prlimit64, 0, RLIMIT_FSIZE, 0, SCRATCH);
    MAKE(vm, "nanosleep({tv_sec=-1, tv_nsec=-1}, NULL) = -1 EINVAL (Invalid argument)", nanosleep,
         SCRATCH, 0);
}

/* ---- calls that are refused, unknown, or end no ordinary way ---------------- */

static void every_call_that_is_offered_has_a_form(void **state)
{
#define NUMBER(name, handler) SYS_##name,
    static const uint16_t numbers[] = {LINUX_CALLS(NUMBER)};
#undef NUMBER
    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        if (!trace_form_of(numbers[i]).known)
            fail_msg("nothing is known of %s", linux_call_name(numbers[i]));
}

static void refused_calls_are_shown(void **state)
{
    struct ferry_vm *vm = *state;

    MAKE(vm,
         "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = -1 EAFNOSUPPORT (Address family not "
         "supported by protocol)",
         socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MAKE(vm, "fork() = -1 EAGAIN (Resource temporarily unavailable)", fork, 0);
    MAKE(vm, "io_uring_enter(0x3, 0, 0, 0, 0, 0x1) = -1 ENOSYS (Function not implemented)",
         io_uring_enter, 3, 0, 0, 0, 0, 1);
    make(vm, 5000, (const uint64_t[6]){1, 2},
         "syscall_0x1388(0x1, 0x2, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)\n");
}

static void calls_of_32_bits_are_shown(void **state)
{
    struct ferry_vm *vm = *state;
    struct linux_call call = {.thread = linux_first_thread(vm->linux_state),
                              .cpu = &vm->cpu,
                              .number = 20,
                              .from_int80 = true};

    linux_serve(vm->linux_state, &call);
    check(vm, "getpid() = 2\n");
    call.number = 13; /* time, whose result is laid out differently */
    linux_serve(vm->linux_state, &call);
    check(vm, "int80_13(0, 0, 0, 0, 0, 0) = -1 ENOSYS (Function not implemented)\n");
}

static void a_call_without_a_result_has_a_question_mark(void **state)
{
    struct ferry_vm *vm = *state;

    vm->stop = true;
    MAKE(vm, "read(0, 0x10000000, 5) = ?", read, 0, SCRATCH, 5);
    vm->stop = false;
    MAKE(vm, "exit_group(3) = ?", exit_group, 3);
}

/* ---- signals ---------------------------------------------------------------- */

static void handle(struct ferry_vm *vm, int signo, uint64_t flags)
{
    const struct signal_action action = {HANDLER, flags | 0x04000000, HANDLER, 0};

    memcpy(guest(vm, SCRATCH), &action, sizeof(action));
    assert_int_equal(CALL(vm, rt_sigaction, (uint64_t)signo, SCRATCH, 0, 8), 0);
}

static void signals_follow_the_call_after_which_they_are_taken(void **state)
{
    struct ferry_vm *vm = *state;
    const struct linux_fault fault = {.signo = SIGSEGV, .code = SEGV_MAPERR, .addr = 0x10};
    int status;

    vm->cpu.sp = vm->cpu.regs.rsp = SCRATCH_END;
    handle(vm, SIGUSR1, SA_RESTART);
    check(vm, "rt_sigaction(SIGUSR1, {sa_handler=0x401000, sa_mask=[], "
              "sa_flags=SA_RESTORER|SA_RESTART, sa_restorer=0x401000}, NULL, 8) = 0\n");
    MAKE(vm,
         "kill(2, SIGUSR1) = 0\n"
         "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=2, si_uid=65534} ---",
         kill, 2, SIGUSR1);
    MAKE(vm, "kill(2, SIGCHLD) = 0", kill, 2, SIGCHLD); /* has no effect */
    handle(vm, SIGSEGV, 0);
    vm->traced[0] = '\0';
    assert_int_equal(linux_fault(vm->linux_state, linux_first_thread(vm->linux_state), &vm->cpu,
                                 &fault, &status),
                     LINUX_RESUME);
    check(vm, "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x10} ---\n");
    MAKE(vm,
         "tgkill(2, 2, SIGTERM) = 0\n"
         "--- SIGTERM {si_signo=SIGTERM, si_code=SI_TKILL, si_pid=2, si_uid=65534} ---",
         tgkill, 2, 2, SIGTERM);
    assert_int_equal(vm->next, LINUX_SIGNAL);
}

static void nothing_is_told_if_nobody_watches(void **state)
{
    struct ferry_vm *vm = linux_vm_create(NULL, -1);

    (void)state;
    CALL(vm, getpid, 0);
    check(vm, "");
    linux_vm_destroy(vm);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_have_names),
        TEST(long_names),
        TEST(words_up_to_the_last_that_is_shown),
        TEST(bytes_are_quoted_and_cut),
        TEST(what_cannot_be_read_is_an_address),
        TEST(a_line_is_bounded),
        TEST(structs_are_shown),
        cmocka_unit_test(every_call_that_is_offered_has_a_form),
        TEST(refused_calls_are_shown),
        TEST(calls_of_32_bits_are_shown),
        TEST(a_call_without_a_result_has_a_question_mark),
        TEST(signals_follow_the_call_after_which_they_are_taken),
        cmocka_unit_test(nothing_is_told_if_nobody_watches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
