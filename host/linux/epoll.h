/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the personality: what others must tell the sets of files that are waited for. */
#ifndef FERRY_HOST_LINUX_EPOLL_H
#define FERRY_HOST_LINUX_EPOLL_H

struct linux_state;
struct open_file;

/* The file is closed: it leaves all sets. */
void epoll_forget(struct linux_state *state, const struct open_file *file);

#endif
