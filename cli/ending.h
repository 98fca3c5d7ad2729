/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of a running pipeline: the signals and the time limit that ask for it, and taking the
 * pipeline down. Nothing here waits for a peer that may never come: not for a reader of standard
 * output or standard error, not for a writer of standard input.
 */
#ifndef FERRY_CLI_ENDING_H
#define FERRY_CLI_ENDING_H

#include <stdbool.h>

#include "pipeline.h"

/* The parts of a pipeline that run by themselves. */
enum part { PART_VMS = 1, PART_OUTPUT = 2, PART_INPUT = 4 };

uint64_t now_ns(void);

/* Whether this process was started with the signal ignored. */
bool ending_ignores(int signo);
/* From here on ending_watch sees the signals that ask to end. To be called before the first part
 * starts. Returns 0 or an exit status, after a message. */
int ending_prepare(struct pipeline *pipeline);
/* Called by the thread of a part when the part is over. */
void ending_note(struct pipeline *pipeline, enum part part);
/* Waits until all has ended, or there is a reason to end it. */
void ending_watch(struct pipeline *pipeline);
/* Ends the parts that still run, takes the figures and frees every object of the library. A signal
 * that comes meanwhile ends the process at once. */
void ending_finish(struct pipeline *pipeline);
/* Ends the process as the signal would have, so that the parent sees it. */
void ending_die(struct pipeline *pipeline);

#endif
