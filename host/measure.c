/* SPDX-License-Identifier: BSD-2-Clause */
/* What hand-over, copy and exit cost on this machine. */
#include "measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot.h"
#include "clock.h"
#include "engine.h"
#include "kvm.h"
#include "mapping.h"
#include "page_table.h"
#include "vcpu.h"

#define ROUNDS     9
#define EXIT_CALLS 200

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t values[ROUNDS])
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

/* One extent goes from one window to another and is touched there. */
static uint64_t time_hand_over(struct window *from, struct window *to, uint64_t offset)
{
    uint64_t start = clock_now();

    window_set(from, offset, FERRY_EXTENT_BYTES, WINDOW_WRITE, WINDOW_CLOSED);
    window_set(to, offset, FERRY_EXTENT_BYTES, WINDOW_CLOSED, WINDOW_WRITE);
    *(volatile char *)(to->base + offset) = 1;
    return clock_now() - start;
}

static int measure_windows(struct pool *pool, struct window *a, struct window *b,
                           struct ferry_engine_info *info)
{
    uint64_t hand_over[ROUNDS], copy[ROUNDS];

    for (uint32_t unit = pool->pages; unit < pool_units(pool); unit++)
        pool_scrub(pool, (struct units){unit, 1}, true);
    uint64_t offset = pool_small_bytes(pool);
    int result = window_set(a, offset, FERRY_EXTENT_BYTES, WINDOW_CLOSED, WINDOW_WRITE);
    if (result < 0)
        return result;
    for (int i = 0; i < ROUNDS; i++) {
        hand_over[i] = time_hand_over(i % 2 ? b : a, i % 2 ? a : b, offset);
        uint64_t start = clock_now();
        memcpy(pool->base + offset + FERRY_EXTENT_BYTES, pool->base + offset, FERRY_EXTENT_BYTES);
        copy[i] = clock_now() - start;
    }
    info->huge = pool_is_huge(pool, offset);
    info->handover_ns = median(hand_over);
    info->copy_ns = median(copy);
    info->crossover_bytes = info->handover_ns * FERRY_EXTENT_BYTES / (info->copy_ns + 1);
    return 0;
}

int measure_hand_over(struct ferry_engine_info *info)
{
    struct window a = {0}, b = {0};
    struct pool pool;

    int result = pool_create(&pool, 0, 2);
    if (result < 0)
        return result;
    result = window_create(&a, pool.fd, pool.bytes);
    if (result == 0)
        result = window_create(&b, pool.fd, pool.bytes);
    if (result == 0)
        result = measure_windows(&pool, &a, &b, info);
    window_destroy(&b);
    window_destroy(&a);
    pool_destroy(&pool);
    return result;
}

/* --- what an exit costs ------------------------------------------------------ */

/* A VM whose program is: out %al, $port; jmp back. */
static int build_exit_vm(struct ferry_vm *vm, void *page)
{
    static const uint8_t code[] = {0xe6, FERRY_PORT_DOORBELL, 0xeb, 0xfc};
    struct kvm_userspace_memory_region system = {.guest_phys_addr = FERRY_SYSTEM_BASE,
                                                 .memory_size = SYSTEM_BYTES,
                                                 .userspace_addr = (uint64_t)vm->system};
    struct kvm_userspace_memory_region program = {.slot = 1,
                                                  .guest_phys_addr = FERRY_PROGRAM_LOW,
                                                  .memory_size = FERRY_PAGE_BYTES,
                                                  .userspace_addr = (uint64_t)page};

    memcpy(page, code, sizeof code);
    vm->vm_fd = ioctl(vm->engine->kvm_fd, KVM_CREATE_VM, 0);
    if (vm->vm_fd < 0 || ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &system) < 0 ||
        ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &program) < 0)
        return -errno;
    int result = boot_system(vm->system, FERRY_EXTENT_BYTES, &vm->tables);
    if (result == 0)
        result = guest_tables_map(&vm->tables, FERRY_PROGRAM_LOW,
                                  FERRY_PROGRAM_LOW + FERRY_PAGE_BYTES, GUEST_USER | GUEST_EXEC);
    return result < 0 ? result : vcpu_create(vm, FERRY_PROGRAM_LOW, FERRY_PROGRAM_LOW);
}

static uint64_t time_exits(struct ferry_vm *vm)
{
    uint64_t start = 0;

    for (int i = -EXIT_CALLS / 10; i < EXIT_CALLS; i++) {
        if (i == 0)
            start = clock_now();
        /* run was mapped by vcpu_create. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        vm->run->kvm_dirty_regs = 0;
        if (ioctl(vm->vcpu_fd, KVM_RUN, 0) < 0 || vm->run->exit_reason != KVM_EXIT_IO)
            return 0;
    }
    return (clock_now() - start) / EXIT_CALLS;
}

/* 0: could not be measured. */
static uint64_t measure_exit(struct ferry_engine *engine)
{
    struct ferry_vm vm = {.engine = engine, .vm_fd = -1, .vcpu_fd = -1};
    uint64_t exit_ns = 0;

    vm.system = mapping_aligned(SYSTEM_BYTES + FERRY_EXTENT_BYTES, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!vm.system)
        return 0;
    if (build_exit_vm(&vm, vm.system + SYSTEM_BYTES) == 0)
        exit_ns = time_exits(&vm);
    if (vm.run)
        munmap(vm.run, (size_t)engine->vcpu_mmap_bytes);
    if (vm.vcpu_fd >= 0)
        close(vm.vcpu_fd);
    if (vm.vm_fd >= 0)
        close(vm.vm_fd);
    munmap(vm.system, SYSTEM_BYTES + FERRY_EXTENT_BYTES);
    return exit_ns;
}

static long read_number(const char *path)
{
    long number = 0;
    FILE *file = fopen(path, "re");

    if (!file)
        return 0;
    if (fscanf(file, "%ld", &number) != 1)
        number = 0;
    fclose(file);
    return number;
}

int ferry_machine_probe(struct ferry_machine *out)
{
    struct ferry_engine_info info = {0};
    struct ferry_engine *engine = calloc(1, sizeof *engine);

    if (!engine)
        return -ENOMEM;
    *out = (struct ferry_machine){.max_map_count = read_number("/proc/sys/vm/max_map_count")};
    if (measure_hand_over(&info) == 0) {
        out->huge = info.huge;
        out->handover_ns = info.handover_ns;
        out->copy_ns = info.copy_ns;
        out->crossover_bytes = info.crossover_bytes;
    }
    int result = kvm_open(engine, NULL);
    if (result == 0) {
        out->kvm_api = KVM_API_VERSION;
        out->exit_ns = measure_exit(engine);
    }
    out->kvm_errno = -result;
    kvm_close(engine);
    free(engine);
    return 0;
}
