/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile_threads PEER: threads change the control structure at any moment, while another makes the
 * VMM look at it. hostile_threads PEER watch: the receiver, to which only sound messages come.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "call.h"
#include "guest.h"

#define SCRIBBLERS 2
#define LOOKS      20000

static struct ferry_control *control;
static uint16_t peer;
static void *page;
static atomic_bool over;

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

/* A descriptor that is nearly right, word by word, so that the VMM may meet any mixture of two. */
static void put_descriptor(uint64_t *seed)
{
    struct ferry_desc desc = {.mode = (uint8_t)(1 + next_random(seed) % 4), .dst = peer};
    volatile uint64_t *slot = (volatile uint64_t *)&control->out[next_random(seed) % 8];
    uint64_t words[sizeof desc / sizeof(uint64_t)];

    if (desc.mode == FERRY_INLINE) {
        desc.inline_bytes = (uint8_t)(next_random(seed) % 40);
    } else {
        desc.payload.addr = (uintptr_t)page + next_random(seed) % 3 * FERRY_PAGE_BYTES;
        desc.payload.bytes = next_random(seed) % 9000;
    }
    memcpy(words, &desc, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        slot[i] = words[i];
}

static void *scribble(void *arg)
{
    uint64_t seed = 88172645463325252ull + (uintptr_t)arg;
    uint32_t *const indexes[] = {&control->guest.out_head, &control->guest.in_tail,
                                 &control->guest.home_tail, &control->guest.release_head};

    while (!atomic_load(&over)) {
        uint32_t tail = __atomic_load_n(&control->vmm.out_tail, __ATOMIC_RELAXED);

        put_descriptor(&seed);
        __atomic_store_n(indexes[next_random(&seed) % 4], tail + (uint32_t)next_random(&seed) % 8,
                         __ATOMIC_RELEASE);
        control->guest.release[next_random(&seed) % FERRY_TOKENS] =
            (uint32_t)next_random(&seed) % FERRY_TOKENS;
    }
    return NULL;
}

static void attack(void)
{
    pthread_t threads[SCRIBBLERS];
    time_t begun = time(NULL);

    page = alloc_units(FERRY_PAGE_BYTES);
    for (uintptr_t i = 0; i < SCRIBBLERS; i++)
        expect_ok("pthread_create", -pthread_create(&threads[i], NULL, scribble, (void *)i));
    for (unsigned i = 0; i < LOOKS && time(NULL) <= begun + RACE_SECONDS; i++)
        ferry_guest_call(FERRY_CALL_WAIT, FERRY_EVENT_OUT, 0, 0);
    atomic_store(&over, true);
    for (unsigned i = 0; i < SCRIBBLERS; i++)
        pthread_join(threads[i], NULL);
}

static void watch(void)
{
    struct ferry_msg msg;

    for (receive(&msg); msg.mode != FERRY_HANGUP; receive(&msg)) {
        if (msg.src != peer || msg.mode < FERRY_INLINE || msg.mode > FERRY_MOVE ||
            msg.bytes > (msg.mode == FERRY_INLINE ? FERRY_INLINE_BYTES : 9000))
            fail("a message of %zu bytes, mode %u, from %u", msg.bytes, msg.mode, msg.src);
        if (msg.mode != FERRY_INLINE && msg.bytes > 0) {
            (void)*(volatile const uint8_t *)msg.data;
            (void)*((volatile const uint8_t *)msg.data + msg.bytes - 1);
        }
        if (msg.mode != FERRY_MOVE)
            expect_ok("release", ferry_release(&msg));
    }
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "hostile_threads PEER [watch]");
    peer = peer_of(argv[1])->id;
    control = (struct ferry_control *)(uintptr_t)ferry_control();
    if (argc > 2)
        watch();
    else
        attack();
    return 0;
}
