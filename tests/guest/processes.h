/* SPDX-License-Identifier: BSD-2-Clause */
/* Code that the programs share which fork and print what becomes of it. */
#ifndef FERRY_TESTS_PROCESSES_H
#define FERRY_TESTS_PROCESSES_H

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "say.h"

/* Each has one pipe: a child says that it is there, and the parent lets it go by closing its end. */
static int there[2], go[2];

static inline pid_t forked(void)
{
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    return pid;
}

static inline _Noreturn void done(int status)
{
    fflush(stdout);
    _exit(status);
}

static inline void make_pipes(void)
{
    if (pipe(there) < 0 || pipe(go) < 0)
        exit(1);
}

static inline void am_there(void)
{
    write(there[1], "t", 1);
}

static inline void await_there(int count)
{
    char byte;

    while (count--)
        read(there[0], &byte, 1);
}

static inline void say_status(const char *what, int status)
{
    if (WIFEXITED(status))
        printf("%s: exited %d\n", what, WEXITSTATUS(status));
    else
        printf("%s: died by %d\n", what, WTERMSIG(status));
}

static inline void ended(const char *what, pid_t pid)
{
    int status = 0;

    if (waitpid(pid, &status, 0) <= 0)
        say(what, -1);
    else
        say_status(what, status);
}

static inline pid_t child_that_exits(int status)
{
    pid_t pid = forked();

    if (!pid)
        done(status);
    return pid;
}

/* Until the other end of `go` is closed. */
static inline pid_t child_that_waits(void)
{
    pid_t pid = forked();
    char byte;

    if (pid)
        return pid;
    close(go[1]);
    am_there();
    read(go[0], &byte, 1);
    done(0);
}

static siginfo_t got;
static atomic_int caught;

static inline void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    got = *info;
    caught++;
}

static inline void handle(int signo, int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    sigemptyset(&action.sa_mask);
    sigaction(signo, &action, NULL);
}

static inline void await_times(int count)
{
    while (caught < count)
        poll(NULL, 0, 1);
}

#endif
