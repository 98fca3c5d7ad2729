/* SPDX-License-Identifier: BSD-2-Clause */
/* `ferry run` as the process that its program would be; see process.h. */
#include <errno.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "command.h"
#include "ending.h"
#include "process.h"

/* So many requests to end within this time end everything. */
#define URGENT_COUNT 3
#define URGENT_NS    1000000000ull
/* Some programs send a signal twice: timeout(1) does, to its child and to its group. */
#define SAME_NS 20000000ull

/* ---- descriptors ---------------------------------------------------------- */

/* On a thread of the VM: stops this process as the signal does. Whoever started us makes it go on. */
static void pause_process(void *arg, int signo)
{
    sigset_t set;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_kill(pthread_self(), signo);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int process_give(struct pipeline *p)
{
    struct ferry_error error;

    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (!pipeline_can_use(fd) || (fd == STDIN_FILENO && p->options->no_stdin))
            continue;
        if (ferry_vm_give_fd(p->stages[0].vm, fd, fd, &error) != 0) {
            say("%s", error.text);
            return STATUS_FERRY;
        }
    }
    ferry_vm_on_pause(p->stages[0].vm, pause_process, NULL);
    return 0;
}

/* ---- signals -------------------------------------------------------------- */

void process_signals(sigset_t *set)
{
    static const int passed[] = {SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH,
                                 SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT};

    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
        if (!ending_ignores(passed[i]))
            sigaddset(set, passed[i]);
}

/* Whether it is one request too many. */
static bool is_urgent(struct pipeline *p, int signo)
{
    uint64_t now = now_ns();

    if (signo != SIGINT && signo != SIGTERM && signo != SIGQUIT && signo != SIGHUP)
        return false;
    if (now - p->asked_ns[0] < SAME_NS)
        return false;
    bool urgent = p->asked_ns[URGENT_COUNT - 2] && now - p->asked_ns[URGENT_COUNT - 2] < URGENT_NS;
    memmove(p->asked_ns + 1, p->asked_ns, sizeof(p->asked_ns) - sizeof(p->asked_ns[0]));
    p->asked_ns[0] = now;
    return urgent;
}

bool process_signal(struct pipeline *p, int signo)
{
    if (is_urgent(p, signo))
        return false;
    sigaddset(&p->passed, signo);
    ferry_vm_signal(p->stages[0].vm, signo);
    return true;
}

int process_ended_by(const struct pipeline *p)
{
    struct ferry_vm_exit end;

    if (ferry_vm_wait(p->stages[0].vm, 0, &end) != 0 || end.how != FERRY_ENDED_SIGNAL)
        return 0;
    return end.signo == SIGPIPE || sigismember(&p->passed, end.signo) == 1 ? end.signo : 0;
}

/* ---- the terminal --------------------------------------------------------- */

/* Of descriptors 0 to 2; for the handler, too. */
static struct termios modes[3];
static bool is_terminal[3];

void process_keep_modes(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        is_terminal[fd] = tcgetattr(fd, &modes[fd]) == 0;
}

void process_restore_modes(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        pid_t foreground = is_terminal[fd] ? tcgetpgrp(fd) : 0;

        if (!is_terminal[fd] || (foreground > 0 && foreground != getpgrp()))
            continue;
        (void)tcsetattr(fd, TCSANOW, &modes[fd]);
    }
}
