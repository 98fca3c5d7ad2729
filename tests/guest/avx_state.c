/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * avx_state [SEED [ROUNDS]]: fills the vector registers and MXCSR, leaves the VM by
 * doorbell, call and system call many times, and checks that nothing changed.
 */
#include <sys/syscall.h>

#include "guest.h"

#define WIDTH 32 /* bytes of a YMM register */

static uint8_t before[16 * WIDTH], after[16 * WIDTH];

/* One asm statement, so that the compiler cannot use a register in between:
 * load all, `rounds` times three kinds of exit, store all. */
#define THROUGH(move, reg)                                                                   \
    __asm__ volatile(                                                                        \
        move " 0*32(%[from]), %%" reg "0\n" move " 1*32(%[from]), %%" reg "1\n" move         \
             " 2*32(%[from]), %%" reg "2\n" move " 3*32(%[from]), %%" reg "3\n" move         \
             " 4*32(%[from]), %%" reg "4\n" move " 5*32(%[from]), %%" reg "5\n" move         \
             " 6*32(%[from]), %%" reg "6\n" move " 7*32(%[from]), %%" reg "7\n" move         \
             " 8*32(%[from]), %%" reg "8\n" move " 9*32(%[from]), %%" reg "9\n" move         \
             " 10*32(%[from]), %%" reg "10\n" move " 11*32(%[from]), %%" reg "11\n" move     \
             " 12*32(%[from]), %%" reg "12\n" move " 13*32(%[from]), %%" reg "13\n" move     \
             " 14*32(%[from]), %%" reg "14\n" move " 15*32(%[from]), %%" reg "15\n"          \
             "1: outb %%al, %[doorbell]\n"                                                   \
             "mov %[wait], %%eax\n mov %[out], %%edi\n xor %%esi, %%esi\n"                   \
             "outb %%al, %[call]\n"                                                          \
             "mov %[getpid], %%eax\n syscall\n"                                              \
             "dec %[rounds]\n jnz 1b\n" move " %%" reg "0, 0*32(%[to])\n" move " %%" reg     \
             "1, 1*32(%[to])\n" move " %%" reg "2, 2*32(%[to])\n" move " %%" reg             \
             "3, 3*32(%[to])\n" move " %%" reg "4, 4*32(%[to])\n" move " %%" reg             \
             "5, 5*32(%[to])\n" move " %%" reg "6, 6*32(%[to])\n" move " %%" reg             \
             "7, 7*32(%[to])\n" move " %%" reg "8, 8*32(%[to])\n" move " %%" reg             \
             "9, 9*32(%[to])\n" move " %%" reg "10, 10*32(%[to])\n" move " %%" reg           \
             "11, 11*32(%[to])\n" move " %%" reg "12, 12*32(%[to])\n" move " %%" reg         \
             "13, 13*32(%[to])\n" move " %%" reg "14, 14*32(%[to])\n" move " %%" reg         \
             "15, 15*32(%[to])\n"                                                            \
        : [rounds] "+r"(rounds)                                                              \
        : [from] "r"(before), [to] "r"(after), [doorbell] "N"(FERRY_PORT_DOORBELL),          \
          [call] "N"(FERRY_PORT_CALL), [wait] "i"(1), [out] "i"(4), [getpid] "i"(SYS_getpid) \
        : "memory", "cc", "rax", "rcx", "rdx", "rdi", "rsi", "r11", "xmm0", "xmm1", "xmm2",  \
          "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
          "xmm13", "xmm14", "xmm15")

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t rounds = argc > 2 ? strtoull(argv[2], NULL, 0) : 1000;
    bool avx = __builtin_cpu_supports("avx");
    uint32_t mxcsr = 0x1f80 | (uint32_t)(seed % 4) << 13, mxcsr_after; /* a rounding mode */

    if (ferry_control() == NULL)
        fail("not in a Ferry VM");
    fill(before, sizeof(before), seed);
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    if (avx)
        THROUGH("vmovdqu", "ymm");
    else
        THROUGH("movdqu", "xmm");
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr_after));
    for (size_t i = 0; i < 16; i++)
        if (memcmp(before + i * WIDTH, after + i * WIDTH, avx ? WIDTH : WIDTH / 2) != 0)
            fail("register %s%zu changed", avx ? "ymm" : "xmm", i);
    if ((mxcsr_after & ~0x3fu) != mxcsr)
        fail("MXCSR is 0x%x, not 0x%x", mxcsr_after, mxcsr);
    printf("%s kept\n", avx ? "AVX" : "SSE");
    return 0;
}
