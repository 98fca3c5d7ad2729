/* SPDX-License-Identifier: BSD-2-Clause */
/* What processes learn of each other: ends, and groups. Each run does the case that its argument names and
 * prints what it saw, without numbers that differ between runs. */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include "processes.h"

/* ---- waits -------------------------------------------------------------------- */

static void waits(void)
{
    pid_t first, second;
    int status = 77;

    make_pipes();
    say("no child", waitpid(-1, &status, 0));
    first = child_that_waits();
    second = child_that_exits(300);
    printf("by number %d\n", waitpid(second, &status, 0) == second);
    say_status("second", status);
    say("again", waitpid(second, &status, 0));
    say("none yet", waitpid(-1, &status, WNOHANG));
    say("own group", waitpid(0, &status, WNOHANG));
    say("own group by number", waitpid(-getpgrp(), &status, WNOHANG));
    say("other group", waitpid(-first, &status, WNOHANG));
    say("other's child", waitpid(1, &status, 0));
    say("bad options", waitpid(-1, &status, 0x1000));
    say("least", waitpid(INT_MIN, &status, 0));
    close(go[1]);
    printf("any %d\n", waitpid(-1, &status, 0) == first);
    say_status("first", status);
    for (int i = 0; i < 5; i++)
        child_that_exits(i);
    for (status = 0; waitpid(-1, NULL, 0) > 0; status++)
        ;
    printf("%d children\n", status);
    child_that_exits(9);
    say("bad place", wait4(-1, (int *)8, 0, NULL));
    say("rest", waitpid(-1, &status, 0));
}

static void say_info(const char *what, const siginfo_t *info, pid_t pid)
{
    printf("%s: %d code %d, of it %d, status %d\n", what, info->si_signo, info->si_code,
           info->si_pid == pid, info->si_status);
}

static void waits_by_id(void)
{
    siginfo_t info = {.si_signo = 77};
    pid_t pid;

    make_pipes();
    pid = child_that_waits();
    say("none yet", waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG));
    say_info("none yet", &info, pid);
    kill(pid, SIGKILL);
    say("left", waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    say_info("left", &info, pid);
    say("left again", waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
    say_info("left again", &info, pid);
    say("signal 0 to a zombie", kill(pid, 0));
    say("group of a zombie", getpgid(pid) == getpgrp());
    say("taken", waitid(P_PGID, (id_t)getpgrp(), &info, WEXITED));
    say_info("taken", &info, pid);
    say("gone", waitid(P_PID, (id_t)pid, &info, WEXITED));
    say("signal 0", kill(pid, 0));
    say("no kind", waitid(P_ALL, 0, &info, WNOHANG));
    say("bad options", waitid(P_ALL, 0, &info, WEXITED | 0x100));
    say("bad number", waitid(P_PID, 0, &info, WEXITED));
    say("bad type", waitid(9, 1, &info, WEXITED));
    pid = child_that_exits(5);
    say("no place", waitid(P_PID, (id_t)pid, NULL, WEXITED));
}

/* ---- SIGCHLD ------------------------------------------------------------------- */

static void told(void)
{
    char byte;
    pid_t pid;

    make_pipes();
    handle(SIGCHLD, 0);
    pid = forked();
    if (!pid) {
        am_there();
        pause();
    }
    await_there(1);
    kill(pid, SIGTERM);
    await_times(1);
    say_info("killed", &got, pid);
    ended("it", pid);
    pid = child_that_exits(4);
    await_times(2);
    say_info("exited", &got, pid);
    ended("it", pid);
    handle(SIGUSR1, 0);
    pid = forked();
    if (!pid)
        for (;;)
            kill(getppid(), SIGUSR1);
    say("interrupted", read(go[0], &byte, 1));
    handle(SIGUSR1, SA_RESTART);
    handle(SIGCHLD, SA_RESTART);
    kill(pid, SIGKILL);
    ended("it", pid);
    pid = forked();
    if (!pid) {
        for (int i = 0; i < 100; i++)
            kill(getppid(), SIGUSR1);
        write(go[1], "b", 1);
        done(0);
    }
    say("made again", read(go[0], &byte, 1));
    ended("it", pid);
    fflush(stdout);
    caught = 0; /* the same of a child that another signal tells about */
    handle(SIGUSR2, 0);
    pid = (pid_t)syscall(SYS_clone, SIGUSR2, 0, 0, 0, 0);
    if (!pid)
        done(3);
    int status = 0;
    printf("%d\n", waitpid(pid, &status, __WALL) == pid);
    say_status("it", status);
}

/* Whoever ignores SIGCHLD has no zombies, and waits until there is no child any more. */
static void ignored(int how)
{
    pid_t pid;

    make_pipes();
    caught = 0;
    if (how == 0)
        signal(SIGCHLD, SIG_IGN);
    else
        handle(SIGCHLD, SA_NOCLDWAIT | SA_RESTART);
    pid = child_that_waits();
    child_that_exits(1);
    close(go[1]);
    say("all", waitpid(-1, NULL, 0));
    say("gone", kill(pid, 0));
    if (how)
        await_times(1);
    printf("told: %d\n", caught > 0);
}

static void ignores(void)
{
    ignored(0);
    ignored(1);
}

/* ---- groups ---------------------------------------------------------------------- */

static void groups(void)
{
    pid_t pids[3], group = 0;

    make_pipes();
    for (int i = 0; i < 3; i++) {
        pids[i] = child_that_waits();
        say("setpgid", setpgid(pids[i], group));
        group = pids[0];
        printf("%d\n", getpgid(pids[i]) == group);
    }
    await_there(3);
    say("no such group", setpgid(pids[1], 12345));
    say("back", setpgid(pids[2], getpgrp()));
    say("not a child", setpgid(1, 0));
    say("negative", setpgid(pids[1], -1));
    say("session", getsid(pids[1]) == getsid(0));
    say("session of nobody", getsid(123456));
    say("kill group", kill(-group, SIGTERM));
    ended("group", -group);
    ended("group", -group);
    say("group", waitpid(-group, NULL, 0));
    say("kill group again", kill(-group, SIGTERM));
    close(go[1]);
    ended("the third", pids[2]);
    pids[0] = child_that_exits(0);
    setpgid(pids[0], 0);
    waitid(P_PID, (id_t)pids[0], NULL, WEXITED | WNOWAIT);
    pids[1] = forked();
    if (!pids[1])
        pause();
    say("group of a zombie", setpgid(pids[1], getpgid(pids[0])));
    kill(pids[1], SIGTERM);
    ended("it", pids[1]);
    ended("the zombie", pids[0]);
    if (!forked()) {
        setpgid(0, 0);
        say("leader", setsid());
        pid_t pid = forked();
        if (!pid) {
            printf("%d", setsid() == getpid());
            printf(" %d %d\n", getsid(0) == getpid(), getpgrp() == getpid());
            say("leader's group", setpgid(0, 0));
            done(0);
        }
        ended("it", pid);
        signal(SIGTERM, SIG_IGN);
        pid = forked();
        if (!pid) {
            signal(SIGTERM, SIG_DFL);
            kill(0, SIGTERM);
            done(0);
        }
        ended("it", pid);
        done(2);
    }
    ended("it", -1);
}

/* ---- stopping and going on ----------------------------------------------------------- */

static void say_change(const char *what, pid_t pid, int options)
{
    int status = 0;
    pid_t found = waitpid(pid, &status, options);

    if (found <= 0)
        say(what, found);
    else if (WIFSTOPPED(status))
        printf("%s: stopped %d\n", what, WSTOPSIG(status));
    else if (WIFCONTINUED(status))
        printf("%s: went on\n", what);
    else
        say_status(what, status);
}

static void say_state(pid_t pid)
{
    char path[64], state = '?';
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "r");
    if (file && fscanf(file, "%*d %*s %c", &state) == 1)
        printf("state %c\n", state);
    if (file)
        fclose(file);
}

/* Who is stopped takes no byte that it waits for, and no signal but one. */
static void stopped(void)
{
    char byte = 0;
    pid_t pid;

    make_pipes();
    handle(SIGCHLD, SA_RESTART);
    pid = forked();
    if (!pid) {
        am_there();
        read(go[0], &byte, 1);
        done(byte);
    }
    await_there(1);
    kill(pid, SIGSTOP);
    say_change("stop", pid, WUNTRACED);
    say_change("told once", pid, WUNTRACED | WNOHANG);
    say_state(pid);
    printf("code %d %d\n", got.si_code, got.si_status);
    write(go[1], "\7", 1);
    poll(NULL, 0, 20);
    fcntl(go[0], F_SETFL, O_NONBLOCK);
    say("it took", read(go[0], &byte, 1) != 1);
    fcntl(go[0], F_SETFL, 0);
    kill(pid, SIGCONT);
    say_change("goes on", pid, WCONTINUED);
    write(go[1], "\7", 1);
    say_change("end", pid, 0);
}

static void *read_one(void *unused)
{
    char byte = 0;

    (void)unused;
    read(go[0], &byte, 1);
    return (void *)(uintptr_t)byte;
}

/* One of them takes the signal, and all stand still. */
static void stopped_threads(void)
{
    pthread_t readers[4];
    int sum = 0;
    char byte;
    pid_t pid;

    make_pipes();
    pid = forked();
    if (!pid) {
        for (int i = 0; i < 4; i++)
            pthread_create(&readers[i], NULL, read_one, NULL);
        am_there();
        for (int i = 0; i < 4; i++) {
            void *one;

            pthread_join(readers[i], &one);
            sum += (int)(uintptr_t)one;
        }
        done(sum);
    }
    await_there(1);
    poll(NULL, 0, 20); /* so that they are likely to wait; right also if not */
    kill(pid, SIGSTOP);
    say_change("stop", pid, WUNTRACED);
    poll(NULL, 0, 20);
    write(go[1], "\1", 1);
    poll(NULL, 0, 20);
    fcntl(go[0], F_SETFL, O_NONBLOCK);
    say("they took", read(go[0], &byte, 1) != 1);
    fcntl(go[0], F_SETFL, 0);
    kill(pid, SIGCONT);
    write(go[1], "\1\1\1\1", 4);
    say_change("end", pid, 0);
}

static void pauses_for_ever(void)
{
    for (;;)
        pause();
}

static void stopped_and_sent(void)
{
    pid_t pid = forked();

    if (!pid)
        pauses_for_ever();
    kill(pid, SIGSTOP);
    say_change("stop", pid, WUNTRACED);
    kill(pid, SIGTERM);
    say_change("not yet", pid, WNOHANG);
    kill(pid, SIGCONT);
    say_change("end", pid, 0);
    pid = forked();
    if (!pid)
        pauses_for_ever();
    kill(pid, SIGSTOP);
    say_change("stop", pid, WUNTRACED);
    kill(pid, SIGKILL);
    say_change("end", pid, 0);
    pid = forked();
    if (!pid) {
        raise(SIGSTOP);
        done(4);
    }
    say_change("by itself", pid, WUNTRACED);
    kill(pid, SIGCONT);
    say_change("end", pid, 0);
    pid = forked();
    if (!pid) {
        kill(getppid(), SIGSTOP);
        kill(getppid(), SIGCONT);
        done(5);
    }
    say_change("its parent", pid, 0);
}

static void ring_in(int ms)
{
    const struct itimerval timer = {.it_value = {.tv_usec = ms * 1000}};

    setitimer(ITIMER_REAL, &timer, NULL);
}

/* A timer of one that is stopped holds up nobody else's, and a wait for stops does not wait for an end. */
static void stopped_with_timer(void)
{
    siginfo_t info;
    pid_t pid = forked();

    if (!pid) {
        ring_in(50);
        raise(SIGSTOP);
        done(0);
    }
    say_change("stop", pid, WUNTRACED);
    handle(SIGALRM, 0);
    ring_in(100);
    await_times(1);
    kill(pid, SIGCONT);
    say_change("end", pid, 0);
    pid = child_that_exits(3);
    say("only stops", waitid(P_PID, (id_t)pid, &info, WSTOPPED) == -1 && errno == ECHILD);
    say_change("end", pid, 0);
}

/* Nobody here makes the first process go on. */
static void first_is_stopped(void)
{
    pid_t pid = forked();

    if (!pid) {
        kill(getppid(), SIGSTOP);
        done(0);
    }
    say_change("end", pid, 0);
}

/* ---- what they used ------------------------------------------------------------------- */

#define STEP 400 /* ms: more than it takes to fork some times, also where all is emulated */

static long own_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static long ms_of(const struct rusage *used)
{
    return (used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000 +
           (used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1000;
}

static void use_steps(int steps)
{
    for (long begun = own_ms(); own_ms() - begun < steps * STEP;)
        continue;
}

/* A process has its own processor time, and that of its children once it has asked of them. */
static void used(void)
{
    struct rusage usage, children;
    struct tms ticks;
    pid_t beside, pid = forked();
    long beside_ms;
    int status;
    char byte;

    if (!pid) {
        pid = forked();
        if (!pid) {
            use_steps(1);
            done(0);
        }
        ended("inner", pid);
        printf("inner is not ours %d\n", own_ms() < STEP);
        use_steps(2);
        done(0);
    }
    make_pipes();
    beside = forked();
    if (!beside) {
        use_steps(1);
        am_there();
        close(go[1]);
        read(go[0], &byte, 1);
        done(0);
    }
    await_there(1);
    printf("nor is that of who is there %d\n", own_ms() < STEP);
    close(go[1]);
    waitpid(beside, &status, 0);
    getrusage(RUSAGE_CHILDREN, &children);
    beside_ms = ms_of(&children);
    printf("one %d\n", beside_ms >= STEP && beside_ms < 3 * STEP);
    wait4(pid, &status, 0, &usage);
    getrusage(RUSAGE_CHILDREN, &children);
    times(&ticks);
    printf("own %d, both %d, all %d %d\n", own_ms() < STEP, ms_of(&usage) >= 3 * STEP,
           ms_of(&children) >= 3 * STEP,
           (ticks.tms_cutime + ticks.tms_cstime) * 10 >= 3 * STEP - 10);
    printf("memory %d\n", usage.ru_maxrss > 0 && usage.ru_maxrss <= children.ru_maxrss);
}

/* The limit of one is no limit of another, and what it used counts for it alone. */
static void limited(void)
{
    const struct rlimit second = {1, 1};
    pid_t pid;

    use_steps(3);
    pid = forked();
    if (!pid) {
        setrlimit(RLIMIT_CPU, &second);
        for (;;)
            continue;
    }
    while (waitpid(pid, NULL, WNOHANG) == 0)
        use_steps(1);
    printf("it goes on\n");
}

/* ---- -------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"waits", waits},
        {"waits_by_id", waits_by_id},
        {"told", told},
        {"ignores", ignores},
        {"groups", groups},
        {"used", used},
        {"first_is_stopped", first_is_stopped},
        {"stopped_with_timer", stopped_with_timer},
        {"limited", limited},
        {"stopped", stopped},
        {"stopped_threads", stopped_threads},
        {"stopped_and_sent", stopped_and_sent},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && argc > 1; i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    return 2;
}
