/* SPDX-License-Identifier: BSD-2-Clause */
/* `ferry run` as the process that its program would be; see process.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
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

/* Of descriptors 0 to 2; for the handler, too. */
static struct termios modes[3];
static bool is_terminal[3];

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

/* On a thread of the VM; the rest is done by process_drop_closed. */
static void note_closed(void *arg, int fd)
{
    struct pipeline *p = arg;

    atomic_fetch_or(&p->closed, 1u << fd);
    eventfd_write(p->done_fd, 1);
}

/* Whether ferry reads or writes there itself, for a program that uses messages. */
static bool carries_messages(const struct pipeline *p, int fd)
{
    struct ferry_link_stats stats;

    ferry_link_stats(p->links[fd == STDIN_FILENO ? 0 : p->count], &stats);
    return stats.messages > 0;
}

/* A descriptor is kept until the program closes it, as messages may still go by the VM's links.
 * Standard error is ours to the end. A terminal has no end that somebody waits for. */
void process_drop_closed(struct pipeline *p)
{
    unsigned closed = atomic_exchange(&p->closed, 0);

    for (int fd = 0; fd <= STDOUT_FILENO && p->null_fd >= 0; fd++) {
        if (!(closed & 1u << fd) || is_terminal[fd] || carries_messages(p, fd))
            continue;
        dup2(p->null_fd, fd);
        if (fd == STDOUT_FILENO)
            (void)ferry_link_refuse(p->links[p->count]);
    }
}

int process_give(struct pipeline *p)
{
    struct ferry_error error;

    /* Now, as there may be no descriptor left once the program closes one of its own. */
    p->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (!pipeline_can_use(fd) || (fd == STDIN_FILENO && p->options->no_stdin))
            continue;
        if (ferry_vm_give_fd(p->stages[0].vm, fd, fd, &error) != 0) {
            say("%s", error.text);
            return STATUS_FERRY;
        }
    }
    ferry_vm_on_close(p->stages[0].vm, note_closed, p);
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

static bool asks_to_end(int signo)
{
    return signo == SIGINT || signo == SIGTERM || signo == SIGQUIT || signo == SIGHUP;
}

/* Whether it is one request too many. */
static bool is_urgent(struct pipeline *p, int signo)
{
    uint64_t now = now_ns();

    if (!asks_to_end(signo))
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
    if (asks_to_end(signo))
        say_soon(); /* the program takes the signal once what it does now is in the trace */
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
