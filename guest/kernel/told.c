/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the VMM has just found out about a descriptor, for the questions that follow its opening or a
 * read. An answer is as old as the last exit, so it counts only for a moment, and no longer when the
 * program has used a stream or read another file, by which it may have learned that this one was changed since.
 */
#include "kernel.h"

enum { REQUEST_MODES = 0x5401, FROM_HERE = 1 }; /* TCGETS, by which isatty asks; SEEK_CUR */
#define ERROR_NO_TERMINAL 25

static uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* *word: as for files. */
static bool look(uint64_t fd, uint64_t *word)
{
    const struct ferry_kernel_told *told = &kernel_shown.told;

    *word = __atomic_load_n(&kernel_words.told, __ATOMIC_ACQUIRE);
    return ferry_kernel_generation(*word) &&
           (uint32_t)fd == __atomic_load_n(&told->fd, __ATOMIC_RELAXED) &&
           ticks() - __atomic_load_n(&told->ticks, __ATOMIC_RELAXED) <
               __atomic_load_n(&told->ticks_most, __ATOMIC_RELAXED);
}

static bool answer(struct ferry_kernel_cpu *cpu, uint64_t word, uint64_t result)
{
    cpu->result = result;
    commit(cpu, &kernel_words.told, word, word);
    return true;
}

bool told_stat(struct ferry_kernel_cpu *cpu, uint64_t to)
{
    uint64_t word;

    if (!look(cpu->rdi, &word) || !is_programs(to, FERRY_KERNEL_STAT_BYTES))
        return false;
    copy(to, (uint64_t)kernel_shown.told.stat, FERRY_KERNEL_STAT_BYTES);
    return answer(cpu, word, 0);
}

bool told_ioctl(struct ferry_kernel_cpu *cpu)
{
    uint64_t word;

    return (uint32_t)cpu->rsi == REQUEST_MODES && look(cpu->rdi, &word) &&
           answer(cpu, word, (uint64_t)-ERROR_NO_TERMINAL);
}

bool told_lseek(struct ferry_kernel_cpu *cpu)
{
    uint64_t word;

    return !cpu->rsi && (uint32_t)cpu->rdx == FROM_HERE && look(cpu->rdi, &word) &&
           __atomic_load_n(&kernel_shown.told.has_position, __ATOMIC_RELAXED) &&
           answer(cpu, word, __atomic_load_n(&kernel_shown.told.position, __ATOMIC_RELAXED));
}

bool told_read(struct ferry_kernel_cpu *cpu)
{
    uint64_t word;

    return cpu->rdx && is_programs(cpu->rsi, cpu->rdx) && look(cpu->rdi, &word) &&
           __atomic_load_n(&kernel_shown.told.at_end, __ATOMIC_RELAXED) && answer(cpu, word, 0);
}

void told_forget(void)
{
    __atomic_store_n(&kernel_words.told, 0, __ATOMIC_SEQ_CST);
}
