/* SPDX-License-Identifier: BSD-2-Clause */
/* `ferry pipe` and `ferry run`: from words of the command line to a pipeline. */
#include "command.h"
#include "options.h"
#include "pipeline.h"
#include "stages.h"

/* The stages were made with `status`. */
static int run_stages(struct pipeline *pipeline, int status)
{
    if (status == 0)
        status = stages_find_programs(pipeline);
    if (status == 0)
        status = pipeline_run(pipeline);
    stages_free(pipeline);
    return status;
}

int command_pipe(int argc, char **argv)
{
    struct options options;
    int status;
    int first = options_parse(&options, argc, argv, &status);
    struct pipeline pipeline = {.options = &options};

    if (first == argc) {
        say("pipe: no stage given; write ferry pipe 'PROGRAM ARGS' ..., see 'ferry pipe --help'");
        status = STATUS_USAGE;
    } else if (first > 0) {
        status = run_stages(&pipeline, stages_of_pipe(&pipeline, argv + first, argv[first - 1]));
    }
    options_free(&options);
    return status;
}

int command_run(int argc, char **argv)
{
    struct options options;
    int status;
    int first = options_parse(&options, argc, argv, &status);
    struct pipeline pipeline = {.options = &options, .gives = true};

    if (first > 0 && (first == argc || argv[first][0] == '\0')) {
        say("run: no program given; write ferry run PROGRAM ARGS, see 'ferry run --help'");
        status = STATUS_USAGE;
    } else if (first > 0 && options.direct) {
        say("run: --direct is for what two stages say to each other, and here is but one; see "
            "'ferry pipe --help'");
        status = STATUS_USAGE;
    } else if (first > 0) {
        status = run_stages(&pipeline, stages_of_run(&pipeline, argv + first, argv[first - 1]));
    }
    options_free(&options);
    return status;
}
