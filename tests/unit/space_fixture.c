/* SPDX-License-Identifier: BSD-2-Clause */
/* An address space to test, with real tables and a pretended KVM. */
#include "space_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#define TABLES     256
#define TABLES_GPA FERRY_SYSTEM_BASE

static int slot_add(void *arg, struct guest_addr gpa, uint64_t bytes, void *host)
{
    struct space_fixture *f = arg;
    uint64_t start = gpa.value, end = start + bytes;

    if (f->slots_added == f->slots_allowed)
        return -ENOSPC;
    assert_ptr_equal(host, space_host(&f->space, start));
    assert_true(bytes && !((start | bytes) & (PAGE - 1)));
    assert_true(space_is_range(&f->space, gpa, bytes));
    for (size_t i = 0; i < f->space.slot_count; i++)
        assert_true(end <= f->space.slots[i].start || start >= f->space.slots[i].end);
    f->slots_added++;
    return 0;
}

int space_setup(void **state)
{
    struct space_fixture *f = calloc(1, sizeof(*f));
    struct space_backend backend = {.slot_add = slot_add, .arg = f, .tables = &f->tables};

    assert_non_null(f);
    f->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    backend.pagemap_and_one = f->pagemap + 1;
    f->slots_allowed = 1000000;
    f->table_pages = aligned_alloc(PAGE, TABLES * PAGE);
    guest_tables_init(&f->tables, f->table_pages, guest_addr(TABLES_GPA), TABLES);
    assert_int_equal(space_init(&f->space, &backend, LIMIT), 0);
    *state = f;
    return 0;
}

int space_teardown(void **state)
{
    struct space_fixture *f = *state;

    space_fini(&f->space);
    close(f->pagemap);
    free(f->table_pages);
    free(f);
    return 0;
}

bool host_can(const struct space *space, uint64_t addr, bool write)
{
    char byte = 0;
    struct iovec mine = {&byte, 1}, there = {space_host(space, addr), 1};

    if (!write)
        return process_vm_readv(getpid(), &mine, 1, &there, 1, 0) == 1;
    return process_vm_readv(getpid(), &mine, 1, &there, 1, 0) == 1 &&
           process_vm_writev(getpid(), &mine, 1, &there, 1, 0) == 1;
}

uint64_t leaf_of(const struct space_fixture *f, uint64_t addr, bool *large)
{
    const uint64_t *table = f->tables.pages;

    for (int level = 3;; level--) {
        uint64_t entry = table[(addr >> (12 + 9 * level)) & 511];

        *large = level == 1;
        if (!(entry & 1) || level == 0 || (level == 1 && entry & 0x80))
            return entry & 1 ? entry : 0;
        table = f->tables.pages + ((entry & 0x000ffffffffff000ull) - TABLES_GPA) / 8;
    }
}
