/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of guest/process.c: the stream layer outside a VM. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest_stream.h"

/* A filter in a child with its input and output in files: half of the pieces are forwarded. */
static void filter(FILE *in, FILE *out)
{
    const void *data;
    ssize_t bytes;
    size_t seen = 0;

    dup2(fileno(in), 0);
    dup2(fileno(out), 1);
    fake.control = NULL;
    for (int i = 0; (bytes = ferry_input(&data)) > 0; i++) {
        if (i % 2 == 0 && ferry_forward() != 0)
            _exit(2);
        if (i % 2 == 1)
            produce(seen, (size_t)bytes);
        seen += (size_t)bytes;
    }
    stream.hangup_at_exit = false;
    if (bytes != 0 || ferry_commit(0) != 0)
        _exit(3);
    exit(0); /* writes what is left */
}

static void a_process_reads_and_writes(void **context)
{
    static uint8_t data[10 * 65536 + 4321], back[sizeof(data)];
    const size_t bytes = sizeof(data);
    FILE *in = tmpfile(), *out = tmpfile();
    int status;
    pid_t child;

    (void)context;
    fill_pattern(data, 0, bytes);
    assert_int_equal(fwrite(data, 1, bytes, in), bytes);
    rewind(in);
    child = fork();
    if (child == 0)
        filter(in, out);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    rewind(out);
    assert_int_equal(fread(back, 1, bytes, out), bytes);
    assert_int_equal(fgetc(out), EOF);
    assert_memory_equal(data, back, bytes);
    fclose(in);
    fclose(out);
}

static void check_process_output(void)
{
    const void *data;
    void *room;

    fake.control = NULL;
    if (ferry_input(&data) != 5)
        _exit(2);
    for (int i = 0; i < 3; i++)
        produce((size_t)i * 40000, 40000);
    produce(120000, 200000);
    if (ferry_output(&room, EXTENT) < (ssize_t)EXTENT || ferry_flush() != 0)
        _exit(3);
    if (ferry_commit(1) != -EINVAL) /* the flush took the room away */
        _exit(4);
    produce(320000, 10);
    if (ferry_forward() != 0 || ferry_forward() != -EINVAL)
        _exit(5);
    if (ferry_close() != 0 || ferry_output(&room, 0) != -EPIPE)
        _exit(6);
    _exit(0);
}

static void a_process_keeps_the_order(void **context)
{
    static uint8_t back[320020];
    int in[2], out[2], status;
    size_t got = 0;
    ssize_t part;
    pid_t child;

    (void)context;
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(write(in[1], "piece", 5), 5);
    child = fork();
    if (child == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(out[1]);
        check_process_output();
    }
    close(out[1]); /* so that the hang-up shows as the end */
    while ((part = read(out[0], back + got, sizeof(back) - got)) > 0)
        got += (size_t)part;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(got, 320015);
    for (size_t i = 0; i < 320010; i++)
        assert_int_equal(back[i], pattern(i));
    assert_memory_equal(back + 320010, "piece", 5);
    close(in[0]);
    close(in[1]);
    close(out[0]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_process_reads_and_writes),
        TEST(a_process_keeps_the_order),
    };

    return cmocka_run_group_tests_name("guest/process", tests, NULL, NULL);
}
