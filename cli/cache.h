/* SPDX-License-Identifier: BSD-2-Clause */
/* The file in which the command keeps what was measured on this machine. */
#ifndef FERRY_CLI_CACHE_H
#define FERRY_CLI_CACHE_H

/* The path of the file, by the XDG base directories. Its directory is made if need be; if that
 * fails, writing the file fails too, which does no harm. NULL: there is no file, and nothing is
 * kept. The caller frees it with g_free. */
char *cache_path(void);

#endif
