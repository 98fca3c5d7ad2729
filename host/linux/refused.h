/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the personality: what a program was refused last, to be said if it fails. */
#ifndef FERRY_HOST_LINUX_REFUSED_H
#define FERRY_HOST_LINUX_REFUSED_H

#include <stdbool.h>
#include <stdint.h>

#define REFUSED_NAME_BYTES 200

struct linux_call;
struct linux_state;

struct refused {
    /* Of the call being served: the name it gave, if it gave one. */
    char name[REFUSED_NAME_BYTES];
    bool relative; /* to ferry's working directory, which no --ro holds */
    bool named;
    bool outside; /* the name leads out of all read-only directories */
    /* What is to be said; empty: nothing was refused. */
    char text[2 * REFUSED_NAME_BYTES + 80];
    bool looked_at_host; /* for a limit of its own */
    bool probe;          /* text is about something that programs look for and do without */
};

/* The call being served gave this name, as the program wrote it: relative to its working
 * directory or not. */
void refused_name(struct linux_state *state, const char *name, bool relative);
/* It means this path. `rooted`: the working directory is below a read-only one. */
void refused_path(struct linux_state *state, const char *path, bool outside, bool rooted);
/* The call was served. `never`: its handler, if it has one, gives nothing to anybody. */
void refused_look(struct linux_state *state, const struct linux_call *call, bool never);

#endif
