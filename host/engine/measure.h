/* SPDX-License-Identifier: BSD-2-Clause */
/* What exit, hand-over, first touch and copy cost on this machine, and the crossover that follows. */
#ifndef FERRY_HOST_MEASURE_H
#define FERRY_HOST_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include <ferry/ferry.h>

#include "engine/measure_cache.h"
#include "kvm/kvm.h"
#include "pool/pool.h"

/* If /dev/kvm is not open, the host touches, in place of a VM. Some milliseconds, during which
 * another thread keeps another core busy. */
int measure_costs(const struct kvm *kvm, struct costs *out);

/* The length up to which a payload is cheaper to copy; at most an extent. From VM to VM: with
 * the host at one end a loan costs less, but so does the copy, which then fills the cache that
 * its reader uses. */
uint64_t measure_crossover(const struct costs *costs, bool huge);

/* All that an engine with this pool tells: costs as the file at cache_path (NULL: there is none) has
 * them, or measured, and then kept there. */
int measure_info(const struct kvm *kvm, struct pool *pool, const char *cache_path,
                 struct ferry_engine_info *info);

#endif
