/* SPDX-License-Identifier: BSD-2-Clause */
/* The filter of system calls, as the build made it of jail/calls.h. */
#ifndef FERRY_HOST_JAIL_FILTER_H
#define FERRY_HOST_JAIL_FILTER_H

/* For all threads of the process, for ever. 0 or a negative errno. */
int filter_install(void);

#endif
