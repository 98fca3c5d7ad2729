/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what /proc/self/maps says: the space's list of regions in the words of Linux, and the names of
 * the files in it. The list itself is the only truth; here regions that differ only in what Ferry
 * knows of them become one line.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "linux/made.h"
#include "linux/mapped.h"
#include "linux/objects.h"
#include "linux/state.h"
#include "program/program.h"

#define NAME_COLUMN 72
#define PAGE        FERRY_PAGE_BYTES

/* ---- names --------------------------------------------------------------- */

static struct space_file *see(struct linux_state *state, const struct open_file *file,
                              const struct stat *stat)
{
    const char *name = file->path ? file->path : "/dev/zero";
    char given[32]; /* as /proc/self/fd calls it */

    if (file->given) {
        snprintf(given, sizeof(given), "file:[%lu]", (unsigned long)stat->st_ino);
        name = given;
    }
    return space_file_create(vm_space(state->vm), name, stat->st_dev, stat->st_ino);
}

int maps_of_file(struct linux_state *state, struct open_file *file, struct space_file **out)
{
    struct stat stat;
    int result = file->seen ? 0 : file_stat(state, file, &stat);

    if (result)
        return result;
    if (!file->seen)
        file->seen = see(state, file, &stat);
    if (!file->seen)
        return -ENOMEM;
    file->seen->references++;
    *out = file->seen;
    return 0;
}

/* Each shared memory is a file of its own, without a name, in a file system of the kernel. */
int maps_of_shared(struct linux_state *state, struct space_file **out)
{
    *out = space_file_create(vm_space(state->vm), "/dev/zero (deleted)", makedev(0, 1),
                             object_number(state));
    return *out ? 0 : -ENOMEM;
}

/* Only what the file holds: the rest of a segment is memory without a name. */
static int name_image(struct linux_state *state, const struct image *image, uint64_t shift,
                      const char *name)
{
    struct space *space = vm_space(state->vm);
    struct space_file *file =
        space_file_create(space, name, image->source.key.device, image->source.key.inode);
    int result = file ? 0 : -ENOMEM;

    for (size_t i = 0; i < image->segment_count && !result; i++) {
        const struct image_segment *segment = &image->segments[i];
        uint64_t start = segment->addr + image->bias + shift, first = page_down(start);
        struct space_label label = {file, segment->offset - start};

        if (segment->file_bytes)
            result = space_set_label(space, guest_addr(first),
                                     page_up(start + segment->file_bytes) - first, label);
    }
    space_file_release(space, file);
    return result;
}

/* The auxiliary vector as it is on the stack at the start, before the program runs. */
static void keep_vector(struct linux_state *state, struct guest_addr stack)
{
    const struct space *space = vm_space(state->vm);
    const uint64_t *word =
        space_at(space, stack, FERRY_PROGRAM_HIGH - stack.value, SPACE_READ | SPACE_WRITE);

    state->vector_words = 0;
    if (!word)
        return;
    word += 1 + word[0] + 1;
    while (*word++)
        ;
    while (state->vector_words < VECTOR_WORDS_MAX) {
        state->vector[state->vector_words++] = *word++;
        state->vector[state->vector_words++] = *word++;
        if (state->vector[state->vector_words - 2] == AT_NULL)
            break;
    }
}

int linux_loaded(struct linux_state *state, const struct program *program, struct guest_addr stack)
{
    const char *name = state->program ? state->program : program->file;
    int result = name_image(state, program->image, 0, name);

    if (!result && program->loader)
        result = name_image(state, program->loader, program->loader_shift,
                            state->opened ? state->opened : program->image->loader);
    state->stack_top = stack.value;
    keep_vector(state, stack);
    return result;
}

void proc_auxv(struct linux_state *state, FILE *out)
{
    fwrite(state->vector, sizeof(state->vector[0]), state->vector_words, out);
}

/* ---- lines --------------------------------------------------------------- */

/* The bits that make two ranges different mappings to Linux. */
#define LINE_RIGHTS                                                                           \
    (SPACE_READ | SPACE_WRITE | SPACE_EXEC | SPACE_SHARED | SPACE_NORESERVE | SPACE_UNASKED | \
     SPACE_STORED)

static const char *line_name(const struct linux_state *state, const struct space_region *line)
{
    uint64_t top = state->stack_top ? state->stack_top : FERRY_PROGRAM_HIGH - PAGE;

    if (line->label.file)
        return line->label.file->path;
    if (line->start == FERRY_CLOCK_ADDR || line->start == FERRY_VDSO_ADDR)
        return line->start == FERRY_VDSO_ADDR ? "[vdso]" : "[vvar]";
    if (line->start <= top && line->end > top)
        return "[stack]";
    return line->start >= state->heap_start && line->start < state->heap_break ? "[heap]" : NULL;
}

static void put_name(FILE *out, const char *name)
{
    while (*name) {
        size_t plain = strcspn(name, "\n");

        fwrite(name, 1, plain, out);
        for (name += plain; *name == '\n'; name++)
            fputs("\\012", out);
    }
}

static void put_line(const struct linux_state *state, const struct space_region *line, FILE *out)
{
    const struct space_file *file = line->label.file;
    const char *name = line_name(state, line);
    bool reads = line->prot & SPACE_READ && !(line->prot & SPACE_UNASKED);
    int width;

    if (line->start >= line->end)
        return;
    width =
        fprintf(out, "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64 " %02x:%02x %" PRIu64 " ",
                line->start, line->end, reads ? 'r' : '-', line->prot & SPACE_WRITE ? 'w' : '-',
                line->prot & SPACE_EXEC ? 'x' : '-', line->prot & SPACE_SHARED ? 's' : 'p',
                file ? line->start + line->label.shift : 0, file ? major(file->dev) : 0,
                file ? minor(file->dev) : 0, file ? file->ino : 0);
    if (name) {
        fprintf(out, "%*s", width < NAME_COLUMN ? NAME_COLUMN - width + 1 : 1, "");
        put_name(out, name);
    }
    fputs(file && file->deleted ? " (deleted)\n" : "\n", out);
}

/* Whether the region goes on with the line. Stack and heap begin lines of their own. */
static bool goes_on(const struct linux_state *state, const struct space_region *line,
                    const struct space_region *region)
{
    return line->end == region->start && line->prot == (region->prot & LINE_RIGHTS) &&
           line->label.file == region->label.file && line->label.shift == region->label.shift &&
           region->start != state->stack_start && region->start != state->heap_start;
}

/* Adds a part of a region to the line, or begins the next one with it. */
static void add_part(const struct linux_state *state, struct space_region *line,
                     struct space_region part, FILE *out)
{
    part.prot &= LINE_RIGHTS;
    if (part.start >= part.end)
        return;
    if (goes_on(state, line, &part)) {
        line->end = part.end;
        return;
    }
    put_line(state, line, out);
    *line = part;
}

/* The parts of the region below the heap's beginning, in it, and behind what it keeps beyond the
 * break, which is no memory of the program's yet. */
static void add_region(const struct linux_state *state, struct space_region *line,
                       const struct space_region *region, FILE *out)
{
    uint64_t cuts[] = {state->heap_start, page_up(state->heap_break), state->heap_mapped};
    struct space_region below = *region, heap = *region, behind = *region;

    below.end = min_u64(region->end, cuts[0]);
    heap.start = max_u64(region->start, cuts[0]);
    heap.end = min_u64(region->end, cuts[1]);
    behind.start = max_u64(region->start, cuts[2]);
    add_part(state, line, below, out);
    add_part(state, line, heap, out);
    add_part(state, line, behind, out);
}

static void put_regions(const struct linux_state *state, uint64_t from, uint64_t to, FILE *out)
{
    const struct space *space = vm_space(state->vm);
    struct space_region line = {0};

    for (size_t i = 0; i < space->count && !ferror(out); i++) {
        if (space->regions[i].start >= from && space->regions[i].end <= to)
            add_region(state, &line, &space->regions[i], out);
    }
    put_line(state, &line, out);
}

void proc_maps(struct linux_state *state, FILE *out)
{
    const struct space_region vvar = {
        .start = FERRY_CLOCK_ADDR, .end = FERRY_VDSO_ADDR, .prot = SPACE_READ};
    const struct space_region vdso = {.start = FERRY_VDSO_ADDR,
                                      .end = FERRY_VDSO_ADDR + FERRY_VDSO_BYTES,
                                      .prot = SPACE_READ | SPACE_EXEC};

    mapped_look(state);
    put_regions(state, 0, FERRY_PROGRAM_HIGH, out);
    put_line(state, &vvar, out);
    put_line(state, &vdso, out);
    put_regions(state, FERRY_PROGRAM_FAR_LOW, FERRY_PROGRAM_FAR_HIGH, out);
}
