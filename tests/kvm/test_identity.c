/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of digests that are computed when somebody asks (claims 7, 14): a guest that asks
 * gets the digest of the bytes that run, a guest that does not ask waits for none. The bytes that
 * are read are counted.
 */
#include "kvm_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../until.h"

/* Minutes of hashing. It is not larger, since Ferry takes as many addresses as a program file has
 * bytes, and the thread sanitizer leaves a process few: of 1 TiB they sometimes are no hole. */
#define HUGE_FILE (1ull << 36)

/* The digest as another program computes it. */
static void digest_of(const char *path, char hex[65])
{
    char command[600];

    snprintf(command, sizeof command, "sha256sum '%s'", path);
    FILE *sum = popen(command, "r");
    assert_non_null(sum);
    assert_int_equal(fscanf(sum, "%64s", hex), 1);
    pclose(sum);
}

static const char *guest_path(const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", getenv("FERRY_TEST_GUESTS"), name);
    return path;
}

static void run(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

/* A copy of a guest program that the test may change; with so many bytes, if more. */
static void copy_guest(const char *name, uint64_t bytes, char path[512])
{
    char from[512], command[1200];

    strcpy(path, "/tmp/ferry-test-identity-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(command, sizeof command, "cp '%s' '%s'", guest_path(name, from), path);
    run(command);
    if (bytes)
        assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    close(fd);
}

/* Bytes that this process has read so far. */
static uint64_t bytes_read(void)
{
    unsigned long long bytes;

    FILE *io = fopen("/proc/self/io", "re");
    assert_non_null(io);
    assert_int_equal(fscanf(io, "rchar: %llu", &bytes), 1);
    fclose(io);
    return bytes;
}

/* Each is shown the other's, not its own. */
static void a_guest_sees_its_peers(void **state)
{
    struct world *world = *state;
    char path[512], hex[65], line[128];
    int a = world_add(world, "a", "peers", NULL), b = world_add(world, "b", "nothing", NULL);

    world_link(world, a, b);
    world_link(world, a, -1);
    world_start(world);
    world_wait(world);
    world_expect_ok(world, a);
    digest_of(guest_path("nothing", path), hex);
    snprintf(line, sizeof line, "2 b %s\n", hex);
    assert_non_null(strstr(world_said(world), line));
    snprintf(line, sizeof line, "0 host %064d\n", 0);
    assert_non_null(strstr(world_said(world), line));
}

/* Makes and destroys VMs of so many programs that an image nobody uses is forgotten. */
static void run_others(struct world *world)
{
    for (int i = 0; i < 20; i++) {
        char path[512];

        copy_guest("nothing", 0, path);
        const struct ferry_vm_config config = {.name = "other", .program = path};
        struct ferry_vm *other;
        assert_int_equal(ferry_vm_create(world->engine, &config, &other, NULL), 0);
        ferry_vm_destroy(other);
        unlink(path);
    }
}

/* The guest is shown the digest even if the peer is gone before it looks, and many other VMs
 * too. */
static void a_dead_peer_keeps_its_digest(void **state)
{
    struct world *world = *state;
    char path[512], hex[65];
    int a = world_add(world, "a", "peers", NULL), b = world_add(world, "b", "nothing", NULL);

    world_link(world, b, a);
    ferry_vm_destroy(world->vm[b]);
    world->count = 1;
    run_others(world);
    world_start(world);
    world_wait(world);
    world_expect_ok(world, a);
    digest_of(guest_path("nothing", path), hex);
    assert_non_null(strstr(world_said(world), hex));
}

static void the_table_cannot_be_written(void **state)
{
    struct world *world = *state;
    int a = world_add(world, "a", "peers", "write", NULL), b = world_add(world, "b", "peers", NULL);

    world_link(world, a, b);
    world_start(world);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_CRASH);
    assert_int_equal(world->exit[a].signo, SIGSEGV);
    assert_non_null(strstr(world->exit[a].text, "is read-only"));
    assert_true(world->exit[a].address_known);
    assert_int_equal(world->exit[a].address & ~0xfffull, 0x900000000);
    world_expect_ok(world, b);
}

/* A VM that runs a program of the directory of guests, and may see the others. */
static int add_seeing(struct world *world, const char *name, char *const argv[])
{
    const char *const seen[] = {getenv("FERRY_TEST_GUESTS"), NULL};
    struct ferry_error err;
    char path[512];
    const struct ferry_vm_config config = {.name = name,
                                           .program = guest_path(argv[0], path),
                                           .argv = argv,
                                           .read_only_dirs = seen,
                                           .stderr_fd = world->stderr_fd};

    if (ferry_vm_create(world->engine, &config, &world->vm[world->count], &err) < 0)
        fail_msg("%s", err.text);
    return world->count++;
}

/* The next message carries this text, and was sent by a program of this generation. */
static void expect_sent(struct ferry_link *link, const char *text, uint32_t generation)
{
    struct ferry_message message;

    assert_int_equal(ferry_link_recv(link, PATIENCE, &message), 0);
    assert_int_equal(message.bytes, strlen(text));
    assert_memory_equal(ferry_message_data(&message), text, message.bytes);
    assert_int_equal(message.src_generation, generation);
    if (message.mode != FERRY_INLINE)
        ferry_link_release(link, message.token);
}

static void expect_digest(const struct ferry_identity *identity, const char *hex)
{
    char line[65];

    for (size_t i = 0; i < 32; i++)
        snprintf(line + 2 * i, 3, "%02x", identity->digest[i]);
    assert_string_equal(line, hex);
}

/* Whoever asks is told of the program that runs now, and each message of the one that sent it. */
static void another_program_is_another_identity(void **state)
{
    struct world *world = *state;
    char first[512], next[512], before[65], after[65], line[128];
    char *const argv[] = {(char *)"exec_identity", next, NULL};
    struct ferry_message go = {.mode = FERRY_INLINE, .data = "!line\nnext\n", .bytes = 11};
    struct ferry_identity was, is;

    digest_of(guest_path("exec_identity", first), before);
    digest_of(guest_path("first_line", next), after);
    int a = add_seeing(world, "a", argv), b = world_add(world, "b", "peers", "twice", NULL);
    struct ferry_link *in = world_stream(world, -1, a), *out = world_stream(world, a, -1);
    world_link(world, a, b);
    ferry_link_peer(out, &was);
    world_start(world);
    expect_sent(out, "first\n", was.generation);
    snprintf(line, sizeof line, "1 a %s\n", before);
    until(strstr(world_said(world), line));
    assert_int_equal(ferry_link_send(in, &go, PATIENCE), 0);
    ferry_link_hangup(in);
    /* Nobody waits for its last line, so the next program begins while that is still gathered. */
    until((ferry_link_peer(out, &is), is.generation != was.generation));
    expect_sent(out, "last\n", was.generation);
    expect_digest(&was, before);
    expect_digest(&is, after);
    expect_sent(out, "next\n", is.generation);
    world_wait(world);
    world_expect_ok(world, a);
    world_expect_ok(world, b);
    snprintf(line, sizeof line, "1 a %s\n", after);
    assert_non_null(strstr(world_said(world), line));
}

/* The file is overwritten in place, with as many bytes, between making the VM and the question;
 * a VM made afterwards runs, and shows, the new ones. */
static void replaced_in_place(void **state)
{
    struct world *world = *state;
    char path[512], other[512], command[2200], before[65], after[65];
    struct stat st;

    copy_guest("syscalls", 0, path);
    digest_of(path, before);
    int a = world_add(world, "a", "peers", NULL), b = world_add(world, "b", path, NULL);
    world_link(world, a, b);
    copy_guest("peers", 0, other);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(other, st.st_size), 0); /* the same size */
    snprintf(command, sizeof command, "cat '%s' > '%s'", other, path);
    run(command);
    digest_of(path, after);
    assert_string_not_equal(before, after);
    int c = world_add(world, "c", "peers", NULL), d = world_add(world, "d", path, NULL);
    world_link(world, c, d);
    world_start(world);
    world_wait(world);
    for (int i = 0; i < 4; i++)
        world_expect_ok(world, i);
    assert_non_null(strstr(world_said(world), before));
    assert_non_null(strstr(world_said(world), after));
    unlink(path);
    unlink(other);
}

/* Nobody looks, so nothing is hashed, and nothing of a file is read that does not run. */
static void who_does_not_ask_pays_nothing(void **state)
{
    struct world *world = *state;
    char path[512];

    copy_guest("stdio", HUGE_FILE, path);
    uint64_t before = bytes_read();
    int a = world_add(world, "a", path, NULL), b = world_add(world, "b", path, NULL);
    struct ferry_link *in = world_stream(world, -1, a);
    world_stream(world, a, b);
    ferry_link_hangup(in);
    world_start(world);
    world_wait(world);
    assert_int_not_equal(world->exit[a].how, FERRY_ENDED_TIMEOUT);
    assert_in_range(bytes_read() - before, 0, 4 << 20);
    unlink(path);
}

/* Hashing this would take minutes: a guest that waits for it can be stopped. */
static void a_question_ends_when_its_vm_is_stopped(void **state)
{
    struct world *world = *state;
    char path[512];

    copy_guest("spin", HUGE_FILE, path);
    int a = world_add(world, "a", "peers", NULL), b = world_add(world, "b", path, NULL);
    world_link(world, a, b);
    world_start(world);
    uint64_t before = bytes_read();
    while (bytes_read() - before < 16u << 20) /* it is at it; bounded by the VM's time limit */
        assert_int_equal(ferry_vm_wait(world->vm[a], 1000000, NULL), -ETIMEDOUT);
    ferry_vm_stop(world->vm[a], SIGTERM);
    ferry_vm_stop(world->vm[b], SIGTERM);
    world_wait(world);
    assert_int_equal(world->exit[a].how, FERRY_ENDED_STOPPED);
    assert_string_equal(world_said(world), "");
    unlink(path);
}

static void *ask(void *link)
{
    static struct ferry_identity identity;

    ferry_link_peer(link, &identity);
    return &identity;
}

/* The host is the same: neither cancelling the link nor destroying the VM waits for the digest. */
static void a_question_of_the_host_can_be_called_off(void **state)
{
    static const uint8_t none[32];
    struct world *world = *state;
    char path[512];

    copy_guest("spin", HUGE_FILE, path);
    for (int destroy = 0; destroy <= 1; destroy++) {
        int a = world_add(world, destroy ? "b" : "a", path, NULL);
        struct ferry_link *link = world_link(world, a, -1);
        uint64_t before = bytes_read();
        pthread_t thread;
        void *answer;

        assert_int_equal(pthread_create(&thread, NULL, ask, link), 0);
        for (int looks = 0; bytes_read() - before < 16u << 20; looks++) {
            assert_in_range(looks, 0, 60000);
            assert_int_equal(ferry_vm_wait(world->vm[a], 1000000, NULL), -ETIMEDOUT);
        }
        if (destroy) {
            ferry_vm_destroy(world->vm[a]);
            world->count--;
        } else {
            ferry_link_cancel(link);
        }
        pthread_join(thread, &answer);
        const struct ferry_identity *identity = answer;
        assert_string_equal(identity->name, destroy ? "b" : "a");
        assert_memory_equal(identity->digest, none, sizeof none);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kvm_test(a_guest_sees_its_peers),
        kvm_test(a_dead_peer_keeps_its_digest),
        kvm_test(another_program_is_another_identity),
        kvm_test(the_table_cannot_be_written),
        kvm_test(replaced_in_place),
        kvm_test(who_does_not_ask_pays_nothing),
        kvm_test(a_question_ends_when_its_vm_is_stopped),
        kvm_test(a_question_of_the_host_can_be_called_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
