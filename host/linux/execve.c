/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns execve and execveat: another program takes the place of this one. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/mounts.h"
#include "linux/state.h"
#include "program/image.h"

#define STRING_BYTES_MAX (128u << 10) /* of one argument, as on Linux (MAX_ARG_STRLEN) */
#define STACK_LEAST      (128u << 10)
#define ROOM_LEAST       (128u << 10) /* for all arguments, as on Linux */
#define ROOM_MOST        (6u << 20)

/* ---- arguments ----------------------------------------------------------- */

/* A vector of strings that was fetched. */
struct words {
    char **list; /* NULL-terminated */
    size_t count;
    uint64_t charged;
};

/* Of one call, for all its strings: what they may still take, and a buffer for one. */
struct fetch {
    struct linux_state *state;
    uint64_t room;
    char *buffer;
};

/* What the allocator takes for a copy of the word, and for two pointers to it: a list has room for
 * twice its words at most. */
static uint64_t cost_of(const char *text)
{
    return align_up(strlen(text) + 1 + sizeof(size_t), 16) + 16 + 2 * sizeof(char *);
}

static void free_words(struct linux_state *state, struct words *words)
{
    space_recharge(vm_space(state->vm), words->charged, 0);
    for (size_t i = 0; i < words->count; i++)
        free(words->list[i]);
    free(words->list);
}

static int add_word(struct linux_state *state, struct words *words, const char *text)
{
    size_t count = words->count;

    if (space_charge(vm_space(state->vm), cost_of(text)))
        return -ENOMEM;
    words->charged += cost_of(text);
    /* Doubles at each power of two; there is room for two at first. */
    if (!(count & (count + 1)) || !words->list) {
        char **grown = realloc(words->list, (2 * count + 2) * sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        words->list = grown;
    }
    words->list[count] = strdup(text);
    if (!words->list[count])
        return -ENOMEM;
    words->list[++words->count] = NULL;
    return 0;
}

static int fetch_word(struct fetch *fetch, uint64_t addr, struct words *words)
{
    int result = guest_get_string(fetch->state, addr, fetch->buffer, STRING_BYTES_MAX);
    uint64_t bytes;

    if (result)
        return result == -ENAMETOOLONG ? -E2BIG : result;
    bytes = strlen(fetch->buffer) + 1 + sizeof(uint64_t);
    if (bytes > fetch->room)
        return -E2BIG;
    fetch->room -= bytes;
    return add_word(fetch->state, words, fetch->buffer);
}

/* addr 0: an empty vector. */
static int fetch_words(struct fetch *fetch, uint64_t addr, struct words *words)
{
    uint64_t at = 0;
    int result = 0;

    for (uint64_t next = addr; addr && !result; next += sizeof(at)) {
        if (vm_stopping(fetch->state->vm))
            return -EINTR;
        result = guest_get(fetch->state, next, &at, sizeof(at));
        if (!result && !at)
            break;
        if (!result)
            result = fetch_word(fetch, at, words);
    }
    return result;
}

static int fetch_all(struct fetch *fetch, const uint64_t vectors[2], struct words *args,
                     struct words *env)
{
    int result;

    fetch->buffer = malloc(STRING_BYTES_MAX);
    if (!fetch->buffer)
        return -ENOMEM;
    result = fetch_words(fetch, vectors[0], args);
    /* A program always has a name, since Linux 5.18. */
    if (!result && !args->count)
        result = add_word(fetch->state, args, "");
    if (!result)
        result = fetch_words(fetch, vectors[1], env);
    free(fetch->buffer);
    return result;
}

/* ---- the file ------------------------------------------------------------ */

/* What is to be run. */
struct target {
    int fd;
    bool own; /* as in struct image_source */
    bool name_is_lost;
    char name[PATH_MAX + 32];
};

static int of_descriptor(struct linux_state *state, uint64_t fd, struct target *target)
{
    struct open_file *file = descriptor_file(state, fd);

    if (!file)
        return -EBADF;
    target->name_is_lost = state->descriptors[(uint32_t)fd].close_on_exec;
    target->fd = file_source(state, file, &target->own);
    return target->fd < 0 ? target->fd : 0;
}

static int of_found(struct linux_state *state, struct found *found, struct target *target)
{
    if (S_ISLNK(found->stat.st_mode) && found->place == PLACE_INSIDE)
        return -ELOOP;
    if (found->place == PLACE_DESCRIPTOR)
        return of_descriptor(state, found->which, target);
    if (found->place == PLACE_OUTSIDE && strcmp(found->text, "/proc/self/exe") == 0)
        target->fd = vm_program_fd(state->vm, &target->own);
    else
        target->fd = found_source(state, found, &target->own);
    return target->fd < 0 ? target->fd : 0;
}

static int find_target(struct linux_state *state, uint64_t dirfd, uint64_t addr, uint64_t flags,
                       struct target *target)
{
    unsigned follow = flags & AT_SYMLINK_NOFOLLOW ? 0 : FIND_FOLLOW;
    struct found found;
    char name[PATH_MAX];
    int result = guest_get_string(state, addr, name, sizeof(name));

    if (result)
        return result;
    if (!name[0] && !(flags & AT_EMPTY_PATH))
        return -ENOENT;
    if (flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    if (!name[0]) {
        snprintf(target->name, sizeof(target->name), "/dev/fd/%d", (int)dirfd);
        return of_descriptor(state, dirfd, target);
    }
    result = path_find_name(state, dirfd, name, follow, &found);
    if (result)
        return result;
    if (name[0] == '/' || (int32_t)dirfd == AT_FDCWD) {
        memcpy(target->name, name, sizeof(name));
    } else {
        snprintf(target->name, sizeof(target->name), "/dev/fd/%d/%s", (int)dirfd, name);
        target->name_is_lost = state->descriptors[(uint32_t)dirfd].close_on_exec;
    }
    result = of_found(state, &found, target);
    found_drop(&found);
    return result;
}

/* ---- the call ------------------------------------------------------------ */

/* Handlers are in memory that is gone; what is ignored stays so, and what is pending or blocked. */
static void reset_signals(struct linux_state *state)
{
    for (int i = 0; i < SIGNALS; i++) {
        struct signal_action *action = &state->signals.actions[i];
        bool ignored = action->handler == HANDLER_IGNORE;

        *action = (struct signal_action){.handler = ignored ? action->handler : 0};
    }
    state->thread->signals.stack = (struct signal_stack){.flags = SS_DISABLE};
    alarms_exec(state);
}

/* What else does not outlive the program. */
static void reset(struct linux_state *state)
{
    struct task *task = &state->thread->task;

    reset_signals(state);
    task->keep_capabilities = 0;
    task->robust_list = 0;
    state->dumpable = 1;
    state->membarrier_registered = false;
    for (uint64_t fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        if (state->descriptors[fd].file && state->descriptors[fd].close_on_exec)
            sys_close(state, (const uint64_t[6]){fd});
    }
}

static uint64_t stack_bytes(const struct linux_state *state)
{
    uint64_t bytes = page_down(state->limits[RLIMIT_STACK].rlim_cur);

    return max_u64(min_u64(bytes, page_down(state->memory_bytes / 2)), STACK_LEAST);
}

/* For the strings of one call and the pointers to them. */
static uint64_t words_room(const struct linux_state *state)
{
    return max_u64(min_u64(stack_bytes(state) / 4, ROOM_MOST), ROOM_LEAST);
}

/* A signal that comes meanwhile is the next program's. */
static int replace(struct linux_state *state, const struct vm_exec *exec)
{
    int result;

    state->thread->signals.patient = true;
    result = vm_exec(state->vm, state->thread->call->cpu, exec);
    state->thread->signals.patient = false;
    return result;
}

static int64_t run(struct linux_state *state, const struct target *target, const struct words *args,
                   const struct words *env)
{
    struct current_call *call = state->thread->call;
    char *none[] = {NULL};
    struct image_source source;
    struct vm_exec exec = {
        .name = target->name,
        .source = &source,
        .name_is_lost = target->name_is_lost,
        .argv = args->list,
        .envp = env->list ? env->list : none,
        .stack_bytes = stack_bytes(state),
        .words_bytes = args->charged + env->charged,
        .kept_bytes = 2 * args->charged, /* as a list, and for /proc/self/cmdline */
    };
    int result = image_source_take(target->fd, target->name, &source, NULL);

    source.own = target->own;
    if (!result)
        result = replace(state, &exec);
    if (result < 0)
        return result;
    if (result > 0) {
        call->next = LINUX_SIGNAL; /* as Linux ends a program that it cannot load any more */
        call->status = SIGKILL;
        return 0;
    }
    state->stack_start = FERRY_PROGRAM_HIGH - exec.stack_bytes;
    reset(state);
    process_runs_apart(state);
    return 0;
}

static int64_t exec(struct linux_state *state, uint64_t dirfd, uint64_t addr,
                    const uint64_t vectors[2], uint64_t flags)
{
    struct fetch fetch = {.state = state, .room = words_room(state)};
    struct target target = {.fd = -1};
    struct words args = {0}, env = {0};
    int64_t result = find_target(state, dirfd, addr, flags, &target);

    if (result)
        return result;
    result = fetch_all(&fetch, vectors, &args, &env);
    if (result)
        close(target.fd);
    else
        result = run(state, &target, &args, &env);
    free_words(state, &args);
    free_words(state, &env);
    return result;
}

int64_t sys_execve(struct linux_state *state, const uint64_t arg[6])
{
    return exec(state, (uint64_t)AT_FDCWD, arg[0], arg + 1, 0);
}

int64_t sys_execveat(struct linux_state *state, const uint64_t arg[6])
{
    return exec(state, arg[0], arg[1], arg + 2, (uint32_t)arg[4]);
}
