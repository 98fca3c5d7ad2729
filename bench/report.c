/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables that people read: rows are sizes, columns are ways. */
#include <math.h>
#include <string.h>

#include "results.h"

#define LABEL_WIDTH      14
#define COLUMN_WIDTH     20
#define WAY_WIDTH        50
#define FIGURE_WIDTH     70
#define NUMBER_WIDTH     10
#define MOST_AFTER_POINT 6
#define COLUMNS          4 /* at once: a table has 100 columns */

/* 123, 12.3, 0.0123: as many digits that say something, before the point all. */
static void format_digits(char text[24], double value, int digits)
{
    int after = digits - 1; /* the point */

    for (double size = fabs(value); size >= 10 && after > 0; size /= 10)
        after--;
    for (double size = fabs(value); size > 0 && size < 1 && after < MOST_AFTER_POINT; size *= 10)
        after++;
    snprintf(text, 24, "%.*f", value == 0 ? 0 : after, value);
}

static void format_number(char text[24], double value)
{
    format_digits(text, value, 3);
}

static void print_cell(const struct spread *spread)
{
    char median[24], least[24], most[24], cell[96];

    format_number(median, spread->median);
    /* The spread gives up a digit where the cell would be too wide. */
    for (int digits = 3, width = COLUMN_WIDTH + 1; digits > 0 && width > COLUMN_WIDTH; digits--) {
        format_digits(least, spread->least, digits);
        format_digits(most, spread->most, digits);
        width = snprintf(cell, sizeof(cell), "%s (%s-%s)", median, least, most);
    }
    printf(" %*s", COLUMN_WIDTH, cell);
}

static void print_none(const char *why)
{
    printf(" %*s", COLUMN_WIDTH, why);
}

/* A title that is too long for its column goes on below: the words of `titles`, line by line. */
static void print_titles(const char *corner, const char *const *titles, size_t count)
{
    char **rest = g_new0(char *, count);
    bool more = true;

    for (size_t i = 0; i < count; i++)
        rest[i] = g_strdup(titles[i]);
    for (bool first = true; more; first = false) {
        more = false;
        printf("  %-*s", LABEL_WIDTH, first ? corner : "");
        for (size_t i = 0; i < count; i++) {
            size_t cut = strlen(rest[i]);

            if (cut > COLUMN_WIDTH) {
                cut = COLUMN_WIDTH;
                while (cut > 1 && rest[i][cut] != ' ')
                    cut--;
                more = true;
            }
            printf(" %*.*s", COLUMN_WIDTH, (int)cut, rest[i]);
            char *next = g_strdup(g_strchug(rest[i] + cut));

            g_free(rest[i]);
            rest[i] = next;
        }
        putchar('\n');
    }
    for (size_t i = 0; i < count; i++)
        g_free(rest[i]);
    g_free(rest);
}

static void print_row(const struct result *result, guint from, guint to)
{
    printf("  %-*s", LABEL_WIDTH, result->label);
    for (guint i = from; i < to; i++) {
        const struct way_result *way = result->ways->pdata[i];
        struct spread spread;

        if (way_spread(way, &spread))
            print_cell(&spread);
        else
            print_none(way->error ? "not here" : "-");
    }
    putchar('\n');
}

/* Of one row, where its ways have them. */
static void print_percentiles(const struct result *result)
{
    static const char *const titles[PERCENTILES] = {"p50", "p90", "p99", "p99.9"};
    bool begun = false;

    for (guint i = 0; i < result->ways->len; i++) {
        const struct way_result *way = result->ways->pdata[i];
        double values[PERCENTILES];

        if (!way_percentiles(way, values))
            continue;
        if (!begun) {
            printf("  %s, %-*s", result->unit, WAY_WIDTH - (int)strlen(result->unit) - 2,
                   result->label);
            for (int which = 0; which < PERCENTILES; which++)
                printf(" %*s", NUMBER_WIDTH, titles[which]);
            putchar('\n');
        }
        begun = true;
        printf("  %-*s", WAY_WIDTH, way->name);
        for (int which = 0; which < PERCENTILES; which++) {
            char text[24];

            format_number(text, values[which]);
            printf(" %*s", NUMBER_WIDTH, text);
        }
        putchar('\n');
    }
    if (begun)
        putchar('\n');
}

static bool same_ways(const struct result *a, const struct result *b)
{
    if (a->ways->len != b->ways->len || strcmp(a->unit, b->unit) != 0)
        return false;
    for (guint i = 0; i < a->ways->len; i++)
        if (strcmp(((const struct way_result *)a->ways->pdata[i])->name,
                   ((const struct way_result *)b->ways->pdata[i])->name) != 0)
            return false;
    return true;
}

/* The rows [from, to) have the same ways. */
static void print_table(struct result *const *rows, size_t count)
{
    guint ways = rows[0]->ways->len;

    for (guint from = 0; from < ways; from += COLUMNS) {
        guint to = MIN(from + COLUMNS, ways);
        const char *titles[COLUMNS];

        for (guint i = from; i < to; i++)
            titles[i - from] = ((const struct way_result *)rows[0]->ways->pdata[i])->name;
        print_titles(rows[0]->unit, titles, to - from);
        for (size_t row = 0; row < count; row++)
            print_row(rows[row], from, to);
        putchar('\n');
    }
    for (size_t row = 0; row < count; row++)
        print_percentiles(rows[row]);
}

static void print_ratios(const struct bench *bench, const struct ratio_table *table,
                         const GPtrArray *rows)
{
    const char *titles[COLUMNS];
    size_t count = MIN(table->count, COLUMNS);

    for (size_t i = 0; i < count; i++)
        titles[i] = table->columns[i].title;
    print_titles("ratio", titles, count);
    for (guint row = 0; row < rows->len; row++) {
        const struct result *result = rows->pdata[row];

        printf("  %-*s", LABEL_WIDTH, result->label);
        for (size_t i = 0; i < count; i++) {
            const struct ratio_column *column = &table->columns[i];
            struct spread spread;

            if (bench_ratio(bench, table->part, result->label, column->way, column->against,
                            column->count, &spread))
                print_cell(&spread);
            else
                print_none("-");
        }
        putchar('\n');
    }
    putchar('\n');
}

static void print_figures(const struct bench *bench, const char *part)
{
    for (guint i = 0; i < bench->figures->len; i++) {
        const struct figure *figure = bench->figures->pdata[i];
        char value[24];

        if (strcmp(figure->part, part) != 0)
            continue;
        format_number(value, figure->value);
        printf("  %-*s %*s %s\n", FIGURE_WIDTH, figure->name, NUMBER_WIDTH, value, figure->unit);
    }
}

void report_part(const struct bench *bench, const char *part)
{
    GPtrArray *rows = bench_rows(bench, part);

    printf("%s: median of %u round%s (least-most)\n\n", part, bench->rounds,
           bench->rounds == 1 ? "" : "s");
    for (guint from = 0, to; from < rows->len; from = to) {
        for (to = from + 1; to < rows->len && same_ways(rows->pdata[from], rows->pdata[to]);)
            to++;
        print_table((struct result *const *)rows->pdata + from, to - from);
    }
    for (guint i = 0; i < bench->ratios->len; i++) {
        const struct ratio_table *table = &g_array_index(bench->ratios, struct ratio_table, i);

        if (strcmp(table->part, part) == 0)
            print_ratios(bench, table, rows);
    }
    print_figures(bench, part);
    putchar('\n');
    g_ptr_array_free(rows, TRUE);
    fflush(stdout);
}

static double microseconds(const json_t *machine, const char *key)
{
    return (double)json_integer_value(json_object_get(machine, key)) / 1000;
}

static const char *text_of(const json_t *machine, const char *key)
{
    const char *text = json_string_value(json_object_get(machine, key));

    return text ? text : "unknown";
}

void report_machine(void)
{
    json_t *machine = machine_json();

    printf("machine: %s, %" JSON_INTEGER_FORMAT " cores, Linux %s, Ferry %s\n",
           text_of(machine, "cpu"), json_integer_value(json_object_get(machine, "cores")),
           text_of(machine, "kernel"), text_of(machine, "ferry_version"));
    printf(
        "  VM exit %.1f us; of 2 MiB: hand-over %.1f us, copy %.1f us; crossover %.0f KiB; %s\n\n",
        microseconds(machine, "exit_ns"), microseconds(machine, "handover_ns"),
        microseconds(machine, "copy_ns"),
        json_number_value(json_object_get(machine, "crossover_bytes")) / 1024,
        json_is_true(json_object_get(machine, "huge")) ? "huge pages" : "no huge pages");
    fflush(stdout);
    json_decref(machine);
}
