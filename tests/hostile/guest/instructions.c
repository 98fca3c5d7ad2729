/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * instructions: runs what a program must not, or what a processor may take amiss, one after the other:
 * privileged instructions, all interrupts, selectors, model-specific registers, all of CPUID, states that
 * cannot be restored, the trap and the alignment flag. Each must end by one of the signals that Linux
 * would send, or come back where nothing is wrong with it; then the program goes on.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "try.h"

/* How a try may end. The processor of the lab, which QEMU makes, is more lenient in places. */
enum { BACK = 1, SEGV = 2, ILL = 4, BUS = 8, FPE = 16, TRAP = 32 };

static const struct tried {
    const char *what, *code;
    unsigned ends;
} tries[] = {
    {"hlt", "f4", SEGV},
    {"cli", "fa", BACK | SEGV},
    {"sti", "fb", BACK | SEGV},
    {"clts", "0f06", SEGV},
    {"invd", "0f08", SEGV},
    {"wbinvd", "0f09", SEGV},
    {"invlpg", "0f013f", SEGV},
    {"lgdt", "0f0117", SEGV},
    {"lidt", "0f011f", SEGV},
    {"sgdt", "0f0107", BACK | SEGV},
    {"sidt", "0f010f", BACK | SEGV},
    {"smsw", "0f01e0", BACK | SEGV},
    {"lmsw", "0f01f0", SEGV},
    {"sldt", "0f00c0", BACK | SEGV},
    {"str", "0f00c8", BACK | SEGV},
    {"lldt", "0f00d0", SEGV},
    {"ltr", "0f00d8", SEGV},
    {"mov from cr0", "0f20c0", SEGV},
    {"mov from cr3", "0f20d8", SEGV},
    {"mov from cr8", "440f20c0", SEGV},
    {"mov to cr0", "0f22c0", SEGV},
    {"mov to cr3", "0f22d8", SEGV},
    {"mov to cr4", "0f22e0", SEGV},
    {"mov to cr8", "440f22c0", SEGV},
    {"mov to a register that is none", "0f22c8", SEGV | ILL},
    {"mov from dr0", "0f21c0", SEGV},
    {"mov to dr7", "0f23f8", SEGV},
    {"rdpmc", "0f33", SEGV},
    {"rdtsc", "0f31", BACK},
    {"rdtscp", "0f01f9", BACK | ILL},
    {"swapgs", "0f01f8", SEGV},
    {"sysret", "480f07", SEGV},
    {"sysexit", "0f35", SEGV | ILL},
    {"monitor", "0f01c8", ILL},
    {"mwait", "0f01c9", ILL},
    {"xgetbv", "31c90f01d0", BACK | ILL},
    {"xgetbv of nothing", "83c9ff0f01d0", SEGV | ILL},
    {"xsetbv", "31c90f01d1", SEGV | ILL},
    {"clac", "0f01ca", ILL},
    {"encls", "0f01cf", SEGV | ILL},
    {"enclu", "0f01d7", SEGV | ILL},
    {"vmcall", "0f01c1", ILL | SEGV | BACK},
    {"vmmcall", "0f01d9", ILL | SEGV | BACK},
    {"vmlaunch", "0f01c2", SEGV | ILL},
    {"vmrun", "0f01d8", SEGV | ILL},
    {"vmload", "0f01da", SEGV | ILL},
    {"clgi", "0f01dd", SEGV | ILL},
    {"skinit", "0f01de", SEGV | ILL},
    {"invlpga", "0f01df", SEGV | ILL},
    {"vmptrld", "0fc737", SEGV | ILL},
    {"vmxon", "f30fc737", SEGV | ILL},
    {"invept", "660f388037", SEGV | ILL},
    {"invpcid", "660f388237", SEGV | ILL},
    {"wrpkru", "31c931d20f01ef", ILL | BACK},
    {"rsm", "0faa", ILL | SEGV},
    {"ud0", "0fffc0", ILL},
    {"ud1", "0fb9c0", ILL},
    {"ud2", "0f0b", ILL},
    {"push of a segment", "06", ILL},
    {"icebp", "f1", TRAP | ILL},
    {"into", "ce", ILL},
    {"a lock of nothing", "f090", ILL},
    {"sixteen bytes", "6666666666666666666666666666666690", SEGV},
    {"rdfsbase", "f3480faec0", ILL | BACK},
    {"wrgsbase", "f3480faed8", ILL | BACK},
    {"xsaves", "480fc72f", SEGV | ILL},
    {"xrstors", "480fc71f", SEGV | ILL},
    /* returns and jumps to other rights */
    {"iret to nothing", "6a006a009c6a006a0048cf", SEGV},
    {"iret to CPL0", "6a10549c6a085048cf", SEGV},
    {"retf to CPL0", "6a085048cb", SEGV},
    {"a far jump", "48ff2f", SEGV},
    {"a far call", "48ff1f", SEGV},
    {"a jump to nowhere", "48b80000000000000080ffe0", SEGV},
    /* arithmetic */
    {"a division by zero", "31c9f7f1", FPE},
    {"a division that overflows", "b8000000809983c9fff7f9", FPE},
    {"a floating-point division", "d92fd9e8d9eedef99b", FPE},
    {"a division of vectors", "0fae170f57c0f30f5ec0", FPE | BACK},
    {"bits of MXCSR that are none", "c707ffffffff0fae17", SEGV | ILL | BACK},
    /* addresses */
    {"a stack that cannot be", "48bc000000000000008050", BUS | SEGV},
    {"a frame that cannot be", "48bd00000000000000808b4500", BUS | SEGV},
    {"a load from nowhere", "48b800000000000000808b00", SEGV},
    {"the trap flag", "9c58480d00010000509d90", TRAP},
    {"the trap flag at a call", "9c58480d0001000050b8270000009d0f05", TRAP},
    {"the alignment flag", "9c58480d00000400509d8b4701", BUS | BACK},
    {"the nested flag", "9c58480d00400000509d90", BACK},
    {"all flags", "6aff9d90", TRAP},
    /* states */
    {"fxsave, not aligned", "0fae4701", SEGV | BACK},
    {"fxrstor, not aligned", "0fae4f01", SEGV | BACK},
    {"xsave, not aligned", "83c8ff83caff0fae6701", SEGV},
    {"xrstor, not aligned", "83c8ff83caff0fae6f01", SEGV},
    {"xsave to nowhere", "83c8ff83caff0fae26", SEGV},
    {"xrstor from nowhere", "83c8ff83caff0fae2e", SEGV},
    {"xrstor of parts that are none", "c78700020000ffffffff83c8ff83caff0fae2f", SEGV},
    {"xrstor of a form that is none", "c787080200000100000083c8ff83caff0fae2f", SEGV},
    {"xrstor of a header that is none", "c787100200000100000083c8ff83caff0fae2f", SEGV},
};

static unsigned char *area;
static volatile unsigned steps;

static void on_step(int signo)
{
    (void)signo;
    steps++;
}

static int run(uint64_t rax, uint64_t rcx, uint64_t rdx)
{
    memset(area, 0, FERRY_PAGE_BYTES);
    return try_run((struct try_registers){
        .rax = rax, .rcx = rcx, .rdx = rdx, .rdi = (uintptr_t)area, .rsi = 8});
}

static unsigned bit_of(int signo)
{
    switch (signo) {
    case 0:
        return BACK;
    case SIGSEGV:
        return SEGV;
    case SIGILL:
        return ILL;
    case SIGBUS:
        return BUS;
    case SIGFPE:
        return FPE;
    case SIGTRAP:
        return TRAP;
    default:
        return 0;
    }
}

static void expect_end(const char *what, uint64_t number, int signo, unsigned ends)
{
    if (!(bit_of(signo) & ends))
        fail("%s (%#llx): signal %d", what, (unsigned long long)number, signo);
}

static void all_interrupts(void)
{
    const unsigned call = 0x80;

    for (unsigned i = 0; i < 256; i++) {
        unsigned ends = i == 3 ? TRAP : i == call ? BACK : SEGV;
        char hex[8];

        snprintf(hex, sizeof hex, "cd%02x", i);
        try_put(hex);
        expect_end("int", i, run(20, 0, 0), ends | BACK);
    }
}

static void registers_of_the_model(void)
{
    static const uint32_t from[] = {
        0,          0x10,       0x1b,       0x3a,       0x48,       0xc0,      0x174,
        0x186,      0x1a0,      0x1d9,      0x200,      0x277,      0x2ff,     0x38d,
        0x480,      0x600,      0x6a0,      0x6e0,      0x800,      0xd90,     0x4b564d00,
        0x40000000, 0xc0000080, 0xc0000100, 0xc0010000, 0xc0010110, 0xffffffff};

    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        for (uint32_t number = from[i]; number - from[i] < 6; number++) {
            try_put("0f32");
            expect_end("rdmsr", number, run(0, number, 0), SEGV);
            try_put("0f30");
            expect_end("wrmsr", number, run(UINT32_MAX, number, UINT32_MAX), SEGV);
        }
}

/* No leaf is refused, and none tells addresses or bytes of anybody, as KVM makes them of a table. */
static void all_leaves(void)
{
    static const uint32_t from[] = {0,          0x20000000, 0x40000000, 0x40000100,
                                    0x80000000, 0x8fffffff, 0xc0000000};

    try_put("0fa2");
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        for (uint32_t leaf = 0; leaf < 0x28; leaf++)
            for (uint32_t part = 0; part < 4; part++)
                expect_end("cpuid", from[i] + leaf, run(from[i] + leaf, part, 0), BACK);
}

/* Into each segment register but FS, by which the C library lives. */
static void all_selectors(void)
{
    static const char *const loads[] = {"8ed8",   "8ec0",   "8ee8",   "8ed0",
                                        "0f00e0", "0f00e8", "0f02c8", "0f03c8"};

    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++)
        for (uint64_t selector = 0; selector < 0x10000; selector += selector < 0x48 ? 1 : 0x1ff7) {
            try_put(loads[i]);
            expect_end(loads[i], selector, run(selector, 0, 0), BACK | SEGV | BUS);
        }
    try_put("b8230000008ed88ec08ed031c08ee8");
    expect_end("the right selectors", 0, run(0, 0, 0), BACK);
}

/* Through a part of the C library and several calls. */
static void single_steps(void)
{
    char text[64];

    signal(SIGTRAP, on_step);
    __asm__ volatile("pushf; orl $0x100, (%%rsp); popf" : : : "cc", "memory");
    snprintf(text, sizeof text, "%d %d", getppid(), (int)syscall(SYS_getpid));
    write(-1, text, 1);
    __asm__ volatile("pushf; andl $~0x100, (%%rsp); popf" : : : "cc", "memory");
    if (steps < 100)
        fail("%u steps", steps);
}

int main(void)
{
    static _Alignas(64) unsigned char page[FERRY_PAGE_BYTES];

    area = page;
    try_prepare();
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        try_put(tries[i].code);
        expect_end(tries[i].what, i, run(0, 0, 0), tries[i].ends);
    }
    all_interrupts();
    registers_of_the_model();
    all_leaves();
    all_selectors();
    if (syscall(SYS_modify_ldt, 1, area, 16) >= 0 || syscall(SYS_iopl, 3) >= 0 ||
        syscall(SYS_ioperm, 0, 9, 1) >= 0)
        fail("a table of descriptors, or ports, for the asking");
    single_steps();
    return getpid() == syscall(SYS_gettid) ? 0 : 1;
}
