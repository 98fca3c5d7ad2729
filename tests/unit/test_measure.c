/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of host/engine/measure_cache.c, and of the sums in host/engine/measure.c. */
#include "core_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/measure.h"
#include "engine/measure_cache.h"

#define FILE_BYTES 2048

static const struct costs sample = {
    .exit_ns = 61000, .handover_ns = 20000, .touch_ns = 22000, .copy_ns = 91000};
static char directory[] = "/tmp/ferry-test-XXXXXX", path[64], key[MEASURE_KEY_BYTES];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/crossover", directory);
    measure_cache_key(key, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory); /* fails if a half-written file was left behind */
}

static size_t file_read(char text[FILE_BYTES])
{
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    size_t bytes = fread(text, 1, FILE_BYTES - 1, file);
    text[bytes] = '\0';
    fclose(file);
    return bytes;
}

static void file_write(const char *text, size_t bytes)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static bool loads(void)
{
    struct costs costs;

    return measure_cache_load(path, key, &costs);
}

static void what_is_stored_is_loaded(void **state)
{
    struct costs costs;
    struct stat st;

    (void)state;
    unlink(path);
    assert_false(loads());
    assert_int_equal(measure_cache_store(path, key, &sample), 0);
    assert_true(measure_cache_load(path, key, &costs));
    assert_int_equal(costs.exit_ns, sample.exit_ns);
    assert_int_equal(costs.handover_ns, sample.handover_ns);
    assert_int_equal(costs.touch_ns, sample.touch_ns);
    assert_int_equal(costs.copy_ns, sample.copy_ns);
    assert_false(costs.unsure);
    /* The file is written again, in place of the one that is there. */
    costs.copy_ns = 90000;
    assert_int_equal(measure_cache_store(path, key, &costs), 0);
    assert_true(measure_cache_load(path, key, &costs));
    assert_int_equal(costs.copy_ns, 90000);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void the_key_names_the_machine(void **state)
{
    char other[MEASURE_KEY_BYTES];

    (void)state;
    measure_cache_key(other, true);
    assert_string_equal(key, other);
    measure_cache_key(other, false);
    assert_string_not_equal(key, other);
    assert_int_equal(measure_cache_store(path, other, &sample), 0);
    assert_false(loads());
    for (size_t i = 0; key[i]; i++) {
        struct costs costs;

        memcpy(other, key, sizeof other);
        other[i] ^= 1;
        assert_int_equal(measure_cache_store(path, other, &sample), 0);
        assert_false(measure_cache_load(path, key, &costs));
    }
}

/* A file that is cut off anywhere, or has one byte changed, is not read as other figures. */
static void damage_is_seen(void **state)
{
    char good[FILE_BYTES], bad[FILE_BYTES];

    (void)state;
    assert_int_equal(measure_cache_store(path, key, &sample), 0);
    size_t bytes = file_read(good);
    for (size_t i = 0; i < bytes; i++) {
        file_write(good, i);
        assert_false(loads());
    }
    for (size_t i = 0; i < bytes; i++) {
        memcpy(bad, good, bytes);
        bad[i] ^= 0x40; /* no digit becomes another by it */
        file_write(bad, bytes);
        if (loads())
            fail_msg("with byte %zu changed", i);
        bad[i] = '\0';
        file_write(bad, bytes);
        assert_false(loads());
    }
    file_write(good, bytes);
    assert_true(loads());
    memcpy(bad, good, bytes);
    bad[bytes] = '\n';
    file_write(bad, bytes + 1);
    assert_false(loads());
    memset(bad, 'x', sizeof bad); /* longer than any that was written */
    memcpy(bad, good, bytes);
    file_write(bad, sizeof bad);
    assert_false(loads());
}

static void figures_must_be_believed(void **state)
{
    static const char *const figures[] = {
        "exit_ns=0\nhandover_ns=20000\ntouch_ns=22000\ncopy_ns=91000\nend\n",
        "exit_ns=61000\nhandover_ns=0\ntouch_ns=22000\ncopy_ns=91000\nend\n",
        "exit_ns=61000\nhandover_ns=20000\ntouch_ns=22000\ncopy_ns=0\nend\n",
        "exit_ns=61000\nhandover_ns=20000\ntouch_ns=22000000000\ncopy_ns=91000\nend\n",
        "exit_ns=61000\nhandover_ns=20000\ntouch_ns=22000\ncopy_ns=18446744073709551615\nend\n",
        "exit_ns=61000\nhandover_ns=20000\ntouch_ns=22000\ncopy_ns=99999999999999999999\nend\n",
        "exit_ns=-1\nhandover_ns=20000\ntouch_ns=22000\ncopy_ns=91000\nend\n",
        "exit_ns=+61000\nhandover_ns=20000\ntouch_ns=22000\ncopy_ns=91000\nend\n",
        "exit_ns=061000\nhandover_ns=20000\ntouch_ns=22000\ncopy_ns=91000\nend\n",
        "exit_ns=61000\nhandover_ns=20000\ntouch_ns=22000\ncopy_ns=91000\ncopy_ns=91000\nend\n",
        "handover_ns=20000\nexit_ns=61000\ntouch_ns=22000\ncopy_ns=91000\nend\n",
    };
    const struct costs none = {0};
    char text[FILE_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        int bytes = snprintf(text, sizeof text, "%s%s", key, figures[i]);
        file_write(text, (size_t)bytes);
        if (loads())
            fail_msg("%s", figures[i]);
    }
    /* Figures that would not be read are not written, either. */
    unlink(path);
    assert_int_equal(measure_cache_store(path, key, &none), -ERANGE);
    assert_int_equal(access(path, F_OK), -1);
}

static void places_that_hold_no_file(void **state)
{
    char text[128];
    struct costs costs;

    (void)state;
    unlink(path);
    snprintf(text, sizeof text, "%s/none/crossover", directory);
    assert_int_equal(measure_cache_store(text, key, &sample), -ENOENT);
    assert_false(measure_cache_load(text, key, &costs));
    assert_int_equal(measure_cache_store("/proc/crossover", key, &sample), -ENOENT);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(measure_cache_store(path, key, &sample), -EISDIR);
    assert_false(loads());
    assert_int_equal(rmdir(path), 0);
    /* A pipe that nobody writes to must not hold up the start. */
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(loads());
}

static void the_crossover_follows(void **state)
{
    /* The figures of a machine with a software KVM, and of what hardware may give. */
    const struct costs dear_exits = {61000, 21000, 22000, 91000, false},
                       hardware = {1600, 4000, 1500, 90000, false};
    const struct costs dear_loans = {1600, 1000000, 1000000, 90000, false};
    const struct costs touch_lost_in_noise = {61000, 21000, 0, 91000, false};

    (void)state;
    assert_in_range(costs_crossover(&dear_exits, true), 655 << 10, 670 << 10);
    assert_in_range(costs_crossover(&hardware, true), 150 << 10, 160 << 10);
    assert_int_equal(costs_crossover(&dear_loans, true), FERRY_EXTENT_BYTES);
    /* A fault for each small page costs more than copying it. */
    assert_int_equal(costs_crossover(&dear_exits, false), FERRY_EXTENT_BYTES);
    assert_int_equal(costs_crossover(&hardware, false), FERRY_EXTENT_BYTES);
    assert_int_equal(costs_crossover(&touch_lost_in_noise, false), FERRY_EXTENT_BYTES);
}

/* KVM cannot be opened, as on some hosts: the host touches the memory, and the rest is measured. */
static void without_a_vm(void **state)
{
    const struct kvm none = {.fd = -1};
    struct costs costs;

    (void)state;
    assert_int_equal(measure_costs(&none, &costs), 0);
    assert_int_equal(costs.exit_ns, 0);
    assert_true(costs.handover_ns > 0 && costs.touch_ns > 0 && costs.copy_ns > 0);
}

static uint64_t pool_blocks(const struct pool *pool)
{
    struct stat st;

    assert_int_equal(fstat(pool->fd, &st), 0);
    return (uint64_t)st.st_blocks;
}

/* With a file that fits, making an engine makes no huge page; without one it looks. */
static void what_is_kept_is_not_looked_at(void **state)
{
    const struct kvm none = {.fd = -1};
    struct ferry_engine_info info;
    struct pool pool;

    (void)state;
    unlink(path);
    assert_int_equal(measure_cache_store(path, key, &sample), 0);
    assert_int_equal(pool_create(&pool, 0, 2), 0);
    assert_int_equal(measure_info(&none, &pool, path, &info), 0);
    assert_int_equal(info.copy_ns, sample.copy_ns);
    assert_true(info.huge);
    assert_int_equal(pool_blocks(&pool), 0);
    unlink(path);
    assert_int_equal(measure_info(&none, &pool, path, &info), 0);
    assert_int_not_equal(pool_blocks(&pool), 0);
    pool_destroy(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_is_loaded),
        cmocka_unit_test(the_key_names_the_machine),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(figures_must_be_believed),
        cmocka_unit_test(places_that_hold_no_file),
        cmocka_unit_test(the_crossover_follows),
        cmocka_unit_test(without_a_vm),
        cmocka_unit_test(what_is_kept_is_not_looked_at),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
