/* SPDX-License-Identifier: BSD-2-Clause */
/* The crossover: the file that keeps it, and the behaviour of `auto` below and above it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm_fixture.h"

#define FILE_BYTES 1024
#define TRIES      500

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

static void write_file(const char *text, size_t bytes)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* Writes the file as if these costs had been measured on this machine. */
static void plant(struct world *world, uint64_t exit_ns, uint64_t handover_ns, uint64_t touch_ns,
                  uint64_t copy_ns)
{
    const struct ferry_machine machine = {.huge = info_of(world).huge,
                                          .exit_ns = exit_ns,
                                          .handover_ns = handover_ns,
                                          .touch_ns = touch_ns,
                                          .copy_ns = copy_ns};
    uint64_t held;

    assert_int_equal(ferry_machine_keep(&machine, path, &held), 0);
}

static void what_is_kept_is_not_measured(void **state)
{
    struct world *world = *state;
    char before[FILE_BYTES], after[FILE_BYTES];

    plant(world, 1600, 123, 45, 67890);
    read_file(before);
    engine_new(world);
    struct ferry_engine_info info = info_of(world);
    assert_int_equal(info.exit_ns, 1600);
    assert_int_equal(info.handover_ns, 123);
    assert_int_equal(info.touch_ns, 45);
    assert_int_equal(info.copy_ns, 67890);
    read_file(after);
    assert_string_equal(before, after);
}

/* What was measured while others kept all cores busy is not kept: then once more. Where two
 * cores never run at the same moment, that is always so. */
static void once_more(int *tries)
{
    if (++*tries == TRIES) {
        print_message("# no second core was seen at work in %d measurements\n", TRIES);
        skip();
    }
}

static struct ferry_engine_info measure_and_keep(struct world *world)
{
    int tries = 0;

    for (engine_new(world); access(path, F_OK) != 0; engine_new(world))
        once_more(&tries);
    return info_of(world);
}

static struct ferry_machine probe(void)
{
    struct ferry_machine machine;
    int tries = 0;

    for (ferry_machine_probe(&machine); machine.unsure; ferry_machine_probe(&machine))
        once_more(&tries);
    return machine;
}

static void what_is_measured_is_kept(void **state)
{
    struct world *world = *state;

    unlink(path);
    struct ferry_engine_info measured = measure_and_keep(world);
    assert_true(measured.exit_ns > 0 && measured.handover_ns > 0 && measured.copy_ns > 0);
    engine_new(world);
    struct ferry_engine_info kept = info_of(world);
    assert_int_equal(kept.exit_ns, measured.exit_ns);
    assert_int_equal(kept.handover_ns, measured.handover_ns);
    assert_int_equal(kept.touch_ns, measured.touch_ns);
    assert_int_equal(kept.copy_ns, measured.copy_ns);
    assert_int_equal(kept.crossover_bytes, measured.crossover_bytes);
}

static void what_is_damaged_is_measured_anew(void **state)
{
    struct world *world = *state;
    char text[FILE_BYTES];

    plant(world, 1600, 123, 45, 67890);
    read_file(text);
    write_file(text, strlen(text) - 1);
    engine_new(world);
    assert_int_not_equal(info_of(world).exit_ns, 1600);
}

static void probing_replaces_what_was_kept(void **state)
{
    struct world *world = *state;
    struct ferry_machine machine = probe();
    uint64_t held;

    unlink(path);
    machine.unsure = true;
    assert_int_equal(ferry_machine_keep(&machine, path, &held), -EBUSY);
    machine.unsure = false;
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
    int a = world_add(world, NULL, "flushes", "10", text, NULL);
    int b = world_add(world, NULL, "pieces", text, NULL);
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

    /* The 300 KiB or so go as five copies. */
    plant(world, 1600, 10000, 10000, 200000);
    engine_new(world);
    struct ferry_engine_info info = info_of(world);
    uint64_t bytes = info.crossover_bytes;
    if (info.huge)
        assert_in_range(bytes, 290 << 10, 315 << 10);
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
    char beside[80];

    snprintf(beside, sizeof beside, "%s.cpuid", path);
    unlink(path);
    unlink(beside);
    return rmdir(directory); /* fails if a half-written file was left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(what_is_kept_is_not_measured),     kvm_test(what_is_measured_is_kept),
        kvm_test(what_is_damaged_is_measured_anew), kvm_test(probing_replaces_what_was_kept),
        kvm_test(auto_copies_below_and_maps_above),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
