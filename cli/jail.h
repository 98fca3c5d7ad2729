/* SPDX-License-Identifier: BSD-2-Clause */
/* The jail of the command: see ferry_jail(3). */
#ifndef FERRY_CLI_JAIL_H
#define FERRY_CLI_JAIL_H

#include "options.h"

/* --user: a name or a number. Returns 0 or an exit status, after a message. */
int jail_set_user(struct options *options, const char *word);
/* To be called when all is open and before the first VM starts. Likewise. */
int jail_close(const struct options *options, struct ferry_engine *engine);

#endif
