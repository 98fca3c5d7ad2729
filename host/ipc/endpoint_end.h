/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an endpoint. */
#ifndef FERRY_HOST_ENDPOINT_END_H
#define FERRY_HOST_ENDPOINT_END_H

#include "ipc/endpoint.h"

/* No more takes part: hangs up its links, brings home what it was lent, leaves what it
 * owned to the pool. Its own thread, or the thread that owns it, once. */
void endpoint_shutdown(struct endpoint *endpoint);

#endif
