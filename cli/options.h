/* SPDX-License-Identifier: BSD-2-Clause */
/* The options that `ferry pipe`, `ferry run` and `ferry serve` take. */
#ifndef FERRY_CLI_OPTIONS_H
#define FERRY_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include <ferry/ferry.h>

enum stats_format { STATS_NONE, STATS_TABLE, STATS_JSON };

struct options {
    uint64_t memory_bytes;      /* 0: the library's default */
    uint32_t threads;           /* likewise */
    uint32_t processes;         /* likewise */
    uint64_t timeout_ns;        /* 0: none */
    uint64_t cpu_ns;            /* likewise: of processor time */
    GPtrArray *env;             /* of char *, NULL-terminated once parsed */
    GPtrArray *read_only;       /* likewise: absolute paths of directories */
    GPtrArray *read_write;      /* likewise */
    uint64_t write_limit_bytes; /* 0: the library's default */
    char *root;                 /* the tree of another system; NULL: this one */
    bool bare;
    enum ferry_transfer transfer;
    enum ferry_delivery delivery;
    bool polled;
    int polled_cpu; /* where the polling thread runs; -1: anywhere */
    bool trace;
    char *trace_file; /* NULL: standard error */
    bool trace_json;
    enum stats_format stats;
    bool direct;
    const char *listen; /* of `ferry serve`: a path; NULL: none was given */
    uint32_t most;      /* likewise: connections at once; 0: the default */
    bool no_stdin;
    bool no_jail;
    bool change_user; /* to: */
    uint32_t uid, gid;
    bool verbose;
};

/* Reads options up to the first operand. Returns the index of that operand, or
 * -1: the command ends with *status (after --help, --version or a message).
 * The caller calls options_free in either case. */
int options_parse(struct options *options, int argc, char **argv, int *status);
/* Whether the word is one of the options: a whole name, with or without a value, or the only one
 * that begins so. */
bool options_know(const char *word);
void options_free(struct options *options);

#endif
