/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the record of which files a program mapped as code, for the report of a crash. A record is a
 * hint: it is not taken back when the program maps something else there. It counts only if the bytes
 * at the address are those of the file, which is opened anew by its name in what the program sees.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/linux.h"
#include "linux/mounts.h"
#include "linux/state.h"
#include "program/image.h"

#define RECORDS_MAX 512 /* the oldest one gives way */
#define COMPARED    16  /* bytes at the address, less at the end of a page */

struct code_file {
    uint64_t start, end, offset; /* addresses, and where in the file they begin */
    char *path;
};

struct code_files {
    struct code_file records[RECORDS_MAX];
    size_t count; /* that were ever made */
};

void code_file_mapped(struct linux_state *state, const struct open_file *file, uint64_t start,
                      uint64_t bytes, uint64_t offset)
{
    struct code_file *record;
    char *path = file->path && file->local ? strdup(file->path) : NULL;

    if (!path)
        return;
    if (!state->code_files)
        state->code_files = calloc(1, sizeof(*state->code_files));
    if (!state->code_files) {
        free(path);
        return;
    }
    record = &state->code_files->records[state->code_files->count++ % RECORDS_MAX];
    free(record->path);
    *record = (struct code_file){start, start + bytes, offset, path};
}

void code_files_forget(struct linux_state *state)
{
    for (size_t i = 0; state->code_files && i < RECORDS_MAX; i++)
        free(state->code_files->records[i].path);
    free(state->code_files);
    state->code_files = NULL;
}

/* The newest record of the address, or NULL. */
static const struct code_file *find(const struct code_files *files, uint64_t addr)
{
    size_t kept = !files ? 0 : files->count < RECORDS_MAX ? files->count : RECORDS_MAX;

    for (size_t i = 1; i <= kept; i++) {
        const struct code_file *record = &files->records[(files->count - i) % RECORDS_MAX];

        if (addr >= record->start && addr < record->end)
            return record;
    }
    return NULL;
}

static bool same_bytes(struct linux_state *state, uint64_t addr, int fd, uint64_t offset)
{
    size_t bytes = FERRY_PAGE_BYTES - addr % FERRY_PAGE_BYTES;
    char memory[COMPARED], file[COMPARED];

    if (bytes > COMPARED)
        bytes = COMPARED;
    return !guest_get(state, addr, memory, bytes) &&
           pread(fd, file, bytes, (off_t)offset) == (ssize_t)bytes &&
           memcmp(memory, file, bytes) == 0;
}

int linux_code_at(struct linux_state *state, struct guest_addr addr, struct image_source *out,
                  uint64_t *offset, const char **path)
{
    const struct code_file *record = find(state->code_files, addr.value);
    struct found found;
    int result;

    if (!record)
        return -ENOENT;
    *path = record->path;
    *offset = addr.value - record->start + record->offset;
    result = path_find_text(state, record->path, 0, &found);
    if (result)
        return result;
    result = found.place == PLACE_INSIDE && S_ISREG(found.stat.st_mode) && found.local
                 ? found_may(state, &found, R_OK)
                 : -ENOENT;
    if (!result)
        result = (int)found_open(state, &found);
    if (result >= 0 && !found_is_public(&found, S_IROTH))
        result = -EACCES;
    if (result >= 0 && !same_bytes(state, addr.value, found.fd, *offset))
        result = -ESTALE;
    if (result >= 0) {
        result = image_source_take(found.fd, record->path, out, NULL);
        found.fd = -1;
    }
    found_drop(&found);
    return result;
}
