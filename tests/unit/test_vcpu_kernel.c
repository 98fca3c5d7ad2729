/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the tests of host/vm/kernel.c on a virtual CPU that is made up (vcpu_fixture.h): the level at
 * which `syscall` arrives, calls that a kick finds in the guest kernel, and what that kernel is shown.
 * There is no personality: what it would tell of the program, a test says.
 */
#include "vcpu_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <ferry/abi/layout.h>

#include "kvm/boot.h"
#include "kvm/kernel.h"
#include "stream/stream.h"
#include "stream/stream_internal.h"
#include "vm/kernel.h"

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

/* --- the personality --- */

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
            vcpu_teardown(state);
            vcpu_setup(state);
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
    const struct CMUnitTest tests[] = {
        TEST(a_kick_finds_no_half_of_a_call),
        TEST(gs_of_a_program_never_enters_the_guest_kernel),
        TEST(it_does_not_run_with_both),
        TEST(a_program_does_not_tell_the_level),
        TEST(the_guest_sees_what_its_streams_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
