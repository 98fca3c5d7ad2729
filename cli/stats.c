/* SPDX-License-Identifier: BSD-2-Clause */
/* The figures of a pipeline; see stats.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <jansson.h>

#include "command.h"
#include "pipeline.h"
#include "stats.h"

static double seconds(const struct pipeline *p)
{
    return (double)(p->end_ns - p->start_ns) / 1e9;
}

/* Of this process: its own, and those that KVM served for guests by giving them memory. */
static uint64_t page_faults(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)(usage.ru_minflt + usage.ru_majflt) : 0;
}

/* ---- table ---------------------------------------------------------------- */

static void print_vms(FILE *out, const struct pipeline *p)
{
    fprintf(out, "%-20s %6s %15s %13s %10s %10s %13s\n", "VM", "status", "immediate exits",
            "natural exits", "sent", "received", "messages/exit");
    for (size_t i = 0; i < p->count; i++) {
        const struct ferry_vm_stats *s = &p->stages[i].stats;
        uint64_t exits = s->exits_immediate + s->exits_natural;

        fprintf(out, "%-20s %6d %15" PRIu64 " %13" PRIu64 " %10" PRIu64 " %10" PRIu64 " %13.2f\n",
                p->stages[i].name, p->stages[i].exit.status, s->exits_immediate, s->exits_natural,
                s->messages_sent, s->messages_received,
                exits ? (double)(s->messages_sent + s->messages_received) / (double)exits : 0.0);
    }
}

static void print_costs(FILE *out, const struct pipeline *p)
{
    fprintf(out, "%-20s %8s %6s %9s %10s %6s %8s %6s %6s %12s %6s %14s %5s\n", "exits by cause",
            "syscalls", "calls", "doorbells", "exceptions", "MMIO", "refused", "kicks", "others",
            "guest faults", "slots", "mapping calls", "CPUs");
    for (size_t i = 0; i < p->count; i++) {
        const struct ferry_vm_stats *s = &p->stages[i].stats;

        fprintf(out,
                "%-20s %8" PRIu64 " %6" PRIu64 " %9" PRIu64 " %10" PRIu64 " %6" PRIu64 " %8" PRIu64
                " %6" PRIu64 " %6" PRIu64 " %12" PRIu64 " %6" PRIu64 " %14" PRIu64 " %5" PRIu64
                "\n",
                p->stages[i].name, s->exits_syscall, s->exits_call, s->exits_doorbell,
                s->exits_exception, s->exits_mmio, s->exits_refused, s->exits_kick, s->exits_other,
                s->guest_faults, s->memory_slots, s->mapping_calls, s->cpus);
    }
}

static void print_links(FILE *out, const struct pipeline *p)
{
    fprintf(out, "%-20s %8s %14s %14s %10s %8s %8s %8s %18s\n", "link", "messages", "handed over",
            "copied", "inline", "4K", "2M", "updates", "TLB shootdowns/MiB");
    for (size_t i = 0; i <= p->count; i++) {
        const struct ferry_link_stats *s = &p->link_stats[i];
        double mib = (double)s->bytes_handed_over / (double)(1 << 20);
        char ends[72];

        snprintf(ends, sizeof(ends), "%s > %s", s->from, s->to);
        fprintf(out,
                "%-20s %8" PRIu64 " %14" PRIu64 " %14" PRIu64 " %10" PRIu64 " %8" PRIu64
                " %8" PRIu64 " %8" PRIu64 " %18.3f\n",
                ends, s->messages, s->bytes_handed_over, s->bytes_copied, s->bytes_inline,
                s->pages_4k, s->extents_2m, s->table_calls,
                mib > 0 ? (double)s->shoot_downs / mib : 0.0);
    }
    fprintf(out,
            "copied: bytes that Ferry copied, counted at each copy: out of a program's write, on "
            "to the receiver, into its read\n");
}

static void print_table(FILE *out, const struct pipeline *p)
{
    double time = seconds(p);

    fprintf(out, "%.3f s, %" PRIu64 " bytes in, %" PRIu64 " bytes out, %.3f GB/s\n", time,
            p->input.bytes, p->output.bytes, time > 0 ? (double)p->input.bytes / time / 1e9 : 0.0);
    print_vms(out, p);
    print_costs(out, p);
    print_links(out, p);
    fprintf(out, "page faults of this process: %" PRIu64 "\n", page_faults());
    fprintf(out,
            "ledger: %" PRIu64 " extents, %" PRIu64 " owned, %" PRIu64 " lent, %" PRIu64
            " leaked\n",
            p->ledger.extents, p->ledger.owned, p->ledger.lent, p->ledger.leaked);
}

void stats_print_table(const struct pipeline *p)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    if (!out)
        return;
    print_table(out, p);
    if (fclose(out) == 0)
        say_text(text, bytes);
    free(text);
}

/* ---- JSON ----------------------------------------------------------------- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static void add_costs(json_t *vm, const struct ferry_vm_stats *s)
{
    json_object_set_new(vm, "exits_syscall", number(s->exits_syscall));
    json_object_set_new(vm, "exits_call", number(s->exits_call));
    json_object_set_new(vm, "exits_doorbell", number(s->exits_doorbell));
    json_object_set_new(vm, "exits_exception", number(s->exits_exception));
    json_object_set_new(vm, "exits_mmio", number(s->exits_mmio));
    json_object_set_new(vm, "exits_refused", number(s->exits_refused));
    json_object_set_new(vm, "exits_kick", number(s->exits_kick));
    json_object_set_new(vm, "exits_other", number(s->exits_other));
    json_object_set_new(vm, "guest_faults", number(s->guest_faults));
    json_object_set_new(vm, "memory_slots", number(s->memory_slots));
    json_object_set_new(vm, "mapping_calls", number(s->mapping_calls));
    json_object_set_new(vm, "cpus", number(s->cpus));
}

static json_t *vm_json(const struct stage *stage)
{
    const struct ferry_vm_stats *s = &stage->stats;
    json_t *vm = json_object();

    json_object_set_new(vm, "name", json_string(stage->name));
    json_object_set_new(vm, "exit_status", json_integer(stage->exit.status));
    json_object_set_new(vm, "exits_immediate", number(s->exits_immediate));
    json_object_set_new(vm, "exits_natural", number(s->exits_natural));
    json_object_set_new(vm, "messages_sent", number(s->messages_sent));
    json_object_set_new(vm, "messages_received", number(s->messages_received));
    add_costs(vm, s);
    return vm;
}

static json_t *link_json(const struct ferry_link_stats *s)
{
    json_t *link = json_object();

    json_object_set_new(link, "from", json_string(s->from));
    json_object_set_new(link, "to", json_string(s->to));
    json_object_set_new(link, "messages", number(s->messages));
    json_object_set_new(link, "bytes_handed_over", number(s->bytes_handed_over));
    json_object_set_new(link, "bytes_copied", number(s->bytes_copied));
    json_object_set_new(link, "bytes_inline", number(s->bytes_inline));
    json_object_set_new(link, "pages_4k", number(s->pages_4k));
    json_object_set_new(link, "extents_2m", number(s->extents_2m));
    json_object_set_new(link, "table_calls", number(s->table_calls));
    json_object_set_new(link, "shoot_downs", number(s->shoot_downs));
    json_object_set_new(link, "bytes_cleared", number(s->bytes_cleared));
    return link;
}

static json_t *ledger_json(const struct ferry_ledger *l)
{
    json_t *ledger = json_object();

    json_object_set_new(ledger, "extents", number(l->extents));
    json_object_set_new(ledger, "owned", number(l->owned));
    json_object_set_new(ledger, "lent", number(l->lent));
    json_object_set_new(ledger, "leaked", number(l->leaked));
    return ledger;
}

void stats_print_json(const struct pipeline *p)
{
    json_t *root = json_object();
    json_t *vms = json_array();
    json_t *links = json_array();

    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(vms, vm_json(&p->stages[i]));
    for (size_t i = 0; i <= p->count; i++)
        json_array_append_new(links, link_json(&p->link_stats[i]));
    json_object_set_new(root, "seconds", json_real(seconds(p)));
    json_object_set_new(root, "bytes_in", number(p->input.bytes));
    json_object_set_new(root, "bytes_out", number(p->output.bytes));
    json_object_set_new(root, "page_faults", number(page_faults()));
    json_object_set_new(root, "vms", vms);
    json_object_set_new(root, "links", links);
    json_object_set_new(root, "ledger", ledger_json(&p->ledger));

    char *text = json_dumps(root, JSON_REAL_PRECISION(9));
    if (text) {
        char *line = g_strconcat(text, "\n", NULL);
        say_text(line, strlen(line));
        g_free(line);
        free(text);
    } else {
        say("out of memory for --stats=json; make memory free and try again");
    }
    json_decref(root);
}
