/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Input that the guest kernel was shown: CPUs of one VM read it without an exit, the VMM takes it back,
 * shows it anew with what came since, gives back what was read, and reads itself (README.md, "input").
 * It follows
 *
 *   guest/kernel/serve.c         copy_input, read_pieces
 *   guest/kernel/entry.S         the commit
 *   host/stream/stream_guest.c   consume, count_input, stream_take_input_back, take_ahead, show_input,
 *                                publish_input, stream_settle, stream_look
 *   host/stream/stream_input.c   stream_input_ready, stream_next_message, await_until, read_now,
 *                                stream_read
 *   host/vm/guest_run.c          stay; host/engine/runner.c  runner_look_at_stream
 *
 * A byte is its number in the stream, from 1. A page that has come home is filled anew at once, with
 * something else. A CPU may be stopped by a kick at any step; then its call has not begun, or has ended. What
 * only the thread that is served looks at is one step.
 *
 * Broken: -DSTORE_BACK, -DNO_GENERATION, -DWORD_LAST, -DWORD_FIRST, -DNO_TAKE_BACK, -DNO_TURN,
 * -DNO_SECOND_LOOK, -DNO_COMMIT.
 */
#ifndef MESSAGES
#define MESSAGES 2
#endif
#define BYTES   2 /* of each */
#define BUFFERS MESSAGES
#define PIECES  2
#ifndef WANT
#define WANT 3 /* of a read of the first thread */
#endif
#ifndef KICKS
#define KICKS 1
#endif
#define ALL     (MESSAGES * BYTES)
#define HANGUP  BUFFERS /* in the queue, instead of a buffer */
#define NO      99

/* The word; both parts change together. */
byte position, generation;

/* What is shown: of each piece where its byte at position p lies, and its end. */
byte piece_count;
byte piece_base[PIECES]; /* plus BYTES * BUFFERS, as it may be less than 0 */
byte piece_end[PIECES];

byte memory[BUFFERS * BYTES];

/* The queue of the endpoint, of messages that were not taken. */
byte queue[MESSAGES + 1];
byte queue_head, queue_tail;
byte events;

/* The stream: of the thread that is served. */
bool serving;
bool have, ended, input_open;
byte message, left;
byte ahead = NO; /* one message at most */
byte input_generation, input_seen, input_bytes;
byte in_guest;

byte got; /* bytes that the program has read */
byte kicks = KICKS;

inline lock(which) { atomic { !which -> which = true } }

/* ---- the VMM, on the thread that is served, or the ticker's with the turn ---- */

inline drop_message()
{
    have = false;
    memory[message * BYTES] = 0;
    memory[message * BYTES + 1] = 0
}

/* consume, of what the guest kernel read. */
inline consume(bytes)
{
    count = bytes;
    do
    :: count > 0 ->
        assert(have && left > 0);
        now = (count < left -> count : left);
        left = left - now;
        count = count - now;
        if
        :: left == 0 ->
            drop_message();
            if
            :: ahead != NO -> message = ahead; ahead = NO; have = true; left = BYTES
            :: else
            fi
        :: else
        fi
    :: else -> break
    od
}

/* count_input: the word was (at, its_generation). */
inline count_input(at, its_generation)
{
    if
    :: its_generation == input_generation && at > input_seen && at <= input_bytes ->
        now = at - input_seen;
        input_seen = at;
        consume(now)
    :: else
    fi
}

inline take_back()
{
    if
    :: input_open ->
#ifdef STORE_BACK
        atomic { at = position; at_generation = generation };
        atomic { position = 0; generation = 0 };
#else
        atomic { at = position; at_generation = generation; position = 0; generation = 0 };
#endif
        d_step { input_open = false; count_input(at, at_generation) }
    :: else
    fi
}

#define READY (have || ended || ahead != NO || queue_head != queue_tail)

inline input_ready(out)
{
#ifndef NO_TAKE_BACK
    take_back();
#endif
    out = READY
}

inline next_message()
{
    d_step {
        if
        :: !have && !ended && ahead != NO -> message = ahead; ahead = NO; have = true; left = BYTES
        :: !have && !ended && ahead == NO && queue_head != queue_tail ->
            if
            :: queue[queue_tail] == HANGUP -> ended = true
            :: else -> message = queue[queue_tail]; have = true; left = BYTES
            fi;
            queue_tail++
        :: else
        fi
    }
}

inline put_word()
{
    d_step {
#ifndef NO_GENERATION
        input_generation++;
#else
        input_generation = 1;
#endif
        input_open = true;
        position = 0;
        generation = input_generation
    }
}

inline show_input()
{
    d_step {
        input_seen = 0;
        input_bytes = 0;
        if
        :: ahead == NO && queue_head != queue_tail && queue[queue_tail] != HANGUP ->
            ahead = queue[queue_tail];
            queue_tail++
        :: else
        fi
    };
#ifdef WORD_FIRST
    input_bytes = left + (ahead != NO -> BYTES : 0);
    put_word();
    input_bytes = 0;
#endif
    piece_base[0] = BYTES * BUFFERS + message * BYTES + BYTES - left;
    atomic { input_bytes = left; piece_end[0] = input_bytes };
    if
    :: ahead != NO ->
        piece_base[1] = BYTES * BUFFERS + ahead * BYTES - input_bytes;
        atomic { input_bytes = input_bytes + BYTES; piece_end[1] = input_bytes };
        piece_count = 2
    :: else -> piece_count = 1
    fi;
#ifndef WORD_FIRST
    put_word()
#endif
}

/* publish_input */
inline publish()
{
    if
    :: ended || (input_open && queue_head == queue_tail) -> skip
    :: else ->
        take_back();
        if
        :: READY -> next_message()
        :: else
        fi;
        if
        :: have -> show_input()
        :: else
        fi
    fi
}

/* A byte that the program got. */
inline gets(value)
{
    assert(value == got + 1);
    got = got + 1
}

/* ---- a thread of the program -------------------------------------------------- */

/* A read of `want` bytes in the guest kernel. done: it has ended; leaves: the VMM is to make it. */
inline kernel_read()
{
    done = false;
    leaves = false;
    kicked = false;
    copied = 0;
#ifdef WORD_LAST
    count = piece_count;
#else
    atomic { at = position; at_generation = generation };
    count = piece_count;
#endif
    i = 0;
    do
    :: i < count && copied < want ->
        base = piece_base[i];
        limit = piece_end[i];
#ifdef WORD_LAST
        if
        :: i == 0 -> atomic { at = position; at_generation = generation }
        :: else
        fi;
#endif
        do
        :: copied < want && at + copied < limit ->
            /* An address that was put together of two pieces may be anything. */
            atomic {
                if
                :: base + at + copied >= BYTES * BUFFERS &&
                   base + at + copied < 2 * BYTES * BUFFERS ->
                    bytes[copied] = memory[base + at + copied - BYTES * BUFFERS]
                :: else -> bytes[copied] = 0
                fi;
                copied++
            }
        :: else -> break
        od;
        i++
    :: else -> break
    od;
    if
    :: at_generation == 0 || copied == 0 -> leaves = true
    :: atomic { kicks > 0 -> kicks--; kicked = true } /* the call has not begun */
    :: at_generation != 0 && copied != 0 ->
        atomic { /* the commit */
            if
#ifdef NO_COMMIT
            :: true ->
#else
            :: position == at && generation == at_generation ->
#endif
                position = at + copied;
                done = true;
                i = 0;
                do
                :: i < copied -> gets(bytes[i]); i++
                :: else -> break
                od
            :: else /* it is tried again */
            fi
        }
    fi
}

/* stream_read, with the turn. */
inline vmm_read()
{
    copied = 0;
    do
    :: copied == 0 && !ended ->
        input_ready(ready);
        do
        :: !ready ->
            seen = events;
#ifndef NO_SECOND_LOOK
            input_ready(ready);
#endif
            if
            :: !ready ->
                serving = false;
                events != seen;
                lock(serving)
            :: else
            fi;
            input_ready(ready)
        :: else -> break
        od;
        do
        :: copied < want ->
            input_ready(ready);
            if
            :: !ready -> break
            :: else
            fi;
            next_message();
            if
            :: !have -> break
            :: else
            fi;
            atomic {
                gets(memory[message * BYTES + BYTES - left]);
                copied++;
                left--;
                if
                :: left == 0 -> drop_message()
                :: else
                fi
            }
        :: else -> break
        od
    :: else -> break
    od
}

proctype thread(byte want)
{
    byte at, at_generation, now, count, i, base, limit, copied, seen, bytes[BYTES + 1];
    bool done, leaves, kicked, ready;

    do
    :: /* stay: enter the guest */
        lock(serving);
        if
        :: ended -> serving = false; break
        :: else
        fi;
        publish();
        in_guest++;
        atomic { serving = false; now = 0; count = 0; at = 0; at_generation = 0 };
again:
        kernel_read();
        if
        :: done && got < ALL -> goto again
        :: !done && !leaves && !kicked -> goto again
        :: else
        fi;
        d_step {
            count = 0; i = 0; base = 0; limit = 0; copied = 0; now = 0; at = 0; at_generation = 0;
            bytes[0] = 0; bytes[1] = 0; bytes[2] = 0; done = false; kicked = false
        };
        lock(serving);
        in_guest--;
        /* stream_settle */
        if
        :: input_open ->
            atomic { at = position; at_generation = generation };
            d_step { count_input(at, at_generation) }
        :: else
        fi;
        if
        :: leaves -> vmm_read()
        :: else
        fi;
        atomic { serving = false; copied = 0; seen = 0; now = 0; count = 0; at = 0; at_generation = 0 }
    od
}

/* One look, at any moment: stream_look, where no thread is served. */
proctype ticker()
{
    byte at, at_generation, now, count;

#ifndef NO_TURN
    lock(serving);
#endif
    if
    :: in_guest > 0 && input_open ->
        atomic { at = position; at_generation = generation };
        d_step { count_input(at, at_generation) };
        if
        :: have || (queue_head != queue_tail && queue[queue_tail] != HANGUP) -> publish()
        :: else
        fi
    :: else
    fi;
#ifndef NO_TURN
    serving = false
#endif
}

proctype sender()
{
    byte next;

    do
    :: next < MESSAGES ->
        atomic {
            memory[next * BYTES] = next * BYTES + 1;
            memory[next * BYTES + 1] = next * BYTES + 2;
            queue[queue_head] = next;
            queue_head++;
            next++
        };
        events++
    :: else -> break
    od;
    atomic { queue[queue_head] = HANGUP; queue_head++ };
    events++
}

init
{
    atomic {
        run thread(WANT);
#ifdef TICKER
        run ticker();
#else
        run thread(1);
#endif
        run sender()
    };
    _nr_pr == 1;
    assert(got == ALL)
}
