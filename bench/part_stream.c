/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams of messages: the sender writes each cache line, the receiver reads each. */
#include <glib.h>

#include "results.h"
#include "stream_vms.h"

#define PART "stream"

#define PIPE      "Unix pipe"
#define PIPE_SPIN "Unix pipe, 1 MiB, spinning"
#define UNIX      "AF_UNIX stream"
#define UNIX_SPIN "AF_UNIX stream, spinning"
#define SEQ       "AF_UNIX seqpacket"
#define SEQ_SPIN  "AF_UNIX seqpacket, spinning"
#define SPLICE    "vmsplice"
#define READV     "process_vm_readv"
#define RING      "shared ring, copied in"
#define IDEAL     "shared ring, filled in place"

static const struct {
    const char *label;
    size_t bytes;
    bool quick;
} sizes[] = {
    {"64 B", 64, true},         {"512 B", 512, false},         {"4 KiB", 4 << 10, true},
    {"64 KiB", 64 << 10, true}, {"512 KiB", 512 << 10, false}, {"2 MiB", 2 << 20, true},
    {"8 MiB", 8 << 20, false},  {"32 MiB", 32 << 20, true},
};

static const char *const blocking[] = {PIPE};
static const char *const pipes[] = {PIPE, PIPE_SPIN};
static const char *const sockets[] = {UNIX, UNIX_SPIN, SEQ, SEQ_SPIN};
static const char *const ideal[] = {IDEAL};

static const struct ratio_column ratios[] = {
    {"Ferry to the blocking pipe", WAY_FERRY, blocking, G_N_ELEMENTS(blocking)},
    {"Ferry to the best pipe", WAY_FERRY, pipes, G_N_ELEMENTS(pipes)},
    {"Ferry to the best AF_UNIX", WAY_FERRY, sockets, G_N_ELEMENTS(sockets)},
    {"Ferry to the ring filled in place", WAY_FERRY, ideal, G_N_ELEMENTS(ideal)},
};

static const struct named_transport transports[] = {
    {PIPE, &transport_pipe},       {PIPE_SPIN, &transport_pipe_spinning},
    {UNIX, &transport_stream},     {UNIX_SPIN, &transport_stream_spinning},
    {SEQ, &transport_seqpacket},   {SEQ_SPIN, &transport_seqpacket_spinning},
    {SPLICE, &transport_vmsplice}, {READV, &transport_readv},
    {RING, &transport_ring},       {IDEAL, &transport_ring_in_place},
};

void part_stream(struct bench *bench)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        const struct work work = {.bytes = sizes[i].bytes, .honest = true};

        if (sizes[i].quick || !bench_quick(bench))
            stream_compare(bench, PART, sizes[i].label, &work, transports,
                           G_N_ELEMENTS(transports));
    }
    bench_ratios(bench, PART, ratios, G_N_ELEMENTS(ratios));
}
