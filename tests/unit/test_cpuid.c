/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of host/kvm/kvm_cpuid.c: which kept files are taken. /dev/null stands for KVM, so
 * that what does not come from the file does not come at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/kvm_cpuid.h"

#define ENTRIES 3

/* The head of the file, as it is written. */
struct file {
    char what[8];
    uint32_t format, entries;
    char boot[40];
    uint64_t device, inode;
    int64_t changed_ns;
    uint64_t sum;
    struct kvm_cpuid_entry2 entry[CPUID_ENTRIES + 1];
};

static char directory[] = "/tmp/ferry-test-cpuid-XXXXXX", path[64], kept[80];
static int null_fd;

static uint64_t sum_of(const struct file *file)
{
    const unsigned char *byte = (const unsigned char *)file->entry;
    uint64_t sum = 0xcbf29ce484222325;

    for (size_t i = 0; i < file->entries * sizeof file->entry[0]; i++)
        sum = (sum ^ byte[i]) * 0x100000001b3;
    return sum;
}

static void make(struct file *file, uint32_t entries)
{
    struct stat st;
    int boot = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    memset(file, 0, sizeof *file);
    memcpy(file->what, "fycpuid", 8);
    file->format = 1;
    file->entries = entries;
    assert_int_equal(read(boot, file->boot, 36), 36);
    close(boot);
    assert_int_equal(fstat(null_fd, &st), 0);
    file->device = st.st_dev;
    file->inode = st.st_ino;
    file->changed_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
    for (uint32_t i = 0; i < entries; i++)
        file->entry[i] =
            (struct kvm_cpuid_entry2){.function = i, .eax = 7 * i, .edx = 1u << i % 32};
    file->sum = sum_of(file);
}

static int read_with(const struct file *file, size_t bytes, struct cpuid_table *table)
{
    FILE *out = fopen(kept, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(file, 1, bytes, out), bytes);
    assert_int_equal(fclose(out), 0);
    return cpuid_read(null_fd, path, table);
}

static size_t bytes_of(const struct file *file)
{
    return offsetof(struct file, entry) + file->entries * sizeof file->entry[0];
}

static void what_is_kept_is_read(void **state)
{
    static const uint32_t counts[] = {1, ENTRIES, CPUID_ENTRIES};
    static struct cpuid_table table;
    static struct file file;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        make(&file, counts[i]);
        assert_int_equal(read_with(&file, bytes_of(&file), &table), 0);
        assert_int_equal(table.head.nent, counts[i]);
        assert_memory_equal(table.entries, file.entry, counts[i] * sizeof file.entry[0]);
    }
}

static void what_is_wrong_is_not(void **state)
{
    static struct cpuid_table table;
    static struct file file;

    (void)state;
    make(&file, ENTRIES);
    for (size_t at = 0; at < bytes_of(&file); at++) {
        unsigned char *byte = (unsigned char *)&file + at;

        *byte ^= 1;
        if (read_with(&file, offsetof(struct file, entry) + ENTRIES * sizeof file.entry[0],
                      &table) != -ENOTTY)
            fail_msg("taken with byte %zu changed", at);
        *byte ^= 1;
    }
    for (size_t bytes = 0; bytes < bytes_of(&file); bytes++)
        assert_int_equal(read_with(&file, bytes, &table), -ENOTTY);
    assert_int_equal(read_with(&file, bytes_of(&file) + 1, &table), -ENOTTY);
    make(&file, 0);
    assert_int_equal(read_with(&file, bytes_of(&file), &table), -ENOTTY);
    make(&file, CPUID_ENTRIES + 1);
    assert_int_equal(read_with(&file, bytes_of(&file), &table), -ENOTTY);
    unlink(kept);
    assert_int_equal(cpuid_read(null_fd, path, &table), -ENOTTY);
    assert_int_equal(cpuid_read(null_fd, NULL, &table), -ENOTTY);
    assert_int_equal(access(kept, F_OK), -1); /* what failed is not kept */
}

static int setup(void **state)
{
    (void)state;
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || !mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/crossover", directory);
    snprintf(kept, sizeof kept, "%s.cpuid", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(kept);
    close(null_fd);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_is_read),
        cmocka_unit_test(what_is_wrong_is_not),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
