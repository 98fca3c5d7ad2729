/* SPDX-License-Identifier: BSD-2-Clause */
/* The regression guard: ratios that must not fall below a floor. */
#include <errno.h>
#include <string.h>

#include "results.h"

#define AGAINST_MAX 16

struct floor {
    const char *part, *label, *way;
    const char *against[AGAINST_MAX]; /* the best of these */
    size_t count;
    double at_least;
    bool low; /* when it was last looked at */
};

struct floors {
    json_t *root; /* holds the texts */
    struct floor *all;
    size_t count;
};

static bool read_against(struct floor *floor, const json_t *against)
{
    size_t i;
    json_t *name;

    if (json_is_string(against))
        floor->against[floor->count++] = json_string_value(against);
    json_array_foreach(against, i, name)
    {
        if (!json_is_string(name) || floor->count == AGAINST_MAX)
            return false;
        floor->against[floor->count++] = json_string_value(name);
    }
    return floor->count > 0;
}

static bool read_floor(struct floor *floor, json_t *entry)
{
    json_t *against;

    memset(floor, 0, sizeof(*floor));
    return json_unpack(entry, "{s:s, s:s, s:s, s:o, s:F}", "part", &floor->part, "label",
                       &floor->label, "way", &floor->way, "against", &against, "at_least",
                       &floor->at_least) == 0 &&
           read_against(floor, against);
}

/* A row that this run does not have, such as a size left out by --quick, is passed over; a way
 * that did not run has failed. */
static bool look(const struct bench *bench, struct floor *floor, struct spread *ratio)
{
    memset(ratio, 0, sizeof(*ratio));
    bool ran = bench_ratio(bench, floor->part, floor->label, floor->way, floor->against,
                           floor->count, ratio);

    floor->low = !ran || ratio->median < floor->at_least;
    return ran;
}

#define TRIES_MORE 2

/* Runs the rows with a floor that was not reached again: somebody else's work may have been in
 * the way. */
static void measure_again(struct bench *bench, struct floor *floors, size_t count,
                          void (*again)(struct bench *bench, const char *part))
{
    for (size_t i = 0; i < count; i++) {
        bool done = false;

        if (!floors[i].low)
            continue;
        for (size_t j = 0; j < i; j++)
            done |= floors[j].low && strcmp(floors[j].part, floors[i].part) == 0;
        if (done)
            continue;
        bench->only_part = floors[i].part;
        bench->only_labels = g_hash_table_new(g_str_hash, g_str_equal);
        for (size_t j = i; j < count; j++)
            if (floors[j].low && strcmp(floors[j].part, floors[i].part) == 0)
                g_hash_table_add(bench->only_labels, (void *)(uintptr_t)floors[j].label);
        again(bench, floors[i].part);
        g_hash_table_destroy(bench->only_labels);
        bench->only_part = NULL;
        bench->only_labels = NULL;
    }
}

static int check_all(struct bench *bench, struct floor *floors, size_t count,
                     void (*again)(struct bench *bench, const char *part))
{
    int failed = 0;
    struct spread ratio;

    for (int tries = 0; tries <= TRIES_MORE; tries++) {
        for (size_t i = 0; i < count; i++)
            look(bench, &floors[i], &ratio);
        if (tries < TRIES_MORE)
            measure_again(bench, floors, count, again);
    }
    printf("floors: what a ratio must reach\n\n");
    for (size_t i = 0; i < count; i++) {
        struct floor *floor = &floors[i];
        bool ran = look(bench, floor, &ratio);

        printf("  %-6s %-9s  %-12s %6.2f, at least %5.2f: %s against %s%s%s\n",
               floor->low ? "FAILED" : "ok", floor->part, floor->label, ratio.median,
               floor->at_least, floor->way, floor->count > 1 ? "the best of " : "",
               floor->against[0], ran ? "" : " (did not run)");
        failed += floor->low;
    }
    printf("\n%zu passed, %d failed\n", count - (size_t)failed, failed);
    return failed;
}

struct floors *floors_load(const char *path)
{
    struct floors *floors = g_new0(struct floors, 1);
    json_error_t error;
    size_t i;
    json_t *entry;

    floors->root = json_load_file(path, 0, &error);
    if (!json_is_array(floors->root)) {
        if (!floors->root && error.line < 1) /* not opened: the text names the file */
            fprintf(stderr, "ferry: bench: %s\n", error.text);
        else
            fprintf(stderr, "ferry: bench: %s: %s\n", path,
                    floors->root ? "not an array of floors" : error.text);
        floors_free(floors);
        return NULL;
    }
    floors->all = g_new0(struct floor, json_array_size(floors->root));
    json_array_foreach(floors->root, i, entry)
    {
        if (read_floor(&floors->all[i], entry))
            continue;
        fprintf(stderr,
                "ferry: bench: %s: floor %zu lacks a member, or has one that makes no "
                "sense\n",
                path, i + 1);
        floors_free(floors);
        return NULL;
    }
    floors->count = json_array_size(floors->root);
    return floors;
}

void floors_free(struct floors *floors)
{
    if (!floors)
        return;
    g_free(floors->all);
    json_decref(floors->root);
    g_free(floors);
}

int floors_check(struct bench *bench, struct floors *floors,
                 void (*again)(struct bench *bench, const char *part))
{
    struct floor *wanted = g_new0(struct floor, floors->count);
    size_t count = 0;
    int failed;

    for (size_t i = 0; i < floors->count; i++)
        if (bench_find(bench, floors->all[i].part, floors->all[i].label))
            wanted[count++] = floors->all[i];
    failed = check_all(bench, wanted, count, again);
    g_free(wanted);
    return failed;
}
