/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the text of what arguments of system calls point to. What cannot be read is shown as an
 * address; of lists the first few are shown. */
#include <inttypes.h>
#include <linux/sched.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>

#include "linux/trace.h"

#define SHOWN_PARTS 8  /* of a list of structs */
#define SHOWN_WORDS 16 /* of an array of strings */

/* Fetches it, or shows its address. */
static bool fetch(const struct traced *traced, struct trace_text *to, uint64_t addr, void *out,
                  size_t bytes)
{
    if (addr && !guest_get(traced->state, addr, out, bytes))
        return true;
    show_hex(to, addr);
    return false;
}

/* Fetches the first of `count` elements: how many; -1: the address was shown. */
static int fetch_list(const struct traced *traced, struct trace_text *to, uint64_t addr,
                      uint64_t count, void *out, size_t bytes)
{
    int some = (int)(count < SHOWN_PARTS ? count : SHOWN_PARTS);

    if (some == 0)
        return 0;
    return fetch(traced, to, addr, out, (size_t)some * bytes) ? some : -1;
}

static const char *separator(int i)
{
    return i ? ", " : "";
}

static const char *rest(uint64_t count)
{
    return count > SHOWN_PARTS ? ", ...]" : "]";
}

void show_timespec(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    struct timespec time;

    if (fetch(traced, to, *arg, &time, sizeof(time)))
        show(to, "{tv_sec=%lld, tv_nsec=%lld}", (long long)time.tv_sec, (long long)time.tv_nsec);
}

/* ---- signals ------------------------------------------------------------- */

/* A set that has most of them is shown by those that it has not. */
static void show_set(struct trace_text *to, uint64_t set)
{
    bool most = __builtin_popcountll(set) > SIGNALS / 2;
    const char *between = "";

    show(to, most ? "~[" : "[");
    for (int signo = 1; signo <= SIGNALS; signo++) {
        struct trace_text name = {.used = 0};

        if (!(set & signal_bit(signo)) != most)
            continue;
        show_signo(&name, (uint64_t)signo);
        show(to, "%s%s", between, strncmp(name.text, "SIG", 3) == 0 ? name.text + 3 : name.text);
        between = " ";
    }
    show(to, "]");
}

void show_mask(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    uint64_t set;

    if (fetch(traced, to, *arg, &set, sizeof(set)))
        show_set(to, set);
}

void show_action(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    struct signal_action action;

    if (!fetch(traced, to, *arg, &action, sizeof(action)))
        return;
    show(to, "{sa_handler=");
    if (action.handler == HANDLER_DEFAULT || action.handler == HANDLER_IGNORE)
        show(to, action.handler == HANDLER_DEFAULT ? "SIG_DFL" : "SIG_IGN");
    else
        show_hex(to, action.handler);
    show(to, ", sa_mask=");
    show_set(to, action.mask);
    show(to, ", sa_flags=");
    show_names(to, AS_ACTION_FLAGS, action.flags);
    if (action.restorer) {
        show(to, ", sa_restorer=");
        show_hex(to, action.restorer);
    }
    show(to, "}");
}

/* ---- files and descriptors ----------------------------------------------- */

void show_stat(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    struct stat stat;

    if (!fetch(traced, to, *arg, &stat, sizeof(stat)))
        return;
    show(to, "{st_mode=");
    show_names(to, AS_FILE_TYPE, stat.st_mode & S_IFMT);
    show(to, "|0%o, ", stat.st_mode & ~(mode_t)S_IFMT);
    if (S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode))
        show(to, "st_rdev=makedev(%#x, %#x), ...}", major(stat.st_rdev), minor(stat.st_rdev));
    else
        show(to, "st_size=%lld, ...}", (long long)stat.st_size);
}

void show_pair(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    int pair[2];

    if (fetch(traced, to, *arg, pair, sizeof(pair)))
        show(to, "[%d, %d]", pair[0], pair[1]);
}

void show_polls(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    struct pollfd polls[SHOWN_PARTS];
    int count = fetch_list(traced, to, arg[0], (uint32_t)arg[1], polls, sizeof(polls[0]));

    if (count < 0)
        return;
    show(to, "[");
    for (int i = 0; i < count; i++) {
        show(to, "%s{fd=%d, events=", separator(i), polls[i].fd);
        show_names(to, AS_POLL_EVENTS, (uint16_t)polls[i].events);
        if (traced->result > 0 && polls[i].revents) {
            show(to, ", revents=");
            show_names(to, AS_POLL_EVENTS, (uint16_t)polls[i].revents);
        }
        show(to, "}");
    }
    show(to, "%s", rest((uint32_t)arg[1]));
}

static void show_one_event(struct trace_text *to, const struct epoll_event *event)
{
    show(to, "{events=");
    show_names(to, AS_EPOLL_EVENTS, event->events);
    show(to, ", data=%#" PRIx64 "}", event->data.u64);
}

void show_event(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    struct epoll_event event;

    if (fetch(traced, to, *arg, &event, sizeof(event)))
        show_one_event(to, &event);
}

void show_events(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    struct epoll_event events[SHOWN_PARTS];
    int count = fetch_list(traced, to, *arg, (uint64_t)traced->result, events, sizeof(events[0]));

    if (count < 0)
        return;
    show(to, "[");
    for (int i = 0; i < count; i++) {
        show(to, "%s", separator(i));
        show_one_event(to, &events[i]);
    }
    show(to, "%s", rest((uint64_t)traced->result));
}

/* `filled`: how many bytes there are in them. */
static void show_parts(const struct traced *traced, const uint64_t *arg, struct trace_text *to,
                       uint64_t filled)
{
    struct iovec pieces[SHOWN_PARTS];
    int count = fetch_list(traced, to, arg[0], (uint32_t)arg[1], pieces, sizeof(pieces[0]));

    if (count < 0)
        return;
    show(to, "[");
    for (int i = 0; i < count; i++) {
        uint64_t bytes = pieces[i].iov_len < filled ? pieces[i].iov_len : filled;

        show(to, "%s{iov_base=", separator(i));
        show_memory(traced, to, (uint64_t)pieces[i].iov_base, bytes);
        show(to, ", iov_len=%zu}", pieces[i].iov_len);
        filled -= bytes;
    }
    show(to, "%s", rest((uint32_t)arg[1]));
}

void show_pieces(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    show_parts(traced, arg, to, UINT64_MAX);
}

void show_filled_pieces(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    show_parts(traced, arg, to, (uint64_t)traced->result);
}

/* ---- programs, threads, limits ------------------------------------------- */

void show_words(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    uint64_t word;

    if (!fetch(traced, to, *arg, &word, sizeof(word)))
        return;
    show(to, "[");
    for (unsigned i = 0; i <= SHOWN_WORDS; i++) {
        if (guest_get(traced->state, *arg + i * sizeof(word), &word, sizeof(word)))
            break;
        if (!word) {
            show(to, "]");
            return;
        }
        if (i == SHOWN_WORDS)
            break;
        show(to, "%s", separator((int)i));
        show_string(traced, to, word, 32);
    }
    show(to, ", ...]");
}

void show_variables(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    const unsigned most = 4096;
    uint64_t word;
    unsigned count = 0;

    show_hex(to, *arg);
    while (*arg && count < most &&
           !guest_get(traced->state, *arg + count * sizeof(word), &word, sizeof(word)) && word)
        count++;
    if (*arg)
        show(to, " /* %u vars */", count);
}

void show_limit(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    struct rlimit limit;

    if (!fetch(traced, to, *arg, &limit, sizeof(limit)))
        return;
    show(to, "{rlim_cur=");
    show(to, limit.rlim_cur == RLIM_INFINITY ? "RLIM64_INFINITY" : "%llu",
         (unsigned long long)limit.rlim_cur);
    show(to, ", rlim_max=");
    show(to, limit.rlim_max == RLIM_INFINITY ? "RLIM64_INFINITY" : "%llu",
         (unsigned long long)limit.rlim_max);
    show(to, "}");
}

void show_clone_args(const struct traced *traced, const uint64_t *arg, struct trace_text *to)
{
    struct clone_args args;

    if (arg[1] < CLONE_ARGS_SIZE_VER0) {
        show_hex(to, *arg);
        return;
    }
    if (!fetch(traced, to, *arg, &args, CLONE_ARGS_SIZE_VER0))
        return;
    show(to, "{flags=");
    show_names(to, AS_CLONE, args.flags);
    show(to,
         ", child_tid=%#" PRIx64 ", parent_tid=%#" PRIx64 ", exit_signal=%d, stack=%#" PRIx64
         ", stack_size=%#" PRIx64 ", tls=%#" PRIx64 "}",
         (uint64_t)args.child_tid, (uint64_t)args.parent_tid, (int)args.exit_signal,
         (uint64_t)args.stack, (uint64_t)args.stack_size, (uint64_t)args.tls);
}
