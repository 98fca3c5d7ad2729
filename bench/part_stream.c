/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams of messages: the sender writes each cache line, the receiver reads each. */
#include <errno.h>
#include <stdio.h>

#include <glib.h>

#include "lines.h"
#include "processes.h"
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
#define MEMCPY    "memcpy in one process"

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
    {"Ferry to the blocking pipe", FERRY_WAY, blocking, G_N_ELEMENTS(blocking)},
    {"Ferry to the best pipe", FERRY_WAY, pipes, G_N_ELEMENTS(pipes)},
    {"Ferry to the best AF_UNIX", FERRY_WAY, sockets, G_N_ELEMENTS(sockets)},
    {"Ferry to the ring filled in place", FERRY_WAY, ideal, G_N_ELEMENTS(ideal)},
};

static void compare(struct bench *bench, const char *label, size_t bytes)
{
    const struct comparison comparison = {PART, label, (double)bytes, "GB/s", false};
    const struct {
        const char *name;
        const struct transport *transport;
    } ways_by[] = {
        {PIPE, &transport_pipe},       {PIPE_SPIN, &transport_pipe_spinning},
        {UNIX, &transport_stream},     {UNIX_SPIN, &transport_stream_spinning},
        {SEQ, &transport_seqpacket},   {SEQ_SPIN, &transport_seqpacket_spinning},
        {SPLICE, &transport_vmsplice}, {READV, &transport_readv},
        {RING, &transport_ring},       {IDEAL, &transport_ring_in_place},
    };
    struct work work[G_N_ELEMENTS(ways_by) + 1];
    struct way ways[G_N_ELEMENTS(ways_by) + 2];
    size_t count = 0;

    for (; count < G_N_ELEMENTS(ways_by); count++) {
        work[count] = (struct work){ways_by[count].transport, bytes, true};
        ways[count] = (struct way){ways_by[count].name, processes_run, &work[count]};
    }
    work[count] = (struct work){NULL, bytes, true};
    ways[count] = (struct way){MEMCPY, memcpy_run, &work[count]};
    ways[count + 1] = (struct way){FERRY_WAY, stream_vms_run, &work[count]};
    bench_compare(bench, &comparison, ways, count + 2);
}

void part_stream(struct bench *bench)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++)
        if (sizes[i].quick || !bench_quick(bench))
            compare(bench, sizes[i].label, sizes[i].bytes);
    bench_ratios(bench, PART, ratios, G_N_ELEMENTS(ratios));
}
