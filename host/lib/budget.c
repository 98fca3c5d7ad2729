/* SPDX-License-Identifier: BSD-2-Clause */
/* Divides the mappings and descriptors of the process among VMs. */
#include "lib/budget.h"

#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MAPPINGS 65530 /* the kernel's own default, where it does not tell */
#define KEPT_MAPPINGS    1024  /* for the embedder, and for what VMs take besides */
#define LEAST_FILES_KEPT 8
#define MOST_FILES_KEPT  256

void budget_init(struct budget *budget, uint32_t whole, uint32_t most)
{
    *budget = (struct budget){.whole = whole, .most = most};
    lock_init(&budget->lock, LOCK_LEAF);
}

void budget_fini(struct budget *budget)
{
    lock_fini(&budget->lock);
}

/* The floor for so many VMs that have so much of their own, which is at most the whole. */
static uint32_t floor_for(const struct budget *budget, uint32_t count, uint64_t own)
{
    uint32_t each = (uint32_t)(budget->whole - own) / 4 / (count ? count : 1);

    return each < budget->most ? each : budget->most;
}

static uint32_t beyond(uint32_t used, uint32_t floor)
{
    return used > floor ? used - floor : 0;
}

static uint64_t borrowed_with(const struct budget *budget, uint32_t floor)
{
    lock_assert_held(&budget->lock);
    uint64_t borrowed = 0;

    for (const struct budget_share *share = budget->shares; share; share = share->next)
        borrowed += beyond(share->used, floor);
    return borrowed;
}

static bool may_borrow(const struct budget *budget, uint64_t borrowed)
{
    return borrowed <= (budget->whole - budget->own) / 2;
}

bool budget_join(struct budget *budget, struct budget_share *share, uint32_t own)
{
    bool joins = false;

    lock_take(&budget->lock);
    uint32_t count = budget->count + 1;
    uint64_t owns = budget->own + own;
    if (owns <= budget->whole) {
        uint32_t floor = floor_for(budget, count, owns);
        uint64_t borrowed = borrowed_with(budget, floor);
        /* There must be enough for the floors of all, and for the amounts they have beyond. */
        joins = owns + borrowed + (uint64_t)floor * count <= budget->whole;
        if (joins) {
            *share =
                (struct budget_share){.next = budget->shares, .link = &budget->shares, .own = own};
            if (share->next)
                share->next->link = &share->next;
            budget->shares = share;
            budget->count = count;
            budget->own = owns;
            budget->floor = floor;
            budget->borrowed = borrowed;
        }
    }
    lock_drop(&budget->lock);
    return joins;
}

/* Under the lock also the look at `link`, which a neighbour that comes or goes changes. */
void budget_leave(struct budget *budget, struct budget_share *share)
{
    lock_take(&budget->lock);
    if (share->link) {
        *share->link = share->next;
        if (share->next)
            share->next->link = share->link;
        share->link = NULL;
        budget->count--;
        budget->own -= share->own;
        budget->floor = floor_for(budget, budget->count, budget->own);
        budget->borrowed = borrowed_with(budget, budget->floor);
    }
    lock_drop(&budget->lock);
}

bool budget_set(struct budget *budget, struct budget_share *share, uint32_t used)
{
    lock_take(&budget->lock);
    uint64_t borrowed =
        budget->borrowed - beyond(share->used, budget->floor) + beyond(used, budget->floor);
    bool may = used <= share->used || used <= budget->floor || may_borrow(budget, borrowed);
    if (may) {
        budget->borrowed = borrowed;
        share->used = used;
    }
    lock_drop(&budget->lock);
    return may;
}

/* --- what there is ---------------------------------------------------------------- */

static uint32_t left(uint64_t all, uint64_t taken)
{
    /* A budget is never 0: if even this much is not there, the kernel refuses it. */
    uint64_t least = all / 16, rest = all > taken ? all - taken : 0;

    rest = rest > least ? rest : least;
    return rest < UINT32_MAX ? (uint32_t)rest : UINT32_MAX;
}

static uint64_t count_lines(const char *path)
{
    char text[4096];
    uint64_t lines = 0;
    ssize_t got;

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while ((got = read(fd, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < got; i++)
            lines += text[i] == '\n';
    close(fd);
    return lines;
}

static uint64_t read_limit(const char *path)
{
    char text[32] = "";
    ssize_t got = 0;

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        got = read(fd, text, sizeof text - 1);
        close(fd);
    }
    return got > 0 ? strtoull(text, NULL, 10) : DEFAULT_MAPPINGS;
}

/* Each unit of the pool is open in one window at most, so all windows together are never split
 * into more than two mappings for each unit, whoever lends what to whom. */
uint32_t budget_mappings(uint64_t pool_units)
{
    return left(read_limit("/proc/sys/vm/max_map_count"),
                count_lines("/proc/self/maps") + 2 * pool_units + KEPT_MAPPINGS);
}

static uint64_t list_open(void)
{
    uint64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");

    if (!directory)
        return 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* Linux 6.2 tells the number as the size of the directory, older kernels 0. */
static uint64_t count_open(void)
{
    struct stat st;

    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (uint64_t)st.st_size;
    return list_open();
}

uint32_t budget_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT32_MAX;
    uint64_t kept = limit.rlim_cur / 8;
    kept = kept < LEAST_FILES_KEPT ? LEAST_FILES_KEPT : kept;
    kept = kept > MOST_FILES_KEPT ? MOST_FILES_KEPT : kept;
    return left(limit.rlim_cur, count_open() + kept);
}
