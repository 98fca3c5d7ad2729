/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual machine: its KVM objects, memory, endpoint, program and thread. */
#ifndef FERRY_HOST_VM_H
#define FERRY_HOST_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <ferry/ferry.h>

#include "budget.h"
#include "endpoint.h"
#include "guest_tables.h"
#include "image.h"
#include "linux/linux.h"
#include "space.h"

/* What a guest published, and what happened to it: as it was when somebody looked. */
struct vm_marks {
    uint32_t out_head, in_tail, home_tail, release_head, events;
};

struct ferry_vm {
    struct ferry_engine *engine;
    struct endpoint *endpoint;
    struct image *image; /* of the engine's images, held */
    /* Images of the peers in the table that its guest sees, each held; NULL: the host. */
    struct image *peer_images[FERRY_PEERS_MAX];
    bool identity_shown; /* its guest has that table */
    struct linux_state *personality;

    int vm_fd, vcpu_fd;
    struct kvm_run *run;
    uint32_t slots; /* memory slots used */
    char *system;   /* host view of the system area */
    struct guest_tables tables;
    struct space space;
    uint64_t stack_bytes;              /* at the top of it */
    void *direct[2 * FERRY_PEERS_MAX]; /* host views of its direct rings */
    uint32_t direct_count;

    struct budget_share mappings, files; /* of this process; each counts what it may take */

    uint64_t timeout_ns;
    uint64_t deadline_ns;                           /* set at start */
    struct ferry_vm *next_running, *before_running; /* the ticker's */
    struct ferry_vm *next_watched;                  /* likewise, as the next three */
    uint64_t exits_seen;
    unsigned idle_looks;
    uint64_t looked_ns;
    atomic_ullong entered_ns; /* when its guest was entered last */
    atomic_bool watched;      /* the ticker looks at it; see ticker.h */
    pthread_t thread;
    /* Held by the VM's thread but for the time the guest runs: whoever has it finds
     * the program's memory and the out ring as the guest left them. */
    pthread_mutex_t serving;
    atomic_bool in_guest;
    timer_t cpu_timer; /* of cpu_time.c, if cpu_watched */
    bool cpu_watched;
    struct ferry_vm *next_polled;
    struct vm_marks polled; /* of the poller: what it saw last */
    atomic_int stop;        /* 0, a signal number, or STOP_TIMEOUT */
    atomic_ullong exits_immediate, exits_natural;
    bool said_out_of_pool; /* once, so that a program cannot flood the log */

    pthread_mutex_t
        lock; /* of all below; but `exit` belongs to the VM's thread until it has ended */
    pthread_cond_t ended_changed; /* ended, destroyed, waiting */
    bool started, ended, destroyed;
    unsigned waiting; /* threads in ferry_vm_wait */
    struct ferry_vm_exit exit;
};

#define VM_STACK_MOST_BYTES (8ull << 20)

#define STOP_TIMEOUT   (-1)
#define STATUS_TIMEOUT 124
#define STATUS_FAULT   125

/* Whether it was started; it may have ended since. Any thread. */
bool vm_is_started(struct ferry_vm *vm);

/* Whether it has no thread: it was not started, or has ended. Any thread. */
bool vm_is_quiet(struct ferry_vm *vm);

/* Gives the VM another memory slot, before it runs. */
int vm_slot_add(struct ferry_vm *vm, uint64_t gpa, uint64_t bytes, void *host);

/* Asks the VM to end for this reason and interrupts whatever it does. Any thread. */
void vm_stop(struct ferry_vm *vm, int reason);

/* Makes a running guest leave the VM: a natural exit. Only while it is among the running. */
void vm_kick(struct ferry_vm *vm);

/* Ends what vm_watch_cpu began. Its thread has ended. */
void vm_forget_cpu(struct ferry_vm *vm);

/* Whether descriptors wait in its out ring. Any thread. */
bool vm_has_pending(const struct ferry_vm *vm);

/* Sends the plain output it gathered if the receiver waits for it. Any thread. */
void vm_send_gathered(struct ferry_vm *vm);

/* Drains its rings if anything changed since the last look, unless its thread does so itself
 * right now. On the poller's thread. */
void vm_poll(struct ferry_vm *vm);

#endif
