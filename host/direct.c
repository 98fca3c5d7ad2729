/* SPDX-License-Identifier: BSD-2-Clause */
/* Direct rings on the VMM's side: making them, waking who waits for what is in one. */
#include "direct.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "ring.h"
#include "vm.h"

#define SLOTS_AT offsetof(struct ferry_direct, slots)
#define BYTES    sizeof(struct ferry_direct)

/* --- making ----------------------------------------------------------------- */

static int membarrier(int command)
{
    return (int)syscall(SYS_membarrier, command, 0, 0);
}

/* The guest's rights, twice: by the host's mapping and by the table its CPU walks. The sender
 * writes the slots, the receiver its page before them. */
static int map_into(struct ferry_vm *vm, int fd, bool sender, uint64_t *addr)
{
    uint64_t base = FERRY_DIRECT_BASE + vm->direct_count * FERRY_DIRECT_STRIDE;
    uint64_t own = base + (sender ? SLOTS_AT : 0), own_end = base + (sender ? BYTES : SLOTS_AT);

    if (vm->direct_count == sizeof vm->direct / sizeof *vm->direct)
        return -ENOSPC;
    char *host = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (host == MAP_FAILED)
        return -errno;
    vm->direct[vm->direct_count++] = host;
    if (mprotect(host + (own - base), own_end - own, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    int result = guest_tables_map(&vm->tables, base, base + BYTES, GUEST_USER);
    if (result == 0)
        result = guest_tables_map(&vm->tables, own, own_end, GUEST_USER | GUEST_WRITE);
    if (result == 0)
        result = vm_slot_add(vm, base, BYTES, host);
    *addr = base;
    return result;
}

static int make_ring(struct ferry_link *link, int fd, struct direct_place *place)
{
    if (ftruncate(fd, BYTES) < 0)
        return -errno;
    void *view = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (view == MAP_FAILED)
        return -errno;
    link->direct = view;
    int result = map_into(link->from->vm, fd, true, &place->out);
    return result < 0 ? result : map_into(link->to->vm, fd, false, &place->in);
}

int direct_create(struct ferry_link *link, struct direct_place *place, struct ferry_error *err)
{
    if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) < 0)
        return error_set(err, -errno,
                         "a direct link needs the system call membarrier: %s; it is in Linux 4.14 "
                         "and newer, and a seccomp filter must let it through",
                         strerror(errno));
    int fd = memfd_create("ferry-direct", MFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "cannot make a direct link: %s", strerror(errno));
    int result = make_ring(link, fd, place);
    close(fd);
    return result < 0 ? error_set(err, result, "cannot make a direct link: %s", strerror(-result))
                      : 0;
}

void direct_unmap(struct ferry_vm *vm)
{
    while (vm->direct_count)
        munmap(vm->direct[--vm->direct_count], BYTES);
}

void direct_destroy(struct ferry_link *link)
{
    if (link->direct)
        munmap((void *)(uintptr_t)link->direct, BYTES);
    link->direct = NULL;
}

/* --- what is in them --------------------------------------------------------- */

/* Whether the slot of this position holds its message. */
static bool is_filled(const struct ferry_direct *ring, uint32_t position)
{
    const uint32_t *turn = &ring->slots[position & RING_MASK].turn;

    return __atomic_load_n(turn, __ATOMIC_ACQUIRE) == position + 1;
}

static uint32_t tail_of(const struct ferry_direct *ring)
{
    return __atomic_load_n(&ring->receiver.tail, __ATOMIC_ACQUIRE);
}

/* The tail may lag, but then the slots behind it have not been used again. */
uint32_t direct_sent(const struct ferry_link *link)
{
    if (!link->direct)
        return 0;
    uint32_t tail = tail_of(link->direct), count = 0;
    while (count < FERRY_RING_ENTRIES && is_filled(link->direct, tail + count))
        count++;
    return tail + count;
}

static bool holds_more(const struct ferry_link *link)
{
    return is_filled(link->direct, tail_of(link->direct));
}

bool direct_waiting(const struct endpoint *to)
{
    for (uint32_t i = 0; i < to->in_count; i++)
        if (to->in[i]->direct && holds_more(to->in[i]))
            return true;
    return false;
}

/* It interrupts every CPU that runs a thread of this process, so a guest too, and so its
 * stores and loads around that moment are ordered without a fence on the sender's side. */
void direct_await(struct endpoint *to)
{
    for (uint32_t i = 0; i < to->in_count; i++)
        if (to->in[i]->direct) {
            atomic_store(&to->wants_direct, true);
            endpoint_show_waiting(to, FERRY_WAITS | FERRY_WAITS_DIRECT);
            membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
            return;
        }
}

/* Who sleeps, or waits for something else, is left alone: what is in the ring stays there, and
 * the poller comes by a million times in a second. */
void direct_announce(const struct endpoint *from)
{
    for (uint32_t i = 0; i < from->out_count; i++) {
        const struct ferry_link *link = from->out[i];
        if (link->direct && atomic_load(&link->to->wants_direct) && holds_more(link) &&
            atomic_exchange(&link->to->wants_direct, false))
            endpoint_wake(link->to);
    }
}
