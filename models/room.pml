/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lack of room: two senders, a receiver that has fewer tokens than they have messages, and a share of each
 * (README.md, "room"). It follows
 *
 *   host/ipc/queue.c           try_reserve, look_again, queue_reserve, queue_deliver, queue_take
 *   host/ipc/room.c            room_again, room_to_wake, room_unpark
 *   host/ipc/loan.c            loan_collect, finish_releases, drop_token
 *   host/ipc/drain.c           drain_messages (out_parked), drain_all
 *   host/ipc/endpoint_wait.c   endpoint_prepare, of sender and receiver
 *
 * The receiver takes messages and gives tokens back in its VM, without an exit, and the VMM learns of both
 * by loan_collect. A step is a change under the receiver's lock, a wake, or an access to what the guest
 * publishes.
 *
 * Broken: -DPARK_LATE, -DSEEN_LATE, -DNO_UNPARK.
 */
#ifndef MESSAGES
#define MESSAGES 2 /* of each sender */
#endif
#define SENDERS 2
#ifndef TOKENS
#define TOKENS 2
#endif
#ifndef MOST
#define MOST 2 /* max_messages of each link */
#endif
#ifndef HOLD
#define HOLD 0 /* messages of each that the receiver keeps while it waits for more */
#endif
#define ALL (SENDERS * MESSAGES)

/* The receiver's endpoint; what is changed in one step is under its lock. */
byte tokens_free = TOKENS;
byte in_flight[SENDERS];
bool parked[SENDERS];
byte queue[SENDERS], taken[SENDERS]; /* messages of each that were delivered; that the guest took */
bool waiting;                    /* of the receiver */
byte events;                     /* of the receiver */

/* What its guest publishes: messages taken, tokens given back, and whose they are. */
byte guest_taken;
byte released[SENDERS], settled[SENDERS]; /* whose, by the guest, and as far as the VMM knows */

/* Of the senders. */
byte sender_events[SENDERS];
byte sent[SENDERS];

#define room_again(s, all) \
    (parked[s] && tokens_free > 0 && in_flight[s] <= ((all) -> MOST - 1 : MOST / 2))

/* room_to_wake, under the lock, then room_wake. */
inline wake_parked(every)
{
    d_step {
        wakes[0] = room_again(0, (every) || waiting);
        wakes[1] = room_again(1, (every) || waiting);
        if
        :: wakes[0] -> parked[0] = false
        :: else
        fi;
        if
        :: wakes[1] -> parked[1] = false
        :: else
        fi
    };
    if
    :: wakes[0] -> sender_events[0]++
    :: else
    fi;
    if
    :: wakes[1] -> sender_events[1]++
    :: else
    fi;
    d_step { wakes[0] = false; wakes[1] = false }
}

/* loan_collect: what was released is read before what was taken; then tokens are dropped in another step. */
inline collect()
{
    atomic {
        back[0] = released[0] - settled[0];
        back[1] = released[1] - settled[1];
        settled[0] = released[0];
        settled[1] = released[1]
    };
    if
    :: back[0] + back[1] > 0 -> /* finish_releases */
        d_step {
            in_flight[0] = in_flight[0] - back[0];
            in_flight[1] = in_flight[1] - back[1];
            tokens_free = tokens_free + back[0] + back[1];
            assert(tokens_free <= TOKENS && in_flight[0] <= MOST && in_flight[1] <= MOST);
            back[0] = 0;
            back[1] = 0
        };
        wake_parked(false)
    :: else
    fi
}

/* try_reserve of one message. */
inline try_reserve()
{
    atomic {
        done = tokens_free > 0 && in_flight[me] < MOST;
        if
        :: done -> tokens_free--; in_flight[me]++
        :: else ->
#ifndef PARK_LATE
            parked[me] = true
#endif
        fi
    }
}

/* One drain of the message that is next: done, or it is parked. */
inline drain()
{
    try_reserve();
    if
    :: !done -> collect(); try_reserve() /* look_again */
    :: else
    fi;
#ifdef PARK_LATE
    if
    :: !done -> parked[me] = true
    :: else
    fi;
#endif
    if
    :: done ->
        atomic { queue[me]++; sent[me]++ }; /* queue_deliver */
        events++
    :: else
    fi
}

proctype sender(byte me)
{
    byte seen, back[SENDERS];
    bool done, wakes[SENDERS];

    do
    :: sent[me] < MESSAGES ->
#ifdef SEEN_LATE
        drain();
        seen = sender_events[me];
#else
        seen = sender_events[me]; /* endpoint_prepare */
        drain();
#endif
        if
        :: done
        :: else ->
            sender_events[me] != seen
        fi;
        seen = 0;
        done = false
    :: else -> break
    od
}

#define ANY (taken[0] < queue[0] || taken[1] < queue[1])

/* It takes messages and gives them back when it likes, and waits while there is nothing to take and it keeps
 * no more than it likes to. */
proctype receiver()
{
    byte seen, back[SENDERS];
    bool wakes[SENDERS];

    do
    :: atomic { taken[0] < queue[0] -> taken[0]++; guest_taken++ }
    :: atomic { taken[1] < queue[1] -> taken[1]++; guest_taken++ }
    :: atomic { released[0] < taken[0] -> released[0]++ }
    :: atomic { released[1] < taken[1] -> released[1]++ }
    :: !ANY && released[0] + HOLD >= taken[0] && released[1] + HOLD >= taken[1] ->
        if
        :: guest_taken == ALL -> break
        :: else
        fi;
        collect(); /* an exit: it waits for a message */
        seen = events;
        waiting = true;
#ifndef NO_UNPARK
        wake_parked(true); /* room_unpark */
#endif
        if
        :: ANY
        :: else -> events != seen
        fi;
        waiting = false;
        seen = 0
    od
}

init
{
    atomic {
        run sender(0);
        run sender(1);
        run receiver()
    };
    _nr_pr == 1;
    assert(guest_taken == ALL)
}
