/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * edges: loads and stores of every width and kind outside of what the program has: units of others, the
 * VMM's pages, holes, and across the border of a page of its own. Each must be a signal, and afterwards
 * the page of its own must hold what it held.
 */
#include <ferry/abi/kernel.h>

#include "try.h"

/* At [rdi]; RSI is a page of the program's own. */
static const struct access {
    const char *what, *code;
    unsigned bytes;
    enum { LOADS, STORES, STORES_IN_PARTS } kind; /* in parts: also as QEMU makes it */
} accesses[] = {
    {"a byte", "8a07", 1, LOADS},
    {"two bytes", "668b07", 2, LOADS},
    {"four bytes", "8b07", 4, LOADS},
    {"eight bytes", "488b07", 8, LOADS},
    {"ten bytes", "db2f", 10, LOADS},
    {"sixteen bytes", "0f1007", 16, LOADS},
    {"32 bytes", "c5fe6f07", 32, LOADS},
    {"a pop", "4889e24889fc584889d4", 8, LOADS},
    {"a string", "4887f7b90a000000f3a4", 10, LOADS},
    {"a comparison of strings", "b90a000000f3a6", 1, LOADS},
    {"a bit", "0fa307", 4, LOADS},
    {"a store of a byte", "8807", 1, STORES},
    {"a store of two bytes", "668907", 2, STORES},
    {"a store of four bytes", "8907", 4, STORES},
    {"a store of eight bytes", "488907", 8, STORES},
    {"a store of sixteen bytes", "0f1107", 16, STORES_IN_PARTS},
    {"a store of 32 bytes", "c5fe7f07", 32, STORES_IN_PARTS},
    {"a store beside the cache", "480fc307", 8, STORES},
    {"an exchange", "488707", 8, STORES},
    {"a locked addition", "f0480107", 8, STORES},
    {"a compare and exchange", "f0480fb107", 8, STORES},
    {"a compare and exchange of sixteen", "f0480fc70f", 16, STORES},
    {"a bit that is set", "0fab07", 4, STORES},
    {"an increment", "48ff07", 8, STORES},
    {"a shift", "48d127", 8, STORES},
    {"a push", "4889e2488d6708504889d4", 8, STORES},
    {"a call", "4889e2488d6708e8000000004889d4", 8, STORES},
    {"a string to it", "b90a000000f3a4", 10, STORES_IN_PARTS},
    {"a filled string", "b910000000f348ab", 128, STORES_IN_PARTS},
    {"a state to it", "0fae07", 512, STORES_IN_PARTS},
};
#define ACCESSES (sizeof accesses / sizeof *accesses)

static unsigned char own[FERRY_PAGE_BYTES];

static int access_at(const struct access *access, uint64_t at)
{
    try_put(access->code);
    return try_run((struct try_registers){.rdi = at, .rsi = (uintptr_t)own});
}

static void expect_none(const char *where, uint64_t at)
{
    for (size_t i = 0; i < ACCESSES; i++)
        if (!access_at(&accesses[i], at))
            fail("%s at %#llx, %s", accesses[i].what, (unsigned long long)at, where);
    try_put("ffe7");
    if (!try_run((struct try_registers){.rdi = at}))
        fail("a jump to %#llx, %s", (unsigned long long)at, where);
}

static void expect_no_store(const char *where, uint64_t at)
{
    for (size_t i = 0; i < ACCESSES; i++)
        if (accesses[i].kind != LOADS && !access_at(&accesses[i], at))
            fail("%s at %#llx, %s", accesses[i].what, (unsigned long long)at, where);
}

/* An access of which one half lies in a page that may be accessed does nothing there. */
static void expect_whole(unsigned char *page)
{
    for (size_t i = 0; i < ACCESSES; i++) {
        const struct access *access = &accesses[i];

        if (access->bytes == 1)
            continue;
        fill(page, FERRY_PAGE_BYTES, i);
        if (!access_at(access, (uintptr_t)page + FERRY_PAGE_BYTES - access->bytes / 2))
            fail("%s over the end of a page", access->what);
        if (access->kind != STORES_IN_PARTS)
            expect_pattern(page, FERRY_PAGE_BYTES, i);
    }
}

static void around_the_window(const struct ferry_control_info *info)
{
    const uint64_t end = info->window_base + info->window_bytes;
    unsigned char *two = ferry_alloc_pages(2);

    if (!two)
        fail("no pages");
    expect_ok("free", ferry_free(two + FERRY_PAGE_BYTES, FERRY_PAGE_BYTES));
    expect_whole(two);
    expect_none("a page that it gave back", (uintptr_t)two + FERRY_PAGE_BYTES);
    expect_none("the last page", info->window_base + info->small_bytes - 64);
    expect_none("an extent of others", end - FERRY_EXTENT_BYTES);
    expect_none("the end of the window", end - 128);
    expect_none("before the window", info->window_base - 128);
    expect_none("behind the window", end);
}

static void in_the_system_area(const struct ferry_control *control)
{
    const uint64_t tables = (uintptr_t)control + sizeof *control;

    for (uint64_t page = 0; page < 4; page++) /* segments, interrupts, stubs of exceptions */
        if (page != 3)
            expect_none("the VMM's tables", tables + page * FERRY_PAGE_BYTES);
    expect_none("state of processors", tables + 4 * FERRY_PAGE_BYTES);
    expect_none("tables of pages", FERRY_KERNEL_BASE + FERRY_KERNEL_BYTES);
    expect_none("the end of the system area", FERRY_SYSTEM_BASE + (6ull << 20));
    expect_no_store("identity", (uintptr_t)&control->info);
    expect_no_store("the VMM's indexes", (uintptr_t)&control->vmm);
    expect_no_store("status", (uintptr_t)control->out_status);
    expect_no_store("messages", (uintptr_t)control->in);
    expect_no_store("receive buffers", control->info.receive_base);
    expect_no_store("the stub of calls", tables + 3 * FERRY_PAGE_BYTES);
    expect_no_store("clocks", FERRY_CLOCK_ADDR);
    expect_no_store("the vDSO", FERRY_VDSO_ADDR);
}

static void elsewhere(void)
{
    static const uint64_t places[] = {8,
                                      FERRY_PROGRAM_LOW - 16,
                                      FERRY_PROGRAM_HIGH,
                                      FERRY_SYSTEM_BASE - 256,
                                      FERRY_FILES_BASE,
                                      FERRY_DIRECT_BASE,
                                      FERRY_PROGRAM_FAR_LOW,
                                      FERRY_PROGRAM_FAR_HIGH,
                                      0xfee00000ull << 8,
                                      1ull << 46,
                                      (1ull << 47) - 1024,
                                      1ull << 47,
                                      0xffff800000000000ull,
                                      0xfffffffffffffc00ull};
    void *closed = mmap(NULL, 2 * FERRY_PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        expect_none("nowhere", places[i]);
    expect_none("memory without rights", (uintptr_t)closed);
    expect_none("where an interrupt controller would be", 0xfee00000);
    expect_none("where a PCI device would be", 0xe0000000);
}

int main(void)
{
    const struct ferry_control *control = ferry_control();

    if (!control)
        fail("not in a Ferry VM");
    try_prepare();
    around_the_window(&control->info);
    in_the_system_area(control);
    elsewhere();
    return 0;
}
