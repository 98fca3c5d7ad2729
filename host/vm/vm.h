/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual machine: its KVM objects, memory, endpoint, program and thread. */
#ifndef FERRY_HOST_VM_H
#define FERRY_HOST_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <ferry/ferry.h>

#include "engine/engine.h"
#include "engine/runner.h"
#include "ipc/endpoint.h"
#include "lib/budget.h"
#include "lib/lock.h"
#include "linux/linux.h"
#include "vm/guest.h"
#include "vm/guest_kind.h"
#include "vm/process.h"

/* How many threads a program may have if nothing else is said. */
#define VM_THREADS 64
/* And how many processes; at most. */
#define VM_PROCESSES      64u
#define VM_PROCESSES_MOST 1024u

/* What is wanted of a snapshot, and what came of it: snapshot.c. Under the VM's lock. */
struct resets {
    atomic_bool
        wants_snapshot; /* somebody waits for the program to be ready; any thread may look */
    bool is_ready;      /* it was, with that result, and */
    const char *why;    /* why not, in words; or NULL */
    bool busy;          /* one thread resets it; others wait for that */
    bool wanted;        /* it is to begin anew */
    bool leaves;        /* it never will again */
    int result;
};

struct ferry_vm {
    struct ferry_engine *engine;
    struct endpoint *endpoint;
    struct process first; /* its program begins in it */
    struct guest own;     /* which that runs in */
    /* Whose exit is being served, and what that runs in; under runner.serving. Before the start: the
     * first. */
    struct process *process;
    struct guest *guest;
    struct guest *guests;         /* all of them; under runner.serving, or under `lock` to look */
    struct child *ended_children; /* fork.c; under runner.serving */
    atomic_uint further;          /* processes beside the first */
    struct image *image;          /* of the program that it runs, with a reference: for peers */
    /* Images of the peers in the table that its guest sees, each with a reference; NULL: the
     * host. */
    struct image *peer_images[FERRY_PEERS_MAX];
    bool identity_shown; /* its guest looked at that table: it knows the message layer */

    const struct guest_kind *kind;
    unsigned most_threads, most_processes;
    struct lock window_lock;           /* of the thread that shows the window; a leaf */
    void *direct[2 * FERRY_PEERS_MAX]; /* host views of its direct rings */
    uint32_t direct_count;

    struct budget_share mappings, files; /* of this process; each counts how much it may take */

    void *user; /* the embedder's */
    /* Who watches its program, or NULL. */
    void (*trace)(void *arg, struct ferry_vm *vm, const struct ferry_trace *event);
    void *trace_arg;
    uint64_t timeout_ns;
    uint64_t cpu_limit_ns; /* of processor time; 0: none, */
    /* Beside what was taken before its program began anew: by all, and by its first process. */
    uint64_t cpu_before_ns, first_before_ns;
    atomic_ullong helpers_ns;   /* that threads took which run no CPU, */
    atomic_ullong ended_ns;     /* and processes that have ended */
    atomic_ullong cpu_watch_ns; /* when cpu_reached becomes true, once; UINT64_MAX: never */
    atomic_bool cpu_reached;    /* the next CPU that is interrupted tells the personality */
    atomic_ullong exits[CAUSES];
    struct runner runner; /* as ticker and poller know it; its deadline is set at start */
    /* Under runner.serving: */
    struct vcpu *served;                 /* whose exit is being served */
    atomic_uint_fast64_t sent;           /* signals from outside: n is bit n - 1 */
    void (*pause)(void *arg, int signo); /* of the embedder; NULL: no signal stops the program */
    void *pause_arg;
    void (*closed)(void *arg, int fd); /* of the embedder, as ferry_vm_on_close says; or NULL */
    void *closed_arg;
    atomic_int stop;       /* 0, a signal number, STOP_TIMEOUT or STOP_CPU */
    bool said_out_of_pool; /* once, so that a program cannot flood the log */

    struct snapshot *snapshot; /* snapshot.c; set once, on the VM's own thread; or NULL */
    struct ferry_vm *copy_of;  /* whose snapshot it begins with; NULL: it loads a program */

    struct lock lock;               /* of all below, and of the threads of the CPUs */
    pthread_cond_t ended_changed;   /* all below */
    bool started, ended, destroyed; /* its CPUs have threads from its start to its end */
    int begun;                      /* a copy: 1: its thread has what it begins with, or why not */
    bool rests;                     /* its program has ended, and may begin anew */
    unsigned ends;                  /* how often it has ended */
    struct ferry_vm_exit exit;      /* and how it did so last */
    unsigned waiting;               /* threads in ferry_vm_wait */
    struct resets resets;
};

/* What a program may add below its directories of the host, if nobody says otherwise. */
#define VM_WRITE_LIMIT_BYTES (4ull << 30)
#define VM_STACK_MOST_BYTES  (8ull << 20)

#define STOP_TIMEOUT   (-1)
#define STOP_CPU       (-2)
#define STATUS_TIMEOUT 124
#define STATUS_FAULT   125

/* All that asks for the process that is served, and its guest, is about this one now. */
static inline void vm_look_at(struct ferry_vm *vm, struct process *process)
{
    vm->process = process;
    vm->guest = process->guest;
}

/* Initialises zeroed memory: all members that need no KVM and no program. */
void vm_init(struct ferry_vm *vm, struct ferry_engine *engine);
void vm_fini(struct ferry_vm *vm);

/* Whether the VM was started; it may have ended since. Any thread. */
bool vm_is_started(struct ferry_vm *vm);

/* Whether the VM has no thread: it was not started, or has ended. Any thread. */
bool vm_is_quiet(struct ferry_vm *vm);

/* Interrupts all CPUs of the VM that have threads, and the sleep of those threads, even if the guest
 * does not run, as it may be about to. Any thread, also under the ticker's lock. */
void vm_kick(struct ferry_vm *vm);

/* Asks the VM to end for this reason and interrupts its present activity. Any thread. */
void vm_stop(struct ferry_vm *vm, int reason);

/* As ferry_vm_start. Under the VM's lock. */
int vm_start(struct ferry_vm *vm, struct ferry_error *err);

/* Waits for the end of the VM's threads. The VM was started, and told to stop. */
void vm_join(struct ferry_vm *vm);

/* The VM starts: from now on its limit of processor time holds. It is not among the running ones
 * yet. */
void vm_begin_cpu(struct ferry_vm *vm);
/* Looks at its processor time, as runner.cpu_look. */
uint64_t vm_look_at_cpu(struct ferry_vm *vm);

/* Makes all calls of ferry_vm_wait return, and waits until they have. The VM's thread has ended. */
void vm_let_waiters_go(struct ferry_vm *vm);

#endif
