/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the command share: exit statuses, one-line messages, and
 * the entry of each subcommand.
 */
#ifndef FERRY_CLI_COMMAND_H
#define FERRY_CLI_COMMAND_H

#include <stddef.h>
#include <stdint.h>

/* Exit statuses beside those of the stages, as env(1) and timeout(1) use them. */
enum {
    STATUS_IO = 1,           /* standard input, output or --trace failed */
    STATUS_USAGE = 2,        /* the command line makes no sense */
    STATUS_TIMEOUT = 124,    /* a stage ran longer than --timeout */
    STATUS_FERRY = 125,      /* Ferry or KVM failed */
    STATUS_CANNOT_RUN = 126, /* the program was found but cannot be run */
    STATUS_NOT_FOUND = 127,  /* the program was not found */
};

/* One line on standard error that begins with `ferry: `, in one write. Control
 * characters become '?', so that it stays one line whatever a name holds. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Text on standard error as it is. */
void say_text(const char *text, size_t bytes);
/* The same on another descriptor, one thread at a time: 0 or an errno; ETIMEDOUT: the rest was
 * dropped. */
int say_to(int fd, const char *text, size_t bytes);
/* Until this moment (CLOCK_MONOTONIC) all these wait for a reader; from then on text that finds no
 * room is dropped. Without this call messages wait for ever. */
void say_until(uint64_t moment_ns);
/* From now on each waits 100 ms at most for a reader to take anything, and 1 s for it to take all:
 * somebody asks the program to end, which may be in the middle of a line of the trace. */
void say_soon(void);

/* argv[0] is the subcommand. Return the exit status. */
int command_pipe(int argc, char **argv);
int command_run(int argc, char **argv);
int command_serve(int argc, char **argv);
int command_bench(int argc, char **argv); /* returns only if it failed */
int command_doctor(int argc, char **argv);

/* Prints the help text of a subcommand (NULL: of ferry itself) on standard
 * output. Returns the exit status. */
int help_print(const char *topic);
int version_print(void);

#endif
