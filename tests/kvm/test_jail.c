/* SPDX-License-Identifier: BSD-2-Clause */
/* A process that calls ferry_jail: a forbidden call kills it, whichever thread makes it, and VMs run.
 * Each jail is in a child, as nothing ends it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../guest/ready.h"
#include "kvm_fixture.h"

/* ---- what is forbidden ---------------------------------------------------- */

static void run_a_program(void)
{
    char *const argv[] = {"true", NULL};

    execve("/bin/true", argv, NULL);
}

static void run_a_program_by_descriptor(void)
{
    syscall(SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 0);
}

static void make_a_process(void)
{
    syscall(SYS_fork);
}

static void make_a_name_space(void)
{
    syscall(SYS_unshare, CLONE_NEWUSER);
}

static void make_a_network_socket(void)
{
    socket(AF_INET, SOCK_STREAM, 0);
}

static void make_a_local_socket(void)
{
    socket(AF_UNIX, SOCK_STREAM, 0);
}

static void make_a_pair_of_another_kind(void)
{
    int ends[2];

    socketpair(AF_TIPC, SOCK_SEQPACKET, 0, ends);
}

static void make_a_pair_for_datagrams(void)
{
    int ends[2];

    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends);
}

static void map_code(void)
{
    (void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void make_code_of_data(void)
{
    static _Alignas(4096) char page[4096];

    mprotect(page, sizeof(page), PROT_READ | PROT_EXEC);
}

static void type_into_a_terminal(void)
{
    ioctl(0, TIOCSTI, "x");
}

static void take_a_terminal(void)
{
    ioctl(0, TIOCSCTTY, 1);
}

static void be_told_by_signals(void)
{
    fcntl(0, F_SETOWN, getppid());
}

static void change_limits_of_the_parent(void)
{
    const struct rlimit limit = {0, 0};

    syscall(SYS_prlimit64, getppid(), RLIMIT_CORE, &limit, NULL);
}

static void become_somebody(void)
{
    syscall(SYS_setuid, 0);
}

static void load_a_filter(void)
{
    syscall(SYS_bpf, 0, NULL, 0);
}

static void make_calls_by_a_ring(void)
{
    syscall(SYS_io_uring_setup, 1, NULL);
}

static void call_as_32_bits(void)
{
    long result = 20; /* getpid */

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
}

static void call_as_x32(void)
{
    syscall(0x40000000 | SYS_getpid);
}

#ifndef FERRY_SANITIZED /* the run-time code of a sanitizer makes these */
static void read_the_parent(void)
{
    char byte;
    struct iovec to = {&byte, 1}, from = {&byte, 1};

    process_vm_readv(getppid(), &to, 1, &from, 1, 0);
}

static void signal_the_parent(void)
{
    kill(getppid(), 0);
}

static void signal_a_thread_of_the_parent(void)
{
    syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static void trace_the_parent(void)
{
    ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}
#endif

static const struct {
    const char *name;
    void (*call)(void);
} forbidden[] = {
    {"execve", run_a_program},
    {"execveat", run_a_program_by_descriptor},
    {"fork", make_a_process},
    {"unshare", make_a_name_space},
    {"socket(AF_INET)", make_a_network_socket},
    {"socket(AF_UNIX)", make_a_local_socket},
    {"socketpair(AF_TIPC)", make_a_pair_of_another_kind},
    {"socketpair(SOCK_DGRAM)", make_a_pair_for_datagrams},
    {"mmap(PROT_EXEC)", map_code},
    {"mprotect(PROT_EXEC)", make_code_of_data},
    {"ioctl(TIOCSTI)", type_into_a_terminal},
    {"ioctl(TIOCSCTTY)", take_a_terminal},
    {"fcntl(F_SETOWN)", be_told_by_signals},
    {"prlimit of the parent", change_limits_of_the_parent},
    {"setuid", become_somebody},
    {"bpf", load_a_filter},
    {"io_uring_setup", make_calls_by_a_ring},
    {"int 0x80", call_as_32_bits},
    {"x32", call_as_x32},
#ifndef FERRY_SANITIZED
    {"process_vm_readv of the parent", read_the_parent},
    {"kill of the parent", signal_the_parent},
    {"tgkill of the parent", signal_a_thread_of_the_parent},
    {"ptrace", trace_the_parent},
#endif
};

/* ---- children ------------------------------------------------------------- */

/* How a child ended that does this. It ends without the exit handlers of the test. */
static int status_of(void (*what)(void *arg), void *arg)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        what(arg);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void expect_well(int status)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with %#x: %s", status,
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                     : "the line of its failed check");
}

/* In a child, where cmocka's checks would leave by its long jump. */
#define CHECK(what) ((what) ? (void)0 : _exit(__LINE__ % 251 + 1))

/* Where the engine of each child finds what the first one measured. */
static char kept[] = "/tmp/ferry-jail-XXXXXX";

static struct ferry_engine *make_engine(void)
{
    const struct ferry_engine_config config = {
        .pool_extents = 4, .pool_pages = 1, .measure_cache = kept};
    struct ferry_engine *engine = NULL;
    struct ferry_error error;

    if (ferry_engine_create(&config, &engine, &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        _exit(251);
    }
    return engine;
}

static void close_jail_with(struct ferry_engine *engine, const struct ferry_jail_config *config)
{
    struct ferry_error error;

    if (ferry_jail(engine, config, &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        _exit(250);
    }
}

static void close_jail(struct ferry_engine *engine)
{
    close_jail_with(engine, NULL);
}

static void jailed(void *arg)
{
    void (*const *call)(void) = arg;

    close_jail(make_engine());
    (*call)();
}

static void nothing(void)
{
}

static void forbidden_calls(void **state)
{
    void (*call)(void) = nothing;

    (void)state;
    expect_well(status_of(jailed, &call));
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        call = forbidden[i].call;
        int status = status_of(jailed, &call);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("%s: the child ended with %#x, not by SIGSYS", forbidden[i].name, status);
    }
}

/* ---- other threads -------------------------------------------------------- */

static atomic_bool closed;

static void *later(void *arg)
{
    while (!atomic_load(&closed))
        sched_yield();
    run_a_program();
    return arg;
}

static void with_a_thread(void *arg)
{
    pthread_t thread;

    (void)arg;
    CHECK(pthread_create(&thread, NULL, later, NULL) == 0);
    close_jail(make_engine());
    atomic_store(&closed, true);
    pthread_join(thread, NULL);
}

/* It was there before the jail. */
static void a_thread_is_held_as_well(void **state)
{
    (void)state;
    int status = status_of(with_a_thread, NULL);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* ---- what the process is then --------------------------------------------- */

static void look_at_itself(void *arg)
{
    char text[8192] = {0};
    struct rlimit core;

    (void)arg;
    close_jail(make_engine());
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    CHECK(read(fd, text, sizeof(text) - 1) > 0);
    CHECK(strstr(text, "\nSeccomp:\t2\n"));
    CHECK(strstr(text, "\nNoNewPrivs:\t1\n"));
    CHECK(strstr(text, "\nCapEff:\t0000000000000000\n"));
    CHECK(strstr(text, "\nCapPrm:\t0000000000000000\n"));
    CHECK(geteuid() != 0 || strstr(text, "\nCapBnd:\t0000000000000000\n"));
    CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
}

static void what_the_process_is(void **state)
{
    (void)state;
    expect_well(status_of(look_at_itself, NULL));
}

/* ---- files ------------------------------------------------------------------ */

/* Of this user, so nothing but the walls refuses them. */
static char outside[] = "/tmp/ferry-outside-XXXXXX", inside[] = "/tmp/ferry-inside-XXXXXX",
            read_only[] = "/tmp/ferry-read-XXXXXX";

static char *const directories[] = {outside, inside, read_only};

static const char *in(const char *directory, const char *name)
{
    static char path[4][128];
    static unsigned next;
    char *to = path[next++ % 4];

    snprintf(to, sizeof(path[0]), "%s/%s", directory, name);
    return to;
}

static void make_directories(void)
{
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        assert_non_null(mkdtemp(directories[i]));
        close(open(in(directories[i], "file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
        assert_int_equal(symlink("/etc/passwd", in(directories[i], "link")), 0);
        assert_int_equal(symlink(in(outside, "file"), in(directories[i], "out")), 0);
    }
}

static void remove_directories(void)
{
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        unlink(in(directories[i], "file"));
        unlink(in(directories[i], "link"));
        unlink(in(directories[i], "out"));
        unlink(in(directories[i], "moved"));
        unlink(in(directories[i], "made"));
        rmdir(directories[i]);
        strcpy(strrchr(directories[i], '-'), "-XXXXXX");
    }
}

static bool opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    return fd >= 0 || errno != EACCES;
}

static bool opens_anew(const char *path)
{
    char name[64];
    int fd = open(path, O_PATH | O_CLOEXEC);

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return opens(name, O_RDONLY);
}

static void look_outside(void *arg)
{
    const char *const read_paths[] = {read_only, NULL}, *const write_paths[] = {inside, NULL};
    const struct ferry_jail_config config = {
        .files_of_others = true, .read_only_paths = read_paths, .read_write_paths = write_paths};
    int before = open(in(outside, "file"), O_RDWR | O_CLOEXEC);

    (void)arg;
    close_jail_with(make_engine(), &config);
    CHECK(before >= 0 && write(before, "x", 1) == 1); /* what was open stays so */
    CHECK(!opens(in(outside, "file"), O_RDONLY));
    CHECK(!opens(in(outside, "file"), O_WRONLY));
    CHECK(!opens(in(outside, "made"), O_WRONLY | O_CREAT));
    CHECK(!opens(outside, O_RDONLY | O_DIRECTORY));
    CHECK(!opens("/etc/passwd", O_RDONLY)); /* which everybody may read */
    CHECK(!opens("/proc/1/environ", O_RDONLY));
    CHECK(!opens("/proc/self/mem", O_RDWR));
    CHECK(!opens_anew(in(outside, "file"))); /* by whichever name, */
    CHECK(!opens(in(inside, "out"), O_RDONLY));
    CHECK(!opens(in(inside, "link"), O_RDONLY)); /* or link */
    CHECK(unlink(in(outside, "file")) < 0 && errno == EACCES);
    CHECK(rename(in(outside, "file"), in(inside, "moved")) < 0);
    CHECK(linkat(AT_FDCWD, in(outside, "file"), AT_FDCWD, in(inside, "moved"), 0) < 0);
    CHECK(opens(in(read_only, "file"), O_RDONLY));
    CHECK(opens(read_only, O_RDONLY | O_DIRECTORY));
    CHECK(!opens(in(read_only, "file"), O_WRONLY));
    CHECK(!opens(in(read_only, "made"), O_WRONLY | O_CREAT));
    CHECK(unlink(in(read_only, "file")) < 0);
    CHECK(opens(in(inside, "made"), O_RDWR | O_CREAT));
    CHECK(rename(in(inside, "made"), in(inside, "moved")) == 0);
    CHECK(opens(in(inside, "file"), O_RDWR));
    CHECK(opens("/proc/self/maps", O_RDONLY));
}

static void *look(void *arg)
{
    *(bool *)arg = opens(in(outside, "file"), O_RDONLY);
    return NULL;
}

static void look_on_a_thread(void *arg)
{
    pthread_t thread;
    bool opened = true;

    (void)arg;
    close_jail(make_engine());
    CHECK(pthread_create(&thread, NULL, look, &opened) == 0);
    pthread_join(thread, NULL);
    CHECK(!opened);
}

static void nothing_outside_is_opened(void **state)
{
    (void)state;
#ifdef FERRY_SANITIZED /* its run-time code writes anywhere */
    skip();
#endif
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* the version */) < 2)
        skip();
    make_directories();
    int status = status_of(look_outside, NULL), other = status_of(look_on_a_thread, NULL);
    remove_directories();
    expect_well(status);
    expect_well(other);
}

/* ---- VMs ------------------------------------------------------------------- */

static struct ferry_vm *make_vm(struct ferry_engine *engine, const char *program)
{
    char path[4096];
    char *const argv[] = {(char *)program, NULL};
    const struct ferry_vm_config config = {
        .program = path, .argv = argv, .timeout_ns = PATIENCE, .stderr_fd = -1};
    struct ferry_error error;
    struct ferry_vm *vm = NULL;

    snprintf(path, sizeof(path), "%s/%s", getenv("FERRY_TEST_GUESTS"), program);
    if (ferry_vm_create(engine, &config, &vm, &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        _exit(249);
    }
    return vm;
}

static void expect_exit(struct ferry_vm *vm)
{
    struct ferry_vm_exit end;

    CHECK(ferry_vm_wait(vm, PATIENCE, &end) == 0);
    if (end.how != FERRY_ENDED_EXIT || end.status != 0) {
        fprintf(stderr, "%s\n", end.text);
        _exit(248);
    }
}

/* Its threads move themselves to processors of their own. */
static void measure_machine(void *arg)
{
    struct ferry_machine machine;

    (void)arg;
    close_jail(make_engine());
    ferry_machine_probe(&machine);
    CHECK(machine.kvm_errno == 0);
}

static void a_machine_is_measured_in_a_jail(void **state)
{
    (void)state;
    expect_well(status_of(measure_machine, NULL));
}

/* One VM is made before the jail, and another in it. */
static void run_vms(void *arg)
{
    const char *const programs[] = {getenv("FERRY_TEST_GUESTS"), NULL};
    const struct ferry_jail_config config = {.read_only_paths = programs};
    struct ferry_engine *engine = make_engine();
    struct ferry_error error;

    (void)arg;
    struct ferry_vm *first = make_vm(engine, "signals_threads");
    close_jail_with(engine, &config);
    CHECK(ferry_vm_start(first, &error) == 0);
    expect_exit(first);
#ifndef FERRY_SANITIZED /* where prctl may be called */
    CHECK(ferry_jail(engine, NULL, &error) == -EALREADY);
#endif
    struct ferry_vm *second = make_vm(engine, "nothing");
    CHECK(ferry_vm_start(second, &error) == 0);
    expect_exit(second);
    ferry_vm_destroy(first);
    ferry_vm_destroy(second);
    ferry_engine_destroy(engine);
}

static void vms_run_in_a_jail(void **state)
{
    (void)state;
    expect_well(status_of(run_vms, NULL));
}

/* A request of tests/guest/ready.c, and the answer. */
static uint64_t ask(struct ferry_link *to, struct ferry_link *from, enum ready_request request)
{
    static char text[SECRET_BYTES] = "kept";
    const struct ferry_message message = {
        .mode = FERRY_COPY, .tag = request, .data = text, .bytes = sizeof(text)};
    struct ferry_message answer;

    CHECK(ferry_link_send(to, &message, PATIENCE) == 0);
    CHECK(ferry_link_recv(from, PATIENCE, &answer) == 0 && answer.mode == FERRY_INLINE);
    return answer.tag;
}

/* Its program writes files in memory, and begins threads and processes. */
static void bring_a_vm_back(void *arg)
{
    const char *const programs[] = {getenv("FERRY_TEST_GUESTS"), NULL};
    const struct ferry_jail_config config = {.read_only_paths = programs};
    struct ferry_engine *engine = make_engine();
    struct ferry_link *to, *from;
    struct ferry_error error;

    (void)arg;
    struct ferry_vm *vm = make_vm(engine, "ready");
    CHECK(ferry_link_create(engine, NULL, vm, NULL, &to, &error) == 0);
    CHECK(ferry_link_create(engine, vm, NULL, NULL, &from, &error) == 0);
    close_jail_with(engine, &config);
    CHECK(ferry_vm_snapshot(vm, PATIENCE, &error) == 0);
    for (uint64_t copy = 1; copy < 4; copy++) {
        CHECK(ask(to, from, READY_COUNT) == (1ull << 32 | copy));
        ask(to, from, READY_KEEP_ALL);
        ask(to, from, READY_THREADS);
        CHECK(ferry_vm_reset(vm, &error) == 0);
        CHECK(ask(to, from, READY_LOOK) == 0); /* also of the files in memory */
    }
    ferry_vm_destroy(vm);
    ferry_engine_destroy(engine);
}

static void a_vm_is_brought_back_in_a_jail(void **state)
{
    (void)state;
    expect_well(status_of(bring_a_vm_back, NULL));
}

static void after_a_start(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "nothing", NULL);
    struct ferry_error error;

    world_start(world);
    assert_int_equal(ferry_jail(world->engine, NULL, &error), -EBUSY);
    assert_non_null(strstr(error.text, "'a' has been started"));
    assert_int_equal(prctl(PR_GET_SECCOMP), 0);
    world_wait(world);
    world_expect_ok(world, a);
}

static void measure(void *arg)
{
    (void)arg;
    ferry_engine_destroy(make_engine());
}

/* Measures once, for the others. This process has no threads: a sanitizer lets no child of one that
 * has make more. */
static int keep_measures(void **state)
{
    static bool no_kvm;

    close(mkstemp(kept));
    no_kvm = status_of(measure, NULL) != 0;
    *state = &no_kvm;
    return 0;
}

/* As world_setup. */
static int need_kvm(void **state)
{
    if (*(bool *)*state && !getenv("FERRY_REQUIRE_KVM"))
        skip();
    return 0;
}

static int forget(void **state)
{
    char cpuid[sizeof(kept) + sizeof(".cpuid")];

    (void)state;
    snprintf(cpuid, sizeof(cpuid), "%s.cpuid", kept);
    unlink(cpuid);
    return unlink(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(forbidden_calls, need_kvm),
        cmocka_unit_test_setup(a_thread_is_held_as_well, need_kvm),
        cmocka_unit_test_setup(what_the_process_is, need_kvm),
        cmocka_unit_test_setup(nothing_outside_is_opened, need_kvm),
        cmocka_unit_test_setup(vms_run_in_a_jail, need_kvm),
        cmocka_unit_test_setup(a_vm_is_brought_back_in_a_jail, need_kvm),
        cmocka_unit_test_setup(a_machine_is_measured_in_a_jail, need_kvm),
        kvm_test(after_a_start), /* the last: from here on there are threads */
    };

    return cmocka_run_group_tests_name("jail", tests, keep_measures, forget);
}
