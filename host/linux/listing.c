/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what a program reads in a directory of which the host has no such list: one that leads to
 * mounts and special names, one of which not all is shown, and /proc/self/fd. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/file_type.h"
#include "linux/made.h"
#include "linux/objects.h"
#include "linux/state.h"

#define NAMES_MAX 4096

/* What was in the directory when it was opened. */
struct names {
    struct stat stat;
    size_t count;
    struct name {
        unsigned char type;
        char text[NAME_MAX + 1];
    } * all;
};

/* ---- collecting ---------------------------------------------------------- */

/* The same name is there once. False: there is no memory. */
static bool add(struct names *names, const char *text, size_t bytes, unsigned char type)
{
    struct name *all;

    if (bytes == 0 || bytes > NAME_MAX || names->count == NAMES_MAX)
        return true;
    for (size_t i = 0; i < names->count; i++) {
        if (strncmp(names->all[i].text, text, bytes) == 0 && !names->all[i].text[bytes])
            return true;
    }
    all = realloc(names->all, (names->count + 1) * sizeof(*all));
    if (!all)
        return false;
    names->all = all;
    all[names->count].type = type;
    memcpy(all[names->count].text, text, bytes);
    all[names->count++].text[bytes] = 0;
    return true;
}

/* If `path` lies below the directory: the part of it that is a name in the directory. */
static bool add_path(struct names *names, const char *directory, const char *path,
                     unsigned char type)
{
    size_t top = strcmp(directory, "/") != 0 ? strlen(directory) : 0, bytes;

    if (strncmp(directory, path, top) != 0 || path[top] != '/')
        return true;
    path += top + 1;
    bytes = strcspn(path, "/");
    return add(names, path, bytes, path[bytes] ? DT_DIR : type);
}

/* Of names that have numbers. */
struct numbered_in {
    struct names *names;
    const char *directory;
};

static bool add_numbered(void *arg, const char *path, uint8_t type)
{
    const struct numbered_in *in = arg;

    return add_path(in->names, in->directory, path, type);
}

static bool add_special(const struct linux_state *state, struct names *names, const char *directory)
{
    struct numbered_in in = {names, directory};
    const char *path;
    unsigned char type;

    for (unsigned i = 0; (path = special_name(i, &type)); i++) {
        if (!add_path(names, directory, path, type))
            return false;
    }
    return strncmp(directory, "/proc", 5) != 0 || numbered_names(state, add_numbered, &in);
}

/* The mounts, and of a mount that shows a list the names of the host that are on it. */
static bool add_mounts(const struct linux_state *state, struct names *names, const char *directory)
{
    for (size_t i = 0; i < state->common->view.count; i++) {
        const struct mount *mount = &state->common->view.mounts[i];

        if (!add_path(names, directory, mount->path, mount->file ? DT_REG : DT_DIR))
            return false;
    }
    return true;
}

/* Only a mount at "/" shows a list, so the names in it are the program's own. */
static bool add_host(struct names *names, const struct found *found)
{
    char path[PATH_MAX];
    bool done = true;
    int fd = openat(found->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (!dir && fd >= 0)
        close(fd);
    while (dir && done && (entry = readdir(dir))) {
        int bytes =
            snprintf(path, sizeof(path), "%s/%s", found->text[1] ? found->text : "", entry->d_name);

        if (entry->d_name[0] == '.' || bytes >= (int)sizeof(path) ||
            shown(found->mount->shown, path) == HIDDEN)
            continue;
        done = add(names, entry->d_name, strlen(entry->d_name), entry->d_type);
    }
    if (dir)
        closedir(dir);
    return done;
}

static size_t names_bytes(const struct names *names)
{
    return names->count * sizeof(*names->all);
}

static void names_free(struct names *names)
{
    free(names->all);
    free(names);
}

/* NULL: there is no memory. */
static struct names *collect(struct linux_state *state, const struct found *found)
{
    struct names *names = calloc(1, sizeof(*names));
    bool host = found->place == PLACE_INSIDE && found->local && found_is_public(found, S_IROTH);

    if (!names)
        return NULL;
    if (!add_special(state, names, found->text) || !add_mounts(state, names, found->text) ||
        (host && !add_host(names, found))) {
        names_free(names);
        return NULL;
    }
    if (found->place == PLACE_INSIDE)
        names->stat = found->stat;
    else
        listing_stat(found->text, &names->stat);
    return names;
}

int listing_open(struct linux_state *state, const struct found *found, struct open_file *like)
{
    struct names *names = collect(state, found);

    like->kind = FILE_LIST;
    like->fd = -1;
    like->object = names;
    like->path = names ? strdup(found->text) : NULL;
    if (like->path && object_charge(state, names_bytes(names)) == 0)
        return 0;
    free(like->path);
    if (names)
        names_free(names);
    return -ENOMEM;
}

/* ---- as a file ----------------------------------------------------------- */

/* Programs tell directories apart by their numbers. */
void listing_stat(const char *path, struct stat *out)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 0x100000001b3u;
    *out =
        (struct stat){.st_ino = hash, .st_nlink = 2, .st_mode = S_IFDIR | 0555, .st_blksize = 4096};
}

static int list_stat(struct linux_state *state, const struct open_file *file, struct stat *out)
{
    const struct names *names = file->object;

    (void)state;
    if (names)
        *out = names->stat;
    else
        out->st_nlink = 2;
    return 0;
}

static int64_t list_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    (void)state;
    (void)file;
    (void)to;
    (void)bytes;
    return -EISDIR;
}

static void list_release(struct linux_state *state, const struct open_file *file)
{
    struct names *names = file->object;

    if (!names)
        return;
    object_uncharge(state, names_bytes(names));
    names_free(names);
}

const struct file_type list_type = {
    .mode = S_IFDIR | 0500,
    .get = list_get,
    .stat = list_stat,
    .release = list_release,
};

/* ---- reading it ---------------------------------------------------------- */

/* As getdents64 gives them: the 19 bytes before the name, the name, up to a multiple of 8. */
struct entry {
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[NAME_MAX + 1 + 6];
};
#define ENTRY_NAME 19

/* The first place at or after that one where there is an entry. */
static off_t skip(const struct linux_state *state, const struct names *names, off_t at)
{
    while (!names && at >= 2 && at < 2 + DESCRIPTORS_MAX && !state->descriptors[at - 2].file)
        at++;
    return at;
}

/* The entry at that place of the list or after it; false: there is none. */
static bool next_entry(const struct linux_state *state, const struct names *names, off_t at,
                       struct entry *entry)
{
    off_t end = 2 + (names ? (off_t)names->count : DESCRIPTORS_MAX);

    at = skip(state, names, at);
    if (at < 0 || at >= end)
        return false;
    *entry = (struct entry){.inode = 100 + (uint64_t)at, .next = at + 1};
    entry->type = at < 2 ? DT_DIR : names ? names->all[at - 2].type : DT_LNK;
    if (at < 2)
        snprintf(entry->name, sizeof(entry->name), "%s", at ? ".." : ".");
    else if (names)
        snprintf(entry->name, sizeof(entry->name), "%s", names->all[at - 2].text);
    else
        snprintf(entry->name, sizeof(entry->name), "%d", (int)at - 2);
    entry->bytes = (uint16_t)((ENTRY_NAME + strlen(entry->name) + 1 + 7) & ~7ul);
    return true;
}

int64_t listing_entries(struct linux_state *state, struct open_file *file, uint64_t addr,
                        uint64_t bytes)
{
    struct entry entry;
    uint64_t done = 0;

    while (next_entry(state, file->object, file->position, &entry)) {
        if (entry.bytes > bytes - done)
            return done ? (int64_t)done : -EINVAL;
        if (guest_put(state, addr + done, &entry, entry.bytes))
            return done ? (int64_t)done : -EFAULT;
        done += entry.bytes;
        file->position = entry.next;
    }
    return (int64_t)done;
}
