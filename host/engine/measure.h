/* SPDX-License-Identifier: BSD-2-Clause */
/* Measures the costs of hand-overs and copies on this machine. */
#ifndef FERRY_HOST_MEASURE_H
#define FERRY_HOST_MEASURE_H

#include <ferry/ferry.h>

#include "engine/costs.h"
#include "kvm/kvm.h"
#include "pool/pool.h"

/* Measures. If /dev/kvm is not open, the host touches instead of a VM. This takes some
 * milliseconds, during which another thread keeps another core busy. */
int measure_costs(const struct kvm *kvm, struct costs *out);

/* Fills what an engine with this pool tells. The costs are read from the file at cache_path (NULL:
 * there is none), or measured and then kept there. */
int measure_info(const struct kvm *kvm, struct pool *pool, const char *cache_path,
                 struct ferry_engine_info *info);

#endif
