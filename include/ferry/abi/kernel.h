/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest kernel: a few pages of code in every VM that `syscall` enters, and the memory by which
 * it and the VMM talk. It serves reads and writes of the program's streams and of some files without
 * an exit, as far as the VMM has published input and room for output, and leaves for all else.
 *
 * Who writes what:
 *   code    the VMM, before the program runs; read-only
 *   shown   the VMM; read-only to the guest
 *   words   both, by atomic operations, each word with a generation of the VMM's
 *   CPUs    the guest: registers and stack of a CPU that is in the guest kernel
 *
 * Where `syscall` leaves the CPU at CPL3, the program could write all that the guest kernel writes.
 * So the VMM believes nothing of it: a position counts only within what was published and with the
 * generation of that, and registers only as far as a program may choose its own. Where `syscall`
 * arrives at CPL0, the program has no access to `shown`, `words` and CPUs, as the guest kernel runs
 * on them with all rights.
 *
 * A call takes effect by one compare-and-swap of a word, the commit; what was copied before may be
 * copied again. So a CPU that is stopped in the guest kernel has either not begun its call, and then
 * its registers are set to those before it, or has ended it, and goes on with the result.
 */
#ifndef FERRY_ABI_KERNEL_H
#define FERRY_ABI_KERNEL_H

#include "layout.h"

#define FERRY_KERNEL_CODE_BYTES 12288
#define FERRY_KERNEL_SHOWN      (FERRY_KERNEL_BASE + FERRY_KERNEL_CODE_BYTES)
#define FERRY_KERNEL_WORDS      (FERRY_KERNEL_SHOWN + 4096)
#define FERRY_KERNEL_CPUS       (FERRY_KERNEL_WORDS + 4096)

/* Those of the first CPUs that may run in it; a program with more threads has exits on the rest. */
#define FERRY_KERNEL_CPUS_MAX  64
#define FERRY_KERNEL_CPU_BYTES 1024
#define FERRY_KERNEL_BYTES \
    (FERRY_KERNEL_CODE_BYTES + 2 * 4096 + FERRY_KERNEL_CPUS_MAX * FERRY_KERNEL_CPU_BYTES)

/* Offsets in struct ferry_kernel_cpu that entry.S uses. GS has the address of the struct. */
#define FERRY_KERNEL_SELF   0
#define FERRY_KERNEL_RAX    8
#define FERRY_KERNEL_RBX    16
#define FERRY_KERNEL_RCX    24
#define FERRY_KERNEL_RDX    32
#define FERRY_KERNEL_RSI    40
#define FERRY_KERNEL_RDI    48
#define FERRY_KERNEL_RBP    56
#define FERRY_KERNEL_RSP    64
#define FERRY_KERNEL_R8     72
#define FERRY_KERNEL_R9     80
#define FERRY_KERNEL_R10    88
#define FERRY_KERNEL_R11    96
#define FERRY_KERNEL_R12    104
#define FERRY_KERNEL_R13    112
#define FERRY_KERNEL_R14    120
#define FERRY_KERNEL_R15    128
#define FERRY_KERNEL_RESULT 136
#define FERRY_KERNEL_WORD   144
#define FERRY_KERNEL_FROM   152
#define FERRY_KERNEL_TO     160
#define FERRY_KERNEL_WROTE  168

/* Offsets in the pages, for entry.S. */
#define FERRY_KERNEL_WAITED       0
#define FERRY_KERNEL_GATHER_TICKS 8
#define FERRY_KERNEL_GATHER_BYTES 16
#define FERRY_KERNEL_SENT         24
#define FERRY_KERNEL_SENT_TICKS   128

#define FERRY_KERNEL_PIECES 32

/* Open files of the host that it can read by itself; so much of each, from FERRY_FILES_BASE on, one
 * after the other; and the longest read. Each page that is read for the first time costs a fault, so
 * an exit is cheaper for a longer one. */
#define FERRY_KERNEL_FILES      16
#define FERRY_KERNEL_FILE_BYTES (8ull << 20)
#define FERRY_KERNEL_FILE_READ  16384ull
#define FERRY_FILES_BYTES       (FERRY_KERNEL_FILES * FERRY_KERNEL_FILE_BYTES)

/* Rooms for what it writes to files by itself, behind those files, one after the other. */
#define FERRY_KERNEL_ROOMS      4
#define FERRY_KERNEL_ROOM_BYTES (128ull << 10)
#define FERRY_ROOMS_BASE        (FERRY_FILES_BASE + FERRY_FILES_BYTES)
#define FERRY_ROOMS_BYTES       (FERRY_KERNEL_ROOMS * FERRY_KERNEL_ROOM_BYTES)

/* A word: a position in what was published, the CPU that is in the middle of writing (its number
 * plus 1; of `output` and `rooms` only), and the generation of what was published; 0: nothing is. */
#define FERRY_KERNEL_OWNER_SHIFT      32
#define FERRY_KERNEL_OWNER_MASK       0xffull
#define FERRY_KERNEL_GENERATION_SHIFT 40

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

#define FERRY_KERNEL_NO_FD      UINT32_MAX
#define FERRY_KERNEL_STAT_BYTES 144

/* A piece of input: the byte at position p is at base + p, for p from the end of the piece before to
 * `end`. */
struct ferry_kernel_piece {
    uint64_t base, end;
};

/* A part of an open file: its bytes from offset `start` on. The position of its word is relative to
 * that. */
struct ferry_kernel_file {
    uint64_t start;
    uint32_t bytes;
    uint32_t has_position; /* the open file's own lies in that part */
};

/* What is known of one descriptor, a file's or directory's, since the call that was served last. */
struct ferry_kernel_told {
    uint32_t fd;
    uint8_t has_position, at_end; /* a read finds nothing more */
    uint64_t position;
    uint64_t ticks, ticks_most; /* when that was, by the TSC; so long it counts */
    uint8_t stat[FERRY_KERNEL_STAT_BYTES];
};

/* Written by the VMM. */
struct ferry_kernel_shown {
    uint32_t waited; /* the receiver of the output waits */
    uint32_t zero;
    /* Output that a receiver waits for leaves the VM when it is that long or that much time has
     * passed since the last time; the tick takes what is left. */
    uint64_t gather_ticks, gather_bytes;
    uint64_t sent; /* the position up to which output was sent */
    /* The descriptors that are the streams, or FERRY_KERNEL_NO_FD. */
    FERRY_ALIGNED(64) uint32_t input_fd, output_fd;
    uint32_t input_hung_up; /* its sender has ended, as poll tells */
    uint32_t piece_count;
    uint64_t room_base, room_bytes; /* the byte at position p goes to base + p */
    FERRY_ALIGNED(64) struct ferry_kernel_piece pieces[FERRY_KERNEL_PIECES];
    /* Answers that never change: the numbers of the process, its parent, and its user and group; and
     * what fstat tells of the streams, as a struct stat. */
    uint32_t process, parent, user;
    uint32_t input_flags, output_flags; /* what fcntl(F_GETFL) tells of them */
    uint32_t poll_most; /* so many descriptors a poll may be about, by the limit of the process */
    uint64_t default_actions; /* bit i: what is done at signal i + 1 was never changed */
    uint8_t input_stat[FERRY_KERNEL_STAT_BYTES], output_stat[FERRY_KERNEL_STAT_BYTES];
    /* The descriptors that are these files, or FERRY_KERNEL_NO_FD. */
    FERRY_ALIGNED(64) uint32_t file_fds[FERRY_KERNEL_FILES];
    struct ferry_kernel_file files[FERRY_KERNEL_FILES];
    FERRY_ALIGNED(64) struct ferry_kernel_told told;
    /* The descriptors whose files these rooms are for, or FERRY_KERNEL_NO_FD; how much fits. */
    FERRY_ALIGNED(64) uint32_t room_fds[FERRY_KERNEL_ROOMS];
    uint32_t room_sizes[FERRY_KERNEL_ROOMS];
};

/* Changed by both. */
struct ferry_kernel_words {
    FERRY_ALIGNED(64) uint64_t input;      /* position: bytes that were read */
    FERRY_ALIGNED(64) uint64_t output;     /* position: bytes that were written */
    FERRY_ALIGNED(64) uint64_t sent_ticks; /* when it left the VM last to have output sent */
    uint8_t pad[56];
    uint64_t files[FERRY_KERNEL_FILES]; /* position in the part of the file that is published */
    uint64_t told;                      /* only a generation; the guest may set it to 0 */
    /* Position: bytes that were written to the room. */
    FERRY_ALIGNED(64) uint64_t rooms[FERRY_KERNEL_ROOMS];
};

/* The registers with which `syscall` was made, and the call's effect. */
struct ferry_kernel_cpu {
    uint64_t self; /* its own address */
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15;
    /* What the call returns, once *word has changed from `from` to `to`. */
    uint64_t result, word, from, to;
    uint64_t wrote;   /* it was a write: whether somebody waits for it is to be looked at */
    uint64_t nothing; /* the word of a call that changes nothing */
    uint8_t stack[FERRY_KERNEL_CPU_BYTES - 184];
};

/* At the start of the code. Offsets of instructions from there. */
struct ferry_kernel_entry {
    uint32_t entry;     /* `syscall` arrives here, and up to `saved` no register has changed */
    uint32_t saved;     /* from here on the registers are in struct ferry_kernel_cpu */
    uint32_t committed; /* right behind the commit: the zero flag tells whether it took place */
    uint32_t done;      /* from here up to `end`, the call has ended, with the result */
    uint32_t end;
    uint32_t zero[3];
};

struct ferry_kernel_head {
    struct ferry_kernel_entry at_cpl3, at_cpl0;
    uint32_t bytes; /* of all code */
};

FERRY_STATIC_ASSERT(sizeof(struct ferry_kernel_shown) <= 4096, "a page");
FERRY_STATIC_ASSERT(sizeof(struct ferry_kernel_words) <= 4096, "a page");
FERRY_STATIC_ASSERT(sizeof(struct ferry_kernel_cpu) == FERRY_KERNEL_CPU_BYTES, "cpu");
FERRY_STATIC_ASSERT(offsetof(struct ferry_kernel_cpu, r15) == FERRY_KERNEL_R15, "entry.S");
FERRY_STATIC_ASSERT(offsetof(struct ferry_kernel_cpu, rsp) == FERRY_KERNEL_RSP, "entry.S");
FERRY_STATIC_ASSERT(offsetof(struct ferry_kernel_cpu, result) == FERRY_KERNEL_RESULT, "entry.S");
FERRY_STATIC_ASSERT(offsetof(struct ferry_kernel_cpu, wrote) == FERRY_KERNEL_WROTE, "entry.S");
FERRY_STATIC_ASSERT(offsetof(struct ferry_kernel_shown, sent) == FERRY_KERNEL_SENT, "entry.S");
FERRY_STATIC_ASSERT(offsetof(struct ferry_kernel_words, sent_ticks) == FERRY_KERNEL_SENT_TICKS,
                    "entry.S");

static inline uint32_t ferry_kernel_position(uint64_t word)
{
    return (uint32_t)word;
}

static inline uint32_t ferry_kernel_owner(uint64_t word)
{
    return (uint32_t)(word >> FERRY_KERNEL_OWNER_SHIFT & FERRY_KERNEL_OWNER_MASK);
}

static inline uint32_t ferry_kernel_generation(uint64_t word)
{
    return (uint32_t)(word >> FERRY_KERNEL_GENERATION_SHIFT);
}

#endif
#endif
