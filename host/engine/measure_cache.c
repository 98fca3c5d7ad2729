/* SPDX-License-Identifier: BSD-2-Clause */
/* The file that keeps the measured figures: lines of key=value, in one order. */
#include "engine/measure_cache.h"

#include <cpuid.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <ferry/ferry.h>

#include "lib/kept_file.h"

#define FORMAT     1 /* also to be raised when something is measured in another way */
#define TEXT_BYTES 1024

/* --- key ----------------------------------------------------------------------- */

/* The model, and the number by which models of one name differ. The highest CPUID leaf is asked
 * only once: where the processor is virtual, each question is an exit. */
static void processor(char name[49], unsigned *signature)
{
    const unsigned first = 0x80000002u;
    unsigned words[12] = {0}, rest[3];
    bool named = (unsigned)__get_cpuid_max(first & 0x80000000u, NULL) >= first + 2;

    __cpuid(1, *signature, rest[0], rest[1], rest[2]);
    for (unsigned i = 0; i < 3 && named; i++)
        __cpuid(first + i, words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]);
    memcpy(name, words, 48);
    name[48] = '\0';
}

void measure_cache_key(char key[MEASURE_KEY_BYTES], bool huge)
{
    struct utsname kernel;
    unsigned signature;
    char name[49];

    processor(name, &signature);
    uname(&kernel);
    snprintf(key, MEASURE_KEY_BYTES,
             "format=%d\nferry=%s\nprocessor=%s %08x\ncores=%ld\nkernel=%s %s\nkvm=%d\nhuge=%d\n",
             FORMAT, ferry_version(), name, signature, sysconf(_SC_NPROCESSORS_ONLN),
             kernel.release, kernel.version, KVM_API_VERSION, huge);
}

/* --- text ---------------------------------------------------------------------- */

static bool within(uint64_t value, uint64_t least, uint64_t most)
{
    return value >= least && value <= most;
}

/* Figures from a fast machine to an emulated one are believed. */
static bool plausible(const struct costs *costs)
{
    const uint64_t most = 10000000; /* 10 ms */

    return within(costs->exit_ns, 100, most) && within(costs->handover_ns, 100, most) &&
           within(costs->touch_ns, 0, most) && within(costs->copy_ns, 5000, 100 * most);
}

static int format(char text[TEXT_BYTES], const char *key, const struct costs *costs)
{
    return snprintf(text, TEXT_BYTES,
                    "%sexit_ns=%" PRIu64 "\nhandover_ns=%" PRIu64 "\ntouch_ns=%" PRIu64
                    "\ncopy_ns=%" PRIu64 "\nend\n",
                    key, costs->exit_ns, costs->handover_ns, costs->touch_ns, costs->copy_ns);
}

/* The figures are written again and compared, so that nothing but what format() writes
 * passes: no sign, no space, no further line, no end too early. */
static bool parse(const char *text, const char *key, struct costs *out)
{
    char again[TEXT_BYTES];

    *out = (struct costs){0};
    if (strncmp(text, key, strlen(key)) != 0 ||
        sscanf(text + strlen(key),
               "exit_ns=%" SCNu64 " handover_ns=%" SCNu64 " touch_ns=%" SCNu64 " copy_ns=%" SCNu64,
               &out->exit_ns, &out->handover_ns, &out->touch_ns, &out->copy_ns) != 4)
        return false;
    format(again, key, out);
    return strcmp(text, again) == 0 && plausible(out);
}

/* --- file ---------------------------------------------------------------------- */

bool measure_cache_load(const char *path, const char *key, struct costs *out)
{
    char text[TEXT_BYTES];
    ssize_t got = kept_file_read(path, text, sizeof text - 1);

    if (got < 0)
        return false;
    text[got] = '\0';
    return strlen(text) == (size_t)got && parse(text, key, out);
}

int measure_cache_store(const char *path, const char *key, const struct costs *costs)
{
    char text[TEXT_BYTES];

    if (!plausible(costs))
        return -ERANGE;
    int length = format(text, key, costs);
    return kept_file_write(path, text, (size_t)length);
}
