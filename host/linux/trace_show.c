/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the text of one argument of a system call. What cannot be read is shown as an address. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "linux/trace.h"

#define SHOWN_BYTES 32   /* of a buffer or text */
#define PATH_BYTES  1024 /* of names of files, as far as they have room */
#define AFTER_BYTES 16   /* kept free behind text: for a byte of it, its end, and that of a list */

void show(struct trace_text *to, const char *format, ...)
{
    size_t room = sizeof(to->text) - to->used;
    va_list args;

    va_start(args, format);
    int n = vsnprintf(to->text + to->used, room, format, args);
    va_end(args);
    if (n > 0)
        to->used += (size_t)n < room ? (size_t)n : room - 1;
}

void show_hex(struct trace_text *to, uint64_t value)
{
    show(to, value ? "%#" PRIx64 : "NULL", value);
}

static void show_character(struct trace_text *to, unsigned char c, bool digit_follows)
{
    static const char letters[] = "tnvfr"; /* from 9 on */

    if (c == '"' || c == '\\')
        show(to, "\\%c", c);
    else if (c >= '\t' && c <= '\r')
        show(to, "\\%c", letters[c - '\t']);
    else if (c >= ' ' && c < 127)
        show(to, "%c", c);
    else
        show(to, digit_follows ? "\\%03o" : "\\%o", c);
}

void show_quoted(struct trace_text *to, const char *bytes, size_t count, bool more)
{
    size_t i = 0;

    show(to, "\"");
    for (; i < count && sizeof(to->text) - to->used > AFTER_BYTES; i++)
        show_character(to, (unsigned char)bytes[i],
                       i + 1 < count && bytes[i + 1] >= '0' && bytes[i + 1] <= '9');
    show(to, more || i < count ? "\"..." : "\"");
}

void show_memory(const struct traced *traced, struct trace_text *to, uint64_t addr, uint64_t count)
{
    char bytes[SHOWN_BYTES];
    size_t some = count < sizeof(bytes) ? (size_t)count : sizeof(bytes);

    if (!addr || guest_get(traced->state, addr, bytes, some))
        show_hex(to, addr);
    else
        show_quoted(to, bytes, some, some < count);
}

void show_string(const struct traced *traced, struct trace_text *to, uint64_t addr, size_t most)
{
    char text[PATH_BYTES + 1];
    size_t count = 0;

    if (!addr) {
        show_hex(to, addr);
        return;
    }
    /* A byte at a time: it may end just before memory that is not there. */
    for (;; count++) {
        if (guest_get(traced->state, addr + count, text + count, 1)) {
            show_hex(to, addr);
            return;
        }
        if (!text[count] || count == most)
            break;
    }
    show_quoted(to, text, count, text[count]);
}

/* ---- kinds --------------------------------------------------------------- */

static void show_int(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    (void)traced;
    show(to, "%d", (int)*arg);
}

static void show_size(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    (void)traced;
    show(to, "%" PRIu64, *arg);
}

static void show_offset(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    (void)traced;
    show(to, "%" PRId64, (int64_t)*arg);
}

static void show_pointer(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    (void)traced;
    show_hex(to, *arg);
}

static void show_flags(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    (void)traced;
    show(to, *arg ? "%#" PRIx64 : "%" PRIu64, *arg);
}

static void show_mode(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    (void)traced;
    show(to, "0%03o", (unsigned)*arg);
}

static void show_dir(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    if ((int)*arg == AT_FDCWD)
        show(to, "AT_FDCWD");
    else
        show_int(traced, arg, to);
}

static void show_signal(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    (void)traced;
    show_signo(to, (uint32_t)*arg);
}

static void show_path(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    show_string(traced, to, *arg, PATH_BYTES);
}

static void show_text(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    show_string(traced, to, *arg, SHOWN_BYTES);
}

static void show_bytes(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    show_memory(traced, to, arg[0], arg[1]);
}

static void show_filled(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    show_memory(traced, to, *arg, (uint64_t)traced->result);
}

static void show_create_mode(const struct traced *traced, const uint64_t *arg,
                             struct trace_text *to)
{
    if (arg[-1] & O_CREAT || (arg[-1] & O_TMPFILE) == O_TMPFILE)
        show_mode(traced, arg, to);
}

static void show_fcntl_arg(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    switch ((uint32_t)arg[-1]) {
    case F_GETFD:
    case F_GETFL:
    case F_GETOWN:
    case F_GETPIPE_SZ:
    case F_GET_SEALS:
        break; /* it has none */
    case F_SETFD:
        show_names(to, AS_DESCRIPTOR, *arg);
        break;
    case F_SETFL:
        show_names(to, AS_OPEN, *arg);
        break;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_SETPIPE_SZ:
        show_int(traced, arg, to);
        break;
    default:
        show_hex(to, *arg);
    }
}

static void show_prctl_arg(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    if ((uint32_t)arg[-1] == PR_SET_NAME)
        show_text(traced, arg, to);
    else
        show_hex(to, *arg);
}

static void show_remap_to(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    (void)traced;
    if (arg[-1] & (MREMAP_FIXED | MREMAP_DONTUNMAP))
        show_hex(to, *arg);
}

/* ---- futex: what follows depends on what it does --------------------------- */

static bool futex_waits(uint64_t operation)
{
    switch (operation & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_WAIT_REQUEUE_PI:
        return true;
    default:
        return false;
    }
}

static bool futex_moves(uint64_t operation)
{
    switch (operation & FUTEX_CMD_MASK) {
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
    case FUTEX_CMP_REQUEUE_PI:
    case FUTEX_WAIT_REQUEUE_PI:
        return true;
    default:
        return false;
    }
}

static void show_futex_value(const struct traced *traced, const uint64_t *arg,
                             struct trace_text *to)
{
    uint64_t command = arg[-1] & FUTEX_CMD_MASK;

    if (command != FUTEX_UNLOCK_PI && command != FUTEX_TRYLOCK_PI)
        show_int(traced, arg, to);
}

static void show_futex_timeout(const struct traced *traced, const uint64_t *arg,
                               struct trace_text *to)
{
    if (futex_waits(traced->arg[1]))
        show_timespec(traced, arg, to);
    else if (futex_moves(traced->arg[1]))
        show_size(traced, arg, to);
}

static void show_futex_second(const struct traced *traced, const uint64_t *arg,
                              struct trace_text *to)
{
    uint64_t command = traced->arg[1] & FUTEX_CMD_MASK;

    if (futex_moves(command) || command == FUTEX_WAIT_BITSET || command == FUTEX_WAKE_BITSET)
        show_hex(to, *arg);
}

/* ---- by kind ------------------------------------------------------------- */

static const struct {
    show_fn *before;
    show_fn *after; /* if the call has succeeded */
} kinds[TRACE_KINDS] = {
    [AS_INT] = {show_int, NULL},
    [AS_SIZE] = {show_size, NULL},
    [AS_OFFSET] = {show_offset, NULL},
    [AS_HEX] = {show_pointer, NULL},
    [AS_FLAGS] = {show_flags, NULL},
    [AS_MODE] = {show_mode, NULL},
    [AS_DIR] = {show_dir, NULL},
    [AS_SIGNAL] = {show_signal, NULL},
    [AS_PATH] = {show_path, NULL},
    [AS_TEXT] = {show_text, NULL},
    [AS_BYTES] = {show_bytes, NULL},
    [AS_FILLED] = {show_pointer, show_filled},
    [AS_FILLED_TEXT] = {show_pointer, show_path},
    [AS_WORDS] = {show_words, NULL},
    [AS_VARIABLES] = {show_variables, NULL},
    [AS_PIECES] = {show_pieces, NULL},
    [AS_FILLED_PIECES] = {show_pointer, show_filled_pieces},
    [AS_TIMESPEC] = {show_timespec, NULL},
    [AS_TIMESPEC_OUT] = {show_pointer, show_timespec},
    [AS_MASK] = {show_mask, NULL},
    [AS_MASK_OUT] = {show_pointer, show_mask},
    [AS_ACTION] = {show_action, NULL},
    [AS_ACTION_OUT] = {show_pointer, show_action},
    [AS_STAT] = {show_pointer, show_stat},
    [AS_PAIR] = {show_pointer, show_pair},
    [AS_POLLS] = {show_polls, show_polls},
    [AS_LIMIT] = {show_limit, NULL},
    [AS_LIMIT_OUT] = {show_pointer, show_limit},
    [AS_EVENT] = {show_event, NULL},
    [AS_EVENTS] = {show_pointer, show_events},
    [AS_CLONE_ARGS] = {show_clone_args, NULL},
    [AS_CREATE_MODE] = {show_create_mode, NULL},
    [AS_FCNTL_ARG] = {show_fcntl_arg, NULL},
    [AS_PRCTL_ARG] = {show_prctl_arg, NULL},
    [AS_REMAP_TO] = {show_remap_to, NULL},
    [AS_FUTEX_VALUE] = {show_futex_value, NULL},
    [AS_FUTEX_TIMEOUT] = {show_futex_timeout, NULL},
    [AS_FUTEX_SECOND] = {show_futex_second, NULL},
};

bool trace_before(struct traced *traced, enum trace_kind kind, unsigned i)
{
    struct trace_text *to = &traced->args[i];

    to->used = 0;
    to->text[0] = '\0';
    if (kinds[kind].before)
        kinds[kind].before(traced, &traced->arg[i], to);
    else
        show_names(to, kind, traced->arg[i]);
    return to->used > 0;
}

void trace_after(struct traced *traced, enum trace_kind kind, unsigned i)
{
    if (!kinds[kind].after)
        return;
    traced->args[i].used = 0;
    kinds[kind].after(traced, &traced->arg[i], &traced->args[i]);
}
