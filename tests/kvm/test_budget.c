/* SPDX-License-Identifier: BSD-2-Clause */
/* VMs that take all the process has of mappings or descriptors, beside one that needs a few. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../until.h"
#include "kvm_fixture.h"

#define GREEDY     4
#define WALL_PAGES (1u << 20)
#define LEFT_OVER  9000 /* mappings: fewer than the greedy ask for */
#define FILES      104 /* so few that a quarter, shared, is less than what each VM has of its own */

static char *wall;
static struct rlimit files_before;

static long max_map_count(void)
{
    long count = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &count), 1);
    fclose(file);
    return count;
}

/* Takes most mappings of this process, so that few guests can ask for the rest. */
static int mappings_are_few(void **state)
{
    long most = max_map_count();

    if (most > (long)WALL_PAGES)
        skip();
    wall = mmap(NULL, WALL_PAGES * 4096ul, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0);
    assert_true(wall != MAP_FAILED);
    for (long i = 1; i < most - LEFT_OVER; i += 2)
        assert_int_equal(mprotect(wall + i * 4096, 4096, PROT_READ), 0);
    return world_setup(state);
}

static int mappings_are_many(void **state)
{
    int result = world_teardown(state);

    munmap(wall, WALL_PAGES * 4096ul);
    return result;
}

static int files_are_few(void **state)
{
    struct rlimit few;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files_before), 0);
    few = (struct rlimit){.rlim_cur = FILES, .rlim_max = files_before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    return world_setup(state);
}

static int files_are_many(void **state)
{
    int result = world_teardown(state);

    setrlimit(RLIMIT_NOFILE, &files_before);
    return result;
}

static unsigned said_full(struct world *world)
{
    unsigned count = 0;

    for (const char *at = world_said(world); (at = strstr(at, "full: ")); at++)
        count++;
    return count;
}

static int create(struct world *world, struct ferry_vm_config config)
{
    int place = world->count++;

    assert_int_equal(ferry_vm_create(world->engine, &config, &world->vm[place], NULL), 0);
    return place;
}

/* All are there before the first takes what it can: how much is left for one that comes later depends
 * on how soon it comes. */
static void greedy_beside_modest(struct world *world, const char *what)
{
    static const char *const etc[] = {"/etc", NULL};
    char path[512], *modest_argv[] = {"modest", "/etc/passwd", NULL};
    char *greedy_argv[] = {"greedy", (char *)what, "/etc/passwd", NULL};
    int greedy[GREEDY];
    struct ferry_vm_config config = {
        .program = path, .argv = modest_argv, .read_only_dirs = etc, .stderr_fd = world->stderr_fd};

    snprintf(path, sizeof path, "%s/modest", getenv("FERRY_TEST_GUESTS"));
    int modest = create(world, config);
    snprintf(path, sizeof path, "%s/greedy", getenv("FERRY_TEST_GUESTS"));
    config.argv = greedy_argv;
    for (int i = 0; i < GREEDY; i++)
        greedy[i] = create(world, config);
    for (int i = 0; i < GREEDY; i++)
        assert_int_equal(ferry_vm_start(world->vm[greedy[i]], NULL), 0);
    until(said_full(world) == GREEDY);
    assert_int_equal(ferry_vm_start(world->vm[modest], NULL), 0);
    assert_int_equal(ferry_vm_wait(world->vm[modest], PATIENCE, &world->exit[modest]), 0);
    world_expect_ok(world, modest);
}

static void mappings(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* ThreadSanitizer takes mappings itself */
#endif
    greedy_beside_modest(*state, "regions");
}

static void descriptors(void **state)
{
    greedy_beside_modest(*state, "files");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mappings, mappings_are_few, mappings_are_many),
        cmocka_unit_test_setup_teardown(descriptors, files_are_few, files_are_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
