/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's side of a stream between two VMs, and setting it beside the other ways. */
#include "stream_vms.h"

#include <errno.h>
#include <stdio.h>
#include <sys/param.h>

#include "lines.h"
#include "vms.h"

/* Few enough to stay near the processor, and enough that both sides have work. */
#define CIRCULATING    (32u << 20)
#define MESSAGES_LEAST 2u
#define BATCH          (16u << 20) /* queued before the sender's VM is left */
#define BATCH_MESSAGES 32u         /* the same, of small messages */
/* A longer message goes piece by piece as it is filled, in every way alike, so that what is filled
 * is still near when it is read. */
#define PIECE_BYTES  (8u << 20)
#define EXTENTS      48u
#define PAGES        1024u
#define CALIBRATE_NS 5000000u

/* Ticks of the processor's clock in a millisecond. */
static double ticks_per_ms(void)
{
    static double kept;

    if (kept == 0) {
        uint64_t ns = bench_now_ns(), ticks = __builtin_ia32_rdtsc(), passed;

        while ((passed = bench_now_ns() - ns) < CALIBRATE_NS)
            ;
        kept = (double)(__builtin_ia32_rdtsc() - ticks) / (double)passed * 1e6;
    }
    return kept;
}

/* What the last run took. */
static struct {
    uint64_t exits, calls, shoot_downs, bytes;
} traffic;

static void traffic_note(struct vms *vms)
{
    struct ferry_vm_stats vm[2];
    struct ferry_link_stats link;

    for (int i = 0; i < 2; i++)
        ferry_vm_stats(vms_at(vms, i), &vm[i]);
    ferry_link_stats(vms_link_at(vms, 0, 1), &link);
    traffic.exits =
        vm[0].exits_immediate + vm[0].exits_natural + vm[1].exits_immediate + vm[1].exits_natural;
    traffic.calls = link.table_calls;
    traffic.shoot_downs = link.shoot_downs;
    traffic.bytes = link.bytes_handed_over + link.bytes_copied;
}

static void traffic_figure(struct bench *bench, const char *part, const char *label,
                           const char *what, uint64_t count)
{
    char name[80];

    snprintf(name, sizeof(name), "%s: %s", label, what);
    bench_figure(bench, part, name, (double)count / ((double)traffic.bytes / (1 << 20)), "per MiB");
}

static int set_up(struct vms *vms, const struct work *work, uint64_t ticks)
{
    const struct ferry_vm_config config = {.pool_extents = EXTENTS, .pool_pages = PAGES};
    const struct ferry_link_config stream = {.stream = true, .max_messages = 48};
    size_t circulating = MAX(CIRCULATING, MESSAGES_LEAST * work->bytes);
    size_t batch = MIN(BATCH, BATCH_MESSAGES * work->bytes);
    char send[128], receive[40];
    int result;

    snprintf(send, sizeof(send), "%zu %llu %d %zu %zu", work->bytes, (unsigned long long)ticks,
             work->honest, circulating, batch);
    snprintf(receive, sizeof(receive), "%zu %d", work->bytes, work->honest);
    if ((result = vms_add(vms, &config, "stream_send", send, 0)) < 0 ||
        (result = vms_add(vms, &config, "stream_recv", receive, 1)) < 0 ||
        (result = vms_link(vms, 0, 1, &stream)) < 0)
        return result;
    return vms_link(vms, 1, VMS_HOST, NULL);
}

/* struct way's run; arg is a struct work without transport. Gives GB/s. */
static int run_vms(struct bench *bench, const void *arg, struct sample *out)
{
    const struct ferry_engine_config config = {.pool_extents = 2 * EXTENTS,
                                               .pool_pages = 2 * PAGES};
    uint64_t ticks = (uint64_t)(ticks_per_ms() * (double)stream_duration_ns(bench) / 1e6);
    struct vms *vms = vms_new(bench, &config);
    struct stream_report report;
    int result = vms ? set_up(vms, arg, ticks) : -EIO;

    if (result == 0)
        result = vms_start(vms);
    if (result == 0)
        result = vms_receive(vms, 1, &report, sizeof(report));
    if (result == 0)
        result = vms_wait(vms);
    if (result == 0)
        traffic_note(vms);
    vms_free(vms);
    if (result != 0)
        return result;
    if (report.wrong)
        return -EBADMSG;
    out->value = (double)report.bytes / (double)report.ns;
    return 0;
}

void stream_compare(struct bench *bench, const char *part, const char *label,
                    const struct work *work, const struct named_transport *named, size_t count)
{
    const struct comparison comparison = {part, label, (double)work->bytes, "GB/s", false};
    struct work works[NAMED_MAX];
    struct way ways[NAMED_MAX + 3];
    struct work pieces = *work;
    bool in_pieces = work->honest && work->bytes > PIECE_BYTES;

    if (in_pieces)
        pieces.bytes = PIECE_BYTES;
    for (size_t i = 0; i < count; i++) {
        works[i] = pieces;
        works[i].transport = named[i].transport;
        ways[i] = (struct way){named[i].name, processes_run, &works[i]};
    }
    ways[count] = (struct way){WAY_MEMCPY, memcpy_run, &pieces};
    ways[count + 1] = (struct way){WAY_WHOLE, run_vms, work};
    ways[count + 1 + in_pieces] = (struct way){WAY_FERRY, run_vms, &pieces};
    traffic.bytes = 0;
    bench_compare(bench, &comparison, ways, count + 2 + in_pieces);
    if (traffic.bytes > 0) {
        traffic_figure(bench, part, label, "exits of both VMs", traffic.exits);
        traffic_figure(bench, part, label, "page-table calls", traffic.calls);
        traffic_figure(bench, part, label, "TLB shootdowns", traffic.shoot_downs);
    }
}
