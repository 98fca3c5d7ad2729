/* SPDX-License-Identifier: BSD-2-Clause */
/* What makes a program one of the host's processes, as far as its user can tell: descriptors of the
 * host, its clocks, signals from outside, being stopped and going on. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lib/error.h"
#include "linux/vm_linux.h"
#include "vm/vm.h"

struct timespec vm_clock(struct ferry_vm *vm, clockid_t clock)
{
    return guest_clock_read(&vm->engine->clock, clock);
}

int ferry_vm_give_fd(struct ferry_vm *vm, int fd, int host_fd, struct ferry_error *err)
{
    if (fd < 0 || fd > 2)
        return error_set(err, -EINVAL, "only fd 0, 1 and 2 of a program can be given, not %d", fd);
    if (vm_is_started(vm))
        return error_set(err, -EALREADY, "VM '%s' was started already", vm->endpoint->name);
    int result = linux_give(vm->process->personality, (unsigned)fd, host_fd);
    return result < 0 ? error_set(err, result, "cannot give descriptor %d to VM '%s' as fd %d: %s",
                                  host_fd, vm->endpoint->name, fd, strerror(-result))
                      : 0;
}

void ferry_vm_signal(struct ferry_vm *vm, int signo)
{
    if (signo < 1 || signo >= SIGRTMIN)
        return;
    atomic_fetch_or(&vm->sent, 1ull << (signo - 1));
    vm_interrupt(vm);
}

void ferry_vm_on_close(struct ferry_vm *vm, void (*closed)(void *arg, int fd), void *arg)
{
    vm->closed = closed;
    vm->closed_arg = arg;
}

void vm_closed(struct ferry_vm *vm, int fd)
{
    if (vm->closed)
        vm->closed(vm->closed_arg, fd);
}

void ferry_vm_on_pause(struct ferry_vm *vm, void (*pause)(void *arg, int signo), void *arg)
{
    vm->pause = pause;
    vm->pause_arg = arg;
}

uint64_t vm_take_signals(struct ferry_vm *vm)
{
    return atomic_load_explicit(&vm->sent, memory_order_relaxed) ? atomic_exchange(&vm->sent, 0)
                                                                 : 0;
}

bool vm_can_pause(struct ferry_vm *vm)
{
    return vm->pause;
}
