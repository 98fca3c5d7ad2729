/* SPDX-License-Identifier: BSD-2-Clause */
/* One round: what befalls the VMs of a topology, and how they must have ended. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "topology.h"

/* ---- what befalls them -------------------------------------------------- */

/* False: it is a copy, and there is no snapshot, or may be none with its links. */
static bool start_copy(struct round *round, struct member *member)
{
    struct ferry_error err;
    int result = ferry_vm_start(member->vm, &err);

    if (result < 0 && result != -EINVAL && result != -EBUSY)
        be_wrong(round->wrong, "%s", err.text);
    member->kept = result == 0;
    round->totals->copies += result == 0;
    return result == 0;
}

static bool start_one(struct round *round, struct member *member)
{
    struct ferry_error err;

    if (member->like)
        return start_copy(round, member);
    int result = member->keeps ? ferry_vm_snapshot(member->vm, PATIENCE, &err)
                               : ferry_vm_start(member->vm, &err);
    /* It runs, or has run, if there can be no snapshot. */
    if (result < 0 && !(member->keeps && (result == -EBUSY || result == -ESRCH)))
        be_wrong(round->wrong, "%s", err.text);
    member->kept = member->keeps && result == 0;
    round->totals->snapshots += member->kept;
    return true;
}

static void start(struct round *round)
{
    unsigned first = (unsigned)below(round->chance, round->count);

    for (unsigned i = 0; i < round->count; i++) {
        struct member *member = &round->members[(first + i) % round->count];

        if (once_in(round->chance, 40) || round->wrong->text[0]) {
            round->totals->unstarted++;
            continue;
        }
        member->started = start_one(round, member);
        round->totals->unstarted += !member->started;
    }
    for (unsigned i = 0; i < round->end_count; i++)
        host_end_start(&round->ends[i]);
}

static const char *said(struct round *round)
{
    static _Thread_local char text[400];
    ssize_t got = pread(round->said, text, sizeof text - 1, 0);

    text[got > 0 ? got : 0] = '\0';
    return text;
}

static void count_link(struct round *round, struct ferry_link *link)
{
    struct ferry_link_stats stats;

    ferry_link_stats(link, &stats);
    round->totals->messages += stats.messages;
    round->totals->bytes += stats.bytes_handed_over + stats.bytes_copied + stats.bytes_inline;
}

/* The host leaves: what it holds goes home, and the VM learns of it. */
static void end_one(struct round *round, struct host_end *end)
{
    host_end_stop(end);
    if (end->wrong.text[0])
        be_wrong(round->wrong, "host %s '%s': %s; guests said: %s", end->receives ? "from" : "to",
                 round->members[end->receives ? round->count - 1 : 0].name, end->wrong.text,
                 said(round));
    count_link(round, end->link);
    ferry_link_destroy(end->link);
}

static void cut_a_link(struct round *round)
{
    unsigned from = (unsigned)below(round->chance, round->count);

    for (unsigned to = 0; to < round->count; to++) {
        struct ferry_link *link = round->links[from][to];

        if (!link)
            continue;
        round->links[from][to] = NULL;
        round->totals->cut_links++;
        count_link(round, link);
        ferry_link_destroy(link);
        return;
    }
}

/* Whatever is under way. */
static void reset(struct round *round, struct member *member)
{
    struct ferry_error err;

    if (ferry_vm_reset(member->vm, &err) < 0)
        be_wrong(round->wrong, "%s", err.text);
    round->totals->resets++;
}

static void one_thing(struct round *round)
{
    struct member *member = &round->members[below(round->chance, round->count)];
    struct ferry_vm_stats stats;
    struct ferry_ledger ledger;

    ferry_vm_wait(member->vm, below(round->chance, 4 * MILLISECOND), NULL);
    if (member->kept && once_in(round->chance, 2)) {
        reset(round, member);
        return;
    }
    switch (below(round->chance, 6)) {
    case 0:
        ferry_vm_stop(member->vm, SIGTERM);
        member->stopped = true;
        round->totals->stops++;
        break;
    case 1:
        ferry_vm_signal(member->vm, SIGTERM);
        member->signalled = true;
        round->totals->signals++;
        break;
    case 2:
        cut_a_link(round);
        break;
    case 3:
        if (round->end_count > 0)
            end_one(round, &round->ends[--round->end_count]);
        break;
    case 4:
        ferry_vm_stats(member->vm, &stats);
        break;
    default:
        ferry_engine_ledger(round->engine, &ledger);
    }
}

/* ---- how they ended ----------------------------------------------------- */

/* Who never started leaves those waiting who drain: their end is a stop. */
static bool may_end_so(const struct member *member, const struct ferry_vm_exit *end)
{
    switch (end->how) {
    case FERRY_ENDED_EXIT:
        return member->role == HOSTILE ||
               ((member->role == EXIT || member->role == DRAIN || member->role == PASS) &&
                end->status == 0);
    case FERRY_ENDED_SIGNAL:
        return (member->signalled && end->signo == SIGTERM) ||
               ((member->role == PASS || member->role == HOSTILE) && end->signo == SIGPIPE);
    case FERRY_ENDED_CRASH:
        return member->role == HOSTILE || (member->role == CRASH && end->signo == SIGSEGV);
    case FERRY_ENDED_STOPPED:
        return member->stopped;
    case FERRY_ENDED_TIMEOUT:
        return member->role == EVER || member->role == HOSTILE;
    default:
        return false;
    }
}

static void judge(struct round *round, const struct member *member)
{
    struct ferry_vm_exit end;
    int result = ferry_vm_wait(member->vm, 2 * PATIENCE, &end);

    if (result < 0) {
        be_wrong(round->wrong, "VM '%s' does not end: %s", member->name, strerror(-result));
        return;
    }
    round->totals->ended[end.how]++;
    if (!may_end_so(member, &end))
        be_wrong(round->wrong, "VM '%s' (role %d, shape %d): %s; guests said: %s", member->name,
                 member->role, round->shape, end.text, said(round));
}

/* Nor does one with a snapshot hang up to other VMs when its program ends. */
static bool all_end_by_themselves(const struct round *round)
{
    for (unsigned i = 0; i < round->count; i++)
        if (!round->members[i].started || round->members[i].kept)
            return false;
    return true;
}

/* They end by themselves, are stopped, or are destroyed while they run. */
static void end_all(struct round *round)
{
    uint64_t how = below(round->chance, 4);

    if (how == 0) {
        round->totals->destroyed_running += round->count;
        return;
    }
    for (unsigned i = 0; i < round->count && (how == 1 || !all_end_by_themselves(round)); i++) {
        ferry_vm_stop(round->members[i].vm, SIGTERM);
        round->members[i].stopped = true;
        round->totals->stops++;
    }
    for (unsigned i = 0; i < round->count; i++)
        if (round->members[i].started)
            judge(round, &round->members[i]);
}

/* ---- the end ------------------------------------------------------------ */

/* Half of the VMs, by a thread of its own. */
static void *destroy_odd(void *arg)
{
    struct round *round = arg;

    for (unsigned i = 1; i < round->count; i += 2)
        ferry_vm_destroy(round->members[i].vm);
    return NULL;
}

static void destroy_all(struct round *round)
{
    pthread_t other;
    bool runs;

    while (round->end_count > 0)
        end_one(round, &round->ends[--round->end_count]);
    for (unsigned from = 0; from < round->count; from++)
        for (unsigned to = 0; to < round->count; to++)
            if (round->links[from][to])
                count_link(round, round->links[from][to]);
    runs = pthread_create(&other, NULL, destroy_odd, round) == 0;
    for (unsigned i = 0; i < round->count; i += 2)
        ferry_vm_destroy(round->members[i].vm);
    if (runs)
        pthread_join(other, NULL);
    else
        destroy_odd(round);
    close(round->said);
}

void expect_books(struct ferry_engine *engine, struct wrong *wrong)
{
    struct ferry_ledger ledger;

    ferry_engine_ledger(engine, &ledger);
    if (ledger.free != ledger.extents + ledger.pages || ledger.owned || ledger.lent ||
        ledger.leaked)
        be_wrong(wrong, "of %lu units %lu are free, %lu owned, %lu lent, %lu leaked",
                 ledger.extents + ledger.pages, ledger.free, ledger.owned, ledger.lent,
                 ledger.leaked);
}

void round_run(struct ferry_engine *engine, const char *name, struct chance *chance,
               struct totals *totals, struct wrong *wrong)
{
    struct round round = {.engine = engine, .chance = chance, .totals = totals, .wrong = wrong};

    if (topology_make(&round, name)) {
        uint64_t things = below(chance, 5);

        start(&round);
        for (uint64_t i = 0; i < things; i++)
            one_thing(&round);
        end_all(&round);
    }
    destroy_all(&round);
    totals->rounds++;
}
