/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtual CPU that is made up: the calls of KVM end as a test says. */
#include "vcpu_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm/guest_run.h"

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
void __wrap_image_symbolize(struct image *image, uint64_t addr, char *text, size_t bytes);
int __wrap_linux_code_at(struct linux_state *state, struct guest_addr addr,
                         struct image_source *out, uint64_t *offset, const char **path);

struct ferry_vm *vm_a, *vm_b;
struct endpoint *a, *b;
struct kvm_run *run;
const stay *stays;
bool made_up, keeps_registers;
uint64_t syscall_entry;

static struct ferry_engine *engine;

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

int vcpu_setup(void **state)
{
    (void)state;
    engine = core_engine(512, 2);
    vm_a = core_vm(engine, "a");
    vm_b = core_vm(engine, "b");
    a = vm_a->endpoint;
    b = vm_b->endpoint;
    core_link(vm_a, vm_b, 1);
    run = calloc(1, sizeof *run);
    assert_non_null(run);
    vm_a->guest->vcpus[0]->run = run;
    atomic_store(&vm_a->runner.watched, true); /* there is no ticker: what happens, exits did */
    return 0;
}

int vcpu_teardown(void **state)
{
    (void)state;
    vm_a->guest->vcpus[0]->run = NULL;
    free(run);
    ferry_vm_destroy(vm_a);
    ferry_vm_destroy(vm_b);
    core_end(engine);
    return 0;
}

void run_guest(const stay *how)
{
    stays = how;
    lock_take(&vm_a->runner.serving);
    guest_run(vm_a, vm_a->guest->vcpus[0]);
    lock_drop(&vm_a->runner.serving);
}

/* --- ends of a stay --- */

int leave_by_port(uint16_t port)
{
    run->exit_reason = KVM_EXIT_IO;
    run->io.port = port;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.size = 1;
    run->io.count = 1;
    return 0;
}

int is_stopped(void)
{
    vm_a->stop = 15;
    return EINTR;
}

int is_kicked(void)
{
    return EINTR;
}
