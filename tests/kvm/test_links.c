/* SPDX-License-Identifier: BSD-2-Clause */
/* Links and VMs come and go in one engine: nothing is used up, and no thread inside a call is left
 * behind. A call with timeout 0 makes no system call. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../until.h"
#include "kvm_fixture.h"

/* --- nothing is used up --- */

static long field(const char *name)
{
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/self/status", "r");

    assert_non_null(file);
    while (value < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    fclose(file);
    assert_true(value >= 0);
    return value;
}

/* ThreadSanitizer's allocator maps and unmaps memory by itself, so with it only mappings of something
 * that has a name count: the pool, files, and what KVM shares. */
static bool counts(const char *mapping)
{
#ifdef __SANITIZE_THREAD__
    return strchr(mapping, '/') || strstr(mapping, "anon_inode:");
#else
    (void)mapping;
    return true;
#endif
}

static int count_maps(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    char line[8192];
    int count = 0;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        count += counts(line);
    fclose(file);
    return count;
}

static void run_one(struct world *world)
{
    int a = world_add(world, NULL, "nothing", NULL);

    world_link(world, -1, a);
    world_link(world, a, -1);
    world_start(world);
    world_wait(world);
    world_expect_ok(world, a);
    ferry_vm_destroy(world->vm[a]);
    world->count = 0;
}

#define WARM 50

static void vms_leave_nothing_behind(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < WARM; i++)
        run_one(world);
    long kib = field("RssAnon:");
    int maps = count_maps();
    for (unsigned i = 0; i < world_many(400); i++)
        run_one(world);
    int more = count_maps() - maps;
    assert_true(more <= 2);
    long grown = field("RssAnon:") - kib; /* one VM and its links took 30 before */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)grown; /* sanitizers keep what was freed */
#else
    assert_true(grown < 256);
#endif
}

/* There are 8192 places for ends of links. */
static void more_links_than_places(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "nothing", NULL), b = world_add(world, "b", "nothing", NULL);

    for (int i = 0; i < 9000; i++) {
        struct ferry_link *in = world_link(world, -1, a), *out = world_link(world, a, -1);
        struct ferry_link *across = world_link(world, a, b);
        ferry_link_destroy(in);
        ferry_link_destroy(across);
        ferry_link_destroy(out);
    }
    ferry_link_destroy(NULL);
    world_start(world);
    world_wait(world);
    world_expect_ok(world, a);
}

/* --- who is inside a call --- */

struct caller {
    struct ferry_link *link;
    atomic_int tid;
    int result;
};

static void *receive(void *arg)
{
    struct caller *caller = arg;
    struct ferry_message message;

    atomic_store(&caller->tid, (int)syscall(SYS_gettid));
    caller->result = ferry_link_recv(caller->link, UINT64_MAX, &message);
    return NULL;
}

static void callers_return_first(void **state)
{
    struct world *world = *state;

    for (int with_vm = 0; with_vm < 2; with_vm++) {
        int a = world_add(world, NULL, "spin", NULL);
        struct caller caller = {.link = world_link(world, a, -1)};
        pthread_t thread;

        assert_int_equal(ferry_vm_start(world->vm[a], NULL), 0);
        assert_int_equal(pthread_create(&thread, NULL, receive, &caller), 0);
        until_asleep(&caller.tid);
        if (!with_vm)
            ferry_link_destroy(caller.link);
        ferry_vm_destroy(world->vm[a]);
        world->count = 0;
        pthread_join(thread, NULL);
        /* The end of a VM is also a hang-up, which may come first. */
        if (caller.result != -ECANCELED)
            assert_int_equal(with_vm ? caller.result : -1, 0);
    }
}

/* A guest that runs is told: its input ends, and what it writes is read no more. */
static void a_running_guest_learns_of_it(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "stdio", NULL);
    struct ferry_link *in = world_stream(world, -1, a), *out = world_stream(world, a, -1);
    char text[64] = "";
    struct ferry_message message = {.mode = FERRY_INLINE, .data = "word\n", .bytes = 5};

    world_start(world);
    assert_int_equal(ferry_link_send(in, &message, PATIENCE), 0);
    ferry_link_destroy(in);
    world_read_all(out, text, sizeof text);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_EXIT);
    assert_non_null(strstr(text, "word"));
}

/* --- looks --- */

static volatile sig_atomic_t calls_seen, last_call;

static void on_call(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    calls_seen++;
    last_call = info->si_syscall;
}

/* From here on each system call of this thread is counted and not made, except those of mutexes:
 * the ticker may hold the lock of an endpoint at that moment. The library waits by other
 * operations. */
static void count_calls(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 6, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAIT_PRIVATE, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAKE_PRIVATE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};

    sigaction(SIGSYS, &action, NULL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

#define LOOKS 100

struct looker {
    struct ferry_vm *vm;
    struct ferry_link *in, *out;
    struct ferry_message lent;
    int wrong, calls, call;
};

static void *look(void *arg)
{
    struct looker *looker = arg;
    struct ferry_message message;
    void *addr;
    size_t bytes;

    /* Where the lock order is proved, the first lock of a thread may get memory for that. */
    looker->wrong += ferry_vm_wait(looker->vm, 0, NULL) != -ETIMEDOUT;
    count_calls();
    syscall(SYS_getpid); /* it is counted */
    looker->wrong += calls_seen != 1;
    for (int i = 0; i < LOOKS; i++) {
        looker->wrong += ferry_link_recv(looker->out, 0, &message) != -ETIMEDOUT;
        looker->wrong += ferry_vm_wait(looker->vm, 0, NULL) != -ETIMEDOUT;
        looker->wrong += ferry_link_reclaim(looker->in, 0, &addr, &bytes) != -ETIMEDOUT;
        looker->wrong += ferry_link_send(looker->in, &looker->lent, 0) != -ETIMEDOUT;
    }
    looker->calls = calls_seen - 1;
    looker->call = last_call;
    syscall(SYS_exit, 0); /* pthread_exit would make others */
    return NULL;
}

static void a_look_makes_no_system_call(void **state)
{
    struct world *world = *state;
#ifdef __SANITIZE_THREAD__
    skip(); /* it holds signals back, so a call cannot be counted */
#endif
    int a = world_add(world, "a", "spin", NULL);
    struct looker looker = {
        .vm = world->vm[a], .in = world_link(world, -1, a), .out = world_link(world, a, -1)};
    pthread_t thread;
    void *page;

    assert_int_equal(ferry_link_alloc(looker.in, 49, true, &page), 0);
    for (int i = 0; i <= 48; i++) {
        looker.lent = (struct ferry_message){
            .mode = FERRY_LEND, .data = (char *)page + i * 4096, .bytes = 4096};
        assert_int_equal(ferry_link_send(looker.in, &looker.lent, 0), i < 48 ? 0 : -ETIMEDOUT);
    }
    world_start(world);
    assert_int_equal(pthread_create(&thread, NULL, look, &looker), 0);
    pthread_join(thread, NULL);
    assert_int_equal(looker.wrong, 0);
    if (looker.calls)
        fail_msg("%d system calls, the last of them %d", looker.calls, looker.call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(vms_leave_nothing_behind),    kvm_test(more_links_than_places),
        kvm_test(callers_return_first),        kvm_test(a_running_guest_learns_of_it),
        kvm_test(a_look_makes_no_system_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
