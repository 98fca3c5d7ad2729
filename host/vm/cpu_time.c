/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the processor time of a VM's thread, and the timer that makes its guest exit after a given
 * time. The timer sends the same signal by which a guest is interrupted for any other reason, so no
 * thread has to look at clocks.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "kvm/vcpu.h"
#include "linux/vm_linux.h"
#include "vm/vm.h"

#define NS_PER_S 1000000000ull

#ifndef sigev_notify_thread_id /* glibc names it since 2.41 only */
#define sigev_notify_thread_id _sigev_un._tid
#endif

uint64_t vm_cpu_ns(struct ferry_vm *vm)
{
    struct timespec now = {0};

    (void)vm; /* the calling thread is that of the VM */
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int vm_watch_cpu(struct ferry_vm *vm, uint64_t nanoseconds)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = vcpu_kick_signal()};
    struct itimerspec due = {0};

    if (nanoseconds != UINT64_MAX) {
        due.it_value.tv_sec = (time_t)(nanoseconds / NS_PER_S);
        due.it_value.tv_nsec = (long)(nanoseconds % NS_PER_S);
    } else if (!vm->cpu_watched) {
        return 0;
    }
    event.sigev_notify_thread_id = gettid();
    if (!vm->cpu_watched && timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &vm->cpu_timer) < 0)
        return -errno;
    vm->cpu_watched = true;
    return timer_settime(vm->cpu_timer, TIMER_ABSTIME, &due, NULL) < 0 ? -errno : 0;
}

void vm_forget_cpu(struct ferry_vm *vm)
{
    if (vm->cpu_watched)
        timer_delete(vm->cpu_timer);
}
