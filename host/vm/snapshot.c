/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns snapshots: what is kept of a VM, in which order it is taken and had again, and who waits for that.
 *
 * Of the system area only what the guest or messages write is kept: the page tables only gain rights, and
 * the page of the peers says what is true now. No guest kernel runs in such a VM: where that is at CPL0, a
 * program that broke into it could change what is not kept.
 */
#include "vm/snapshot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/endpoint_rest.h"
#include "ipc/exchange.h"
#include "ipc/link.h"
#include "kvm/boot.h"
#include "lib/clock.h"
#include "lib/error.h"
#include "linux/vm_linux.h"
#include "stream/stream.h"
#include "vm/identity.h"
#include "vm/turn.h"

struct snapshot {
    struct space_layer *layer; /* the program's memory, */
    struct linux_kept *kept;   /* what Linux would keep of it, */
    struct vcpu_kept cpu;
    bool by_call; /* the program called ferry_ready, whose result is the number of the copy */
    struct program program; /* what it runs, */
    unsigned programs;      /* and how many it had begun by then */
    uint64_t stack_bytes, kept_bytes;
    cpu_set_t processors; /* of the thread */
    struct endpoint_point point;
    bool has_file; /* its layer is one of the VM's descriptors */
};

/* ---- messages ---------------------------------------------------------------------- */

/* The parts of the system area that hold messages: offset and length. */
static const struct part {
    uint64_t at, bytes;
} parts[] = {
    {sizeof(struct ferry_control_info),
     sizeof(struct ferry_control) - sizeof(struct ferry_control_info)},
    {SYSTEM_TABLES_BYTES, SYSTEM_RECEIVE_BYTES},
};
#define PARTS (sizeof parts / sizeof *parts)

static bool is_zero(const char *page)
{
    static const char zeros[FERRY_PAGE_BYTES];

    return memcmp(page, zeros, sizeof zeros) == 0;
}

static int write_part(int fd, const char *system, const struct part *part)
{
    for (uint64_t at = part->at; at < part->at + part->bytes; at += FERRY_PAGE_BYTES)
        if (!is_zero(system + at) && pwrite(fd, system + at, FERRY_PAGE_BYTES, (off_t)at) < 0)
            return -ENOMEM;
    return 0;
}

/* In its place, a private mapping of a file that holds the same. */
static int map_part(int fd, char *system, const struct part *part)
{
    return mmap(system + part->at, part->bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, (off_t)part->at) == MAP_FAILED
               ? -ENOMEM
               : 0;
}

/* The mappings alone keep the file. */
static int keep_parts(char *system)
{
    int fd = memfd_create("ferry-messages", MFD_CLOEXEC), result;

    if (fd < 0)
        return -EMFILE;
    result = ftruncate(fd, SYSTEM_BYTES) ? -ENOMEM : 0;
    for (size_t i = 0; i < PARTS && !result; i++)
        result = write_part(fd, system, &parts[i]);
    for (size_t i = 0; i < PARTS && !result; i++)
        result = map_part(fd, system, &parts[i]);
    close(fd);
    return result;
}

/* While the endpoint's lock is held no message comes. */
static int keep_messages(struct ferry_vm *vm, struct endpoint_point *point)
{
    endpoint_lock(vm->endpoint);
    int result = endpoint_mark(vm->endpoint, point);
    if (!result)
        result = keep_parts(vm->own.system);
    endpoint_unlock(vm->endpoint);
    return result;
}

static int clear_messages(struct ferry_vm *vm)
{
    int result = 0;

    stream_begin_anew(vm->endpoint->byte_stream);
    endpoint_clear(vm->endpoint);
    for (size_t i = 0; i < PARTS && !result; i++)
        result = madvise(vm->own.system + parts[i].at, parts[i].bytes, MADV_DONTNEED);
    return result ? -ENOMEM : 0;
}

/* ---- taking it --------------------------------------------------------------------- */

static void free_snapshot(struct ferry_vm *vm, struct snapshot *snapshot)
{
    linux_forget(snapshot->kept);
    space_layer_free(&vm->own.space, snapshot->layer);
    program_close(&snapshot->program);
    if (snapshot->has_file)
        vm_file_give_back(vm);
    free(snapshot);
}

static const char *why_not(struct ferry_vm *vm, const struct vcpu *vcpu)
{
    const struct endpoint *endpoint = vm->endpoint;

    if (vcpu != &vm->own.first_cpu)
        return "its first thread has ended";
    if ((endpoint->stream_in && !endpoint_is_host(endpoint->stream_in->from)) ||
        (endpoint->stream_out && !endpoint_is_host(endpoint->stream_out->to)))
        return "its standard input or output is a stream of another VM";
    if (!stream_is_new(endpoint->byte_stream))
        return "it has read from its standard input, or written to its standard output";
    if (vm->direct_count)
        return "it has direct links";
    return linux_why_not_kept(vm->first.personality);
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
    int result = keep_cpu(vcpu, snapshot, by_call);

    if (!result)
        result = linux_keep(vm->first.personality, &snapshot->kept);
    if (!result)
        result = program_share(&snapshot->program, &vm->first.program, NULL);
    snapshot->programs = vm->first.programs;
    snapshot->stack_bytes = vm->first.stack_bytes;
    snapshot->kept_bytes = vm->first.kept_bytes;
    sched_getaffinity(0, sizeof(snapshot->processors), &snapshot->processors);
    snapshot->has_file = !result && vm_file_take(vm);
    if (!result && !snapshot->has_file)
        result = -EMFILE;
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
        result = keep_messages(vm, &snapshot->point);
        if (result == -EBUSY)
            *why = "it has messages or extents, or lent some, or a link to it has ended";
    }
    if (result) {
        free_snapshot(vm, snapshot);
        return result;
    }
    vm->snapshot = snapshot;
    return 0;
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
        vm->endpoint->control->info.copy = 1;
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
    if (vm->resets.wants_snapshot && vm->process == &vm->first && !vm->identity_shown &&
        linux_asks_input(vm->first.personality, call))
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

/* Each step may be made again where a later one has failed. */
static int begin_anew(struct ferry_vm *vm)
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
    vm->endpoint->control->info.copy++;
    if (snapshot->by_call)
        vcpu_set_rax(vcpu, vm->endpoint->control->info.copy);
    have_processors(vcpu, snapshot);
    forget_run(vm, snapshot);
    endpoint_go_on(vm->endpoint, &snapshot->point);
    lock_take(&vm->lock); /* from here on it can be stopped again */
    vm->endpoint->stopping = false;
    vm->stop = 0;
    lock_drop(&vm->lock);
    return 0;
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
        result = begin_anew(vm);
        if (result)
            endpoint_tell_host(vm->endpoint); /* who was not told at the end of the run */
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
        free_snapshot(vm, vm->snapshot);
    vm->snapshot = NULL;
}

/* ---- what the embedder may ask ----------------------------------------------------- */

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
    if (!vm->snapshot)
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
