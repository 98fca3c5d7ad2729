/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * leaves_calls FILE: a thread opens a file that never answers. Again and again it gets a signal that
 * would end the program and, before it, one whose handler holds the other back and drops it: the
 * call is given up, and the program goes on.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define ROUNDS 60

static atomic_int handled;

static void drop(int signo)
{
    (void)signo;
    signal(SIGTERM, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    atomic_fetch_add(&handled, 1);
}

static void *open_on(void *path)
{
    for (;;)
        if (open(path, O_RDONLY) < 0 && errno != EINTR)
            fail("%s: %s", (char *)path, strerror(errno));
    return path;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = drop};
    const struct timespec pause = {.tv_nsec = 5000000}; /* so that most come during a call */
    pthread_t opener;

    expect_arguments(argc, 1, "leaves_calls FILE");
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGHUP, &action, NULL);
    if (pthread_create(&opener, NULL, open_on, argv[1]))
        fail("no thread");
    for (int i = 0; i < ROUNDS; i++) {
        nanosleep(&pause, NULL);
        pthread_kill(opener, SIGHUP);
        pthread_kill(opener, SIGTERM);
        while (atomic_load(&handled) <= i)
            nanosleep(&pause, NULL);
    }
    _exit(0);
}
