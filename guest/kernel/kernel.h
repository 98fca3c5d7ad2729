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

/* Copies the pieces one after the other to a place of the VMM's. */
static inline void copy_in(uint64_t to, const struct piece *pieces, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        copy(to, pieces[i].addr, pieces[i].bytes);
        to += pieces[i].bytes;
    }
}

/* One CPU at a time copies to what *at is the word of, so that what one writes is not overwritten by
 * another one. *word: the word as it was loaded, and then with the claim. */
static inline bool claim(const struct ferry_kernel_cpu *cpu, uint64_t *at, uint64_t *word)
{
    uint64_t number =
        (cpu->self - (uint64_t)&kernel_shown - 2 * FERRY_PAGE_BYTES) / FERRY_KERNEL_CPU_BYTES;
    uint64_t claimed = *word | (number + 1) << FERRY_KERNEL_OWNER_SHIFT;

    if (!ferry_kernel_generation(*word) || ferry_kernel_owner(*word) ||
        !__atomic_compare_exchange_n(at, word, claimed, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    *word = claimed;
    return true;
}

/* Ends the claim when it takes effect. */
static inline void commit_written(struct ferry_kernel_cpu *cpu, uint64_t *at, uint64_t word,
                                  uint64_t bytes)
{
    cpu->result = bytes;
    commit(cpu, at, word, (word & ~(FERRY_KERNEL_OWNER_MASK << FERRY_KERNEL_OWNER_SHIFT)) + bytes);
}

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

/* The same for a write of so many bytes in these pieces. */
bool rooms_write(struct ferry_kernel_cpu *cpu, const struct piece *pieces, uint64_t count,
                 uint64_t total);

/* The same for questions about the descriptor of which the VMM has just told. */
bool told_stat(struct ferry_kernel_cpu *cpu, uint64_t to);
bool told_ioctl(struct ferry_kernel_cpu *cpu);
bool told_lseek(struct ferry_kernel_cpu *cpu);
bool told_read(struct ferry_kernel_cpu *cpu);
/* The program may have learned by a stream, or by another file, what happened since. */
void told_forget(void);

#endif
