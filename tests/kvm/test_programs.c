/* SPDX-License-Identifier: BSD-2-Clause */
/* Ordinary programs in VMs: every kind of static executable, arguments, registers, streams. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "kvm_fixture.h"

static void run_ok(struct world *world, const char *program)
{
    int a = world_add(world, "a", program, NULL);

    world_start(world);
    world_wait(world);
    world_expect_ok(world, a);
}

static void syscalls_glibc(void **state)
{
    run_ok(*state, "syscalls");
}

static void syscalls_static_pie(void **state)
{
    run_ok(*state, "syscalls_pie");
}

static void syscalls_musl(void **state)
{
    run_ok(*state, "syscalls_musl");
}

/* Two programs with different register contents run at once on the same CPUs. */
static void vector_registers(void **state)
{
    struct world *world = *state;
    world_add(world, "a", "avx_state", "1", "2000", NULL);
    world_add(world, "b", "avx_state", "2", "2000", NULL);

    world_run_ok(world);
}

static void arguments(void **state)
{
    struct world *world = *state;
    char text[256] = "";
    int a = world_add(world, "a", "args_env", "one", "two words", "", NULL);
    struct ferry_link *out = world_stream(world, a, -1);

    world_start(world);
    text[world_read_all(out, text, sizeof text - 1)] = '\0';
    world_wait(world);
    world_expect_ok(world, a);
    assert_string_equal(text, "argv[0]=args_env\nargv[1]=one\nargv[2]=two words\nargv[3]=\n");
}

struct feed {
    struct ferry_link *link;
    char *data;
    size_t bytes, piece;
    int result;
};

static void *feed_all(void *arg)
{
    struct feed *feed = arg;

    for (size_t sent = 0; sent < feed->bytes && feed->result == 0;) {
        struct ferry_message next = {.mode = FERRY_COPY, .data = feed->data + sent};
        next.bytes = feed->bytes - sent < feed->piece ? feed->bytes - sent : feed->piece;
        feed->result = ferry_link_send(feed->link, &next, PATIENCE);
        sent += next.bytes;
    }
    ferry_link_hangup(feed->link);
    return NULL;
}

/* A stream of this size, in pieces of this one, through an unmodified program comes out the
 * same. */
static void copy_through(struct world *world, const char *program, size_t bytes, size_t piece)
{
    char *in = malloc(bytes + 1), *out = malloc(bytes + 1);
    int a = world_add(world, "a", program, NULL);
    struct feed feed = {.link = world_stream(world, -1, a), .data = in, .bytes = bytes};
    struct ferry_link *from = world_stream(world, a, -1);
    pthread_t feeder;

    assert_true(in && out);
    for (size_t i = 0; i < bytes; i++)
        in[i] = (char)(i * 7 + i / 253);
    feed.piece = piece;
    world_start(world);
    assert_int_equal(pthread_create(&feeder, NULL, feed_all, &feed), 0);
    size_t got = world_read_all(from, out, bytes + 1);
    assert_int_equal(pthread_join(feeder, NULL), 0);
    world_wait(world);
    world_expect_ok(world, a);
    assert_int_equal(feed.result, 0);
    assert_int_equal(got, bytes);
    assert_memory_equal(in, out, bytes);
    free(in);
    free(out);
}

static void stream_glibc(void **state)
{
    copy_through(*state, "stdio", 700001, 65536);
}

static void stream_musl(void **state)
{
    copy_through(*state, "stdio_musl", 700001, 9999);
}

static void stream_static_pie(void **state)
{
    copy_through(*state, "stdio_pie", 100, 1);
}

static void stream_empty(void **state)
{
    copy_through(*state, "stdio", 0, 1);
}

/* For an unmodified program that uses sendfile or splice nothing is copied: a loan is forwarded,
 * and comes home to its owner when the last receiver has read it. */
static void passed_on_without_a_copy(void **state)
{
    enum { EXTENT = 2 << 20 };
    struct world *world = *state;
    struct ferry_message message = {.mode = FERRY_LEND, .bytes = EXTENT - 5};
    int a = world_add(world, "a", "pass_on", NULL), b = world_add(world, "b", "pass_on", NULL);
    struct ferry_link *in = world_stream(world, -1, a), *between = world_stream(world, a, b);
    struct ferry_link *out = world_stream(world, b, -1);
    void *extent, *home;
    size_t bytes;

    world_start(world);
    assert_int_equal(ferry_link_alloc(in, 1, false, &extent), 0);
    message.data = (char *)extent + 5;
    for (int round = 0; round < 20; round++) {
        memset(extent, 'a' + round, EXTENT);
        assert_int_equal(ferry_link_send(in, &message, PATIENCE), 0);
        struct ferry_message got;
        assert_int_equal(ferry_link_recv(out, PATIENCE, &got), 0);
        assert_int_equal(got.mode, FERRY_LEND);
        assert_ptr_equal(got.data, message.data); /* the very page */
        assert_int_equal(got.bytes, message.bytes);
        assert_int_equal(((char *)got.data)[12345], 'a' + round);
        assert_int_equal(ferry_link_release(out, got.token), 0);
        assert_int_equal(ferry_link_reclaim(in, PATIENCE, &home, &bytes), 0);
        assert_ptr_equal(home, extent);
    }
    ferry_link_hangup(in);
    assert_int_equal(world_read_all(out, NULL, 0), 0);
    world_wait(world);
    world_expect_ok(world, a);
    world_expect_ok(world, b);
    assert_int_equal(ferry_link_free(in, extent, EXTENT), 0);
    assert_int_equal(link_stats(between).bytes_copied, 0);
    assert_int_equal(link_stats(between).bytes_handed_over, 20 * (EXTENT - 5));
}

/* There is more than one call may move, so the call ends between two messages and splits none. */
static void a_call_splits_no_message(void **state)
{
    enum { EXTENT = 2 << 20, COUNT = 12 };
    struct world *world = *state;
    struct ferry_message message = {.mode = FERRY_LEND, .bytes = EXTENT - 5};
    int a = world_add(world, "a", "pass_on", NULL);
    struct ferry_link *in = world_stream(world, -1, a), *out = world_stream(world, a, -1);
    void *extents;

    assert_int_equal(ferry_link_alloc(in, COUNT, false, &extents), 0);
    for (int i = 0; i < COUNT; i++) {
        message.data = (char *)extents + (size_t)i * EXTENT;
        assert_int_equal(ferry_link_send(in, &message, PATIENCE), 0);
    }
    ferry_link_hangup(in);
    world_start(world);
    for (int i = 0; i < COUNT; i++) {
        struct ferry_message got;
        assert_int_equal(ferry_link_recv(out, PATIENCE, &got), 0);
        assert_int_equal(got.mode, FERRY_LEND);
        assert_int_equal(got.bytes, message.bytes);
        assert_int_equal(ferry_link_release(out, got.token), 0);
    }
    world_wait(world);
    world_expect_ok(world, a);
    assert_int_equal(link_stats(out).bytes_copied, 0);
    assert_int_equal(ferry_link_free(in, extents, (size_t)COUNT * EXTENT), 0);
}

static void passed_on_in_pieces(void **state)
{
    copy_through(*state, "pass_on", 3000001, 60000);
}

/* Two VMs of one file share its image: both work and are the same to a peer. */
static void images_are_shared(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < 6; i++)
        world_add(world, NULL, "syscalls", NULL);
    world_start(world);
    world_wait(world);
    for (int i = 0; i < 6; i++)
        world_expect_ok(world, i);
}

static void ends_early(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "stdio", NULL);
    int b = world_add(world, "b", "early_exit", NULL);
    static char data[65536];
    struct ferry_link *in = world_stream(world, -1, a);
    int result;

    world_stream(world, a, b);
    world_start(world);
    do {
        struct ferry_message message = {.mode = FERRY_COPY, .data = data, .bytes = sizeof data};
        result = ferry_link_send(in, &message, PATIENCE);
    } while (result == 0);
    assert_int_equal(result, -32); /* EPIPE: the end of b ended a, and so this */
    world_wait(world);
    world_expect_ok(world, b);
    assert_int_equal(world->exit[a].status, 128 + 13);
}

/* Both arrive as exceptions, and the program goes on after them. */
static void served_exceptions(void **state)
{
    struct world *world = *state;
    /* By int 0x80 exit(5); by the vsyscall page getcpu(0, 0), whose 0 becomes the exit status. */
    int a = world_add(world, "a", "instruction", "cd80", "1", "5", NULL);
    int b =
        world_add(world, "b", "instruction", "31ff31f648c7c0000860ffffd089c7b83c0000000f05", NULL);
    int c = world_add(world, "c", "instruction", "cd80b84d000000", "20", NULL);

    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[a].status, 5);
    world_expect_ok(world, b);
    assert_int_equal(world->exit[c].status, 77); /* returned to its caller */
}

/* Code runs on the stack of a program that asks for it, by its header or a call; on others it does
 * not. */
static void executable_stack(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "trampoline", NULL);
    int b = world_add(world, "b", "trampoline_musl", NULL);
    int c = world_add(world, "c", "trampoline_closed", NULL);
    int d = world_add(world, "d", "trampoline_closed", "open", NULL);

    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[a].status, 41);
    assert_int_equal(world->exit[b].status, 41);
    assert_int_equal(world->exit[c].how, FERRY_ENDED_CRASH);
    assert_non_null(strstr(world->exit[c].text, "not executable"));
    assert_int_equal(world->exit[d].status, 42);
}

/* A program that computes leaves the VM for nothing else, and yet its time ends. */
static void processor_time_is_limited(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "limited", "cpu", "1", "5", NULL);
    int b = world_add(world, "b", "limited", "cpu", "1", "1", NULL);

    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_SIGNAL);
    assert_int_equal(world->exit[a].signo, SIGXCPU);
    assert_int_equal(world->exit[b].how, FERRY_ENDED_SIGNAL);
    assert_int_equal(world->exit[b].signo, SIGKILL);
}

/* The stack grows to what was asked for, and no further. */
static void stack_is_limited(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "limited", "stack", "32", NULL);
    int b = world_add(world, "b", "limited", "stack", "2", NULL);
    int c = world_add(world, "c", "limited", "stack", "200", NULL);

    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_CRASH);
    assert_int_equal(world->exit[b].how, FERRY_ENDED_CRASH);
    assert_int_equal(world->exit[c].status, 1); /* above the hard limit */
    assert_non_null(strstr(world_said(world), "setrlimit: Invalid argument"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(syscalls_glibc),
        kvm_test(syscalls_static_pie),
        kvm_test(syscalls_musl),
        kvm_test(vector_registers),
        kvm_test(arguments),
        kvm_test(stream_glibc),
        kvm_test(stream_musl),
        kvm_test(stream_static_pie),
        kvm_test(stream_empty),
        kvm_test(passed_on_without_a_copy),
        kvm_test(a_call_splits_no_message),
        kvm_test(passed_on_in_pieces),
        kvm_test(images_are_shared),
        kvm_test(ends_early),
        kvm_test(served_exceptions),
        kvm_test(executable_stack),
        kvm_test(processor_time_is_limited),
        kvm_test(stack_is_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
