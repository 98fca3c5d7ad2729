/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual CPU: making it, its first state, running it, its exits and registers. */
#include "kvm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/bits.h"
#include "lib/error.h"

/* --- making it ------------------------------------------------------------------ */

int vcpu_kick_signal(void)
{
    return SIGRTMIN;
}

/* Lets the kick signal through while the guest runs, and only then: it is
 * blocked otherwise, so one that comes early is not lost but ends the next
 * KVM_RUN at once. */
static int set_signal_mask(int vcpu_fd)
{
    _Alignas(8) char space[sizeof(struct kvm_signal_mask) + sizeof(uint64_t)];
    struct kvm_signal_mask *mask = (struct kvm_signal_mask *)space;
    uint64_t blocked = ~(1ull << (vcpu_kick_signal() - 1));

    mask->len = sizeof blocked;
    memcpy(mask->sigset, &blocked, sizeof blocked);
    return ioctl(vcpu_fd, KVM_SET_SIGNAL_MASK, mask) < 0 ? -errno : 0;
}

/* KVM sets them one after the other, and says at how many it stopped. */
static int set_msrs(struct vcpu *vcpu, struct ferry_error *err)
{
    _Alignas(8) char space[sizeof(struct kvm_msrs) + BOOT_MSRS * sizeof(struct kvm_msr_entry)];
    struct kvm_msrs *msrs = (struct kvm_msrs *)space;

    *msrs = (struct kvm_msrs){.nmsrs = BOOT_MSRS};
    boot_msrs(msrs->entries);
    int set = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
    if (set < 0)
        return -errno;
    if (set < BOOT_MSRS)
        return error_set(err, -EIO, "this KVM does not set model-specific register 0x%x",
                         msrs->entries[set].index);
    return 0;
}

static int set_state(struct vcpu *vcpu, const struct kvm *kvm, struct guest_addr entry,
                     struct guest_addr stack, struct ferry_error *err)
{
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0].value = kvm->xcr0};
    struct kvm_sregs sregs;
    struct kvm_regs regs;

    boot_regs(&regs, entry, stack);
    /* CPUID first: newer kernels refuse it once the special registers are set. */
    if (ioctl(vcpu->fd, KVM_SET_CPUID2, kvm->cpuid) < 0 ||
        ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
        return -errno;
    boot_sregs(&sregs, vcpu->number);
    if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
        return -errno;
    vcpu->run->s.regs.sregs = sregs;
    int result = set_msrs(vcpu, err);
    if (result < 0)
        return result;
    if (kvm->xcr0 && ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs) < 0)
        return -errno;
    return set_signal_mask(vcpu->fd);
}

/* The guest's TSC is to show what the host's does, as the page of clocks is made for it. Where KVM
 * cannot be told so, the vDSO sees that the TSC is none that the page is for. */
static void show_host_tsc(struct vcpu *vcpu)
{
    const uint64_t offset = 0;
    const struct kvm_device_attr attr = {
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uint64_t)&offset};

    (void)ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr);
}

static int create(struct vcpu *vcpu, const struct kvm *kvm, struct kvm_vm *vm,
                  struct guest_addr entry, struct guest_addr stack, struct ferry_error *err)
{
    vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, vm->vcpus);
    if (vcpu->fd < 0)
        return -errno;
    vcpu->number = vm->vcpus++;
    vcpu->xcr0 = kvm->xcr0;
    vcpu->xsave_bytes = kvm->xsave_bytes;
    vcpu->run_bytes = (size_t)kvm->vcpu_mmap_bytes;
    struct kvm_run *run =
        mmap(NULL, vcpu->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED)
        return -errno;
    vcpu->run = run;
    /* Segments too: CS tells at which privilege level `syscall` arrived. */
    vcpu->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    show_host_tsc(vcpu);
    return set_state(vcpu, kvm, entry, stack, err);
}

int vcpu_create(struct vcpu *vcpu, const struct kvm *kvm, struct kvm_vm *vm,
                struct guest_addr entry, struct guest_addr stack, struct ferry_error *err)
{
    struct ferry_error why = {""};
    int result = create(vcpu, kvm, vm, entry, stack, &why);

    return result < 0 ? error_set(err, result, "cannot make a virtual CPU: %s",
                                  why.text[0] ? why.text : strerror(-result))
                      : 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
    if (vcpu->run)
        munmap(vcpu->run, vcpu->run_bytes);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
}

/* --- running it ----------------------------------------------------------------- */

void vcpu_kick(const struct vcpu *vcpu)
{
    pthread_kill(vcpu->thread, vcpu_kick_signal());
}

/* By number and not by pthread_t: once a thread has ended, the C library would take it for the
 * caller. */
void vcpu_begin(struct vcpu *vcpu)
{
    clockid_t clock;

    if (pthread_getcpuclockid(pthread_self(), &clock) == 0)
        atomic_store(&vcpu->clock, clock);
}

/* The clock goes with the thread. */
void vcpu_end(struct vcpu *vcpu)
{
    atomic_store(&vcpu->took_ns, vcpu_cpu_ns(vcpu) - atomic_load(&vcpu->earlier_ns));
}

void vcpu_begin_again(struct vcpu *vcpu)
{
    atomic_store(&vcpu->clock, 0);
    atomic_fetch_add(&vcpu->earlier_ns, atomic_exchange(&vcpu->took_ns, 0));
    vcpu->runs = NULL;
    vcpu->moves = vcpu->calls_again = vcpu->finishes = vcpu->call_is_left = false;
}

uint64_t vcpu_cpu_ns(const struct vcpu *vcpu)
{
    clockid_t clock = atomic_load(&vcpu->clock);
    struct timespec used;
    bool is_told = clock != 0 && clock_gettime(clock, &used) == 0;
    uint64_t took = atomic_load(&vcpu->took_ns); /* last, as it may have ended meanwhile */
    uint64_t earlier = atomic_load(&vcpu->earlier_ns);

    if (took || !is_told)
        return earlier + took;
    return earlier + (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

int vcpu_run(struct vcpu *vcpu)
{
    int result = ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? -errno : 0;

    vcpu->run->kvm_dirty_regs = 0;
    return result;
}

void vcpu_take_kick(void)
{
    const struct timespec none = {0};
    sigset_t kick;

    sigemptyset(&kick);
    sigaddset(&kick, vcpu_kick_signal());
    while (sigtimedwait(&kick, NULL, &none) > 0)
        ;
}

/* --- its registers -------------------------------------------------------------- */

const struct kvm_regs *vcpu_regs(const struct vcpu *vcpu)
{
    return &vcpu->run->s.regs.regs;
}

struct guest_addr vcpu_fault_address(const struct vcpu *vcpu)
{
    return guest_addr(vcpu->run->s.regs.sregs.cr2);
}

uint64_t vcpu_fs(const struct vcpu *vcpu)
{
    return vcpu->run->s.regs.sregs.fs.base;
}

uint64_t vcpu_gs(const struct vcpu *vcpu)
{
    return vcpu->has_gs ? vcpu->run->s.regs.sregs.gs.base : 0;
}

int vcpu_fetch(const struct vcpu *vcpu, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
    if (ioctl(vcpu->fd, KVM_GET_REGS, regs) < 0 ||
        (sregs && ioctl(vcpu->fd, KVM_GET_SREGS, sregs) < 0))
        return -errno;
    return 0;
}

int vcpu_refresh(struct vcpu *vcpu)
{
    return vcpu_fetch(vcpu, &vcpu->run->s.regs.regs, &vcpu->run->s.regs.sregs);
}

bool vcpu_is_at_cpl3(const struct vcpu *vcpu)
{
    return (vcpu->run->s.regs.sregs.cs.selector & 3) == 3;
}

static bool was_probed(const struct vcpu *vcpu)
{
    return vcpu_exit_reason(vcpu) == KVM_EXIT_IO && vcpu_exit_at(vcpu) == FERRY_PORT_SYSCALL &&
           vcpu_regs(vcpu)->rcx == boot_syscall_probe().value + BOOT_SYSCALL_BYTES &&
           boot_in_stub(vcpu_regs(vcpu)->rip);
}

int vcpu_probe_syscall(struct vcpu *vcpu)
{
    struct kvm_sync_regs *now = &vcpu->run->s.regs;
    const struct kvm_regs regs = now->regs;
    const struct kvm_sregs sregs = now->sregs;

    if (vcpu->in_kernel)
        return -EIO;
    boot_regs(&now->regs, boot_syscall_probe(), guest_addr(0));
    boot_user_segments(&now->sregs);
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    int result = vcpu_run(vcpu);
    if (result == 0)
        result = was_probed(vcpu) ? vcpu_is_at_cpl3(vcpu) : -EIO;
    now->regs = regs;
    now->sregs = sregs;
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    return result;
}

bool vcpu_in_program(const struct vcpu *vcpu)
{
    return vcpu_is_at_cpl3(vcpu) && !boot_in_stub(vcpu->run->s.regs.regs.rip);
}

_Static_assert(VCPU_XSAVE_MOST == sizeof(struct kvm_xsave), "KVM copies so many bytes");

int vcpu_vectors(const struct vcpu *vcpu, void *area)
{
    return ioctl(vcpu->fd, KVM_GET_XSAVE, area) < 0 ? -errno : 0;
}

int vcpu_set_vectors(struct vcpu *vcpu, const void *area)
{
    return ioctl(vcpu->fd, KVM_SET_XSAVE, area) < 0 ? -errno : 0;
}

int vcpu_float_code(const struct vcpu *vcpu, bool simd, int otherwise)
{
    /* By the bits of the exception flags, in the order in which the kernel looks at them. */
    static const int codes[][2] = {{0x01, FPE_FLTINV},
                                   {0x04, FPE_FLTDIV},
                                   {0x08, FPE_FLTOVF},
                                   {0x12, FPE_FLTUND},
                                   {0x20, FPE_FLTRES}};
    struct kvm_xsave area;
    uint16_t x87[2]; /* FCW, FSW */
    uint32_t mxcsr;
    unsigned raised;

    if (vcpu_vectors(vcpu, &area) < 0)
        return otherwise;
    memcpy(x87, area.region, sizeof x87);
    memcpy(&mxcsr, (const char *)area.region + 24, sizeof mxcsr);
    raised = simd ? mxcsr & ~(mxcsr >> 7) : (unsigned)(x87[1] & ~x87[0]);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (raised & (unsigned)codes[i][0])
            return codes[i][1];
    }
    return otherwise;
}

void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
    vcpu->run->s.regs.regs = *regs;
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

void vcpu_set_rax(struct vcpu *vcpu, uint64_t rax)
{
    vcpu->run->s.regs.regs.rax = rax;
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

void vcpu_set_fs(struct vcpu *vcpu, uint64_t base)
{
    vcpu->run->s.regs.sregs.fs.base = base;
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

/* Only the synchronized registers are changed: vcpu_resume may write them back, and would undo a
 * change made in another way. */
static void set_gs(struct vcpu *vcpu, uint64_t base)
{
    vcpu->run->s.regs.sregs.gs.base = base;
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

void vcpu_set_gs(struct vcpu *vcpu, uint64_t base)
{
    vcpu->has_gs = base != 0;
    if (vcpu->has_gs)
        vcpu_leave_kernel(vcpu);
    set_gs(vcpu, base);
}

/* --- the guest kernel ----------------------------------------------------------- */

static int enter_by(struct vcpu *vcpu, struct guest_addr entry)
{
    _Alignas(8) char space[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    struct kvm_msrs *msrs = (struct kvm_msrs *)space;

    *msrs = (struct kvm_msrs){.nmsrs = 1};
    msrs->entries[0] = boot_entry_msr(entry);
    int set = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
    return set == 1 ? 0 : set < 0 ? -errno : -EIO;
}

int vcpu_leave_kernel(struct vcpu *vcpu)
{
    if (!vcpu->in_kernel)
        return 0;
    int result = enter_by(vcpu, boot_syscall_stub());
    vcpu->in_kernel = result != 0;
    if (!vcpu->has_gs)
        set_gs(vcpu, 0);
    return result;
}

/* The base is looked at each time: a program may load the selector, which sets it to 0. A CPU that
 * ran another thread before may still enter the guest kernel, which stores where GS points. */
int vcpu_enter_kernel(struct vcpu *vcpu, struct guest_addr entry, struct guest_addr gs)
{
    if (vcpu->has_gs)
        return vcpu_leave_kernel(vcpu);
    if (vcpu->run->s.regs.sregs.gs.base != gs.value)
        set_gs(vcpu, gs.value);
    if (vcpu->in_kernel)
        return 0;
    int result = enter_by(vcpu, entry);
    vcpu->in_kernel = result == 0;
    return result;
}

int vcpu_store(struct vcpu *vcpu)
{
    if (ioctl(vcpu->fd, KVM_SET_REGS, &vcpu->run->s.regs.regs) < 0 ||
        ioctl(vcpu->fd, KVM_SET_SREGS, &vcpu->run->s.regs.sregs) < 0)
        return -errno;
    return 0;
}

/* All parts of the state that XSAVE knows are as after a reset, which the header says by naming only
 * the first two; what these are by the legacy area at the front. */
static int reset_vectors(const struct vcpu *vcpu)
{
    const uint16_t control = 0x37f;
    const uint32_t mxcsr = 0x1f80;
    const uint64_t present = 3; /* x87, SSE */
    struct kvm_xsave area = {0};
    struct kvm_fpu fpu = {.fcw = control, .mxcsr = mxcsr};
    char *bytes = (char *)area.region;

    memcpy(bytes, &control, sizeof control);
    memcpy(bytes + 24, &mxcsr, sizeof mxcsr);
    memcpy(bytes + 512, &present, sizeof present);
    if (ioctl(vcpu->fd, KVM_SET_XSAVE, &area) == 0)
        return 0;
    return ioctl(vcpu->fd, KVM_SET_FPU, &fpu) < 0 ? -errno : 0; /* a processor without XSAVE */
}

int vcpu_restart(struct vcpu *vcpu, struct guest_addr entry, struct guest_addr stack)
{
    struct kvm_sregs *sregs = &vcpu->run->s.regs.sregs;
    int result = reset_vectors(vcpu);

    if (result)
        return result;
    boot_regs(&vcpu->run->s.regs.regs, entry, stack);
    boot_user_segments(sregs);
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss; /* with base 0 */
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    vcpu->calls_again = false;
    vcpu->has_gs = false;
    return 0;
}

void vcpu_resume(struct vcpu *vcpu, uint64_t rax, const struct boot_frame *next)
{
    struct kvm_regs *regs = &vcpu->run->s.regs.regs;

    regs->rax = rax;
    regs->rip = next->rip;
    regs->rsp = next->rsp;
    regs->rflags = boot_user_flags(next->rflags);
    vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
    if (!vcpu_is_at_cpl3(vcpu)) {
        boot_user_segments(&vcpu->run->s.regs.sregs);
        vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
    }
}

/* --- its clock ------------------------------------------------------------------ */

uint64_t vcpu_ticks(const struct vcpu *vcpu, uint64_t nanoseconds)
{
    int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);

    return khz > 0 ? nanoseconds * (uint64_t)khz / 1000000 : 0;
}
