/* SPDX-License-Identifier: BSD-2-Clause */
/* A process of a VM's program. All of it is under runner.serving, once the VM was started. */
#ifndef FERRY_HOST_PROCESS_H
#define FERRY_HOST_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include <ferry/ferry.h>

#include "program/program.h"

struct guest;
struct linux_state;
struct vcpu;

struct process {
    struct guest *guest;
    struct program program;
    unsigned programs; /* how many it has begun in place of its first */
    struct linux_state *personality;
    struct guest *forked_in;  /* that of its parent, at the start, */
    struct space_marks marks; /* and what it began with, if that waits; else none */
    uint64_t stack_bytes;     /* at the top of its memory */
    uint64_t kept_bytes;      /* charged for the arguments of the program */
    bool ending;              /* a thread ended it: the others leave it */
    bool memory_is_used_up;   /* something was to be touched for which nothing is left: it ends */
    struct ferry_vm_exit exit;
    struct vcpu *only; /* its thread begins another program: the others end; NULL: none does */
};

#endif
