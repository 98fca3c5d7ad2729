/* SPDX-License-Identifier: BSD-2-Clause */
/* VMs that are copies of one that has a snapshot. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "snapshot_pair.h"

static struct pair link_pair(struct world *world, int place)
{
    struct pair pair = {.vm = world->vm[place]};

    pair.to = world_link(world, -1, place);
    pair.from = world_link(world, place, -1);
    return pair;
}

static struct ferry_vm_config config_of(struct world *world, struct ferry_vm *from)
{
    return (struct ferry_vm_config){.copy_of = from, .stderr_fd = world->stderr_fd};
}

/* A copy that was not started. */
static struct pair copy_add(struct world *world, struct ferry_vm *from)
{
    const struct ferry_vm_config config = config_of(world, from);
    struct ferry_error err;

    if (ferry_vm_create(world->engine, &config, &world->vm[world->count], &err) < 0)
        fail_msg("%s", err.text);
    return link_pair(world, world->count++);
}

static struct pair copy_start(struct world *world, struct ferry_vm *from)
{
    struct pair pair = copy_add(world, from);
    struct ferry_error err;

    if (ferry_vm_start(pair.vm, &err) < 0)
        fail_msg("%s", err.text);
    return pair;
}

/* The number of the copy that it is; its program has served nothing yet. */
static uint64_t fresh_number(struct world *world, const struct pair *pair)
{
    uint64_t answer = pair_answer(world, pair, READY_COUNT);

    assert_int_equal(answer >> 32, 1);
    return answer & UINT32_MAX;
}

/* It has served something. */
static void expect_used(struct world *world, const struct pair *pair)
{
    assert_int_equal(pair_answer(world, pair, READY_COUNT) >> 32, 2);
}

/* ---- what a copy has --------------------------------------------------------------- */

static void copies_begin_at_the_point(void **state)
{
    struct pair first = pair_with_snapshot(*state), copies[3];
    bool seen[5] = {false};

    for (int i = 0; i < 3; i++)
        copies[i] = copy_start(*state, first.vm);
    seen[fresh_number(*state, &first)] = true;
    for (int i = 0; i < 3; i++) {
        uint64_t number = fresh_number(*state, &copies[i]);

        assert_true(number >= 1 && number <= 4);
        assert_false(seen[number]);
        seen[number] = true;
    }
    for (int i = 0; i < 3; i++) /* each has its own count */
        assert_int_equal(pair_answer(*state, &copies[i], READY_COUNT) >> 32, 2);
}

static void a_copy_may_be_made_before_the_snapshot(void **state)
{
    struct pair first = pair_add(*state, NULL), copy = copy_add(*state, first.vm);
    const struct ferry_message early = {.mode = FERRY_INLINE, .tag = READY_COUNT};
    struct ferry_error err;

    assert_int_equal(ferry_link_send(copy.to, &early, PATIENCE), -EPIPE);
    assert_int_equal(ferry_vm_start(copy.vm, &err), -EINVAL);
    assert_non_null(strstr(err.text, "has no snapshot"));
    assert_int_equal(ferry_vm_snapshot(first.vm, PATIENCE, &err), 0);
    assert_int_equal(ferry_vm_start(copy.vm, &err), 0);
    assert_int_equal(fresh_number(*state, &copy), 2);
    assert_int_equal(ferry_vm_start(copy.vm, &err), -EALREADY);
}

static void a_copy_goes_back_to_the_point(void **state)
{
    struct pair first = pair_with_snapshot(*state), copy = copy_start(*state, first.vm);
    uint64_t before = 0;

    for (int i = 0; i < 20; i++) {
        uint64_t number = fresh_number(*state, &copy);

        assert_true(number > before);
        before = number;
        assert_int_equal(pair_answer(*state, &copy, READY_CHANGE), 0);
        pair_reset(i % 2 ? &first : &copy);
        if (i % 2)
            pair_reset(&copy);
    }
}

static void a_copy_runs_on_without_the_first(void **state)
{
    struct world *world = *state;
    struct pair first = pair_with_snapshot(world), copy = copy_start(world, first.vm), next;

    ferry_vm_destroy(world->vm[0]);
    world->vm[0] = NULL;
    fresh_number(world, &copy);
    pair_reset(&copy);
    fresh_number(world, &copy);
    next = copy_start(world, copy.vm);
    fresh_number(world, &next);
}

static void a_copy_may_do_what_programs_do(void **state)
{
    struct pair first = pair_with_snapshot(*state), copy = copy_start(*state, first.vm);
    struct ferry_vm_exit exit;
    uint64_t id = pair_answer(*state, &copy, READY_THREADS);

    pair_reset(&copy);
    assert_int_equal(pair_answer(*state, &copy, READY_THREADS), id);
    pair_reset(&copy);
    pair_ask(&copy, READY_EXEC, FERRY_INLINE, NULL, 0);
    assert_int_equal(ferry_vm_wait(copy.vm, PATIENCE, &exit), 0);
    assert_int_equal(exit.status, 3);
    pair_reset(&copy);
    fresh_number(*state, &copy);
    assert_int_equal(pair_answer(*state, &copy, READY_LEND), 0);
    fresh_number(*state, &first);
}

/* The first one executes another program after its snapshot; the copy has that of the snapshot. */
static void a_copy_has_the_program_of_the_snapshot(void **state)
{
    struct pair first = pair_with_snapshot(*state), copy = copy_add(*state, first.vm);
    struct ferry_identity was, is;
    struct ferry_error err;

    ferry_link_peer(copy.from, &was);
    pair_ask(&first, READY_EXEC, FERRY_INLINE, NULL, 0);
    assert_int_equal(ferry_vm_wait(first.vm, PATIENCE, NULL), 0);
    assert_int_equal(ferry_vm_start(copy.vm, &err), 0);
    fresh_number(*state, &copy);
    ferry_link_peer(copy.from, &is);
    assert_memory_equal(was.digest, is.digest, sizeof was.digest);
    assert_int_equal(was.generation, is.generation);
}

/* ---- what it has not --------------------------------------------------------------- */

static void mask(char masked[SECRET_BYTES])
{
    for (int i = 0; i < SECRET_BYTES; i++)
        masked[i] = secret[i] ^ SECRET_MASK;
}

static void no_copy_sees_what_another_wrote(void **state)
{
    struct pair first = pair_with_snapshot(*state), one = copy_start(*state, first.vm), other;
    char masked[SECRET_BYTES];

    mask(masked);
    other = copy_add(*state, first.vm);
    pair_answer_to(*state, &one, READY_KEEP_ALL, secret);
    assert_true(pair_answer_to(*state, &one, READY_LOOK, masked) > 4);
    pair_answer_to(*state, &first, READY_KEEP_ALL, secret);
    assert_int_equal(ferry_vm_start(other.vm, NULL), 0);
    assert_int_equal(pair_answer_to(*state, &other, READY_LOOK, masked), 0);
    pair_reset(&one);
    assert_int_equal(pair_answer_to(*state, &one, READY_LOOK, masked), 0);
    pair_reset(&first);
    assert_int_equal(pair_answer_to(*state, &first, READY_LOOK, masked), 0);
}

/* Nor what another did, by what the kernel counts. */
static void no_copy_can_tell_what_another_did(void **state)
{
    struct pair first = pair_with_snapshot(*state), one = copy_start(*state, first.vm), other;
    uint64_t pages = pair_answer(*state, &one, READY_RESIDENT);
    uint64_t number = pair_answer(*state, &one, READY_PIPE);

    pair_answer(*state, &one, READY_TOUCH);
    for (int i = 0; i < 5; i++)
        pair_answer(*state, &one, READY_PIPE);
    other = copy_start(*state, first.vm);
    assert_int_equal(pair_answer(*state, &other, READY_RESIDENT), pages);
    assert_int_equal(pair_answer(*state, &other, READY_PIPE), number);
    pair_reset(&one);
    assert_int_equal(pair_answer(*state, &one, READY_RESIDENT), pages);
    assert_int_equal(pair_answer(*state, &one, READY_PIPE), number);
}

/* ---- at once ----------------------------------------------------------------------- */

#define MAKERS 3

struct maker {
    struct world *world;
    struct ferry_vm *from;
    unsigned rounds, failures;
};

static bool serves(struct ferry_link *to, struct ferry_link *from)
{
    const struct ferry_message ask = {.mode = FERRY_INLINE, .tag = READY_COUNT};
    struct ferry_message answer;

    return ferry_link_send(to, &ask, PATIENCE) == 0 &&
           ferry_link_recv(from, PATIENCE, &answer) == 0 && answer.tag >> 32 == 1;
}

static bool make_one(const struct maker *maker)
{
    const struct ferry_vm_config config = config_of(maker->world, maker->from);
    struct ferry_engine *engine = maker->world->engine;
    struct ferry_link *to, *from;
    struct ferry_vm *vm = NULL;
    bool good = ferry_vm_create(engine, &config, &vm, NULL) == 0 &&
                ferry_link_create(engine, NULL, vm, NULL, &to, NULL) == 0 &&
                ferry_link_create(engine, vm, NULL, NULL, &from, NULL) == 0 &&
                ferry_vm_start(vm, NULL) == 0 && serves(to, from) && !ferry_vm_reset(vm, NULL) &&
                serves(to, from);

    ferry_vm_destroy(vm);
    return good;
}

static void *make_copies(void *arg)
{
    struct maker *maker = arg;

    for (unsigned i = 0; i < maker->rounds; i++)
        maker->failures += !make_one(maker);
    return NULL;
}

static void many_are_made_while_the_first_is_reset(void **state)
{
    struct pair first = pair_with_snapshot(*state);
    struct maker makers[MAKERS];
    pthread_t threads[MAKERS];

    for (int i = 0; i < MAKERS; i++) {
        makers[i] = (struct maker){*state, first.vm, world_many(40), 0};
        assert_int_equal(pthread_create(&threads[i], NULL, make_copies, &makers[i]), 0);
    }
    for (unsigned i = 0; i < world_many(100); i++) {
        pair_answer(*state, &first, READY_CHANGE);
        pair_reset(&first);
    }
    for (int i = 0; i < MAKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(makers[i].failures, 0);
    }
}

/* ---- a pool ------------------------------------------------------------------------ */

struct pool_maker {
    struct world *world;
    struct ferry_vm *from;
    struct pair pairs[MAKERS];
    unsigned count, most;
};

#define NO_MORE (-EDOM) /* as an embedder chooses */

static int make_for_pool(void *arg, struct ferry_vm **out, struct ferry_error *err)
{
    struct pool_maker *maker = arg;
    struct pair *pair = &maker->pairs[maker->count];
    struct ferry_vm_config config = config_of(maker->world, maker->from);
    struct ferry_engine *engine = maker->world->engine;

    config.user = pair;
    if (maker->count == maker->most)
        return NO_MORE;
    maker->count++;
    int result = ferry_vm_create(engine, &config, out, err);
    if (result == 0)
        result = ferry_link_create(engine, NULL, *out, NULL, &pair->to, err);
    return result ? result : ferry_link_create(engine, *out, NULL, NULL, &pair->from, err);
}

static void a_pool_gives_fresh_ones(void **state)
{
    struct pool_maker maker = {*state, pair_with_snapshot(*state).vm, .most = MAKERS};
    struct ferry_vm *vms[MAKERS], *more;
    struct ferry_pool *pool;
    struct ferry_error err;

    assert_int_equal(ferry_pool_create(MAKERS, make_for_pool, &maker, &pool, &err), 0);
    assert_int_equal(maker.count, MAKERS);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < MAKERS; i++) {
            assert_int_equal(ferry_pool_take(pool, PATIENCE, &vms[i], &err), 0);
            fresh_number(*state, ferry_vm_user(vms[i]));
            expect_used(*state, ferry_vm_user(vms[i]));
        }
        assert_int_equal(ferry_pool_take(pool, 0, &more, &err), -ETIMEDOUT);
        assert_non_null(strstr(err.text, "in use"));
        for (int i = 0; i < MAKERS; i++)
            ferry_pool_give(pool, vms[i]);
    }
    ferry_pool_destroy(pool);
}

struct taker {
    struct ferry_pool *pool;
    unsigned rounds, failures;
};

static void *take_and_give(void *arg)
{
    struct taker *taker = arg;
    struct ferry_vm *vm;

    for (unsigned i = 0; i < taker->rounds; i++) {
        if (ferry_pool_take(taker->pool, PATIENCE, &vm, NULL)) {
            taker->failures++;
            continue;
        }
        const struct pair *pair = ferry_vm_user(vm);
        taker->failures += !serves(pair->to, pair->from);
        ferry_pool_give(taker->pool, vm);
    }
    return NULL;
}

static void who_finds_a_pool_empty_waits(void **state)
{
    struct pool_maker maker = {*state, pair_with_snapshot(*state).vm, .most = MAKERS - 1};
    struct taker takers[MAKERS + 1];
    pthread_t threads[MAKERS + 1];
    struct ferry_pool *pool;

    assert_int_equal(ferry_pool_create(MAKERS - 1, make_for_pool, &maker, &pool, NULL), 0);
    for (int i = 0; i <= MAKERS; i++) {
        takers[i] = (struct taker){pool, world_many(100), 0};
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &takers[i]), 0);
    }
    for (int i = 0; i <= MAKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(takers[i].failures, 0);
    }
    ferry_pool_destroy(pool);
}

static void a_pool_that_cannot_be_made_leaves_nothing(void **state)
{
    struct pool_maker maker = {*state, pair_with_snapshot(*state).vm, .most = 2};
    struct ferry_pool *pool;
    struct ferry_error err;

    assert_int_equal(ferry_pool_create(3, make_for_pool, &maker, &pool, NULL), NO_MORE);
    assert_int_equal(ferry_pool_create(0, make_for_pool, &maker, &pool, &err), -EINVAL);
}

/* ---- what is refused --------------------------------------------------------------- */

static void expect_refused(struct world *world, const struct ferry_vm_config *config, int result,
                           const char *text)
{
    struct ferry_vm *vm = NULL;
    struct ferry_error err;

    assert_int_equal(ferry_vm_create(world->engine, config, &vm, &err), result);
    if (!strstr(err.text, text))
        fail_msg("'%s' does not say '%s'", err.text, text);
}

static void what_a_copy_cannot_have_is_refused(void **state)
{
    struct world *world = *state;
    struct pair first = pair_with_snapshot(world);
    struct ferry_vm_config config = config_of(world, first.vm);
    struct ferry_vm *vm = NULL;
    struct ferry_engine *engine;
    struct ferry_error err;

    config.memory_bytes = 1 << 20;
    expect_refused(world, &config, -EINVAL, "leave them out");
    assert_int_equal(ferry_engine_create(NULL, &engine, &err), 0);
    config = config_of(world, first.vm);
    assert_int_equal(ferry_vm_create(engine, &config, &vm, &err), -EINVAL);
    assert_non_null(strstr(err.text, "the engine"));
    ferry_engine_destroy(engine);

    struct pair copy = copy_start(world, first.vm);
    assert_int_equal(ferry_vm_snapshot(copy.vm, PATIENCE, &err), -EINVAL);
    assert_non_null(strstr(err.text, "is a copy"));

    struct ferry_vm *plain = world->vm[world_add(world, "plain", "ready", NULL)];
    assert_int_equal(ferry_vm_start(plain, &err), 0);
    config = config_of(world, plain);
    expect_refused(world, &config, -EINVAL, "has no snapshot");

    int other = world_add(world, "other", "ready", NULL), place = world->count;
    struct ferry_vm *streams = copy_add(world, first.vm).vm;
    world_stream(world, other, place);
    assert_int_equal(ferry_vm_start(streams, &err), -EBUSY);
    assert_non_null(strstr(err.text, "a stream of another VM"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(copies_begin_at_the_point, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_copy_may_be_made_before_the_snapshot, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_copy_goes_back_to_the_point, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_copy_runs_on_without_the_first, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_copy_may_do_what_programs_do, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_copy_has_the_program_of_the_snapshot, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(no_copy_sees_what_another_wrote, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(no_copy_can_tell_what_another_did, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(many_are_made_while_the_first_is_reset, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_pool_gives_fresh_ones, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(who_finds_a_pool_empty_waits, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_pool_that_cannot_be_made_leaves_nothing, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(what_a_copy_cannot_have_is_refused, world_setup,
                                        world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
