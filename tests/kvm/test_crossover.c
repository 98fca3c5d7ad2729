/* SPDX-License-Identifier: BSD-2-Clause */
/* The crossover: the file that keeps it, and what `auto` does below and above it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm_fixture.h"

#define FILE_BYTES 1024

static char directory[] = "/tmp/ferry-test-XXXXXX", path[64];

static void engine_new(struct world *world)
{
    const struct ferry_engine_config config = {.measure_cache = path};
    struct ferry_error err;

    ferry_engine_destroy(world->engine);
    world->engine = NULL;
    if (ferry_engine_create(&config, &world->engine, &err) < 0)
        fail_msg("no engine: %s", err.text);
}

static struct ferry_engine_info info_of(struct world *world)
{
    struct ferry_engine_info info;

    ferry_engine_info(world->engine, &info);
    return info;
}

static void read_file(char text[FILE_BYTES])
{
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    text[fread(text, 1, FILE_BYTES - 1, file)] = '\0';
    fclose(file);
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* The key stays, and these become the figures. */
static void plant(const char *figures)
{
    char text[FILE_BYTES];

    read_file(text);
    char *at = strstr(text, "exit_ns=");
    assert_non_null(at);
    snprintf(at, (size_t)(text + sizeof text - at), "%s", figures);
    write_file(text);
}

static void a_second_engine_does_not_measure(void **state)
{
    struct world *world = *state;
    char before[FILE_BYTES], after[FILE_BYTES];

    engine_new(world);
    struct ferry_engine_info measured = info_of(world);
    assert_true(measured.exit_ns > 0 && measured.handover_ns > 0 && measured.copy_ns > 0);
    read_file(before);
    engine_new(world);
    struct ferry_engine_info kept = info_of(world);
    assert_int_equal(kept.exit_ns, measured.exit_ns);
    assert_int_equal(kept.handover_ns, measured.handover_ns);
    assert_int_equal(kept.touch_ns, measured.touch_ns);
    assert_int_equal(kept.copy_ns, measured.copy_ns);
    assert_int_equal(kept.crossover_bytes, measured.crossover_bytes);

    plant("exit_ns=1600\nhandover_ns=123\ntouch_ns=45\ncopy_ns=67890\nend\n");
    read_file(before);
    engine_new(world);
    kept = info_of(world);
    assert_int_equal(kept.exit_ns, 1600);
    assert_int_equal(kept.handover_ns, 123);
    assert_int_equal(kept.touch_ns, 45);
    assert_int_equal(kept.copy_ns, 67890);
    read_file(after);
    assert_string_equal(before, after);
}

static void what_does_not_fit_is_measured_anew(void **state)
{
    struct world *world = *state;
    char text[FILE_BYTES];

    engine_new(world);
    plant("exit_ns=1600\nhandover_ns=123\ntouch_ns=45\ncopy_ns=1\nend\n");
    engine_new(world);
    struct ferry_engine_info measured = info_of(world);
    assert_int_not_equal(measured.copy_ns, 1);
    /* And it is in the file now. */
    read_file(text);
    assert_null(strstr(text, "copy_ns=1\n"));
    engine_new(world);
    assert_int_equal(info_of(world).copy_ns, measured.copy_ns);
}

static void probing_replaces_what_was_kept(void **state)
{
    struct world *world = *state;
    struct ferry_machine machine;
    uint64_t held;

    unlink(path);
    assert_int_equal(ferry_machine_probe(&machine), 0);
    assert_int_equal(ferry_machine_keep(&machine, path, &held), 0);
    assert_int_equal(held, 0);
    engine_new(world);
    assert_int_equal(info_of(world).crossover_bytes, machine.crossover_bytes);
    assert_int_equal(info_of(world).copy_ns, machine.copy_ns);
    assert_int_equal(ferry_machine_keep(&machine, path, &held), 0);
    assert_int_equal(held, machine.crossover_bytes);
    assert_int_equal(ferry_machine_keep(&machine, directory, &held), -EISDIR);
}

/* Ten pieces of so many bytes from one VM to another, as the stream layer sends them. */
static struct ferry_link_stats send_pieces(struct world *world, uint64_t bytes)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
    int a = world_add(world, "a", "flushes", "10", text, NULL);
    int b = world_add(world, "b", "pieces", text, NULL);
    struct ferry_link *link = world_stream(world, a, b);
    assert_int_equal(ferry_vm_start(world->vm[b], NULL), 0);
    assert_int_equal(ferry_vm_start(world->vm[a], NULL), 0);
    world_wait(world);
    world_expect_ok(world, a);
    world_expect_ok(world, b);
    return link_stats(link);
}

static void auto_copies_below_and_maps_above(void **state)
{
    struct world *world = *state;

    engine_new(world);
    /* Some 390 KiB: seven copies. */
    plant("exit_ns=1600\nhandover_ns=10000\ntouch_ns=10000\ncopy_ns=200000\nend\n");
    engine_new(world);
    struct ferry_engine_info info = info_of(world);
    uint64_t bytes = info.crossover_bytes;
    if (info.huge)
        assert_in_range(bytes, 380 << 10, 430 << 10);
    struct ferry_link_stats stats = send_pieces(world, bytes);
    assert_int_equal(stats.bytes_copied, 10 * bytes);
    assert_int_equal(stats.bytes_handed_over, 0);
    if (!info.huge)
        return; /* small pages are always cheaper to copy */
    stats = send_pieces(world, bytes + 1);
    assert_int_equal(stats.bytes_copied, 0);
    assert_int_equal(stats.bytes_handed_over, 10 * (bytes + 1));
    assert_int_equal(stats.messages, 10);
}

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/crossover", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory); /* fails if a half-written file was left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(a_second_engine_does_not_measure),
        kvm_test(what_does_not_fit_is_measured_anew),
        kvm_test(probing_replaces_what_was_kept),
        kvm_test(auto_copies_below_and_maps_above),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
