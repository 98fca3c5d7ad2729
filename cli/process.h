/* SPDX-License-Identifier: BSD-2-Clause */
/* `ferry run` as the process that its program would be: its descriptors, signals and terminal. */
#ifndef FERRY_CLI_PROCESS_H
#define FERRY_CLI_PROCESS_H

#include <signal.h>
#include <stdbool.h>

#include "pipeline.h"

/* Gives the program the descriptors of this process; before it starts. Returns an exit status. */
int process_give(struct pipeline *pipeline);

/* The program has closed some of them: so does this process, and who is at the other end sees it. */
void process_drop_closed(struct pipeline *pipeline);

/* Adds the signals that the program is sent beside those that ask to end. */
void process_signals(sigset_t *set);
/* Passes on a signal that came. False: it asks to end, whatever the program says. */
bool process_signal(struct pipeline *pipeline, int signo);
/* The program has ended: by a signal by which this process is to end as well? Else 0. */
int process_ended_by(const struct pipeline *pipeline);

/* The library puts the terminal's modes back, unless this process ends without waiting for it. For
 * that: remembers the modes, and puts them back unless another process has the terminal now. The
 * latter is safe in a signal handler. */
void process_keep_modes(void);
void process_restore_modes(void);

#endif
