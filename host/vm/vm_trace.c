/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the way from the personality to those who watch a program, and tells them of its end. */
#include "vm/vm_trace.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "linux/linux.h"
#include "linux/vm_linux.h"
#include "vm/report.h"
#include "vm/vm.h"

void vm_trace(struct ferry_vm *vm, const struct ferry_trace *event)
{
    vm->trace(vm->trace_arg, vm, event);
}

void vm_trace_end(struct ferry_vm *vm)
{
    const struct ferry_vm_exit *end = &vm->process->exit;
    bool exited = end->how == FERRY_ENDED_EXIT;
    struct signal_name name = {"exited"};
    char line[64];
    struct timespec now;

    if (!vm->trace)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    /* What ends it without a signal of its own, such as its time limit, is as SIGKILL to it. */
    if (!exited)
        name = signal_name(end->signo ? end->signo : SIGKILL);
    if (exited)
        snprintf(line, sizeof line, "+++ exited with %d +++", end->status);
    else
        snprintf(line, sizeof line, "+++ killed by %s +++", name.text);
    const struct ferry_trace event = {
        .bytes = sizeof event,
        .kind = FERRY_TRACE_END,
        .thread = LINUX_PID,
        .time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
        .name = name.text,
        .result = exited ? end->status : 0,
        .result_text = "",
        .line = line,
    };
    vm_trace(vm, &event);
}
