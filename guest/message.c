/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The message layer: this VM's end of the rings in its control structure. Indexes are kept here in
 * private memory and only published there. An entry that the VMM wrote is read once, after its
 * index, into private memory.
 *
 * The library's lock is held in all functions here but those that take it. Each wait gives it up, so
 * what was looked at before is looked at anew.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <ferry/guest.h>

#include "call.h"
#include "direct.h"
#include "lock.h"
#include "message.h"

#define MASK       (FERRY_RING_ENTRIES - 1)
#define TOKEN_MASK (FERRY_TOKENS - 1)

/* With several threads a wait looks again so often: another thread may have taken what it is for into
 * this library's own memory, of which the VMM knows nothing, and the out ring may be never empty. */
#define SLICE_NS 5000000ull

/* A thread that waits for the status of a message. It lies on that thread's stack. */
struct sent {
    struct sent *next;
    int64_t ticket;
    int status;
};

static struct {
    uint64_t out_head; /* also the next ticket; 64 bits, so that tickets never repeat */
    uint64_t taken;    /* tickets below this one were taken; may lag */
    uint32_t in_tail, home_tail, release_head;
    struct ferry_guest_hooks hooks;
    /* Messages that the stream layer took and that are not for it, in order. */
    struct ferry_msg kept[FERRY_RING_ENTRIES];
    uint32_t kept_head, kept_tail;
    bool looked; /* for a message, by an exit */
    struct ferry_home homes[FERRY_TOKENS];
    uint32_t homes_head, homes_tail;
    struct sent *sent;
} state;

/* The guest's own pages of it may be written, whatever the public type says. */
static struct ferry_control *control_writable(void)
{
    return (struct ferry_control *)(uintptr_t)ferry_control();
}

void ferry_guest_set_hooks(const struct ferry_guest_hooks *hooks)
{
    state.hooks = *hooks;
}

static uint64_t slice(unsigned events, uint64_t timeout_ns)
{
    bool shared = state.hooks.settle != NULL || events != FERRY_EVENT_IN;

    return ferry_guest_is_alone() || !shared || timeout_ns < SLICE_NS ? timeout_ns : SLICE_NS;
}

int64_t ferry_guest_wait(unsigned events, uint64_t timeout_ns)
{
    int64_t result;

    if ((events & FERRY_EVENT_IN) != 0)
        ferry_guest_direct_publish();
    timeout_ns = slice(events, timeout_ns);
    ferry_guest_unlock();
    result = ferry_guest_call(FERRY_CALL_WAIT, events, timeout_ns, 0);
    ferry_guest_lock();
    return result;
}

static uint64_t now_ns(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Waits for an event, at most *timeout_ns, and takes off that what went by: 0, also if another thread
 * may have taken what came, or a negative errno. One thread alone needs no clock: after an event with
 * nothing to take, which is a peer's bad slots, its time is over. */
static int wait_some(unsigned events, uint64_t *timeout_ns)
{
    bool timed = *timeout_ns != UINT64_MAX && *timeout_ns != 0 && !ferry_guest_is_alone();
    uint64_t began = timed ? now_ns() : 0, went = *timeout_ns;
    int64_t result = ferry_guest_wait(events, *timeout_ns);

    if (timed)
        went = now_ns() - began;
    if (*timeout_ns != UINT64_MAX)
        *timeout_ns -= went < *timeout_ns ? went : *timeout_ns;
    return result == 0 && *timeout_ns == 0 ? -ETIMEDOUT : result < 0 ? (int)result : 0;
}

/* ---- sending ------------------------------------------------------------ */

/* The VMM has taken all tickets below this one. */
static uint64_t taken(const struct ferry_control *control)
{
    uint32_t tail = __atomic_load_n(&control->vmm.out_tail, __ATOMIC_ACQUIRE);

    return state.out_head - (uint32_t)((uint32_t)state.out_head - tail);
}

static bool in_window(const struct ferry_control *control, const void *data, size_t bytes)
{
    uint64_t offset = (uintptr_t)data - control->info.window_base;

    return offset < control->info.window_bytes && bytes <= control->info.window_bytes - offset;
}

/* Checks what can be checked in the guest; the VMM checks everything again. */
static int check(const struct ferry_control *control, const struct ferry_msg *msg,
                 const struct ferry_peer **peer)
{
    *peer = ferry_guest_peer(msg->dst, FERRY_MAY_SEND);
    if (*peer == NULL)
        return -EPERM;
    if (__atomic_load_n(&(*peer)->state, __ATOMIC_RELAXED) == FERRY_PEER_GONE)
        return -EPIPE;
    switch (msg->mode) {
    case FERRY_INLINE:
        return msg->bytes <= FERRY_INLINE_BYTES ? 0 : -EMSGSIZE;
    case FERRY_COPY:
        return msg->bytes <= FERRY_COPY_BYTES ? 0 : -EMSGSIZE;
    case FERRY_LEND:
    case FERRY_MOVE:
        return msg->bytes > 0 && in_window(control, msg->data, msg->bytes) ? 0 : -EFAULT;
    case FERRY_HANGUP:
        return msg->bytes == 0 ? 0 : -EINVAL;
    }
    return -EINVAL;
}

static void fill(struct ferry_desc *desc, const struct ferry_msg *msg)
{
    memset(desc, 0, sizeof(*desc));
    desc->mode = (uint8_t)msg->mode;
    desc->dst = msg->dst;
    desc->tag = msg->tag;
    if (msg->mode == FERRY_INLINE) {
        desc->inline_bytes = (uint8_t)msg->bytes;
        if (msg->bytes > 0)
            memcpy(desc->data, ferry_msg_data(msg), msg->bytes);
    } else if (msg->mode != FERRY_HANGUP) {
        desc->payload.addr = (uintptr_t)msg->data;
        desc->payload.bytes = msg->bytes;
    }
}

/* The program's choice and the operator's have the same numbers, as the embedder's in ferry.h. */
_Static_assert(FERRY_WHEN_AUTO == FERRY_DELIVERY_AUTO &&
                   FERRY_IMMEDIATE == FERRY_DELIVERY_IMMEDIATE &&
                   FERRY_DEFERRED == FERRY_DELIVERY_DEFERRED,
               "guest.h and control.h say the same by enum ferry_when");

/* Claim 5: does this message leave at once? */
static bool wants_doorbell(const struct ferry_control *control, const struct ferry_peer *peer,
                           enum ferry_when when)
{
    if (control->info.delivery == FERRY_DELIVERY_IMMEDIATE)
        return true;
    if (control->info.delivery == FERRY_DELIVERY_DEFERRED ||
        control->info.delivery == FERRY_DELIVERY_POLLED)
        return false;
    if (when != FERRY_WHEN_AUTO)
        return when == FERRY_IMMEDIATE;
    /* The published head must be visible before `waiting` is read: a receiver that goes to sleep
     * sets `waiting` first and then reads the head. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&peer->waiting, __ATOMIC_ACQUIRE) != 0;
}

/* A VMM that polls takes queued messages within microseconds: an exit would cost more. */
static bool room_soon(const struct ferry_control *control)
{
    const unsigned most = control->info.delivery == FERRY_DELIVERY_POLLED ? 2000 : 0;

    for (unsigned i = 0; i < most; i++) {
        if (state.out_head - taken(control) < FERRY_RING_ENTRIES)
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

/* Sends by the direct ring, by the rule of direct.h: only when the VMM has taken the messages that
 * were queued for this peer before. -EAGAIN, -ENOBUFS: it has to go by the out ring. */
static int64_t send_directly(const struct ferry_control *control, struct direct_out *direct,
                             const struct ferry_msg *msg, enum ferry_when when)
{
    int result;

    if (msg->bytes > FERRY_INLINE_BYTES)
        return -EMSGSIZE;
    if (__atomic_load_n(&direct->peer->state, __ATOMIC_RELAXED) == FERRY_PEER_GONE)
        return -EPIPE;
    state.taken = taken(control);
    if (state.taken < direct->routed)
        return -EAGAIN;
    result = ferry_guest_direct_room(direct);
    return result != 0 ? result : direct_put(direct, msg, when);
}

/* The message is in the out ring: records that in the direct ring of its peer. */
static void note_routed(struct direct_out *direct, const struct ferry_msg *msg)
{
    direct->routed = state.out_head;
    if (msg->mode == FERRY_HANGUP) {
        direct->hung_up = true;
        direct->limit = direct->head;
    }
}

/* Before a slot of the out ring is used again. */
static void settle_all(void)
{
    for (struct sent *sent = state.sent; sent != NULL; sent = sent->next)
        if (sent->status == -EINPROGRESS)
            sent->status = ferry_guest_status(sent->ticket);
    if (state.hooks.settle != NULL)
        state.hooks.settle();
}

static int64_t send_routed(struct ferry_control *control, struct direct_out *direct,
                           const struct ferry_msg *msg, enum ferry_when when)
{
    const struct ferry_peer *peer;
    struct ferry_desc desc;
    int result = check(control, msg, &peer);

    if (result != 0)
        return result;
    while (state.out_head - taken(control) >= FERRY_RING_ENTRIES) {
        int64_t events = room_soon(control) ? 0 : ferry_guest_wait(FERRY_EVENT_OUT, UINT64_MAX);

        if (events < 0)
            return events;
    }
    settle_all();

    fill(&desc, msg);
    if (direct != NULL)
        desc.turn = direct->head;
    memcpy(&control->out[state.out_head & MASK], &desc, sizeof(desc));
    state.out_head++;
    if (direct != NULL)
        note_routed(direct, msg);
    __atomic_store_n(&control->guest.out_head, (uint32_t)state.out_head, __ATOMIC_RELEASE);
    if (wants_doorbell(control, peer, when))
        ferry_guest_doorbell();
    return (int64_t)(state.out_head - 1);
}

static __attribute__((noinline)) int64_t send_either_way(const struct ferry_msg *msg,
                                                         enum ferry_when when)
{
    struct ferry_control *control = control_writable();
    struct direct_out *direct;

    if (control == NULL)
        return -ENOSYS;
    direct = ferry_guest_direct_find(msg->dst);
    if (direct != NULL && msg->mode == FERRY_INLINE) {
        int64_t ticket = send_directly(control, direct, msg, when);

        if (ticket == -ENOBUFS) {
            /* Only once: the exit takes it along, and the next may find room again. */
            ticket = send_routed(control, direct, msg, FERRY_DEFERRED);
            if (control->info.delivery != FERRY_DELIVERY_POLLED)
                ferry_guest_wait(FERRY_EVENT_OUT, 0);
        }
        if (ticket != -EAGAIN)
            return ticket;
    }
    return send_routed(control, direct, msg, when);
}

static inline int64_t send_now(const struct ferry_msg *msg, enum ferry_when when)
{
    struct direct_out *last = ferry_guest_direct.last;

    return direct_at_once(last, msg, state.taken) ? direct_put(last, msg, when)
                                                  : send_either_way(msg, when);
}

int64_t ferry_guest_send(const struct ferry_msg *msg, enum ferry_when when)
{
    return send_now(msg, when);
}

int64_t ferry_send(const struct ferry_msg *msg, enum ferry_when when)
{
    ferry_guest_lock();
    int64_t ticket = send_now(msg, when);
    ferry_guest_unlock();
    return ticket;
}

void ferry_guest_announce(uint16_t dst)
{
    struct ferry_control *control = control_writable();
    const struct ferry_peer *peer = ferry_guest_peer(dst, FERRY_MAY_SEND);

    if (peer == NULL || control->info.delivery != FERRY_DELIVERY_AUTO ||
        taken(control) == state.out_head)
        return;
    if (wants_doorbell(control, peer, FERRY_WHEN_AUTO))
        ferry_guest_doorbell();
}

int ferry_guest_status(int64_t ticket)
{
    const struct ferry_control *control = ferry_control();

    if (control == NULL)
        return -ENOSYS;
    if (ticket > 0 && (ticket & DIRECT_TICKET) != 0)
        return 0;
    if (ticket < 0 || (uint64_t)ticket >= state.out_head)
        return -EINVAL;
    if ((uint64_t)ticket >= taken(control))
        return -EINPROGRESS;
    /* From here on another message uses, or may use, the same slot. */
    if (state.out_head - (uint64_t)ticket > FERRY_RING_ENTRIES)
        return -ESTALE;
    return __atomic_load_n(&control->out_status[(uint64_t)ticket & MASK], __ATOMIC_RELAXED);
}

int ferry_status(int64_t ticket)
{
    ferry_guest_lock();
    int status = ferry_guest_status(ticket);
    ferry_guest_unlock();
    return status;
}

/* While it waits others may use the slot of its message: `settle` tells it the status. */
static int await_status(int64_t ticket)
{
    struct sent sent = {state.sent, ticket, ferry_guest_status(ticket)}, **at = &state.sent;
    int64_t events = 0;

    state.sent = &sent;
    while (sent.status == -EINPROGRESS && events >= 0) {
        events = ferry_guest_wait(FERRY_EVENT_OUT, UINT64_MAX);
        if (sent.status == -EINPROGRESS)
            sent.status = ferry_guest_status(ticket);
    }
    while (*at != &sent)
        at = &(*at)->next;
    *at = sent.next;
    return sent.status == -EINPROGRESS ? (int)events : sent.status;
}

int ferry_send_wait(const struct ferry_msg *msg, enum ferry_when when)
{
    ferry_guest_lock();
    int64_t ticket = send_now(msg, when);
    int status = ticket < 0 ? (int)ticket : await_status(ticket);
    ferry_guest_unlock();
    return status;
}

int ferry_yield(void)
{
    int64_t events;

    if (ferry_control() == NULL)
        return -ENOSYS;
    ferry_guest_lock();
    events = ferry_guest_wait(FERRY_EVENT_OUT, 0);
    ferry_guest_unlock();
    return events < 0 ? (int)events : 0;
}

/* ---- receiving ---------------------------------------------------------- */

static void unpack(const struct ferry_desc *desc, struct ferry_msg *msg)
{
    memset(msg, 0, sizeof(*msg));
    msg->mode = (enum ferry_mode)desc->mode;
    msg->tag = desc->tag;
    msg->src = desc->src;
    msg->dst = desc->dst;
    msg->src_generation = desc->src_generation;
    msg->dst_generation = desc->dst_generation;
    if (desc->mode == FERRY_INLINE) {
        memcpy(msg->small, desc->data, sizeof(msg->small));
        msg->bytes = desc->inline_bytes;
    } else {
        msg->data = (void *)(uintptr_t)desc->payload.addr;
        msg->bytes = desc->payload.bytes;
        msg->token = desc->payload.token;
        msg->message = desc->payload.message;
    }
}

/* Copies the next descriptor of the in ring, which has one, to a local one (claim 4). */
static void take_routed(const struct ferry_control *control, struct ferry_msg *msg)
{
    struct ferry_desc desc;

    memcpy(&desc, &control->in[state.in_tail & MASK], sizeof(desc));
    state.in_tail++;
    __atomic_store_n(&control_writable()->guest.in_tail, state.in_tail, __ATOMIC_RELEASE);
    unpack(&desc, msg);
}

/* The next message, direct or routed. If only bad slots arrive it gives up, so that a peer cannot
 * keep this VM here. */
static inline bool take(const struct ferry_control *control, struct ferry_msg *msg)
{
    for (unsigned i = 0; i < FERRY_RING_ENTRIES; i++) {
        struct direct_in *ready = direct_next(); /* before in_head is read */
        uint32_t head = __atomic_load_n(&control->vmm.in_head, __ATOMIC_ACQUIRE);

        if (head != state.in_tail) {
            ready = ferry_guest_direct_before(ready, state.in_tail, head,
                                              &control->in[state.in_tail & MASK]);
            if (ready == NULL) {
                take_routed(control, msg);
                return true;
            }
        }
        if (ready == NULL)
            return false;
        if (direct_take(ready, msg))
            return true;
    }
    return false;
}

/* The control structure, once this VM takes from its direct rings too; NULL: not in a VM. */
static inline const struct ferry_control *receiving(void)
{
    const struct ferry_control *control = ferry_guest_direct.receiving;

    return control != NULL ? control : ferry_guest_direct_begin();
}

int ferry_guest_take_from(uint16_t src, struct ferry_msg *msg)
{
    const struct ferry_control *control = receiving();

    while (state.kept_head - state.kept_tail < FERRY_RING_ENTRIES) {
        if (!take(control, msg))
            return -EAGAIN;
        if (msg->src == src)
            return 0;
        state.kept[state.kept_head++ & MASK] = *msg;
    }
    return -ENOBUFS;
}

static int receive(struct ferry_msg *msg, uint64_t timeout_ns)
{
    const struct ferry_control *control = receiving();

    if (control == NULL)
        return -ENOSYS;
    for (;;) {
        int result;

        if (state.kept_tail != state.kept_head) {
            *msg = state.kept[state.kept_tail++ & MASK];
            return 0;
        }
        if (take(control, msg))
            return 0;
        /* The first look makes an exit even if it must not wait: a sender may begin only then. */
        if (timeout_ns == 0 && state.looked)
            return -ETIMEDOUT;
        state.looked = true;
        if (state.hooks.flush != NULL)
            state.hooks.flush();
        result = wait_some(FERRY_EVENT_IN, &timeout_ns);
        if (result != 0)
            return result;
    }
}

int ferry_recv(struct ferry_msg *msg, uint64_t timeout_ns)
{
    ferry_guest_lock();
    int result = receive(msg, timeout_ns);
    ferry_guest_unlock();
    return result;
}

void ferry_guest_release(uint32_t token)
{
    struct ferry_control *control = control_writable();

    control->guest.release[state.release_head & TOKEN_MASK] = token;
    state.release_head++;
    __atomic_store_n(&control->guest.release_head, state.release_head, __ATOMIC_RELEASE);
}

int ferry_release(const struct ferry_msg *msg)
{
    if (ferry_control() == NULL)
        return -ENOSYS;
    if (msg->mode == FERRY_MOVE)
        return -EINVAL; /* it is the caller's own: ferry_free */
    if (msg->mode == FERRY_COPY || msg->mode == FERRY_LEND) {
        ferry_guest_lock();
        ferry_guest_release(msg->token);
        ferry_guest_unlock();
    }
    return 0;
}

/* ---- loans that come home ----------------------------------------------- */

void ferry_guest_take_homes(void)
{
    struct ferry_control *control = control_writable();
    uint32_t head = __atomic_load_n(&control->vmm.home_head, __ATOMIC_ACQUIRE);
    uint32_t tail = state.home_tail;

    while (tail != head && state.homes_head - state.homes_tail < FERRY_TOKENS) {
        struct ferry_home home = control->vmm.home[tail & TOKEN_MASK];

        if (state.hooks.came_home == NULL || !state.hooks.came_home(home.addr, home.bytes))
            state.homes[state.homes_head++ & TOKEN_MASK] = home;
        tail++;
    }
    if (tail == state.home_tail)
        return;
    state.home_tail = tail;
    __atomic_store_n(&control->guest.home_tail, tail, __ATOMIC_RELEASE);
}

static int reclaim(void **addr, size_t *bytes, uint64_t timeout_ns)
{
    const struct ferry_home *home;

    ferry_guest_take_homes();
    while (state.homes_tail == state.homes_head) {
        int result;

        if (timeout_ns == 0)
            return -ETIMEDOUT;
        if (state.hooks.flush != NULL)
            state.hooks.flush();
        result = wait_some(FERRY_EVENT_HOME, &timeout_ns);
        ferry_guest_take_homes();
        if (result != 0 && state.homes_tail == state.homes_head)
            return result;
    }
    home = &state.homes[state.homes_tail++ & TOKEN_MASK];
    *addr = (void *)(uintptr_t)home->addr;
    *bytes = home->bytes;
    return 0;
}

int ferry_reclaim(void **addr, size_t *bytes, uint64_t timeout_ns)
{
    if (ferry_control() == NULL)
        return -ENOSYS;
    ferry_guest_lock();
    int result = reclaim(addr, bytes, timeout_ns);
    ferry_guest_unlock();
    return result;
}
