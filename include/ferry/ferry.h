/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libferry: run programs in KVM virtual machines and carry messages between
 * them by page-table update.
 *
 * Compile and link a program with the options that `pkg-config --cflags --libs ferry` prints.
 *
 * Every function that can fail returns 0 or a negative errno value of its list of errors; those
 * that take a `struct ferry_error *` (NULL is allowed) also say in one line
 * what failed, why, and what to do. The library never prints and never
 * exits; it has no global state; several engines may live in one process.
 * Unless said otherwise a function may be called from any thread, and does
 * not block. Memory given in is read during the call only.
 *
 * Life cycle: ferry_engine_create, ferry_vm_create, ferry_link_create, ferry_vm_start,
 * ferry_vm_wait, ferry_vm_destroy, ferry_engine_destroy. A link with the host is destroyed with its
 * VM, a link between two VMs with the second of them; ferry_link_destroy destroys either earlier.
 * Memory is used again: an engine may make and destroy VMs and links without end.
 *
 * Threads: the library starts one thread for each thread of a running program, one ticker, and a
 * poller if the engine was made polled. For a while it also runs one that copies the program of a
 * VM that is made, one for each call of a program on a file whose file system may never answer, and
 * one for each VM that waits for a descriptor that it was given (ferry_vm_give_fd). They block all
 * signals; the library installs no signal handler.
 */
#ifndef FERRY_FERRY_H
#define FERRY_FERRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ferry/abi/message.h> /* modes of messages */
#include <ferry/sized.h>       /* what the inline functions below call */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- libferry(3): run programs in virtual machines that exchange messages ---- */

/* FERRY_VERSION_MAJOR, FERRY_VERSION_MINOR and FERRY_VERSION_PATCH are numbers: the release of the
 * header that a program was compiled with. ferry_version says which library it runs with. */
#define FERRY_VERSION_MAJOR 0
#define FERRY_VERSION_MINOR 1
#define FERRY_VERSION_PATCH 0

/*
 * Structs may grow in later releases, at their end. So each call that reads or fills a struct also
 * tells the library how long the program knows that struct to be: the functions of this header do
 * so by themselves. A library whose struct is longer takes the missing members for zero, and fills
 * no more than that size; a library whose struct is shorter accepts only zeros in the members it
 * does not know (-E2BIG), and fills them with zeros. So a program and a libferry of different
 * releases work together. Other languages call the functions that ferry/sized.h declares.
 */

struct ferry_engine;
struct ferry_vm;
struct ferry_link;

/* One line, without a newline: what, why, what to do. It does not grow. */
struct ferry_error {
    char text[320];
};

/* The release of the library that the program runs with, such as "0.1.0"; static. */
FERRY_API const char *ferry_version(void);

/* ---- ferry_engine(3): what all virtual machines of a program share ---- */

/* Which lines the log callback gets. */
enum ferry_log_level { FERRY_LOG_WARNING = 1, FERRY_LOG_INFO = 2, FERRY_LOG_DEBUG = 3 };

struct ferry_engine_config {
    /* An eighth of each, but at most 16 extents and 64 pages, is kept for ferry_link_alloc as soon
     * as there is a link from the host: VMs cannot allocate it, whatever they own or moved to the
     * host. */
    uint32_t pool_extents; /* 2 MiB units for bulk; 0: 64 */
    uint32_t pool_pages;   /* 4 KiB units, rounded up to whole extents; 0: 512 */
    uint32_t max_defer_us; /* bound on how long a deferred message waits; 0: 1000 */
    /* One more thread watches the rings of all VMs, so that their messages need no exits.
     * It takes a whole core while a guest runs. */
    bool polled;
    /* The number of the only CPU on which that thread runs; NULL: it may run wherever the
     * thread that makes the engine may, as all other threads of the library. */
    const int *polled_cpu;
    enum ferry_log_level log_level; /* 0: warnings */
    /* Called with one line, from any thread, never with a lock held that a
     * ferry call takes; NULL: nothing is logged. */
    void (*log)(void *arg, enum ferry_log_level level, const char *line);
    void *log_arg;
    /* Path of a file that keeps the measured figures. If it fits this machine, nothing is measured;
     * else it is written anew, as a whole. A second file beside it, with ".cpuid" after its name,
     * keeps the CPUID table that KVM has offered since this system started. The directory must
     * exist. It is no error if a file cannot be read or written. NULL: no files, measure each
     * time. */
    const char *measure_cache;
};

/* Opens /dev/kvm, makes the pool and its huge pages, measures the crossover of copy and
 * hand-over (some milliseconds, while one further thread spins; see measure_cache). `config` may
 * be NULL.
 *
 * Errors:
 * -EINVAL: a value in `config` that cannot be
 * -E2BIG: `config` has members that this library does not know
 * -ENOENT, -ENODEV, -ENXIO: there is no /dev/kvm, or it is not KVM
 * -EACCES, -EPERM: no right to open /dev/kvm
 * -ENOTSUP: this KVM lacks something that Ferry needs
 * -ENOMEM: no memory, or no address space, for the pool and its ledger
 * -EFBIG: the pool is longer than the limit of the process for files
 * -EMFILE, -ENFILE: no descriptor is left
 * -EAGAIN: no thread can be started
 * -EIO: a guest could not be measured
 * others: the error of a system call on /dev/kvm or the pool */
static inline int ferry_engine_create(const struct ferry_engine_config *config,
                                      struct ferry_engine **out, struct ferry_error *err)
{
    return ferry_engine_create_sized(config, sizeof *config, out, err);
}

/* All VMs must have been destroyed, and with them their links. NULL is allowed. */
FERRY_API void ferry_engine_destroy(struct ferry_engine *engine);

/* The ledger of the pool. Units are read one after the other: the figures are exact while no
 * message is under way, else each unit counts as it was when it was read. A unit in
 * the middle of a hand-over counts as owned. */
struct ferry_ledger {
    uint64_t extents; /* units of 2 MiB in the pool */
    uint64_t pages;   /* units of 4 KiB */
    uint64_t free;    /* units in the pool, owned by nobody */
    uint64_t owned;   /* units that their owner holds */
    uint64_t lent;    /* units with an owner and a borrower */
    uint64_t leaked;  /* units whose owner or borrower is no more, and that nobody will bring
                         back: 0, or Ferry has a fault */
};
/* Reads the ledger. */
static inline void ferry_engine_ledger(struct ferry_engine *engine, struct ferry_ledger *out)
{
    (void)ferry_engine_ledger_sized(engine, out, sizeof *out);
}

/* What ferry_engine_create found and measured. A loan and its way home each change two windows,
 * and each time an extent is opened in a VM there is one first touch. */
struct ferry_engine_info {
    bool huge; /* extents are huge pages */
    uint64_t pool_bytes;
    uint64_t crossover_bytes; /* `auto` copies payloads at most this long */
    uint64_t exit_ns;         /* one exit of a VM; 0: not measured */
    uint64_t handover_ns;     /* opening one extent in a window and closing it again */
    uint64_t touch_ns;        /* the first touch of an opened extent, in a VM */
    uint64_t copy_ns;         /* copying one extent */
};
/* Copies what ferry_engine_create found into `out`. */
static inline void ferry_engine_info(struct ferry_engine *engine, struct ferry_engine_info *out)
{
    (void)ferry_engine_info_sized(engine, out, sizeof *out);
}

/* ---- ferry_vm(3): a virtual machine that runs a program ---- */

/* Whether each message of a VM leaves at once, by an exit of its own. */
enum ferry_delivery {
    FERRY_DELIVER_AUTO = 0,
    FERRY_DELIVER_IMMEDIATE = 1,
    FERRY_DELIVER_DEFERRED = 2
};
/* How bytes of a stream travel: `AUTO` chooses by their number what is cheaper. */
enum ferry_transfer { FERRY_TRANSFER_AUTO = 0, FERRY_TRANSFER_COPY = 1, FERRY_TRANSFER_MAP = 2 };

/* Which files of the host a program sees without being given any. All of it is read-only, and of
 * each file and directory the mode must let others read it: that this process runs as root shows
 * nothing more. */
enum ferry_view {
    FERRY_VIEW_SYSTEM = 0, /* what a distribution installed; ferry(1) has the list */
    FERRY_VIEW_BARE = 1,   /* the dynamic loader and shared libraries */
    FERRY_VIEW_NONE = 2    /* none */
};

/* What a program did, for those who watch it: a system call that has returned, a signal that it takes,
 * its end. The library fills it; it and what it points to are valid until the callback returns. Texts
 * are printable ASCII, in the form of strace(1). A later release may add members at the end, and tells
 * by `bytes` how many there are. */
enum ferry_trace_kind { FERRY_TRACE_CALL = 1, FERRY_TRACE_SIGNAL = 2, FERRY_TRACE_END = 3 };
struct ferry_trace {
    size_t bytes;
    enum ferry_trace_kind kind;
    int32_t thread;   /* as gettid() tells it; of an end the first one */
    uint64_t time_ns; /* CLOCK_REALTIME when the call was made, or when it happened */
    uint64_t took_ns; /* of a call */
    const char *name; /* "openat"; "SIGSEGV"; of an end "exited" or the signal */
    /* Of a call its arguments, each as text; of a signal its details; of an end none (NULL, 0). Names
     * of files are shown up to 1024 bytes, other strings and bytes up to 32; memory that cannot be
     * read is shown as its address. They are read for this alone: another thread can have changed
     * them since the call read them. */
    const char *const *args;
    uint32_t arg_count;
    bool returned;  /* else a call gave no result: it ended the thread, or was interrupted */
    int64_t result; /* of the call: 0 or more, or a negative errno; of an exit its status */
    /* Of a call: "3", "0x7f0000", "-1 ENOENT (No such file or directory)", "?"; of a signal and an end
     * "". The library's, as all texts here, and gone when the callback returns. */
    const char *result_text;
    const char *line; /* all of it as strace(1) prints it, without VM, thread and newline */
};

/* What ferry_vm_create needs to know. */
struct ferry_vm_config {
    /* 1 to 31 bytes without control characters, not "host", and not the name of another VM of the
     * engine; NULL: the last part of `program`, with a number behind it if that name is taken. */
    const char *name;
    /* Path of an x86-64 ELF file, or of a script. It is opened as a file of this process; its loader
     * or interpreter, which it names itself, only where the program may read. */
    const char *program;
    char *const *argv; /* NULL-terminated; NULL: { program } */
    char *const *envp; /* NULL-terminated; NULL: empty */
    uint64_t
        memory_bytes; /* most that, of all its processes together, image, heap, mappings, stack and its files in memory (/tmp,
                              /var/tmp, /dev/shm, /run, HOME) may take; of stack and large
                              mappings what is touched counts; 0: 256 MiB */
    uint32_t pool_extents; /* most it may own of the pool; 0: 8 */
    uint32_t pool_pages;   /* likewise of 4 KiB pages; 0: 64 */
    const char *const
        *read_only_dirs; /* NULL-terminated: what open() may read, under the same path */
    int stderr_fd;       /* where fd 2 of the program goes; 0: 2 of this process; -1: nowhere */
    uint32_t closed_fds; /* bit n: fd n (0, 1, 2) of the program is closed at its start */
    enum ferry_delivery delivery;
    enum ferry_transfer transfer;
    uint64_t timeout_ns; /* stop it after so long from its start; 0: never */
    bool ignore_sigpipe; /* it starts with SIGPIPE ignored, as if its parent ignored it */
    void *user;          /* the caller's own, for ferry_vm_user */
    enum ferry_view view;
    /* A directory with the tree of another system, such as an unpacked image: it is "/" for the
     * program, read-only, whatever the modes say; with FERRY_VIEW_BARE only its libraries are.
     * NULL: this system's tree, as `view` says. `program` stays a path of the host. */
    const char *root_dir;
    const char *const *read_write_dirs; /* NULL-terminated: what it may read and change,
                                           under the same path */
    uint64_t write_limit_bytes; /* most it may add below them, in all; 0: 4 GiB. A file counts for
                                   its length and 4 KiB; what is removed counts no more */
    uint64_t cpu_ns;            /* most processor time that all its threads together may take, the
                                   VMM's work for them included; 0: no limit. Its end comes up to
                                   2 ms later for each processor of the host, more where those are
                                   busy */
    uint32_t threads;           /* most that each of its processes may have at a time; 0: 64; at
                                   most 1024 */
    uint32_t processes;         /* most that it may have at a time, the first among them; 0: 64; at
                                   most 1024 */
    /* Called when a system call of the program returns, whatever it returned, when the program takes
     * a signal, and at its end; NULL: nobody watches. From threads of the VM, which has the program
     * wait meanwhile: never twice at once for one VM, at once for several. The callback may call
     * ferry_vm_name, ferry_vm_user and ferry_vm_stop, nothing else of this library. */
    void (*trace)(void *arg, struct ferry_vm *vm, const struct ferry_trace *event);
    void *trace_arg;
    /* Not NULL: the new VM is a copy of that one. It begins where the snapshot of that one was taken
     * (ferry_vm_snapshot), with the same memory, registers and descriptors, and shares the memory that
     * neither writes. Program, arguments, environment, files, view and limits but those of time are that
     * one's: leave these members, and `trace`, 0. That VM was not started yet, or has its snapshot; it must
     * have it, and not be destroyed, when this one starts, and is needed no longer. Give this one the links
     * that the program knows, in the same order. */
    struct ferry_vm *copy_of;
};

/* Makes the VM and loads the program; runs nothing yet.
 *
 * Errors:
 * -EINVAL: a name or value that cannot be
 * -E2BIG: `config` has members that this library does not know, or arguments and environment are
 *  too long
 * -EEXIST: the name is taken
 * -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG: the program, its interpreter or loader, or a directory
 *  of read_only_dirs or read_write_dirs, is not there; -ELOOP also: more than 5 scripts interpret each other
 * -EACCES: no right to run the program, or to read a directory
 * -ENOEXEC: no ELF file and no script, malformed, for another machine, or linked where Ferry cannot
 *  place it
 * -ELIBBAD: its loader is such a file
 * -EAGAIN: the file was changed while it was read, or no thread can be started
 * -ENOMEM: memory_bytes is too small for the program, or the host has no memory or mappings left
 * -EMFILE, -ENFILE: no descriptor is left
 * -EIO: the file cannot be read, or KVM does not take the state of a processor
 * others: the error of a system call on the file or on KVM */
static inline int ferry_vm_create(struct ferry_engine *engine, const struct ferry_vm_config *config,
                                  struct ferry_vm **out, struct ferry_error *err)
{
    return ferry_vm_create_sized(engine, config, sizeof *config, out, err);
}

/* Starts the program. Links must have been made before. A copy begins at the snapshot; what was sent to
 * it before was refused, with -EPIPE. One that could not be started may be started again.
 *
 * Errors:
 * -EALREADY: it was started before, also if two threads start it at once
 * -EAGAIN, -ENOMEM, -EMFILE: no thread can be started, or the host has no memory or descriptors for
 *  a copy
 * -EINVAL: it is a copy of a VM that has no snapshot
 * -EBUSY: it is a copy, and one of its links is direct or a stream of another VM, or a list of a directory
 *  was open at the snapshot
 * others: it is a copy, and a file that was open cannot be opened anew */
FERRY_API int ferry_vm_start(struct ferry_vm *vm, struct ferry_error *err);

/* Starts the program in place of ferry_vm_start, and takes a snapshot of the VM when the program is ready:
 * its memory, registers and descriptors. It is when it calls ferry_ready(); a program that does not know of
 * the message layer also when it is about to read its standard input, or to wait for it. It
 * goes on then; ferry_vm_reset brings it back to that point. Blocks until the snapshot is there, at most
 * timeout_ns (UINT64_MAX: for ever).
 *
 * The snapshot lives as long as the VM, and takes memory of this process beside that of the VM: as much as
 * the program had filled. From then on the VM's memory is a private mapping of it, and a page takes memory
 * of its own when it is written. Such a VM has no guest kernel: each of its system calls makes an exit.
 *
 * After an error the program runs on if it had begun, and there is no snapshot.
 *
 * Errors:
 * -EALREADY: it was started before
 * -EINVAL: it is a copy, which begins with a snapshot
 * -EAGAIN: no thread can be started
 * -ESRCH: the program ended before it was ready
 * -ETIMEDOUT: it was not ready in time
 * -EBUSY: it cannot be brought back, and the text says why: it has a second thread or process, a pipe, a
 *  socket, a timer, files in memory, memory that it shares, a lock, a signal that it did not take, a
 *  message or an extent, or has written output; it was given a descriptor of the host; one of its links is
 *  direct, a stream of another VM, or has ended; or somebody watches its calls
 * -ENOMEM, -EMFILE: the host has no memory or descriptor for it */
FERRY_API int ferry_vm_snapshot(struct ferry_vm *vm, uint64_t timeout_ns, struct ferry_error *err);

/* Brings the VM back to its snapshot, whether its program runs or has ended, and lets it go on from there.
 * Returns when it does. What the program had received or lent goes home first, what it sent and nobody has
 * taken by then is lost, and so are messages that were on their way to it: send to it after this call.
 * Its memory, registers, descriptors, their positions, directories in memory and limits are as they were;
 * time goes on, and so do figures. What it changed on the host (read_write_dirs) stays changed, but locks,
 * which are given up. timeout_ns and cpu_ns begin anew.
 *
 * All runs from one snapshot begin with the same memory, so with the same seeds of random numbers, the same
 * addresses and the same stack protector: ferry_ready() returns another number in each, by which a program
 * can tell, and getrandom(2) gives each its own bytes.
 *
 * A VM with a snapshot does not end with its program: ferry_vm_wait tells how that ended, and its links
 * stay. Those with the host hang up with each run and are open again in the next; until then a send to it
 * gives -EPIPE.
 *
 * It stops the program as ferry_vm_stop does if it runs, and waits for its threads. Several threads may
 * call it, one after the other is served; none may destroy the VM meanwhile.
 *
 * Errors:
 * -EINVAL: there is no snapshot
 * -ENOMEM, -EMFILE, -EAGAIN: the host has no memory for it now; the program does not run, and a later
 *  call may do */
FERRY_API int ferry_vm_reset(struct ferry_vm *vm, struct ferry_error *err);

/* Gives the program a descriptor of this process as its fd 0, 1 or 2, in place of a stream over
 * messages. It is then a terminal, a file, a pipe, a socket or a device for the program, as for a
 * process that inherits it: with its size and position, its modes and window size, and no other
 * rights than the descriptor has. The library takes a copy, and never changes its flags. To be called
 * before the VM is started, and any number of times. When the VM is destroyed, the modes of a terminal
 * are what they were before the program set others. Messages still go over links. Waits for no more
 * than what the file system of a file says about it.
 *
 * Errors:
 * -EINVAL: `fd` is not 0, 1 or 2
 * -EBADF: `host_fd` is not open, or was opened by O_PATH
 * -EALREADY: the VM was started
 * -EMFILE, -ENOMEM: no descriptor or no memory is left */
FERRY_API int ferry_vm_give_fd(struct ferry_vm *vm, int fd, int host_fd, struct ferry_error *err);

/* Says what to do when the program has closed the last descriptor of what it was given as `fd`, other
 * than by its end: `closed` is called on a thread of the VM, with all signals blocked, and must return
 * soon, as the program waits meanwhile. Who keeps a descriptor of the same pipe or socket can close
 * that then, or nobody at the other end learns that it was closed. Of a terminal nothing is told. NULL:
 * nobody wants to know. To be called before the VM is started. Never blocks. */
FERRY_API void ferry_vm_on_close(struct ferry_vm *vm, void (*closed)(void *arg, int fd), void *arg);

/* Sends the program a signal (1 to 31) as kill(2) from outside does: its handler runs, or it ends
 * (FERRY_ENDED_SIGNAL), stops, or nothing happens, as the program chose. One that is sent again
 * before the program took it is sent once. Never blocks; may be called at any time, also before the
 * VM is started and after its program ended. */
FERRY_API void ferry_vm_signal(struct ferry_vm *vm, int signo);

/* Says what to do when a signal (SIGTSTP, SIGTTIN, SIGTTOU, SIGSTOP) stops the program: `pause` is
 * called on a thread of the VM, with all signals blocked, and that thread of the program goes on when it
 * returns; others go on meanwhile, unless `pause` stops the whole process, as the command does there. A
 * VM that is to end waits for it. NULL, and without this call: these signals do nothing unless the
 * program handles them. To be called before the VM is started. Never blocks. */
FERRY_API void ferry_vm_on_pause(struct ferry_vm *vm, void (*pause)(void *arg, int signo),
                                 void *arg);

/* Asks a running VM to end, as by signal `signo` (SIGTERM, SIGINT, ...);
 * ferry_vm_wait then reports FERRY_ENDED_STOPPED. Never blocks. */
FERRY_API void ferry_vm_stop(struct ferry_vm *vm, int signo);

/* How a program ended. */
enum ferry_ended {
    FERRY_ENDED_EXIT = 1,    /* the program ended by itself; status is its exit code */
    FERRY_ENDED_SIGNAL = 2,  /* a signal ended it: its own, one of ferry_vm_signal, SIGPIPE, or
                                SIGKILL as it touched more than memory_bytes */
    FERRY_ENDED_CRASH = 3,   /* a fault: signo is the signal Linux would have sent */
    FERRY_ENDED_STOPPED = 4, /* ferry_vm_stop */
    FERRY_ENDED_TIMEOUT = 5, /* ran longer than timeout_ns; status 124 */
    FERRY_ENDED_FAULT = 6,   /* the host could not run it further; status 125 */
    FERRY_ENDED_CPU = 7,     /* used up cpu_ns; status 152, as of SIGXCPU */
};

/* How it ended, and where. */
struct ferry_vm_exit {
    enum ferry_ended how;
    int status; /* exit code, or 128 + signo */
    int signo;  /* for SIGNAL, CRASH, STOPPED */
    /* It had more for its standard output than its reader took: the case in which SIGPIPE ends a
     * program. */
    bool output_unread;
    uint64_t rip; /* for CRASH */
    bool address_known;
    uint64_t address; /* for CRASH: what was touched */
    /* One line for people: how it ended; for a crash the signal, RIP, function and offset, for a
     * library's code its name and the address there, the thread if there are several, and which page
     * of which message it had no right to; if it failed, also the last thing it was refused (a file,
     * memory, a thread), with the option of the command that allows it. Names that the program gave
     * are cut and without control characters. */
    char text[512];
};

/* Blocks until the VM has ended, at most timeout_ns (UINT64_MAX: for ever; 0: a look). `out` may
 * be NULL. May be called again and by several threads.
 *
 * Errors:
 * -ETIMEDOUT: it still runs
 * -ECANCELED: it was destroyed and had never run */
static inline int ferry_vm_wait(struct ferry_vm *vm, uint64_t timeout_ns, struct ferry_vm_exit *out)
{
    return ferry_vm_wait_sized(vm, timeout_ns, out, sizeof *out);
}

/* Stops the VM if it runs, waits for its threads, brings its pages home, frees it and its links
 * (see the life cycle in libferry(3); a link that stays hangs up). Read messages and figures that you
 * still need before this call: payloads that the host allocated or received on its links become
 * invalid. No thread may begin another call on the VM or on such a link; calls that are inside
 * ferry_vm_wait or blocked on the link return first, with a hang-up or -ECANCELED. NULL is
 * allowed. */
FERRY_API void ferry_vm_destroy(struct ferry_vm *vm);

/* Figures of a VM. */
struct ferry_vm_stats {
    /* Doorbells, and writes of an unmodified program sent at their own exit because delivery is
     * immediate. */
    uint64_t exits_immediate;
    uint64_t exits_natural; /* all others */
    uint64_t messages_sent;
    uint64_t messages_received;
    /* The same exits by their cause: system calls; calls of the guest library; doorbells;
     * exceptions, first touches of memory among them; accesses that KVM took for ones to a device;
     * accesses that the host refused; kicks by the ticker or a signal; others. */
    uint64_t exits_syscall, exits_call, exits_doorbell, exits_exception;
    uint64_t exits_mmio, exits_refused, exits_kick, exits_other;
    /* Page faults that KVM served without an exit; 0 while the VM runs, and if KVM does not tell. */
    uint64_t guest_faults;
    uint64_t memory_slots;  /* KVM's, all that were made but those that a reset took away */
    uint64_t mapping_calls; /* mmap, mprotect and madvise behind the program's memory */
    uint64_t cpus;          /* that were made, each with a thread of the host */
};
/* At any time; each figure is exact by itself, and all of them once the VM has ended. */
static inline void ferry_vm_stats(struct ferry_vm *vm, struct ferry_vm_stats *out)
{
    (void)ferry_vm_stats_sized(vm, out, sizeof *out);
}

/* The name lives as long as the VM. */
FERRY_API const char *ferry_vm_name(struct ferry_vm *vm);

/* What its config said. */
FERRY_API void *ferry_vm_user(struct ferry_vm *vm);

/* ---- ferry_pool(3): virtual machines that are ready, for one request after the other ---- */
/*
 * A pool has a fixed number of VMs, which are copies of one that has a snapshot (ferry_vm_config.copy_of).
 * Who takes one has it where the snapshot was taken, whatever was done in it before.
 */
struct ferry_pool;

/* Makes one VM of a pool, with its links; it is not started. Returns 0, or a negative errno that
 * ferry_pool_create returns, with its text in `err`. */
typedef int (*ferry_pool_make)(void *arg, struct ferry_vm **out, struct ferry_error *err);

/* Makes a pool of `size` VMs, by as many calls of `make` on this thread; none of them runs yet. The VMs are
 * the pool's; links and what ferry_vm_user gives are the caller's to use.
 *
 * Errors:
 * -EINVAL: size is 0
 * -ENOMEM: no memory for the pool
 * others: what `make` returned */
FERRY_API int ferry_pool_create(uint32_t size, ferry_pool_make make, void *arg,
                                struct ferry_pool **out, struct ferry_error *err);

/* Takes a VM, whose program runs from the snapshot on: by ferry_vm_start the first time, by ferry_vm_reset
 * later. So its limits of time begin now. Blocks while others have all VMs, at most timeout_ns. Any number
 * of threads may call it.
 *
 * Errors:
 * -ETIMEDOUT: all are in use
 * others: those of ferry_vm_start and ferry_vm_reset; the VM stays in the pool */
FERRY_API int ferry_pool_take(struct ferry_pool *pool, uint64_t timeout_ns, struct ferry_vm **out,
                              struct ferry_error *err);

/* Gives a VM back that was taken. Its program ends if it runs; what it wrote is gone when somebody takes
 * the VM. Read messages and results before. Never blocks. */
FERRY_API void ferry_pool_give(struct ferry_pool *pool, struct ferry_vm *vm);

/* Destroys the pool and its VMs, as ferry_vm_destroy does; no thread uses any of it. NULL is allowed. */
FERRY_API void ferry_pool_destroy(struct ferry_pool *pool);

/* ---- ferry_link(3): the right to send from one virtual machine to another ---- */

/* What a link is for. */
struct ferry_link_config {
    /* fd 1 of `from` is fd 0 of `to`; at most one link each. The program reads the payloads that
     * the host sends there, in any mode, and a hang-up is its end of file. Bytes that the program
     * writes come to the host as messages, in modes and pieces that Ferry chooses. */
    bool stream;
    bool direct;           /* INLINE messages go from VM to VM without an exit; see below */
    uint32_t max_messages; /* in flight: LEND and COPY until released, MOVE until taken;
                              0: 16; at most 48. INLINE ones have an even share of the 1024
                              entries of the receiver's queue, by its number of links */
    void *user;            /* the caller's own, for ferry_link_user */
};

/*
 * A direct link: a ring of 1024 INLINE messages is mapped into both VMs, the slots writable by the
 * sender only. Both ends must be VMs, else -EINVAL. Only the two VMs see the messages in the ring:
 * these are not counted in any figures, and no limit or policy of the VMM applies to them. The
 * sender can read a page that the receiver writes, so the link is not one-way in the strict sense.
 * All other messages go as over any link, in order with those of the ring; only bytes that a
 * program writes to fd 1 have no order with INLINE messages. It needs membarrier (Linux 4.14 or
 * newer). Each ring takes 68 KiB.
 */

/* Lets `from` send to `to`. Nobody can send without a link, and a connection in both directions is
 * two links. NULL stands for the host; only one of the two may be NULL. To be called only before
 * either VM is started, and not while another thread links or starts one of the two.
 * `config` may be NULL.
 *
 * Errors:
 * -EINVAL: the two ends are the same, or of different engines; a value that cannot be; a
 *  direct link with the host
 * -E2BIG: `config` has members that this library does not know
 * -EBUSY: one of the VMs was started
 * -EEXIST: this link exists, or one of the VMs already has its standard input or output
 * -ENOSPC: one of the VMs has 16 peers
 * -ENOMEM: no memory, or no mappings, are left
 * -EMFILE, -ENFILE: no descriptor is left for a direct link
 * -ENOSYS, -EPERM: a direct link, and no membarrier(2)
 * others: the error of a system call for the ring of a direct link */
static inline int ferry_link_create(struct ferry_engine *engine, struct ferry_vm *from,
                                    struct ferry_vm *to, const struct ferry_link_config *config,
                                    struct ferry_link **out, struct ferry_error *err)
{
    return ferry_link_create_sized(engine, from, to, config, sizeof *config, out, err);
}

/* Ends a link, at any time: its receiver gets the messages that were sent and a hang-up, its sender
 * gets -EPIPE, the host end gives back all it has, as ferry_vm_destroy says. A running guest sees
 * that the host is gone when its last link with the host is. If its VMs are not yet started, or
 * have ended, each end may have another link in its place at once, unless the link is direct or
 * messages on it wait; else only when the VMs are destroyed. Not to be called while another thread
 * links or starts one of the two. The link may not be used after this; NULL is allowed. */
FERRY_API void ferry_link_destroy(struct ferry_link *link);

/* What its config said; NULL if it had none. */
FERRY_API void *ferry_link_user(struct ferry_link *link);

/* Figures of a link. */
struct ferry_link_stats {
    char from[32], to[32];      /* names; "host" for the host */
    uint64_t messages;          /* delivered */
    uint64_t bytes_handed_over; /* payload whose pages changed hands */
    /* Payload bytes the VMM copied, each copy counted: out of an unmodified program's write, on to
     * the receiver unless pages change hands, into its read. Inline ones are left out. */
    uint64_t bytes_copied;
    uint64_t bytes_inline;
    uint64_t bytes_taken; /* payload that the receiver has read, or received as a message */
    uint64_t pages_4k;    /* units handed over */
    uint64_t extents_2m;
    uint64_t table_calls;   /* page-table updates made for them; units side by side share one */
    uint64_t shoot_downs;   /* those that took rights away, which other processors must follow */
    uint64_t bytes_cleared; /* zeroed beside or behind payloads, so that nothing else is seen */
};
/* At any time, as ferry_vm_stats. */
static inline void ferry_link_stats(struct ferry_link *link, struct ferry_link_stats *out)
{
    (void)ferry_link_stats_sized(link, out, sizeof *out);
}

/* The peer at the other end of a link with the host, by Ferry's own records: the identity behind
 * src and src_generation of its messages (claims 7, 14). */
struct ferry_identity {
    uint16_t id;
    /* Tells this VM from an earlier one with the same id, and its program from the one before an
     * execve: a message carries that of the program which sent it. */
    uint32_t generation;
    char name[32];
    /* SHA-256 of the file that it runs now, as it was when it began: of the interpreter, if that is a
     * script; without loader, libraries and arguments. All zeros: more than 256 KiB of that file are
     * not loaded, such as debugging information, and the file was changed before anybody asked. */
    uint8_t digest[32];
};
/* Tells the peer at the other end. The first call for a file reads all of it, and blocks for so
 * long; ferry_link_cancel ends that, and then the digest is all zeros too. */
static inline void ferry_link_peer(struct ferry_link *link, struct ferry_identity *out)
{
    (void)ferry_link_peer_sized(link, out, sizeof *out);
}

/* ---- ferry_message(3): the host as a peer of virtual machines ---- */
/*
 * The host end of each link is a peer of its own with id 0: what was allocated or received on one
 * link cannot be sent, released or freed on another. One thread may send while another receives;
 * two threads must not send on one link at once. With a timeout of 0 a call does not wait, and
 * makes no system call unless there is something to do.
 *
 * An end that receives owns at most as many units as the VM at the other end may own: a MOVE of
 * more waits until the host frees some.
 */

/* Messages name memory by host pointers; src and src_generation identify the sender. To send, fill
 * mode, tag, data and bytes, perhaps rest_is_zero, and leave the rest 0. A received message may be
 * copied by assignment, and sent again, for as long as its payload is valid. */
struct ferry_message {
    int mode; /* FERRY_INLINE, _COPY, _LEND, _MOVE, _HANGUP: ferry/abi/message.h */
    /* LEND, MOVE: the sender states that its units hold only zeros beside the payload. */
    bool rest_is_zero;
    uint64_t tag;
    void *data; /* payload; INLINE received: NULL, as it is in `inline_data` */
    size_t bytes;
    uint16_t src, dst; /* these, up to `token`, are filled by ferry_link_recv only */
    uint32_t src_generation, dst_generation;
    uint32_t message; /* its number on this link, counted by the VMM; 0 for INLINE and HANGUP */
    uint32_t token;   /* what ferry_link_release takes */
    uint8_t inline_data[FERRY_INLINE_BYTES]; /* INLINE sent: the payload if data is NULL */
    uint32_t zero;                           /* 0 */
};

/* Where the payload of a message is, whatever its mode. */
static inline const void *ferry_message_data(const struct ferry_message *message)
{
    return message->mode == FERRY_INLINE && !message->data ? message->inline_data : message->data;
}

/* Gets `count` adjacent units from the pool, zeroed, owned by the host end of this link; `page`:
 * 4 KiB units instead of extents.
 *
 * Errors:
 * -EINVAL: none were asked for
 * -ENOMEM: the pool has none, or the process no mappings
 * -EPERM: the link is between two VMs */
FERRY_API int ferry_link_alloc(struct ferry_link *link, size_t count, bool page, void **out);

/* Gives whole owned units back, or none of them.
 *
 * Errors:
 * -EINVAL: not whole units of the pool
 * -EPERM: not all are owned here, or the link is between two VMs
 * -ENOMEM: the process has no mappings left */
FERRY_API int ferry_link_free(struct ferry_link *link, void *addr, size_t bytes);

/* Sends over a link from the host. All or nothing: 0, or nothing changed.
 * INLINE (at most 32 bytes) and COPY (at most 65536) take payloads from any memory, which is the
 * caller's again when this returns.
 * LEND and MOVE take payloads inside owned units; while lent they must not be
 * written (the host's view stays open: this is a promise, not a page fault). The
 * receiver gets whole units: their bytes beside the payload are zeroed, for good, also if
 * the send fails with -ENOMEM, unless the message says that they are zero already.
 * Blocks while the receiver has no room, and for a LEND also while 64 loans of this
 * link are out or not yet taken by ferry_link_reclaim, at most timeout_ns.
 *
 * Errors:
 * -EINVAL: a mode that cannot be, or a member that must be zero is not
 * -E2BIG: the message has members that this library does not know
 * -EMSGSIZE: too long for its mode, or a MOVE of more units than the receiver may own
 * -EFAULT: LEND or MOVE of a range that is not in the pool
 * -EPERM: not all units are owned here, or the link is not from the host
 * -EPIPE: the receiver is gone, or the link was hung up or refused
 * -ETIMEDOUT: the receiver had no room for so long
 * -ECANCELED: ferry_link_cancel, or the link is being destroyed
 * -ENOMEM: the process has no mappings left */
static inline int ferry_link_send(struct ferry_link *link, const struct ferry_message *message,
                                  uint64_t timeout_ns)
{
    return ferry_link_send_sized(link, message, sizeof *message, timeout_ns);
}

/* Blocks until the receiver has looked for messages of this link for the first time: by a read,
 * poll or splice of its standard input, or by receiving with libferry-guest. So a sender that
 * takes its data from elsewhere can wait until they are wanted.
 *
 * Errors:
 * -EPIPE: the receiver is gone, or takes none
 * -EPERM: the link is not from the host
 * -ETIMEDOUT: it has not looked for so long
 * -ECANCELED: ferry_link_cancel, or the link is being destroyed */
FERRY_API int ferry_link_await_receiver(struct ferry_link *link, uint64_t timeout_ns);

/* Takes the next loan of this link that came home: its units may be written again. Blocks at most
 * timeout_ns. A loan that was forwarded is out until its last borrower releases it. That may be the
 * host's end of another link: if it receives no more, destroy that link or cancel this wait.
 *
 * Errors:
 * -ENOENT: nothing is lent out
 * -EPERM: the link is not from the host
 * -ETIMEDOUT: none came home for so long
 * -ECANCELED: ferry_link_cancel, or the link is being destroyed */
FERRY_API int ferry_link_reclaim(struct ferry_link *link, uint64_t timeout_ns, void **addr,
                                 size_t *bytes);

/* Nothing more will be sent: the receiver gets FERRY_HANGUP after the last message.
 *
 * Errors:
 * -EPERM: the link is not from the host */
FERRY_API int ferry_link_hangup(struct ferry_link *link);

/* The host takes nothing more from a link to it: sending gives -EPIPE, and to plain output the link
 * is a pipe that nobody reads (SIGPIPE, POLLERR). Messages that have arrived can still be received;
 * FERRY_HANGUP follows.
 *
 * Errors:
 * -EPERM: the link is not to the host */
FERRY_API int ferry_link_refuse(struct ferry_link *link);

/* Takes the next message of a link to the host; blocks at most timeout_ns. A payload that was lent
 * or copied stays valid until ferry_link_release; one that was moved is owned by the host end now,
 * until ferry_link_free. INLINE messages need no release. FERRY_HANGUP comes last, and again each
 * time.
 *
 * Errors:
 * -ETIMEDOUT: none came for so long
 * -EPERM: the link is not to the host
 * -ECANCELED: ferry_link_cancel, or the link is being destroyed */
static inline int ferry_link_recv(struct ferry_link *link, uint64_t timeout_ns,
                                  struct ferry_message *message)
{
    return ferry_link_recv_sized(link, timeout_ns, message, sizeof *message);
}

/* Gives back a payload that was lent or copied; it must not be touched afterwards.
 *
 * Errors:
 * -EINVAL: no such token is held
 * -EPERM: the link is not to the host */
FERRY_API int ferry_link_release(struct ferry_link *link, uint32_t token);

/* Makes blocked and later host calls on this link return -ECANCELED; for shutting down. */
FERRY_API void ferry_link_cancel(struct ferry_link *link);

/* ---- ferry_jail(3): what this process may still ask of the kernel once guests run ---- */

/* What ferry_jail leaves to the process. */
struct ferry_jail_config {
    /* Root keeps the right to the files of others (CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID), for
     * programs that were given such files. */
    bool files_of_others;
    /* The process becomes this user and group, without other groups. Only root may. */
    bool change_user;
    uint32_t uid, gid;
    /* Files and directories that stay open besides those of VMs that were made: for VMs that are made later
     * (their programs and directories) and for the embedder itself. Lists that end with NULL; NULL: none. What
     * is below a directory stays open too. Read during the call only. */
    const char *const *read_only_paths, *const *read_write_paths;
};

/* From here on the whole process, not only the library, can make no system call but those that the
 * library needs to run VMs that were made. Any other call kills the process by SIGSYS: it starts no
 * program, makes no memory that can be executed (so it loads no library either), makes no socket but a
 * pair of AF_UNIX, sends no signal to others. The kernel's audit log names the call.
 *
 * Where the kernel has Landlock (Linux 5.19 or newer, if it was started with it), nothing can be opened,
 * made, moved or removed but what the VMs that were made need, what `config` names, and what is read of
 * /proc/self and of the processors: another open fails with EACCES. A file that is named alone is the
 * one that is there now: name the directory of one that is replaced later. As far as the kernel can, TCP
 * and abstract sockets of other processes are refused, too. On an older kernel all files stay open that the
 * user may open, and the engine's log says so (FERRY_LOG_INFO).
 *
 * Capabilities are given up, and files closed, for the calling thread and those that it starts later;
 * no thread can gain rights by a program that it starts. No thread moves another one to other processors.
 * One engine and one call for a process: VMs and threads of another engine are not looked at. The process
 * makes no core and cannot be looked into by others of its user. Nothing undoes this.
 *
 * Call it when the VMs, links and descriptors of the process are made and before the first VM starts,
 * best while the process has no thread but this one and those of the library. What was opened before
 * stays open; what is given to a VM later its program cannot open anew, as /dev/stdin, unless `config`
 * names it. A VM that is made later runs if `config` names its files (for the default view at least
 * /usr, /lib, /lib64 and /etc/ld.so.cache), but has no directories in memory (/tmp and the like). Such
 * directories of the engine's VMs are made now, and each takes two of its descriptors. `config` may be
 * NULL: all zeros. After an error a part may have been done: end the process.
 *
 * Errors:
 * -EINVAL: the struct is too short
 * -E2BIG: `config` has members that this library does not know
 * -EBUSY: a VM of the engine was started, or a thread has a filter of its own
 * -EALREADY: the process is in the jail
 * -EPERM: only root may change the user
 * -ENOENT, -ENOTDIR, -EACCES: a path of `config` cannot be found
 * others: the error of a system call that gives rights up or installs the filter */
static inline int ferry_jail(struct ferry_engine *engine, const struct ferry_jail_config *config,
                             struct ferry_error *err)
{
    return ferry_jail_sized(engine, config, sizeof *config, err);
}

/* ---- ferry_machine(3): what a machine offers and what it costs ---- */

/* What ferry_machine_probe found and measured. */
struct ferry_machine {
    int kvm_errno; /* 0, or why /dev/kvm cannot be used */
    int kvm_api;   /* 12 */
    bool huge;     /* extents of a memfd can be made huge */
    bool unsure;   /* other work kept all cores busy: handover_ns may be too small */
    long max_map_count;
    uint64_t exit_ns; /* one `out` at CPL3 and back; 0: not measured */
    /* As in ferry_engine_info; 0: not measured */
    uint64_t handover_ns, touch_ns, copy_ns;
    uint64_t crossover_bytes;
};
/* Examines this machine, and always measures, some 10 ms. If there is no KVM, kvm_errno says so;
 * that is no error. */
static inline void ferry_machine_probe(struct ferry_machine *out)
{
    (void)ferry_machine_probe_sized(out, sizeof *out);
}

/* Puts what was measured into the file that ferry_engine_config.measure_cache names.
 * *held_crossover: the crossover that engines have read from that file so far, 0: none.
 *
 * Errors:
 * -EBUSY: the figures are unsure
 * -ERANGE: the figures are impossible, as when nothing was measured
 * -E2BIG: `machine` has members that this library does not know
 * -ENOENT, -ENOTDIR, -EISDIR, -EACCES, -EROFS, -ENOSPC: the file cannot be written
 * others: another error of a system call on the file */
static inline int ferry_machine_keep(const struct ferry_machine *machine, const char *path,
                                     uint64_t *held_crossover)
{
    return ferry_machine_keep_sized(machine, sizeof *machine, path, held_crossover);
}

#ifdef __cplusplus
}
#endif

#endif
