/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers about signals, users, the thread and its clocks, so that a run in a VM
 * can be compared with one outside. */
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

/* A result and, if it is -1, why. */
static void say(const char *what, long result)
{
    printf("%s: %ld", what, result);
    if (result == -1)
        printf(" (%s)", strerror(errno));
    putchar('\n');
}

static sigset_t set_of(int first, int second)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, first);
    if (second)
        sigaddset(&set, second);
    return set;
}

static void queued_signals(void)
{
    const struct timespec now = {0}, soon = {0, 20000000}, bad = {0, 2000000000};
    const int low = SIGRTMIN + 1, high = SIGRTMIN + 2;
    sigset_t set = set_of(SIGUSR1, SIGUSR2), real = set_of(low, high), pending, all;
    siginfo_t info;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    say("nothing pending", sigtimedwait(&set, &info, &now));
    say("nothing pending for a while", sigtimedwait(&set, &info, &soon));
    say("a time that is none", sigtimedwait(&set, &info, &bad));
    raise(SIGUSR1);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR2);
    sigpending(&pending);
    printf("pending %d %d %d\n", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2),
           sigismember(&pending, SIGTERM));
    say("first", sigwaitinfo(&set, &info));
    printf("code %d mine %d\n", info.si_code, info.si_pid == getpid());
    say("second", sigwaitinfo(&set, &info));
    printf("code %d mine %d\n", info.si_code, info.si_pid == getpid());
    say("once only", sigtimedwait(&set, &info, &now));
    for (int i = 0; i < 6; i++)
        sigqueue(getpid(), i < 3 ? high : low, (union sigval){.sival_int = 100 + i});
    for (int i = 0; i < 6; i++) {
        int signo = sigwaitinfo(&real, &info);

        printf("queued %d: value %d code %d\n", signo - SIGRTMIN, info.si_value.sival_int,
               info.si_code);
    }
    say("no more", sigtimedwait(&real, &info, &now));
    /* Ignored while it is blocked it is pending; when it is ignored anew it goes. */
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    say("ignored and blocked", sigtimedwait(&set, &info, &now));
    signal(SIGUSR2, SIG_DFL);
    raise(SIGUSR2);
    signal(SIGUSR2, SIG_IGN);
    say("ignored after it came", sigtimedwait(&set, &info, &now));
    raise(SIGCHLD);
    sigpending(&pending);
    say("a child's", sigismember(&pending, SIGCHLD));
    say("to somebody else", sigqueue(99999999, SIGUSR1, (union sigval){0}));
    say("no signal", sigqueue(getpid(), 99, (union sigval){0}));
    say("by its thread's number 0", syscall(SYS_tkill, 0, SIGUSR1));
    say("mask of another size", syscall(SYS_rt_sigtimedwait, &set, &info, &now, 4L));
}

static void timers(void)
{
    struct itimerval timer = {{9, 9}, {9, 9}};

    say("no alarm", alarm(0));
    say("no timer", getitimer(ITIMER_REAL, &timer));
    printf("%ld %ld\n", (long)timer.it_value.tv_sec, (long)timer.it_interval.tv_usec);
    say("stopping it", setitimer(ITIMER_PROF, &timer, NULL));
    say("a fourth", getitimer(3, &timer));
}

static void names(void)
{
    char name[17] = {0};
    int value = 9;

    prctl(PR_GET_NAME, name);
    printf("name %s\n", name);
    say("a long name", prctl(PR_SET_NAME, "twenty-characters-it"));
    prctl(PR_GET_NAME, name);
    printf("name %s\n", name);
    say("a name from nowhere", prctl(PR_SET_NAME, 8));
    say("new rights", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("no new rights", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    say("now", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("back", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("with more", prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
    say("dumpable", prctl(PR_GET_DUMPABLE));
    say("not", prctl(PR_SET_DUMPABLE, 0));
    say("now", prctl(PR_GET_DUMPABLE));
    say("neither", prctl(PR_SET_DUMPABLE, 7));
    say("death signal", prctl(PR_SET_PDEATHSIG, SIGTERM));
    say("which", prctl(PR_GET_PDEATHSIG, &value));
    printf("%d\n", value);
    say("none such", prctl(PR_SET_PDEATHSIG, 99));
    say("slack", prctl(PR_SET_TIMERSLACK, 77));
    say("now", prctl(PR_GET_TIMERSLACK));
    say("keep", prctl(PR_GET_KEEPCAPS));
    say("huge pages", prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    say("now", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    say("no capability", prctl(PR_CAPBSET_READ, 99));
    say("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0));
    say("unknown", prctl(12345));
}

static void scheduling(void)
{
    struct __user_cap_header_struct header = {.version = 1};
    struct sched_param parameter = {9};
    unsigned long set[16] = {0};
    struct timespec slice;

    say("scheduler", sched_getscheduler(0));
    say("of nobody", sched_getscheduler(99999999));
    say("of less", sched_getscheduler(-1));
    say("parameter", sched_getparam(0, &parameter));
    printf("%d\n", parameter.sched_priority);
    say("set as it is", sched_setscheduler(0, SCHED_OTHER, &parameter));
    say("most", sched_get_priority_max(SCHED_FIFO));
    say("least", sched_get_priority_min(SCHED_RR));
    say("of others", sched_get_priority_max(SCHED_OTHER));
    say("of nothing", sched_get_priority_max(77));
    say("slice", sched_rr_get_interval(0, &slice));
    say("affinity", sched_getaffinity(0, sizeof(set), (cpu_set_t *)set));
    say("as it is", sched_setaffinity(0, sizeof(set), (cpu_set_t *)set));
    memset(set, 0, sizeof(set));
    say("to none", sched_setaffinity(0, sizeof(set), (cpu_set_t *)set));
    say("of nobody", sched_getaffinity(99999999, sizeof(set), (cpu_set_t *)set));
    say("nice", getpriority(PRIO_PROCESS, 0));
    say("as nice", setpriority(PRIO_PROCESS, 0, 0));
    say("nobody's", getpriority(PRIO_PROCESS, 99999999));
    say("what is that", getpriority(9, 0));
    say("barriers", syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) > 0);
    say("unregistered", syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    say("register", syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    say("registered", syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    say("barriers with flags", syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 4, 0));
    say("version", syscall(SYS_capget, &header, NULL));
    printf("%#x\n", header.version);
    say("of nobody", (header.pid = 99999999, syscall(SYS_capget, &header, set)));
    say("as whoever", syscall(SYS_setresuid, -1, -1, -1));
    say("as oneself", syscall(SYS_setresgid, getgid(), -1, getegid()));
    say("two", syscall(SYS_setreuid, -1, getuid()));
    say("for files", syscall(SYS_setfsuid, -1) == getuid());
    say("groups", syscall(SYS_getgroups, -1, NULL));
    say("persona", syscall(SYS_personality, 0xffffffffL));
    say("policy", syscall(SYS_get_mempolicy, NULL, NULL, 0L, NULL, 0L));
    say("random", syscall(SYS_getrandom, set, 8L, 6L));
}

static void clocks(void)
{
    struct timespec time;
    clockid_t clock;

    say("of the process", clock_getcpuclockid(0, &clock));
    say("read", clock_gettime(clock, &time));
    say("of it by number", clock_getcpuclockid(getpid(), &clock));
    say("read", clock_gettime(clock, &time));
    say("of nobody", clock_getcpuclockid(99999999, &clock));
    say("of the thread", pthread_getcpuclockid(pthread_self(), &clock));
    say("read", clock_gettime(clock, &time));
    say("its step", clock_getres(clock, &time));
    say("set", clock_settime(CLOCK_MONOTONIC, &time));
}

int main(void)
{
    queued_signals();
    timers();
    names();
    scheduling();
    clocks();
    return 0;
}
