/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing to files for which the VMM has published a room. It writes out what is there before it does
 * anything else for the program, so nobody ever sees that it was not in the file yet.
 */
#include "kernel.h"

/* The number of the descriptor's room, or FERRY_KERNEL_ROOMS. */
static uint32_t find(uint64_t fd)
{
    uint32_t i = 0;

    while (i < FERRY_KERNEL_ROOMS &&
           __atomic_load_n(&kernel_shown.room_fds[i], __ATOMIC_RELAXED) != (uint32_t)fd)
        i++;
    return i;
}

bool rooms_write(struct ferry_kernel_cpu *cpu, const struct piece *pieces, uint64_t count,
                 uint64_t total)
{
    uint32_t i = find(cpu->rdi), position, size;
    uint64_t word;

    if ((uint32_t)cpu->rdi == FERRY_KERNEL_NO_FD || i == FERRY_KERNEL_ROOMS)
        return false;
    word = __atomic_load_n(&kernel_words.rooms[i], __ATOMIC_ACQUIRE);
    position = ferry_kernel_position(word);
    size = __atomic_load_n(&kernel_shown.room_sizes[i], __ATOMIC_RELAXED);
    /* It may have become another file's since it was found; what the claim compares is the word. */
    if (__atomic_load_n(&kernel_shown.room_fds[i], __ATOMIC_RELAXED) != (uint32_t)cpu->rdi ||
        position > size || total > size - position || !claim(cpu, &kernel_words.rooms[i], &word))
        return false;
    told_forget();
    copy_in(FERRY_ROOMS_BASE + i * FERRY_KERNEL_ROOM_BYTES + position, pieces, count);
    commit_written(cpu, &kernel_words.rooms[i], word, total);
    return true;
}
