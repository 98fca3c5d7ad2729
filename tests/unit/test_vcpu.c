/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of host/vm/guest_run.c and host/kvm/vcpu.c that need a moment no real guest can
 * be held at: the virtual CPU is made up. A test says step by step how KVM_RUN ends and what
 * happened in the guest before, and may act when the VM's thread begins to wait.
 */
#include "core_fixture.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ferry/abi/call.h>
#include <ferry/abi/layout.h>

#include "kvm/boot.h"
#include "kvm/kernel.h"
#include "stream/stream.h"
#include "stream/stream_internal.h"
#include "vm/guest_run.h"
#include "vm/kernel.h"
#include "wait_calls.h"

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
void __wrap_linux_streams(const struct linux_state *state, bool *input, bool *output);
void __wrap_linux_stat_streams(struct linux_state *state, struct stat *input, struct stat *output);
uint32_t __wrap_linux_stream_flags(const struct linux_state *state, unsigned fd);
uint32_t __wrap_linux_poll_most(const struct linux_state *state);
void __wrap_linux_publish_files(struct linux_state *state);
void __wrap_linux_publish_rooms(struct linux_state *state);
void __wrap_linux_left(struct linux_state *state, uint32_t cpu);
void __wrap_linux_tell_descriptor(struct linux_state *state, struct ferry_kernel_shown *shown,
                                  struct ferry_kernel_words *words);
uint64_t __wrap_linux_default_actions(const struct linux_state *state);
void __wrap_image_symbolize(struct image *image, uint64_t addr, char *text, size_t bytes);
int __wrap_linux_code_at(struct linux_state *state, struct guest_addr addr,
                         struct image_source *out, uint64_t *offset, const char **path);

static struct ferry_engine *engine;
static struct ferry_vm *vm_a, *vm_b;
static struct endpoint *a, *b;
static struct ferry_link *link_ab;
static struct kvm_run *run;

/* One stay in the guest: what the guest does, and then the exit, or the errno with which KVM_RUN
 * fails. */
typedef int (*stay)(void);
static const stay *stays;

/* This KVM makes a virtual CPU and sets one model-specific register. */
static bool made_up;

/* This one keeps its registers in struct kvm_run. */
static bool keeps_registers;

/* Where `syscall` enters by the last register that was set alone. */
static uint64_t syscall_entry;

static int made_up_ioctl(unsigned long request, void *argument)
{
    if (request == KVM_SET_MSRS)
        syscall_entry = ((struct kvm_msrs *)argument)->entries[0].data;
    if (request == KVM_CREATE_VCPU) {
        int fd = memfd_create("vcpu", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, 4096), 0);
        return fd;
    }
    return request == KVM_SET_MSRS ? 1 : 0;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    if (made_up)
        return made_up_ioctl(request, argument);
    if (request != KVM_RUN)
        return keeps_registers ? 0 : __real_ioctl(fd, request, argument);
    errno = (*stays++)();
    return errno ? -1 : 0;
}

static uint32_t locks;

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    locks++;
    return __real_pthread_mutex_lock(mutex);
}

/* Its program, if it had one, would have both. */
void __wrap_linux_streams(const struct linux_state *state, bool *input, bool *output)
{
    (void)state;
    *input = *output = true;
}

void __wrap_linux_stat_streams(struct linux_state *state, struct stat *input, struct stat *output)
{
    (void)state;
    *input = (struct stat){.st_ino = 31, .st_blksize = 32};
    *output = (struct stat){.st_ino = 41, .st_blksize = 42};
}

static uint32_t stream_flags[2];

uint32_t __wrap_linux_stream_flags(const struct linux_state *state, unsigned fd)
{
    (void)state;
    return stream_flags[fd];
}

static uint32_t poll_most;

uint32_t __wrap_linux_poll_most(const struct linux_state *state)
{
    (void)state;
    return poll_most;
}

static unsigned times_published;

static uint64_t default_actions;

uint64_t __wrap_linux_default_actions(const struct linux_state *state)
{
    (void)state;
    return default_actions;
}

void __wrap_linux_publish_files(struct linux_state *state)
{
    (void)state;
    times_published++;
}

static unsigned times_rooms_published, times_left;

void __wrap_linux_publish_rooms(struct linux_state *state)
{
    (void)state;
    times_rooms_published++;
}

void __wrap_linux_left(struct linux_state *state, uint32_t cpu)
{
    (void)state;
    (void)cpu;
    times_left++;
}

/* It is about no descriptor. */
void __wrap_linux_tell_descriptor(struct linux_state *state, struct ferry_kernel_shown *shown,
                                  struct ferry_kernel_words *words)
{
    (void)state;
    (void)shown;
    (void)words;
}

/* The made-up guest has no program. */
void __wrap_image_symbolize(struct image *image, uint64_t addr, char *text, size_t bytes)
{
    (void)image;
    (void)addr;
    assert_true(bytes > 0);
    text[0] = '\0';
}

int __wrap_linux_code_at(struct linux_state *state, struct guest_addr addr,
                         struct image_source *out, uint64_t *offset, const char **path)
{
    (void)state;
    (void)addr;
    (void)out;
    (void)offset;
    (void)path;
    return -ENOENT;
}

static int setup(void **state)
{
    (void)state;
    engine = core_engine(512, 2);
    vm_a = core_vm(engine, "a");
    vm_b = core_vm(engine, "b");
    a = vm_a->endpoint;
    b = vm_b->endpoint;
    link_ab = core_link(vm_a, vm_b, 1);
    run = calloc(1, sizeof *run);
    assert_non_null(run);
    vm_a->guest->vcpus[0]->run = run;
    atomic_store(&vm_a->runner.watched, true); /* there is no ticker: what happens, exits did */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vm_a->guest->vcpus[0]->run = NULL;
    free(run);
    ferry_vm_destroy(vm_a);
    ferry_vm_destroy(vm_b);
    core_end(engine);
    return 0;
}

static void run_guest(const stay *how)
{
    stays = how;
    lock_take(&vm_a->runner.serving);
    guest_run(vm_a, vm_a->guest->vcpus[0]);
    lock_drop(&vm_a->runner.serving);
}

/* --- ends of a stay --- */

static int leave_by_port(uint16_t port)
{
    run->exit_reason = KVM_EXIT_IO;
    run->io.port = port;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.size = 1;
    run->io.count = 1;
    return 0;
}

static int is_stopped(void)
{
    vm_a->stop = 15;
    return EINTR;
}

static void defer_one(void)
{
    struct ferry_desc desc = core_inline(b->id, 1);

    core_queue(a, &desc);
}

static int defer_and_mmio(void)
{
    defer_one();
    run->exit_reason = KVM_EXIT_MMIO;
    return 0;
}

static int defer_and_shutdown(void)
{
    defer_one();
    run->exit_reason = KVM_EXIT_SHUTDOWN;
    return 0;
}

static int defer_and_internal_error(void)
{
    defer_one();
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    return 0;
}

static int defer_and_unknown(void)
{
    defer_one();
    run->exit_reason = KVM_EXIT_HYPERV;
    return 0;
}

static int defer_and_bad_error(void)
{
    defer_one();
    return EINVAL;
}

static int defer_and_kick(void)
{
    defer_one();
    return EINTR;
}

static int defer_and_healed_fault(void)
{
    defer_one();
    return EFAULT;
}

static int defer_and_doorbell(void)
{
    defer_one();
    return leave_by_port(FERRY_PORT_DOORBELL);
}

static int defer_and_call(void)
{
    defer_one();
    run->s.regs.regs.rax = FERRY_CALL_WAIT;
    run->s.regs.regs.rdi = 0;
    run->s.regs.regs.rsi = 0;
    return leave_by_port(FERRY_PORT_CALL);
}

/* The guest runs again: what it deferred must have arrived at the exit before. */
static int sees_it_gone(void)
{
    assert_int_equal(core_waiting(b), 1);
    assert_int_equal(a->control->vmm.out_tail, 1);
    return is_stopped();
}

/* --- what is queued leaves at every exit --- */

static void every_last_exit_drains(void **state)
{
    static const struct {
        stay stays[1];
        enum exit_cause cause;
    } ends[] = {{{defer_and_mmio}, CAUSE_MMIO},
                {{defer_and_shutdown}, CAUSE_OTHER},
                {{defer_and_internal_error}, CAUSE_OTHER},
                {{defer_and_unknown}, CAUSE_OTHER},
                {{defer_and_bad_error}, CAUSE_OTHER}};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (i) {
            teardown(state);
            setup(state);
        }
        run_guest(ends[i].stays);
        assert_int_equal(vm_a->exits[ends[i].cause], 1);
        if (core_waiting(b) != 1 || vm_a->runner.exits_natural != 1 ||
            vm_a->runner.exits_immediate != 0)
            fail_msg("row %zu: %u arrived, exits %llu natural, %llu immediate", i, core_waiting(b),
                     vm_a->runner.exits_natural, vm_a->runner.exits_immediate);
    }
}

/* A guest that goes on after the exit finds it gone: it was not left for the next. */
static void every_other_exit_drains(void **state)
{
    static const struct {
        stay stays[2];
        uint64_t immediate;
        enum exit_cause cause;
        unsigned count;
    } rows[] = {{{defer_and_kick, sees_it_gone}, 0, CAUSE_KICK, 2}, /* as that of the end */
                {{defer_and_healed_fault, sees_it_gone}, 0, CAUSE_REFUSED, 1},
                {{defer_and_call, sees_it_gone}, 0, CAUSE_CALL, 1},
                {{defer_and_doorbell, sees_it_gone}, 1, CAUSE_DOORBELL, 1}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (i) {
            teardown(state);
            setup(state);
        }
        run_guest(rows[i].stays);
        assert_int_equal(vm_a->exits[rows[i].cause], rows[i].count);
        if (vm_a->runner.exits_natural != 2 - rows[i].immediate ||
            vm_a->runner.exits_immediate != rows[i].immediate)
            fail_msg("row %zu: exits %llu natural, %llu immediate", i, vm_a->runner.exits_natural,
                     vm_a->runner.exits_immediate);
    }
}

/* --- a wait for room --- */

/* The one message that b may have in flight, and one more, which waits. */
static int fill_and_wait(void)
{
    for (int i = 0; i < 2; i++) {
        struct ferry_desc move = core_units(FERRY_MOVE, a, b->id, core_alloc(a, 1, true));
        core_queue(a, &move);
    }
    run->s.regs.regs.rax = FERRY_CALL_WAIT;
    run->s.regs.regs.rdi = FERRY_EVENT_OUT;
    run->s.regs.regs.rsi = 1000000000;
    return leave_by_port(FERRY_PORT_CALL);
}

/* b takes the first after a's last look and before a says that it waits. */
static void make_room(void)
{
    uint32_t seen = atomic_load(&a->events);

    assert_true(a->out_parked);
    core_take(b);
    loan_collect(b);
    assert_int_not_equal(atomic_load(&a->events), seen); /* the wake-up came too early to be seen */
}

static int has_room(void)
{
    assert_int_equal(run->s.regs.regs.rax, FERRY_EVENT_OUT);
    assert_int_equal(core_waiting(b), 1);
    return is_stopped();
}

static void room_made_before_the_wait_is_found(void **state)
{
    static const stay ends[] = {fill_and_wait, has_room};

    (void)state;
    before_prepare = make_room;
    blocks = 0;
    run_guest(ends);
    assert_null(before_prepare);
    assert_int_equal(blocks, 0);
    assert_int_equal(a->control->vmm.out_tail, 2);
}

/* --- a kick --- */

/* The thread of a CPU that has none would be whatever its memory holds. */
static void a_vm_without_a_thread_is_not_kicked(void **state)
{
    (void)state;
    atomic_store(&vm_a->runner.in_guest, 1);
    runner_kick(&vm_a->runner);
    vm_a->started = vm_a->ended = true;
    runner_kick(&vm_a->runner);
    vm_kick(vm_a);
    vm_a->started = vm_a->ended = false;
    atomic_store(&vm_a->runner.in_guest, 0);
}

static void a_kick_is_pending_until_it_is_taken(void **state)
{
    sigset_t kick, before, pending;

    (void)state;
    sigemptyset(&kick);
    sigaddset(&kick, vcpu_kick_signal());
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &kick, &before), 0);
    vm_a->started = true;
    vm_a->guest->vcpus[0]->thread = pthread_self();
    vm_stop(vm_a, SIGTERM);
    vm_a->started = false;
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, vcpu_kick_signal()), 1);
    vcpu_take_kick();
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, vcpu_kick_signal()), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

/* --- what KVM does not do --- */

/* --- a KVM that may not make its thread --- */

static unsigned tries;

static int has_no_thread(void)
{
    tries++;
    return tries < 1000 ? EAGAIN : is_stopped();
}

static void a_run_that_is_always_to_be_tried_again_ends(void **state)
{
    stay without_end[1001];

    (void)state;
    for (size_t i = 0; i < sizeof without_end / sizeof *without_end; i++)
        without_end[i] = has_no_thread;
    tries = 0;
    run_guest(without_end);
    assert_true(tries > 1 && tries < 100);
    assert_int_equal(vm_a->process->exit.how, FERRY_ENDED_FAULT);
    assert_non_null(strstr(vm_a->process->exit.text, "Resource temporarily unavailable; raise "));
}

static int entry_fails(void)
{
    run->exit_reason = KVM_EXIT_FAIL_ENTRY;
    run->fail_entry.hardware_entry_failure_reason = 0x80000021;
    return 0;
}

static void a_refused_entry_tells_its_reason(void **state)
{
    static const stay ends[] = {entry_fails};

    (void)state;
    run_guest(ends);
    assert_int_equal(vm_a->process->exit.how, FERRY_ENDED_FAULT);
    assert_non_null(strstr(vm_a->process->exit.text, "hardware reason 0x80000021"));
}

/* The second of the registers is one that this KVM does not know. */
static void registers_that_are_not_set_are_an_error(void **state)
{
    struct ferry_error err = {""};
    char expected[32];
    struct kvm_msr_entry msrs[BOOT_MSRS];
    struct kvm_run *kept = vm_a->guest->vcpus[0]->run;

    (void)state;
    boot_msrs(msrs);
    snprintf(expected, sizeof expected, "register 0x%x", msrs[1].index);
    made_up = true;
    vm_a->engine->kvm.vcpu_mmap_bytes = 4096;
    int result = vcpu_create(vm_a->guest->vcpus[0], &vm_a->engine->kvm, &vm_a->guest->kvm,
                             guest_addr(0), guest_addr(0), &err);
    made_up = false;
    munmap(vm_a->guest->vcpus[0]->run, 4096);
    vm_a->guest->vcpus[0]->run = kept;
    assert_int_equal(result, -EIO);
    assert_non_null(strstr(err.text, expected));
}

/* Where the guest kernel runs at CPL0, its GS decides what it stores to. So a program must have no way
 * to choose a base: not by wrgsbase, and not by a selector of a descriptor that has one. */
static void no_program_chooses_a_base(void **state)
{
    static uint64_t pages[512 * 64];
    const uint64_t fsgsbase = 1u << 16, base = 0xff0000ffffff0000;
    struct guest_tables tables;
    struct kvm_sregs sregs = {0};
    uint64_t gdt[8];
    unsigned bases = 0;

    (void)state;
    guest_tables_init(&tables, pages, guest_addr(0), 64);
    assert_int_equal(boot_system(vm_a->guest->system, FERRY_EXTENT_BYTES, 1, &tables), 0);
    boot_sregs(&sregs, 0);
    assert_int_equal(sregs.cr4 & fsgsbase, 0);
    assert_int_equal(sregs.gdt.limit + 1, sizeof gdt);
    memcpy(gdt, vm_a->guest->system + (sregs.gdt.base - FERRY_SYSTEM_BASE), sizeof gdt);
    for (unsigned i = 0; i < 8; i++) {
        bool is_segment = gdt[i] >> 44 & 1, is_code = gdt[i] >> 43 & 1;

        bases += is_segment && gdt[i] & base;
        /* Of code a program may have 64 bits only: `syscall` enters elsewhere from 32. */
        assert_true(!is_segment || !is_code || gdt[i] >> 53 & 1);
    }
    assert_int_equal(bases, 0);
}

static void there_is_no_local_descriptor_table(void **state)
{
    struct kvm_sregs sregs = {.ldt = {.present = 1, .limit = 0xffff, .type = 2}};

    (void)state;
    boot_sregs(&sregs, 0);
    assert_int_equal(sregs.ldt.unusable, 1);
    assert_int_equal(sregs.ldt.present, 0);
    assert_int_equal(sregs.ldt.limit, 0);
}

/* --- another kind of guest --- */

#define DEVICE_PORT   0x3f8
#define DEVICE_MEMORY 0xd0000000ull

static unsigned device_exits;

static bool serve_device(struct ferry_vm *vm, struct vcpu *vcpu)
{
    assert_ptr_equal(vm, vm_a);
    assert_ptr_equal(vcpu, vm_a->guest->vcpus[0]);
    device_exits++;
    return true;
}

static bool goes_on(struct ferry_vm *vm, struct vcpu *vcpu)
{
    (void)vm;
    (void)vcpu;
    return true;
}

static int first_port(void)
{
    return leave_by_port(DEVICE_PORT);
}

static int last_port(void)
{
    return leave_by_port(DEVICE_PORT + 7);
}

static int port_beside(void)
{
    return leave_by_port(DEVICE_PORT + 8);
}

static int leave_by_mmio(uint64_t addr)
{
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = addr;
    return 0;
}

static int last_address(void)
{
    return leave_by_mmio(DEVICE_MEMORY + 0xfff);
}

static int address_beside(void)
{
    return leave_by_mmio(DEVICE_MEMORY + 0x1000);
}

static int is_kicked(void)
{
    return EINTR;
}

/* All that it takes is a table: the loop that runs the guest is the same. */
static void a_kind_of_guest_serves_its_own_exits(void **state)
{
    static const struct guest_exit table[] = {
        {KVM_EXIT_IO, DEVICE_PORT, 8, serve_device, EXIT_IMMEDIATE, CAUSE_DOORBELL},
        {KVM_EXIT_MMIO, DEVICE_MEMORY, 0x1000, serve_device, EXIT_NATURAL, CAUSE_MMIO},
    };
    static const struct guest_kind machine = {
        .exits = table, .exit_count = sizeof table / sizeof *table, .interrupted = goes_on};
    static const stay rows[][5] = {
        {first_port, last_port, last_address, is_kicked, port_beside},
        {first_port, last_port, last_address, is_kicked, address_beside}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (i) {
            teardown(state);
            setup(state);
        }
        device_exits = 0;
        vm_a->kind = &machine;
        run_guest(rows[i]);
        assert_int_equal(device_exits, 3);
        assert_int_equal(vm_a->runner.exits_immediate, 2);
        assert_int_equal(vm_a->runner.exits_natural, 3);
        assert_int_equal(vm_a->exits[CAUSE_DOORBELL], 2);
        assert_int_equal(vm_a->exits[CAUSE_MMIO], 1);
        assert_int_equal(vm_a->exits[CAUSE_KICK], 1);
        assert_int_equal(vm_a->exits[CAUSE_OTHER], 1);
        assert_int_equal(vm_a->process->exit.how, FERRY_ENDED_FAULT);
    }
}

/* --- calls --- */

static int wait_for_unknown(void)
{
    run->s.regs.regs.rax = FERRY_CALL_WAIT;
    run->s.regs.regs.rdi = FERRY_EVENT_OUT | 8;
    run->s.regs.regs.rsi = UINT64_MAX;
    return leave_by_port(FERRY_PORT_CALL);
}

static int is_refused(void)
{
    assert_int_equal((int64_t)run->s.regs.regs.rax, -EINVAL);
    return is_stopped();
}

static void unknown_events_are_refused(void **state)
{
    static const stay ends[] = {wait_for_unknown, is_refused};

    (void)state;
    run_guest(ends);
}

static int call_unknown(void)
{
    static const uint64_t numbers[] = {0, FERRY_CALL_FREE + 1, UINT64_MAX};
    static unsigned next;

    if (next)
        assert_int_equal((int64_t)run->s.regs.regs.rax, -ENOSYS);
    run->s.regs.regs.rax = numbers[next++ % 3];
    return next > 3 ? is_stopped() : leave_by_port(FERRY_PORT_CALL);
}

static void unknown_calls_are_refused(void **state)
{
    static const stay ends[] = {call_unknown, call_unknown, call_unknown, call_unknown};

    (void)state;
    run_guest(ends);
}

/* --- what an exit costs --- */

static int ring_and_count(void)
{
    locks = 0;
    return leave_by_port(FERRY_PORT_DOORBELL);
}

static int came_back_by_one_lock(void)
{
    assert_int_equal(locks, 1);
    return is_stopped();
}

/* The lock of the thread that serves the VM. */
static void an_exit_with_nothing_queued_takes_one_lock(void **state)
{
    static const stay stays_of_it[] = {ring_and_count, came_back_by_one_lock};

    (void)state;
    run_guest(stays_of_it);
    assert_int_equal(vm_a->runner.exits_immediate, 1);
}

/* --- the guest kernel --- */

static enum { IN_ENTRY, IN_COPY, AT_COMMIT, BEHIND } stopped_at;
static bool committed;

static struct ferry_kernel_cpu *kernel_cpu(void)
{
    return (void *)(vm_a->guest->system + (FERRY_KERNEL_CPUS - FERRY_SYSTEM_BASE));
}

/* Where the guest kernel has the instruction. */
static uint64_t kernel_rip(void)
{
    uint64_t entry = kernel_entry(true).value;
    uint64_t rip = entry;
    enum kernel_place place = stopped_at == IN_ENTRY ? KERNEL_LIVE
                              : stopped_at == BEHIND ? KERNEL_DONE
                                                     : KERNEL_SAVED;

    while (kernel_place(rip, 0) != place)
        rip++;
    if (stopped_at != AT_COMMIT)
        return rip;
    while (kernel_place(rip, 0x40) != KERNEL_DONE) /* by the zero flag */
        rip++;
    return rip;
}

/* `read` of 100 bytes, made by an instruction before 0x400002. */
static int kicked_in_kernel(void)
{
    struct kvm_regs *regs = &run->s.regs.regs;
    const struct kvm_regs call = {.rax = 0, .rbx = 1, .rdx = 100, .rsp = 0x7000, .rcx = 0x400002};

    *kernel_cpu() = (struct ferry_kernel_cpu){.rax = call.rax,
                                              .rbx = call.rbx,
                                              .rdx = call.rdx,
                                              .rsp = call.rsp,
                                              .rcx = call.rcx,
                                              .r11 = 0x3202,
                                              .result = 77};
    *regs = (struct kvm_regs){.rax = 5, .rbx = 6, .rsp = FERRY_KERNEL_WORDS};
    if (stopped_at == IN_ENTRY) {
        *regs = call;
        regs->r11 = 0x3202;
    }
    regs->rip = kernel_rip();
    regs->rflags = committed ? 0x3242 : 0x3002;
    run->s.regs.sregs.cs.selector = 0x2b;
    return EINTR;
}

/* The call has not begun, or has ended; no register tells of the guest kernel. */
static int call_is_whole(void)
{
    const struct kvm_regs *regs = &run->s.regs.regs;
    bool ended = stopped_at == BEHIND || (stopped_at == AT_COMMIT && committed);

    assert_int_equal(regs->rip, ended ? 0x400002 : 0x400000);
    assert_int_equal(regs->rax, ended ? 77 : 0);
    assert_int_equal(regs->rbx, 1);
    assert_int_equal(regs->rdx, 100);
    assert_int_equal(regs->rsp, 0x7000);
    assert_int_equal(regs->rflags, 0x3202);
    return is_stopped();
}

static void a_kick_finds_no_half_of_a_call(void **state)
{
    const stay two[] = {kicked_in_kernel, call_is_whole};

    (void)state;
    stream_guest_start(a->byte_stream, kernel_shown(vm_a->guest->system),
                       kernel_words(vm_a->guest->system), 1);
    vm_a->guest->kernel = KERNEL_AT_CPL3;
    vm_a->identity_shown = true; /* there is no personality */
    vm_a->guest->vcpus[0]->in_kernel = keeps_registers = true;
    for (stopped_at = IN_ENTRY; stopped_at <= BEHIND; stopped_at++) {
        for (int i = 0; i < 2; i++) {
            committed = i;
            vm_a->stop = 0;
            run_guest(two);
        }
    }
    keeps_registers = false;
}

/* A CPU whose thread ended in the guest kernel runs one that has the GS of its maker. */
static void gs_of_a_program_never_enters_the_guest_kernel(void **state)
{
    struct vcpu *cpu = vm_a->guest->vcpus[0];
    struct kvm_run *makers = calloc(1, sizeof *makers);
    struct vcpu maker = {.fd = -1, .run = makers, .has_gs = true};

    (void)state;
    assert_non_null(makers);
    makers->s.regs.sregs.gs.base = 0x5000;
    cpu->in_kernel = true;
    vcpu_go_on_as(cpu, &maker, 0x7000);
    made_up = true;
    syscall_entry = 0;
    assert_int_equal(vcpu_enter_kernel(cpu, kernel_entry(false), kernel_gs(0)), 0);
    made_up = false;
    assert_int_equal(syscall_entry, boot_syscall_stub().value);
    assert_false(cpu->in_kernel);
    assert_int_equal(vcpu_gs(cpu), 0x5000);
    free(makers);
}

/* No KVM_RUN with it where KVM cannot make `syscall` enter the stub. */
static void it_does_not_run_with_both(void **state)
{
    static const stay none[] = {is_stopped};

    (void)state;
    stream_guest_start(a->byte_stream, kernel_shown(vm_a->guest->system),
                       kernel_words(vm_a->guest->system), 1);
    vm_a->guest->kernel = KERNEL_AT_CPL0;
    vm_a->guest->vcpus[0]->in_kernel = vm_a->guest->vcpus[0]->has_gs = keeps_registers = true;
    run_guest(none);
    keeps_registers = false;
    assert_ptr_equal(stays, none);
    assert_int_equal(vm_a->process->exit.how, FERRY_ENDED_FAULT);
}

/* --- the level at which `syscall` arrives --- */

static int arrives(uint16_t selector)
{
    struct kvm_regs *regs = &run->s.regs.regs;

    assert_int_equal(regs->rip, boot_syscall_probe().value);
    assert_int_equal(run->s.regs.sregs.cs.selector & 3, 3);
    regs->rcx = regs->rip + 2;
    regs->rip = boot_syscall_stub().value;
    run->s.regs.sregs.cs.selector = selector;
    return leave_by_port(FERRY_PORT_SYSCALL);
}

static int arrives_at_cpl0(void)
{
    return arrives(0x08);
}

static int arrives_at_cpl3(void)
{
    return arrives(0x2b);
}

static int arrives_from_elsewhere(void)
{
    arrives(0x2b);
    run->s.regs.regs.rcx++;
    return 0;
}

static int arrives_elsewhere(void)
{
    arrives(0x2b);
    run->s.regs.regs.rip = 0x400000;
    return 0;
}

static int does_not_arrive(void)
{
    return leave_by_port(FERRY_PORT_EXCEPTION);
}

/* A program may have made all the exits of its reads by `out` from its own code, as here, where the
 * CPU shows CPL3 and no stub. */
static void a_program_does_not_tell_the_level(void **state)
{
    static const struct {
        stay probe[1];
        enum kernel_state expected;
    } rows[] = {{{arrives_at_cpl0}, KERNEL_AT_CPL0},
                {{arrives_at_cpl3}, KERNEL_AT_CPL3},
                {{is_kicked}, KERNEL_NONE},
                {{does_not_arrive}, KERNEL_REFUSED},
                {{arrives_from_elsewhere}, KERNEL_REFUSED},
                {{arrives_elsewhere}, KERNEL_REFUSED}};

    static _Alignas(4096) uint64_t tables[64 * 512];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (i) {
            teardown(state);
            setup(state);
        }
        guest_tables_init(&vm_a->guest->tables, tables, guest_addr(0), 64);
        a->byte_stream->calls = 1000;
        run->s.regs.regs = (struct kvm_regs){.rip = 0x400000, .rbx = 7, .rcx = 9, .rsp = 0x7000};
        run->s.regs.sregs.cs.selector = 0x2b;
        run->s.regs.sregs.fs.base = 0x5000;
        stays = rows[i].probe;
        keeps_registers = true;
        vm_kernel_consider(vm_a, vm_a->guest->vcpus[0]);
        keeps_registers = false;
        assert_int_equal(vm_a->guest->kernel, rows[i].expected);
        assert_ptr_equal(stays, rows[i].probe + 1);
        /* The program sees nothing of it. */
        assert_int_equal(run->s.regs.regs.rip, 0x400000);
        assert_int_equal(run->s.regs.regs.rbx, 7);
        assert_int_equal(run->s.regs.regs.rcx, 9);
        assert_int_equal(run->s.regs.regs.rsp, 0x7000);
        assert_int_equal(run->s.regs.sregs.cs.selector, 0x2b);
        assert_int_equal(run->s.regs.sregs.fs.base, 0x5000);
    }
}

/* What the guest kernel tells of the streams is what the personality tells, at each entry; files, too. */
static void the_guest_sees_what_its_streams_are(void **state)
{
    static _Alignas(4096) uint64_t tables[64 * 512];
    static const stay at_cpl3[] = {arrives_at_cpl3};
    const struct ferry_kernel_shown *shown = kernel_shown(vm_a->guest->system);
    struct stat stat;
    unsigned published, rooms, left;

    (void)state;
    guest_tables_init(&vm_a->guest->tables, tables, guest_addr(0), 64);
    a->byte_stream->calls = 1000;
    stays = at_cpl3;
    keeps_registers = true;
    vm_kernel_consider(vm_a, vm_a->guest->vcpus[0]);
    keeps_registers = false;
    memcpy(&stat, shown->input_stat, sizeof stat);
    assert_int_equal(stat.st_ino, 31);
    memcpy(&stat, shown->output_stat, sizeof stat);
    assert_int_equal(stat.st_blksize, 42);
    made_up = true;
    published = times_published;
    rooms = times_rooms_published;
    left = times_left;
    for (uint32_t i = 0; i < 2; i++) {
        stream_flags[0] = 0x800 + i;
        stream_flags[1] = 0x801 - i;
        poll_most = 7 * i;
        default_actions = UINT64_MAX << i;
        assert_int_equal(vm_kernel_enter(vm_a, vm_a->guest->vcpus[0]), 0);
        assert_int_equal(shown->input_flags, 0x800 + i);
        assert_int_equal(shown->output_flags, 0x801 - i);
        assert_int_equal(shown->poll_most, 7 * i);
        assert_int_equal(shown->default_actions, UINT64_MAX << i);
        assert_int_equal(times_published, published + i + 1);
        assert_int_equal(times_rooms_published, rooms + i + 1);
        assert_int_equal(times_left, left + i);
        vm_kernel_left(vm_a, vm_a->guest->vcpus[0], 0);
        assert_int_equal(times_left, left + i + 1);
    }
    vm_a->identity_shown = true; /* then its streams are its own, but not its signals */
    default_actions = 5;
    assert_int_equal(vm_kernel_enter(vm_a, vm_a->guest->vcpus[0]), 0);
    assert_int_equal(shown->default_actions, 5);
    vm_a->identity_shown = false;
    made_up = false;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(every_last_exit_drains),
        CASE(every_other_exit_drains),
        CASE(an_exit_with_nothing_queued_takes_one_lock),
        CASE(room_made_before_the_wait_is_found),
        CASE(a_vm_without_a_thread_is_not_kicked),
        CASE(a_kick_is_pending_until_it_is_taken),
        CASE(a_refused_entry_tells_its_reason),
        CASE(a_run_that_is_always_to_be_tried_again_ends),
        CASE(registers_that_are_not_set_are_an_error),
        CASE(no_program_chooses_a_base),
        CASE(there_is_no_local_descriptor_table),
        CASE(a_kind_of_guest_serves_its_own_exits),
        CASE(unknown_events_are_refused),
        CASE(unknown_calls_are_refused),
        CASE(a_kick_finds_no_half_of_a_call),
        CASE(gs_of_a_program_never_enters_the_guest_kernel),
        CASE(it_does_not_run_with_both),
        CASE(a_program_does_not_tell_the_level),
        CASE(the_guest_sees_what_its_streams_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
