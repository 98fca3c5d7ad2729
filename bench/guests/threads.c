/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * threads KIND COUNT ITEMS: so many threads take items of work from a queue of four. An item of `long`
 * work is some milliseconds, as the block of a packer is, so that locks hardly count; one of `short`
 * work is some hundred microseconds, so that most items wait for one or two futexes. Writes the
 * nanoseconds that it all took to standard error.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROOM         4
#define THREADS_MOST 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER, room = PTHREAD_COND_INITIALIZER;
static unsigned queued, turns;
static int over;
static uint64_t done;

static uint64_t work(void)
{
    uint64_t value = 1;

    for (unsigned i = 0; i < turns; i++) {
        value = value * 6364136223846793005ull + 1442695040888963407ull;
        __asm__ volatile("" : "+r"(value));
    }
    return value != 0;
}

static void *take_items(void *arg)
{
    pthread_mutex_lock(&lock);
    for (;;) {
        while (queued == 0 && !over)
            pthread_cond_wait(&more, &lock);
        if (queued == 0)
            break;
        queued--;
        pthread_cond_signal(&room);
        pthread_mutex_unlock(&lock);
        uint64_t result = work();
        pthread_mutex_lock(&lock);
        done += result;
    }
    pthread_mutex_unlock(&lock);
    return arg;
}

static void give_items(unsigned items)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < items; i++) {
        while (queued == ROOM)
            pthread_cond_wait(&room, &lock);
        queued++;
        pthread_cond_signal(&more);
    }
    over = 1;
    pthread_cond_broadcast(&more);
    pthread_mutex_unlock(&lock);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    unsigned threads = argc > 3 ? (unsigned)atoi(argv[2]) : 0;
    unsigned items = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
    pthread_t all[THREADS_MOST];

    if (threads == 0 || threads > THREADS_MOST)
        return 2;
    turns = strcmp(argv[1], "long") == 0 ? 4000000 : 150000;
    uint64_t ns = now_ns();
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&all[i], NULL, take_items, NULL))
            return 1;
    give_items(items);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    ns = now_ns() - ns;
    return done == items && write(2, &ns, sizeof ns) == sizeof ns ? 0 : 1;
}
