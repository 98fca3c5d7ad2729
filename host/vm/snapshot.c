/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns snapshots: what is kept of a VM, in which order it is taken and had again, and who waits for that.
 *
 * Of the system area only what the guest or messages write is kept: the page tables only gain rights, and
 * the page of the peers says what is true now. No guest kernel runs in such a VM: where that is at CPL0, a
 * program that broke into it could change what is not kept.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc/exchange.h"
#include "ipc/link.h"
#include "kvm/boot.h"
#include "lib/clock.h"
#include "linux/vm_linux.h"
#include "stream/stream.h"
#include "vm/identity.h"
#include "vm/message_layer.h"
#include "vm/snapshot_internal.h"
#include "vm/turn.h"

/* ---- messages ---------------------------------------------------------------------- */

/* While the endpoint's lock is held no message comes. */
static int keep_messages(struct ferry_vm *vm, struct snapshot *snapshot)
{
    endpoint_lock(vm->endpoint);
    int result = endpoint_mark(vm->endpoint, &snapshot->point);
    if (!result)
        result = snapshot->messages = message_layer_take(vm->own.system);
    endpoint_unlock(vm->endpoint);
    return result < 0 ? result : 0;
}

static int clear_messages(struct ferry_vm *vm)
{
    stream_begin_anew(vm->endpoint->byte_stream);
    endpoint_clear(vm->endpoint);
    return message_layer_go_back(vm->own.system);
}

/* ---- taking it --------------------------------------------------------------------- */

bool snapshot_take_files(struct ferry_vm *vm, struct snapshot *snapshot)
{
    snapshot->messages = -1;
    while (snapshot->files < SNAPSHOT_FILES && vm_file_take(vm))
        snapshot->files++;
    return snapshot->files == SNAPSHOT_FILES;
}

void snapshot_drop(struct ferry_vm *vm, struct snapshot *snapshot)
{
    linux_forget(snapshot->kept);
    space_layer_free(&vm->own.space, snapshot->layer);
    program_close(&snapshot->program);
    if (snapshot->messages >= 0)
        close(snapshot->messages);
    for (; snapshot->files; snapshot->files--)
        vm_file_give_back(vm);
    free(snapshot);
}

const char *snapshot_why_no_links(const struct ferry_vm *vm)
{
    const struct endpoint *endpoint = vm->endpoint;

    if ((endpoint->stream_in && !endpoint_is_host(endpoint->stream_in->from)) ||
        (endpoint->stream_out && !endpoint_is_host(endpoint->stream_out->to)))
        return "its standard input or output is a stream of another VM";
    return vm->direct_count ? "it has direct links" : NULL;
}

static const char *why_not(struct ferry_vm *vm, const struct vcpu *vcpu)
{
    const char *why = snapshot_why_no_links(vm);

    if (!why)
        why = linux_why_not_kept(vm->first.personality);
    if (why)
        return why;
    if (vcpu != &vm->own.first_cpu)
        return "its first thread has ended";
    return stream_is_new(vm->endpoint->byte_stream)
               ? NULL
               : "it has read from its standard input, or written to its standard output";
}

/* A system call that it is about to make is made again in each run, by the instruction before. */
static int keep_cpu(struct vcpu *vcpu, struct snapshot *snapshot, bool by_call)
{
    int result = vcpu_keep(vcpu, &snapshot->cpu);

    snapshot->by_call = by_call;
    if (!by_call)
        snapshot->cpu.regs.rip -= BOOT_SYSCALL_BYTES;
    return result;
}

static int take(struct ferry_vm *vm, struct vcpu *vcpu, struct snapshot *snapshot, bool by_call)
{
    int result = snapshot_take_files(vm, snapshot) ? 0 : -EMFILE;

    if (!result)
        result = keep_cpu(vcpu, snapshot, by_call);
    if (!result)
        result = linux_keep(vm->first.personality, &snapshot->kept);
    if (!result)
        result = program_share(&snapshot->program, &vm->first.program, NULL);
    snapshot->programs = vm->first.programs;
    snapshot->stack_bytes = vm->first.stack_bytes;
    snapshot->kept_bytes = vm->first.kept_bytes;
    sched_getaffinity(0, sizeof(snapshot->processors), &snapshot->processors);
    if (!result)
        result = space_take_layer(&vm->own.space, &snapshot->layer);
    return result;
}

/* *why: in words, or NULL. */
static int take_snapshot(struct ferry_vm *vm, struct vcpu *vcpu, bool by_call, const char **why)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    int result;

    *why = why_not(vm, vcpu);
    if (*why || !snapshot) {
        free(snapshot);
        return *why ? -EBUSY : -ENOMEM;
    }
    result = take(vm, vcpu, snapshot, by_call);
    if (result == -EBUSY)
        *why = "it shares memory that can be written, as of a file";
    if (!result) {
        result = keep_messages(vm, snapshot);
        if (result == -EBUSY)
            *why = "it has messages or extents, or lent some, or a link to it has ended";
    }
    if (result) {
        snapshot_drop(vm, snapshot);
        return result;
    }
    vm->snapshot = snapshot;
    return 0;
}

/* No other run of a VM of this engine has that number. */
static uint64_t next_copy(struct ferry_vm *vm)
{
    return atomic_fetch_add(&vm->engine->copies, 1) + 1;
}

/* If somebody waits for it. */
static void come_to_point(struct ferry_vm *vm, struct vcpu *vcpu, bool by_call)
{
    const char *why;

    lock_take(&vm->lock);
    bool wanted = vm->resets.wants_snapshot;
    vm->resets.wants_snapshot = false;
    lock_drop(&vm->lock);
    if (!wanted)
        return;
    int result = take_snapshot(vm, vcpu, by_call, &why);
    if (!result)
        vm->endpoint->control->info.copy = next_copy(vm);
    lock_take(&vm->lock);
    vm->resets.result = result;
    vm->resets.why = why;
    vm->resets.is_ready = true;
    pthread_cond_broadcast(&vm->ended_changed);
    lock_drop(&vm->lock);
}

int64_t snapshot_ready(struct ferry_vm *vm, struct vcpu *vcpu)
{
    come_to_point(vm, vcpu, true);
    return (int64_t)vm->endpoint->control->info.copy;
}

void snapshot_before_call(struct ferry_vm *vm, struct vcpu *vcpu, const struct linux_call *call)
{
    if (vm->resets.wants_snapshot && !vm->identity_shown &&
        linux_asks_input(vm->process->personality, call))
        come_to_point(vm, vcpu, false);
}

/* ---- having it again --------------------------------------------------------------- */

/* It may have begun another program since. */
static int have_program(struct ferry_vm *vm, const struct snapshot *snapshot)
{
    struct program again = {0};
    uint32_t generation = 0;
    int result = vm->first.programs == snapshot->programs
                     ? 0
                     : program_share(&again, &snapshot->program, NULL);

    if (!result && again.image && again.image != vm->image)
        result = exchange_generation(&vm->engine->exchange, &generation);
    if (result) {
        program_close(&again);
        return result;
    }
    if (!again.images)
        return 0;
    program_close(&vm->first.program);
    vm->first.program = again;
    vm->first.programs = snapshot->programs;
    if (!generation)
        return 0;
    /* Peers may look; and who changes it does not compute it for a VM that is stopped. */
    while (!image_digest_step(again.image))
        ;
    identity_change(vm, again.image, generation);
    return 0;
}

/* What the VM notes of a run of its program. */
static void forget_run(struct ferry_vm *vm, const struct snapshot *snapshot)
{
    struct process *process = &vm->first;

    process->ending = process->memory_is_used_up = false;
    process->only = NULL;
    process->stack_bytes = snapshot->stack_bytes;
    process->kept_bytes = snapshot->kept_bytes;
    process->exit = (struct ferry_vm_exit){0};
    vm->said_out_of_pool = false;
    atomic_store(&vm->cpu_reached, false);
    atomic_store(&vm->sent, 0);
    if (vm->timeout_ns)
        vm->runner.deadline_ns = clock_deadline(vm->timeout_ns);
}

static void have_processors(struct vcpu *vcpu, const struct snapshot *snapshot)
{
    vcpu->keeps_to = snapshot->processors;
    vm_move(vcpu);
}

/* From here on it is another run that takes processor time. */
static void begin_cpu_time(struct ferry_vm *vm)
{
    vm->cpu_before_ns = vm_cpu_ns(vm);
    vm->first_before_ns = atomic_load(&vm->helpers_ns) + guest_cpu_ns(&vm->own);
    vm->own.first_cpu.before_ns = vcpu_cpu_ns(&vm->own.first_cpu);
}

int snapshot_begin_anew(struct ferry_vm *vm)
{
    struct snapshot *snapshot = vm->snapshot;
    struct vcpu *vcpu = &vm->own.first_cpu;
    int result;

    vm_look_at(vm, &vm->first);
    result = clear_messages(vm);
    begin_cpu_time(vm);
    if (!result)
        result = linux_go_back(&vm->first.personality, snapshot->kept);
    if (!result) { /* the thread of the run is gone, also if another step fails */
        vcpu->runs = linux_first_thread(vm->first.personality);
        result = have_program(vm, snapshot);
    }
    if (!result)
        result = space_go_back(&vm->own.space, snapshot->layer);
    if (!result)
        result = vcpu_go_back(vcpu, &snapshot->cpu);
    if (result)
        return result;
    vm->endpoint->control->info.copy = next_copy(vm);
    if (snapshot->by_call)
        vcpu_set_rax(vcpu, vm->endpoint->control->info.copy);
    have_processors(vcpu, snapshot);
    forget_run(vm, snapshot);
    endpoint_go_on(vm->endpoint, &snapshot->point);
    return 0;
}

/* From here on it can be stopped again. */
static void forget_stop(struct ferry_vm *vm)
{
    lock_take(&vm->lock);
    vm->endpoint->stopping = false;
    vm->stop = 0;
    lock_drop(&vm->lock);
}

/* False: it is to end. */
static bool await_reset(struct ferry_vm *vm)
{
    lock_assert_held(&vm->lock);
    while (!vm->resets.wanted && !vm->resets.leaves)
        lock_wait(&vm->ended_changed, &vm->lock);
    return !vm->resets.leaves;
}

bool snapshot_rest(struct ferry_vm *vm)
{
    int result = -EAGAIN;

    if (!vm->snapshot)
        return false;
    lock_take(&vm->lock);
    vm->exit = vm->first.exit;
    vm->rests = true;
    vm->ends++;
    pthread_cond_broadcast(&vm->ended_changed);
    while (result && await_reset(vm)) {
        lock_drop(&vm->lock);
        vm_serve(vm, &vm->own.first_cpu);
        result = snapshot_begin_anew(vm);
        if (result)
            endpoint_tell_host(vm->endpoint); /* who was not told at the end of the run */
        else
            forget_stop(vm);
        lock_drop(&vm->runner.serving);
        lock_take(&vm->lock);
        vm->resets.result = result;
        vm->resets.wanted = false;
        vm->rests = result != 0;
        pthread_cond_broadcast(&vm->ended_changed);
    }
    lock_drop(&vm->lock);
    return result == 0;
}

void snapshot_leave(struct ferry_vm *vm)
{
    lock_take(&vm->lock);
    vm->resets.leaves = true;
    pthread_cond_broadcast(&vm->ended_changed);
    lock_drop(&vm->lock);
}

void snapshot_free(struct ferry_vm *vm)
{
    if (vm->snapshot)
        snapshot_drop(vm, vm->snapshot);
    vm->snapshot = NULL;
}
