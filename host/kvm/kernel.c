/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest kernel: putting it into a VM, and what a CPU was doing that was stopped in it. */
#include "kvm/kernel.h"

#include <string.h>

#include "guest_kernel.h"

#define AT_SHOWN (FERRY_KERNEL_SHOWN - FERRY_SYSTEM_BASE)
#define AT_WORDS (FERRY_KERNEL_WORDS - FERRY_SYSTEM_BASE)
#define AT_CPUS  (FERRY_KERNEL_CPUS - FERRY_SYSTEM_BASE)

_Static_assert(sizeof guest_kernel_code <= FERRY_KERNEL_CODE_BYTES, "there is room for it");

static struct ferry_kernel_head head(void)
{
    struct ferry_kernel_head out;

    memcpy(&out, guest_kernel_code, sizeof out);
    return out;
}

int kernel_install(void *system, struct guest_tables *tables, bool at_cpl3)
{
    char *host = system;
    unsigned user = at_cpl3 ? GUEST_USER : 0;
    int result;

    memcpy(host + (FERRY_KERNEL_BASE - FERRY_SYSTEM_BASE), guest_kernel_code,
           sizeof guest_kernel_code);
    for (uint32_t i = 0; i < FERRY_KERNEL_CPUS_MAX; i++) {
        uint64_t self = kernel_gs(i).value;
        memcpy(host + AT_CPUS + i * FERRY_KERNEL_CPU_BYTES, &self, sizeof self);
    }
    result = guest_tables_map(tables, guest_addr(FERRY_KERNEL_BASE), FERRY_KERNEL_CODE_BYTES,
                              GUEST_USER | GUEST_EXEC);
    if (result == 0)
        result = guest_tables_map(tables, guest_addr(FERRY_KERNEL_SHOWN), FERRY_PAGE_BYTES, user);
    if (result == 0)
        result = guest_tables_map(tables, guest_addr(FERRY_KERNEL_WORDS),
                                  FERRY_KERNEL_BASE + FERRY_KERNEL_BYTES - FERRY_KERNEL_WORDS,
                                  user | GUEST_WRITE);
    return result;
}

struct guest_addr kernel_entry(bool at_cpl3)
{
    const struct ferry_kernel_head code = head();

    return guest_addr(FERRY_KERNEL_BASE + (at_cpl3 ? code.at_cpl3 : code.at_cpl0).entry);
}

struct guest_addr kernel_gs(uint32_t cpu)
{
    return guest_addr(FERRY_KERNEL_CPUS + cpu * FERRY_KERNEL_CPU_BYTES);
}

struct ferry_kernel_shown *kernel_shown(void *system)
{
    return (struct ferry_kernel_shown *)(void *)((char *)system + AT_SHOWN);
}

struct ferry_kernel_words *kernel_words(void *system)
{
    return (struct ferry_kernel_words *)(void *)((char *)system + AT_WORDS);
}

static enum kernel_place place_in(const struct ferry_kernel_entry *entry, uint64_t at,
                                  uint64_t rflags)
{
    const uint64_t zero_flag = 0x40;

    if (at >= entry->entry && at < entry->saved)
        return KERNEL_LIVE;
    if (at == entry->committed)
        return rflags & zero_flag ? KERNEL_DONE : KERNEL_SAVED;
    return at >= entry->done && at < entry->end ? KERNEL_DONE : KERNEL_OUTSIDE;
}

enum kernel_place kernel_place(uint64_t rip, uint64_t rflags)
{
    const struct ferry_kernel_head code = head();
    uint64_t at = rip - FERRY_KERNEL_BASE;
    enum kernel_place place;

    if (at >= FERRY_KERNEL_CODE_BYTES)
        return KERNEL_OUTSIDE;
    place = place_in(&code.at_cpl3, at, rflags);
    if (place == KERNEL_OUTSIDE)
        place = place_in(&code.at_cpl0, at, rflags);
    return place == KERNEL_OUTSIDE ? KERNEL_SAVED : place;
}

void kernel_registers(const void *system, uint32_t cpu, enum kernel_place place,
                      struct kvm_regs *regs)
{
    struct ferry_kernel_cpu saved;

    if (place == KERNEL_LIVE)
        return;
    memcpy(&saved, (const char *)system + AT_CPUS + cpu * FERRY_KERNEL_CPU_BYTES,
           offsetof(struct ferry_kernel_cpu, stack));
    *regs = (struct kvm_regs){.rax = place == KERNEL_DONE ? saved.result : saved.rax,
                              .rbx = saved.rbx,
                              .rcx = saved.rcx,
                              .rdx = saved.rdx,
                              .rsi = saved.rsi,
                              .rdi = saved.rdi,
                              .rsp = saved.rsp,
                              .rbp = saved.rbp,
                              .r8 = saved.r8,
                              .r9 = saved.r9,
                              .r10 = saved.r10,
                              .r11 = saved.r11,
                              .r12 = saved.r12,
                              .r13 = saved.r13,
                              .r14 = saved.r14,
                              .r15 = saved.r15,
                              .rip = regs->rip,
                              .rflags = regs->rflags};
}
