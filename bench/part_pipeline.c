/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole commands over a file in the page cache, start and end included: the
 * stages in VMs by `ferry pipe`, and the same programs as processes joined by
 * pipes. Processes run once with a core each, as VMs do, and once where the
 * scheduler puts them: on one core a pipe needs no wake-up of another, stays
 * in that core's cache, and has no second core to gain from.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pipeline_input.h"
#include "results.h"

#define PART       "pipeline"
#define STAGES_MAX 3
#define OUTPUT_MAX 4096
#define WAY_VMS    "Ferry, VMs"
#define WAY_PINNED "processes, a core each"
#define WAY_FREE   "processes, where they fall"

/* Some commands in a row, and what they printed the first time. */
struct chain {
    char **stages[STAGES_MAX]; /* argument lists */
    size_t count;
    bool discard; /* the output goes to /dev/null */
    int input;
    size_t bytes; /* of the input */
    char *output;
};

struct run {
    struct chain *chain;
    bool vms, pinned;
};

static pid_t spawn(char **argv, int core, int in, int out)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    if (core >= 0)
        bench_pin(core);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(125);
    execv(argv[0], argv);
    fprintf(stderr, "ferry: bench: cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int wait_all(const pid_t *children, size_t count)
{
    int result = 0;

    for (size_t i = 0; i < count; i++) {
        int status;

        if (waitpid(children[i], &status, 0) < 0 || status != 0)
            result = -EIO;
    }
    return result;
}

static int run_processes(const struct run *run, int out)
{
    const struct chain *chain = run->chain;
    pid_t children[STAGES_MAX];
    int in = chain->input;
    size_t started = 0;

    for (; started < chain->count; started++) {
        bool last = started == chain->count - 1;
        int next[2] = {-1, out};

        if (!last && pipe2(next, O_CLOEXEC) != 0)
            break;
        children[started] =
            spawn(chain->stages[started], run->pinned ? (int)started : -1, in, next[1]);
        if (!last)
            close(next[1]);
        if (in != chain->input)
            close(in);
        in = next[0];
        if (children[started] < 0)
            break;
    }
    int result = started < chain->count ? -EAGAIN : 0;

    if (result != 0 && in >= 0 && in != chain->input)
        close(in);
    return wait_all(children, started) ? -EIO : result;
}

/* A stage as one word of `ferry pipe`. */
static char *stage_text(char **argv)
{
    GString *text = g_string_new(NULL);

    for (; *argv; argv++) {
        char *quoted = g_shell_quote(*argv);

        g_string_append_printf(text, "%s%s", text->len ? " " : "", quoted);
        g_free(quoted);
    }
    return g_string_free(text, FALSE);
}

static int run_vms(struct bench *bench, const struct chain *chain, int out)
{
    char *argv[STAGES_MAX + 3] = {bench_command(bench), g_strdup("pipe")};
    pid_t child;

    for (size_t i = 0; i < chain->count; i++)
        argv[2 + i] = stage_text(chain->stages[i]);
    child = spawn(argv, -1, chain->input, out);
    for (size_t i = 0; i < chain->count + 2; i++)
        g_free(argv[i]);
    return child < 0 ? -errno : wait_all(&child, 1);
}

/* All ways have to print the same. */
static int compare_output(struct chain *chain, int out)
{
    char text[OUTPUT_MAX];
    ssize_t got = pread(out, text, sizeof(text) - 1, 0);

    if (chain->discard)
        return 0;
    if (got <= 0)
        return -ENODATA;
    text[got] = '\0';
    if (!chain->output)
        chain->output = g_strdup(text);
    return strcmp(chain->output, text) == 0 ? 0 : -EBADMSG;
}

static int run_chain(struct bench *bench, const void *arg, struct sample *sample)
{
    const struct run *run = arg;
    struct chain *chain = run->chain;
    int out = chain->discard ? open("/dev/null", O_WRONLY | O_CLOEXEC)
                             : memfd_create("output", MFD_CLOEXEC);

    if (out < 0 || lseek(chain->input, 0, SEEK_SET) != 0)
        return -errno;
    uint64_t start = bench_now_ns();
    int result = run->vms ? run_vms(bench, chain, out) : run_processes(run, out);
    uint64_t ns = bench_now_ns() - start;

    if (result == 0)
        result = compare_output(chain, out);
    close(out);
    sample->value = (double)chain->bytes / (double)ns;
    return result;
}

static void compare_chain(struct bench *bench, const char *label, struct chain *chain)
{
    const struct comparison comparison = {PART, label, (double)chain->bytes, "GB/s", false};
    const struct run vms = {chain, true, false}, pinned = {chain, false, true},
                     loose = {chain, false, false};
    const struct way ways[] = {
        {WAY_VMS, run_chain, &vms},
        {WAY_PINNED, run_chain, &pinned},
        {WAY_FREE, run_chain, &loose},
    };

    bench_compare(bench, &comparison, ways, G_N_ELEMENTS(ways));
    g_free(chain->output);
    chain->output = NULL;
}

static const char *const pinned_only[] = {WAY_PINNED};
static const char *const free_only[] = {WAY_FREE};

static const struct ratio_column ratios[] = {
    {"VMs to processes, a core each", WAY_VMS, pinned_only, 1},
    {"VMs to processes, where they fall", WAY_VMS, free_only, 1},
};

/* Three programs that are not made for Ferry. */
static void compare_cats(struct bench *bench, int input, size_t bytes)
{
    char *busybox = g_find_program_in_path("busybox");
    char *cat[] = {busybox, (char *)"cat", NULL};
    struct chain chain = {{cat, cat, cat}, 3, true, input, bytes, NULL};

    if (busybox)
        compare_chain(bench, "cat, 3 times", &chain);
    g_free(busybox);
}

void part_pipeline(struct bench *bench)
{
    size_t bytes = bench_quick(bench) ? 256u << 20 : 1u << 30;
    int input = pipeline_input(bytes);

    if (input < 0) {
        fprintf(stderr, "ferry: bench: pipeline: no file of %zu bytes in %s: %s\n", bytes,
                g_get_tmp_dir(), strerror(-input));
        return;
    }
    char *pass[] = {g_strdup(bench_guest(bench, "pass")), NULL};
    char *count[] = {g_strdup(bench_guest(bench, "count")), NULL};
    struct chain aware = {{pass, count}, 2, false, input, bytes, NULL};

    compare_chain(bench, "pass | count", &aware);
    compare_cats(bench, input, bytes);
    bench_ratios(bench, PART, ratios, G_N_ELEMENTS(ratios));
    g_free(pass[0]);
    g_free(count[0]);
    close(input);
}
