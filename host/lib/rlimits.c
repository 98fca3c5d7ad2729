/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds which limit refused something. The kernel says only that one did, so limits of memory are
 * told apart by how much of each is left.
 */
#include "lib/rlimits.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ferry/abi/layout.h>

/* How much a VM, or an engine, asks for at once. */
#define ADDRESSES_WANTED FERRY_PROGRAM_HIGH
#define DATA_WANTED      (64ull << 20)
#define MAPPINGS_WANTED  32

/* The mappings of a process, or 0. */
static long count_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    long count = 0;

    if (!file)
        return 0;
    for (int c; (c = fgetc(file)) != EOF;)
        count += c == '\n';
    fclose(file);
    return count;
}

static bool is_out_of_mappings(void)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    long most = 0;

    if (!file)
        return false;
    if (fscanf(file, "%ld", &most) != 1)
        most = 0;
    fclose(file);
    return most > 0 && count_mappings() + MAPPINGS_WANTED > most;
}

static bool is_short(int limit, uint64_t used, uint64_t wanted)
{
    struct rlimit have;

    if (getrlimit(limit, &have) != 0 || have.rlim_cur == RLIM_INFINITY)
        return false;
    return used >= have.rlim_cur || have.rlim_cur - used < wanted;
}

const char *rlimits_of_memory(void)
{
    unsigned long long pages = 0, data_pages = 0;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/statm", "re");

    if (file) {
        if (fscanf(file, "%llu %*u %*u %*u %*u %llu", &pages, &data_pages) != 2)
            pages = data_pages = 0;
        fclose(file);
    }
    if (is_short(RLIMIT_AS, pages * page, ADDRESSES_WANTED))
        return "raise 'ulimit -v': each VM takes some 40 GiB of addresses";
    if (is_short(RLIMIT_DATA, data_pages * page, DATA_WANTED))
        return "raise 'ulimit -d'";
    if (is_out_of_mappings())
        return "raise vm.max_map_count, see 'ferry doctor', or start fewer VMs";
    return NULL;
}

static const char *limit_of_threads(void)
{
    struct rlimit have;
    const char *memory = rlimits_of_memory(); /* of the thread's stack */

    if (memory)
        return memory;
    if (getrlimit(RLIMIT_NPROC, &have) == 0 && have.rlim_cur != RLIM_INFINITY && geteuid() != 0)
        return "raise 'ulimit -u'";
    return "raise the most tasks of its control group (pids.max) or kernel.threads-max";
}

void rlimits_advise(char *text, size_t bytes, int code)
{
    const char *advice = NULL;
    size_t used = strnlen(text, bytes);

    switch (code) {
    case -ENOMEM:
        advice = rlimits_of_memory();
        if (!advice)
            advice = "make memory free, or start fewer VMs";
        break;
    case -EAGAIN:
        advice = limit_of_threads();
        break;
    case -EMFILE:
        advice = "raise 'ulimit -n'";
        break;
    case -ENFILE:
        advice = "raise fs.file-max";
        break;
    case -EFBIG:
        advice = "raise 'ulimit -f'";
        break;
    default:
        return;
    }
    snprintf(text + used, bytes - used, "; %s", advice);
}
