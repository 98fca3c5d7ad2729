/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A frame for hostile guests. Each attack runs in a VM of its own, in the same engine as
 *   peer          with a link in each direction to the attacker
 *   left, right   bystanders, through which the host sends messages all the while
 * A secret lies in the memory of each of these three, in units of theirs, in a unit of the host and in
 * the VMM; the attacker's program searches for it in all that it can read (search.c). Afterwards the
 * attacker must have ended as expected, with what its report must name; all others right; each unit of
 * the pool must be free, and threads, descriptors and memory of this process as they were before.
 */
#ifndef FERRY_TESTS_HOSTILE_FRAME_H
#define FERRY_TESTS_HOSTILE_FRAME_H

#include "../kvm/kvm_fixture.h"

#define FOUND_STATUS 99 /* the attacker's, if it found the secret */

struct attack {
    const char *name;
    const char *program, *args[4];
    enum ferry_ended how; /* 0: FERRY_ENDED_EXIT */
    int status;
    const char *report, *or_report; /* words of the report, or NULL */
    /* How it may end in the lab as well, whose processor is made by QEMU and differs: it exits with that, or
     * crashes by that signal; 0: no other way. */
    int lab_status, lab_signo;
    const char *peer; /* what the peer does beside: see soft_peer.c */
    bool polled, files;
    bool streams; /* the host writes its standard input, and reads its standard output */
    bool reborn;  /* it has a link to a VM that has ended, and whose number another one has */
    uint64_t timeout_ms;
    /* If given: the program runs once for each of these, as its first argument, and ends so each time. Only the
     * first has a link with the peer. */
    const char *const *each;
};

/* Runs the attacks as tests, each by itself. For main. */
int run_attacks(const struct attack *attacks, size_t count);

#endif
