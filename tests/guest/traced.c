/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes system calls for those who watch: a few of each sort, or (THREADS CALLS) many by threads. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

#define THREADS_MAX 16

static unsigned long calls;

static void *make_calls(void *arg)
{
    char text[] = "call of thread A\n";

    text[sizeof(text) - 3] += (char)(uintptr_t)arg;
    for (unsigned long i = 0; i < calls; i++)
        syscall(SYS_write, -1, text, sizeof(text) - 1);
    return NULL;
}

static void by_threads(unsigned long count)
{
    pthread_t threads[THREADS_MAX];

    for (unsigned long i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, make_calls, (void *)i))
            fail("no thread %lu", i);
    for (unsigned long i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void handler(int signo)
{
    (void)signo;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = handler};
    char text[64];

    if (argc > 2) {
        calls = strtoul(argv[2], NULL, 10);
        by_threads(strtoul(argv[1], NULL, 10) % THREADS_MAX);
        return 0;
    }
    syscall(SYS_open, "/nowhere/a \"file\"", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    syscall(SYS_read, 0, text, sizeof(text));
    syscall(SYS_write, 1, "hello\n", 6UL);
    sigaction(SIGUSR1, &action, NULL);
    syscall(SYS_kill, getpid(), SIGUSR1);
    syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    syscall(1000, 1L);
    syscall(SYS_read, 0, text, sizeof(text));
    syscall(SYS_exit_group, 3);
}
