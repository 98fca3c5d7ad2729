/* SPDX-License-Identifier: BSD-2-Clause */
/* The hand-over alone: the sender writes nothing, the receiver reads one word of each page. */
#include <glib.h>

#include "results.h"
#include "stream_vms.h"

#define PART   "handover"
#define SPLICE "vmsplice"
#define RING   "shared ring in place"

static const struct {
    const char *label;
    size_t bytes;
    bool quick;
} sizes[] = {
    {"4 KiB", 4 << 10, true},  {"64 KiB", 64 << 10, false}, {"2 MiB", 2 << 20, true},
    {"8 MiB", 8 << 20, false}, {"32 MiB", 32 << 20, true},
};

static const struct named_transport transports[] = {
    {SPLICE, &transport_vmsplice},
    {RING, &transport_ring_in_place},
};

static const char *const copying[] = {WAY_MEMCPY};
static const char *const splicing[] = {SPLICE};

static const struct ratio_column ratios[] = {
    {"Ferry to memcpy", WAY_FERRY, copying, G_N_ELEMENTS(copying)},
    {"Ferry to vmsplice", WAY_FERRY, splicing, G_N_ELEMENTS(splicing)},
};

void part_handover(struct bench *bench)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        const struct work work = {.bytes = sizes[i].bytes, .honest = false};

        if (sizes[i].quick || !bench_quick(bench))
            stream_compare(bench, PART, sizes[i].label, &work, transports,
                           G_N_ELEMENTS(transports));
    }
    bench_ratios(bench, PART, ratios, G_N_ELEMENTS(ratios));
}
