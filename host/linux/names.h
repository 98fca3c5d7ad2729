/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: names that are made, removed and changed. Each is found in the view
 * first, and changed as one component of a directory of which we have a descriptor.
 */
#ifndef FERRY_HOST_LINUX_NAMES_H
#define FERRY_HOST_LINUX_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "linux/state.h"

struct host_call;
struct mount;

/* A name in a directory. */
struct spot {
    struct found in;  /* the directory; its text is that of the name */
    const char *name; /* the last component of the text */
    bool exists;
    bool slash;  /* the program wrote one at the name's end (spot_find) */
    mode_t mode; /* of the file that has the name */
};

/* The directory of the file that was found, and its name in there. */
int spot_of_file(struct linux_state *state, const struct found *found, struct spot *out);
/* A name at `addr` that is to be made. */
int spot_new(struct linux_state *state, uint64_t dirfd, uint64_t addr, unsigned flags,
             struct spot *out);
/* Makes what the call says under the new name, and counts it. */
int64_t spot_make(struct linux_state *state, struct spot *spot, struct host_call *call);
/* How many directories of the mount are above a name. */
size_t spot_depth(const struct mount *mount, const char *text);

/* 0; -EPERM: the link `name` of that directory would lead out under its new name. */
int link_check(struct linux_state *state, const struct spot *from, const struct spot *to);

#endif
