/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what the guest kernel is told about the descriptor that the last call was about. */
#include "linux/told.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <x86intrin.h>

#include <ferry/abi/kernel.h>

#include "linux/guest_files.h"
#include "linux/state.h"

/* To start a guest kernel costs about as much as so many exits. */
#define ASKED_TO_START 4

/* The descriptor that a call was about, plus 1; 0: it was about none of which more is asked. */
static uint32_t about(const struct linux_call *call)
{
    switch (call->number) {
    case SYS_open:
    case SYS_openat:
        return call->result >= 0 ? (uint32_t)call->result + 1 : 0;
    case SYS_newfstatat:
        return (uint32_t)call->arg[3] == AT_EMPTY_PATH ? (uint32_t)call->arg[0] + 1 : 0;
    case SYS_fstat:
    case SYS_ioctl:
    case SYS_lseek:
    case SYS_read:
    case SYS_pread64:
        return (uint32_t)call->arg[0] + 1;
    default:
        return 0;
    }
}

/* Also the read that finds the end. */
static bool is_question(const struct linux_call *call)
{
    return (call->number == SYS_read && call->result == 0) || call->number == SYS_newfstatat ||
           call->number == SYS_fstat || call->number == SYS_ioctl || call->number == SYS_lseek;
}

void told_served(struct linux_state *state, const struct linux_call *call)
{
    struct told *told = &state->descriptor_told;
    uint32_t before = told->fd_and_one;

    told_take_back(state); /* another thread may have been told while this call waited */
    told->fd_and_one = about(call);
    if (told->fd_and_one && told->fd_and_one == before && is_question(call) &&
        told->asked < ASKED_TO_START)
        told->asked++;
}

bool linux_asks_descriptors(const struct linux_state *state)
{
    return !state->traced && state->descriptor_told.asked >= ASKED_TO_START;
}

/* Only what no call works on and what the guest kernel does not read by itself; and no program that shares a
 * file by memory, or memory with another process, by which it may learn of a change without any call. */
static bool can_tell(const struct linux_state *state, const struct open_file *file)
{
    return file && (file->kind == FILE_REGULAR || file->kind == FILE_DIRECTORY) && file->local &&
           !file->given && file->fd >= 0 && file->references == 1 &&
           !(file->status & (O_PATH | O_DIRECT)) && !state->traced && !state->mapped_count &&
           !state->common->processes->next_process && !guest_files_has(state, file);
}

static void publish(struct told *told, uint32_t fd, const struct open_file *file,
                    const struct stat *stat, struct ferry_kernel_told *shown)
{
    const uint32_t most = UINT32_MAX >> (FERRY_KERNEL_GENERATION_SHIFT - 32);
    bool regular = file->kind == FILE_REGULAR && S_ISREG(stat->st_mode);

    memcpy(shown->stat, stat, sizeof(shown->stat));
    __atomic_store_n(&shown->fd, fd, __ATOMIC_RELAXED);
    __atomic_store_n(&shown->position, (uint64_t)file->position, __ATOMIC_RELAXED);
    __atomic_store_n(&shown->has_position, regular, __ATOMIC_RELAXED);
    /* What has no length tells nothing by it: files of /proc. */
    __atomic_store_n(&shown->at_end,
                     regular && file_can_read(file) && stat->st_size > 0 &&
                         file->position >= stat->st_size,
                     __ATOMIC_RELAXED);
    told->generation = told->generation < most ? told->generation + 1 : 1;
    __atomic_store_n(&told->words->told,
                     (uint64_t)told->generation << FERRY_KERNEL_GENERATION_SHIFT, __ATOMIC_RELEASE);
}

void linux_tell_descriptor(struct linux_state *state, struct ferry_kernel_shown *shown,
                           struct ferry_kernel_words *words)
{
    struct told *told = &state->descriptor_told;
    struct open_file *file;
    struct stat stat;
    uint32_t fd = told->fd_and_one - 1;

    if (!told->fd_and_one || told->words)
        return;
    file = descriptor_look(state, fd);
    if (!can_tell(state, file))
        return;
    __atomic_store_n(&shown->told.ticks, __rdtsc(), __ATOMIC_RELAXED);
    if (file_stat(state, file, &stat))
        return;
    told->words = words;
    publish(told, fd, file, &stat, &shown->told);
}

void told_take_back(struct linux_state *state)
{
    if (state->descriptor_told.words)
        __atomic_store_n(&state->descriptor_told.words->told, 0, __ATOMIC_SEQ_CST);
    state->descriptor_told.words = NULL;
}
