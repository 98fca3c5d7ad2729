/* SPDX-License-Identifier: BSD-2-Clause */
/* `ferry pipe` and `ferry run`: from words of the command line to a pipeline. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "options.h"
#include "pipeline.h"
#include "words.h"

/* Finds the stage's program. Returns 0 or the exit status, after a message. */
static int find_program(struct stage *stage)
{
    const char *word = stage->argv[0];
    int rc = words_find_program(word, getenv("PATH"), &stage->program);

    switch (rc) {
    case 0:
        return 0;
    case -ENOENT:
        if (strchr(word, '/')) {
            say("%s: there is no file '%s'; give the path of a static program", stage->label, word);
        } else {
            say("%s: '%s' was not found along PATH; give the path of a static program",
                stage->label, word);
        }
        return STATUS_NOT_FOUND;
    case -EACCES:
        say("%s: '%s' is not executable by you; try: chmod +x '%s'", stage->label, stage->program,
            stage->program);
        return STATUS_CANNOT_RUN;
    case -EINVAL:
        say("%s: '%s' is not a regular file; give the path of a static program", stage->label,
            word);
        return STATUS_CANNOT_RUN;
    case -EISDIR:
        say("%s: '%s' is a directory; give the path of a static program", stage->label, word);
        return STATUS_CANNOT_RUN;
    default:
        say("%s: cannot run '%s': %s; give the path of a static program", stage->label, word,
            strerror(-rc));
        return STATUS_CANNOT_RUN;
    }
}

static int split_stage(size_t number, const char *text, char ***argv)
{
    switch (words_split(text, argv)) {
    case 0:
        return 0;
    case -ENODATA:
        say("stage %zu is empty; write a program and its arguments", number);
        return STATUS_USAGE;
    default:
        say("stage %zu ends inside a quote or after a backslash: %s; close the quote", number,
            text);
        return STATUS_USAGE;
    }
}

/* What a person may take for a part of the pipeline, and is none. */
static int check_stage(size_t number, const char *text, const char *program)
{
    const char *redirection = words_find_operator(text);

    if (program[0] == '-') {
        say("stage %zu is '%s'; options come before the first stage", number, program);
        return STATUS_USAGE;
    }
    if (redirection) {
        say("stage %zu has a word that begins with '%c'; give each stage as an argument of its own "
            "and redirect ferry itself, or quote the word",
            number, *redirection);
        return STATUS_USAGE;
    }
    return 0;
}

static int run_stages(struct pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->count; i++) {
        int status = find_program(&pipeline->stages[i]);

        if (status != 0)
            return status;
    }
    return pipeline_run(pipeline);
}

static int prepare_pipe(struct pipeline *pipeline, char **texts)
{
    for (size_t i = 0; i < pipeline->count; i++) {
        struct stage *stage = &pipeline->stages[i];
        int status = split_stage(i + 1, texts[i], &stage->argv);

        if (status == 0)
            status = check_stage(i + 1, texts[i], stage->argv[0]);
        if (status != 0)
            return status;
        words_name(stage->argv, stage->name);
        snprintf(stage->label, sizeof(stage->label), "stage %zu (%s)", i + 1, stage->name);
        words_make_unique(stage->name, pipeline->stages[0].name, i, sizeof(*stage));
    }
    return 0;
}

static void free_stages(struct pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->count; i++) {
        g_strfreev(pipeline->stages[i].argv);
        g_free(pipeline->stages[i].program);
    }
    g_free(pipeline->stages);
}

int command_pipe(int argc, char **argv)
{
    struct options options;
    int status;
    int first = options_parse(&options, argc, argv, &status);

    if (first == argc) {
        say("pipe: no stage given; write ferry pipe 'PROGRAM ARGS' ..., see 'ferry pipe --help'");
        status = STATUS_USAGE;
    } else if (first > 0 && argc - first > PIPELINE_STAGES) {
        say("pipe: %d stages are too many; at most %d go into one 'ferry pipe', join two by a pipe",
            argc - first, PIPELINE_STAGES);
        status = STATUS_USAGE;
    } else if (first > 0) {
        size_t count = (size_t)(argc - first);
        struct pipeline pipeline = {
            .options = &options, .stages = g_new0(struct stage, count), .count = count};

        status = prepare_pipe(&pipeline, argv + first);
        if (status == 0)
            status = run_stages(&pipeline);
        free_stages(&pipeline);
    }
    options_free(&options);
    return status;
}

int command_run(int argc, char **argv)
{
    struct options options;
    int status;
    int first = options_parse(&options, argc, argv, &status);

    if (first > 0 && (first == argc || argv[first][0] == '\0')) {
        say("run: no program given; write ferry run PROGRAM ARGS, see 'ferry run --help'");
        status = STATUS_USAGE;
    } else if (first > 0 && options.direct) {
        say("run: --direct is for what two stages say to each other, and here is but one; see "
            "'ferry pipe --help'");
        status = STATUS_USAGE;
    } else if (first > 0) {
        struct pipeline pipeline = {
            .options = &options, .stages = g_new0(struct stage, 1), .count = 1};
        struct stage *stage = &pipeline.stages[0];

        stage->argv = g_strdupv(argv + first);
        words_name(stage->argv, stage->name);
        snprintf(stage->label, sizeof(stage->label), "%s", stage->name);
        words_make_unique(stage->name, NULL, 0, 0);
        status = run_stages(&pipeline);
        free_stages(&pipeline);
    }
    options_free(&options);
    return status;
}
