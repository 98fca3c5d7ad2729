/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory.h"

#include <stdio.h>
#include <string.h>

/* The number behind "name:" in a file of lines of such. */
static double field(const char *path, const char *name)
{
    FILE *file = fopen(path, "re");
    double value = 0;
    char line[256];

    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) {
        size_t length = strlen(name);

        if (strncmp(line, name, length) == 0 && line[length] == ':' &&
            sscanf(line + length + 1, "%lf", &value) == 1)
            break;
    }
    fclose(file);
    return value;
}

void memory_read(struct memory *out)
{
    static const char rollup[] = "/proc/self/smaps_rollup", machine[] = "/proc/meminfo";

    *out = (struct memory){
        .resident = field(rollup, "Rss"),
        .own = field(rollup, "Pss"),
        .anonymous = field(rollup, "Pss_Anon"),
        .slab = field(machine, "Slab"),
        .vmalloc = field(machine, "VmallocUsed"),
        .page_tables = field(machine, "PageTables"),
        .shadow_tables = field(machine, "SecPageTables"),
        .kernel_stacks = field(machine, "KernelStack"),
        .taken = field(machine, "MemTotal") - field(machine, "MemAvailable"),
    };
}
