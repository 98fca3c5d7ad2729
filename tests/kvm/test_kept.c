/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests that the file beside measure_cache, which keeps what KVM said of the
 * processor, is written, left alone while it holds, and written again when it does not.
 * What is read from it is test_cpuid's.
 */
#include "kvm_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 16384
#define HEAD_BYTES 88

static char directory[] = "/tmp/ferry-test-kept-XXXXXX", path[64], kept[80];

static int setup(void **state)
{
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/crossover", directory);
    snprintf(kept, sizeof kept, "%s.cpuid", path);
    const struct ferry_engine_config config = {.measure_cache = path};
    return world_setup_with(state, &config);
}

static int teardown(void **state)
{
    unlink(path);
    unlink(kept);
    rmdir(directory);
    return world_teardown(state);
}

static size_t file_read(unsigned char bytes[FILE_BYTES])
{
    FILE *file = fopen(kept, "r");

    assert_non_null(file);
    size_t length = fread(bytes, 1, FILE_BYTES, file);
    fclose(file);
    return length;
}

static void file_write(const unsigned char *bytes, size_t length)
{
    FILE *file = fopen(kept, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void engine_once(void)
{
    const struct ferry_engine_config config = {.measure_cache = path};
    struct ferry_engine *engine;

    assert_int_equal(ferry_engine_create(&config, &engine, NULL), 0);
    ferry_engine_destroy(engine);
}

/* The head except its sum is as it was, and the sum is that of the table. The table need not be
 * the same: some leaves tell on which processor KVM was asked. */
static void expect_good(const unsigned char *good, size_t length)
{
    unsigned char bytes[FILE_BYTES];
    uint64_t sum = 0xcbf29ce484222325, kept_sum;

    assert_int_equal(file_read(bytes), length);
    assert_memory_equal(bytes, good, HEAD_BYTES - sizeof sum);
    for (size_t i = HEAD_BYTES; i < length; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3;
    memcpy(&kept_sum, bytes + HEAD_BYTES - sizeof sum, sizeof sum);
    assert_int_equal(sum, kept_sum);
}

static void kept_until_it_is_wrong(void **state)
{
    unsigned char good[FILE_BYTES], bytes[FILE_BYTES];
    struct stat first, second;
    size_t length = file_read(good);

    (void)state;
    assert_in_range(length, HEAD_BYTES + 40, FILE_BYTES - 1);
    assert_int_equal(stat(kept, &first), 0);
    engine_once();
    assert_int_equal(stat(kept, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    for (size_t at = 0; at <= length; at += 20) {
        memcpy(bytes, good, length);
        bytes[at < length ? at : length - 1] ^= 0x10;
        file_write(bytes, length);
        engine_once();
        expect_good(good, length);
    }
    unlink(kept);
    engine_once();
    expect_good(good, length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kept_until_it_is_wrong, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
