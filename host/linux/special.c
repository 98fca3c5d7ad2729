/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the names that mean something without any file of the host: devices, the program's own
 * descriptors, and the few files that describe the VM's user. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/state.h"

static const struct {
    const char *name;
    enum device device;
} devices[] = {
    {"/dev/null", DEVICE_NULL},     {"/dev/zero", DEVICE_ZERO},       {"/dev/full", DEVICE_FULL},
    {"/dev/random", DEVICE_RANDOM}, {"/dev/urandom", DEVICE_URANDOM},
};
#define DEVICES (sizeof(devices) / sizeof(devices[0]))

/* Programs look up their user and fail where there is none. */
static const struct {
    const char *name, *text;
} made[MADE_FILES] = {
    {"/etc/passwd", "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"},
    {"/etc/group", "root:x:0:\nnogroup:x:65534:\n"},
    {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"},
};

#define FD_DIRECTORY "/proc/self/fd"

/* The number that a name like "/proc/self/fd/1" ends with. */
static bool names_descriptor(const char *path, uint64_t *fd)
{
    static const char *const standard[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
    static const char *const folders[] = {FD_DIRECTORY "/", "/dev/fd/"};

    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(path, standard[i]) == 0) {
            *fd = i;
            return true;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        const char *digits = path + strlen(folders[i]);

        if (strncmp(path, folders[i], strlen(folders[i])) != 0)
            continue;
        if (!digits[0] || strlen(digits) > 4 || digits[strspn(digits, "0123456789")])
            return false;
        *fd = strtoul(digits, NULL, 10);
        return true;
    }
    return false;
}

bool special_place(const char *path, bool rooted, enum place *place, uint64_t *which)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        if (strcmp(path, devices[i].name) == 0) {
            *which = devices[i].device;
            *place = PLACE_DEVICE;
            return true;
        }
    }
    for (unsigned i = 0; i < MADE_FILES && !rooted; i++) {
        if (strcmp(path, made[i].name) == 0) {
            *which = i;
            *place = PLACE_MADE;
            return true;
        }
    }
    *place = PLACE_LIST;
    if (strcmp(path, FD_DIRECTORY) == 0 || strcmp(path, "/dev/fd") == 0)
        return true;
    *place = PLACE_DESCRIPTOR;
    return names_descriptor(path, which);
}

bool special_above(const char *path)
{
    static const char *const above[] = {"/", "/dev", "/etc", "/proc", "/proc/self"};

    for (unsigned i = 0; i < sizeof(above) / sizeof(above[0]); i++) {
        if (strcmp(path, above[i]) == 0)
            return true;
    }
    return false;
}

bool special_own(const char *path)
{
    static const char *const own[] = {"/dev", "/proc"};

    for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        size_t bytes = strlen(own[i]);

        if (strncmp(path, own[i], bytes) == 0 && (!path[bytes] || path[bytes] == '/'))
            return true;
    }
    return false;
}

/* The program's name for the device. */
static const char *device_name(enum device device)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        if (devices[i].device == device)
            return devices[i].name;
    }
    return "";
}

int special_link(struct linux_state *state, const char *path, enum place place, uint64_t fd,
                 char *text, size_t bytes)
{
    const struct open_file *file;
    const char *name;
    struct stat stat;

    if (place == PLACE_LIST && strcmp(path, "/dev/fd") != 0)
        return -EINVAL;
    if (place == PLACE_LIST)
        return snprintf(text, bytes, FD_DIRECTORY);
    if (strncmp(path, "/dev/std", 8) == 0)
        return snprintf(text, bytes, FD_DIRECTORY "/%u", (unsigned)fd);
    file = descriptor_file(state, fd);
    if (!file)
        return -ENOENT;
    name = file_type(file)->name;
    if (name && strncmp(name, "anon_inode:", 11) == 0)
        return snprintf(text, bytes, "%s", name);
    if (name)
        return file_stat(state, file, &stat)
                   ? -ENOENT
                   : snprintf(text, bytes, "%s:[%lu]", name, (unsigned long)stat.st_ino);
    return snprintf(text, bytes, "%s",
                    file->kind == FILE_DEVICE ? device_name(file->device) : file->path);
}

static int make_file(const char *text)
{
    int fd = memfd_create("ferry-made", MFD_CLOEXEC);

    if (fd < 0)
        return -EMFILE;
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, 0444)) {
        close(fd);
        return -ENOMEM;
    }
    return fd;
}

/* It is made when first asked for, and one file from then on, as programs see by its number. */
int special_open_made(struct linux_state *state, uint64_t which)
{
    int fd;

    if (state->made[which] < 0)
        state->made[which] = make_file(made[which].text);
    if (state->made[which] < 0)
        return state->made[which];
    fd = fcntl(state->made[which], F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -EMFILE : fd;
}

/* ---- /proc/self/fd ------------------------------------------------------- */

/* As getdents64 gives them: the 19 bytes before the name, the name, up to a multiple of 8. */
struct entry {
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[13];
};
#define ENTRY_NAME 19

/* The entry at that place of the list or after it; false: there is none. */
static bool next_entry(struct linux_state *state, off_t at, struct entry *entry)
{
    static const char *const dots[] = {".", ".."};

    while (at >= 2 && at < 2 + DESCRIPTORS_MAX && !state->descriptors[at - 2].file)
        at++;
    if (at < 0 || at >= 2 + DESCRIPTORS_MAX)
        return false;
    *entry = (struct entry){.inode = 100 + (uint64_t)at, .next = at + 1};
    entry->type = at < 2 ? 4 : 10; /* DT_DIR, DT_LNK */
    if (at < 2)
        snprintf(entry->name, sizeof(entry->name), "%s", dots[at]);
    else
        snprintf(entry->name, sizeof(entry->name), "%d", (int)at - 2);
    entry->bytes = (uint16_t)((ENTRY_NAME + strlen(entry->name) + 1 + 7) & ~7ul);
    return true;
}

int64_t special_entries(struct linux_state *state, struct open_file *file, uint64_t addr,
                        uint64_t bytes)
{
    struct entry entry;
    uint64_t done = 0;

    while (next_entry(state, file->position, &entry)) {
        if (entry.bytes > bytes - done)
            return done ? (int64_t)done : -EINVAL;
        if (guest_put(state, addr + done, &entry, entry.bytes))
            return done ? (int64_t)done : -EFAULT;
        done += entry.bytes;
        file->position = entry.next;
    }
    return (int64_t)done;
}
