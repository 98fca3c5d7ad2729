/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Linux system-call personality: enough of x86-64 Linux for a filter. It
 * keeps descriptors, the heap and signal dispositions of one VM and serves
 * its system calls on the VM's own thread, while the guest does not run.
 */
#ifndef FERRY_HOST_LINUX_H
#define FERRY_HOST_LINUX_H

#include <stdbool.h>
#include <stdint.h>

#include <ferry/ferry.h>

#include "lib/address.h"

struct ferry_vm;
struct image_source;
struct linux_state;
struct linux_thread;
struct pollfd;
struct stat;
struct vcpu;

/* The number of a program and of its first thread. Not 1: one that finds itself to be init behaves
 * differently. */
#define LINUX_PID    2
#define LINUX_PARENT 1
#define LINUX_USER   65534 /* nobody; as the auxiliary vector says */

struct linux_config {
    uint64_t memory_bytes; /* the figure for limits and sysinfo */
    uint64_t stack_bytes;  /* below FERRY_PROGRAM_HIGH */
    bool ignore_sigpipe;
    const char *const *read_only_dirs;
    const char *const *read_write_dirs; /* or NULL */
    uint64_t write_limit_bytes;         /* what the program may add there, in all */
    /* Absolute paths that are directories in memory, unless one of the others holds them; or NULL */
    const char *const *private_dirs;
    const char *program; /* a file of the host that it sees whatever the view is; or NULL */
    enum ferry_view view;
    const char *root_dir; /* a system's tree in place of the host's; NULL: the host's */
    int stderr_fd;        /* -1: discard */
    unsigned closed;      /* bit n: descriptor n is closed at the start */
    unsigned threads;     /* the most that it may have; 0: nobody said */
    unsigned processes;   /* likewise */
    bool traced;          /* vm_trace is to be told of calls and signals */
    /* It sees the files that this one sees, whatever the members for directories say; or NULL. Of it only
     * what never changes is read. */
    const struct linux_state *like;
};

/* The most descriptors that it keeps for what nobody gave: "/", "/usr", the program by two names. */
#define LINUX_OWN_FILES 4

/* The most descriptors of the host that a program has at a time. */
#define LINUX_WATCHED_MAX 64

/* The descriptors of the host that the program waits for and nobody watches, if its only thread may
 * poll them: up to LINUX_WATCHED_MAX. They are forgotten: who waits on asks for them again. */
unsigned linux_watched(struct linux_state *state, struct pollfd *entries);

/* Before the program runs: its descriptor `fd`, 0 to 2, is that descriptor of the host, of which it
 * has a copy. 0 or a negative errno. */
int linux_give(struct linux_state *state, unsigned fd, int host_fd);

/* Before the program runs, linux_begin must follow. */
int linux_create(struct ferry_vm *vm, const struct linux_config *config, struct linux_state **out);
void linux_destroy(struct linux_state *state);

/* Makes now what directories in memory need, as nobody may make file systems later, for this user of the
 * host. Where that fails there are none, or the program's look at one tries again. */
void linux_prepare_memory(struct linux_state *state, uint32_t uid, uint32_t gid);

enum linux_opening {
    LINUX_LISTS,   /* names in this directory and those below */
    LINUX_READS,   /* it, and all below */
    LINUX_CHANGES, /* likewise; makes and removes what is below */
    LINUX_HOLDS,   /* is open already: opens it anew, with the same rights */
};

/* Whom to tell what calls of programs open on the host: by a descriptor that is valid for the call, and may
 * be an O_PATH one. A negative errno of `tell` ends it, and is returned. */
struct linux_opens {
    int (*tell)(void *arg, int fd, enum linux_opening what);
    void *arg;
    const char *const
        *told; /* the list of the host's system that a program before has told; NULL at first */
};

/* All that calls of this program may open by a name. */
int linux_tell_opens(struct linux_state *state, struct linux_opens *to);

/* The program that is about to run: the end of its image, where the heap begins; the file that runs,
 * as a name in the view, for /proc/self/exe; the name it was started by, for that of its thread; its
 * arguments. */
void linux_begin(struct linux_state *state, struct guest_addr heap_start, const char *file,
                 const char *name, char *const *argv);
/* The variables that it is given, for /proc/self/environ. */
void linux_environment(struct linux_state *state, char *const *envp);

struct program;
/* It is in memory, with that stack pointer: says what was mapped where. -ENOMEM. */
int linux_loaded(struct linux_state *state, const struct program *program, struct guest_addr stack);

/* The name by which the program sees a file of the host that is to run, by malloc; NULL: there is
 * no memory. */
char *linux_name_of(struct linux_state *state, const char *file);

/* Opens a file that is to run, by a name that the program or a file of its gives: one that the
 * program may see, and that may be executed. 0 or a negative errno. */
int linux_open_program(struct linux_state *state, const char *name, struct image_source *out);

enum linux_next {
    LINUX_RESUME,  /* go on, with the registers as they are now */
    LINUX_EXIT,    /* the program ends with exit code `status` */
    LINUX_SIGNAL,  /* the program ends by signal `status` (abort, SIGPIPE) */
    LINUX_STOPPED, /* the VM is being stopped: do not resume */
    LINUX_ENDED,   /* only the thread ends */
};

struct linux_call {
    struct linux_thread *thread; /* that makes it */
    struct vcpu *cpu;            /* which runs that */
    uint64_t number;
    uint64_t arg[6];
    uint64_t given;  /* by linux_serve: the number as the program gave it */
    bool from_int80; /* number and arguments are those of a 32-bit program */
    /* out: */
    int64_t result;
    bool timed; /* it was interrupted, and is not made again */
    int status;
};

/* The last thing that the program was refused, and may have failed for, in words that follow "it
 * was refused"; NULL: nothing. */
const char *linux_refused(const struct linux_state *state);

/* The file that the program mapped as code at this address, which is open then for reading, where in
 * it that is, and its path, for the duration of the call that is served. -ENOENT: there is none;
 * -ESTALE: it is not what is there. */
int linux_code_at(struct linux_state *state, struct guest_addr addr, struct image_source *out,
                  uint64_t *offset, const char **path);

/* "thread 5 'worker'", fit to print; "" for the only thread of a program that gave it no name. */
void linux_describe_thread(const struct linux_state *state, const struct linux_thread *thread,
                           char *text, size_t bytes);

/* Whether descriptor 0 is the program's input stream, and 1 its output stream; false where calls are
 * watched. */
void linux_streams(const struct linux_state *state, bool *input, bool *output);
/* What fstat tells of the streams, whatever their descriptors are. */
void linux_stat_streams(struct linux_state *state, struct stat *input, struct stat *output);
/* About so many descriptors a poll may be. */
uint32_t linux_poll_most(const struct linux_state *state);
/* Bit i: what is done at signal i + 1 was never changed. And whether the program asks for that so often
 * that a guest kernel is worth to be started. */
uint64_t linux_default_actions(const struct linux_state *state);
bool linux_asks_actions(const struct linux_state *state);
/* What fcntl(F_GETFL) tells of a descriptor that is one of them. */
uint32_t linux_stream_flags(const struct linux_state *state, unsigned fd);

/* A CPU is about to enter the guest: the guest kernel, if there is one, is shown what files it may read
 * by itself. And whether one is worth to be started for that. */
void linux_publish_files(struct linux_state *state);
bool linux_wants_files(const struct linux_state *state);
/* After that: it is given rooms in which it may write to files by itself (abi/kernel.h). And whether a
 * guest kernel is worth to be started for that. */
void linux_publish_rooms(struct linux_state *state);
bool linux_wants_rooms(const struct linux_state *state);
/* The CPU of that number has left the guest, and its thread has the turn: it stores in no room any more. */
void linux_left(struct linux_state *state, uint32_t cpu);
/* After that: it is told about the descriptor that the last call was about. And whether the program asks
 * so much about descriptors that a guest kernel is worth to be started. */
struct ferry_kernel_shown;
struct ferry_kernel_words;
void linux_tell_descriptor(struct linux_state *state, struct ferry_kernel_shown *shown,
                           struct ferry_kernel_words *words);
bool linux_asks_descriptors(const struct linux_state *state);

/* This thread has the turn: its calls are served from here on. What the guest kernel has written to
 * files is written out. */
void linux_now_serves(struct linux_state *state, struct linux_thread *thread);

/* This thread ends, and nothing is done for it in the program's memory. */
void linux_drop_thread(struct linux_state *state, struct linux_thread *thread);

/* A process beside the first has ended, so: its parent is told. Frees its state. */
void linux_process_ends(struct linux_state *state, const struct ferry_vm_exit *end);
/* The first process has ended and others have not: what it has open is closed. */
void linux_first_ends(struct linux_state *state);

/* Whether a call that is about to be served asks for the program's input stream, or waits for it. */
bool linux_asks_input(struct linux_state *state, const struct linux_call *call);

/* What the personality keeps of a process at a moment (kept.c). */
struct linux_kept;
/* Why it cannot be had again, in words that tell a person; NULL: it can. */
const char *linux_why_not_kept(struct linux_state *state);
/* Keeps a process for which nothing of that holds, and whose thread is being served. -ENOMEM. */
int linux_keep(struct linux_state *state, struct linux_kept **out);
/* Frees `*state`, of a program whose processes have all ended, and gives another one: all is as when it
 * was kept, but for what was changed on the host. -ENOMEM: nothing changed. */
int linux_go_back(struct linux_state **state, const struct linux_kept *kept);
/* Names of mappings: those of a layer are those of another one by another name (space.h). */
struct space_layer;
struct linux_names {
    const struct space_layer *copy, *from;
};
/* The same for another VM, whose personality was made like that one (linux_config.like) and runs nothing
 * yet. -EBUSY: a list of a directory is open; -ENOMEM, -EMFILE; others: a file cannot be opened anew. */
int linux_copy_kept(struct linux_state *state, const struct linux_kept *from,
                    const struct linux_names *names, struct linux_kept **out);
/* How many descriptors of the host the view takes of a VM that is made like this one. */
unsigned linux_view_files(const struct linux_state *state);
/* The process, for linux_config.like. */
const struct linux_state *linux_kept_state(const struct linux_kept *kept);
/* Before linux_destroy. NULL is allowed. */
void linux_forget(struct linux_kept *kept);

/* The thread that a program begins with. */
struct linux_thread *linux_first_thread(struct linux_state *state);

enum linux_next linux_serve(struct linux_state *state, struct linux_call *call);

/* A fault of the program, as Linux tells it to a handler. */
struct linux_fault {
    int signo, code; /* si_code */
    uint64_t addr;   /* si_addr */
    uint64_t trapno, error, cr2;
    bool sets_cr2; /* a page fault; else CR2 stays as it was */
};

/* Runs the program's handler for it; the registers are those at the fault. LINUX_SIGNAL: there is
 * none, and the program ends by signal `status`. */
enum linux_next linux_fault(struct linux_state *state, struct linux_thread *thread,
                            struct vcpu *cpu, const struct linux_fault *fault, int *status);

/* Whether the process was stopped by a signal, so that its threads, this one among them, must not run. */
bool linux_stands_still(struct linux_state *state, struct linux_thread *thread);

/* The guest made an exit at the moment that vm_watch_cpu asked for, or at another. LINUX_RESUME, or
 * LINUX_SIGNAL with the signal. */
enum linux_next linux_interrupted(struct linux_state *state, struct linux_thread *thread,
                                  int *status);
/* Whether a signal waits for linux_deliver, which needs the registers of the program and may change
 * them. */
bool linux_has_signal(struct linux_state *state, struct linux_thread *thread);
/* Whether a signal ends the wait of the call that this thread makes. */
bool linux_ends_wait(struct linux_state *state, struct linux_thread *thread);
enum linux_next linux_deliver(struct linux_state *state, struct linux_thread *thread,
                              struct vcpu *cpu, int *status);

#endif
