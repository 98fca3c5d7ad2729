/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of an endpoint. */
#ifndef FERRY_HOST_ENDPOINT_END_H
#define FERRY_HOST_ENDPOINT_END_H

#include "ipc/endpoint.h"

/* Ends the endpoint: hangs up its links, brings home the loans it holds, gives the units it owned
 * to the pool. To be called once, by its own thread or the thread that owns it. */
void endpoint_shutdown(struct endpoint *endpoint);

#endif
