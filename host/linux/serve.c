/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the personality's life cycle and the way from a number to its handler. */
#include "linux/linux.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/futexes.h"
#include "linux/guest_files.h"
#include "linux/guest_rooms.h"
#include "linux/made.h"
#include "linux/mapped.h"
#include "linux/processes.h"
#include "linux/state.h"
#include "linux/told.h"
#include "linux/trace.h"
#include "linux/writable.h"
#include "syscall_names.h"

typedef int64_t (*call_handler)(struct linux_state *state, const uint64_t arg[6]);

#define ENTRY(name, handler) [SYS_##name] = (handler),
static const call_handler handlers[CALLS_MAX] = {LINUX_CALLS(ENTRY)};
#undef ENTRY

int linux_create(struct ferry_vm *vm, const struct linux_config *config, struct linux_state **out)
{
    struct linux_state *state = calloc(1, sizeof(*state));
    int result;

    if (!state)
        return -ENOMEM;
    state->common = calloc(1, sizeof(*state->common));
    if (!state->common) {
        free(state);
        return -ENOMEM;
    }
    state->common->references = 1;
    state->common->processes = state;
    state->common->process_count = 1;
    state->common->foreground = LINUX_PID;
    state->vm = vm;
    state->pid = state->group = state->session = LINUX_PID;
    state->memory_bytes = config->memory_bytes;
    state->stack_start = FERRY_PROGRAM_HIGH - config->stack_bytes;
    state->umask = 022;
    state->common->error_fd = -1;
    state->traced = config->traced;
    clock_gettime(CLOCK_REALTIME, &state->started);
    futex_init(state);
    signals_init(state, config->ignore_sigpipe);
    limits_init(state, config->processes ? config->processes : 1);
    processors_init(state, config->threads);
    result = threads_init(state);
    if (!result)
        result = descriptors_init(state, config->stderr_fd, config->closed);
    if (!result)
        result = config->like ? view_copy(state, config->like) : view_init(state, config);
    if (result) {
        linux_destroy(state);
        return result;
    }
    *out = state;
    return 0;
}

/* Without memory for them there are none: only /proc tells them. */
static void keep_words(struct kept_words *kept, char *const *words)
{
    size_t bytes = 0;

    for (size_t i = 0; words[i]; i++)
        bytes += strlen(words[i]) + 1;
    free(kept->text);
    kept->bytes = 0;
    kept->text = malloc(bytes + 1);
    for (size_t i = 0; kept->text && words[i]; i++) {
        size_t part = strlen(words[i]) + 1;

        memcpy(kept->text + kept->bytes, words[i], part);
        kept->bytes += part;
    }
}

void linux_environment(struct linux_state *state, char *const *envp)
{
    keep_words(&state->environment, envp);
}

void linux_begin(struct linux_state *state, struct guest_addr heap_start, const char *file,
                 const char *name, char *const *argv)
{
    char *real = program_path(state, file);
    bool by_descriptor = real && strncmp(name, "/dev/fd/", 8) == 0 && !strchr(name + 8, '/');

    state->begun = true;
    keep_words(&state->arguments, argv);
    free(state->program);
    state->program = real;
    mapped_clear(state);
    memory_init(state, heap_start.value);
    code_files_forget(state);
    threads_begin(state);
    task_name(state, by_descriptor ? real : name);
}

/* Of the last process: what they had in common goes. */
static void common_fini(struct linux_state *state)
{
    watch_fini(state);
    view_fini(state);
    writable_destroy(state, state->common->memfds);
    made_fini(state);
    if (state->common->error_fd >= 0)
        close(state->common->error_fd);
    free(state->common);
}

/* The streams are the VM's: it ends them itself, since a program may die without closing. */
void linux_destroy(struct linux_state *state)
{
    if (!state)
        return;
    state->closing = true;
    terminals_fini(state);
    process_free(state);
}

void process_free(struct linux_state *state)
{
    locks_fini(state);
    mapped_clear(state);
    descriptors_fini(state);
    threads_fini(state);
    code_files_forget(state);
    free(state->program);
    free(state->opened);
    guest_files_fini(state);
    guest_rooms_fini(state);
    free(state->arguments.text);
    free(state->environment.text);
    free(state->own_zombie);
    zombies_free(state, state->zombies);
    free(state->cwd);
    if (--state->common->references == 0)
        common_fini(state);
    free(state);
}

const char *linux_call_name(uint64_t number)
{
    const char *name = NULL;

    if (number < sizeof(syscall_names) / sizeof(syscall_names[0]))
        name = syscall_names[number];
    return name ? name : "unknown";
}

/* Says so once for each number, so that a program cannot flood the log. */
static int64_t not_offered(struct linux_state *state, uint64_t number)
{
    uint64_t bit = 1ull << (number % 64);

    if (number >= CALLS_MAX || state->common->named[number / 64] & bit)
        return -ENOSYS;
    state->common->named[number / 64] |= bit;
    vm_debug(state->vm, "system call %u (%s) is not offered: ENOSYS", (unsigned)number,
             linux_call_name(number));
    return -ENOSYS;
}

static void serve(struct linux_state *state, struct linux_call *call)
{
    call_handler handler;

    if (call->from_int80 && int80_translate(call)) {
        if (!state->common->said_int80)
            vm_debug(state->vm, "32-bit system call %u is not offered: ENOSYS",
                     (unsigned)call->number);
        state->common->said_int80 = true;
        call->result = -ENOSYS;
        return;
    }
    handler = call->number < CALLS_MAX ? handlers[call->number] : NULL;
    call->result = handler ? handler(state, call->arg) : not_offered(state, call->number);
    call->timed = call->result == -EINTR && state->thread->call->timed;
    if (call->result < 0 || call->number == SYS_brk)
        refused_look(state, call, !handler || handler == sys_socket);
}

enum linux_next linux_serve(struct linux_state *state, struct linux_call *call)
{
    struct current_call current; /* the name is filled in by calls that give one */

    current.cpu = call->cpu;
    current.next = LINUX_RESUME;
    current.status = 0;
    current.named = false;
    current.used_count = 0;
    current.timed = false;
    current.wrote = false;
    state->thread = call->thread;
    call->thread->call = &current;
    call->given = call->number;
    guest_files_take_back(state);
    told_take_back(state);
    if (state->traced)
        trace_call(state, call, serve);
    else
        serve(state, call);
    told_served(state, call);
    descriptors_unused(state, &current);
    if (current.next == LINUX_ENDED)
        return LINUX_ENDED; /* the thread is gone */
    call->thread->call = NULL;
    call->status = current.status;
    if (current.next != LINUX_RESUME)
        return current.next;
    if (vm_stopping(state->vm))
        return LINUX_STOPPED;
    vm_set_result(call->cpu, (uint64_t)call->result);
    return signals_deliver(state, call->cpu, call, &call->status);
}
