/* SPDX-License-Identifier: BSD-2-Clause */
/* The plots, drawn by gnuplot: one line for each way. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "results.h"

#define COLOURS 8 /* that gnuplot has before it begins again */

struct plot {
    const char *part; /* and the name of its file */
    const char *title;
    const char *x_axis;
    bool percentiles; /* of the first row, instead of medians over x */
};

static const struct plot plots[] = {
    {"stream", "Throughput, every cache line written and read", "message", false},
    {"handover", "Throughput, one word read of each page", "message", false},
    {"crossover", "Copy, map and auto", "message", false},
    {"scale", "Cost over number of VMs", "VMs", false},
    {"latency", "Round trip of 64 bytes", "percentile", true},
};

/* Single quotes end a gnuplot string. */
static void put_text(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++)
        fputc(*text == '\'' ? ' ' : *text, out);
    fputc('\'', out);
}

static void put_over_x(FILE *out, const GPtrArray *rows, guint way)
{
    for (guint row = 0; row < rows->len; row++) {
        const struct result *result = rows->pdata[row];
        struct spread spread;

        if (way < result->ways->len && way_spread(result->ways->pdata[way], &spread))
            fprintf(out, "%.17g %.17g %.17g %.17g\n", result->x, spread.median, spread.least,
                    spread.most);
    }
}

static void put_percentiles(FILE *out, const struct way_result *way)
{
    double value[PERCENTILES];

    for (int i = 0; way_percentiles(way, value) && i < PERCENTILES; i++)
        fprintf(out, "%d %.17g\n", i, value[i]);
}

static void put_head(FILE *out, const struct plot *plot, const GPtrArray *rows, const char *path)
{
    const struct result *first = rows->pdata[0];

    fputs("set terminal svg size 900,540 dynamic background rgb 'white'\nset output ", out);
    put_text(out, path);
    fputs("\nset title ", out);
    put_text(out, plot->title);
    fputs("\nset xlabel ", out);
    put_text(out, plot->x_axis);
    fputs("\nset ylabel ", out);
    put_text(out, first->unit);
    fputs("\nset logscale y\nset grid\nset key outside right noenhanced\n", out);
    if (plot->percentiles) {
        fputs("set xrange [-0.2:3.2]\nset xtics ('50' 0, '90' 1, '99' 2, '99.9' 3)\n", out);
        return;
    }
    fputs("set logscale x\nset xtics rotate by -45 (", out);
    for (guint row = 0; row < rows->len; row++) {
        const struct result *result = rows->pdata[row];

        fputs(row ? ", " : "", out);
        put_text(out, result->label);
        fprintf(out, " %.17g", result->x);
    }
    fputs(")\n", out);
}

static bool has_line(const struct plot *plot, const struct way_result *way)
{
    double value[PERCENTILES];

    return way->samples->len > 0 && (!plot->percentiles || way_percentiles(way, value));
}

static void put_plot(FILE *out, const struct plot *plot, const GPtrArray *rows, const char *path)
{
    const struct result *first = rows->pdata[0];

    put_head(out, plot, rows, path);
    for (guint way = 0; way < first->ways->len; way++) {
        fprintf(out, "$way%u << EOD\n", way);
        if (plot->percentiles)
            put_percentiles(out, first->ways->pdata[way]);
        else
            put_over_x(out, rows, way);
        fputs("EOD\n", out);
    }
    fputs("plot ", out);
    for (guint way = 0, drawn = 0; way < first->ways->len; way++) {
        const struct way_result *kept = first->ways->pdata[way];

        if (!has_line(plot, kept))
            continue;
        fprintf(out, "%s$way%u using 1:2 with linespoints lw 2 dt %u title ", drawn++ ? ", " : "",
                way, way / COLOURS + 1);
        put_text(out, kept->name);
    }
    fputs("\n", out);
}

/* The rows of a part that share the unit and the ways of the first. */
static GPtrArray *rows_to_plot(const struct bench *bench, const char *part)
{
    GPtrArray *rows = g_ptr_array_new();

    for (guint i = 0; i < bench->results->len; i++) {
        struct result *result = bench->results->pdata[i];
        const struct result *first = rows->len ? rows->pdata[0] : result;

        if (strcmp(result->part, part) == 0 && strcmp(result->unit, first->unit) == 0 &&
            result->ways->len == first->ways->len)
            g_ptr_array_add(rows, result);
    }
    return rows;
}

static bool has_lines(const struct plot *plot, const GPtrArray *rows)
{
    const struct result *first = rows->len ? rows->pdata[0] : NULL;

    for (guint way = 0; first && way < first->ways->len; way++)
        if (has_line(plot, first->ways->pdata[way]))
            return true;
    return false;
}

int report_plots(const struct bench *bench, const char *directory)
{
    char *gnuplot = g_find_program_in_path("gnuplot");

    if (!gnuplot)
        return -ENOENT;
    g_free(gnuplot);
    if (g_mkdir_with_parents(directory, 0777) != 0)
        return -errno;
    signal(SIGPIPE, SIG_IGN); /* a gnuplot that ends early shows in its status */
    FILE *out = popen("gnuplot", "w");

    if (!out)
        return -errno;
    for (size_t i = 0; i < G_N_ELEMENTS(plots); i++) {
        GPtrArray *rows = rows_to_plot(bench, plots[i].part);

        if (has_lines(&plots[i], rows)) {
            char *path = g_strdup_printf("%s/%s.svg", directory, plots[i].part);

            fputs("reset\n", out);
            put_plot(out, &plots[i], rows, path);
            g_free(path);
        }
        g_ptr_array_free(rows, TRUE);
    }
    return pclose(out) == 0 ? 0 : -EIO;
}
