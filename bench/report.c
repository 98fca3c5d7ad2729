/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables that people read: rows are sizes, columns are ways. */
#include <math.h>
#include <string.h>

#include "results.h"

#define LABEL_WIDTH  14
#define COLUMN_WIDTH 23
#define COLUMNS      4 /* at once: a table fits a terminal */

/* 12.3, 1.23, 0.012: three digits that say something. */
static void format_number(char text[24], double value)
{
    double size = fabs(value);
    int digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;

    snprintf(text, 24, "%.*f", digits, value);
}

static void print_cell(const struct spread *spread)
{
    char median[24], least[24], most[24], cell[96];

    format_number(median, spread->median);
    format_number(least, spread->least);
    format_number(most, spread->most);
    snprintf(cell, sizeof(cell), "%s (%s-%s)", median, least, most);
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
    for (guint i = 0; i < result->ways->len; i++) {
        const struct way_result *way = result->ways->pdata[i];
        double value[PERCENTILES];

        if (way_percentiles(way, value))
            printf("  %-14s %-30s p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f %s\n", result->label,
                   way->name, value[0], value[1], value[2], value[3], result->unit);
    }
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

static GPtrArray *rows_of(const struct bench *bench, const char *part)
{
    GPtrArray *rows = g_ptr_array_new();

    for (guint i = 0; i < bench->results->len; i++) {
        struct result *result = bench->results->pdata[i];

        if (strcmp(result->part, part) == 0)
            g_ptr_array_add(rows, result);
    }
    return rows;
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
        printf("  %-50s %10s %s\n", figure->name, value, figure->unit);
    }
}

void report_part(const struct bench *bench, const char *part)
{
    GPtrArray *rows = rows_of(bench, part);

    printf("%s: median of %u rounds (least-most)\n\n", part, bench->rounds);
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
