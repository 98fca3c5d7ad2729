/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading files of the host that the VMM has published. What is not wholly there, as at the end of a
 * file, is left to the VMM: it may have grown. A file that was cut short faults, as any bad pointer.
 */
#include "kernel.h"

enum { SEEK_FROM_START = 0, SEEK_FROM_HERE = 1 };

/* The number of the descriptor's file, or FERRY_KERNEL_FILES. */
static uint32_t find(uint64_t fd)
{
    uint32_t i = 0;

    while (i < FERRY_KERNEL_FILES &&
           __atomic_load_n(&kernel_shown.file_fds[i], __ATOMIC_RELAXED) != (uint32_t)fd)
        i++;
    return i;
}

/* The word of the descriptor's file and what is published of it, which is only good if the word stays
 * what it is up to the commit; *place: where the file is then. NULL: nothing is published. */
static uint64_t *look(uint64_t fd, uint64_t *word, struct ferry_kernel_file *file, uint64_t *place)
{
    uint32_t i = find(fd);

    if ((uint32_t)fd == FERRY_KERNEL_NO_FD || i == FERRY_KERNEL_FILES)
        return NULL;
    *word = __atomic_load_n(&kernel_words.files[i], __ATOMIC_ACQUIRE);
    /* It may have become another file's since it was found; what the commit compares is the word. */
    if (__atomic_load_n(&kernel_shown.file_fds[i], __ATOMIC_RELAXED) != (uint32_t)fd)
        return NULL;
    file->start = __atomic_load_n(&kernel_shown.files[i].start, __ATOMIC_RELAXED);
    file->bytes = __atomic_load_n(&kernel_shown.files[i].bytes, __ATOMIC_RELAXED);
    file->has_position = __atomic_load_n(&kernel_shown.files[i].has_position, __ATOMIC_RELAXED);
    *place = FERRY_FILES_BASE + i * FERRY_KERNEL_FILE_BYTES;
    return ferry_kernel_generation(*word) ? &kernel_words.files[i] : NULL;
}

static bool is_there(const struct ferry_kernel_file *file, uint64_t at, uint64_t bytes)
{
    return at <= file->bytes && bytes <= file->bytes - at;
}

/* The pieces of the call, together no more than is read without an exit. */
static bool fetch(const struct ferry_kernel_cpu *cpu, struct piece *pieces, uint64_t *total)
{
    return fetch_pieces(cpu, pieces, total) && *total <= FERRY_KERNEL_FILE_READ;
}

static bool fetch_one(const struct ferry_kernel_cpu *cpu, struct piece *piece)
{
    *piece = (struct piece){cpu->rsi, cpu->rdx};
    return cpu->rdx && cpu->rdx <= FERRY_KERNEL_FILE_READ && is_programs(cpu->rsi, cpu->rdx);
}

static void copy_out(struct ferry_kernel_cpu *cpu, const struct piece *pieces, uint64_t count,
                     uint64_t from)
{
    cpu->result = 0;
    for (uint64_t i = 0; i < count; i++) {
        copy(pieces[i].addr, from + cpu->result, pieces[i].bytes);
        cpu->result += pieces[i].bytes;
    }
}

static bool read_here(struct ferry_kernel_cpu *cpu, const struct piece *pieces, uint64_t count,
                      uint64_t total)
{
    struct ferry_kernel_file file;
    uint64_t word, place, *at = look(cpu->rdi, &word, &file, &place);

    if (!at || !file.has_position || !is_there(&file, ferry_kernel_position(word), total))
        return false;
    told_forget();
    copy_out(cpu, pieces, count, place + ferry_kernel_position(word));
    commit(cpu, at, word, word + total);
    return true;
}

static bool read_there(struct ferry_kernel_cpu *cpu, const struct piece *pieces, uint64_t count,
                       uint64_t total)
{
    struct ferry_kernel_file file;
    uint64_t word, place, *at = look(cpu->rdi, &word, &file, &place);

    if (!at || !is_there(&file, cpu->r10 - file.start, total))
        return false;
    told_forget();
    copy_out(cpu, pieces, count, place + (cpu->r10 - file.start));
    commit(cpu, at, word, word);
    return true;
}

bool files_read(struct ferry_kernel_cpu *cpu)
{
    struct piece piece;

    return fetch_one(cpu, &piece) && read_here(cpu, &piece, 1, piece.bytes);
}

bool files_readv(struct ferry_kernel_cpu *cpu)
{
    struct piece pieces[PIECES_MOST];
    uint64_t total;

    return fetch(cpu, pieces, &total) && read_here(cpu, pieces, cpu->rdx, total);
}

bool files_pread(struct ferry_kernel_cpu *cpu)
{
    struct piece piece;

    return fetch_one(cpu, &piece) && read_there(cpu, &piece, 1, piece.bytes);
}

bool files_preadv(struct ferry_kernel_cpu *cpu)
{
    struct piece pieces[PIECES_MOST];
    uint64_t total;

    return fetch(cpu, pieces, &total) && read_there(cpu, pieces, cpu->rdx, total);
}

bool files_lseek(struct ferry_kernel_cpu *cpu)
{
    struct ferry_kernel_file file;
    uint64_t word, place, *at = look(cpu->rdi, &word, &file, &place), position = cpu->rsi;

    if (!at || !file.has_position || (uint32_t)cpu->rdx > SEEK_FROM_HERE)
        return false;
    if ((uint32_t)cpu->rdx == SEEK_FROM_HERE)
        position += file.start + ferry_kernel_position(word);
    if (!is_there(&file, position - file.start, 0))
        return false;
    cpu->result = position;
    commit(cpu, at, word, word - ferry_kernel_position(word) + (position - file.start));
    return true;
}
