/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program with Ferry in it, under faults.c: for each line of its standard input, a fault as FAULT has it or `none`,
 * it makes an engine, two VMs and links, sends and receives, has a third VM that is brought back to its
 * snapshot, and a copy of that, and ends all, while that fails, and answers with
 * one line: `went on`, `did not come`, `time is over`, `said so: TEXT` or `wrong: WHAT`, and the last call. What the
 * process held before, descriptors, mappings, threads and blocks of the heap, it must hold after it.
 *
 * embedder CACHE PASS BUSYBOX
 */
#include <dirent.h>
#include <errno.h>
#include <ferry/ferry.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "faults.h"

#define SECOND   1000000000ull
#define PATIENCE (10 * SECOND) /* after which a wait in a run hangs */
#define SETTLE   2             /* seconds in which a thread that was joined is gone from /proc */
#define PAYLOAD  5000
#define EXTENT   (2u << 20)
#define OUTPUT   "2102152\n"

static const char *cache, *pass_program, *busybox;

/* A VM that sorts lines, for one run after the other. */
struct sorter {
    struct ferry_vm *vm;
    struct ferry_link *in, *out;
};

struct run {
    struct ferry_engine *engine;
    struct ferry_vm *pass, *count;
    struct ferry_link *in, *middle, *out;
    struct sorter again, copy;
    struct ferry_error error;
    const char *call; /* the last one */
    char output[32];
    size_t bytes;
};

/* ---- what the process holds ------------------------------------------------------------------------------- */

struct held {
    long descriptors, threads, mappings;
    int64_t blocks;
};

static long entries(const char *path)
{
    DIR *dir = opendir(path);
    long count = 0;

    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

/* The heap and the stack grow and stay. */
static long mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    long count = 0;

    while (maps && fgets(line, sizeof line, maps))
        count += !strstr(line, "[heap]") && !strstr(line, "[stack]");
    if (maps)
        fclose(maps);
    return count;
}

static struct held hold(void)
{
    return (struct held){.descriptors = entries("/proc/self/fd"),
                         .threads = entries("/proc/self/task"),
                         .mappings = mappings(),
                         .blocks = atomic_load(&fault_report()->blocks)};
}

static bool is_same(const struct held *a, const struct held *b)
{
    return a->descriptors == b->descriptors && a->threads == b->threads &&
           a->mappings == b->mappings && a->blocks == b->blocks;
}

/* A mapping that the kernel would not take back stays, and a VM of which a processor is mapped, with a thread of KVM's. */
static bool may_stay(const char *fault, const struct held *before, const struct held *after)
{
    struct held rest = *after;

    rest.mappings = before->mappings;
    rest.threads = before->threads;
    return strncmp(fault, "munmap:", 7) == 0 && is_same(before, &rest);
}

/* What is held once it is as before, or when it does not become so. */
static struct held settle(const char *fault, const struct held *before)
{
    time_t begun = time(NULL);
    struct held now = hold();

    while (!is_same(before, &now) && !may_stay(fault, before, &now) &&
           time(NULL) - begun <= SETTLE) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        now = hold();
    }
    return now;
}

/* ---- a run: each step returns what the library did, and names it ---------------------------------------------- */

#define STEP(name, expression) (run->call = (name), (expression))

static int make_vms(struct run *run)
{
    const struct ferry_engine_config config = {.pool_extents = 4, .measure_cache = cache};
    char *const words[] = {"wc", "-c", NULL};
    const struct ferry_vm_config pass = {.program = pass_program,
                                         .memory_bytes = 16u << 20,
                                         .timeout_ns = PATIENCE,
                                         .stderr_fd = -1};
    const struct ferry_vm_config count = {.program = busybox,
                                          .argv = words,
                                          .memory_bytes = 16u << 20,
                                          .timeout_ns = PATIENCE,
                                          .stderr_fd = -1};
    int result =
        STEP("ferry_engine_create", ferry_engine_create(&config, &run->engine, &run->error));

    if (result == 0)
        result =
            STEP("ferry_vm_create", ferry_vm_create(run->engine, &pass, &run->pass, &run->error));
    if (result == 0)
        result =
            STEP("ferry_vm_create", ferry_vm_create(run->engine, &count, &run->count, &run->error));
    return result;
}

static int make_links(struct run *run)
{
    const struct ferry_link_config stream = {.stream = true};
    const struct ferry_link_config direct = {.stream = true, .direct = true};
    int result = STEP("ferry_link_create", ferry_link_create(run->engine, NULL, run->pass, &stream,
                                                             &run->in, &run->error));

    if (result == 0)
        result = STEP("ferry_link_create", ferry_link_create(run->engine, run->pass, run->count,
                                                             &direct, &run->middle, &run->error));
    if (result == 0)
        result = STEP("ferry_link_create", ferry_link_create(run->engine, run->count, NULL, &stream,
                                                             &run->out, &run->error));
    if (result == 0)
        result = STEP("ferry_vm_start", ferry_vm_start(run->count, &run->error));
    if (result == 0)
        result = STEP("ferry_vm_start", ferry_vm_start(run->pass, &run->error));
    return result;
}

static int send(struct run *run)
{
    static char payload[PAYLOAD];
    struct ferry_message copy = {.mode = FERRY_COPY, .data = payload, .bytes = sizeof payload};
    struct ferry_message lend = {.mode = FERRY_LEND, .bytes = EXTENT};
    size_t bytes;
    void *home;
    int result = STEP("ferry_link_send", ferry_link_send(run->in, &copy, PATIENCE));

    if (result == 0)
        result = STEP("ferry_link_alloc", ferry_link_alloc(run->in, 1, false, &lend.data));
    if (result == 0)
        result = STEP("ferry_link_send", ferry_link_send(run->in, &lend, PATIENCE));
    if (result == 0)
        result = STEP("ferry_link_hangup", ferry_link_hangup(run->in));
    if (result == 0)
        result = STEP("ferry_link_reclaim", ferry_link_reclaim(run->in, PATIENCE, &home, &bytes));
    if (result == 0)
        result = STEP("ferry_link_free", ferry_link_free(run->in, home, bytes));
    return result;
}

static int receive(struct run *run)
{
    struct ferry_message message = {0};
    int result;

    while ((result = STEP("ferry_link_recv", ferry_link_recv(run->out, PATIENCE, &message))) == 0 &&
           message.mode != FERRY_HANGUP) {
        if (message.bytes < sizeof run->output - run->bytes)
            memcpy(run->output + run->bytes, ferry_message_data(&message), message.bytes);
        run->bytes += message.bytes;
        if (message.mode == FERRY_COPY || message.mode == FERRY_LEND)
            ferry_link_release(run->out, message.token);
    }
    return result;
}

/* A link fails as the program at its end has ended: that is the reason then. */
static int ends(struct run *run, struct ferry_vm *vm, bool stopped)
{
    struct ferry_vm_exit end;
    int result = ferry_vm_wait(vm, PATIENCE, &end);

    if (result < 0 || (end.how == FERRY_ENDED_EXIT && end.status == 0) ||
        (end.how == FERRY_ENDED_STOPPED && stopped))
        return result;
    run->call = "ferry_vm_wait";
    snprintf(run->error.text, sizeof run->error.text, "%.300s", end.text);
    return -ECHILD;
}

/* ---- VMs that begin at a snapshot ---------------------------------------------------------------------------- */

/* A copy of that VM; NULL: one that loads the program. */
static int make_sorter(struct run *run, struct ferry_vm *from, struct sorter *sorter)
{
    const struct ferry_link_config stream = {.stream = true};
    char *const words[] = {"sort", NULL};
    const struct ferry_vm_config copy = {.copy_of = from, .timeout_ns = PATIENCE, .stderr_fd = -1};
    const struct ferry_vm_config sort = {.program = busybox,
                                         .argv = words,
                                         .memory_bytes = 16u << 20,
                                         .timeout_ns = PATIENCE,
                                         .stderr_fd = -1};
    int result = STEP("ferry_vm_create",
                      ferry_vm_create(run->engine, from ? &copy : &sort, &sorter->vm, &run->error));

    if (result == 0)
        result = STEP("ferry_link_create", ferry_link_create(run->engine, NULL, sorter->vm, &stream,
                                                             &sorter->in, &run->error));
    if (result == 0)
        result = STEP("ferry_link_create", ferry_link_create(run->engine, sorter->vm, NULL, &stream,
                                                             &sorter->out, &run->error));
    return result;
}

static int sort_once(struct run *run, const struct sorter *sorter)
{
    struct ferry_message lines = {.mode = FERRY_INLINE, .data = "b\na\n", .bytes = 4}, sorted = {0};
    int result = STEP("ferry_link_send", ferry_link_send(sorter->in, &lines, PATIENCE));

    if (result == 0)
        result = STEP("ferry_link_hangup", ferry_link_hangup(sorter->in));
    if (result == 0)
        result = STEP("ferry_link_recv", ferry_link_recv(sorter->out, PATIENCE, &sorted));
    if (result == 0 && sorted.mode != FERRY_HANGUP &&
        (sorted.bytes != 4 || memcmp(ferry_message_data(&sorted), "a\nb\n", 4) != 0)) {
        snprintf(run->error.text, sizeof run->error.text, "wrong lines");
        return -EBADMSG;
    }
    if (result < 0)
        ferry_vm_stop(sorter->vm, SIGTERM);
    int how = ends(run, sorter->vm, result < 0);
    return how ? how : result;
}

/* What the second run gets is what the first got. */
static int bring_back(struct run *run)
{
    int result = make_sorter(run, NULL, &run->again);

    if (result == 0)
        result = STEP("ferry_vm_snapshot", ferry_vm_snapshot(run->again.vm, PATIENCE, &run->error));
    if (result == 0)
        result = sort_once(run, &run->again);
    if (result == 0)
        result = STEP("ferry_vm_reset", ferry_vm_reset(run->again.vm, &run->error));
    if (result == 0)
        result = sort_once(run, &run->again);
    return result;
}

/* And so is what a copy gets, which outlives the VM that it is a copy of. */
static int make_copy(struct run *run)
{
    int result = make_sorter(run, run->again.vm, &run->copy);

    if (result == 0)
        result = STEP("ferry_vm_start", ferry_vm_start(run->copy.vm, &run->error));
    ferry_vm_destroy(run->again.vm);
    run->again.vm = NULL;
    return result ? result : sort_once(run, &run->copy);
}

static int work(struct run *run)
{
    int result = make_vms(run);

    if (result == 0)
        result = make_links(run);
    if (result < 0)
        return result;
    result = send(run);
    if (result == 0)
        result = receive(run);
    if (result < 0) {
        ferry_vm_stop(run->pass, SIGTERM);
        ferry_vm_stop(run->count, SIGTERM);
    }
    int first = ends(run, run->pass, result < 0), second = ends(run, run->count, result < 0);
    result = first ? first : second ? second : result;
    if (result == 0)
        result = bring_back(run);
    return result ? result : make_copy(run);
}

static uint64_t end(struct run *run)
{
    struct ferry_ledger ledger = {0};

    ferry_vm_destroy(run->pass);
    ferry_vm_destroy(run->count);
    ferry_vm_destroy(run->again.vm);
    ferry_vm_destroy(run->copy.vm);
    if (run->engine)
        ferry_engine_ledger(run->engine, &ledger);
    ferry_engine_destroy(run->engine);
    return ledger.leaked + ledger.lent + ledger.owned;
}

/* ---- faults --------------------------------------------------------------------------------------------------- */

static void judge(const char *fault, int result, uint64_t units, const struct run *run,
                  const struct held *before, const struct held *after)
{
    const char *text = run->error.text[0] ? run->error.text : strerror(-result);

    if (units > 0)
        printf("wrong: %ju units of the pool are not free", (uintmax_t)units);
    else if (!is_same(before, after) && !may_stay(fault, before, after))
        printf(
            "wrong: held before and after: descriptors %ld %ld, threads %ld %ld, mappings %ld %ld, "
            "blocks %jd %jd",
            before->descriptors, after->descriptors, before->threads, after->threads,
            before->mappings, after->mappings, (intmax_t)before->blocks, (intmax_t)after->blocks);
    else if (result == 0 && strcmp(run->output, OUTPUT) != 0)
        printf("wrong: output '%s'", run->output);
    else if (result == 0)
        printf("%s", fault_report()->hit ? "went on" : "did not come");
    else if (result == -ETIMEDOUT)
        printf("time is over");
    else
        printf("said so: %s", text);
    printf(" (%s)\n", run->call);
}

static void try(const char *fault)
{
    struct run run = {0};
    struct held before = hold();

    fault_aim(fault);
    int result = work(&run);
    uint64_t units = end(&run);
    fault_aim(NULL);
    struct held after = settle(fault, &before);
    judge(fault, result, units, &run, &before, &after);
}

int main(int argc, char **argv)
{
    char line[128];

    if (argc != 4 || !fault_report || !fault_report())
        return 2;
    cache = argv[1];
    pass_program = argv[2];
    busybox = argv[3];
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        try(line);
    }
    return 0;
}
