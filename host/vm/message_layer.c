/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what the system area holds of messages at a moment, in a file in memory. Of the rest of that area
 * nothing is kept: the page tables only gain rights, and the page of the peers says what is true now.
 */
#include "vm/message_layer.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ferry/abi/control.h>

#include "kvm/boot.h"
#include "lib/bits.h"

/* The parts of the system area that hold messages: offset and length. */
static const struct part {
    uint64_t at, bytes;
} parts[] = {
    {sizeof(struct ferry_control_info),
     sizeof(struct ferry_control) - sizeof(struct ferry_control_info)},
    {SYSTEM_TABLES_BYTES, SYSTEM_RECEIVE_BYTES},
};
#define PARTS (sizeof parts / sizeof *parts)

static int write_part(int fd, const char *system, const struct part *part)
{
    for (uint64_t at = part->at; at < part->at + part->bytes; at += FERRY_PAGE_BYTES)
        if (!page_is_zero(system + at) && pwrite(fd, system + at, FERRY_PAGE_BYTES, (off_t)at) < 0)
            return -ENOMEM;
    return 0;
}

/* In its place, a private mapping of a file that holds the same. */
static int map_part(int fd, char *system, const struct part *part)
{
    return mmap(system + part->at, part->bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, (off_t)part->at) == MAP_FAILED
               ? -ENOMEM
               : 0;
}

int message_layer_map(int fd, char *system)
{
    int result = 0;

    for (size_t i = 0; i < PARTS && !result; i++)
        result = map_part(fd, system, &parts[i]);
    return result;
}

int message_layer_take(char *system)
{
    int fd = memfd_create("ferry-messages", MFD_CLOEXEC), result;

    if (fd < 0)
        return -EMFILE;
    result = ftruncate(fd, SYSTEM_BYTES) ? -ENOMEM : 0;
    for (size_t i = 0; i < PARTS && !result; i++)
        result = write_part(fd, system, &parts[i]);
    if (!result)
        result = message_layer_map(fd, system);
    if (!result)
        return fd;
    close(fd);
    return result;
}

int message_layer_go_back(char *system)
{
    int result = 0;

    for (size_t i = 0; i < PARTS && !result; i++)
        result = madvise(system + parts[i].at, parts[i].bytes, MADV_DONTNEED);
    return result ? -ENOMEM : 0;
}
