/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Costs that cannot be seen between two stops (test_counts.c) are counted over the whole life of a
 * VM, with N and with 2N messages: starting, bytes of plain programs, messages to and fro.
 */
#include <stdio.h>

#include "kvm_counts.h"
#include "kvm_fixture.h"

struct life {
    bool kvm;
    uint64_t immediate, natural;
    struct kvm_counts counts;
};

static struct kvm_source sources[2];

static struct life life_of(struct world *world, int place)
{
    struct ferry_vm_stats stats = world_stats(world, place);
    struct life life = {.immediate = stats.exits_immediate, .natural = stats.exits_natural};

    life.kvm = kvm_source_read(&sources[place], &life.counts);
    if (life.kvm)
        assert_int_equal(stats.guest_faults, life.counts.faults);
    return life;
}

/* How many more exits it makes for more messages. Beyond what Ferry sees there are those of a C
 * library that asks for CPUID as it starts; there must be no more than there were. */
static uint64_t more_exits(const struct life *once, const struct life *twice)
{
    uint64_t more = twice->natural + twice->immediate - once->natural - once->immediate;

    if (kvm_counts_are_exact()) {
        assert_true(once->kvm && twice->kvm);
        assert_int_equal(twice->counts.exits - once->counts.exits, more);
    }
    return more;
}

/* Starts one VM. Its messages wait for the VMs that are started later. */
static void start(struct world *world, int place)
{
    struct ferry_error err;

    if (ferry_vm_start(world->vm[place], &err) < 0)
        fail_msg("%s", err.text);
}

static struct life end_of(struct world *world, int place)
{
    assert_int_equal(ferry_vm_wait(world->vm[place], 2 * PATIENCE, &world->exit[place]), 0);
    world_expect_ok(world, place);
    return life_of(world, place);
}

static void destroy_all(struct world *world)
{
    for (int i = 0; i < world->count; i++) {
        kvm_source_close(&sources[i]);
        ferry_vm_destroy(world->vm[i]);
    }
    world->count = 0;
}

static int setup(void **state)
{
    const struct ferry_engine_config config = {
        .pool_extents = 64, .pool_pages = 512, .max_defer_us = UINT32_MAX}; /* above an hour */

    return world_setup_with(state, &config);
}

/* ---- starting ----------------------------------------------------------------- */

/* Its text, the stub of `syscall`, and the page tables the processor walks to both: what is in
 * private memory of one page size faults once. */
#define FAULTS_OF_NOTHING 8

/* The program makes one system call and nothing else, so the start of a VM takes no exit. */
static void empty_program(void **state)
{
    struct world *world = *state;

    world_add(world, "a", "nothing", NULL);
    kvm_source_open(sources, 0);
    start(world, 0);
    struct life life = end_of(world, 0);
    printf("# a VM with an empty program: %llu exits, %llu faults, %llu flushes\n",
           (unsigned long long)(life.natural + life.immediate),
           (unsigned long long)life.counts.faults, (unsigned long long)life.counts.shoot_downs);
    assert_int_equal(life.natural, 1);
    assert_int_equal(life.immediate, 0);
    if (kvm_counts_are_exact()) {
        assert_true(life.kvm);
        assert_int_equal(life.counts.exits, 1);
        assert_int_equal(life.counts.faults, FAULTS_OF_NOTHING);
    }
    destroy_all(world);
}

/* The exits of a C library before main are printed, not pinned. Each system call is an exit, and so
 * is each CPUID, which KVM answers. */
static void program_with_libc(void **state)
{
    struct world *world = *state;

    world_add(world, "a", "counted", "nothing", NULL);
    kvm_source_open(sources, 0);
    start(world, 0);
    struct life life = end_of(world, 0);
    printf("# to the first instruction of main with glibc: %llu exits, %llu with those inside KVM, "
           "%llu faults\n",
           (unsigned long long)life.natural - 1, (unsigned long long)life.counts.exits - 1,
           (unsigned long long)life.counts.faults);
    assert_int_equal(life.immediate, 0);
    destroy_all(world);
}

/* ---- memory of the program --------------------------------------------------- */

static uint64_t faults_of_data(struct world *world, const char *pages)
{
    world_add(world, "a", "counted", "data", pages, NULL);
    kvm_source_open(sources, 0);
    start(world, 0);
    end_of(world, 0);
    uint64_t faults = world_stats(world, 0).guest_faults;
    destroy_all(world);
    return faults;
}

/* The pages of a program's data are its own before it runs: a read and a store are one fault
 * together, and not two with a flush between. */
static void data_is_there(void **state)
{
    uint64_t once = faults_of_data(*state, "32"), twice = faults_of_data(*state, "64");

    printf("# 32 pages of data that are read and written: %llu faults\n",
           (unsigned long long)(twice - once));
    assert_true(twice - once <= 32);
}

/* ---- plain bytes ---------------------------------------------------------------- */

#define WRITES  32 /* of 64 KiB: an extent */
#define PIECE   "65536"
#define EXTENTS 2

struct bytes {
    struct life writer, reader;
    struct ferry_link_stats link;
};

/* The reader starts when the writer has ended. */
static struct bytes pass_bytes(struct world *world, unsigned extents)
{
    struct bytes bytes;
    char number[16];

    snprintf(number, sizeof number, "%u", extents * WRITES);
    world_add(world, "a", "counted", "write", number, PIECE, NULL);
    kvm_source_open(sources, 0);
    world_add(world, "b", "counted", "read", PIECE, NULL);
    kvm_source_open(sources, 1);
    struct ferry_link *link = world_stream(world, 0, 1);
    start(world, 0);
    bytes.writer = end_of(world, 0);
    start(world, 1);
    bytes.reader = end_of(world, 1);
    bytes.link = link_stats(link);
    destroy_all(world);
    return bytes;
}

/* Faults of so many extents, each touched for the first time after it was opened: one, or one for each page
 * on a machine that has small pages only. */
static uint64_t most_faults(const struct world *world, uint64_t extents)
{
    struct ferry_engine_info info;

    ferry_engine_info(world->engine, &info);
    return extents * (info.huge ? 1 : FERRY_EXTENT_BYTES / FERRY_PAGE_BYTES);
}

static void plain_bytes(void **state)
{
    const uint64_t most = most_faults(*state, EXTENTS);
    struct bytes once = pass_bytes(*state, EXTENTS), twice = pass_bytes(*state, 2 * EXTENTS);

    uint64_t writes = more_exits(&once.writer, &twice.writer);
    uint64_t reads = more_exits(&once.reader, &twice.reader);

    printf("# 2 MiB of plain bytes by 64 KiB: %g + %g exits, %g page-table calls, %g faults\n",
           (double)writes / EXTENTS, (double)reads / EXTENTS,
           (double)(twice.link.table_calls - once.link.table_calls) / EXTENTS,
           (double)(twice.writer.counts.faults + twice.reader.counts.faults -
                    once.writer.counts.faults - once.reader.counts.faults) /
               EXTENTS);
    /* The guest kernel copies them out of what is published and into it. The writer leaves when its
     * extent is full, the reader when it has read all that had come. */
    assert_int_equal(writes, EXTENTS);
    assert_int_equal(reads, 0);
    assert_int_equal(twice.writer.immediate + twice.reader.immediate, 0);
    if (kvm_counts_are_exact()) {
        assert_in_range(twice.writer.counts.faults - once.writer.counts.faults, 1, most);
        assert_in_range(twice.reader.counts.faults - once.reader.counts.faults, 1, most);
    }
    assert_int_equal(twice.link.extents_2m - once.link.extents_2m, EXTENTS);
    /* The sender is closed, the receiver opened and closed; nobody is left to open it for. */
    assert_int_equal(twice.link.table_calls - once.link.table_calls, 3 * EXTENTS);
    assert_int_equal(twice.link.shoot_downs - once.link.shoot_downs, 2 * EXTENTS);
}

/* ---- to and fro ------------------------------------------------------------------- */

/* Each message there is answered by one back; all are deferred, so what carries one is the exit
 * of its sender's wait for the next. The other begins when the first message waits for it. */
static void turns(struct world *world, unsigned count, struct life life[2])
{
    struct ferry_message message;
    char number[16];

    snprintf(number, sizeof number, "%u", count);
    world_add(world, "a", "counted", "turns", "b", number, "first", NULL);
    kvm_source_open(sources, 0);
    world_add(world, "b", "counted", "turns", "a", number, "second", NULL);
    kvm_source_open(sources, 1);
    world_link(world, 0, 1);
    world_link(world, 1, 0);
    struct ferry_link *report = world_link(world, 0, -1);
    start(world, 0);
    assert_int_equal(ferry_link_recv(report, PATIENCE, &message), 0);
    start(world, 1);
    for (int i = 0; i < 2; i++)
        life[i] = end_of(world, i);
    destroy_all(world);
}

static void to_and_fro(void **state)
{
    struct life once[2], twice[2];

    turns(*state, 20, once);
    turns(*state, 40, twice);
    uint64_t there = more_exits(&once[0], &twice[0]), back = more_exits(&once[1], &twice[1]);
    printf("# a deferred message and its answer: %g + %g exits\n", (double)there / 20,
           (double)back / 20);
    assert_int_equal(there, 20);
    assert_int_equal(back, 20);
    assert_int_equal(twice[0].immediate + twice[1].immediate, 0);
}

/* ---- auto ---------------------------------------------------------------------------- */

static struct life to_one_who_does_not_wait(struct world *world, const char *count)
{
    world_add(world, "a", "send", "b", "inline", "auto", count, "32", NULL);
    kvm_source_open(sources, 0);
    world_add(world, "b", "sink", "a", NULL);
    kvm_source_open(sources, 1);
    world_link(world, 0, 1);
    start(world, 0);
    struct life life = end_of(world, 0);
    start(world, 1);
    end_of(world, 1);
    destroy_all(world);
    return life;
}

static void no_bell_for_one_who_does_not_wait(void **state)
{
    struct life once = to_one_who_does_not_wait(*state, "16");
    struct life twice = to_one_who_does_not_wait(*state, "32");

    uint64_t more = more_exits(&once, &twice);
    printf("# an inline message to one who does not wait: %g exits\n", (double)more / 16);
    assert_int_equal(more, 0);
}

#define life_test(function) cmocka_unit_test_setup_teardown(function, setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        life_test(empty_program), life_test(program_with_libc),
        life_test(data_is_there), life_test(plain_bytes),
        life_test(to_and_fro),    life_test(no_bell_for_one_who_does_not_wait),
    };

    return cmocka_run_group_tests_name("counts_life", tests, NULL, NULL);
}
