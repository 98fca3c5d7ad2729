/* SPDX-License-Identifier: BSD-2-Clause */
/* What the host may ask of the guest program `ready`, as tags. */
#ifndef FERRY_TESTS_GUEST_READY_H
#define FERRY_TESTS_GUEST_READY_H

enum ready_request {
    READY_COUNT = 1, /* answers its requests so far << 32 | the number of the copy */
    READY_KEEP,      /* keeps the payload in its memory */
    READY_KEEP_ALL,  /* and in memory and files that it makes for that */
    READY_LOOK,      /* answers how often it finds the payload, which is masked */
    READY_CHANGE,  /* changes descriptors, signals and the like; answers 0 if nothing was changed */
    READY_THREADS, /* begins threads and processes; answers the number of a process */
    READY_EXEC,    /* becomes a program that ends */
    READY_HOLD,    /* does not release the payload */
    READY_LEND,    /* answers with a loan, and keeps an extent */
    READY_MOVE,    /* answers with a page */
    READY_SPIN,
    READY_FAULTS,   /* takes one fault after the other, for ever */
    READY_DEFERRED, /* answers by a message that waits for the next look, and spins */
    READY_SPARSE,   /* maps pages far apart; answers how many */
    READY_WORK,     /* a second thread works for ever */
    READY_TOUCH,    /* touches every other page of an area */
    READY_RESIDENT, /* answers how many pages of it are said to be in memory */
    READY_PIPE,     /* makes a pipe; answers its number */
    READY_CLOSE,    /* closes its standard input and output */
    READY_CRASH,
    READY_EXIT,
};

#define SECRET_BYTES 24
#define SECRET_MASK  0x5a

#endif
