/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what a program waits for of descriptors of the host. Its threads wait for many things at once,
 * all of which wake the VM. The only thread of a program polls these descriptors itself, which is
 * quicker by two switches of threads for each wait; for several threads, which serve each other's
 * calls, one of ours does. A VM that never needs that thread has none.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/lock.h"
#include "lib/thread.h"
#include "linux/state.h"

struct host_watch {
    struct ferry_vm *vm;
    bool runs; /* the thread, which is there from the first need on */
    pthread_t thread;
    int changed; /* of the thread, an eventfd: it is to look at `wanted` anew */
    struct lock lock;
    /* Under the lock: each descriptor, until one of its events held. */
    struct pollfd wanted[HOST_FILES_MAX];
    unsigned count;
    bool over;
};

static struct pollfd *find(struct host_watch *watch, int fd)
{
    for (unsigned i = 0; i < watch->count; i++) {
        if (watch->wanted[i].fd == fd)
            return &watch->wanted[i];
    }
    return NULL;
}

static void forget(struct host_watch *watch, struct pollfd *entry)
{
    *entry = watch->wanted[--watch->count];
}

/* What to wait for: `changed` and what is wanted. 0: nothing any more, the VM is gone. */
static unsigned list(struct host_watch *watch, struct pollfd *entries)
{
    unsigned count = 0;

    lock_take(&watch->lock);
    entries[0] = (struct pollfd){.fd = watch->changed, .events = POLLIN};
    memcpy(entries + 1, watch->wanted, watch->count * sizeof(entries[0]));
    count = watch->over ? 0 : watch->count + 1;
    lock_drop(&watch->lock);
    return count;
}

/* Whoever waits looks by itself which of the files it is. */
static void tell(struct host_watch *watch, const struct pollfd *entries, unsigned count)
{
    bool any = false;

    lock_take(&watch->lock);
    for (unsigned i = 0; i < count; i++) {
        struct pollfd *entry = entries[i].revents ? find(watch, entries[i].fd) : NULL;

        any |= entries[i].revents;
        if (entry)
            forget(watch, entry);
    }
    lock_drop(&watch->lock);
    if (any)
        vm_wake(watch->vm);
}

static void *watch_thread(void *arg)
{
    struct pollfd entries[1 + HOST_FILES_MAX];
    struct host_watch *watch = arg;
    uint64_t told = 0, took; /* of processor time */
    eventfd_t unused;
    unsigned count;

    while ((count = list(watch, entries)) > 0) {
        if (poll(entries, count, -1) <= 0)
            continue;
        if (entries[0].revents)
            eventfd_read(watch->changed, &unused);
        took = clock_thread_ns();
        vm_took_cpu(watch->vm, took - told);
        told = took;
        tell(watch, entries + 1, count - 1);
    }
    return NULL;
}

static struct host_watch *watch_new(struct ferry_vm *vm)
{
    struct host_watch *watch = calloc(1, sizeof(*watch));

    if (!watch)
        return NULL;
    watch->vm = vm;
    lock_init(&watch->lock, LOCK_LEAF);
    return watch;
}

static bool start_thread(struct host_watch *watch)
{
    if (watch->runs)
        return true;
    if (!vm_file_take(watch->vm))
        return false;
    watch->changed = eventfd(0, EFD_CLOEXEC);
    watch->runs =
        watch->changed >= 0 && thread_start(&watch->thread, NULL, watch_thread, watch) == 0;
    if (watch->runs)
        return true;
    if (watch->changed >= 0)
        close(watch->changed);
    vm_file_give_back(watch->vm);
    return false;
}

/* The thread may be in a poll of what is not wanted any more, or not of all that is. */
static void tell_thread(struct host_watch *watch)
{
    if (watch->runs)
        eventfd_write(watch->changed, 1);
}

bool watch_arm(struct linux_state *state, int fd, short events)
{
    struct host_watch *watch = state->common->watch ? state->common->watch : watch_new(state->vm);
    struct pollfd *entry;
    bool is_new = true, fits;

    state->common->watch = watch;
    if (!watch)
        return false;
    lock_take(&watch->lock);
    entry = find(watch, fd);
    fits = entry || watch->count < HOST_FILES_MAX;
    if (entry) {
        is_new = events & ~entry->events;
        entry->events = (short)(entry->events | events);
    } else if (fits) {
        watch->wanted[watch->count++] = (struct pollfd){.fd = fd, .events = events};
    }
    lock_drop(&watch->lock);
    if (!fits || vm_polls_itself(state->vm))
        return fits;
    if (!watch->runs)
        return start_thread(watch);
    if (is_new)
        tell_thread(watch);
    return true;
}

unsigned linux_watched(struct linux_state *state, struct pollfd *entries)
{
    struct host_watch *watch = state->common->watch;
    unsigned count;

    if (!watch || !vm_polls_itself(state->vm))
        return 0;
    lock_take(&watch->lock);
    count = watch->count;
    memcpy(entries, watch->wanted, count * sizeof(entries[0]));
    watch->count = 0;
    lock_drop(&watch->lock);
    if (count)
        tell_thread(watch);
    return count;
}

void watch_drop(struct linux_state *state, int fd)
{
    struct host_watch *watch = state->common->watch;
    struct pollfd *entry;

    if (!watch)
        return;
    lock_take(&watch->lock);
    entry = find(watch, fd);
    if (entry)
        forget(watch, entry);
    lock_drop(&watch->lock);
    if (entry)
        tell_thread(watch);
}

static void end_thread(struct host_watch *watch)
{
    lock_take(&watch->lock);
    watch->over = true;
    lock_drop(&watch->lock);
    tell_thread(watch);
    pthread_join(watch->thread, NULL);
    close(watch->changed);
    vm_file_give_back(watch->vm);
}

void watch_fini(struct linux_state *state)
{
    struct host_watch *watch = state->common->watch;

    if (!watch)
        return;
    if (watch->runs)
        end_thread(watch);
    lock_fini(&watch->lock);
    free(watch);
    state->common->watch = NULL;
}
