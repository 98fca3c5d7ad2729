/* SPDX-License-Identifier: BSD-2-Clause */
/* What the embedder may ask of snapshots. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/error.h"
#include "vm/snapshot_internal.h"

/* Until the program is ready, has ended, or (-ETIMEDOUT) it took too long. */
static int await_ready(struct ferry_vm *vm, uint64_t deadline)
{
    int result = 0;

    lock_assert_held(&vm->lock);
    vm->waiting++;
    while (!vm->resets.is_ready && !vm->ended && !vm->destroyed && result == 0)
        result = lock_wait_until(&vm->ended_changed, &vm->lock, deadline);
    if (result && vm->resets.wants_snapshot)
        vm->resets.wants_snapshot = false;
    else /* it is being taken, which does not take long */
        while (!vm->resets.is_ready && !vm->ended && !vm->destroyed)
            lock_wait(&vm->ended_changed, &vm->lock);
    if (--vm->waiting == 0 && vm->destroyed)
        pthread_cond_broadcast(&vm->ended_changed);
    return vm->resets.is_ready ? vm->resets.result : result ? result : -ESRCH;
}

static int explain_snapshot(struct ferry_vm *vm, int result, struct ferry_error *err)
{
    const char *name = vm->endpoint->name;

    if (result == -ESRCH)
        return error_set(err, result, "VM '%s' ended before it was ready: %s", name, vm->exit.text);
    if (result == -ETIMEDOUT)
        return error_set(
            err, result,
            "VM '%s' was not ready in time: it neither called ferry_ready nor asked for "
            "its standard input",
            name);
    if (result == -EBUSY)
        return error_set(err, result, "there can be no snapshot of VM '%s': %s", name,
                         vm->resets.why);
    return result ? error_set(err, result, "no snapshot of VM '%s': %s", name, strerror(-result))
                  : 0;
}

int ferry_vm_snapshot(struct ferry_vm *vm, uint64_t timeout_ns, struct ferry_error *err)
{
    uint64_t deadline = clock_deadline(timeout_ns);

    if (vm->copy_of)
        return error_set(err, -EINVAL, "VM '%s' is a copy, and begins with a snapshot",
                         vm->endpoint->name);
    lock_take(&vm->lock);
    if (!vm->started) {
        vm->resets.wants_snapshot = true;
        vm->own.kernel = KERNEL_REFUSED;
    }
    int result = vm_start(vm, err);
    if (result == 0) {
        result = await_ready(vm, deadline);
        explain_snapshot(vm, result, err);
    } else if (!vm->started) {
        vm->resets.wants_snapshot = false;
        vm->own.kernel = KERNEL_NONE;
    }
    lock_drop(&vm->lock);
    return result;
}

int ferry_vm_reset(struct ferry_vm *vm, struct ferry_error *err)
{
    if (!snapshot_of(vm))
        return error_set(err, -EINVAL, "VM '%s' has no snapshot", vm->endpoint->name);
    lock_take(&vm->lock);
    while (vm->resets.busy)
        lock_wait(&vm->ended_changed, &vm->lock);
    vm->resets.busy = true;
    lock_drop(&vm->lock);
    /* Before it is asked to begin anew: else it could be the new run that is stopped. */
    vm_stop(vm, SIGKILL);
    lock_take(&vm->lock);
    vm->resets.wanted = true;
    pthread_cond_broadcast(&vm->ended_changed);
    while (vm->resets.wanted)
        lock_wait(&vm->ended_changed, &vm->lock);
    int result = vm->resets.result;
    vm->resets.busy = false;
    pthread_cond_broadcast(&vm->ended_changed);
    lock_drop(&vm->lock);
    return result ? error_set(err, result, "VM '%s' cannot begin anew: %s", vm->endpoint->name,
                              strerror(-result))
                  : 0;
}
