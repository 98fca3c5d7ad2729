/* SPDX-License-Identifier: BSD-2-Clause */
/* The names that VMs go by: peers find each other by them, and people read them. */
#ifndef FERRY_HOST_NAME_H
#define FERRY_HOST_NAME_H

#include <ferry/ferry.h>

#define NAME_OF_HOST "host" /* the name of the host's ends of links */

struct endpoint;

/* Gives a fresh endpoint its name: `name`, or, if that is NULL, a name made of the last part of
 * `program`. -EINVAL, -EEXIST: `name` is bad or taken; a name that is made up never is. */
int name_endpoint(struct endpoint *endpoint, const char *name, const char *program,
                  struct ferry_error *err);

#endif
