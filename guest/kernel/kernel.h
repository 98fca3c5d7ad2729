/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the guest kernel. */
#ifndef FERRY_GUEST_KERNEL_H
#define FERRY_GUEST_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include <ferry/abi/kernel.h>

extern const struct ferry_kernel_shown kernel_shown __attribute__((visibility("hidden")));
extern struct ferry_kernel_words kernel_words __attribute__((visibility("hidden")));

static inline void copy(uint64_t to, uint64_t from, uint64_t bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static inline bool is_programs(uint64_t addr, uint64_t bytes)
{
    return addr >= FERRY_PROGRAM_LOW && addr < FERRY_PROGRAM_HIGH &&
           bytes <= FERRY_PROGRAM_HIGH - addr;
}

static inline void commit(struct ferry_kernel_cpu *cpu, uint64_t *word, uint64_t from, uint64_t to)
{
    cpu->word = (uint64_t)word;
    cpu->from = from;
    cpu->to = to;
}

/* What a program gives in memory, of which so many are fetched at most. */
#define PIECES_MOST 8
struct piece {
    uint64_t addr, bytes;
};

/* Fetches the pieces of a call, and their length together, which is no more than fits a call of
 * Linux. False: they are no business of the guest kernel. */
bool fetch_pieces(const struct ferry_kernel_cpu *cpu, struct piece *pieces, uint64_t *total);

/* Serves the call whose registers are in *cpu, up to its commit. False: it is left to the VMM. */
bool kernel_serve(struct ferry_kernel_cpu *cpu);

/* The same for calls on files of the host. */
bool files_read(struct ferry_kernel_cpu *cpu);
bool files_readv(struct ferry_kernel_cpu *cpu);
bool files_pread(struct ferry_kernel_cpu *cpu);
bool files_preadv(struct ferry_kernel_cpu *cpu);
bool files_lseek(struct ferry_kernel_cpu *cpu);

/* The same for questions about the descriptor of which the VMM has just told. */
bool told_stat(struct ferry_kernel_cpu *cpu, uint64_t to);
bool told_ioctl(struct ferry_kernel_cpu *cpu);
bool told_lseek(struct ferry_kernel_cpu *cpu);
bool told_read(struct ferry_kernel_cpu *cpu);
/* The program may have learned by a stream, or by another file, what happened since. */
void told_forget(void);

#endif
