/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two ends of a pipeline on the host: input, mostly standard input, into the first VM, and the last
 * VM's output to where it is written. Each runs on a thread of its own
 * and can be made to stop while it waits for the outside world.
 */
#ifndef FERRY_CLI_PUMP_H
#define FERRY_CLI_PUMP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <sys/types.h>

#include <ferry/ferry.h>

/* Extents that circulate between input and the first VM; all memory that
 * input ever takes, whatever its length. */
#define INPUT_EXTENTS 16
/* As many buffers of one extent each, or fewer and larger ones. */
#define INPUT_BUFFERS 8

struct input {
    /* Set by the owner. */
    struct ferry_link *link;
    int fd;
    size_t most_extents; /* of the pool, at most INPUT_EXTENTS */
    enum ferry_transfer transfer;
    uint64_t crossover_bytes; /* auto: send at most so many bytes as a copy */
    bool none;                /* nothing is read: the first stage finds the end at once */
    atomic_bool stop;         /* read no more */
    /* The pump's, and for the owner to read when its thread has ended. */
    size_t buffer_bytes;          /* whole extents; each goes as one message */
    void *all[INPUT_BUFFERS];     /* every buffer it has */
    size_t filled[INPUT_BUFFERS]; /* bytes from its start that may hold something */
    void *spare[INPUT_BUFFERS];   /* those that are not lent out */
    size_t all_count, spare_count;
    off_t start;    /* where a file was when the first byte of it was wanted; -1: it has no place */
    uint64_t read;  /* bytes taken from it */
    uint64_t bytes; /* read and sent */
    bool ended;     /* end of file was seen */
    int read_error; /* 0, or an errno value: it could not be read, */
    int send_error; /* or not be sent, though the receiver takes it */
};

struct output {
    struct ferry_link *link;
    int fd;
    atomic_bool stop;             /* write no more */
    struct ferry_message message; /* the one being written, if held */
    bool held;
    uint64_t bytes; /* written */
    int error;      /* 0, or why it ended early: an errno value */
};

/* Interrupts the system call that a pump's thread is blocked in, after its
 * `stop` was set. The thread may be just about to block: to be called again
 * until it has ended. */
void pump_interrupt(pthread_t thread);

/* Waits until the first VM looks for input, reads `fd` to its end and sends it; returns when that
 * is done, when the first VM takes no more, or after an error. Hangs up in each case. */
void input_run(struct input *input);
/* The link is open again, and all loans are home: makes it ready for other input, of which nobody sees a
 * byte of this one. */
void input_again(struct input *input);
/* Puts a file back to the first byte that the first VM did not take, and frees all extents. To be
 * called after the VMs were destroyed and output has released what it held. */
void input_finish(struct input *input);

/* Writes what arrives to `fd` until the link hangs up, or an error. SIGPIPE
 * must be blocked or ignored: EPIPE is an error like the others here. */
void output_run(struct output *output);
/* Releases all messages that were not written. To be called after the VMs were destroyed. */
void output_finish(struct output *output);

#endif
