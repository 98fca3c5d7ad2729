/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals and other ends of processes, wherever they are, and words that harm who begins one. Each run
 * does the case that its argument names and prints what it saw. */
#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "processes.h"

/* ---- kill --------------------------------------------------------------------- */

static int *word;

static void in_pause(void)
{
    pause();
}

static void in_read(void)
{
    char byte;

    read(go[0], &byte, 1);
}

static void in_write(void)
{
    static char many[200000];
    int pipes[2];

    pipe(pipes);
    write(pipes[1], many, sizeof many);
}

static void in_poll(void)
{
    poll(NULL, 0, -1);
}

static void in_futex(void)
{
    syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL);
}

static void in_wait(void)
{
    if (!fork()) {
        char byte;

        close(go[1]);
        read(go[0], &byte, 1);
        _exit(0);
    }
    wait(NULL);
}

static void in_loop(void)
{
    for (;;)
        __asm__ volatile("");
}

static void in_sleep(void)
{
    sleep(100);
}

static void in_vfork(void)
{
    char byte;

    if (!vfork()) {
        close(go[1]);
        read(go[0], &byte, 1);
        _exit(0);
    }
}

static void in_forks(void)
{
    for (;;)
        if (!fork())
            _exit(0);
        else
            wait(NULL);
}

static void in_execs(void)
{
    execl("/proc/self/exe", "children", "again", NULL);
}

static void (*const places[])(void) = {in_pause, in_read,  in_write, in_poll,  in_futex, in_wait,
                                       in_loop,  in_sleep, in_vfork, in_forks, in_execs};
#define PLACES ((int)(sizeof places / sizeof places[0]))

static pid_t child_in(int place)
{
    pid_t pid = forked();

    if (pid)
        return pid;
    close(go[1]);
    am_there();
    places[place]();
    done(1);
}

/* A signal that ends it reaches a child wherever that is; one with a handler is handled first. */
static void kills(void)
{
    make_pipes();
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int place = 0; place < PLACES; place++) {
        for (int wait_us = 0; wait_us < 5000; wait_us += 2000) {
            pid_t pid = child_in(place);

            await_there(1);
            usleep((useconds_t)wait_us); /* it may be there by then, or on the way */
            say("kill", kill(pid, wait_us ? SIGTERM : SIGKILL));
            ended("it", pid);
        }
    }
}

static void crashes(void)
{
    for (int how = 0; how < 5; how++) {
        pid_t pid = forked();

        if (!pid) {
            if (how == 0)
                *(volatile int *)0 = 1;
            else if (how == 1)
                __asm__ volatile("ud2");
            else if (how == 2)
                abort();
            else if (how == 3)
                ((void (*)(void))0x1234)();
            raise(SIGFPE);
        }
        ended("it", pid);
    }
}

static void sent(void)
{
    sigset_t set;
    pid_t pid;
    union sigval value = {.sival_int = 1234};

    make_pipes();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    handle(SIGUSR1, 0);
    handle(SIGRTMIN, 0);
    pid = forked();
    if (!pid) {
        sigset_t pending, blocked;

        sigpending(&pending);
        sigprocmask(SIG_BLOCK, NULL, &blocked);
        printf("pending %d, blocked %d\n", sigismember(&pending, SIGUSR1),
               sigismember(&blocked, SIGUSR1));
        am_there();
        await_times(1);
        printf("value %d, from the parent %d, code %d\n", got.si_value.sival_int,
               got.si_pid == getppid(), got.si_code);
        am_there();
        await_times(2);
        printf("code %d\n", got.si_code);
        done(0);
    }
    await_there(1);
    say("sigqueue", sigqueue(pid, SIGRTMIN, value));
    await_there(1);
    say("tgkill", syscall(SYS_tgkill, pid, pid, SIGRTMIN));
    ended("it", pid);
    say("to nobody", kill(123456, SIGTERM));
    say("bad signal", kill(getpid(), 65));
    say("bad signal to nobody", kill(123456, 65));
    say("least", kill(INT_MIN, 0));
    say("tkill", syscall(SYS_tkill, 123456, 0));
}

/* ---- alarms ------------------------------------------------------------------------ */

/* Each process has its own, which the other's neither takes nor puts off. */
static void alarms(void)
{
    struct itimerval soon = {.it_value.tv_usec = 30000}, late = {.it_value.tv_sec = 100}, left;
    pid_t pids[2];

    make_pipes();
    setitimer(ITIMER_REAL, &late, NULL);
    for (int i = 0; i < 2; i++) {
        pids[i] = forked();
        if (!pids[i]) {
            getitimer(ITIMER_REAL, &left);
            printf("%d: inherited %d\n", i, left.it_value.tv_sec > 0);
            fflush(stdout);
            setitimer(ITIMER_REAL, i ? &late : &soon, NULL);
            am_there();
            pause();
        }
        await_there(1);
    }
    ended("soon", pids[0]);
    kill(pids[1], SIGKILL);
    ended("late", pids[1]);
    handle(SIGALRM, 0);
    late = (struct itimerval){.it_value.tv_usec = 60000};
    setitimer(ITIMER_REAL, &late, NULL);
    pids[0] = forked();
    if (!pids[0]) { /* its own would come first, but it ends before */
        setitimer(ITIMER_REAL, &soon, NULL);
        _exit(0);
    }
    ended("ends before", pids[0]);
    await_times(1);
}

/* ---- hostile words ------------------------------------------------------------------ */

struct clone_words {
    uint64_t flags, pidfd, child_id, parent_id, exit_signal, stack, stack_bytes, tls, ids, id_count,
        cgroup;
};

static void say_clone3(const char *what, struct clone_words words, size_t bytes)
{
    long pid;

    fflush(stdout);
    pid = syscall(SYS_clone3, &words, bytes);
    if (!pid)
        _exit(0);
    say(what, pid > 0 ? 1 : pid);
    if (pid > 0)
        ended("it", (pid_t)pid);
}

static void say_clone(const char *what, uint64_t flags, uint64_t stack, uint64_t id, uint64_t tls)
{
    long pid;

    fflush(stdout);
    pid = syscall(SYS_clone, flags, stack, id, id, tls);
    if (!pid)
        _exit(0);
    say(what, pid > 0 ? 1 : pid);
    if (pid > 0)
        ended("it", (pid_t)pid);
}

static void hostile(void)
{
    const uint64_t far = 0xffff800000001000ull, none = 8;

    say_clone("bad places", 0x01000000 | 0x00100000 | 0x00200000 | SIGCHLD, 0, none, 0);
    say_clone("far places", 0x01000000 | 0x00100000 | 0x00200000 | SIGCHLD, 0, far, 0);
    say_clone("bad tls", 0x00080000 | SIGCHLD, 0, 0, far);
    say_clone("bad stack", SIGCHLD, 16, 0, 0);
    say_clone("far stack", SIGCHLD, far, 0, 0);
    say_clone("sighand alone", 0x800 | SIGCHLD, 0, 0, 0);
    say_clone("thread alone", 0x10000 | SIGCHLD, 0, 0, 0);
    say("clone3 at", syscall(SYS_clone3, none, 88));
    say("clone3 far", syscall(SYS_clone3, far, 88));
    say("clone3 short", syscall(SYS_clone3, none, 8));
    say("clone3 long", syscall(SYS_clone3, none, 1 << 20));
    say_clone3("clone3", (struct clone_words){.exit_signal = SIGCHLD}, 64);
    say_clone3("stack only", (struct clone_words){.exit_signal = SIGCHLD, .stack = 4096}, 88);
    say_clone3("bad signal", (struct clone_words){.exit_signal = 1ull << 40}, 88);
    say_clone3("wraps",
               (struct clone_words){.exit_signal = SIGCHLD, .stack = ~0ull, .stack_bytes = 4096},
               88);
    say_clone3("signal 65", (struct clone_words){.exit_signal = 65}, 88);
    for (int i = 0; i < 2; i++) {
        if (!forked())
            done(6);
        say("wait4", wait4(-1, (int *)(i ? far : none), 0, (struct rusage *)none));
        say("nothing is left", waitpid(-1, NULL, 0));
    }
    if (!forked())
        done(6);
    say("waitid", syscall(SYS_waitid, P_ALL, 0, far, WEXITED, none));
}

/* ---- -------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"kills", kills},   {"crashes", crashes}, {"sent", sent},
        {"alarms", alarms}, {"hostile", hostile}, {"again", in_execs},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && argc > 1; i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    return 2;
}
