/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the personality: what others must tell the sets of files that are waited for. */
#ifndef FERRY_HOST_LINUX_EPOLL_H
#define FERRY_HOST_LINUX_EPOLL_H

#include <stdbool.h>

struct linux_state;
struct open_file;

/* Whether it is a set that has the VM's input in it, or a set that has. */
bool epoll_holds_input(const struct open_file *file);
/* The file is closed: it leaves all sets. */
void epoll_forget(struct linux_state *state, const struct open_file *file);

#endif
