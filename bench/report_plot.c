/* SPDX-License-Identifier: BSD-2-Clause */
/* The plots, drawn by gnuplot. Ferry's lines are thick and of warm colours. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "results.h"

enum shape {
    SHAPE_OVER_X,      /* a line for each way, rows side by side */
    SHAPE_PERCENTILES, /* a line for each way, of the first row */
    SHAPE_BESIDE,      /* points for each row, ways one below the other */
};

struct plot {
    const char *part; /* and the name of its file */
    enum shape shape;
    const char *title, *x_title, *y_title;
};

static const struct plot plots[] = {
    {"stream", SHAPE_OVER_X, "Stream: every cache line written and read", "size of a message",
     "throughput (GB/s)"},
    {"handover", SHAPE_OVER_X, "Hand-over alone: one word read of each 4 KiB page",
     "size of a message", "throughput (GB/s)"},
    {"crossover", SHAPE_OVER_X, "Copy, map, and what auto chooses", "size of a piece",
     "time of a piece (µs)"},
    {"scale", SHAPE_OVER_X, "Many VMs in one process", "number of VMs", "time of a message (µs)"},
    {"latency", SHAPE_PERCENTILES, "Round trip of 64 bytes, two cores",
     "percentile of the round trips", "round trip (µs)"},
    {"messages", SHAPE_BESIDE, "Messages of 32 bytes, one way", "million messages a second", NULL},
    {"pipeline", SHAPE_BESIDE, "Whole commands over a file in the page cache", "throughput (GB/s)",
     NULL},
};

/* Single quotes end a gnuplot string. */
static void put_text(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++)
        fputc(*text == '\'' ? ' ' : *text, out);
    fputc('\'', out);
}

static void put_setting(FILE *out, const char *what, const char *text)
{
    fprintf(out, "set %s ", what);
    put_text(out, text);
    fputc('\n', out);
}

/* ---- colours ------------------------------------------------------------ */

/* The part of a name before its first comma: variants of one thing share a colour. */
static size_t family_length(const char *name)
{
    return strcspn(name, ",");
}

static bool same_family(const char *a, const char *b)
{
    return family_length(a) == family_length(b) && strncmp(a, b, family_length(a)) == 0;
}

static bool is_ferry(const char *name)
{
    return g_str_has_prefix(name, "Ferry");
}

/* How the line of ways[which] looks. */
static void put_look(FILE *out, const GPtrArray *ways, guint which)
{
    static const char *const warm[] = {"#d7191c", "#f58518", "#8e0152",
                                       "#e7298a", "#8c510a", "#e6ab02"};
    static const char *const cool[] = {"#1f78b4", "#33a02c", "#000000", "#7f7f7f",
                                       "#41b6c4", "#5e4fa2", "#a6761d"};
    const char *name = ways->pdata[which];
    guint families = 0, ferries = 0, variant = 0;

    for (guint i = 0; i < which; i++) {
        const char *other = ways->pdata[i];
        bool first = true;

        for (guint j = 0; j < i; j++)
            first &= !same_family(other, ways->pdata[j]);
        ferries += is_ferry(other);
        families += !is_ferry(other) && first && !same_family(other, name);
        variant += same_family(other, name);
    }
    if (is_ferry(name))
        fprintf(out, "lw 3 ps 0.9 lc rgb '%s' dt 1 pt %u", warm[ferries % G_N_ELEMENTS(warm)],
                5 + 2 * (ferries % 6));
    else
        fprintf(out, "lw 1.5 ps 0.7 lc rgb '%s' dt %u pt %u", cool[families % G_N_ELEMENTS(cool)],
                variant + 1, 4 + 2 * (families % 6));
}

/* ---- data --------------------------------------------------------------- */

/* The ways of all rows, in their order, each once. */
static GPtrArray *names_of_ways(const GPtrArray *rows)
{
    GPtrArray *names = g_ptr_array_new();

    for (guint row = 0; row < rows->len; row++) {
        const struct result *result = rows->pdata[row];

        for (guint i = 0; i < result->ways->len; i++) {
            const struct way_result *way = result->ways->pdata[i];

            if (!g_ptr_array_find_with_equal_func(names, way->name, g_str_equal, NULL))
                g_ptr_array_add(names, way->name);
        }
    }
    return names;
}

/* Each writes one block and returns its lines. */

static unsigned put_over_x(FILE *out, const GPtrArray *rows, const char *name)
{
    unsigned lines = 0;

    for (guint row = 0; row < rows->len; row++) {
        const struct result *result = rows->pdata[row];
        struct spread spread;

        if (!way_spread(result_way(result, name), &spread))
            continue;
        fprintf(out, "%.17g %.17g %.17g %.17g\n", result->x, spread.median, spread.least,
                spread.most);
        lines++;
    }
    return lines;
}

static unsigned put_percentiles(FILE *out, const struct result *result, const char *name)
{
    const struct way_result *way = result_way(result, name);
    double value[PERCENTILES];

    if (!way || !way_percentiles(way, value))
        return 0;
    for (int i = 0; i < PERCENTILES; i++)
        fprintf(out, "%d %.17g\n", i, value[i]);
    return PERCENTILES;
}

/* Rows a little below each other, so that none hides another. */
static unsigned put_beside(FILE *out, const GPtrArray *rows, guint row, const GPtrArray *names)
{
    const struct result *result = rows->pdata[row];
    double below = 0.15 * (row - (rows->len - 1) / 2.0);
    unsigned lines = 0;

    for (guint i = 0; i < names->len; i++) {
        struct spread spread;

        if (!way_spread(result_way(result, names->pdata[i]), &spread))
            continue;
        fprintf(out, "%.17g %.17g %.17g %.17g\n", spread.median, i + below, spread.least,
                spread.most);
        lines++;
    }
    return lines;
}

/* ---- a plot ------------------------------------------------------------- */

static void put_axes(FILE *out, const struct plot *plot, const GPtrArray *rows,
                     const GPtrArray *names)
{
    const struct result *first = rows->pdata[0], *last = rows->pdata[rows->len - 1];
    const char *separator = "";

    if (plot->shape == SHAPE_PERCENTILES) {
        fputs("set logscale y\nset xrange [-0.15:3.15]\n"
              "set xtics ('50' 0, '90' 1, '99' 2, '99.9' 3)\n",
              out);
        return;
    }
    fputs(plot->shape == SHAPE_BESIDE ? "set ytics (" : "set logscale xy\nset xtics (", out);
    for (guint row = 0; plot->shape == SHAPE_OVER_X && row < rows->len; row++, separator = ", ") {
        const struct result *result = rows->pdata[row];

        fputs(separator, out);
        put_text(out, result->label);
        fprintf(out, " %.17g", result->x);
    }
    for (guint i = 0; plot->shape == SHAPE_BESIDE && i < names->len; i++, separator = ", ") {
        fputs(separator, out);
        put_text(out, names->pdata[i]);
        fprintf(out, " %u", i);
    }
    fputs(")\n", out);
    if (plot->shape == SHAPE_OVER_X)
        fprintf(out, "set xrange [%.17g:%.17g]\n", first->x / 1.4, last->x * 1.4);
    else
        fprintf(out, "set logscale x\nset yrange [%u.5:-0.5]\n%s", names->len - 1,
                rows->len > 1 ? "" : "unset key\n");
}

static void put_head(FILE *out, const struct plot *plot)
{
    fputs("reset\nset encoding utf8\n"
          "set terminal svg size 1080,520 dynamic noenhanced "
          "font 'Helvetica,15' background rgb 'white'\n"
          "set border 3 lc rgb '#404040'\nset tics nomirror\nset format '%g'\n"
          "set grid lw 1 lt 1 lc rgb '#dddddd'\nset bars 0.4\n"
          "set key outside right center Left reverse samplen 2.5 spacing 1.15\n",
          out);
    put_setting(out, "title", plot->title);
    put_setting(out, "xlabel", plot->x_title);
    if (plot->y_title)
        put_setting(out, "ylabel", plot->y_title);
}

static void put_lines(FILE *out, const struct plot *plot, const GPtrArray *rows,
                      const GPtrArray *names, const char *path)
{
    static const char *const with[] = {
        [SHAPE_OVER_X] = "using 1:2:3:4 with yerrorlines",
        [SHAPE_PERCENTILES] = "using 1:2 with linespoints",
        [SHAPE_BESIDE] = "using 1:2:3:4 with xerrorbars",
    };
    guint count = plot->shape == SHAPE_BESIDE ? rows->len : names->len;
    GArray *drawn = g_array_new(FALSE, FALSE, sizeof(guint));

    for (guint i = 0; i < count; i++) {
        fprintf(out, "$data%u << EOD\n", i);
        if (plot->shape == SHAPE_BESIDE   ? put_beside(out, rows, i, names)
            : plot->shape == SHAPE_OVER_X ? put_over_x(out, rows, names->pdata[i])
                                          : put_percentiles(out, rows->pdata[0], names->pdata[i]))
            g_array_append_val(drawn, i);
        fputs("EOD\n", out);
    }
    if (drawn->len > 0) /* this makes the file */
        put_setting(out, "output", path);
    for (guint i = 0; i < drawn->len; i++) {
        guint which = g_array_index(drawn, guint, i);

        fprintf(out, "%s$data%u %s ", i ? ", " : "plot ", which, with[plot->shape]);
        if (plot->shape == SHAPE_BESIDE)
            fprintf(out, "lw 2 ps 1.1 pt %u title ", 5 + 2 * which);
        else
            put_look(out, names, which);
        fputs(plot->shape == SHAPE_BESIDE ? "" : " title ", out);
        put_text(out, plot->shape == SHAPE_BESIDE
                          ? ((const struct result *)rows->pdata[which])->label
                          : (const char *)names->pdata[which]);
    }
    fputc('\n', out);
    g_array_free(drawn, TRUE);
}

/* The rows of a part that share the unit of the first. */
static GPtrArray *rows_to_plot(const struct bench *bench, const char *part)
{
    GPtrArray *rows = g_ptr_array_new();

    for (guint i = 0; i < bench->results->len; i++) {
        struct result *result = bench->results->pdata[i];
        const struct result *first = rows->len ? rows->pdata[0] : result;

        if (strcmp(result->part, part) == 0 && strcmp(result->unit, first->unit) == 0)
            g_ptr_array_add(rows, result);
    }
    return rows;
}

static void put_plot(FILE *out, const struct plot *plot, const GPtrArray *rows,
                     const char *directory)
{
    GPtrArray *names = names_of_ways(rows);
    char *path = g_strdup_printf("%s/%s.svg", directory, plot->part);

    put_head(out, plot);
    put_axes(out, plot, rows, names);
    put_lines(out, plot, rows, names, path);
    g_free(path);
    g_ptr_array_free(names, TRUE);
}

bool report_can_plot(void)
{
    char *gnuplot = g_find_program_in_path("gnuplot");

    g_free(gnuplot);
    return gnuplot != NULL;
}

int report_plots(const struct bench *bench, const char *directory)
{
    signal(SIGPIPE, SIG_IGN); /* a gnuplot that ends early shows in its status */
    FILE *out = popen("gnuplot", "w");

    if (!out)
        return -errno;
    for (size_t i = 0; i < G_N_ELEMENTS(plots); i++) {
        GPtrArray *rows = rows_to_plot(bench, plots[i].part);

        if (rows->len > 0)
            put_plot(out, &plots[i], rows, directory);
        g_ptr_array_free(rows, TRUE);
    }
    return pclose(out) == 0 ? 0 : -EIO;
}
