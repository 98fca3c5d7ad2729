/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls that the guest kernel serves, but for those on files. Nothing here may change what the
 * program can see, other than bytes of its buffer, before the commit in entry.S; a fault, a stop or a
 * signal may take the call back at any instruction. What it cannot serve is left to the VMM, which does
 * all of it.
 *
 * It has all rights where `syscall` arrives at CPL0, so every address of the program's is checked:
 * only memory of the program itself is touched. Faults there are the VMM's to find.
 */
#include <stdbool.h>
#include <stdint.h>

#include <ferry/abi/kernel.h>

#include "kernel.h"

/* As asm/unistd_64.h and the C library have them; neither belongs here. */
enum {
    CALL_READ = 0,
    CALL_WRITE = 1,
    CALL_FSTAT = 5,
    CALL_POLL = 7,
    CALL_LSEEK = 8,
    CALL_RT_SIGACTION = 13,
    CALL_IOCTL = 16,
    CALL_PREAD = 17,
    CALL_READV = 19,
    CALL_WRITEV = 20,
    CALL_SELECT = 23,
    CALL_GETPID = 39,
    CALL_FCNTL = 72,
    CALL_GETUID = 102,
    CALL_GETGID = 104,
    CALL_GETEUID = 107,
    CALL_GETEGID = 108,
    CALL_GETPPID = 110,
    CALL_NEWFSTATAT = 262,
    CALL_PSELECT6 = 270,
    CALL_PPOLL = 271,
    CALL_PREADV = 295,
};
enum { EVENT_IN = 1, EVENT_OUT = 4, EVENT_HUP = 16, EVENT_RDNORM = 64, EVENT_WRNORM = 256 };
#define ERROR_SEEK_PIPE 29
#define NS_PER_S        1000000000ull
#define US_PER_S        1000000ull
#define COMMAND_GETFL   3
#define FLAG_EMPTY_PATH 0x1000
#define SIGNALS         64
#define MASK_BYTES      8

/* The most that a call of Linux moves. */
#define TRANSFER_MOST 0x7ffff000ull

/* What one call reads: a signal that comes before its end takes all of it back, and the next may come
 * before a longer one could end. */
#define READ_MOST (256ull << 10)
struct poll_entry {
    int32_t fd;
    int16_t events, revents;
};
/* As a pipe has room when a page of it is free. */
#define ROOM_BYTES 4096

/* Which stream a descriptor is. Acquire: what else is shown of the stream was stored before. */
static bool is_input(uint64_t fd)
{
    return (uint32_t)fd != FERRY_KERNEL_NO_FD &&
           (uint32_t)fd == __atomic_load_n(&kernel_shown.input_fd, __ATOMIC_ACQUIRE);
}

static bool is_output(uint64_t fd)
{
    return (uint32_t)fd != FERRY_KERNEL_NO_FD &&
           (uint32_t)fd == __atomic_load_n(&kernel_shown.output_fd, __ATOMIC_ACQUIRE);
}

/* The result of a call that changes nothing. */
static bool answer(struct ferry_kernel_cpu *cpu, uint64_t result)
{
    cpu->result = result;
    commit(cpu, &cpu->nothing, cpu->nothing, cpu->nothing);
    return true;
}

/* ---- input --------------------------------------------------------------- */

/* Copies up to `bytes` from the position on; returns how many. If the pieces change meanwhile, the
 * commit fails: the word was loaded before them (models/input.pml). */
static uint64_t copy_input(uint64_t position, uint64_t to, uint64_t bytes)
{
    const struct ferry_kernel_shown *shown = &kernel_shown;
    uint32_t count = __atomic_load_n(&shown->piece_count, __ATOMIC_RELAXED);
    uint64_t done = 0;

    for (uint32_t i = 0; i < count && i < FERRY_KERNEL_PIECES && done < bytes; i++) {
        uint64_t at = position + done;
        uint64_t base = __atomic_load_n(&shown->pieces[i].base, __ATOMIC_RELAXED);
        uint64_t end = __atomic_load_n(&shown->pieces[i].end, __ATOMIC_RELAXED);

        if (at >= end)
            continue;
        uint64_t now = end - at < bytes - done ? end - at : bytes - done;
        copy(to + done, base + at, now);
        done += now;
    }
    return done;
}

bool fetch_pieces(const struct ferry_kernel_cpu *cpu, struct piece *pieces, uint64_t *total)
{
    *total = 0;
    if (!cpu->rdx || cpu->rdx > PIECES_MOST || !is_programs(cpu->rsi, cpu->rdx * sizeof(pieces[0])))
        return false;
    copy((uint64_t)pieces, cpu->rsi, cpu->rdx * sizeof(pieces[0]));
    for (uint64_t i = 0; i < cpu->rdx; i++) {
        /* The analyzer does not see that the instruction of `copy` fills them.
         * NOLINTNEXTLINE(clang-analyzer-core.*) */
        if (pieces[i].bytes ? !is_programs(pieces[i].addr, pieces[i].bytes)
                            : pieces[i].addr >= FERRY_PROGRAM_HIGH)
            return false;
        *total += pieces[i].bytes;
    }
    return *total && *total <= TRANSFER_MOST;
}

static bool read_pieces(struct ferry_kernel_cpu *cpu, const struct piece *pieces, uint64_t count)
{
    uint64_t word = __atomic_load_n(&kernel_words.input, __ATOMIC_ACQUIRE);
    uint64_t done = 0, now;

    if (!is_input(cpu->rdi) || !ferry_kernel_generation(word))
        return false;
    told_forget();
    for (uint64_t i = 0; i < count; i++) {
        now = READ_MOST - done < pieces[i].bytes ? READ_MOST - done : pieces[i].bytes;
        now = copy_input(ferry_kernel_position(word) + done, pieces[i].addr, now);
        done += now;
        if (now < pieces[i].bytes)
            break;
    }
    cpu->result = done;
    commit(cpu, &kernel_words.input, word, word + done);
    return done != 0;
}

/* ---- output -------------------------------------------------------------- */

/* How much there is room for; 0: none is published. */
static uint64_t room(uint64_t word)
{
    uint64_t bytes = __atomic_load_n(&kernel_shown.room_bytes, __ATOMIC_RELAXED);
    uint64_t position = ferry_kernel_position(word);

    return ferry_kernel_generation(word) && position < bytes ? bytes - position : 0;
}

/* All of them, or none. */
static bool write_pieces(struct ferry_kernel_cpu *cpu, const struct piece *pieces, uint64_t count,
                         uint64_t total)
{
    uint64_t word = __atomic_load_n(&kernel_words.output, __ATOMIC_ACQUIRE);
    uint64_t to = __atomic_load_n(&kernel_shown.room_base, __ATOMIC_RELAXED);

    if (!is_output(cpu->rdi))
        return rooms_write(cpu, pieces, count, total);
    if (total > room(word) || !claim(cpu, &kernel_words.output, &word))
        return false;
    told_forget();
    /* With the claim, nobody but the VMM can change the room, and then the commit fails. */
    copy_in(to + ferry_kernel_position(word), pieces, count);
    cpu->wrote = 1;
    commit_written(cpu, &kernel_words.output, word, total);
    return true;
}

/* ---- calls with pieces --------------------------------------------------- */

static bool serve_one(struct ferry_kernel_cpu *cpu)
{
    const struct piece piece = {cpu->rsi, cpu->rdx};

    if (!piece.bytes || piece.bytes > TRANSFER_MOST || !is_programs(piece.addr, piece.bytes))
        return false;
    return cpu->rax == CALL_READ ? read_pieces(cpu, &piece, 1)
                                 : write_pieces(cpu, &piece, 1, piece.bytes);
}

static bool serve_several(struct ferry_kernel_cpu *cpu)
{
    struct piece pieces[PIECES_MOST];
    uint64_t total;

    if (!fetch_pieces(cpu, pieces, &total))
        return false;
    return cpu->rax == CALL_READV ? read_pieces(cpu, pieces, cpu->rdx)
                                  : write_pieces(cpu, pieces, cpu->rdx, total);
}

/* ---- poll and select ----------------------------------------------------- */

static bool has_input(void)
{
    uint64_t word = __atomic_load_n(&kernel_words.input, __ATOMIC_ACQUIRE);
    uint32_t count = __atomic_load_n(&kernel_shown.piece_count, __ATOMIC_RELAXED);

    return ferry_kernel_generation(word) && count && count <= FERRY_KERNEL_PIECES &&
           ferry_kernel_position(word) <
               __atomic_load_n(&kernel_shown.pieces[count - 1].end, __ATOMIC_RELAXED);
}

/* False: it is no stream, or what holds for it only the VMM can tell. */
static bool look_at(struct poll_entry *entry)
{
    told_forget();
    entry->revents = 0;
    if (entry->fd < 0) /* as above: NOLINT(clang-analyzer-core.*) */
        return true;
    if (is_input((uint32_t)entry->fd) && has_input()) {
        entry->revents = (int16_t)(entry->events & (EVENT_IN | EVENT_RDNORM));
        if (__atomic_load_n(&kernel_shown.input_hung_up, __ATOMIC_RELAXED))
            entry->revents |= EVENT_HUP;
        return true;
    }
    if (is_output((uint32_t)entry->fd) &&
        room(__atomic_load_n(&kernel_words.output, __ATOMIC_ACQUIRE)) >= ROOM_BYTES) {
        entry->revents = (int16_t)(entry->events & (EVENT_OUT | EVENT_WRNORM));
        return true;
    }
    return false;
}

/* A time limit, of seconds and parts of a second. As no time passes, it remains as it is. */
static bool is_limit(uint64_t addr, uint64_t parts)
{
    uint64_t limit[2] = {0};

    if (!addr)
        return true;
    if (!is_programs(addr, sizeof(limit)))
        return false;
    copy((uint64_t)limit, addr, sizeof(limit));
    return !(limit[0] >> 63) && limit[1] < parts;
}

/* What would wait, and what changes the signals that are blocked, is left. */
static bool serve_poll(struct ferry_kernel_cpu *cpu)
{
    struct poll_entry entries[PIECES_MOST];
    uint64_t bytes = cpu->rsi * sizeof(entries[0]);

    if (!cpu->rsi || cpu->rsi > PIECES_MOST ||
        cpu->rsi > __atomic_load_n(&kernel_shown.poll_most, __ATOMIC_RELAXED) ||
        !is_programs(cpu->rdi, bytes) ||
        (cpu->rax == CALL_PPOLL && (cpu->r10 || !is_limit(cpu->rdx, NS_PER_S))))
        return false;
    copy((uint64_t)entries, cpu->rdi, bytes);
    cpu->result = 0;
    for (uint64_t i = 0; i < cpu->rsi; i++) {
        if (!look_at(&entries[i]))
            return false;
        cpu->result += entries[i].revents != 0;
    }
    if (!cpu->result)
        return false;
    for (uint64_t i = 0; i < cpu->rsi; i++) /* as Linux does: another thread may change the rest */
        copy(cpu->rdi + i * sizeof(entries[0]) + offsetof(struct poll_entry, revents),
             (uint64_t)&entries[i].revents, sizeof(entries[i].revents));
    return answer(cpu, cpu->result);
}

/* How many of the bits in the sets for input and output are ready, or 0 if one of them is not. */
static uint64_t count_ready(const uint64_t *sets)
{
    uint64_t count = 0;

    for (int32_t fd = 0; fd < 64; fd++) {
        uint64_t in = sets[0] >> fd & 1, out = sets[1] >> fd & 1;
        struct poll_entry entry = {fd, (int16_t)(in * EVENT_IN | out * EVENT_OUT), 0};

        if (!in && !out)
            continue;
        if (!look_at(&entry) || (in && !(entry.revents & (EVENT_IN | EVENT_HUP))) ||
            (out && !(entry.revents & EVENT_OUT)))
            return 0;
        count += in + out;
    }
    return count;
}

/* That no signals are to be blocked otherwise: pselect6 has the mask's address and length there. */
static bool is_no_mask(uint64_t addr)
{
    uint64_t mask[2] = {1};

    if (!addr)
        return true;
    if (!is_programs(addr, sizeof(mask)))
        return false;
    copy((uint64_t)mask, addr, sizeof(mask));
    return !mask[0];
}

/* Where all that is asked for is ready, the sets are their own result: so nothing is lost if the call
 * is made again. They are stored all the same, as one that cannot be is an error. */
static bool serve_select(struct ferry_kernel_cpu *cpu)
{
    const uint64_t addr[3] = {cpu->rsi, cpu->rdx, cpu->r10};
    uint32_t fds = (uint32_t)cpu->rdi;
    uint64_t sets[3] = {0}, count;

    if (!fds || fds > 64 || !is_limit(cpu->r8, cpu->rax == CALL_SELECT ? US_PER_S : NS_PER_S) ||
        (cpu->rax == CALL_PSELECT6 && !is_no_mask(cpu->r9)))
        return false;
    for (int i = 0; i < 3; i++) {
        if (addr[i] && !is_programs(addr[i], sizeof(sets[i])))
            return false;
        if (addr[i])
            copy((uint64_t)&sets[i], addr[i], sizeof(sets[i]));
    }
    if ((sets[0] | sets[1]) & ~(UINT64_MAX >> (64 - fds)) || sets[2])
        return false;
    count = count_ready(sets);
    for (int i = 0; i < 3 && count; i++)
        if (addr[i])
            copy(addr[i], (uint64_t)&sets[i], sizeof(sets[i]));
    return count && answer(cpu, count);
}

/* ---- all ----------------------------------------------------------------- */

static bool serve_lseek(struct ferry_kernel_cpu *cpu)
{
    if ((!is_input(cpu->rdi) && !is_output(cpu->rdi)) || (uint32_t)cpu->rdx > 2)
        return false;
    return answer(cpu, (uint64_t)-ERROR_SEEK_PIPE);
}

static bool serve_fcntl(struct ferry_kernel_cpu *cpu)
{
    if (cpu->rsi != COMMAND_GETFL)
        return false;
    if (is_input(cpu->rdi))
        return answer(cpu, __atomic_load_n(&kernel_shown.input_flags, __ATOMIC_RELAXED));
    return is_output(cpu->rdi) &&
           answer(cpu, __atomic_load_n(&kernel_shown.output_flags, __ATOMIC_RELAXED));
}

static bool tell_stat(struct ferry_kernel_cpu *cpu, uint64_t to)
{
    bool input = is_input(cpu->rdi);

    if (!input && !is_output(cpu->rdi))
        return told_stat(cpu, to);
    if (!is_programs(to, FERRY_KERNEL_STAT_BYTES))
        return false;
    copy(to, (uint64_t)(input ? kernel_shown.input_stat : kernel_shown.output_stat),
         FERRY_KERNEL_STAT_BYTES);
    return answer(cpu, 0);
}

/* What fstat of the C library makes: no name, and so the descriptor itself. */
static bool serve_newfstatat(struct ferry_kernel_cpu *cpu)
{
    uint8_t first = 1;

    if ((uint32_t)cpu->r10 != FLAG_EMPTY_PATH || !is_programs(cpu->rsi, 1))
        return false;
    copy((uint64_t)&first, cpu->rsi, 1);
    return !first && tell_stat(cpu, cpu->rdx);
}

/* What happens at a signal, where the program has never changed that: interpreters ask so about each
 * signal when they begin. */
static bool serve_sigaction(struct ferry_kernel_cpu *cpu)
{
    const uint64_t action[4] = {0}; /* handler, flags, restorer, mask */
    uint32_t signal = (uint32_t)cpu->rdi;

    if (cpu->rsi || cpu->r10 != MASK_BYTES || signal < 1 || signal > SIGNALS ||
        !is_programs(cpu->rdx, sizeof(action)) ||
        !(__atomic_load_n(&kernel_shown.default_actions, __ATOMIC_RELAXED) >> (signal - 1) & 1))
        return false;
    copy(cpu->rdx, (uint64_t)action, sizeof(action));
    return answer(cpu, 0);
}

bool kernel_serve(struct ferry_kernel_cpu *cpu)
{
    cpu->wrote = 0;
    switch (cpu->rax) {
    case CALL_READ:
        return serve_one(cpu) || files_read(cpu) || told_read(cpu);
    case CALL_WRITE:
        return serve_one(cpu);
    case CALL_PREAD:
        return files_pread(cpu);
    case CALL_READV:
        return serve_several(cpu) || files_readv(cpu);
    case CALL_WRITEV:
        return serve_several(cpu);
    case CALL_PREADV:
        return files_preadv(cpu);
    case CALL_POLL:
    case CALL_PPOLL:
        return serve_poll(cpu);
    case CALL_SELECT:
    case CALL_PSELECT6:
        return serve_select(cpu);
    case CALL_LSEEK:
        return serve_lseek(cpu) || files_lseek(cpu) || told_lseek(cpu);
    case CALL_IOCTL:
        return told_ioctl(cpu);
    case CALL_FCNTL:
        return serve_fcntl(cpu);
    case CALL_FSTAT:
        return tell_stat(cpu, cpu->rsi);
    case CALL_NEWFSTATAT:
        return serve_newfstatat(cpu);
    case CALL_RT_SIGACTION:
        return serve_sigaction(cpu);
    case CALL_GETPID:
        return answer(cpu, kernel_shown.process);
    case CALL_GETPPID:
        return answer(cpu, kernel_shown.parent);
    case CALL_GETUID:
    case CALL_GETEUID:
    case CALL_GETGID:
    case CALL_GETEGID:
        return answer(cpu, kernel_shown.user);
    default:
        return false;
    }
}
