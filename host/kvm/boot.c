/* SPDX-License-Identifier: BSD-2-Clause */
/* The system area of a VM and the state its CPU starts in. */
#include "kvm/boot.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <ferry/abi/kernel.h>
#include <ferry/abi/layout.h>

/* Offsets in the system area, a page each after the control structure. */
#define AT_SEGMENTS   sizeof(struct ferry_control)
#define AT_IDT        (AT_SEGMENTS + FERRY_PAGE_BYTES)
#define AT_EXCEPTION  (AT_IDT + FERRY_PAGE_BYTES)
#define AT_SYSCALL    (AT_EXCEPTION + FERRY_PAGE_BYTES)
#define AT_CPUS       (AT_SYSCALL + FERRY_PAGE_BYTES)
#define AT_KERNEL     (FERRY_KERNEL_BASE - FERRY_SYSTEM_BASE)
#define AT_PAGETABLES (AT_KERNEL + FERRY_KERNEL_BYTES)

_Static_assert(AT_CPUS + FERRY_PAGE_BYTES <= AT_KERNEL, "kernel.h says where the guest kernel is");

/* What each CPU has of its own: its TSS, and above it the stack on which it puts the frame of an
 * exception. The blocks of the first CPUs lie at AT_CPUS. Those of further ones lie at the end of the
 * memory for page tables, since few programs have so many threads. */
#define CPU_BYTES     512
#define CPUS_A_PAGE   (FERRY_PAGE_BYTES / CPU_BYTES)
#define TABLE_PAGES   ((SYSTEM_TABLES_BYTES - AT_PAGETABLES) / FERRY_PAGE_BYTES)
#define TSS_BYTES     0x68
#define TSS_AT_STACK0 4
#define TSS_AT_IST1   36

/* Selectors, in the order that syscall and sysret ask for. */
enum { KERNEL_CODE = 0x08, KERNEL_DATA = 0x10, USER_DATA = 0x23, USER_CODE = 0x2b, TASK = 0x30 };

#define STUB_BYTES 4
#define AT_PROBE   (AT_SYSCALL + STUB_BYTES)

struct idt_entry {
    uint16_t offset_low, selector;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, zero;
};

/* Where the block of that CPU is in the system area. */
static uint64_t at_cpu(uint32_t cpu)
{
    uint64_t page = cpu / CPUS_A_PAGE;
    uint64_t at = page ? SYSTEM_TABLES_BYTES - page * FERRY_PAGE_BYTES : AT_CPUS;

    return at + cpu % CPUS_A_PAGE * CPU_BYTES;
}

static void write_segments(char *host)
{
    const uint64_t tss = FERRY_SYSTEM_BASE + AT_CPUS;
    uint64_t gdt[8] = {
        [1] = 0x00af9b000000ffff, /* code, CPL0, 64-bit */
        [2] = 0x00cf93000000ffff, /* data, CPL0 */
        [4] = 0x00cff3000000ffff, /* data, CPL3 */
        [5] = 0x00affb000000ffff, /* code, CPL3, 64-bit */
        [6] = 0x67 | (tss & 0xffffff) << 16 | 0x8bull << 40 | (tss >> 24 & 0xff) << 56,
        [7] = tss >> 32,
    };

    memcpy(host + AT_SEGMENTS, gdt, sizeof gdt);
}

/* Each exception stub only makes an exit: the VMM tells the vector from RIP. CPL0 code may be
 * emulated and slow, so a stub has only two instructions. */
static void write_exceptions(char *host)
{
    static const uint8_t stub[STUB_BYTES] = {0xe6, FERRY_PORT_EXCEPTION, 0x0f, 0x0b};
    struct idt_entry *idt = (struct idt_entry *)(void *)(host + AT_IDT);

    for (unsigned i = 0; i < 32; i++) {
        uint64_t entry = FERRY_SYSTEM_BASE + AT_EXCEPTION + i * STUB_BYTES;
        memcpy(host + AT_EXCEPTION + i * STUB_BYTES, stub, STUB_BYTES);
        idt[i] = (struct idt_entry){.offset_low = (uint16_t)entry,
                                    .selector = KERNEL_CODE,
                                    /* Also from CPL0, where the guest kernel may be. */
                                    .stack = 1,
                                    /* int3 and into come from CPL3 */
                                    .type = i == 3 || i == 4 ? 0xee : 0x8e,
                                    .offset_middle = (uint16_t)(entry >> 16),
                                    .offset_high = (uint32_t)(entry >> 32)};
    }
}

/* `syscall` arrives here at CPL0, or still at CPL3 where the CPU's virtualization
 * keeps it there; so the page is executable for both. */
static void write_syscall(char *host)
{
    static const uint8_t stub[STUB_BYTES] = {0xe6, FERRY_PORT_SYSCALL, 0x0f, 0x0b};
    static const uint8_t probe[BOOT_SYSCALL_BYTES] = {0x0f, 0x05};

    memcpy(host + AT_SYSCALL, stub, sizeof stub);
    memcpy(host + AT_PROBE, probe, sizeof probe);
}

static int map_pages(struct guest_tables *tables, uint64_t at, uint64_t bytes, unsigned flags)
{
    return guest_tables_map(tables, guest_addr(FERRY_SYSTEM_BASE + at), bytes, flags);
}

static int map_system(struct guest_tables *tables, uint64_t window_bytes)
{
    const uint64_t control = sizeof(struct ferry_control);
    const uint64_t guest = offsetof(struct ferry_control, guest);
    const uint64_t in = offsetof(struct ferry_control, in);
    int result = 0;

    /* Rights only grow: first read-only for all pages, then writing for the guest's pages. The
     * first page, which describes the peers, is mapped when the guest looks at it (identity.h). */
    result |= map_pages(tables, sizeof(struct ferry_control_info),
                        control - sizeof(struct ferry_control_info), GUEST_USER);
    result |= map_pages(tables, guest, in - guest, GUEST_USER | GUEST_WRITE);
    /* Not even CPL0 writes its descriptors: all that the CPU would note in them is set. */
    result |= map_pages(tables, AT_SEGMENTS, 2 * FERRY_PAGE_BYTES, 0);
    result |= map_pages(tables, AT_EXCEPTION, FERRY_PAGE_BYTES, GUEST_EXEC);
    result |= map_pages(tables, AT_SYSCALL, FERRY_PAGE_BYTES, GUEST_USER | GUEST_EXEC);
    result |= map_pages(tables, AT_CPUS, FERRY_PAGE_BYTES, GUEST_WRITE);
    result |= guest_tables_map(tables, guest_addr(SYSTEM_RECEIVE), SYSTEM_RECEIVE_BYTES,
                               GUEST_USER | GUEST_LARGE);
    result |= guest_tables_map(tables, guest_addr(FERRY_WINDOW_BASE), window_bytes,
                               GUEST_USER | GUEST_WRITE | GUEST_LARGE);
    return result ? -ENOMEM : 0;
}

/* Pages that CPUs have at the end of the memory for page tables. They are set apart at once: a
 * program that maps much would take them for its tables, and could not have its threads. */
static uint32_t further_pages(uint32_t cpus)
{
    return (cpus - 1) / CPUS_A_PAGE;
}

int boot_system(void *host, uint64_t window_bytes, uint32_t cpus, struct guest_tables *tables)
{
    uint64_t further = (uint64_t)further_pages(cpus) * FERRY_PAGE_BYTES;

    write_segments(host);
    write_exceptions(host);
    write_syscall(host);
    guest_tables_init(tables, (char *)host + AT_PAGETABLES,
                      guest_addr(FERRY_SYSTEM_BASE + AT_PAGETABLES),
                      TABLE_PAGES - further_pages(cpus));
    int result = map_system(tables, window_bytes);
    if (result == 0 && further)
        result = map_pages(tables, SYSTEM_TABLES_BYTES - further, further, GUEST_WRITE);
    if (result == 0)
        boot_cpu(host, 0);
    return result;
}

void boot_cpu(void *host, uint32_t cpu)
{
    uint64_t at = at_cpu(cpu), stack = FERRY_SYSTEM_BASE + at + CPU_BYTES;

    memcpy((char *)host + at + TSS_AT_STACK0, &stack, sizeof stack);
    memcpy((char *)host + at + TSS_AT_IST1, &stack, sizeof stack);
}

int boot_show_info(struct guest_tables *tables)
{
    return map_pages(tables, 0, sizeof(struct ferry_control_info), GUEST_USER);
}

void boot_user_segments(struct kvm_sregs *sregs)
{
    sregs->cs = (struct kvm_segment){.selector = USER_CODE,
                                     .type = 11,
                                     .dpl = 3,
                                     .s = 1,
                                     .present = 1,
                                     .l = 1,
                                     .g = 1,
                                     .limit = 0xffffffff};
    sregs->ss = (struct kvm_segment){.selector = USER_DATA,
                                     .type = 3,
                                     .dpl = 3,
                                     .s = 1,
                                     .present = 1,
                                     .db = 1,
                                     .g = 1,
                                     .limit = 0xffffffff};
}

void boot_sregs(struct kvm_sregs *sregs, uint32_t cpu)
{
    boot_user_segments(sregs);
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss;
    sregs->tr = (struct kvm_segment){.selector = TASK,
                                     .base = FERRY_SYSTEM_BASE + at_cpu(cpu),
                                     .limit = TSS_BYTES - 1,
                                     .type = 11,
                                     .present = 1};
    sregs->ldt = (struct kvm_segment){.type = 2, .unusable = 1}; /* no selector points into one */
    sregs->gdt.base = FERRY_SYSTEM_BASE + AT_SEGMENTS;
    sregs->gdt.limit = 8 * 8 - 1;
    sregs->idt.base = FERRY_SYSTEM_BASE + AT_IDT;
    sregs->idt.limit = 32 * sizeof(struct idt_entry) - 1;
    sregs->cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
    sregs->cr3 = FERRY_SYSTEM_BASE + AT_PAGETABLES;
    sregs->cr4 = 0x40620; /* OSXSAVE OSXMMEXCPT OSFXSR PAE */
    sregs->efer = 0xd01;  /* NXE LMA LME SCE */
}

uint64_t boot_user_flags(uint64_t flags)
{
    const uint64_t chosen = 0x240dd5; /* ID AC OF DF TF SF ZF AF PF CF */

    return (flags & chosen) | 0x3202; /* IOPL 3, IF */
}

void boot_regs(struct kvm_regs *regs, struct guest_addr entry, struct guest_addr stack)
{
    *regs = (struct kvm_regs){.rip = entry.value, .rsp = stack.value, .rflags = boot_user_flags(0)};
}

struct guest_addr boot_syscall_stub(void)
{
    return guest_addr(FERRY_SYSTEM_BASE + AT_SYSCALL);
}

struct guest_addr boot_syscall_probe(void)
{
    return guest_addr(FERRY_SYSTEM_BASE + AT_PROBE);
}

struct kvm_msr_entry boot_entry_msr(struct guest_addr entry)
{
    return (struct kvm_msr_entry){.index = 0xc0000082, .data = entry.value};
}

void boot_msrs(struct kvm_msr_entry msrs[BOOT_MSRS])
{
    const uint64_t star = (uint64_t)(0x18 | 3) << 48 | (uint64_t)KERNEL_CODE << 32;

    msrs[0] = (struct kvm_msr_entry){.index = 0xc0000081, .data = star};
    msrs[1] = boot_entry_msr(boot_syscall_stub());
    msrs[2] = (struct kvm_msr_entry){.index = 0xc0000084, .data = 0x44700}; /* AC NT DF IF TF */
}

int boot_vector(struct guest_addr rip)
{
    uint64_t at = rip.value - (FERRY_SYSTEM_BASE + AT_EXCEPTION);

    return at < 32 * STUB_BYTES ? (int)(at / STUB_BYTES) : -1;
}

bool boot_in_stub(uint64_t rip)
{
    uint64_t at = rip - FERRY_SYSTEM_BASE;

    return at >= AT_EXCEPTION && at < AT_SYSCALL + FERRY_PAGE_BYTES;
}

bool boot_exception_frame(const void *host, uint32_t cpu, struct guest_addr rsp, int vector,
                          struct boot_frame *frame)
{
    /* Vectors that push an error code: 8, 10 to 14, 17, 21. */
    bool with_error = 0x00227d00u >> vector & 1;
    uint64_t words[6], bytes = (with_error ? 6 : 5) * sizeof(uint64_t);
    uint64_t low = FERRY_SYSTEM_BASE + at_cpu(cpu) + TSS_BYTES;
    uint64_t top = FERRY_SYSTEM_BASE + at_cpu(cpu) + CPU_BYTES;

    if (rsp.value < low || rsp.value > top - bytes)
        return false;
    memcpy(words + !with_error, (const char *)host + (rsp.value - FERRY_SYSTEM_BASE), bytes);
    *frame = (struct boot_frame){.error = with_error ? words[0] : 0,
                                 .rip = words[1],
                                 .at_cpl0 = (words[2] & 3) == 0,
                                 .rflags = words[3],
                                 .rsp = words[4]};
    return true;
}
