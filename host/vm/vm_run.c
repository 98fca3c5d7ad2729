/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM that runs: its thread, waiting for it, stopping it; waits that the personality asks for. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/poller.h"
#include "engine/ticker.h"
#include "ipc/drain.h"
#include "ipc/endpoint_end.h"
#include "ipc/endpoint_rest.h"
#include "ipc/endpoint_wait.h"
#include "ipc/loan.h"
#include "ipc/queue.h"
#include "lib/clock.h"
#include "lib/error.h"
#include "lib/sized.h"
#include "lib/thread.h"
#include "linux/linux.h"
#include "linux/vm_linux.h"
#include "stream/stream.h"
#include "vm/fork.h"
#include "vm/report.h"
#include "vm/snapshot.h"
#include "vm/turn.h"
#include "vm/vm.h"
#include "vm/vm_cpus.h"
#include "vm/vm_trace.h"

/* --- what the personality may ask ---------------------------------------------- */

int vm_sleep(struct ferry_vm *vm, uint64_t nanoseconds)
{
    uint64_t deadline = clock_deadline(nanoseconds);
    int result = 0;

    while (result == 0) {
        uint32_t seen = endpoint_prepare(vm->endpoint);
        result = endpoint_block_for(vm->endpoint, seen, deadline, WAKES_NONE);
        endpoint_finish(vm->endpoint);
    }
    return result == -ETIMEDOUT ? 0 : result;
}

bool vm_stopping(struct ferry_vm *vm)
{
    return vm->endpoint->stopping || (vm->served && vm_must_leave(vm, vm->served));
}

int vm_await(struct ferry_vm *vm, const atomic_bool *done)
{
    struct vcpu *served = vm->served; /* NULL: the VM is being made */
    int result = 0;

    if (served)
        served->finishes = true;
    while (result == 0 && !atomic_load(done)) {
        uint32_t seen = endpoint_prepare(vm->endpoint);
        if (!atomic_load(done))
            result = endpoint_block_for(vm->endpoint, seen, UINT64_MAX, wakes_of(done));
        endpoint_finish(vm->endpoint);
    }
    if (served)
        served->finishes = false;
    return result;
}

void vm_wake_for(struct ferry_vm *vm, uint32_t what)
{
    endpoint_wake_for(vm->endpoint, what);
}

void vm_interrupt(struct ferry_vm *vm)
{
    vm_kick(vm);
    endpoint_wake(vm->endpoint);
}

void vm_alarm(struct ferry_vm *vm, uint64_t moment_ns)
{
    ticker_alarm(&vm->engine->ticker, &vm->runner, moment_ns);
}

bool vm_polls_itself(struct ferry_vm *vm)
{
    return vm_has_one_thread(vm) && endpoint_can_poll(vm->endpoint);
}

/* Blocks until there may be something new, also for descriptors of the host that the personality
 * waits for. */
static int block(struct ferry_vm *vm, uint32_t seen, uint64_t deadline, uint32_t what)
{
    struct pollfd entries[1 + LINUX_WATCHED_MAX];
    unsigned count = vm->served ? linux_watched(vm->process->personality, entries + 1) : 0;

    return count ? endpoint_block_on(vm->endpoint, seen, deadline, entries, count + 1)
                 : endpoint_block_for(vm->endpoint, seen, deadline, what);
}

int vm_wait_for(struct ferry_vm *vm, vm_ready_fn ready, void *arg, uint64_t timeout_ns,
                const uint32_t *what)
{
    uint64_t deadline = clock_deadline(timeout_ns), again = UINT64_MAX;
    bool is_ready = ready(arg, &again);
    int result = 0;

    while (!is_ready && timeout_ns && result == 0) {
        uint32_t seen = endpoint_prepare(vm->endpoint);
        again = UINT64_MAX;
        is_ready = ready(arg, &again);
        if (!is_ready)
            result = block(vm, seen, again < deadline ? again : deadline, *what);
        endpoint_finish(vm->endpoint);
        if (result == -ETIMEDOUT && again < deadline)
            result = 0; /* only the moment to look again */
        if (!is_ready && result != -EINTR)
            is_ready = ready(arg, &again);
    }
    return is_ready ? 0 : result ? result : -ETIMEDOUT;
}

void vm_debug(struct ferry_vm *vm, const char *format, ...)
{
    char text[256];
    va_list args;

    if (vm->engine->config.log_level < FERRY_LOG_DEBUG)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    engine_log(vm->engine, FERRY_LOG_DEBUG, "%s: %s", vm->endpoint->name, text);
}

/* --- the thread ---------------------------------------------------------------- */

/* Delivers the messages and bytes that the program had sent or written, however it ended, as a pipe
 * does, unless the VM is told to stop before there is room. False: some of it was left. On Linux
 * the program would not have ended, but would still be in that write. */
static bool send_rest(struct ferry_vm *vm)
{
    if (vm->process->exit.how == FERRY_ENDED_STOPPED ||
        vm->process->exit.how == FERRY_ENDED_TIMEOUT || vm->process->exit.how == FERRY_ENDED_CPU)
        return true;
    return drain_all(vm->endpoint) != -EINTR && stream_finish(vm->endpoint->byte_stream) != -EINTR;
}

/* Nobody takes messages any more: a sender need not wait for room. */
static void refuse_messages(struct ferry_vm *vm)
{
    if (vm->snapshot)
        endpoint_rest(vm->endpoint);
    else
        queue_refuse_all(vm->endpoint);
}

/* Who waits for a message of a program that may begin anew is told that it has ended, unless it begins
 * anew now: then nobody needs to know. */
static void tell_host(struct ferry_vm *vm)
{
    lock_take(&vm->lock);
    bool tells = vm->snapshot && !vm->resets.busy;
    lock_drop(&vm->lock);
    if (tells)
        endpoint_tell_host(vm->endpoint);
}

/* The program, from its beginning to its end. */
static void run(struct ferry_vm *vm)
{
    vm_serve(vm, &vm->own.first_cpu);
    vm_begin_cpu(vm);
    ticker_add(&vm->engine->ticker, &vm->runner);
    poller_add(&vm->engine->poller, &vm->runner);
    engine_log(vm->engine, FERRY_LOG_INFO, "VM '%s' (id %u, generation %u) starts",
               vm->endpoint->name, vm->endpoint->id, vm->endpoint->generation);
    if (atomic_load(&vm->sent))
        vm_kick(vm); /* a signal came before there was a thread */
    vm_run_threads(vm, &vm->own.first_cpu);
    vm_join_others(vm);
    if (atomic_load(&vm->further))
        linux_first_ends(vm->first.personality);
    fork_await_all(vm);
    vm_trace_end(vm);
    report_refusal(vm);
    engine_log(vm->engine, FERRY_LOG_INFO, "VM '%s' ends: %s", vm->endpoint->name,
               vm->first.exit.text);
    loan_ignore_completions(vm->endpoint);
    refuse_messages(vm);
    loan_let_go(vm->endpoint); /* nor need an owner wait for what it lent */
    if (!send_rest(vm) && vm->first.exit.how == FERRY_ENDED_EXIT)
        report_stop(vm);
    report_output(vm);
    tell_host(vm);
    poller_remove(&vm->engine->poller, &vm->runner);
    lock_drop(&vm->runner.serving);
    ticker_remove(&vm->engine->ticker, &vm->runner);
}

/* False: it cannot begin, and is as before its start. */
static bool begin_copy(struct ferry_vm *vm)
{
    int result = snapshot_begin(vm);

    lock_take(&vm->lock);
    vm->begun = result ? result : 1;
    vm->resets.is_ready = !result;
    pthread_cond_broadcast(&vm->ended_changed);
    lock_drop(&vm->lock);
    return !result;
}

static void *vm_thread(void *arg)
{
    struct ferry_vm *vm = arg;

    vcpu_begin(&vm->own.first_cpu);
    if (vm->copy_of && !begin_copy(vm))
        return NULL;
    do
        run(vm);
    while (snapshot_rest(vm));
    endpoint_shutdown(vm->endpoint);

    lock_take(&vm->lock);
    vm->ended = true;
    vm->ends += !vm->rests;
    vm->exit = vm->first.exit;
    pthread_cond_broadcast(&vm->ended_changed);
    lock_drop(&vm->lock);
    return NULL;
}

static int explain_copy(struct ferry_vm *vm, int result, struct ferry_error *err)
{
    if (result == -EINVAL)
        return error_set(err, result, "VM '%s' is a copy of '%s', which has no snapshot",
                         vm->endpoint->name, vm->copy_of->endpoint->name);
    if (result == -EBUSY)
        return error_set(err, result, "VM '%s' cannot begin as a copy: %s", vm->endpoint->name,
                         snapshot_why_not_begun(vm));
    if (result == -ENOMEM)
        return error_set(err, result,
                         "VM '%s' cannot begin as a copy: no memory or no mappings are left; make "
                         "memory free, raise vm.max_map_count, or make fewer VMs",
                         vm->endpoint->name);
    return error_set(err, result, "VM '%s' cannot begin as a copy: %s", vm->endpoint->name,
                     strerror(-result));
}

/* Its thread runs. If it cannot begin, it can be started again. */
static int await_begun(struct ferry_vm *vm, struct ferry_error *err)
{
    lock_assert_held(&vm->lock);
    while (!vm->begun)
        lock_wait(&vm->ended_changed, &vm->lock);
    if (vm->begun > 0)
        return 0;
    int result = vm->begun;
    vm->begun = 0;
    vm->started = false;
    pthread_join(vm->own.first_cpu.thread, NULL); /* it needs no lock any more */
    vcpu_begin_again(&vm->own.first_cpu);
    return explain_copy(vm, result, err);
}

/* The lock is held, so that a thread that kicks a CPU finds the CPU's thread. */
int vm_start(struct ferry_vm *vm, struct ferry_error *err)
{
    lock_assert_held(&vm->lock);
    if (vm->started)
        return error_set(err, -EALREADY, "VM '%s' was started already", vm->endpoint->name);
    if (vm->timeout_ns)
        vm->runner.deadline_ns = clock_deadline(vm->timeout_ns);
    int result = thread_start(&vm->own.first_cpu.thread, NULL, vm_thread, vm);
    if (result < 0)
        return error_set(err, result, "no thread for VM '%s': %s", vm->endpoint->name,
                         strerror(-result));
    vm->started = true;
    return vm->copy_of ? await_begun(vm, err) : 0;
}

int ferry_vm_start(struct ferry_vm *vm, struct ferry_error *err)
{
    lock_take(&vm->lock);
    int result = vm_start(vm, err);
    lock_drop(&vm->lock);
    return result;
}

void vm_join(struct ferry_vm *vm)
{
    pthread_join(vm->own.first_cpu.thread, NULL); /* which waits for the others */
}

void ferry_vm_stop(struct ferry_vm *vm, int signo)
{
    vm_stop(vm, signo > 0 && signo < NSIG ? signo : SIGTERM);
}

int ferry_vm_wait_sized(struct ferry_vm *vm, uint64_t timeout_ns, struct ferry_vm_exit *out,
                        size_t out_bytes)
{
    uint64_t deadline = timeout_ns ? clock_deadline(timeout_ns) : 0;

    int result = out ? sized_check(out_bytes, FIRST_VM_EXIT) : 0;
    if (result < 0)
        return result;
    lock_take(&vm->lock);
    vm->waiting++;
    unsigned seen = vm->ends;
    while (!vm->ended && !vm->rests && vm->ends == seen && !vm->destroyed && result == 0)
        result = timeout_ns ? lock_wait_until(&vm->ended_changed, &vm->lock, deadline)
                            : -ETIMEDOUT; /* no wait, and no system call */
    bool ended = vm->ended || vm->rests || vm->ends != seen;
    if (ended && out)
        sized_give(out, out_bytes, &vm->exit, sizeof vm->exit);
    if (ended || vm->destroyed)
        result = ended ? 0 : -ECANCELED;
    if (--vm->waiting == 0 && vm->destroyed)
        pthread_cond_broadcast(&vm->ended_changed);
    lock_drop(&vm->lock);
    return result;
}
