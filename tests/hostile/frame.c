/* SPDX-License-Identifier: BSD-2-Clause */
#include "frame.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../until.h"
#include "files.h"
#include "secret.h"

#define ATTACKS_MAX 128
/* What the C library and sanitizers may keep of memory that was freed. */
#ifdef FERRY_SANITIZED
#define KEPT_KB (256 << 10)
#else
#define KEPT_KB (2 << 10)
#endif
#define ROUNDS_AFTER  3
#define LEVEL_SECONDS 5

/* What this process has. */
struct level {
    unsigned threads, descriptors;
    unsigned long memory_kb;
};

enum { LEFT, RIGHT, PEER, ATTACKER, NEWBORN };

static struct {
    struct world *world;
    struct ferry_link *in, *out, *ready; /* host to left, right to host, peer to host */
    struct ferry_link *input, *output;   /* host to attacker, attacker to host, if it has streams */
    struct ferry_link *newborn;          /* host to newborn, if there is one */
    struct level before;
    uint32_t rounds;
    char secret[SECRET_BYTES + 1], plain[64], hidden[64];
    char *knows[2];   /* the environment of those who have the secret */
    char *own_secret; /* the VMM's */
    struct hostile_files files;
} run;

/* ---- what this process has ---------------------------------------------- */

static unsigned entries(const char *path)
{
    DIR *directory = opendir(path);
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static struct level level_now(void)
{
    struct level now = {entries("/proc/self/task"), entries("/proc/self/fd"), 0};
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];

    assert_non_null(status);
    malloc_trim(0);
    while (fgets(line, sizeof line, status))
        (void)sscanf(line, "RssAnon: %lu", &now.memory_kb);
    fclose(status);
    return now;
}

static bool is_level(const struct level *before, struct level *now)
{
    *now = level_now();
    return now->threads == before->threads && now->descriptors == before->descriptors &&
           now->memory_kb <= before->memory_kb + KEPT_KB;
}

/* A thread that was joined is listed for a moment longer. */
static void expect_level(const struct level *before)
{
    struct level now;
    time_t begun = time(NULL);

    while (!is_level(before, &now) && time(NULL) - begun < LEVEL_SECONDS)
        sched_yield();
    if (!is_level(before, &now))
        fail_msg("threads %u, then %u; descriptors %u, then %u; memory %lu KiB, then %lu KiB",
                 before->threads, now.threads, before->descriptors, now.descriptors,
                 before->memory_kb, now.memory_kb);
}

/* ---- bystanders --------------------------------------------------------- */

/* Each VM says how it ended: its own fault, another's, and an attacker that never ends look alike otherwise. */
static void fail_of_bystanders(const char *what)
{
    struct world *world = run.world;

    for (int i = LEFT; i <= ATTACKER; i++) {
        if (ferry_vm_wait(world->vm[i], SECOND, &world->exit[i]) < 0)
            snprintf(world->exit[i].text, sizeof world->exit[i].text, "it runs");
    }
    fail_msg("%s: left: %.99s; right: %.99s; peer: %.99s; attacker: %.99s; guests said: %s", what,
             world->exit[LEFT].text, world->exit[RIGHT].text, world->exit[PEER].text,
             world->exit[ATTACKER].text, world_said(world));
}

/* The host sends a page through left and right, and gets its sum back. */
static void traffic_round(void)
{
    uint8_t page[FERRY_PAGE_BYTES];
    struct ferry_message message = {.mode = FERRY_COPY, .data = page, .bytes = sizeof page};
    uint64_t sum = 0, told;

    run.rounds++;
    for (size_t i = 0; i < sizeof page; i++)
        sum += page[i] = (uint8_t)(run.rounds * 31 + i + i / 251);
    message.tag = run.rounds;
    if (ferry_link_send(run.in, &message, PATIENCE) < 0 ||
        ferry_link_recv(run.out, PATIENCE, &message) < 0)
        fail_of_bystanders("they stand still");
    if (message.mode != FERRY_INLINE || message.tag != run.rounds)
        fail_of_bystanders("they ended, or lost a message");
    memcpy(&told, message.inline_data, sizeof told);
    assert_int_equal(told, sum);
}

/* ---- streams ------------------------------------------------------------ */

/* What the attacker writes must not be the secret of others. */
static void take_output(void)
{
    struct ferry_message message;

    while (ferry_link_recv(run.output, 0, &message) == 0 && message.mode != FERRY_HANGUP) {
        if (memmem(ferry_message_data(&message), message.bytes, run.secret, SECRET_BYTES))
            fail_msg("the secret was written");
        if (message.mode == FERRY_COPY || message.mode == FERRY_LEND)
            assert_int_equal(ferry_link_release(run.output, message.token), 0);
    }
}

/* As much input as there is room for: copies, and pages that are lent, beside which the secret lies. */
static void give_input(void)
{
    static char text[3 * FERRY_PAGE_BYTES];
    struct ferry_message copy = {.mode = FERRY_COPY, .data = text, .bytes = sizeof text}, loan;
    char *unit;
    void *home;
    size_t bytes;

    memset(text, 'i', sizeof text);
    while (ferry_link_reclaim(run.input, 0, &home, &bytes) == 0)
        assert_int_equal(ferry_link_free(run.input, home, FERRY_PAGE_BYTES), 0);
    while (ferry_link_send(run.input, &copy, 0) == 0) {
        if (ferry_link_alloc(run.input, 1, true, (void **)&unit) < 0)
            return;
        for (size_t at = 0; at + SECRET_BYTES <= FERRY_PAGE_BYTES; at += SECRET_BYTES)
            memcpy(unit + at, run.secret, SECRET_BYTES);
        memset(unit + 100, 'l', 2000);
        loan = (struct ferry_message){.mode = FERRY_LEND, .data = unit + 100, .bytes = 2000};
        if (ferry_link_send(run.input, &loan, 0) < 0) {
            assert_int_equal(ferry_link_free(run.input, unit, FERRY_PAGE_BYTES), 0);
            return;
        }
    }
}

static void round_now(void)
{
    traffic_round();
    if (!run.input)
        return;
    give_input();
    take_output();
}

/* ---- one attack --------------------------------------------------------- */

static void make_secret(void)
{
    for (size_t i = 0; i < SECRET_BYTES; i++) {
        uint8_t random;

        assert_int_equal(getrandom(&random, 1, 0), 1);
        run.secret[i] = (char)('a' + random % 16);
    }
    snprintf(run.plain, sizeof run.plain, "SECRET=%s", run.secret);
    snprintf(run.hidden, sizeof run.hidden, "HIDDEN=%s", run.secret);
    for (char *at = run.hidden + strlen("HIDDEN="); *at; at++)
        *at = secret_hidden(*at);
    run.knows[0] = run.plain;
    run.own_secret = strdup(run.secret);
    assert_non_null(run.own_secret);
}

/* A unit of the host's, which stays until its link goes. */
static void plant_in_host_unit(void)
{
    char *unit;

    assert_int_equal(ferry_link_alloc(run.in, 1, true, (void **)&unit), 0);
    for (size_t at = 0; at + SECRET_BYTES <= FERRY_PAGE_BYTES; at += SECRET_BYTES)
        memcpy(unit + at, run.secret, SECRET_BYTES);
}

static void add_attacker(const struct attack *attack, const char *name, const char *first)
{
    char *const searches[] = {run.hidden, NULL};

    run.world->envp = searches;
    world_add(run.world, name, attack->program, attack->files ? run.files.top : first,
              attack->args[1], attack->args[2], attack->args[3], NULL);
    run.world->envp = NULL; /* it was of this function */
}

/* A VM that the attacker has links with ends before it begins, and another one gets its number. */
static void give_number_anew(void)
{
    struct world *world = run.world;
    int old = world_add(world, "old", "search_finds", "nothing", NULL);

    world_link_both(world, ATTACKER, old);
    assert_int_equal(ferry_vm_start(world->vm[old], NULL), 0);
    assert_int_equal(ferry_vm_wait(world->vm[old], PATIENCE, &world->exit[old]), 0);
    world_expect_ok(world, old);
    ferry_vm_destroy(world->vm[old]);
    world->count--;
    world->envp = run.knows;
    assert_int_equal(world_add(world, "newborn", "bystander", "host", NULL), NEWBORN);
    run.newborn = world_link(world, -1, NEWBORN);
}

static void make_vms(const struct attack *attack)
{
    struct world *world = run.world;

    world->envp = run.knows;
    assert_int_equal(world_add(world, "left", "bystander", "right", NULL), LEFT);
    assert_int_equal(world_add(world, "right", "bystander", "host", NULL), RIGHT);
    world_add(world, "peer", "soft_peer", "attacker", attack->peer, NULL);
    if (attack->timeout_ms)
        world->timeout_ns = attack->timeout_ms * (SECOND / 1000);
    if (attack->files)
        hostile_files_make(&run.files, run.secret, world);
    add_attacker(attack, "attacker", attack->each ? attack->each[0] : attack->args[0]);
    run.in = world_link(world, -1, LEFT);
    world_link(world, LEFT, RIGHT);
    run.out = world_link(world, RIGHT, -1);
    run.ready = world_link(world, PEER, -1);
    world_link_both(world, PEER, ATTACKER);
    if (attack->streams) {
        run.input = world_stream(world, -1, ATTACKER);
        run.output = world_stream(world, ATTACKER, -1);
    }
    if (attack->reborn)
        give_number_anew();
}

static void start_vm(int place)
{
    struct ferry_error err;

    if (ferry_vm_start(run.world->vm[place], &err) < 0)
        fail_msg("%s", err.text);
}

/* All secrets are planted before the attacker begins. */
static void start(const struct attack *attack)
{
    struct ferry_message message;

    for (int i = 0; i < ATTACKER; i++)
        start_vm(i);
    if (attack->reborn)
        start_vm(NEWBORN);
    traffic_round();
    assert_int_equal(ferry_link_recv(run.ready, PATIENCE, &message), 0);
    if (message.mode != FERRY_INLINE)
        fail_msg("the peer ended; guests said: %s", world_said(run.world));
}

static bool ends_as_in_lab(const struct attack *attack, const struct ferry_vm_exit *end)
{
    if (!getenv("FERRY_SIZE_DIVISOR"))
        return false;
    return end->how == FERRY_ENDED_CRASH ? attack->lab_signo && end->signo == attack->lab_signo
                                         : attack->lab_status && end->status == attack->lab_status;
}

static bool names_cause(const struct attack *attack, const char *text)
{
    return !attack->report || strstr(text, attack->report) ||
           (attack->or_report && strstr(text, attack->or_report));
}

static void expect_end(const struct attack *attack, int place, const char *first)
{
    const struct ferry_vm_exit *end = &run.world->exit[place];
    enum ferry_ended how = attack->how ? attack->how : FERRY_ENDED_EXIT;

    if (ends_as_in_lab(attack, end))
        return;
    if (end->how != how || (how != FERRY_ENDED_TIMEOUT && end->status != attack->status) ||
        !names_cause(attack, end->text))
        fail_msg("%s: ended otherwise (%d, %d): %s; guests said: %s", first ? first : "it",
                 end->how, end->status, end->text, world_said(run.world));
}

static void run_attacker(const struct attack *attack, int place, const char *first)
{
    struct world *world = run.world;

    start_vm(place);
    while (ferry_vm_wait(world->vm[place], SECOND / 1000, &world->exit[place]) == -ETIMEDOUT)
        round_now();
    expect_end(attack, place, first);
}

static void run_each(const struct attack *attack)
{
    struct world *world = run.world;

    for (const char *const *first = attack->each; first && *first && *++first;) {
        int place = world->count;

        add_attacker(attack, "another", *first);
        run_attacker(attack, place, *first);
        ferry_vm_destroy(world->vm[place]);
        world->count--;
    }
}

static void expect_newborn_alone(void)
{
    assert_int_equal(world_stats(run.world, NEWBORN).messages_received, 0);
    assert_int_equal(ferry_link_hangup(run.newborn), 0);
}

static void expect_books(void)
{
    struct ferry_ledger ledger;

    for (; run.world->count > 0; run.world->count--)
        ferry_vm_destroy(run.world->vm[run.world->count - 1]);
    ferry_engine_ledger(run.world->engine, &ledger);
    if (ledger.free != ledger.extents + ledger.pages || ledger.lent || ledger.leaked)
        fail_msg("books: of %llu units %llu are free, %llu lent, %llu leaked",
                 (unsigned long long)(ledger.extents + ledger.pages),
                 (unsigned long long)ledger.free, (unsigned long long)ledger.lent,
                 (unsigned long long)ledger.leaked);
}

static int begin(void **state)
{
    const struct attack *attack = *state;
    const struct ferry_engine_config config = {
        .pool_extents = 12, .pool_pages = 512, .polled = attack->polled};
    void *world = NULL;

    memset(&run, 0, sizeof run);
    run.before = level_now();
    world_setup_with(&world, &config);
    run.world = world;
    make_secret();
    return 0;
}

static int finish(void **state)
{
    void *world = run.world;

    (void)state;
    run.world = NULL;
    free(run.own_secret);
    hostile_files_remove(&run.files);
    return world_teardown(&world);
}

static void attack_and_look(void **state)
{
    const struct attack *attack = *state;
    struct world *world = run.world;

    make_vms(attack);
    plant_in_host_unit();
    start(attack);
    run_attacker(attack, ATTACKER, attack->each ? attack->each[0] : NULL);
    run_each(attack);
    for (int i = 0; i < ROUNDS_AFTER; i++)
        round_now();
    if (attack->reborn)
        expect_newborn_alone();
    assert_int_equal(ferry_link_hangup(run.in), 0);
    world_wait(world);
    for (int i = 0; i < world->count; i++)
        if (i != ATTACKER)
            world_expect_ok(world, i);
    if (attack->files)
        hostile_files_expect(&run.files, run.secret);
    expect_books();
    finish(state);
    expect_level(&run.before);
}

/* After a test that failed. */
static int clean_up(void **state)
{
    return run.world ? finish(state) : 0;
}

static void *tell_number(void *number)
{
    *(pid_t *)number = gettid();
    return NULL;
}

/* With the first thread that a process makes, ThreadSanitizer makes one of its own, which stays. The first is
 * listed for a moment after it was joined, and must not be counted. */
static bool make_a_thread(void)
{
    char listed[64];
    pthread_t thread;
    pid_t number;

    if (pthread_create(&thread, NULL, tell_number, &number) || pthread_join(thread, NULL))
        return false;
    snprintf(listed, sizeof listed, "/proc/self/task/%d", number);
    while (access(listed, F_OK) == 0)
        sched_yield();
    return true;
}

int run_attacks(const struct attack *attacks, size_t count)
{
    struct CMUnitTest tests[ATTACKS_MAX];

    if (count > ATTACKS_MAX || !make_a_thread())
        return 1;
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){.name = attacks[i].name,
                                       .test_func = attack_and_look,
                                       .setup_func = begin,
                                       .teardown_func = clean_up,
                                       .initial_state = (void *)(uintptr_t)&attacks[i]};
    return _cmocka_run_group_tests("attacks", tests, count, NULL, NULL);
}
