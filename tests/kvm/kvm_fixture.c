/* SPDX-License-Identifier: BSD-2-Clause */
/* Code that the tests under KVM share. */
#include "kvm_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../until.h"

#define ARGS_MAX 16
#define FEWEST   100 /* messages that a part still has */

int world_setup(void **state)
{
    const struct ferry_engine_config config = {.pool_extents = 64, .pool_pages = 512};

    return world_setup_with(state, &config);
}

int world_setup_with(void **state, const struct ferry_engine_config *config)
{
    struct ferry_error err;
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    if (ferry_engine_create(config, &world->engine, &err) < 0) {
        free(world);
        /* Where there is no KVM there is nothing to test, unless it was promised. */
        if (!getenv("FERRY_REQUIRE_KVM"))
            skip();
        fail_msg("no engine: %s", err.text);
    }
    world->stderr_fd = memfd_create("stderr", MFD_CLOEXEC);
    assert_true(world->stderr_fd >= 0);
    /* Several VMs write to it, and the position of a memfd has no lock. */
    assert_int_equal(fcntl(world->stderr_fd, F_SETFL, O_APPEND), 0);
    world->timeout_ns = PATIENCE;
    *state = world;
    return 0;
}

int world_teardown(void **state)
{
    struct world *world = *state;
    struct ferry_ledger ledger;

    if (!world)
        return 0;
    for (int i = 0; i < world->count; i++)
        ferry_vm_destroy(world->vm[i]);
    ferry_engine_ledger(world->engine, &ledger);
    ferry_engine_destroy(world->engine);
    close(world->stderr_fd);
    free(world);
    if (ledger.leaked || ledger.lent || ledger.free + ledger.owned != ledger.extents + ledger.pages)
        fail_msg("books at the end: %llu free, %llu owned, %llu lent, %llu leaked",
                 (unsigned long long)ledger.free, (unsigned long long)ledger.owned,
                 (unsigned long long)ledger.lent, (unsigned long long)ledger.leaked);
    return 0;
}

int world_add(struct world *world, const char *name, const char *program, ...)
{
    const char *directory = getenv("FERRY_TEST_GUESTS");
    char path[512], *argv[ARGS_MAX + 2] = {(char *)program};
    struct ferry_error err;
    va_list args;

    assert_non_null(directory);
    snprintf(path, sizeof path, "%s/%s", directory, program);
    va_start(args, program);
    for (int i = 1; i <= ARGS_MAX && (argv[i] = va_arg(args, char *)); i++)
        ;
    va_end(args);
    struct ferry_vm_config config = {.name = name,
                                     .program = program[0] == '/' ? program : path,
                                     .argv = argv,
                                     .envp = world->envp,
                                     .read_only_dirs = world->read_only_dirs,
                                     .read_write_dirs = world->read_write_dirs,
                                     .stderr_fd = world->stderr_fd,
                                     .delivery = world->delivery,
                                     .transfer = world->transfer,
                                     .memory_bytes = world->memory_bytes,
                                     .threads = world->threads,
                                     .timeout_ns = world->timeout_ns,
                                     .cpu_ns = world->cpu_ns};
    assert_true(world->count < VMS_MAX);
    if (ferry_vm_create(world->engine, &config, &world->vm[world->count], &err) < 0)
        fail_msg("%s", err.text);
    return world->count++;
}

static struct ferry_link *make_link(struct world *world, int from, int to,
                                    struct ferry_link_config config)
{
    struct ferry_link *link;
    struct ferry_error err;
    config.max_messages = 48;
    if (ferry_link_create(world->engine, from < 0 ? NULL : world->vm[from],
                          to < 0 ? NULL : world->vm[to], &config, &link, &err) < 0)
        fail_msg("%s", err.text);
    return link;
}

struct ferry_link *world_link(struct world *world, int from, int to)
{
    return make_link(world, from, to, (struct ferry_link_config){0});
}

void world_link_both(struct world *world, int one, int other)
{
    world_link(world, one, other);
    world_link(world, other, one);
}

struct ferry_link *world_stream(struct world *world, int from, int to)
{
    return make_link(world, from, to, (struct ferry_link_config){.stream = true});
}

struct ferry_link *world_direct(struct world *world, int from, int to)
{
    return make_link(world, from, to, (struct ferry_link_config){.direct = true});
}

void world_start(struct world *world)
{
    struct ferry_error err;

    for (int i = 0; i < world->count; i++)
        if (ferry_vm_start(world->vm[i], &err) < 0)
            fail_msg("%s", err.text);
}

unsigned world_many(unsigned count)
{
    const char *text = getenv("FERRY_SIZE_DIVISOR");
    unsigned divisor = text ? (unsigned)strtoul(text, NULL, 10) : 1;
    unsigned part = divisor > 0 ? count / divisor : count;

    return part > FEWEST ? part : count < FEWEST ? count : FEWEST;
}

void world_wait(struct world *world)
{
    for (int i = 0; i < world->count; i++)
        assert_int_equal(ferry_vm_wait(world->vm[i], 2 * PATIENCE, &world->exit[i]), 0);
}

const char *world_said(struct world *world)
{
    ssize_t got = pread(world->stderr_fd, world->said, sizeof world->said - 1, 0);

    world->said[got > 0 ? got : 0] = '\0';
    return world->said;
}

void world_expect_ok(struct world *world, int place)
{
    const struct ferry_vm_exit *end = &world->exit[place];

    if (end->how != FERRY_ENDED_EXIT || end->status != 0)
        fail_msg("VM '%s': %s; guests said: %s", ferry_vm_name(world->vm[place]), end->text,
                 world_said(world));
}

void world_run_ok(struct world *world)
{
    world_start(world);
    world_wait(world);
    for (int i = 0; i < world->count; i++)
        world_expect_ok(world, i);
}

struct ferry_vm_stats world_stats(struct world *world, int place)
{
    struct ferry_vm_stats stats;

    ferry_vm_stats(world->vm[place], &stats);
    return stats;
}

struct ferry_link_stats link_stats(struct ferry_link *link)
{
    struct ferry_link_stats stats;

    ferry_link_stats(link, &stats);
    return stats;
}

size_t world_read_all(struct ferry_link *link, char *text, size_t bytes)
{
    struct ferry_message message;
    size_t done = 0;

    for (;;) {
        assert_int_equal(ferry_link_recv(link, PATIENCE, &message), 0);
        if (message.mode == FERRY_HANGUP)
            return done;
        assert_true(message.bytes <= bytes - done);
        memcpy(text + done, ferry_message_data(&message), message.bytes);
        done += message.bytes;
        if (message.mode == FERRY_COPY || message.mode == FERRY_LEND)
            assert_int_equal(ferry_link_release(link, message.token), 0);
    }
}

static const char *stat_line(const char *path, char *line, int bytes)
{
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    assert_non_null(fgets(line, bytes, file));
    fclose(file);
    return line;
}

void until_asleep(const atomic_int *tid)
{
    char path[64], line[256];

    until(*tid != 0);
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", *tid);
    until(strstr(stat_line(path, line, sizeof line), ") S "));
}
