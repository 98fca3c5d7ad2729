/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of host/program/instruction.c: real encodings, one row each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "program/instruction.h"

#define RAX     0x1111111100001000ull
#define RBX     0x2222222200002080ull
#define RCX     0x300ull
#define RDX     0xffffffffffffffc0ull /* -64 */
#define RSI     0x5555555500005000ull
#define RDI     0x6666666600006000ull
#define RSP     0x7777777700007000ull
#define RBP     0x8888888800008000ull
#define RIP     0x401000ull
#define FS_BASE 0x7000000ull
#define GS_BASE 0x9000000ull

/* Every register has its own value, so that a mixed-up one shows. */
static const struct kvm_regs regs = {
    .rax = RAX,
    .rbx = RBX,
    .rcx = RCX,
    .rdx = RDX,
    .rsi = RSI,
    .rdi = RDI,
    .rsp = RSP,
    .rbp = RBP,
    .r8 = 0x808000,
    .r9 = 0x909000,
    .r10 = 0xa0a000,
    .r11 = 0xb0b000,
    .r12 = 0xc0c000,
    .r13 = 0xd0d000,
    .r14 = 0xe0e000,
    .r15 = 0xf0f000,
    .rip = RIP,
    .rflags = 0x2,
};

struct row {
    const char *text;
    uint8_t code[15];
    uint8_t length;
    size_t count;
    struct instruction_access want[2];
};

#define BYTES(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})
#define READ(addr_, bytes_)                                \
    {                                                      \
        .addr = (addr_), .bytes = (bytes_), .write = false \
    }
#define WRITE(addr_, bytes_)                              \
    {                                                     \
        .addr = (addr_), .bytes = (bytes_), .write = true \
    }

/* clang-format off */
static const struct row rows[] = {
    /* explicit operands */
    {"mov [rax],ecx", BYTES(0x89, 0x08), 1, {WRITE(RAX, 4)}},
    {"mov rcx,[rax]", BYTES(0x48, 0x8b, 0x08), 1, {READ(RAX, 8)}},
    {"mov byte [rbx+rcx*4+0x10],5", BYTES(0xc6, 0x44, 0x8b, 0x10, 0x05), 1,
     {WRITE(RBX + RCX * 4 + 0x10, 1)}},
    {"mov eax,[rbp-8]", BYTES(0x8b, 0x45, 0xf8), 1, {READ(RBP - 8, 4)}},
    {"mov ax,[r8]", BYTES(0x66, 0x41, 0x8b, 0x00), 1, {READ(0x808000, 2)}},
    {"mov eax,[r9+r10]", BYTES(0x43, 0x8b, 0x04, 0x11), 1, {READ(0x909000 + 0xa0a000, 4)}},
    {"mov eax,[r11+r12*8]", BYTES(0x43, 0x8b, 0x04, 0xe3), 1, {READ(0xb0b000 + 8 * 0xc0c000, 4)}},
    {"mov eax,[r13+r14]", BYTES(0x43, 0x8b, 0x44, 0x35, 0x00), 1, {READ(0xd0d000 + 0xe0e000, 4)}},
    {"mov [r15],eax", BYTES(0x41, 0x89, 0x07), 1, {WRITE(0xf0f000, 4)}},
    {"mov eax,[rsi+rdx]", BYTES(0x8b, 0x04, 0x16), 1, {READ(RSI - 64, 4)}},
    {"mov eax,[rdi]", BYTES(0x8b, 0x07), 1, {READ(RDI, 4)}},
    {"mov eax,[rsp]", BYTES(0x8b, 0x04, 0x24), 1, {READ(RSP, 4)}},
    {"add [rax],ecx", BYTES(0x01, 0x08), 1, {WRITE(RAX, 4)}},
    {"cmp [rax],ecx", BYTES(0x39, 0x08), 1, {READ(RAX, 4)}},
    {"inc qword [rax]", BYTES(0x48, 0xff, 0x00), 1, {WRITE(RAX, 8)}},
    {"lock cmpxchg16b [rax]", BYTES(0xf0, 0x48, 0x0f, 0xc7, 0x08), 1, {WRITE(RAX, 16)}},
    {"xchg [rax],rcx", BYTES(0x48, 0x87, 0x08), 1, {WRITE(RAX, 8)}},
    {"mov eax,[abs 0x1000]", BYTES(0xa1, 0, 0x10, 0, 0, 0, 0, 0, 0), 1, {READ(0x1000, 4)}},
    {"jmp [rax]", BYTES(0xff, 0x20), 1, {READ(RAX, 8)}},
    /* addresses made otherwise */
    {"mov rax,[rip+0x10]", BYTES(0x48, 0x8b, 0x05, 0x10, 0, 0, 0), 1, {READ(RIP + 7 + 0x10, 8)}},
    {"mov dword [rip-4],1", BYTES(0xc7, 0x05, 0xfc, 0xff, 0xff, 0xff, 1, 0, 0, 0), 1,
     {WRITE(RIP + 10 - 4, 4)}},
    {"mov rax,fs:[0x28]", BYTES(0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0), 1,
     {READ(FS_BASE + 0x28, 8)}},
    {"mov rax,fs:[-8]", BYTES(0x64, 0x48, 0x8b, 0x04, 0x25, 0xf8, 0xff, 0xff, 0xff), 1,
     {READ(FS_BASE - 8, 8)}},
    {"mov gs:[r8],eax", BYTES(0x65, 0x41, 0x89, 0x00), 1, {WRITE(GS_BASE + 0x808000, 4)}},
    {"mov eax,[eax]", BYTES(0x67, 0x8b, 0x00), 1, {READ(0x1000, 4)}},
    {"mov eax,[esi+edx]", BYTES(0x67, 0x8b, 0x04, 0x16), 1, {READ(0x5000 - 64, 4)}},
    {"mov eax,gs:[eax]", BYTES(0x65, 0x67, 0x8b, 0x00), 1, {READ(GS_BASE + 0x1000, 4)}},
    {"xlat", BYTES(0xd7), 1, {READ(RBX + 0x00, 1)}},
    {"bt [rbx],edx", BYTES(0x0f, 0xa3, 0x13), 1, {READ(RBX - 8, 4)}},
    {"bts [rax],rcx", BYTES(0x48, 0x0f, 0xab, 0x08), 1, {WRITE(RAX + RCX / 8, 8)}},
    {"btr [rax],cx", BYTES(0x66, 0x0f, 0xb3, 0x08), 1, {WRITE(RAX + RCX / 8, 2)}},
    {"bts dword [rax],5", BYTES(0x0f, 0xba, 0x28, 0x05), 1, {WRITE(RAX, 4)}},
    /* vectors */
    {"movups [rax],xmm0", BYTES(0x0f, 0x11, 0x00), 1, {WRITE(RAX, 16)}},
    {"vmovdqu ymm0,[rax]", BYTES(0xc5, 0xfe, 0x6f, 0x00), 1, {READ(RAX, 32)}},
    {"vmovups zmm0,[rax]", BYTES(0x62, 0xf1, 0x7c, 0x48, 0x10, 0x00), 1, {READ(RAX, 64)}},
    {"movss xmm0,[rax]", BYTES(0xf3, 0x0f, 0x10, 0x00), 1, {READ(RAX, 4)}},
    {"movntdq [rdi],xmm0", BYTES(0x66, 0x0f, 0xe7, 0x07), 1, {WRITE(RDI, 16)}},
    {"maskmovdqu xmm0,xmm1", BYTES(0x66, 0x0f, 0xf7, 0xc1), 1, {WRITE(RDI, 16)}},
    {"fxsave [rax]", BYTES(0x0f, 0xae, 0x00), 1, {WRITE(RAX, 512)}},
    {"vgatherdps (not computed)", BYTES(0xc4, 0xe2, 0x69, 0x92, 0x04, 0x08), 0, {{0}}},
    /* string instructions: the current pointer, with or without REP */
    {"movsb", BYTES(0xa4), 2, {WRITE(RDI, 1), READ(RSI, 1)}},
    {"rep movsq", BYTES(0xf3, 0x48, 0xa5), 2, {WRITE(RDI, 8), READ(RSI, 8)}},
    {"fs movsb", BYTES(0x64, 0xa4), 2, {WRITE(RDI, 1), READ(FS_BASE + RSI, 1)}},
    {"addr32 movsb", BYTES(0x67, 0xa4), 2, {WRITE(0x6000, 1), READ(0x5000, 1)}},
    {"rep stosb", BYTES(0xf3, 0xaa), 1, {WRITE(RDI, 1)}},
    {"stosq", BYTES(0x48, 0xab), 1, {WRITE(RDI, 8)}},
    {"repe cmpsb", BYTES(0xf3, 0xa6), 2, {READ(RSI, 1), READ(RDI, 1)}},
    {"repne scasb", BYTES(0xf2, 0xae), 1, {READ(RDI, 1)}},
    {"lodsd", BYTES(0xad), 1, {READ(RSI, 4)}},
    /* the stack */
    {"push rax", BYTES(0x50), 1, {WRITE(RSP - 8, 8)}},
    {"push ax", BYTES(0x66, 0x50), 1, {WRITE(RSP - 2, 2)}},
    {"push [rax]", BYTES(0xff, 0x30), 2, {READ(RAX, 8), WRITE(RSP - 8, 8)}},
    {"pushfq", BYTES(0x9c), 1, {WRITE(RSP - 8, 8)}},
    {"pop rax", BYTES(0x58), 1, {READ(RSP, 8)}},
    {"pop [rax]", BYTES(0x8f, 0x00), 2, {WRITE(RAX, 8), READ(RSP, 8)}},
    {"pop [rsp+8]", BYTES(0x8f, 0x44, 0x24, 0x08), 2, {WRITE(RSP + 16, 8), READ(RSP, 8)}},
    {"call rel32", BYTES(0xe8, 0, 0, 0, 0), 1, {WRITE(RSP - 8, 8)}},
    {"call [rax]", BYTES(0xff, 0x10), 2, {READ(RAX, 8), WRITE(RSP - 8, 8)}},
    {"ret", BYTES(0xc3), 1, {READ(RSP, 8)}},
    {"ret 8", BYTES(0xc2, 0x08, 0), 1, {READ(RSP, 8)}},
    {"leave", BYTES(0xc9), 1, {READ(RBP, 8)}},
    {"enter 16,0", BYTES(0xc8, 0x10, 0, 0), 1, {WRITE(RSP - 8, 8)}},
    /* no access */
    {"lea eax,[rsp]", BYTES(0x8d, 0x04, 0x24), 0, {{0}}},
    {"nop [rax+rax]", BYTES(0x0f, 0x1f, 0x44, 0, 0), 0, {{0}}},
    {"prefetcht0 [rax]", BYTES(0x0f, 0x18, 0x08), 0, {{0}}},
    {"prefetchw [rax]", BYTES(0x0f, 0x0d, 0x08), 0, {{0}}},
    {"endbr64", BYTES(0xf3, 0x0f, 0x1e, 0xfa), 0, {{0}}},
    {"mov eax,ecx", BYTES(0x89, 0xc8), 0, {{0}}},
    {"syscall", BYTES(0x0f, 0x05), 0, {{0}}},
    /* not an instruction */
    {"push es (not in long mode)", BYTES(0x06), 0, {{0}}},
    {"ud2", BYTES(0x0f, 0x0b), 0, {{0}}},
    {"cut short", BYTES(0x48, 0x8b, 0x05, 0x10), 0, {{0}}},
    {"empty", {0}, 0, 0, {{0}}},
};
/* clang-format on */

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct instruction_access out[INSTRUCTION_ACCESSES_MAX];
        size_t count = instruction_accesses(row->code, row->length, &regs, FS_BASE, GS_BASE, out);

        if (count != row->count)
            fail_msg("%s: %zu accesses, want %zu", row->text, count, row->count);
        for (size_t j = 0; j < count; j++)
            if (out[j].addr != row->want[j].addr || out[j].bytes != row->want[j].bytes ||
                out[j].write != row->want[j].write)
                fail_msg("%s: access %zu is %s of %u at %#llx", row->text, j,
                         out[j].write ? "write" : "read", out[j].bytes,
                         (unsigned long long)out[j].addr);
    }
}

static void test_xlat_adds_al(void **state)
{
    const uint8_t code[] = {0xd7};
    struct kvm_regs r = regs;
    struct instruction_access out[INSTRUCTION_ACCESSES_MAX];

    (void)state;
    r.rax = 0xabcdef;
    assert_int_equal(instruction_accesses(code, sizeof(code), &r, 0, 0, out), 1);
    assert_int_equal(out[0].addr, regs.rbx + 0xef);
}

/* Sixteen bytes: the limit of 15 makes it no instruction, whatever the caller has. */
static void test_too_long(void **state)
{
    uint8_t code[16];
    struct instruction_access out[INSTRUCTION_ACCESSES_MAX];

    (void)state;
    memset(code, 0x66, sizeof(code));
    code[14] = 0x89;
    code[15] = 0x08;
    assert_int_equal(instruction_accesses(code, sizeof(code), &regs, 0, 0, out), 0);
    assert_int_equal(instruction_accesses(code + 1, 15, &regs, 0, 0, out), 1);
    assert_int_equal(out[0].addr, regs.rax);
}

/* Arbitrary bytes never make it write beyond the array or hang. */
static void test_random_bytes(void **state)
{
    uint64_t x = 88172645463325252ull;
    size_t decoded = 0;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint8_t code[16];
        struct instruction_access out[INSTRUCTION_ACCESSES_MAX + 1];

        for (size_t j = 0; j < sizeof(code); j++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            code[j] = (uint8_t)x;
        }
        memset(&out[INSTRUCTION_ACCESSES_MAX], 0x5a, sizeof(out[0]));
        size_t count = instruction_accesses(code, x % 17, &regs, FS_BASE, GS_BASE, out);
        assert_in_range(count, 0, INSTRUCTION_ACCESSES_MAX);
        for (size_t j = 0; j < count; j++)
            assert_true(out[j].bytes > 0);
        assert_int_equal(out[INSTRUCTION_ACCESSES_MAX].bytes, 0x5a5a5a5a);
        decoded += count > 0;
    }
    assert_true(decoded > 10000);
}

static void test_refused(void **state)
{
    static const struct {
        uint8_t code[15], length;
        enum instruction_kind kind;
        uint8_t interrupt, bytes;
    } table[] = {
        {BYTES(0xcd, 0x80), INSTRUCTION_INTERRUPT, 0x80, 2},
        {BYTES(0xcd, 0xff, 0x90), INSTRUCTION_INTERRUPT, 0xff, 2},
        {BYTES(0x48, 0xcd, 0x80), INSTRUCTION_INTERRUPT, 0x80, 3},
        {BYTES(0x2e, 0x66, 0xcd, 0x21), INSTRUCTION_INTERRUPT, 0x21, 4},
        {BYTES(0xcd), INSTRUCTION_OTHER, 0, 0}, /* its end cannot be read */
        {BYTES(0xf0, 0xcd, 0x80), INSTRUCTION_OTHER, 0, 0},
        {BYTES(0xcc), INSTRUCTION_OTHER, 0, 0},
        {BYTES(0x0f, 0x0b), INSTRUCTION_OTHER, 0, 0},
        {BYTES(0xf4), INSTRUCTION_OTHER, 0, 0},
        {BYTES(0x0f, 0x01, 0xc8), INSTRUCTION_MONITOR, 0, 0},
        {BYTES(0x0f, 0x01, 0xc9), INSTRUCTION_MONITOR, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint8_t interrupt = 0, bytes = 0;

        assert_int_equal(instruction_refused(table[i].code, table[i].length, &interrupt, &bytes),
                         table[i].kind);
        assert_int_equal(interrupt, table[i].interrupt);
        assert_int_equal(bytes, table[i].bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_rows),
        cmocka_unit_test(test_xlat_adds_al), cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
