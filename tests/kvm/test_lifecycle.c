/* SPDX-License-Identifier: BSD-2-Clause */
/* Engines and VMs come and go: order, errors, stopping, many of them, and what they leave behind. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kvm_fixture.h"

static void create_errors(void **state)
{
    static const struct {
        const char *program;
        int code;
        const char *text;
    } cases[] = {{"/no/such/program", -ENOENT, "not found"},
                 {"/etc", -EISDIR, "directory"},
                 {"/etc/passwd", -ENOEXEC, "not an ELF file"},
                 {"/proc/self/exe", -ENOEXEC, "dynamically linked"}};
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

/* Destroyed while it runs, before it ran, and while it waits for input. */
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
            assert_int_equal(ferry_recv(link, PATIENCE, &message), 0);
            assert_int_equal(ferry_release(link, message.token), 0);
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

    assert_int_equal(ferry_machine_probe(&machine), 0);
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
        kvm_test(create_errors),       kvm_test(link_errors),
        kvm_test(stop_and_wait),       kvm_test(stops_while_standard_error_is_full),
        kvm_test(destroy_at_any_time), kvm_test(a_hundred_in_turn),
        kvm_test(two_engines),         kvm_test(what_the_machine_offers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
