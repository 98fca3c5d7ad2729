/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the names in /proc that come and go: there is a directory for each process, in /proc/self/task one for each
 * thread, in /proc/self/fdinfo a file for each descriptor. What only the own process has of these, others
 * do not show. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux/made.h"
#include "linux/state.h"

#define SELF "/proc/self/"
#define TASK SELF "task/"
#define INFO SELF "fdinfo/"

/* The number that `path` has after `folder`; what follows it, "" or from '/' on. NULL: none. */
static const char *number_in(const char *path, const char *folder, uint64_t *number)
{
    size_t bytes = strlen(folder);
    char *end;

    if (strncmp(path, folder, bytes) != 0 || !isdigit((unsigned char)path[bytes]) ||
        (path[bytes] == '0' && isdigit((unsigned char)path[bytes + 1])))
        return NULL;
    *number = strtoul(path + bytes, &end, 10);
    return *number <= INT32_MAX && (!*end || *end == '/') ? end : NULL;
}

struct linux_state *numbered_process(const struct linux_state *state, const char *path,
                                     const char **rest)
{
    uint64_t number;
    const char *behind = number_in(path, "/proc/", &number);
    struct linux_state *of = behind ? state->common->processes : NULL;

    while (of && (uint64_t)of->pid != number)
        of = of->next_process;
    if (of)
        *rest = behind;
    return of;
}

/* A file of another process, which has the same names as one's own. */
static bool place_of_other(struct linux_state *state, const char *path, uint64_t *which)
{
    const char *rest;
    const struct linux_state *of = numbered_process(state, path, &rest);
    char own[64];
    int made;

    if (!of || of == state || !rest[0])
        return false;
    snprintf(own, sizeof(own), "%s%s", SELF, rest + 1);
    made = made_find(own);
    *which = made_with_number((unsigned)made, (uint64_t)of->pid);
    return made >= 0 && strcmp(own, INFO) != 0;
}

static bool is_open(const struct linux_state *state, uint64_t fd)
{
    return fd < DESCRIPTORS_MAX && state->descriptors[fd].file;
}

bool numbered_place(struct linux_state *state, const char *path, uint64_t *which)
{
    uint64_t number;
    const char *rest = number_in(path, INFO, &number);
    char plain[64];
    int made;

    if (place_of_other(state, path, which))
        return true;
    if (rest && !*rest && is_open(state, number)) {
        *which = made_with_number((unsigned)made_find(INFO), number);
        return true;
    }
    rest = number_in(path, TASK, &number);
    if (!rest || !rest[0] || !rest[1] || !thread_find(state, (int32_t)number))
        return false;
    /* The same files as those of the process, told of the thread. */
    snprintf(plain, sizeof(plain), "%s%s", SELF, rest + 1);
    made = made_find(plain);
    if (made < 0 || strncmp(plain, INFO, strlen(INFO)) == 0)
        return false;
    *which = made_with_number((unsigned)made, number);
    return true;
}

bool numbered_above(struct linux_state *state, const char *path)
{
    uint64_t number;
    const char *rest, *behind;
    const struct linux_state *of = numbered_process(state, path, &behind);

    if (of && of != state)
        return !*behind;
    rest = number_in(path, TASK, &number);
    return (rest && !*rest && thread_find(state, (int32_t)number)) ||
           strcmp(path, SELF "task") == 0 || strcmp(path, SELF "fdinfo") == 0;
}

static bool names_of_processes(const struct linux_state *state,
                               bool (*add)(void *, const char *, uint8_t), void *arg)
{
    const struct linux_state *of = state->common->processes;
    char name[64];
    bool going = true, is_link;
    const char *own;

    for (; of && going; of = of->next_process) {
        for (unsigned i = 0; (own = made_name(i, &is_link)) && going; i++) {
            if (strncmp(own, SELF, strlen(SELF)) != 0 || strcmp(own, INFO) == 0)
                continue;
            snprintf(name, sizeof(name), "/proc/%d/%s", of->pid, own + strlen(SELF));
            going = add(arg, name, is_link ? DT_LNK : DT_REG);
        }
    }
    return going;
}

bool numbered_names(const struct linux_state *state, bool (*add)(void *, const char *, uint8_t),
                    void *arg)
{
    static const char *const of_threads[] = {"auxv", "comm",  "limits", "maps",
                                             "stat", "statm", "status"};
    const struct linux_thread *thread = state->threads;
    char name[64];
    bool going = names_of_processes(state, add, arg);

    for (; thread && going; thread = thread->next) {
        for (size_t i = 0; i < sizeof(of_threads) / sizeof(of_threads[0]) && going; i++) {
            snprintf(name, sizeof(name), TASK "%d/%s", thread->id, of_threads[i]);
            going = add(arg, name, DT_REG);
        }
    }
    for (unsigned fd = 0; fd < DESCRIPTORS_MAX && going; fd++) {
        snprintf(name, sizeof(name), INFO "%u", fd);
        going = !state->descriptors[fd].file || add(arg, name, DT_REG);
    }
    return going;
}
