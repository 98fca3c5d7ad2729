/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that break a rule: only that program ends, with a report that says how and where; its
 * peer ends well and this process goes on.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvm_fixture.h"

/* The exit of one guest that must crash with `signo` and a text that has all
 * of these words (a NULL-terminated list). */
static void expect_crash(struct world *world, int place, int signo, ...)
{
    const struct ferry_vm_exit *end = &world->exit[place];
    const char *word;
    va_list words;

    if (end->how != FERRY_ENDED_CRASH || end->signo != signo)
        fail_msg("not a crash by signal %d: %s; guests said: %s", signo, end->text,
                 world_said(world));
    assert_int_equal(end->status, 128 + signo);
    va_start(words, signo);
    while ((word = va_arg(words, const char *)))
        if (!strstr(end->text, word))
            fail_msg("no '%s' in: %s", word, end->text);
    va_end(words);
}

static void crash_alone(struct world *world, const char *program)
{
    world_add(world, "a", program, NULL);
    world_start(world);
    world_wait(world);
}

static void jump_nowhere(void **state)
{
    struct world *world = *state;

    crash_alone(world, "jump_nowhere");
    expect_crash(world, 0, SIGSEGV, "SIGSEGV", "0x123456789", "ran code", NULL);
    assert_int_equal(world->exit[0].rip, 0x123456789);
    assert_true(world->exit[0].address_known);
    assert_int_equal(world->exit[0].address, 0x123456789);
}

static void null_read(void **state)
{
    struct world *world = *state;

    crash_alone(world, "null_read");
    expect_crash(world, 0, SIGSEGV, "main+0x", "read from", "not mapped", NULL);
    assert_true(world->exit[0].address_known);
    assert_true(world->exit[0].address < 4096);
}

static void exec_stack(void **state)
{
    crash_alone(*state, "exec_stack");
    expect_crash(*state, 0, SIGSEGV, "ran code", "not executable", NULL);
}

static void divide(void **state)
{
    crash_alone(*state, "divide");
    expect_crash(*state, 0, SIGFPE, "main+0x", "divided", NULL);
}

static void invalid_instruction(void **state)
{
    crash_alone(*state, "ud2");
    expect_crash(*state, 0, SIGILL, "main+0x", NULL);
}

static void privileged(void **state)
{
    crash_alone(*state, "privileged");
    expect_crash(*state, 0, SIGSEGV, "general protection", NULL);
}

static void interrupts(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "instruction", "cd81", NULL);
    int b = world_add(world, "b", "instruction", "0f01c8", NULL);
    int c = world_add(world, "c", "instruction", "48bc000000000000008050", NULL);

    world_start(world);
    world_wait(world);
    expect_crash(world, a, SIGSEGV, "interrupt", NULL);
    expect_crash(world, b, SIGILL, "monitor", NULL);
    /* QEMU's processor, in the lab, says #GP of a stack that cannot be, not #SS. */
    if (getenv("FERRY_SIZE_DIVISOR") && world->exit[c].signo == SIGSEGV)
        expect_crash(world, c, SIGSEGV, "general protection", NULL);
    else
        expect_crash(world, c, SIGBUS, "stack fault", NULL);
}

static void port(void **state)
{
    crash_alone(*state, "port");
    expect_crash(*state, 0, SIGSEGV, "port", NULL);
}

/* A call with the right number at the port for calls, but not by `out` of one byte: KVM would end the
 * instruction after the call was served. */
static void port_of_calls_otherwise(void **state)
{
    static const char *const codes[] = {
        "b82700000066baf2004889e76c", /* mov $39, %eax; mov $0xf2, %dx; mov %rsp, %rdi; insb */
        "b82700000066baf200ec",       /* in (%dx), %al */
        "b82700000066baf20066ef",     /* out %ax, (%dx) */
    };
    struct world *world = *state;
    int vm[3];

    for (int i = 0; i < 3; i++)
        vm[i] = world_add(world, (const char *[]){"a", "b", "c"}[i], "instruction", codes[i], NULL);
    world_start(world);
    world_wait(world);
    for (int i = 0; i < 3; i++)
        expect_crash(world, vm[i], SIGSEGV, "port", NULL);
}

static void stack_overrun(void **state)
{
    struct world *world = *state;
    int small = world_add(world, "a", "overrun", NULL);
    int large = world_add(world, "b", "overrun", "frame", NULL);
    int beside = world_add(world, "c", "overrun", "beside", NULL);

    world_start(world);
    world_wait(world);
    expect_crash(world, small, SIGSEGV, "deeper+0x", "overflowed its stack of 8192 KiB", NULL);
    assert_true(world->exit[small].address_known);
    expect_crash(world, large, SIGSEGV, "large", "overflowed its stack", NULL);
    expect_crash(world, beside, SIGSEGV, "beside+0x", "wrote to", "is not mapped", NULL);
}

static void aborts(void **state)
{
    struct world *world = *state;

    crash_alone(world, "abort");
    assert_int_equal(world->exit[0].how, FERRY_ENDED_SIGNAL);
    assert_int_equal(world->exit[0].signo, SIGABRT);
    assert_int_equal(world->exit[0].status, 128 + SIGABRT);
}

/* `program` sends a page to 'b', which holds it, and touches it. */
static void touch_sent(struct world *world, const char *program)
{
    int a = world_add(world, "a", program, "b", NULL);
    int b = world_add(world, "b", "borrow", "a", NULL);

    world_link(world, a, b);
    world_start(world);
    world_wait(world);
    world_expect_ok(world, b); /* what it was sent stays readable to the end */
}

static void write_after_lend(void **state)
{
    struct world *world = *state;

    touch_sent(world, "write_after_lend");
    expect_crash(world, 0, SIGBUS, "main+0x", "wrote to", "lent to 'b' as message 1", NULL);
    assert_true(world->exit[0].address_known);
    assert_int_equal(world->exit[0].address & 0xfff, 5);
}

/* Before something is opened there, its guest has no way to the window; then it has. */
static void touch_window(void **state)
{
    static const char *const how[] = {"read", "write", "vector", "beside"};
    struct world *world = *state;

    for (int i = 0; i < 4; i++)
        world_add(world, how[i], "touch_window", how[i], NULL);
    world_start(world);
    world_wait(world);
    for (int i = 0; i < 4; i++) {
        expect_crash(world, i, SIGSEGV, "+0x", i == 1 ? "wrote to" : "read from",
                     "of the window, which is not its own", NULL);
        assert_true(world->exit[i].address_known);
    }
    assert_int_equal(world->exit[0].address, FERRY_WINDOW_BASE);
    assert_int_equal(world->exit[3].address & (FERRY_PAGE_BYTES - 1), 0);
}

static void read_after_lend(void **state)
{
    touch_sent(*state, "read_after_lend");
    expect_crash(*state, 0, SIGBUS, "main+0x", "read from", "lent to 'b' as message 1", NULL);
}

static void touch_after_move(void **state)
{
    touch_sent(*state, "touch_after_move");
    expect_crash(*state, 0, SIGBUS, "main+0x", "read from", "sent to 'b' as message 1", NULL);
}

static void write_borrowed(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "lend", "b", NULL);
    int b = world_add(world, "b", "write_borrowed", "a", NULL);

    world_link(world, a, b);
    world_start(world);
    world_wait(world);
    world_expect_ok(world, a); /* its page came home, unchanged */
    expect_crash(world, b, SIGSEGV, "wrote to", "'a' lent to it as message 1", NULL);
}

/* Bytes that a program wrote before it crashed arrive, as through a pipe. */
static void crash_midway(void **state)
{
    struct world *world = *state;
    static char got[8 << 20], sent[4 << 20];
    int a = world_add(world, "a", "crash_midway", NULL);
    struct ferry_link *in = world_stream(world, -1, a);
    struct ferry_link *out = world_stream(world, a, -1);

    memset(sent, 'x', sizeof sent);
    world_start(world);
    for (size_t at = 0; at < sizeof sent; at += 65536) {
        struct ferry_message message = {.mode = FERRY_COPY, .data = sent + at, .bytes = 65536};
        if (ferry_link_send(in, &message, PATIENCE) < 0)
            break;
    }
    ferry_link_hangup(in);
    size_t bytes = world_read_all(out, got, sizeof got);
    world_wait(world);
    expect_crash(world, a, SIGSEGV, "main+0x", "0x10", NULL);
    assert_true(bytes >= 3 << 20);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(got[i], 'x');
}

/* After all that, in the same process, a VM still works. */
static void life_goes_on(void **state)
{
    struct world *world = *state;

    world_add(world, "bad", "null_read", NULL);
    world_add(world, "good", "syscalls", NULL);
    world_start(world);
    world_wait(world);
    expect_crash(world, 0, SIGSEGV, NULL);
    world_expect_ok(world, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(jump_nowhere),
        kvm_test(null_read),
        kvm_test(exec_stack),
        kvm_test(divide),
        kvm_test(invalid_instruction),
        kvm_test(privileged),
        kvm_test(interrupts),
        kvm_test(port),
        kvm_test(port_of_calls_otherwise),
        kvm_test(stack_overrun),
        kvm_test(aborts),
        kvm_test(write_after_lend),
        kvm_test(read_after_lend),
        kvm_test(touch_window),
        kvm_test(touch_after_move),
        kvm_test(write_borrowed),
        kvm_test(crash_midway),
        kvm_test(life_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
