/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what is special about words that several processes have mapped. A thread waits in the queues of its
 * own process; who wakes looks at those of the others as well. */
#include "linux/futexes.h"
#include "linux/state.h"

struct futex_name futex_name_of(struct linux_state *state, uint64_t addr)
{
    const struct space *space = vm_space(state->vm);
    struct space_label label = space_label_at(space, guest_addr(addr));
    struct futex_name name = {0};

    if (!label.file || !space_is_shared(space, guest_addr(addr)))
        return name;
    name.is_shared = true;
    name.dev = label.file->dev;
    name.ino = label.file->ino;
    name.offset = addr + label.shift;
    name.file = label.file;
    return name;
}

static bool is_same(const struct futex_name *one, const struct futex_name *other)
{
    bool same_file = one->ino && one->dev == other->dev && one->ino == other->ino;

    return one->is_shared && other->is_shared && one->offset == other->offset &&
           (same_file || one->file == other->file);
}

/* In one queue. */
static int32_t wake_some(struct linux_state *state, struct futex_wait *queue,
                         const struct futex_name *name, int32_t most, uint32_t bitset)
{
    int32_t woken = 0;

    for (struct futex_wait *wait = queue->next, *next; wait != queue && woken < most; wait = next) {
        next = wait->next;
        if (wait->pi || wait->lock || !(wait->bitset & bitset) || !is_same(&wait->name, name))
            continue;
        futex_rouse(state, wait);
        woken++;
    }
    return woken;
}

int64_t futex_wake_others(struct linux_state *state, uint64_t addr, int32_t most, uint32_t bitset)
{
    struct futex_name name;
    int32_t woken = 0;

    if (!state->common->processes->next_process)
        return 0; /* there is no other */
    name = futex_name_of(state, addr);
    for (struct linux_state *of = state->common->processes; of && name.is_shared;
         of = of->next_process)
        for (unsigned i = 0; i < FUTEX_QUEUES && of != state; i++)
            woken += wake_some(state, &of->futexes[i], &name, most - woken, bitset);
    return woken;
}
