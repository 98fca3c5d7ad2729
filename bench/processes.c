/* SPDX-License-Identifier: BSD-2-Clause */
/* Two processes with a transport between them. */
#include "processes.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lines.h"

#define MESSAGES_LEAST 4
#define CHECK_BYTES    (64u << 10) /* the clock is looked at so often */
#define HUGE_BYTES     (2u << 20)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

uint64_t stream_duration_ns(const struct bench *bench)
{
    return bench_quick(bench) ? 25000000 : 60000000;
}

bool pair_more(struct pair *pair)
{
    size_t every = CHECK_BYTES / pair->work->bytes;

    if (pair->deadline_ns == 0)
        pair->deadline_ns = bench_now_ns() + pair->duration_ns;
    if (pair->messages++ < MESSAGES_LEAST || (every > 1 && pair->messages % every != 0))
        return true;
    return bench_now_ns() < pair->deadline_ns;
}

void pair_fill(struct pair *pair, void *message)
{
    if (pair->work->honest)
        lines_write(message, pair->work->bytes, &pair->lines);
}

void pair_take(struct pair *pair, const void *data, size_t bytes)
{
    pair->sum += lines_read(data, bytes, pair->work->honest ? LINE_BYTES : PAGE_STEP);
    pair->total += bytes;
    if (pair->first_ns == 0 && pair->total >= pair->work->bytes) {
        pair->first_ns = bench_now_ns();
        pair->first_total = pair->total;
    }
}

static size_t whole_bytes(size_t bytes)
{
    return (bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
}

void pair_memory_free(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, whole_bytes(bytes));
}

void *pair_memory(size_t bytes, bool shared)
{
    size_t whole = whole_bytes(bytes);
    char *mapped = mmap(NULL, whole + HUGE_BYTES, PROT_READ | PROT_WRITE,
                        (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (mapped == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)mapped % HUGE_BYTES;
    char *memory = mapped + before;

    if (before)
        munmap(mapped, before);
    munmap(memory + whole, HUGE_BYTES - before);
    madvise(memory, whole, MADV_HUGEPAGE);
    for (size_t at = 0; at < whole; at += PAGE_STEP)
        ((volatile char *)memory)[at] = 0;
    madvise(memory, whole, MADV_COLLAPSE);
    return memory;
}

static int receive(struct pair *pair)
{
    int result = pair->work->transport->receive(pair);

    if (result != 0)
        return result;
    pair->shared->ns = bench_now_ns() - pair->first_ns;
    pair->shared->bytes = pair->total - pair->first_total;
    return pair->work->honest && pair->sum != lines_sum(pair->total) ? -EBADMSG : 0;
}

/* Exit status of a child: an errno value. */
static pid_t start(struct pair *pair, int core, int other_end, int (*run)(struct pair *pair))
{
    pid_t child = fork();

    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* for process_vm_readv where Yama is on */
    if (pair->fds[other_end] >= 0)
        close(pair->fds[other_end]);
    bench_pin(core);
    _exit(-run(pair));
}

/* When one fails, the other would wait for it without end. */
static int wait_both(const pid_t children[2])
{
    int result = 0;

    for (int ended = 0; ended < 2; ended++) {
        int status;
        pid_t child = waitpid(-1, &status, 0);

        if (child < 0)
            return -errno;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        if (result == 0)
            result = WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
        if (ended == 0)
            kill(children[child == children[0]], SIGKILL);
    }
    return result;
}

static int run_pair(struct pair *pair)
{
    pid_t children[2];

    children[0] = pair->sender = start(pair, 0, 0, pair->work->transport->send);
    if (children[0] < 0)
        return -errno;
    children[1] = start(pair, 1, 1, receive);
    for (int i = 0; i < 2; i++)
        if (pair->fds[i] >= 0)
            close(pair->fds[i]);
    if (children[1] < 0) {
        kill(children[0], SIGKILL);
        waitpid(children[0], NULL, 0);
        return -ECHILD;
    }
    return wait_both(children);
}

int processes_run(struct bench *bench, const void *arg, struct sample *out)
{
    struct pair pair = {.work = arg, .duration_ns = stream_duration_ns(bench), .fds = {-1, -1}};
    int result;

    pair.shared =
        mmap(NULL, sizeof(*pair.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pair.shared == MAP_FAILED)
        return -errno;
    result = pair.work->transport->open(&pair);
    if (result == 0)
        result = run_pair(&pair);
    if (result == 0 && pair.shared->ns > 0)
        out->value = (double)pair.shared->bytes / (double)pair.shared->ns;
    munmap(pair.shared, sizeof(*pair.shared));
    pair_memory_free(pair.ring, pair.ring_bytes);
    return result;
}
