/* SPDX-License-Identifier: BSD-2-Clause */
/* Engines and VMs come and go: order, errors, stopping, many of them, and what they leave
 * behind. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../until.h"
#include "kvm_fixture.h"

static void create_errors(void **state)
{
    static const struct {
        const char *program;
        int code;
        const char *text;
    } cases[] = {{"/no/such/program", -ENOENT, "not found"},
                 {"/etc", -EISDIR, "directory"},
                 {"/etc/passwd", -ENOEXEC, "not an ELF file"}};
    struct world *world = *state;
    struct ferry_error err;
    struct ferry_vm *vm;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct ferry_vm_config config = {.program = cases[i].program};
        assert_int_equal(ferry_vm_create(world->engine, &config, &vm, &err), cases[i].code);
        if (!strstr(err.text, cases[i].text) || !strstr(err.text, cases[i].program))
            fail_msg("no '%s' or no path in: %s", cases[i].text, err.text);
        assert_null(strchr(err.text, '\n'));
    }
}

/* Names that cannot be, and those that are made up: peers and people must tell VMs apart. */
static void names(void **state)
{
    static const struct {
        const char *name;
        int code;
        const char *text;
    } cases[] = {{"", -EINVAL, "empty"},
                 {"0123456789012345678901234567890", 0, ""},
                 {"01234567890123456789012345678901", -EINVAL, "too long"},
                 {"host", -EINVAL, "host"},
                 {"hosts", 0, ""},
                 {"a\nb", -EINVAL, "control"},
                 {"\x1b[2J", -EINVAL, "control"},
                 {"a\x7f", -EINVAL, "control"},
                 {"a\xc2\x9b", -EINVAL, "control"},
                 {"caf\xc3\xa9", 0, ""},
                 {"hosts", -EEXIST, "'hosts' already"}};
    struct world *world = *state;
    struct ferry_vm_config config = {0};
    struct ferry_error err;
    char path[512];

    snprintf(path, sizeof path, "%s/spin", getenv("FERRY_TEST_GUESTS"));
    config.program = path;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ferry_vm *vm = NULL;
        config.name = cases[i].name;
        int result = ferry_vm_create(world->engine, &config, &vm, &err);
        if (result != cases[i].code || (result < 0 && !strstr(err.text, cases[i].text)))
            fail_msg("row %zu: %d, %s", i, result, result < 0 ? err.text : "");
        if (result == 0)
            world->vm[world->count++] = vm;
    }
    config.name = NULL;
    for (int i = 0; i < 3; i++)
        assert_int_equal(ferry_vm_create(world->engine, &config, &world->vm[world->count++], &err),
                         0);
    struct ferry_vm **made = &world->vm[world->count - 3];
    assert_string_equal(ferry_vm_name(made[0]), "spin");
    assert_non_null(strstr(ferry_vm_name(made[1]), "spin."));
    assert_non_null(strstr(ferry_vm_name(made[2]), "spin."));
    assert_string_not_equal(ferry_vm_name(made[1]), ferry_vm_name(made[2]));
    /* A name is free again when its VM is gone. */
    ferry_vm_destroy(made[0]);
    world->count--;
    made[0] = made[1];
    made[1] = made[2];
    assert_int_equal(ferry_vm_create(world->engine, &config, &world->vm[world->count], &err), 0);
    assert_string_equal(ferry_vm_name(world->vm[world->count++]), "spin");
}

/* The memory of a VM's config is the caller's again at once, except `user`, which the VM
 * remembers. */
static void a_vm_remembers_what_its_maker_gave_it(void **state)
{
    struct world *world = *state;
    struct ferry_vm_config config = {0};
    int mine, a = world_add(world, "a", "nothing", NULL);
    char path[512];

    snprintf(path, sizeof path, "%s/nothing", getenv("FERRY_TEST_GUESTS"));
    config.program = path;
    config.user = &mine;
    assert_int_equal(ferry_vm_create(world->engine, &config, &world->vm[world->count++], NULL), 0);
    memset(&config, 0, sizeof config);
    assert_ptr_equal(ferry_vm_user(world->vm[a + 1]), &mine);
    assert_null(ferry_vm_user(world->vm[a]));
}

static void values_that_are_none(void **state)
{
    struct world *world = *state;
    struct ferry_vm_config configs[4] = {0};
    struct ferry_engine_config wrong = {.log_level = (enum ferry_log_level)4};
    struct ferry_engine *engine;
    struct ferry_error err;
    struct ferry_vm *vm;

    configs[0].delivery = (enum ferry_delivery)3;
    configs[1].delivery = (enum ferry_delivery) - 1;
    configs[2].transfer = (enum ferry_transfer)3;
    configs[3].stderr_fd = -2;
    for (int i = 0; i < 4; i++) {
        configs[i].program = "/proc/self/exe"; /* which would be refused otherwise */
        assert_int_equal(ferry_vm_create(world->engine, &configs[i], &vm, &err), -EINVAL);
        assert_non_null(strstr(err.text, "is no value of ferry_vm_config."));
    }
    configs[0] = (struct ferry_vm_config){.program = "/proc/self/exe", .processes = 1025};
    assert_int_equal(ferry_vm_create(world->engine, &configs[0], &vm, &err), -EINVAL);
    assert_non_null(strstr(err.text, "1025 processes are too many"));
    assert_int_equal(ferry_engine_create(&wrong, &engine, &err), -EINVAL);
    assert_non_null(strstr(err.text, "log_level"));
    for (size_t i = 0; i < 2; i++) {
        const int cpu = i == 0 ? -1 : 1 << 20;
        const struct ferry_engine_config nowhere = {.polled = true, .polled_cpu = &cpu};

        assert_int_equal(ferry_engine_create(&nowhere, &engine, &err), -EINVAL);
        assert_non_null(strstr(err.text, "of polled_cpu may not be used"));
    }
}

static void link_errors(void **state)
{
    struct world *world = *state;
    struct ferry_link *link;
    struct ferry_error err;
    const struct ferry_link_config many = {.max_messages = 49}, stream = {.stream = true};
    int a = world_add(world, "a", "spin", NULL), b = world_add(world, "b", "spin", NULL);
    struct ferry_vm *va = world->vm[a], *vb = world->vm[b];

    assert_int_equal(ferry_link_create(world->engine, va, va, NULL, &link, &err), -EINVAL);
    assert_int_equal(ferry_link_create(world->engine, NULL, NULL, NULL, &link, &err), -EINVAL);
    assert_int_equal(ferry_link_create(world->engine, va, vb, &many, &link, &err), -EINVAL);
    assert_int_equal(ferry_link_create(world->engine, va, vb, &stream, &link, &err), 0);
    assert_int_equal(ferry_link_create(world->engine, va, vb, NULL, &link, &err), -EEXIST);
    assert_int_equal(ferry_link_create(world->engine, va, NULL, &stream, &link, &err), -EEXIST);
    assert_int_equal(ferry_link_hangup(link), -EPERM);
    assert_int_equal(ferry_link_refuse(link), -EPERM);
    assert_int_equal(ferry_vm_start(va, &err), 0);
    assert_int_equal(ferry_vm_start(va, &err), -EALREADY);
    assert_int_equal(ferry_link_create(world->engine, vb, va, NULL, &link, &err), -EBUSY);
}

static void stop_and_wait(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "spin", NULL);

    world_start(world);
    assert_int_equal(ferry_vm_wait(world->vm[a], 1000000, NULL), -ETIMEDOUT);
    ferry_vm_stop(world->vm[a], SIGINT);
    ferry_vm_stop(world->vm[a], SIGTERM); /* the first word counts */
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_STOPPED);
    assert_int_equal(world->exit[a].signo, SIGINT);
    assert_int_equal(world->exit[a].status, 128 + SIGINT);
}

#define STARTERS 4
#define STARTS   50

struct starters {
    pthread_barrier_t go;
    struct ferry_vm *vm;
    int result[STARTERS];
    atomic_int next;
};

static void *start_one(void *arg)
{
    struct starters *starters = arg;
    int mine = atomic_fetch_add(&starters->next, 1);

    pthread_barrier_wait(&starters->go);
    starters->result[mine] = ferry_vm_start(starters->vm, NULL);
    return NULL;
}

/* If several threads start a VM at once, one succeeds. */
static void starts_once(void **state)
{
    struct world *world = *state;

    for (int round = 0; round < STARTS; round++) {
        struct starters starters = {.vm = world->vm[world_add(world, NULL, "nothing", NULL)]};
        pthread_t threads[STARTERS];
        int good = 0, refused = 0;

        pthread_barrier_init(&starters.go, NULL, STARTERS);
        for (int i = 0; i < STARTERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, start_one, &starters), 0);
        for (int i = 0; i < STARTERS; i++)
            pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&starters.go);
        for (int i = 0; i < STARTERS; i++) {
            good += starters.result[i] == 0;
            refused += starters.result[i] == -EALREADY;
        }
        assert_int_equal(good, 1);
        assert_int_equal(refused, STARTERS - 1);
        ferry_vm_destroy(starters.vm);
        world->count = 0;
    }
}

struct waiter {
    struct ferry_vm *vm;
    atomic_int tid;
    int result;
    struct ferry_vm_exit exit;
};

static void *wait_for_end(void *arg)
{
    struct waiter *waiter = arg;

    atomic_store(&waiter->tid, gettid());
    waiter->result = ferry_vm_wait(waiter->vm, UINT64_MAX, &waiter->exit);
    return NULL;
}

/* A VM that is destroyed releases every thread that waits for its end, even if it never ran. */
static void waiters_outlive_their_vm(void **state)
{
    struct world *world = *state;

    for (int started = 0; started < 2; started++) {
        struct waiter waiters[2] = {{0}};
        pthread_t threads[2];
        struct ferry_vm *vm = world->vm[world_add(world, "a", "spin", NULL)];

        if (started)
            world_start(world);
        for (int i = 0; i < 2; i++) {
            waiters[i].vm = vm;
            assert_int_equal(pthread_create(&threads[i], NULL, wait_for_end, &waiters[i]), 0);
            until_asleep(&waiters[i].tid);
        }
        ferry_vm_destroy(vm);
        world->count = 0;
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(waiters[i].result, started ? 0 : -ECANCELED);
            assert_int_equal(waiters[i].exit.how, started ? FERRY_ENDED_STOPPED : 0);
        }
    }
}

/* Two VMs share a standard error that nobody reads: they wait, and can still be stopped. */
static void stops_while_standard_error_is_full(void **state)
{
    struct world *world = *state;
    int ends[2], kept = world->stderr_fd;
    struct pollfd room;

    assert_int_equal(pipe(ends), 0);
    world->stderr_fd = ends[1];
    world_add(world, "a", "chatter", NULL);
    world_add(world, "b", "chatter", NULL);
    world_start(world);
    do { /* bounded by the VMs' own time limit */
        room = (struct pollfd){.fd = ends[1], .events = POLLOUT};
        assert_int_not_equal(ferry_vm_wait(world->vm[0], 1000000, NULL), 0);
    } while (poll(&room, 1, 0) == 1);
    ferry_vm_stop(world->vm[0], SIGTERM);
    ferry_vm_stop(world->vm[1], SIGTERM);
    world_wait(world);
    for (int i = 0; i < 2; i++)
        assert_int_equal(world->exit[i].how, FERRY_ENDED_STOPPED);
    world->stderr_fd = kept;
    close(ends[0]);
    close(ends[1]);
}

/* A VM may be destroyed while it runs, before it ran, and while it waits for input. */
static void destroy_at_any_time(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "spin", NULL), b = world_add(world, "b", "stdio", NULL);

    world_stream(world, -1, b);
    world_start(world);
    world_add(world, "c", "spin", NULL);
    ferry_vm_destroy(world->vm[a]);
    ferry_vm_destroy(world->vm[b]);
    ferry_vm_destroy(world->vm[2]);
    ferry_vm_destroy(NULL);
    world->count = 0;
}

/* Places of the dead are taken again, and nothing of them stays open. */
static void a_hundred_in_turn(void **state)
{
    struct world *world = *state;
    char name[16];

    int before = dup(0);
    close(before);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "vm%d", i);
        int a = world_add(world, name, "send", "host", "lend", "auto", "2", "4096", NULL);
        struct ferry_link *link = world_link(world, a, -1);
        struct ferry_message message;
        world_start(world);
        for (int n = 0; n < 2; n++) {
            assert_int_equal(ferry_link_recv(link, PATIENCE, &message), 0);
            assert_int_equal(ferry_link_release(link, message.token), 0);
        }
        world_wait(world);
        world_expect_ok(world, a);
        ferry_vm_destroy(world->vm[a]);
        world->count = 0;
    }
    int after = dup(0);
    close(after);
    assert_true(after <= before + 1); /* the shared image is kept */
}

static void two_engines(void **state)
{
    struct world *world = *state, *other;
    void *second = NULL;

    assert_int_equal(world_setup(&second), 0);
    other = second;
    int a = world_add(world, "a", "syscalls", NULL), b = world_add(other, "b", "syscalls", NULL);
    world_start(world);
    world_start(other);
    world_wait(world);
    world_wait(other);
    world_expect_ok(world, a);
    world_expect_ok(other, b);
    assert_int_equal(world_teardown(&second), 0);
}

static void what_the_machine_offers(void **state)
{
    struct world *world = *state;
    struct ferry_machine machine;
    struct ferry_engine_info info;

    ferry_machine_probe(&machine);
    assert_int_equal(machine.kvm_errno, 0);
    assert_int_equal(machine.kvm_api, 12);
    assert_true(machine.exit_ns > 0 && machine.handover_ns > 0 && machine.copy_ns > 0);
    ferry_engine_info(world->engine, &info);
    assert_int_equal(info.pool_bytes, 65ull << 21);
    assert_true(info.crossover_bytes > 0);
    assert_int_equal(info.huge, machine.huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(names),
        kvm_test(a_vm_remembers_what_its_maker_gave_it),
        kvm_test(values_that_are_none),
        kvm_test(starts_once),
        kvm_test(waiters_outlive_their_vm),
        kvm_test(create_errors),
        kvm_test(link_errors),
        kvm_test(stop_and_wait),
        kvm_test(stops_while_standard_error_is_full),
        kvm_test(destroy_at_any_time),
        kvm_test(a_hundred_in_turn),
        kvm_test(two_engines),
        kvm_test(what_the_machine_offers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
