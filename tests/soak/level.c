/* SPDX-License-Identifier: BSD-2-Clause */
/* What this process has: it must be the same after a soak as before. */
#include <dirent.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "soak.h"

#define LEVEL_SECONDS 5

/* A sanitizer maps and keeps memory as it likes; LeakSanitizer looks at the heap itself. */
#ifdef FERRY_SANITIZED
#define OWN_MEMORY 0
#else
#define OWN_MEMORY 1
#endif

static uint64_t entries(const char *path)
{
    DIR *directory = opendir(path);
    uint64_t count = 0;

    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

/* The mappings, or the KiB that are resident and private. */
static uint64_t lines_of(const char *path, const char *form, uint64_t *value)
{
    FILE *file = fopen(path, "re");
    unsigned long found;
    char line[512];
    uint64_t count = 0;

    while (file && fgets(line, sizeof line, file)) {
        count++;
        if (form && sscanf(line, form, &found) == 1)
            *value = found;
    }
    if (file)
        fclose(file);
    return count;
}

struct level level_now(void)
{
    struct level now = {0};

    malloc_trim(0);
    now.threads = entries("/proc/self/task");
    now.descriptors = entries("/proc/self/fd");
    lines_of("/proc/self/status", "RssAnon: %lu", &now.resident_kb);
    if (OWN_MEMORY) {
        now.mappings = lines_of("/proc/self/maps", NULL, NULL);
        now.heap_bytes = mallinfo2().uordblks + mallinfo2().hblkhd;
    }
    return now;
}

static bool is_level(const struct level *before, struct level *now)
{
    *now = level_now();
    return now->threads == before->threads && now->descriptors == before->descriptors &&
           now->mappings == before->mappings && now->heap_bytes == before->heap_bytes;
}

void expect_level(const struct level *before, struct wrong *wrong)
{
    struct level now;
    time_t begun = time(NULL);

    while (!is_level(before, &now) && time(NULL) - begun < LEVEL_SECONDS)
        sched_yield();
    if (!is_level(before, &now))
        be_wrong(
            wrong,
            "threads %lu, then %lu; descriptors %lu, then %lu; mappings %lu, then %lu; heap %lu "
            "bytes, then %lu",
            before->threads, now.threads, before->descriptors, now.descriptors, before->mappings,
            now.mappings, before->heap_bytes, now.heap_bytes);
}
