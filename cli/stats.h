/* SPDX-License-Identifier: BSD-2-Clause */
/* The figures of a pipeline that was taken down, on standard error. */
#ifndef FERRY_CLI_STATS_H
#define FERRY_CLI_STATS_H

struct pipeline;

/* A small table for people. */
void stats_print_table(const struct pipeline *pipeline);
/* One JSON object on one line. */
void stats_print_json(const struct pipeline *pipeline);

#endif
