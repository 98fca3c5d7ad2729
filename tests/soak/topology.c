/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes a random topology: some VMs in a chain, ring, fan or pipeline, and the host's ends. */
#include "topology.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define FEW_EXTENTS 32 /* of a pool */

/* ---- making ------------------------------------------------------------- */

static enum role choose_role(const struct round *round)
{
    static const enum role roles[] = {DRAIN, DRAIN, DRAIN, DRAIN, EXIT,
                                      EXIT,  EXIT,  CRASH, EVER,  HOSTILE};

    if (round->shape == PIPELINE)
        return PASS;
    return roles[below(round->chance, sizeof roles / sizeof *roles)];
}

static void path_of(char *path, size_t bytes, const char *program)
{
    snprintf(path, bytes, "%s/%s", getenv("FERRY_TEST_GUESTS"), program);
}

/* Whether it gets a snapshot, or is a copy of the one before, which does. */
static void choose_copy(struct round *round, unsigned place)
{
    struct member *member = &round->members[place];

    if (place > 0 && member[-1].keeps && once_in(round->chance, 2)) {
        member->like = member[-1].vm;
        member->role = member[-1].role;
    } else {
        member->keeps =
            member->role != HOSTILE && member->role != PASS && once_in(round->chance, 3);
    }
}

static bool make_vm(struct round *round, unsigned place, const char *prefix)
{
    static const char *const ends[] = {"exit", "drain", "crash", "ever"};
    static const char *const hostile[] = {"hostile_threads", "hostile_ring"};
    struct member *member = &round->members[place];
    struct chance *chance = round->chance;
    char path[512], seed[24], steps[24], victim[64];
    char *argv[5] = {"mix", seed, steps, NULL};
    struct ferry_error err;

    member->role = choose_role(round);
    choose_copy(round, place);
    snprintf(member->name, sizeof member->name, "%s%s.%u", member->role == HOSTILE ? "hostile" : "",
             prefix, place);
    snprintf(seed, sizeof seed, "%lu", below(chance, 1u << 30));
    snprintf(steps, sizeof steps, "%lu", below(chance, 400));
    path_of(path, sizeof path, "mix");
    if (member->role == HOSTILE) {
        argv[0] = (char *)hostile[below(chance, 2)];
        argv[1] = victim;
        argv[2] = NULL;
        path_of(path, sizeof path, argv[0]);
        /* Where there is no such peer it ends by itself. */
        snprintf(victim, sizeof victim, "%s.%u", prefix, (place + 1) % round->count);
    } else if (member->role == PASS) {
        argv[0] = "pass_on";
        argv[1] = NULL;
        path_of(path, sizeof path, argv[0]);
    } else {
        argv[3] = (char *)ends[member->role];
    }
    const struct ferry_vm_config config = {
        .name = member->name,
        .program = path,
        .argv = argv,
        .stderr_fd = round->said,
        .delivery = (enum ferry_delivery)below(chance, 3),
        .transfer = (enum ferry_transfer)below(chance, 3),
        .timeout_ns = member->role == EVER || member->role == HOSTILE
                          ? below(chance, 100) * MILLISECOND + 1
                          : PATIENCE,
    };
    const struct ferry_vm_config copy = {.name = member->name,
                                         .copy_of = member->like,
                                         .stderr_fd = round->said,
                                         .timeout_ns = config.timeout_ns};
    if (ferry_vm_create(round->engine, member->like ? &copy : &config, &member->vm, &err) < 0) {
        be_wrong(round->wrong, "%s", err.text);
        return false;
    }
    round->totals->vms++;
    return true;
}

static struct ferry_link *make_link(struct round *round, struct ferry_vm *from, struct ferry_vm *to)
{
    const struct ferry_link_config config = {
        .stream = round->shape == PIPELINE,
        .direct = from && to && once_in(round->chance, 4),
        .max_messages = (uint32_t)below(round->chance, 49),
    };
    struct ferry_link *link;
    struct ferry_error err;

    if (ferry_link_create(round->engine, from, to, &config, &link, &err) < 0) {
        be_wrong(round->wrong, "%s", err.text);
        return NULL;
    }
    round->totals->links++;
    return link;
}

static bool are_linked(const struct round *round, unsigned from, unsigned to)
{
    switch (round->shape) {
    case CHAIN:
    case PIPELINE:
        return to == from + 1;
    case RING:
        return round->count > 1 && to == (from + 1) % round->count;
    case FAN_OUT:
        return from == 0 && to != 0;
    case FAN_IN:
        return to == 0 && from != 0;
    default:
        return from != to && once_in(round->chance, 2);
    }
}

static void make_end(struct round *round, unsigned place, bool receives)
{
    struct ferry_vm *vm = round->members[place].vm;
    struct host_end *end = &round->ends[round->end_count];

    *end = (struct host_end){.receives = receives,
                             .stream = round->shape == PIPELINE,
                             .trusted = round->members[place].role != HOSTILE,
                             .chance = chance_of(below(round->chance, UINT64_MAX), place)};
    end->link = make_link(round, receives ? vm : NULL, receives ? NULL : vm);
    round->end_count += end->link != NULL;
}

static void make_links(struct round *round)
{
    for (unsigned from = 0; from < round->count; from++)
        for (unsigned to = 0; to < round->count; to++)
            if (are_linked(round, from, to))
                round->links[from][to] =
                    make_link(round, round->members[from].vm, round->members[to].vm);
    if (round->shape == PIPELINE || !once_in(round->chance, 3))
        make_end(round, 0, false);
    if (round->shape == PIPELINE || !once_in(round->chance, 3))
        make_end(round, round->count - 1, true);
}

bool topology_make(struct round *round, const char *prefix)
{
    struct ferry_ledger ledger;

    ferry_engine_ledger(round->engine, &ledger);
    /* In a small pool an unmodified program fails for want of memory, as it may. */
    round->shape =
        (enum shape)below(round->chance, ledger.extents < FEW_EXTENTS ? PIPELINE : SHAPES);
    round->count = 1 + (unsigned)below(round->chance, VMS_MAX);
    round->said = memfd_create("said", MFD_CLOEXEC);
    for (unsigned i = 0; i < round->count; i++)
        if (!make_vm(round, i, prefix))
            return false;
    make_links(round);
    return !round->wrong->text[0];
}
