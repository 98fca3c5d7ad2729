/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Room for output that the guest kernel was shown: CPUs of one VM write, the VMM pulls what they wrote,
 * takes the room back and writes itself (README.md, "output"). It follows
 *
 *   guest/kernel/serve.c       claim, room, write_pieces
 *   guest/kernel/entry.S       the commit, and the look at `waited` behind it
 *   host/stream/stream_guest.c count_written, is_claimed, stream_try_room_back, stream_take_room_back,
 *                              stream_await_writers, show_room, publish_room, stream_settle,
 *                              stream_guest_left
 *   host/stream/stream_output.c  stream_pull, stream_flush, gather, stream_write
 *   host/vm/guest_run.c        stay; host/vm/kernel.c  vm_kernel_left, take_back
 *   host/ipc/endpoint_wait.c   endpoint_prepare, of a receiver that waits
 *
 * A byte is the number of its write and its place there. A CPU may be stopped by a kick at any step; then
 * its call has not begun, or has ended. The commit and all changes of the word are locked instructions,
 * so there is no store buffer. Each write that a receiver waits for is told at once; that the tick
 * tells of what is too short or too young is left out.
 *
 * Broken: -DNO_CLAIM, -DLOOK_BEFORE_COMMIT, -DSTORE_BACK, -DNO_KICK, -DTAKE_CLAIMED, -DNO_SETTLE.
 */
#ifndef WRITES
#define WRITES 1 /* of each CPU, of two bytes each */
#endif
#define CPUS 2
#ifndef ROOM
#define ROOM 4
#endif
#define ALL  (2 * CPUS * WRITES)

/* The word. Its three parts change together, in one step. */
byte position, generation;
byte owner; /* the CPU that claimed it plus 1 */

byte extent[ROOM]; /* what was written there: 0, or the number of a write, from 1, twice + place */
bool waited;       /* in `shown` */

/* The stream, with its lock. */
bool stream_lock;
byte start, fill;
bool room_open;
byte room_generation, generations;
/* Of the thread that is served. */
bool serving, writing, wanted;
byte awaiting;
bool cut_off;
bool away[CPUS], kicked[CPUS];

/* The waits of the VM's endpoint, and what was sent. */
byte events;
bool receiver_told;
byte sent[ALL + 1];
byte sent_count, got_count;
byte written[CPUS];

inline lock(which) { atomic { !which -> which = true } }

/* ---- the VMM, under the stream's lock ------------------------------------- */

/* count_written, for a word of (at, its_generation). */
inline count_written(at, its_generation)
{
    if
    :: its_generation == room_generation && at > fill && at <= ROOM -> fill = at
    :: else
    fi
}

inline close_room()
{
    atomic {
        room_open = false;
        if
        :: start == fill -> start = 0; fill = 0
        :: else
        fi
    }
}

/* stream_take_room_back: one exchange. */
inline take_room_back()
{
    if
    :: room_open ->
        atomic {
            word_at = position; word_generation = generation;
            position = 0; generation = 0; owner = 0
        };
        count_written(word_at, word_generation);
        close_room()
    :: else
    fi
}

/* stream_try_room_back. A CPU that claimed and is away is kicked. */
inline try_room_back(done)
{
    done = true;
    if
    :: room_open ->
        atomic { word_at = position; word_generation = generation; word_owner = owner };
        do
        :: true ->
#ifndef TAKE_CLAIMED
            if
            :: word_owner && word_generation == room_generation && away[word_owner - 1] ->
#ifndef NO_KICK
                kicked[word_owner - 1] = true;
#endif
                wanted = true;
                done = false;
                break
            :: else
            fi;
#endif
            atomic {
                if
#ifdef STORE_BACK
                :: true ->
#else
                :: position == word_at && generation == word_generation && owner == word_owner ->
#endif
                    position = 0; generation = 0; owner = 0;
                    break
                :: else ->
                    word_at = position; word_generation = generation; word_owner = owner
                fi
            }
        od;
        if
        :: done ->
            count_written(word_at, word_generation);
            close_room()
        :: else
        fi
    :: else
    fi
}

/* stream_flush: copies [start, fill) into messages. There is always room at the receiver here. */
inline flush()
{
    if
    :: room_open ->
        atomic { word_at = position; word_generation = generation };
        count_written(word_at, word_generation)
    :: else
    fi;
    atomic {
        do
        :: start < fill ->
            assert(extent[start] != 0);
            sent[sent_count] = extent[start];
            sent_count++;
            start++;
            receiver_told = true /* queue_deliver, endpoint_wake */
        :: else -> break
        od;
        if
        :: !room_open -> start = 0; fill = 0
        :: else
        fi
    }
}

/* publish_room */
inline publish_room(me)
{
    if
    :: !writing && awaiting == 0 && !cut_off ->
        lock(stream_lock);
        if
        :: room_open ->
            atomic { word_at = position; word_generation = generation };
            count_written(word_at, word_generation)
        :: else
        fi;
        if
        :: room_open && fill == ROOM -> take_room_back()
        :: else
        fi;
        if
        :: !room_open && fill == ROOM -> flush()
        :: else
        fi;
        if
        :: !room_open ->
            generations++;
            room_generation = generations;
            room_open = true;
            atomic { position = fill; generation = room_generation; owner = 0 }
        :: else
        fi;
        stream_lock = false
    :: else ->
        if
        :: room_open -> await_writers(me)
        :: else
        fi
    fi
}

/* stream_await_writers. The thread gives its turn away while it waits. */
inline await_writers(me)
{
    awaiting++;
    do
    :: true ->
        lock(stream_lock);
        try_room_back(done);
        stream_lock = false;
        if
        :: done -> break
        :: else
        fi;
        seen = events;
        lock(stream_lock);
        try_room_back(done);
        stream_lock = false;
        if
        :: done -> break
        :: else ->
            serving = false;
            events != seen;
            lock(serving)
        fi
    od;
    awaiting--
}

/* ---- a thread of the program ------------------------------------------------- */

/* The program's data: write number `number` has the bytes 2 * number and 2 * number + 1. */
#define number (1 + me * WRITES + written[me])

/* vm_kernel_left, with the turn: the call was taken back, or has ended. */
inline left_guest(me)
{
    lock(serving);
    away[me] = false;
    kicked[me] = false;
    if
    :: !ended -> /* stream_guest_left */
        atomic {
            if
            :: owner == me + 1 ->
                cut_off = true;
                owner = 0
            :: else
            fi
        }
    :: else
    fi;
#ifndef NO_SETTLE
    if
    :: wanted -> /* stream_settle */
        wanted = false;
        lock(stream_lock);
        try_room_back(done);
        stream_lock = false;
        if
        :: done -> events++
        :: else
        fi
    :: else
    fi
#endif
}

/* A write in the guest kernel. `leaves`: the VMM is to make it. */
inline kernel_write(me)
{
    ended = false;
    leaves = true;
    atomic { at = position; at_generation = generation; at_owner = owner };
    if
    :: at_generation && at_owner == 0 && at + 2 <= ROOM ->
#ifdef NO_CLAIM
        claimed = true;
#else
        atomic { /* claim */
            claimed = position == at && generation == at_generation && owner == at_owner;
            if
            :: claimed -> owner = me + 1
            :: else
            fi
        };
#endif
        if
        :: claimed && !kicked[me] ->
            extent[at] = 2 * number;
            if
            :: kicked[me] -> leaves = false /* before the commit: the call is made again */
            :: true ->
                extent[at + 1] = 2 * number + 1;
#ifdef LOOK_BEFORE_COMMIT
                tell = waited;
#endif
                atomic { /* the commit */
                    if
#ifdef NO_CLAIM
                    :: position == at && generation == at_generation ->
#else
                    :: position == at && generation == at_generation && owner == me + 1 ->
#endif
                        position = at + 2;
                        owner = 0;
                        ended = true;
                        leaves = false
                    :: else -> leaves = false /* it is tried again */
                    fi
                }
            fi
        :: claimed && kicked[me] -> leaves = false
        :: else
        fi
    :: else
    fi
}

/* stream_write: with the turn. */
inline vmm_write(me)
{
    do
    :: writing ->
        seen = events;
        if
        :: writing ->
            serving = false;
            events != seen;
            lock(serving)
        :: else
        fi
    :: else -> break
    od;
    writing = true;
    await_writers(me);
    lock(stream_lock);
    take_room_back();
    cut_off = false;
    if
    :: fill == ROOM -> flush()
    :: else
    fi;
    atomic {
        extent[fill] = 2 * number;
        extent[fill + 1] = 2 * number + 1;
        fill = fill + 2
    };
    if
    :: waited -> flush()
    :: else
    fi;
    stream_lock = false;
    writing = false;
    events++
}

proctype thread(byte me)
{
    byte at, at_generation, at_owner, word_at, word_generation, word_owner, seen;
    bool ended, leaves, claimed, tell, done;

    do
    :: written[me] < WRITES ->
        /* stay: enter the guest */
        lock(serving);
        publish_room(me);
        away[me] = true;
        serving = false;
again:
        kernel_write(me);
        if
        :: ended ->
            written[me]++;
#ifndef LOOK_BEFORE_COMMIT
            tell = waited;
#endif
            if
            :: tell -> /* FERRY_PORT_WROTE */
                left_guest(me);
                lock(stream_lock);
                flush();
                stream_lock = false;
                serving = false
            :: !tell && kicked[me] ->
                left_guest(me);
                serving = false
            :: else -> goto again_if_more
            fi
        :: !ended && !leaves ->
            if
            :: kicked[me] ->
                left_guest(me);
                serving = false
            :: else -> goto again
            fi
        :: else ->
            left_guest(me);
            vmm_write(me);
            written[me]++;
            serving = false
        fi;
        goto next;
again_if_more:
        if
        :: written[me] < WRITES -> goto again
        :: else
        fi;
next:
        skip
    :: else -> break
    od;
    /* It computes on, in the guest. */
    lock(serving);
    publish_room(me);
    away[me] = true;
    serving = false;
end:
    do
    :: kicked[me] ->
        ended = true;
        left_guest(me);
        publish_room(me);
        away[me] = true;
        serving = false
    od
}

/* It reads all, and waits in between: it shows that first, then pulls, then sleeps. */
proctype receiver()
{
    byte word_at, word_generation, i, last, cpu, got[CPUS];

    do
    :: got_count < ALL ->
        if
        :: got_count < sent_count ->
            atomic {
                /* A write comes whole, and the writes of a CPU in their order. */
                i = sent[got_count];
                cpu = (i / 2 - 1) / WRITES;
                assert(i / 2 == 1 + cpu * WRITES + got[cpu]);
                assert(i % 2 == got_count % 2);
                assert(got_count % 2 == 0 || i == last + 1);
                got[cpu] = got[cpu] + got_count % 2;
                last = i
            };
            got_count++
        :: else ->
            receiver_told = false;
            waited = true;
            lock(stream_lock);
            flush();
            stream_lock = false;
            if
            :: got_count < sent_count
            :: else -> receiver_told
            fi;
            waited = false
        fi
    :: else -> break
    od
}

init
{
    atomic {
        run thread(0);
        run thread(1);
        run receiver()
    }
}
