/* SPDX-License-Identifier: BSD-2-Clause */
/* Walls around the files of the host, by Landlock. */
#ifndef FERRY_HOST_JAIL_WALLS_H
#define FERRY_HOST_JAIL_WALLS_H

#include <ferry/ferry.h>

struct ferry_engine;

/* Collects what may be opened: what the engine's VMs need, what the library itself does, and what the caller
 * names. A descriptor of the rules; -EOPNOTSUPP: this kernel has no Landlock, or one in which programs could
 * not move files; or another negative errno, with an explanation in `err`. */
int walls_plan(struct ferry_engine *engine, const struct ferry_jail_config *config,
               struct ferry_error *err);

/* From here on the calling thread and those that it makes open nothing else. The process has no way to new
 * rights (PR_SET_NO_NEW_PRIVS). 0 or a negative errno. */
int walls_close(int rules);

#endif
