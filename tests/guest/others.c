/* SPDX-License-Identifier: BSD-2-Clause */
/* What a process asks, and sets, of another one: of its child, a zombie, nobody. */
#include <sched.h>
#include <sys/resource.h>

#include "processes.h"

static void say_limit(const char *what, pid_t pid)
{
    struct rlimit limit = {77, 77};

    say(what, prlimit(pid, RLIMIT_NOFILE, NULL, &limit));
    printf("%lu of %lu\n", (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
}

/* The child says what has become of its own. */
static pid_t child(void)
{
    pid_t pid = forked();

    if (pid)
        return pid;
    close(go[1]);
    am_there();
    char end;
    read(go[0], &end, 1);
    cpu_set_t set;
    say_limit("its own", 0);
    say("its processors", sched_getaffinity(0, sizeof set, &set) < 0);
    printf("%d\n", CPU_COUNT(&set));
    say("a file too many", dup2(0, 30));
    done(0);
}

static void limits(pid_t pid)
{
    struct rlimit limit;

    prlimit(0, RLIMIT_NOFILE, &(struct rlimit){40, 50}, NULL);
    prlimit(pid, RLIMIT_NOFILE, &(struct rlimit){20, 40}, &limit);
    say_limit("child's", pid);
    say_limit("own", 0);
    say("soft above hard", prlimit(pid, RLIMIT_NOFILE, &(struct rlimit){30, 29}, NULL));
    say("no such limit", prlimit(pid, 99, NULL, &limit));
    say("no such process nor limit", prlimit(99999999, 99, NULL, &limit));
    say("no such process", prlimit(99999999, RLIMIT_NOFILE, NULL, &limit));
    say("bad place first", prlimit(99999999, RLIMIT_NOFILE, (void *)8, &limit));
    say("stack", prlimit(pid, RLIMIT_STACK, &(struct rlimit){1 << 20, 8 << 20}, NULL));
    say("processor time", prlimit(pid, RLIMIT_CPU, &(struct rlimit){1000, 2000}, NULL));
}

static void scheduling(pid_t pid)
{
    const struct sched_param none = {0};
    struct sched_param param = {77};
    struct timespec slice;

    printf("priority %d\n", getpriority(PRIO_PROCESS, (id_t)pid));
    printf("of a group %d\n", getpriority(PRIO_PGRP, (id_t)pid));
    say("to 0", setpriority(PRIO_PROCESS, (id_t)pid, 0));
    say("scheduler", sched_getscheduler(pid));
    say("set", sched_setscheduler(pid, SCHED_OTHER, &none));
    say("parameters", sched_getparam(pid, &param));
    printf("%d\n", param.sched_priority);
    say("slice", sched_rr_get_interval(pid, &slice));
}

static void processors(pid_t pid)
{
    cpu_set_t set, one;
    int cpu = 0;

    say("processors", sched_getaffinity(pid, sizeof set, &set) < 0);
    while (!CPU_ISSET(cpu, &set))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    say("to one", sched_setaffinity(pid, sizeof one, &one));
    sched_getaffinity(pid, sizeof set, &set);
    printf("%d\n", CPU_COUNT(&set));
    CPU_ZERO(&one);
    say("to none", sched_setaffinity(pid, sizeof one, &one));
}

int main(void)
{
    make_pipes();
    pid_t pid = child();
    await_there(1);
    setpgid(pid, pid);
    limits(pid);
    scheduling(pid);
    processors(pid);
    close(go[1]);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    say("of a zombie", sched_getscheduler(pid));
    printf("priority %d\n", getpriority(PRIO_PROCESS, (id_t)pid));
    waitpid(pid, NULL, 0);
    say("of nobody", sched_getscheduler(pid));
    say("nobody's priority", getpriority(PRIO_PROCESS, (id_t)pid));
    say("no such group", getpriority(PRIO_PGRP, (id_t)pid));
    return 0;
}
