/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns epoll: sets of files that are waited for together. */
#include "linux/epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/objects.h"
#include "linux/state.h"

/* A look at a set looks at the sets in it: these bounds keep that short. */
#define NESTED_MAX 8 /* sets within one */
#define DEPTH_MAX  4
/* Files in all sets together. */
#define ITEMS_MAX 16384

#define ITEM_EVENTS                                                                    \
    (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDNORM | EPOLLRDBAND | \
     EPOLLWRNORM | EPOLLWRBAND | EPOLLMSG | EPOLLRDHUP)
#define IN_EVENTS  (EPOLLIN | EPOLLPRI | EPOLLRDNORM | EPOLLRDBAND | EPOLLMSG | EPOLLRDHUP)
#define OUT_EVENTS (EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)
/* What may stand beside EPOLLEXCLUSIVE. */
#define EXCLUSIVE_EVENTS \
    (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

/* It is known by its file and the number that this had. */
struct item {
    struct open_file *file; /* no reference: it leaves the set when it is closed */
    uint32_t fd;
    uint32_t events;
    uint64_t data;
    bool fresh;                   /* what holds was not told since it was added or changed */
    bool disabled;                /* EPOLLONESHOT: it was told */
    uint32_t in_edges, out_edges; /* when it was told last */
};

struct epoll {
    struct epoll *next; /* of the program */
    struct item *items;
    size_t count, capacity;
    size_t turn; /* whose turn it is to be told first */
};

static struct epoll *epoll_of(const struct open_file *file)
{
    return file && file->kind == FILE_EPOLL ? file->object : NULL;
}

static bool holds_input(const struct epoll *epoll, unsigned bound)
{
    for (size_t i = 0; epoll && bound && i < epoll->count; i++) {
        const struct open_file *file = epoll->items[i].file;

        if (file->kind == FILE_INPUT || holds_input(epoll_of(file), bound - 1))
            return true;
    }
    return false;
}

bool epoll_holds_input(const struct open_file *file)
{
    return holds_input(epoll_of(file), DEPTH_MAX);
}

/* The events to be told of one file. */
static uint32_t item_look(struct linux_state *state, const struct item *item,
                          struct readiness *readiness)
{
    uint32_t asked = item->events & ITEM_EVENTS, holds;
    bool fresh = item->fresh;

    if (item->disabled) {
        *readiness = (struct readiness){.again_ns = UINT64_MAX};
        return 0;
    }
    holds = (uint32_t)file_poll(state, item->file, (int)asked, readiness);
    if (!(item->events & EPOLLET))
        return holds;
    if (asked & IN_EVENTS || !(asked & OUT_EVENTS))
        fresh |= readiness->in_edges != item->in_edges;
    if (asked & OUT_EVENTS || !(asked & IN_EVENTS))
        fresh |= readiness->out_edges != item->out_edges;
    return fresh ? holds : 0;
}

/* It was told now. */
static void item_told(struct item *item, const struct readiness *readiness)
{
    item->fresh = false;
    item->in_edges = readiness->in_edges;
    item->out_edges = readiness->out_edges;
    item->disabled = item->events & EPOLLONESHOT;
}

/* ---- as a file ----------------------------------------------------------- */

/* A set can be read, as it were, if there is something to tell. */
static int epoll_poll(struct linux_state *state, struct open_file *file, int want,
                      struct readiness *readiness)
{
    const struct epoll *epoll = epoll_of(file);
    uint64_t again_ns = UINT64_MAX;
    uint32_t edges = 0;
    bool any = false;

    for (size_t i = 0; epoll && i < epoll->count && !vm_stopping(state->vm); i++) {
        any |= item_look(state, &epoll->items[i], readiness);
        edges += readiness->in_edges + readiness->out_edges;
        if (readiness->again_ns < again_ns)
            again_ns = readiness->again_ns;
    }
    *readiness = (struct readiness){.again_ns = again_ns, .in_edges = edges};
    return any ? want & POLLIN : 0;
}

static void item_remove(struct linux_state *state, struct epoll *epoll, size_t i)
{
    epoll->items[i].file->watches--;
    state->common->epoll_items--;
    epoll->items[i] = epoll->items[--epoll->count];
}

static void epoll_release(struct linux_state *state, const struct open_file *file)
{
    struct epoll *epoll = file->object, **at = &state->common->epolls;

    while (epoll->count)
        item_remove(state, epoll, epoll->count - 1);
    while (*at && *at != epoll)
        at = &(*at)->next;
    if (*at)
        *at = epoll->next;
    object_uncharge(state, epoll->capacity * sizeof(epoll->items[0]));
    free(epoll->items);
    free(epoll);
}

void epoll_forget(struct linux_state *state, const struct open_file *file)
{
    for (struct epoll *epoll = state->common->epolls; epoll && file->watches; epoll = epoll->next) {
        for (size_t i = epoll->count; i-- > 0;) {
            if (epoll->items[i].file == file)
                item_remove(state, epoll, i);
        }
    }
}

const struct file_type epoll_type = {
    .name = "anon_inode:[eventpoll]",
    .mode = 0600,
    .stream = true,
    .poll = epoll_poll,
    .release = epoll_release,
};

/* ---- making, changing ---------------------------------------------------- */

int64_t sys_epoll_create1(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file like = {.kind = FILE_EPOLL, .fd = -1, .status = O_RDWR};
    struct epoll *epoll;

    if ((uint32_t)arg[0] & ~(uint32_t)EPOLL_CLOEXEC)
        return -EINVAL;
    epoll = calloc(1, sizeof(*epoll));
    if (!epoll)
        return -ENOMEM;
    epoll->next = state->common->epolls;
    state->common->epolls = epoll;
    like.object = epoll;
    return install_object(state, &like, arg[0] & EPOLL_CLOEXEC);
}

int64_t sys_epoll_create(struct linux_state *state, const uint64_t arg[6])
{
    return (int32_t)arg[0] <= 0 ? -EINVAL : sys_epoll_create1(state, (const uint64_t[6]){0});
}

/* How many sets there are below this one, itself included; more than DEPTH_MAX also if `other` is
 * among them. */
static unsigned depth_of(const struct epoll *epoll, const struct epoll *other, unsigned bound)
{
    unsigned most = 0;

    if (epoll == other || bound == 0)
        return DEPTH_MAX + 1;
    for (size_t i = 0; i < epoll->count; i++) {
        const struct epoll *below = epoll_of(epoll->items[i].file);
        unsigned depth = below ? depth_of(below, other, bound - 1) : 0;

        most = depth > most ? depth : most;
    }
    return most + 1;
}

/* How many sets there are from the outermost one that holds this one down to it. */
static unsigned height_of(const struct linux_state *state, const struct epoll *epoll,
                          unsigned bound)
{
    unsigned most = 0;

    for (const struct epoll *above = state->common->epolls; above && bound; above = above->next) {
        for (size_t i = 0; i < above->count; i++) {
            unsigned height;

            if (epoll_of(above->items[i].file) != epoll)
                continue;
            height = height_of(state, above, bound - 1);
            most = height > most ? height : most;
            break;
        }
    }
    return most + 1;
}

/* Whether the set `inner` may go into the other. */
static int check_nesting(const struct linux_state *state, const struct epoll *epoll,
                         const struct epoll *inner)
{
    unsigned nested = 0;

    if (depth_of(inner, epoll, DEPTH_MAX) + height_of(state, epoll, DEPTH_MAX) > DEPTH_MAX)
        return -ELOOP;
    for (size_t i = 0; i < epoll->count; i++)
        nested += epoll_of(epoll->items[i].file) != NULL;
    return nested < NESTED_MAX ? 0 : -ENOSPC;
}

static int make_room(struct linux_state *state, struct epoll *epoll)
{
    size_t capacity = epoll->capacity ? 2 * epoll->capacity : 8;
    struct item *items;

    if (state->common->epoll_items >= ITEMS_MAX)
        return -ENOSPC;
    if (epoll->count < epoll->capacity)
        return 0;
    if (object_charge(state, (capacity - epoll->capacity) * sizeof(*items)))
        return -ENOMEM;
    items = realloc(epoll->items, capacity * sizeof(*items));
    if (!items) {
        object_uncharge(state, (capacity - epoll->capacity) * sizeof(*items));
        return -ENOMEM;
    }
    epoll->items = items;
    epoll->capacity = capacity;
    return 0;
}

static struct item *item_find(struct epoll *epoll, const struct open_file *file, uint32_t fd)
{
    for (size_t i = 0; i < epoll->count; i++) {
        if (epoll->items[i].file == file && epoll->items[i].fd == fd)
            return &epoll->items[i];
    }
    return NULL;
}

static int item_add(struct linux_state *state, struct epoll *epoll, struct open_file *file,
                    uint32_t fd, const struct epoll_event *event)
{
    const struct epoll *inner = epoll_of(file);
    int result = inner ? check_nesting(state, epoll, inner) : 0;

    if (event->events & EPOLLEXCLUSIVE && (inner || event->events & ~EXCLUSIVE_EVENTS))
        return -EINVAL;
    if (!result)
        result = make_room(state, epoll);
    if (result)
        return result;
    epoll->items[epoll->count++] = (struct item){
        .file = file, .fd = fd, .events = event->events, .data = event->data.u64, .fresh = true};
    file->watches++;
    state->common->epoll_items++;
    return 0;
}

static int item_change(struct item *item, const struct epoll_event *event)
{
    if ((item->events | event->events) & EPOLLEXCLUSIVE)
        return -EINVAL;
    item->events = event->events;
    item->data = event->data.u64;
    item->fresh = true;
    item->disabled = false;
    return 0;
}

int64_t sys_epoll_ctl(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *set = descriptor_file(state, arg[0]), *file = descriptor_file(state, arg[2]);
    uint32_t what = (uint32_t)arg[1], fd = (uint32_t)arg[2];
    struct epoll *epoll = epoll_of(set);
    struct epoll_event event = {0};
    struct item *item;
    int result;

    if (what != EPOLL_CTL_DEL && guest_get(state, arg[3], &event, sizeof(event)))
        return -EFAULT;
    if (!set || !file || file->status & O_PATH)
        return -EBADF;
    if (!file_type(file)->poll)
        return -EPERM;
    if (!epoll || set == file)
        return -EINVAL;
    item = item_find(epoll, file, fd);
    switch (what) {
    case EPOLL_CTL_ADD:
        result = item ? -EEXIST : item_add(state, epoll, file, fd, &event);
        break;
    case EPOLL_CTL_DEL:
        if (item)
            item_remove(state, epoll, (size_t)(item - epoll->items));
        return item ? 0 : -ENOENT;
    case EPOLL_CTL_MOD:
        result = item ? item_change(item, &event) : -ENOENT;
        break;
    default:
        return -EINVAL;
    }
    vm_wake(state->vm);
    return result;
}

/* ---- waiting ------------------------------------------------------------- */

struct epoll_wait {
    struct linux_state *state;
    const struct open_file *file;
    struct epoll_event *events; /* room for `most` */
    size_t most, count;
    uint32_t wakes; /* what wakes it: as for each of the set; a change of the set wakes all */
};

/* Takes what there is to tell. */
static bool collect(void *arg, uint64_t *again_ns)
{
    struct epoll_wait *wait = arg;
    struct epoll *epoll = wait->file->object;
    size_t begin = epoll->turn, count = epoll->count;

    wait->wakes = WAKES_NONE;
    for (size_t i = 0; i < count && wait->count < wait->most; i++) {
        size_t at = (begin + i) % count;
        struct item *item = &epoll->items[at];
        struct readiness readiness;
        uint32_t holds = item_look(wait->state, item, &readiness);

        wait->wakes |= file_wakes(item->file);
        if (readiness.again_ns < *again_ns)
            *again_ns = readiness.again_ns;
        if (!holds)
            continue;
        item_told(item, &readiness);
        wait->events[wait->count++] = (struct epoll_event){.events = holds, .data.u64 = item->data};
        epoll->turn = at + 1;
    }
    return wait->count;
}

static int64_t wait_for_events(struct linux_state *state, const uint64_t arg[6],
                               uint64_t timeout_ns)
{
    struct open_file *file = descriptor_file(state, arg[0]);
    struct epoll *epoll = epoll_of(file);
    int32_t most = (int32_t)arg[2];
    struct epoll_wait wait = {.state = state, .file = file};
    int64_t result;

    if (most <= 0 || most > INT32_MAX / (int32_t)sizeof(struct epoll_event))
        return -EINVAL;
    if (!file || file->status & O_PATH)
        return -EBADF;
    if (!epoll)
        return -EINVAL;
    /* More than there are files cannot be told, however many come while it waits. */
    wait.most = (size_t)most < DESCRIPTORS_MAX ? (size_t)most : DESCRIPTORS_MAX;
    wait.events = malloc(wait.most * sizeof(wait.events[0]));
    if (!wait.events)
        return -ENOMEM;
    file_first_look(state, file);
    result = vm_wait_for(state->vm, collect, &wait, timeout_ns, &wait.wakes);
    if (wait.count)
        result = guest_put(state, arg[1], wait.events, wait.count * sizeof(wait.events[0]))
                     ? -EFAULT
                     : (int64_t)wait.count;
    free(wait.events);
    return result == -ETIMEDOUT ? 0 : result;
}

/* With the signals of the mask at `mask` let through meanwhile. */
static int64_t wait_with_mask(struct linux_state *state, const uint64_t arg[6], uint64_t timeout_ns)
{
    int64_t result = signals_let_through(state, arg[4], arg[5]);

    if (result)
        return result;
    result = wait_for_events(state, arg, timeout_ns);
    signals_wait_over(state, result);
    return result;
}

static uint64_t milliseconds(uint64_t arg)
{
    int32_t timeout_ms = (int32_t)arg;

    return timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * 1000000;
}

int64_t sys_epoll_wait(struct linux_state *state, const uint64_t arg[6])
{
    return wait_for_events(state, arg, milliseconds(arg[3]));
}

int64_t sys_epoll_pwait(struct linux_state *state, const uint64_t arg[6])
{
    return wait_with_mask(state, arg, milliseconds(arg[3]));
}

int64_t sys_epoll_pwait2(struct linux_state *state, const uint64_t arg[6])
{
    uint64_t timeout_ns;
    int64_t result = time_get(state, arg[3], &timeout_ns);

    return result ? result : wait_with_mask(state, arg, timeout_ns);
}
