/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: what the guest kernel is told about the descriptor that a call was about.
 *
 * Programs open a file and then ask about it: how long it is, whether it is a terminal, where it
 * stands; and after a read that came to its end they read once more. So when a CPU enters the guest,
 * the answers are there. They are taken back before the next call is served, so calls know nothing
 * of this, and the guest kernel gives them for a millisecond at most. Nothing comes back from it.
 */
#ifndef FERRY_HOST_LINUX_TOLD_H
#define FERRY_HOST_LINUX_TOLD_H

struct linux_call;
struct linux_state;

/* A call was served, with its result. */
void told_served(struct linux_state *state, const struct linux_call *call);
/* A call begins, or begins to work on a file. */
void told_take_back(struct linux_state *state);

#endif
