/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: open files on their way from one socket to another (SCM_RIGHTS). They
 * count against RLIMIT_NOFILE meanwhile. No socket is ever sent where it would hold itself, by way of
 * others or not: so what is on its way is closed when the last descriptor of its receiver is.
 */
#ifndef FERRY_HOST_LINUX_RIGHTS_H
#define FERRY_HOST_LINUX_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct linux_state;
struct msghdr;
struct open_file;

/* What one message carries, each with a reference. */
struct rights {
    struct rights *next;
    uint64_t start,
        end; /* the bytes that it came with, counted from the first that the socket got */
    unsigned count;
    struct open_file *files[];
};

/* What is on its way to a socket, in the order of its bytes. The first member of struct socket, by
 * which it is found from an open file. */
struct rights_queue {
    struct rights *first;
    uint64_t mark; /* for rights_check */
    struct rights_queue *todo;
};

/* Fetches what is to go along with a message; *out: NULL if that is nothing. 0 or a negative errno. */
int rights_fetch(struct linux_state *state, const struct msghdr *message, struct rights **out);
/* Whether it may be sent to that socket; -ETOOMANYREFS. */
int rights_check(struct linux_state *state, const struct rights *rights,
                 const struct rights_queue *to);
/* Puts it at the end of what the socket has; takes it off. */
void rights_put(struct rights_queue *to, struct rights *rights);
struct rights *rights_take(struct rights_queue *from);
/* Closes what it carries. NULL is allowed. */
void rights_drop(struct linux_state *state, struct rights *rights);

/* Gives the program what came with a message: descriptors, and who sent it if `credentials`. Writes
 * its header, of which the control's length and flags change. Drops nothing. 0 or -EFAULT. */
int rights_give(struct linux_state *state, const struct rights *rights, bool credentials,
                bool close_on_exec, struct msghdr *message);

#endif
