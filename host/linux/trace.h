/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: what is told to those who watch a program's system calls, in the form
 * of strace(1). Arguments in memory are copied for this alone, besides what the call itself copies:
 * a program with a second thread may change them in between.
 */
#ifndef FERRY_HOST_TRACE_H
#define FERRY_HOST_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "linux/state.h"

#define TRACE_ARGS      6
#define TRACE_ARG_BYTES 1280 /* one argument is cut at that */

/* Text that grows up to its room; what does not fit is left out. */
struct trace_text {
    size_t used;
    char text[TRACE_ARG_BYTES];
};

/* A call while it is served. */
struct traced {
    struct linux_state *state;
    const uint64_t *arg;
    int64_t result; /* once it has returned */
    unsigned count; /* of arguments */
    struct trace_text args[TRACE_ARGS];
};

/* ---- trace.c ------------------------------------------------------------- */

/* Serves the call by `serve`, and tells of it when it returns. */
void trace_call(struct linux_state *state, struct linux_call *call,
                void (*serve)(struct linux_state *, struct linux_call *));
/* The thread takes this signal. */
void trace_signal(struct linux_state *state, const struct signal_info *info);

/* ---- trace_calls.c ------------------------------------------------------- */

/* What an argument is. */
enum trace_kind {
    AS_NOTHING, /* there are no more arguments */
    /* Numbers. */
    AS_INT,
    AS_SIZE,
    AS_OFFSET,
    AS_HEX, /* an address, or 0: NULL */
    AS_FLAGS,
    AS_MODE,
    AS_DIR,
    AS_SIGNAL,
    /* Text and bytes. */
    AS_PATH,
    AS_TEXT,
    AS_BYTES,       /* their number is the next argument */
    AS_FILLED,      /* by the call; their number is its result */
    AS_FILLED_TEXT, /* likewise, with a NUL */
    AS_WORDS,
    AS_VARIABLES,
    AS_PIECES, /* their number is the next argument */
    AS_FILLED_PIECES,
    /* Structs. */
    AS_TIMESPEC,
    AS_TIMESPEC_OUT,
    AS_MASK,
    AS_MASK_OUT,
    AS_ACTION,
    AS_ACTION_OUT,
    AS_STAT,
    AS_PAIR,
    AS_POLLS, /* their number is the next argument */
    AS_LIMIT,
    AS_LIMIT_OUT,
    AS_EVENT,
    AS_EVENTS, /* their number is the result */
    AS_CLONE_ARGS,
    /* What the argument before decides. */
    AS_CREATE_MODE,
    AS_FCNTL_ARG,
    AS_PRCTL_ARG,
    AS_REMAP_TO,
    AS_FUTEX_VALUE,
    AS_FUTEX_TIMEOUT,
    AS_FUTEX_SECOND,
    /* Numbers with names. */
    AS_OPEN,
    AS_DESCRIPTOR,
    AS_PROT,
    AS_MAP,
    AS_REMAP,
    AS_ADVICE,
    AS_SYNC,
    AS_ACCESS,
    AS_WHENCE,
    AS_AT,
    AS_FLOCK,
    AS_FCNTL,
    AS_PIPE,
    AS_IOCTL,
    AS_SPLICE,
    AS_CLONE,
    AS_FUTEX,
    AS_PRCTL,
    AS_ARCH,
    AS_RESOURCE,
    AS_CLOCK,
    AS_TIMER,
    AS_RANDOM,
    AS_MEMFD,
    AS_EVENTFD,
    AS_SIGNALFD,
    AS_TIMERFD,
    AS_INOTIFY,
    AS_EPOLL_CREATE,
    AS_EPOLL,
    AS_EPOLL_EVENTS,
    AS_POLL_EVENTS,
    AS_DOMAIN,
    AS_SOCKET,
    AS_LEVEL,
    AS_OPTION,
    AS_SHUTDOWN,
    AS_MESSAGE,
    AS_HOW,
    AS_ACTION_FLAGS,
    AS_SIGNAL_CODE,
    AS_FILE_TYPE,
    TRACE_KINDS
};

struct trace_form {
    uint8_t kinds[TRACE_ARGS];
    bool known;
    bool gives_address; /* its result is one */
};
/* For every number; a call of which nothing is known has six numbers. */
struct trace_form trace_form_of(uint64_t number);

/* ---- trace_show.c -------------------------------------------------------- */

void show(struct trace_text *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A number of which nothing is known, or an address. */
void show_hex(struct trace_text *to, uint64_t value);
/* Bytes in quotes, and "..." if they are `more` than these. */
void show_quoted(struct trace_text *to, const char *bytes, size_t count, bool more);
/* `count` bytes of the program's memory, of which the first 32 are shown. */
void show_memory(const struct traced *traced, struct trace_text *to, uint64_t addr, uint64_t count);
/* Text of its memory, as far as there is room. */
void show_string(const struct traced *traced, struct trace_text *to, uint64_t addr, size_t most);
/* Shows argument `i` before the call. False: the call takes no argument there. */
bool trace_before(struct traced *traced, enum trace_kind kind, unsigned i);
/* Shows it after a call that succeeded, if the call has filled it. */
void trace_after(struct traced *traced, enum trace_kind kind, unsigned i);

/* ---- trace_structs.c ----------------------------------------------------- */

/* Shows the struct that *arg points to; the arguments beside it are arg[-1] and arg[1]. */
typedef void show_fn(const struct traced *traced, const uint64_t *arg, struct trace_text *to);
show_fn show_timespec, show_mask, show_action, show_stat, show_pair, show_polls, show_limit,
    show_event, show_events, show_pieces, show_filled_pieces, show_words, show_variables,
    show_clone_args;

/* ---- trace_names.c ------------------------------------------------------- */

/* By the names that numbers of this kind have; false: there are none. */
bool show_names(struct trace_text *to, enum trace_kind kind, uint64_t value);
/* "SIGTERM", or the number. */
void show_signo(struct trace_text *to, uint64_t signo);

#endif
