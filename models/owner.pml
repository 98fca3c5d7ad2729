/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who owns and who holds the units of the pool: endpoints allocate, lend, forward, move, release and
 * free, and each ends at a moment of its own, while others act for it (README.md, "owner"). It follows
 *
 *   host/pool/ledger.c         take, commit_one, ledger_commit_home, evict_one, ledger_abort
 *   host/pool/shares.c         the count of what each owns, with what is promised to it
 *   host/ipc/perform.c         prepare, update_tables, complete; host/ipc/queue.c  try_reserve,
 *                              queue_deliver
 *   host/ipc/loan.c            loan_claim, close_holder, give_home, enter_owner, loan_forward,
 *                              loan_release_all
 *   host/ipc/units.c           units_alloc, units_free
 *   host/ipc/endpoint.c        endpoint_enter, endpoint_leave
 *   host/ipc/endpoint_end.c    endpoint_shutdown
 *
 * A step is a compare-and-swap of a unit's word, a change under one endpoint's lock, or a page-table call.
 * An index is used again: another endpoint begins in the place of the first one that ended.
 *
 * Broken: -DOPEN_FIRST, -DNO_LOOK_AGAIN, -DNO_USERS, -DEVICT_FIRST, -DNO_ORPHANS.
 */
#ifndef UNITS
#define UNITS 1
#endif
#ifndef STEPS
#define STEPS 2 /* of all endpoints together */
#endif
#define ENDPOINTS 3
#define NOBODY    3
#define TOKENS    2 /* of each endpoint */

#define FREE    0
#define OWNED   1
#define LENT    2
#define TRANSIT 3

#define CLOSED 0
#define READ   1
#define WRITE  2

/* The ledger. */
byte state[UNITS];
byte owner[UNITS];
byte holder[UNITS];
byte owned[ENDPOINTS]; /* the shares */
byte orphans;

/* Windows: what each endpoint may do with each unit. */
#define window(e, u) windows[(e) * UNITS + (u)]
byte windows[ENDPOINTS * UNITS];

/* Endpoints. A token: 0 is free, else the unit it stands for plus 1. */
#define token(e, t) tokens[(e) * TOKENS + (t)]
byte tokens[ENDPOINTS * TOKENS];
bool leaving[ENDPOINTS * TOKENS];
bool live[ENDPOINTS];
bool has_window[ENDPOINTS];
byte users[ENDPOINTS];
byte loans[ENDPOINTS]; /* lent out and not come home */
byte ended, steps;
bool reused;

/* No unit is open to one for writing and to another one at all. */
inline check(u)
{
    d_step {
        assert(window(0, u) + window(1, u) + window(2, u) <= 2);
        assert(!(window(0, u) == 1 && window(1, u) == 1));
        assert(!(window(0, u) == 1 && window(2, u) == 1));
        assert(!(window(1, u) == 1 && window(2, u) == 1));
        assert((state[u] == FREE) == (holder[u] == NOBODY));
        assert(state[u] != FREE || owner[u] == NOBODY);
        assert(state[u] != FREE || window(0, u) + window(1, u) + window(2, u) == 0);
        assert(state[u] != OWNED || owner[u] == holder[u])
    }
}

inline set_window(e, u, access)
{
    atomic {
        if
        :: has_window[e] -> window(e, u) = access
        :: else /* it was destroyed */
        fi;
        check(u)
    }
}

/* ---- coming home -------------------------------------------------------------- */

/* loan_release of a token that is `leaving`: by its holder. */
inline bring_home(u)
{
    atomic { /* ledger_begin_home */
        whose = owner[u];
        assert(state[u] == LENT && holder[u] == me);
        state[u] = TRANSIT
    };
    set_window(me, u, CLOSED);
    /* enter_owner */
    entered = false;
    if
    :: whose != NOBODY ->
        atomic {
            if
            :: live[whose] -> users[whose]++; entered = true
            :: else
            fi
        };
#ifndef NO_LOOK_AGAIN
        if
        :: entered && owner[u] != whose -> users[whose]--; entered = false
        :: else
        fi
#endif
    :: else
    fi;
    if
    :: entered -> set_window(whose, u, WRITE)
    :: else
    fi;
    atomic { /* ledger_commit_home */
        assert(state[u] == TRANSIT);
        if
        :: owner[u] == NOBODY -> state[u] = FREE; holder[u] = NOBODY; orphans--
        :: else -> state[u] = OWNED; holder[u] = owner[u]
        fi;
        check(u)
    };
    if
    :: entered ->
        loans[whose]--; /* write_completions */
        users[whose]--
    :: else
    fi
}

inline drop_token(t) { atomic { token(me, t) = 0; leaving[me * TOKENS + t] = false } }

/* ---- sending ------------------------------------------------------------------ */

/* Reserves a token of the receiver, and keeps it from its end. */
inline reserve(to)
{
    atomic {
        slot = TOKENS;
        if
        :: live[to] && token(to, 0) == 0 -> slot = 0
        :: live[to] && token(to, 0) != 0 && token(to, 1) == 0 -> slot = 1
        :: else
        fi;
        if
        :: slot < TOKENS ->
            token(to, slot) = UNITS + 1; /* promised */
#ifndef NO_USERS
            users[to]++
#endif
        :: else
        fi
    }
}

inline deliver(to, contents)
{
    atomic {
        token(to, slot) = contents;
#ifndef NO_USERS
        users[to]--
#endif
    }
}

/* LEND of one's own, of a loan (`mine` is its token), or MOVE. */
inline send(to, u, prior, move)
{
    reserve(to);
    if
    :: slot < TOKENS ->
        atomic { /* take_units */
            taken = state[u] == prior && holder[u] == me && (prior == LENT || owner[u] == me);
            if
            :: taken && prior == LENT ->
                mine = TOKENS;
                if
                :: token(me, 0) == u + 1 && !leaving[me * TOKENS] -> mine = 0
                :: token(me, 1) == u + 1 && !leaving[me * TOKENS + 1] -> mine = 1
                :: else -> taken = false
                fi
            :: else
            fi;
            if
            :: taken ->
                if
                :: prior == LENT -> leaving[me * TOKENS + mine] = true
                :: prior == OWNED && !move -> loans[me]++
                :: else -> owned[to]++ /* shares_promise */
                fi;
                state[u] = TRANSIT
            :: else
            fi
        };
        if
        :: taken ->
#ifdef OPEN_FIRST
            set_window(to, u, (move -> WRITE : READ));
            set_window(me, u, CLOSED);
#else
            set_window(me, u, CLOSED);
            set_window(to, u, (move -> WRITE : READ));
#endif
            atomic { /* ledger_commit_send */
                assert(state[u] == TRANSIT);
                holder[u] = to;
                if
                :: move -> owner[u] = to; state[u] = OWNED; owned[me]--
                :: else -> state[u] = LENT
                fi;
                check(u)
            };
            deliver(to, (move -> 0 : u + 1));
            if
            :: prior == LENT -> drop_token(mine)
            :: else
            fi
        :: else -> deliver(to, 0)
        fi
    :: else
    fi
}

/* ---- the end ------------------------------------------------------------------- */

inline evict()
{
    u = 0;
    do
    :: u < UNITS ->
        atomic {
            if
            :: owner[u] == me ->
                owned[me]--;
                if
                :: holder[u] == me ->
                    assert(state[u] == OWNED);
                    state[u] = FREE; owner[u] = NOBODY; holder[u] = NOBODY
                :: else ->
#ifndef NO_ORPHANS
                    owner[u] = NOBODY; orphans++
#else
                    state[u] = FREE; owner[u] = NOBODY; holder[u] = NOBODY
#endif
                fi;
                check(u)
            :: else
            fi
        };
        u++
    :: else -> break
    od
}

inline shut_down()
{
    live[me] = false;
    users[me] == 0;
    atomic { /* window_destroy */
        has_window[me] = false;
        u = 0;
        do
        :: u < UNITS -> window(me, u) = CLOSED; u++
        :: else -> break
        od
    };
#ifdef EVICT_FIRST
    evict();
#endif
    t = 0;
    do
    :: t < TOKENS ->
        if
        :: token(me, t) != 0 ->
            assert(token(me, t) <= UNITS); /* nobody is filling it */
            leaving[me * TOKENS + t] = true;
            u = token(me, t) - 1;
            bring_home(u);
            drop_token(t)
        :: else
        fi;
        t++
    :: else -> break
    od;
#ifndef EVICT_FIRST
    evict()
#endif
}

/* ---- an endpoint ------------------------------------------------------------------ */

/* What it does next: one of what it may. */
inline act()
{
    if
    :: state[u] == FREE -> /* units_alloc */
        atomic {
            taken = state[u] == FREE;
            if
            :: taken -> state[u] = TRANSIT; owner[u] = me; holder[u] = me; owned[me]++
            :: else
            fi
        };
        if
        :: taken ->
            set_window(me, u, WRITE);
            state[u] = OWNED
        :: else
        fi
    :: state[u] == OWNED && holder[u] == me -> send(other, u, OWNED, false)
    :: state[u] == OWNED && holder[u] == me -> send(other, u, OWNED, true)
    :: state[u] == OWNED && holder[u] == me -> /* units_free */
        atomic {
            taken = state[u] == OWNED && holder[u] == me;
            if
            :: taken -> state[u] = TRANSIT
            :: else
            fi
        };
        if
        :: taken ->
            set_window(me, u, CLOSED);
            atomic { state[u] = FREE; owner[u] = NOBODY; holder[u] = NOBODY; owned[me]--; check(u) }
        :: else
        fi
    :: state[u] == LENT && holder[u] == me -> send(other, u, LENT, false)
    :: token(me, t) == u + 1 && !leaving[me * TOKENS + t] -> /* loan_release */
        leaving[me * TOKENS + t] = true;
        bring_home(u);
        drop_token(t)
    :: skip
    fi
}

proctype endpoint(byte me)
{
    byte u, t, other, whose, slot, mine;
    bool entered, taken;

begin:
    atomic { live[me] = true; has_window[me] = true };
    do
    :: atomic { steps < STEPS -> steps++ };
        atomic {
            if
            :: me != 0 -> other = 0
            :: me != 1 -> other = 1
            :: me != 2 -> other = 2
            fi;
            if
            :: u = 0
            :: u = UNITS - 1
            fi;
            if
            :: t = 0
            :: t = 1
            fi
        };
        act()
    :: break
    od;
    shut_down();
    assert(owned[me] == 0);
    if
    :: atomic { !reused && me == 0 -> reused = true; loans[me] = 0 }; goto begin
    :: else
    fi;
    ended++
}

init
{
    byte i;

    atomic {
        do
        :: i < UNITS -> owner[i] = NOBODY; holder[i] = NOBODY; i++
        :: else -> break
        od;
        /* The first unit is the first endpoint's from the start, which saves a step. */
        owner[0] = 0; owned[0] = 1;
#ifdef BEGINS_LENT /* and lent to the second one, which saves another */
        state[0] = LENT; holder[0] = 1; loans[0] = 1; token(1, 0) = 1; window(1, 0) = READ;
#else
        state[0] = OWNED; holder[0] = 0; window(0, 0) = WRITE;
#endif
        run endpoint(0);
        run endpoint(1);
        run endpoint(2)
    };
    ended == ENDPOINTS;
    i = 0;
    do
    :: i < UNITS -> assert(state[i] == FREE && owner[i] == NOBODY); i++
    :: else -> break
    od;
    assert(orphans == 0)
}
