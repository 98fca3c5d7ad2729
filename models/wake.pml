/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ring, sleep and wake: one VM sends messages to another one, each by the direct ring or by the out
 * ring (README.md, "wake"). It follows
 *
 *   guest/direct.h     direct_put, direct_is_ready, direct_take
 *   guest/direct.c     ferry_guest_direct_room, ferry_guest_direct_wake, ferry_guest_direct_before
 *   guest/message.c    send_directly, send_routed, send_either_way, wants_doorbell, take, receive
 *   host/vm/guest_calls.c      events_now, call_wait
 *   host/ipc/endpoint_wait.c   endpoint_prepare, block, endpoint_finish
 *   host/ipc/endpoint.c        endpoint_wake
 *   host/ipc/direct.c          direct_await, direct_announce, direct_waiting
 *   host/ipc/drain.c           drain_messages, drain_all_ways
 *   host/engine/poller.c       poll_thread, look_round, sleep_until_woken, poller_guest_runs
 *   host/engine/runner.c       runner_poll
 *   host/engine/ticker.c       look_after, of which only the kick for descriptors that wait
 *
 * The sender's CPU has a store buffer, as x86 has: what it stores becomes visible later, in order, at
 * a moment that nothing in its program decides. A fence and an exit wait until the buffer is empty;
 * membarrier empties it from another CPU. All stores of the VMM that matter here are locked
 * instructions, or followed by one before the next load, so they need no buffer.
 *
 * The tick's own look at direct rings (direct_announce in look_after) is left out: nobody may depend
 * on it.
 *
 * -DPOLLED: a polled engine. Broken: -DNO_MEMBARRIER, -DNO_SECOND_LOOK, -DWAKE_LOOKS_FIRST, -DCOUNTS_ONCE,
 * -DNO_TURN, -DANY_WAY, -DNO_TICK; with POLLED -DPOLLER_LOOKS_FIRST, -DSNAPSHOT_AFTER.
 */
#ifndef N
#define N 3 /* messages, numbered from 1 */
#endif
#define RING 1 /* slots of the direct ring */

#define WAITS        1
#define WAITS_DIRECT 2

/* The direct ring. */
byte slot_turn[RING];
byte slot_message[RING];
byte ring_tail; /* as the receiver published it */
/* The out ring: numbers of messages, and the turn that each tells. */
byte out_message[N + 1];
byte out_turn[N + 1];
byte out_head, out_tail;
/* The in ring. */
byte in_message[N + 1];
byte in_turn[N + 1];
byte in_head;
byte in_tail; /* of the receiver, as it published it: it waits only when it took all */

/* The receiver's endpoint. */
byte waiting; /* as its sender is shown */
byte events;
bool asleep, in_futex, wants_direct;

bool serving;  /* the lock of the sender's runner */
bool in_guest; /* the sender's CPU */
byte poller_events;
bool poller_asleep, poller_in_futex;
bool all_received;

/* The store buffer of the sender's CPU: a slot of the direct ring, or a head of the out ring. */
#define SLOT 0
#define HEAD 1
chan buffer = [2] of {byte, byte, byte}; /* which; message; turn, or the head */

inline store_arrives()
{
    buffer?which, message, value;
    if
    :: which == SLOT ->
        slot_message[(value - 1) % RING] = message;
        slot_turn[(value - 1) % RING] = value
    :: which == HEAD ->
        out_head = value
    fi
}

active proctype store_buffer()
{
    byte which, message, value;
end:
    do
    :: atomic { nempty(buffer) -> store_arrives() }
    od
}

/* ---- the VMM: waking ------------------------------------------------------- */

/* endpoint_wake, for the receiver. A thread of the VMM's. */
inline wake_receiver(was_asleep)
{
#ifdef WAKE_LOOKS_FIRST
    was_asleep = asleep;
    events++;
#else
    events++;
    was_asleep = asleep;
#endif
    if
    :: was_asleep ->
        atomic { was_asleep = asleep; asleep = false };
        if
        :: was_asleep ->
#ifndef COUNTS_ONCE
            events++;
#endif
            in_futex = false
        :: else
        fi
    :: else
    fi
}

#define holds_more (slot_turn[ring_tail % RING] == ring_tail + 1)

/* direct_announce, for the sender. */
inline announce(was_asleep)
{
    if
    :: wants_direct ->
        if
        :: holds_more ->
            atomic { was_asleep = wants_direct; wants_direct = false };
            if
            :: was_asleep -> wake_receiver(was_asleep)
            :: else
            fi
        :: else
        fi
    :: else
    fi
}

/* drain_all_ways, with `serving`. */
inline drain(last, any, was_asleep)
{
    last = out_head;
    any = false;
    do
    :: out_tail != last ->
        atomic {
            in_message[in_head] = out_message[out_tail];
            in_turn[in_head] = out_turn[out_tail];
            in_head++;
            any = true
        };
        out_tail++
    :: else -> break
    od;
    if
    :: any -> wake_receiver(was_asleep)
    :: else
    fi;
    announce(was_asleep)
}

inline lock_serving() { atomic { !serving -> serving = true } }

/* ---- the sender -------------------------------------------------------------- */

/* An entry of the guest: poller_guest_runs. */
inline enter()
{
    in_guest = true;
#ifdef POLLED
    if
    :: poller_asleep ->
        poller_events++;
        poller_in_futex = false
    :: else
    fi;
#endif
    skip
}

/* An exit, of whatever cause, and the entry after it. */
inline exit_and_enter()
{
    empty(buffer);
    lock_serving();
    in_guest = false;
    drain(last, any, was_asleep);
    serving = false;
    enter()
}

inline put_direct()
{
    head++;
    buffer!SLOT(i, head);
#ifndef POLLED
    if
    :: waiting & WAITS_DIRECT -> exit_and_enter()
    :: else
    fi;
#endif
    skip
}

/* `ring`: with the doorbell, where the receiver waits. */
inline put_routed(ring)
{
    atomic {
        out_message[routed] = i;
#ifdef NO_TURN
        out_turn[routed] = 0;
#else
        out_turn[routed] = head;
#endif
        routed++;
        buffer!HEAD(0, routed)
    };
#ifndef POLLED
    if
    :: ring ->
        empty(buffer); /* the fence of wants_doorbell */
        if
        :: waiting -> exit_and_enter()
        :: else
        fi
    :: else
    fi;
#endif
    skip
}

active proctype sender()
{
    byte i = 1, head, routed, last, natural;
    bool any, was_asleep;

    enter();
    do
    :: i <= N ->
        if
        :: skip; /* too long for a slot, or of another mode */
            put_routed(true)
        :: skip; /* send_directly: only when the VMM took what was routed before */
#ifdef ANY_WAY
            if
            :: false
#else
            if
            :: out_tail != routed -> put_routed(true)
#endif
            :: else ->
                if
                :: head - ring_tail < RING -> put_direct()
                :: else ->
                    put_routed(false);
#ifndef POLLED
                    exit_and_enter();
#endif
                    skip
                fi
            fi
        fi;
        i++
    :: i <= N && natural == 0 -> /* a natural exit, whenever */
        exit_and_enter();
        natural++
    :: else -> break
    od
    /* It computes on in the guest and makes no exit. */
}

/* ---- the receiver ------------------------------------------------------------ */

#define is_ready (slot_turn[tail % RING] == tail + 1)

inline take_direct()
{
    assert(slot_message[tail % RING] == got + 1);
    atomic {
        got++;
        tail++;
        due = false
    };
    if
    :: ring_tail = tail /* every few messages */
    :: skip
    fi
}

inline take_routed()
{
    assert(in_message[taken] == got + 1);
    atomic {
        got++;
        taken++;
        in_tail = taken
    }
}

/* take, with ferry_guest_direct_before. */
inline take()
{
    ready = is_ready; /* before in_head is read */
    found = true;
    head = in_head;
    if
    :: head != taken ->
        if
        :: ready && due && taken >= after -> take_direct()
        :: else ->
            if
            :: ready && !due -> atomic { due = true; after = head }
            :: else
            fi;
            if
            :: in_turn[taken] > tail && in_turn[taken] - tail <= RING && is_ready -> take_direct()
            :: else -> take_routed()
            fi
        fi
    :: else ->
        if
        :: ready -> take_direct()
        :: else -> found = false
        fi
    fi
}

#define events_now (in_head != in_tail || holds_more)

/* direct_await: membarrier makes the sender's CPU finish its stores. */
inline membarrier()
{
#ifndef NO_MEMBARRIER
    atomic {
        do
        :: nempty(buffer) -> store_arrives()
        :: empty(buffer) -> break
        od
    }
#else
    skip
#endif
}

/* call_wait, with endpoint_prepare, block and endpoint_finish. */
inline wait()
{
    ring_tail = tail; /* ferry_guest_direct_publish */
    do
    :: events_now -> break
    :: else ->
        seen = events;
        waiting = WAITS;
        wants_direct = true;
        waiting = WAITS | WAITS_DIRECT;
        membarrier();
#ifndef NO_SECOND_LOOK
        if
        :: events_now -> skip
        :: else ->
#else
        if
        :: true ->
#endif
            asleep = true;
            atomic {
                if
                :: events == seen -> in_futex = true
                :: else
                fi
            };
            !in_futex
        fi;
        wants_direct = false;
        waiting = 0
    od
}

active proctype receiver()
{
    byte got, tail, taken, head, after, seen, which, message, value;
    bool ready, due, found;

    do
    :: got < N ->
        take();
        if
        :: !found -> wait()
        :: else
        fi
    :: else -> break
    od;
    all_received = true
}

/* ---- who looks after a guest that makes no exit --------------------------------- */

#ifdef POLLED
/* One look at the sender. A pass in which nothing is new changes nothing, so it is left out. */
inline pass()
{
    announce(was_asleep);
    now = out_head;
    if
    :: now != polled ->
        if
        :: atomic { !serving -> serving = true };
#ifndef SNAPSHOT_AFTER
            polled = now;
            drain(last, any, was_asleep);
#else
            drain(last, any, was_asleep);
            polled = out_head;
#endif
            serving = false
        :: serving
        fi
    :: else
    fi
}

#define something_new (out_head != polled || (wants_direct && holds_more))

active proctype poller()
{
    byte polled, now, last, seen;
    bool any, was_asleep, running;

end:
    do
    :: all_received -> break
    :: something_new || !in_guest ->
        running = in_guest;
        pass();
        if
        :: running
        :: !running -> /* for long enough */
            seen = poller_events;
#ifdef POLLER_LOOKS_FIRST
            running = in_guest;
            pass();
            poller_asleep = true;
#else
            poller_asleep = true;
            running = in_guest;
            pass();
#endif
            if
            :: running
            :: else ->
                atomic {
                    if
                    :: poller_events == seen -> poller_in_futex = true
                    :: else
                    fi
                };
end_sleeps:
                !poller_in_futex
            fi;
            poller_asleep = false
        fi
    od
}
#else
#ifndef NO_TICK
/* The kick makes the guest exit, and the exit drains. That the guest runs on meanwhile is more than
 * what can happen. */
active proctype ticker()
{
    byte last;
    bool any, was_asleep;

end:
    do
    :: out_head != out_tail ->
        lock_serving();
        drain(last, any, was_asleep);
        serving = false
    od
}
#endif
#endif
