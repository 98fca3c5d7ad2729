/* SPDX-License-Identifier: BSD-2-Clause */
/* What this machine offers, for embedders that ask before they make an engine. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>

#include "engine/measure.h"
#include "engine/measure_cache.h"
#include "kvm/kvm.h"
#include "lib/sized.h"
#include "pool/pool.h"

static long read_number(const char *path)
{
    long number = 0;
    FILE *file = fopen(path, "re");

    if (!file)
        return 0;
    if (fscanf(file, "%ld", &number) != 1)
        number = 0;
    fclose(file);
    return number;
}

static bool offers_huge(void)
{
    struct pool pool;

    if (pool_create(&pool, 0, 1) < 0)
        return false;
    pool_make_huge(&pool, (struct units){0, 1});
    bool huge = pool_is_huge(&pool, (struct pool_offset){0});
    pool_destroy(&pool);
    return huge;
}

static void probe(struct ferry_machine *out)
{
    struct kvm kvm = {.fd = -1};
    struct costs costs;

    int result = kvm_open(&kvm, NULL, NULL);
    *out = (struct ferry_machine){.kvm_errno = -result,
                                  .kvm_api = result == 0 ? KVM_API_VERSION : 0,
                                  .huge = offers_huge(),
                                  .max_map_count = read_number("/proc/sys/vm/max_map_count")};
    if (result == 0 && measure_costs(&kvm, &costs) == 0) {
        out->exit_ns = costs.exit_ns;
        out->handover_ns = costs.handover_ns;
        out->touch_ns = costs.touch_ns;
        out->copy_ns = costs.copy_ns;
        out->unsure = costs.unsure;
        out->crossover_bytes = costs_crossover(&costs, out->huge);
    }
    kvm_close(&kvm);
}

int ferry_machine_probe_sized(struct ferry_machine *out, size_t out_bytes)
{
    struct ferry_machine found;

    int result = sized_check(out_bytes, FIRST_MACHINE);
    if (result < 0)
        return result;
    probe(&found);
    sized_give(out, out_bytes, &found, sizeof found);
    return 0;
}

int ferry_machine_keep_sized(const struct ferry_machine *machine, size_t machine_bytes,
                             const char *path, uint64_t *held_crossover)
{
    struct ferry_machine own;
    char key[MEASURE_KEY_BYTES];
    struct costs held;

    int result = sized_take(&own, sizeof own, FIRST_MACHINE, machine, machine_bytes);
    if (result < 0)
        return result;
    const struct costs costs = {.exit_ns = own.exit_ns,
                                .handover_ns = own.handover_ns,
                                .touch_ns = own.touch_ns,
                                .copy_ns = own.copy_ns};
    measure_cache_key(key, own.huge);
    *held_crossover = measure_cache_load(path, key, &held) ? costs_crossover(&held, own.huge) : 0;
    if (own.unsure)
        return -EBUSY;
    return measure_cache_store(path, key, &costs);
}
