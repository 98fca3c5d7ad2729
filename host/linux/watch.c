/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the thread that waits for descriptors of the host in place of the threads of a VM. Those
 * wait for many things at once, all of which wake the VM; what a descriptor of the host has to say
 * becomes one of these. A VM that never waits for such a descriptor has no such thread.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/lock.h"
#include "lib/thread.h"
#include "linux/state.h"

struct host_watch {
    struct ferry_vm *vm;
    pthread_t thread;
    int changed; /* an eventfd: the thread is to look at `wanted` anew */
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
    eventfd_t unused;
    unsigned count;

    while ((count = list(watch, entries)) > 0) {
        if (poll(entries, count, -1) <= 0)
            continue;
        if (entries[0].revents)
            eventfd_read(watch->changed, &unused);
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
    watch->changed = vm_file_take(vm) ? eventfd(0, EFD_CLOEXEC) : -1;
    lock_init(&watch->lock, LOCK_LEAF);
    if (watch->changed >= 0 && thread_start(&watch->thread, NULL, watch_thread, watch) == 0)
        return watch;
    if (watch->changed >= 0)
        close(watch->changed);
    lock_fini(&watch->lock);
    free(watch);
    return NULL;
}

bool watch_arm(struct linux_state *state, int fd, short events)
{
    struct host_watch *watch = state->watch ? state->watch : watch_new(state->vm);
    struct pollfd *entry;
    bool is_new = true, fits;

    state->watch = watch;
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
    if (is_new && fits)
        eventfd_write(watch->changed, 1);
    return fits;
}

void watch_drop(struct linux_state *state, int fd)
{
    struct host_watch *watch = state->watch;
    struct pollfd *entry;

    if (!watch)
        return;
    lock_take(&watch->lock);
    entry = find(watch, fd);
    if (entry)
        forget(watch, entry);
    lock_drop(&watch->lock);
    if (entry)
        eventfd_write(watch->changed, 1);
}

void watch_fini(struct linux_state *state)
{
    struct host_watch *watch = state->watch;

    if (!watch)
        return;
    lock_take(&watch->lock);
    watch->over = true;
    lock_drop(&watch->lock);
    eventfd_write(watch->changed, 1);
    pthread_join(watch->thread, NULL);
    close(watch->changed);
    vm_file_give_back(state->vm);
    lock_fini(&watch->lock);
    free(watch);
    state->watch = NULL;
}
