/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket on which `ferry serve` takes connections. */
#ifndef FERRY_CLI_SERVE_LISTEN_H
#define FERRY_CLI_SERVE_LISTEN_H

/* Listens at that path of the file system, or (NULL) on the socket that the service manager opened, as
 * sd_listen_fds(3) describes. A socket at that path on which nobody listens any more is replaced. It never
 * blocks: who was there may be gone. Returns 0 or an exit status, after a message. */
int serve_listen(const char *path, int *fd);

#endif
