/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the command keeps what was measured on this machine. */
#ifndef FERRY_CLI_CACHE_H
#define FERRY_CLI_CACHE_H

/* The file, by the XDG base directories; its directory is made if need be, and if that fails, so
 * will writing the file, which is no harm. NULL: there is none, and nothing is kept. To be freed by
 * g_free. */
char *cache_path(void);

#endif
