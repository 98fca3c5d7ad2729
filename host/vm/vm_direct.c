/* SPDX-License-Identifier: BSD-2-Clause */
/* Direct rings: mapping one into its two VMs. */
#include "vm/vm_direct.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ferry/abi/direct.h>

#include "ipc/direct.h"
#include "lib/error.h"
#include "vm/vm.h"

#define SLOTS_AT offsetof(struct ferry_direct, slots)
#define BYTES    sizeof(struct ferry_direct)

/* Sets the guest's rights twice: in the host's mapping and in the tables that its CPU walks. The
 * sender writes the slots, the receiver writes its page before them. */
static int map_into(struct ferry_vm *vm, int fd, bool sender, struct guest_addr *addr)
{
    struct guest_addr base = guest_addr(FERRY_DIRECT_BASE + vm->direct_count * FERRY_DIRECT_STRIDE);
    uint64_t own = sender ? SLOTS_AT : 0, own_bytes = sender ? BYTES - SLOTS_AT : SLOTS_AT;

    if (vm->direct_count == sizeof vm->direct / sizeof *vm->direct)
        return -ENOSPC;
    char *host = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (host == MAP_FAILED)
        return -errno;
    vm->direct[vm->direct_count++] = host;
    if (mprotect(host + own, own_bytes, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    int result = guest_tables_map(&vm->own.tables, base, BYTES, GUEST_USER);
    if (result == 0)
        result = guest_tables_map(&vm->own.tables, guest_addr_add(base, own), own_bytes,
                                  GUEST_USER | GUEST_WRITE);
    if (result == 0)
        result = kvm_vm_add_slot(&vm->own.kvm, base, BYTES, host);
    *addr = base;
    return result;
}

static int make_ring(struct ferry_link *link, int fd, struct direct_addresses *addresses)
{
    if (ftruncate(fd, BYTES) < 0)
        return -errno;
    void *view = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (view == MAP_FAILED)
        return -errno;
    link->direct = view;
    int result = map_into(link->from->vm, fd, true, &addresses->out);
    return result < 0 ? result : map_into(link->to->vm, fd, false, &addresses->in);
}

int vm_direct_create(struct ferry_link *link, struct direct_addresses *addresses,
                     struct ferry_error *err)
{
    int result = direct_prepare();
    if (result < 0)
        return error_set(err, result,
                         "a direct link needs the system call membarrier: %s; it is in Linux 4.14 "
                         "and newer, and a seccomp filter must let it through",
                         strerror(-result));
    int fd = memfd_create("ferry-direct", MFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "cannot make a direct link: %s", strerror(errno));
    result = make_ring(link, fd, addresses);
    close(fd);
    return result < 0 ? error_set(err, result, "cannot make a direct link: %s", strerror(-result))
                      : 0;
}

void vm_direct_unmap(struct ferry_vm *vm)
{
    while (vm->direct_count)
        munmap(vm->direct[--vm->direct_count], BYTES);
}
