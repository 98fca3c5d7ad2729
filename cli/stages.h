/* SPDX-License-Identifier: BSD-2-Clause */
/* From operands of the command line to the stages of a pipeline, and the messages about bad
 * ones. */
#ifndef FERRY_CLI_STAGES_H
#define FERRY_CLI_STAGES_H

#include "pipeline.h"

/* Each returns 0 or an exit status, after a message. The caller calls stages_free in any case. */

/* Of `ferry pipe`: each operand holds one stage, or several with bars between them. `before` is
 * the word before the first operand. */
int stages_of_pipe(struct pipeline *pipeline, char *const *operands, const char *before);
/* Of `ferry run`: one stage, whose words the operands are. */
int stages_of_run(struct pipeline *pipeline, char *const *operands, const char *before);
/* Finds the file of each stage's program. */
int stages_find_programs(struct pipeline *pipeline);

/* What else to say about a stage that failed: which word a shell would have changed; "": nothing.
 * The caller frees it with g_free. */
char *stages_note(const struct stage *stage);

void stages_free(struct pipeline *pipeline);

#endif
