/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the personality: the state of one program as Linux would keep it. */
#ifndef FERRY_HOST_LINUX_STATE_H
#define FERRY_HOST_LINUX_STATE_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <ferry/abi/layout.h>

#include "lib/bits.h"
#include "linux/linux.h"
#include "linux/mounts.h"
#include "linux/signal_state.h"
#include "linux/vm_linux.h"
#include "program/space.h"
#include "stream/stream.h"

#define DESCRIPTORS_MAX 1024 /* RLIMIT_NOFILE at the start */
#define HOST_FILES_MAX  LINUX_WATCHED_MAX
#define CALLS_MAX       512 /* numbers from here on are no x86-64 system calls */

/* The buffer size that stdio libraries use (st_blksize). It is large for input, since each call is
 * a VM exit and a read waits for the first byte only. For output it is that of a pipe: bytes in a
 * larger buffer arrive late, and are lost when the program crashes. */
#define INPUT_BLOCK_BYTES (256 << 10)

/* ---- descriptors (descriptors.c) ---------------------------------------- */

enum file_kind {
    FILE_INPUT,     /* the VM's input stream */
    FILE_OUTPUT,    /* its output stream */
    FILE_ERROR,     /* the host's descriptor for standard error */
    FILE_DEVICE,    /* /dev/null and its like: enum device */
    FILE_REGULAR,   /* a file below a mount, or one that is made up */
    FILE_DIRECTORY, /* a directory there */
    FILE_LIST,      /* a directory that the host has not so: listing.c */
    FILE_PIPE,      /* pipe.c */
    FILE_EVENT,     /* event.c */
    FILE_EPOLL,     /* epoll.c */
    FILE_TIMER,     /* timer.c */
    FILE_SOCKET,    /* socket.c */
    FILE_INOTIFY,   /* inotify.c */
    FILE_GIVEN,     /* the embedder's terminal, pipe or socket: given.c */
    FILE_SIGNALS,   /* signalfd.c */
    FILE_NAME,      /* names_threads.c */
    FILE_KINDS,
};

/* By their minor numbers on Linux; /dev/tty also by its major one. */
enum device {
    DEVICE_NULL = 3,
    DEVICE_ZERO = 5,
    DEVICE_FULL = 7,
    DEVICE_RANDOM,
    DEVICE_URANDOM,
    DEVICE_TTY = 0x500,
    DEVICE_TERMINAL, /* and from there on: terminals that were given, by their own names */
};

/* An open file description: shared by the descriptors that were duplicated from one. */
struct open_file {
    enum file_kind kind;
    unsigned references;
    int status;         /* access mode, O_NONBLOCK, O_APPEND */
    int fd;             /* of the host; -1 for kinds without one */
    bool local;         /* its file system answers always; else fd is O_PATH: see host_file.h */
    off_t position;     /* of FILE_REGULAR, FILE_DIRECTORY and FILE_LIST */
    bool position_used; /* by a call, which may wait for its file system; */
    unsigned position_wanted; /* so many others wait for that call */
    char *path;               /* absolute; NULL for streams and devices */
    enum device device;
    int32_t thread;            /* of FILE_NAME: whose */
    void *object;              /* what it works on; of the kinds that have one */
    unsigned short_reads;      /* guest_files.c: that made an exit */
    bool refuses_map;          /* likewise: it cannot be mapped */
    unsigned short_writes;     /* guest_rooms.c: that made an exit */
    unsigned watches;          /* sets of epoll that it is in */
    uint32_t pipe_bytes;       /* what F_SETPIPE_SZ said; 0: nothing */
    uint32_t stalls;           /* of a stream: how often it was read, or had no room */
    bool given;                /* the embedder's: FILE_REGULAR or FILE_GIVEN; */
    int given_as;              /* 1 more than the descriptor as which it came; 0: opened later */
    bool shares_position;      /* of a given FILE_REGULAR: the position is the descriptor's */
    bool terminal, socket;     /* of FILE_GIVEN */
    short held;                /* of FILE_GIVEN: events that held at the last look, */
    uint32_t came;             /* and how often one came */
    bool may_block;            /* of FILE_GIVEN: only a look by poll tells that a call does not */
    uint64_t stopped_ns;       /* of a terminal: when it last stopped the program */
    struct writable *writable; /* it is where the program may write; or NULL */
    dev_t dev;                 /* of a file there */
    ino_t ino;
    struct open_file *next_writable, **writable_link; /* of all such, wherever they are held */
    struct space_file *seen; /* what its mappings are called, once it has some; or NULL */
    size_t charged;          /* for what it holds: of a file that is made up */
};

struct descriptor {
    struct open_file *file; /* NULL: closed */
    bool close_on_exec;
};

/* ---- threads (threads.c, task.c, signals.c) ------------------------------ */

#define FUTEX_QUEUES 64

/* By what a word of shared memory is known to all processes that have it mapped. */
struct futex_name {
    bool is_shared; /* else it is no such word */
    uint64_t dev, ino, offset;
    const struct space_file *file; /* as a number: of memory that is no file's */
};

/* A thread that waits for a word. It lies on the stack of the call that waits. */
struct futex_wait {
    struct futex_wait *next, *previous; /* of its queue; NULL: it was woken */
    struct linux_thread *thread;
    uint64_t addr;
    struct futex_name name; /* beside the address */
    uint32_t bitset;
    bool pi;        /* for a lock with priority inheritance, which it is given by its holder */
    uint64_t lock;  /* the lock that it will wait for then, and nothing else may wake it; 0: none */
    int32_t holder; /* pi: the thread that holds it, whatever the word says meanwhile */
};

#define TASK_NAME_BYTES 16

/* On which processors of the program a thread may run, by their numbers; all unless one set it. */
struct affinity {
    bool is_set;
    uint64_t set[CPU_SETSIZE / 64];
};

/* Values that can be set and asked for, and most change nothing in a VM. */
struct task {
    char name[TASK_NAME_BYTES];
    uint32_t death_signal, keep_capabilities;
    uint32_t persona;
    bool no_new_privileges;
    bool named; /* by the program */
    uint64_t timer_slack_ns, robust_list;
    struct affinity affinity;
};

#define GIVEN_NAME_BYTES 200

/* No call works on more files than these; poll and select look theirs up anew after each wait. */
#define CALL_FILES 4

/* The call that is being served: what lasts only as long as it. */
struct current_call {
    struct vcpu *cpu; /* that made it */
    /* How the program goes on after it. */
    enum linux_next next;
    int status;
    /* Open files that it works on, each with a reference: another thread may close their descriptors
     * while it waits. */
    struct open_file *used[CALL_FILES];
    unsigned used_count;
    bool timed; /* a signal interrupted a wait that had a limit: the call is not made again */
    bool wrote; /* something into a file */
    /* The name it gave, if it gave one; for refused.c. */
    bool named;
    bool relative; /* to ferry's working directory, which no --ro holds */
    bool outside;  /* the name leads out of all read-only directories */
    char name[GIVEN_NAME_BYTES];
};

/* What each thread of a program has of its own. */
struct linux_thread {
    struct linux_thread *next; /* of the process */
    int32_t id;
    bool ended;        /* the first one, which stays until the program ends */
    uint64_t took_ns;  /* of processor time, until then */
    uint64_t clear_id; /* the word that is zeroed and woken at its end; 0: none */
    struct thread_signals signals;
    struct task task;
    struct current_call *call; /* NULL: it is in no call */
    /* In whose queue it may wait for a lock with priority inheritance; NULL: for none. */
    const struct futex_wait *lock_wait;
};

struct processors {
    cpu_set_t host; /* those of the host that are there for the program */
    unsigned count; /* of the program's own, from 0 on */
};

#define VECTOR_WORDS_MAX 64

/* /etc/passwd and its like. */
#define MADE_FILES 64 /* at most */

/* ---- what was refused last (refused.c) ----------------------------------- */

struct refused {
    /* The text; empty: nothing was refused. */
    char text[2 * GIVEN_NAME_BYTES + 80];
    bool looked_at_host; /* for a limit of its own */
    bool probe;          /* text is about something that programs look for and do without */
};

/* What the guest kernel is told of a descriptor (told.c). */
struct told {
    uint32_t fd_and_one; /* the descriptor that the last call was about, plus 1; 0: none */
    uint32_t generation;
    unsigned asked; /* so many calls were questions that could have been answered so */
    struct ferry_kernel_words *words; /* where it is published; NULL: nothing is */
};

/* Words one after the other, each with its NUL. */
struct kept_words {
    char *text;
    size_t bytes;
};

/* What the processes of a program have in common, as what Linux's kernel keeps for all. Each has a
 * reference. */
struct linux_common {
    unsigned references;
    struct linux_state *processes; /* all of them, the first one last */
    unsigned process_count, zombie_count;
    bool first_ended;
    int32_t foreground; /* the group that signals of the keyboard go to */
    unsigned host_files;
    unsigned files[FILE_KINDS]; /* open files of each kind */
    int made[MADE_FILES];       /* memfds of those that never change, plus 1; 0: not made yet */
    int error_fd;               /* standard error opened anew, or -1 */
    int error_given;            /* that, or the descriptor that it was given as; -1: none */
    unsigned refused;           /* files that were refused and mentioned */
    struct view view;
    int32_t last_id;                /* of a thread */
    uint64_t named[CALLS_MAX / 64]; /* calls already said not to be offered */
    bool said_int80;                /* a 32-bit call was already said not to be offered */
    struct rights *rights_dropped;  /* rights.c: to be closed by who does so already */
    bool dropping_rights;
    unsigned files_sent; /* open files on their way between sockets */
    uint64_t sockets_mark;
    uint64_t objects; /* that were ever made: objects.c */
    uint64_t object_bytes, object_bytes_most;
    bool live_known, live_works; /* whether files can be mapped; asked once: memory.c */
    struct open_file *writables; /* all open files that are where the program may write */
    struct writable *memfds;     /* what counts the contents of all of them; or NULL */
    struct epoll *epolls;        /* all of them */
    unsigned epoll_items;        /* in all of them */
    unsigned helpers;            /* processes of the host that make a call now: helper.c */
    struct host_watch *watch;    /* watch.c; or NULL */
    struct terminal *terminals;  /* that were given, each once: terminal.c */
};

/* What processes have used: processor time in all, memory each at most. */
struct used {
    uint64_t cpu_ns, memory_bytes;
};

struct linux_state {
    struct ferry_vm *vm;
    struct linux_common *common;
    struct linux_state *next_process; /* of all */
    struct linux_state *parent;       /* NULL: nobody here */
    int32_t pid, group, session;
    bool stopped; /* it was stopped by itself, while others run */
    int changed;  /* what its parent was not told yet of stopping, as wait4 tells it; 0: nothing */
    int exit_signal;           /* what its parent is sent at its end; 0: nothing */
    struct zombie *own_zombie; /* what will be left of it */
    struct zombie *zombies;    /* what is left of its children, until it asks; */
    struct used children;      /* and what those used of which it has asked */
    atomic_bool
        *runs_apart; /* its parent waits until it no longer needs the parent's memory; or NULL */
    struct descriptor descriptors[DESCRIPTORS_MAX];
    struct timespec started;
    bool begun;    /* the first program has: names of others are not the host's */
    char *program; /* its path, or NULL */
    char *opened;  /* the path of the last file that linux_open_program opened, or NULL */
    struct kept_words arguments, environment; /* at its start */
    struct record_owner *record_owners;       /* locks.c */
    unsigned records;                         /* that the host may keep for it, at most */
    char *cwd;                                /* absolute, normalised */
    uint32_t umask;
    struct processors processors;
    uint64_t memory_bytes;
    uint64_t stack_start;              /* the stack reaches from here to FERRY_PROGRAM_HIGH */
    uint64_t stack_top;                /* the stack pointer at the start; 0: not known */
    uint64_t vector[VECTOR_WORDS_MAX]; /* the auxiliary vector at the start */
    unsigned vector_words;
    uint64_t heap_start, heap_break,
        heap_mapped; /* heap_mapped: page boundary at or after the break */
    struct process_signals signals;
    struct alarms alarms;
    struct rlimit limits[RLIM_NLIMITS];
    uint32_t dumpable, child_subreaper, no_huge_pages;
    bool membarrier_registered;
    bool keeps_to_some;           /* a thread may not run on all processors, or might not */
    struct linux_thread *threads; /* all of them, the first one last */
    /* The one whose call is being served; while a call waits, others have this place. All else is
     * the process's. */
    struct linux_thread *thread;
    unsigned thread_count; /* that have not ended */
    int first_status;      /* what the first one exited with */
    struct futex_wait futexes[FUTEX_QUEUES];
    struct code_files *code_files; /* code_files.c; or NULL */
    struct refused refused_last;
    bool closing;  /* the program has ended: its streams are not its own to close */
    uint64_t told; /* the thread or descriptor of which a file in /proc is made up */
    struct guest_files *guest_files; /* guest_files.c; or NULL */
    struct guest_rooms *guest_rooms; /* guest_rooms.c; or NULL */
    struct told descriptor_told;     /* told.c */
    struct mapped_file *mapped;      /* mapped.c */
    size_t mapped_count, mapped_room;
    bool traced; /* somebody watches its calls: trace.c */
};

/* ---- guest memory (memory.c): each byte is fetched once ------------------ */

/* 0 or -EFAULT. */
int guest_get(struct linux_state *state, uint64_t addr, void *to, size_t bytes);
int guest_put(struct linux_state *state, uint64_t addr, const void *from, size_t bytes);
/* A string with its NUL; -ENAMETOOLONG if it does not fit. */
int guest_get_string(struct linux_state *state, uint64_t addr, char *to, size_t bytes);

/* Before a call changes what is mapped in the range: what the heap keeps beyond its break is no memory
 * of the program's, and goes. */
void memory_meet(struct linux_state *state, uint64_t start, uint64_t bytes);
void memory_init(struct linux_state *state, uint64_t heap_start);
/* Copies up to `bytes` of the file into a memfd, which is as long as the bytes that there are. The
 * result is its descriptor. */
int file_copy(struct linux_state *state, const struct open_file *file, uint64_t bytes,
              uint64_t offset, uint64_t *got);

/* The end of a program's addresses on Linux; the addresses that Ferry has for it end earlier. */
#define MEMORY_USER_END 0x7ffffffff000ull

/* ---- maps.c -------------------------------------------------------------- */

/* What a mapping of the file, or of shared memory that is no file's, is called; with a reference. */
int maps_of_file(struct linux_state *state, struct open_file *file, struct space_file **out);
int maps_of_shared(struct linux_state *state, struct space_file **out);

/* ---- children.c ---------------------------------------------------------- */

/* The process of that number, or of which that is a thread; NULL. */
struct linux_state *process_find(const struct linux_state *state, int32_t id);
/* The same; 0 means the caller's. */
struct linux_state *process_named(struct linux_state *state, uint64_t id);
/* Another program begins, or the process ends: its parent may go on, if it waits for that. */
void process_runs_apart(struct linux_state *state);

/* ---- descriptors.c ------------------------------------------------------- */

/* closed: bit n says that descriptor n is closed at the start. */
int descriptors_init(struct linux_state *state, int stderr_fd, unsigned closed);
void descriptors_fini(struct linux_state *state);
/* Descriptor `fd`, of the first three, is this file from now on. */
void descriptor_give(struct linux_state *state, unsigned fd, struct open_file *file);
/* NULL: not open, or the call has asked for CALL_FILES others. It remains until the call ends, as on
 * Linux, also if it is closed meanwhile. */
struct open_file *descriptor_file(struct linux_state *state, uint64_t fd);
/* Only until the next wait: after it another thread may have closed the file. NULL: not open. */
struct open_file *descriptor_look(const struct linux_state *state, uint64_t fd);
/* The call ends: it gives those back. */
void descriptors_unused(struct linux_state *state, struct current_call *call);
/* One more than the highest descriptor the program may have: RLIMIT_NOFILE, as it set it. */
unsigned descriptors_limit(const struct linux_state *state);
/* The lowest free descriptor from `from` on now refers to the file, which gains
 * a reference; -EMFILE. */
int descriptor_install(struct linux_state *state, struct open_file *file, unsigned from,
                       bool close_on_exec);
/* A file like that with one reference, the caller's. Takes over its `fd` and `path`, also when it
 * fails. */
int file_create(struct linux_state *state, struct open_file like, struct open_file **out);
void file_release(struct linux_state *state, struct open_file *file);
/* Whether the access mode allows it. False also for NULL. */
bool file_can_read(const struct open_file *file);
bool file_can_write(const struct open_file *file);

/* ---- file_types.c -------------------------------------------------------- */

/* 0, or -EINTR. */
int file_stat(struct linux_state *state, const struct open_file *file, struct stat *out);
/* Its bytes come and go in order: it has no positions. */
bool file_is_stream(const struct open_file *file);
struct readiness;
/* To be called before a file is looked at or waited for, where no pointer is held to what another
 * thread may free: of input, this may wait a moment. */
void file_first_look(struct linux_state *state, const struct open_file *file);
/* The events of these that hold, and POLLERR and POLLHUP in any case. */
int file_poll(struct linux_state *state, struct open_file *file, int events,
              struct readiness *readiness);
/* By what those are woken who wait for the file. */
uint32_t file_wakes(const struct open_file *file);
/* Waits for one of these events, POLLERR or POLLHUP: 0, -EINTR, or -EAGAIN: it took too long. The
 * file is one that the call asked descriptor_file for. */
int file_await(struct linux_state *state, struct open_file *file, int events);

/* Makes a call on the file. One that goes by the file's own position is made after those of other
 * threads, so that two never read the same bytes. The file may be NULL, which the call finds out. */
typedef int64_t (*file_call)(struct linux_state *, struct open_file *, const uint64_t *);
int64_t file_in_turn(struct linux_state *state, struct open_file *file, const uint64_t arg[6],
                     file_call call);

/* ---- given.c ------------------------------------------------------------- */

/* Opens what was given anew by its name in /proc/self/fd: a descriptor, or a negative errno. */
int64_t given_open(struct linux_state *state, const struct open_file *file, uint64_t flags);
/* What the link in /proc/self/fd tells of it; its length. */
int given_name(const struct open_file *file, char *text, size_t bytes);
/* Where the next byte of a FILE_REGULAR is read or written. */
off_t file_position(const struct open_file *file);
void file_set_position(struct open_file *file, off_t position);
/* A copy whose position is that, for the time of a call; the file's own stays as it is. */
struct open_file file_at(const struct open_file *file, off_t position);

/* ---- terminal.c ---------------------------------------------------------- */

/* The file was given; if it is a terminal, that is remembered. 0 or -ENOMEM. */
int terminal_given(struct linux_state *state, struct open_file *file);
/* The program is over: the modes of each are what they were, unless somebody else has set others since. */
void terminals_fini(struct linux_state *state);
/* The terminal that /dev/tty, or DEVICE_TERMINAL and on, stands for; NULL: none. */
struct open_file *terminal_of(const struct linux_state *state, enum device device);
/* Whether that is the name of one, and of which. */
bool terminal_named(const struct linux_state *state, const char *path, uint64_t *device);
/* Whether it is the name of a directory on the way to one. */
bool terminal_above(const struct linux_state *state, const char *path);
int64_t terminal_ioctl(struct linux_state *state, struct open_file *file, uint32_t command,
                       uint64_t arg);
/* Whether ferry may read from it (SIGTTIN) or write to it (SIGTTOU), as a process of a shell with
 * jobs: 0, -EIO, or -EINTR after the program was sent that signal. */
int terminal_may(struct linux_state *state, struct open_file *file, int signo);
/* Waits as the terminal's VMIN and VTIME say before so many bytes are read: 0, or a negative
 * errno; 1: it has waited, and what is not there now is the end. */
int terminal_await(struct linux_state *state, const struct open_file *file, void *to, size_t bytes);

/* ---- watch.c ------------------------------------------------------------- */

/* Wakes the VM once when one of these events holds for a descriptor of the host. False: it cannot
 * be watched. */
bool watch_arm(struct linux_state *state, int fd, short events);
/* The descriptor is about to be closed. */
void watch_drop(struct linux_state *state, int fd);
void watch_fini(struct linux_state *state);

/* ---- files.c ------------------------------------------------------------- */

/* The flags that F_GETFL reports for a file that was opened so. */
int file_status(uint64_t flags);
/* Opens the file of an O_PATH descriptor with these flags: a descriptor, or 0 if the file is not
 * local. */
int64_t host_open(struct linux_state *state, bool local, int fd, int flags);

/* ---- locks.c ------------------------------------------------------------- */

/* The commands of fcntl that lock records, or ask for a lock. */
int64_t record_lock(struct linux_state *state, struct open_file *file, uint64_t command,
                    uint64_t addr);
/* A descriptor of the file is closed: the process has no record of it locked any more. */
void locks_drop(struct linux_state *state, const struct open_file *file);
void locks_fini(struct linux_state *state);

/* ---- io.c ---------------------------------------------------------------- */

/* As read(2) and write(2), with memory of ours or of the program's that was looked at. -EPIPE
 * without the signal. */
int64_t file_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes);
int64_t file_put(struct linux_state *state, struct open_file *file, const void *from, size_t bytes);
/* The same from and to the program's memory; waits as the file's flags say. The address is looked
 * up anew after each wait. */
int64_t file_read_to(struct linux_state *state, struct open_file *file, uint64_t addr,
                     uint64_t bytes);
int64_t file_write_from(struct linux_state *state, struct open_file *file, uint64_t addr,
                        uint64_t bytes);
/* The same from our memory. */
int64_t file_write_bytes(struct linux_state *state, struct open_file *file, const void *from,
                         size_t bytes);
/* Whether to try again what ended with *result: it was -EAGAIN, and since then something came. Else *result stays, or is -EINTR. */
bool file_waited(struct linux_state *state, struct open_file *file, int events, int64_t *result);
/* Linux moves at most so much in one call. */
#define TRANSFER_MAX 0x7ffff000ull

struct iovec;
/* Fetches `count` pieces of the program's memory; their lengths together fit one transfer. Where the
 * program has no addresses at all, not even nothing may be read or written. */
int pieces_fetch(struct linux_state *state, uint64_t addr, uint64_t count, struct iovec *pieces);
uint64_t pieces_bytes(const struct iovec *pieces, uint64_t count);
/* Copies bytes of the pieces, after the first `skip`, to or (`out`) from memory of ours: 0 or
 * -EFAULT. */
int pieces_copy(struct linux_state *state, const struct iovec *pieces, uint64_t count,
                uint64_t skip, char *memory, uint64_t bytes, bool out);

/* Whether a file can have so many bytes from that offset on. */
static inline bool has_positions_for(uint64_t offset, uint64_t bytes)
{
    return offset <= INT64_MAX && bytes <= INT64_MAX - offset;
}
/* Standard error goes out in parts that a pipe with any room takes without blocking. */
#define ERROR_PART 4096
/* Up to `bytes` at that offset of a FILE_REGULAR. */
int64_t file_read(struct linux_state *state, const struct open_file *file, void *to, size_t bytes,
                  off_t offset);

/* ---- files.c ------------------------------------------------------------- */

/* Opens the file that was found for reading, if its file system always answers, and looks at it
 * again; else the descriptor remains the O_PATH one. A negative errno. */
int64_t found_open(struct linux_state *state, struct found *found);

/* ---- code_files.c -------------------------------------------------------- */

/* The file is mapped there, from that offset on, and may be executed. */
void code_file_mapped(struct linux_state *state, const struct open_file *file, uint64_t start,
                      uint64_t bytes, uint64_t offset);
/* All of it is gone: another program begins, or none. */
void code_files_forget(struct linux_state *state);

/* ---- exec.c -------------------------------------------------------------- */

/* A descriptor of the host, for reading, of a file that is to run: of one that was found, or is
 * open. -EACCES: it is no file that may run. *own: as in struct image_source. */
int found_source(struct linux_state *state, struct found *found, bool *own);
int file_source(struct linux_state *state, const struct open_file *file, bool *own);
/* The name of a file that runs, without links; NULL: none is known. */
char *program_path(struct linux_state *state, const char *name);

/* ---- special.c ----------------------------------------------------------- */

/* Whether the name is one that Ferry gives a meaning, or (above) of a directory on the way to
 * one. */
bool special_place(struct linux_state *state, const char *path, bool rooted, enum place *place,
                   uint64_t *which);
bool special_above(struct linux_state *state, const char *path);
/* Whether it is at or below a directory that has nothing but such names. */
bool special_own(const char *path);
/* The target of the link with this name; -EINVAL: it is no link; -ENOENT. */
int special_link(struct linux_state *state, const char *path, enum place place, uint64_t fd,
                 char *text, size_t bytes);
/* The i-th of all special names, descriptors aside, and its type as in a directory; NULL: there are
 * fewer. */
const char *special_name(unsigned i, unsigned char *type);

/* ---- listing.c ----------------------------------------------------------- */

/* Makes *like a FILE_LIST of the directory: of PLACE_ABOVE, or of which not all is shown. */
int listing_open(struct linux_state *state, const struct found *found, struct open_file *like);
/* What is told of a directory that is on no file system. */
void listing_stat(const char *path, struct stat *out);
/* getdents64 of FILE_LIST. */
int64_t listing_entries(struct linux_state *state, struct open_file *file, uint64_t addr,
                        uint64_t bytes);

/* ---- refused.c ----------------------------------------------------------- */

/* The call being served gave this name, as the program wrote it: relative to its working
 * directory or not. */
void refused_name(struct linux_state *state, const char *name, bool relative);
/* It means this path. `rooted`: the working directory is below a read-only one. */
void refused_path(struct linux_state *state, const char *path, bool outside, bool rooted);
/* There is not enough room where it wants to write. */
struct writable;
void refused_room(struct linux_state *state, const struct writable *writable);
/* The call was served. `never`: its handler, if it has one, gives nothing to anybody. */
void refused_look(struct linux_state *state, const struct linux_call *call, bool never);

/* ---- threads.c ----------------------------------------------------------- */

/* NULL: there is none. */
struct linux_thread *thread_find(struct linux_state *state, int32_t id);
/* The program's first thread; -ENOMEM. */
int threads_init(struct linux_state *state);
void threads_fini(struct linux_state *state);
/* Another program begins; the calling thread is the only one, and the first from here on. */
void threads_begin(struct linux_state *state);

/* ---- task.c -------------------------------------------------------------- */

/* Of the first thread. */
void task_init(struct linux_state *state);
/* The name that a program's thread has at its start. */
void task_name(struct linux_state *state, const char *program);

/* ---- processors.c -------------------------------------------------------- */

/* Of the program, which may have so many threads; 0: nobody said. */
void processors_init(struct linux_state *state, unsigned threads);
unsigned processors_count(const struct linux_state *state);
/* affinity.c: keeps the thread, which is on a CPU of the VM, to the processors that it may use. */
void affinity_apply(struct linux_state *state, struct linux_thread *thread);
/* The one that runs the calling thread. */
unsigned processors_current(const struct linux_state *state);

/* ---- limits.c ------------------------------------------------------------ */

void limits_init(struct linux_state *state, unsigned processes);
/* Whether RLIMIT_AS and RLIMIT_DATA allow to map the range with these rights (and SPACE_SHARED) in
 * place of what is mapped there. */
bool limits_allow(struct linux_state *state, uint64_t start, uint64_t bytes, unsigned prot);

/* Watches the processor time for the next limit or timer. */
void limits_watch_cpu(struct linux_state *state);

/* ---- serve.c ------------------------------------------------------------- */

const char *linux_call_name(uint64_t number);

/* ---- int80.c ------------------------------------------------------------- */

/* Turns a 32-bit call into the 64-bit one that does the same; -ENOSYS if none does, or its
 * arguments point to structures that are laid out differently. */
int int80_translate(struct linux_call *call);

/* ---- cpu_clock.c --------------------------------------------------------- */

/* Which processor time the clock counts: *thread is 0 for that of the process. -EINVAL: none, or that
 * of a thread which is not there. `reads`: the calling thread's number stands for the process, too, as
 * on Linux where a clock is only read. */
int cpu_clock_find(struct linux_state *state, uint64_t clock, bool reads, int32_t *thread);
/* That time. */
uint64_t cpu_clock_ns(struct linux_state *state, int32_t thread);
/* What this process used so far, and those of its children that it has asked of. */
struct used used_until_now(struct linux_state *state);
void used_add(struct used *to, struct used used);
void put_used(struct rusage *usage, struct used used);

/* ---- time.c -------------------------------------------------------------- */

/* The timespec at `addr` in nanoseconds, UINT64_MAX if there is none (addr 0). */
int time_get(struct linux_state *state, uint64_t addr, uint64_t *nanoseconds);
/* The time left until a moment of that clock of the host; 0: it is past. */
uint64_t time_until(int clock, uint64_t nanoseconds);

#endif
