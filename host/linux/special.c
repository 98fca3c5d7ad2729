/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the names that mean something without any file of the host: devices, the program's own
 * descriptors, and what made.c makes up. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux/file_type.h"
#include "linux/made.h"
#include "linux/state.h"

static const struct {
    const char *name;
    enum device device;
} devices[] = {
    {"/dev/null", DEVICE_NULL},     {"/dev/zero", DEVICE_ZERO},       {"/dev/full", DEVICE_FULL},
    {"/dev/random", DEVICE_RANDOM}, {"/dev/urandom", DEVICE_URANDOM}, {"/dev/tty", DEVICE_TTY},
};
#define DEVICES (sizeof(devices) / sizeof(devices[0]))

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

bool special_place(struct linux_state *state, const char *path, bool rooted, enum place *place,
                   uint64_t *which)
{
    int made;

    for (unsigned i = 0; i < DEVICES; i++) {
        if (strcmp(path, devices[i].name) == 0) {
            *which = devices[i].device;
            *place = PLACE_DEVICE;
            return true;
        }
    }
    made = made_find(path);
    if (made >= 0 && (!rooted || strncmp(path, "/etc/", 5) != 0)) {
        *which = (uint64_t)made;
        *place = PLACE_MADE;
        return true;
    }
    if (numbered_place(state, path, which)) {
        *place = PLACE_MADE;
        return true;
    }
    *place = PLACE_LIST;
    if (strcmp(path, FD_DIRECTORY) == 0 || strcmp(path, "/dev/fd") == 0)
        return true;
    *place = PLACE_DESCRIPTOR;
    return names_descriptor(path, which);
}

const char *special_name(unsigned i, unsigned char *type)
{
    static const char *const descriptors[] = {"/dev/fd", "/dev/stdin", "/dev/stdout",
                                              "/dev/stderr"};
    const char *name;
    bool is_link;

    *type = DT_CHR;
    if (i < DEVICES)
        return devices[i].name;
    i -= DEVICES;
    *type = DT_LNK;
    if (i < 4)
        return descriptors[i];
    *type = DT_DIR;
    if (i == 4)
        return FD_DIRECTORY;
    name = made_name(i - 5, &is_link);
    *type = is_link ? DT_LNK : DT_REG;
    return name;
}

bool special_above(struct linux_state *state, const char *path)
{
    size_t bytes = strcmp(path, "/") != 0 ? strlen(path) : 0;
    const char *name;
    unsigned char unused;

    for (unsigned i = 0; (name = special_name(i, &unused)); i++) {
        if (strncmp(name, path, bytes) == 0 && name[bytes] == '/')
            return true;
    }
    return numbered_above(state, path);
}

bool special_own(const char *path)
{
    static const char *const own[] = {"/dev", "/proc", "/sys"};

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
    if (file->given)
        return given_name(file, text, bytes);
    name = file_type(file)->name;
    if (name && strncmp(name, "anon_inode:", 11) == 0)
        return snprintf(text, bytes, "%s", name);
    if (name)
        return file_stat(state, file, &stat)
                   ? -ENOENT
                   : snprintf(text, bytes, "%s:[%lu]", name, (unsigned long)stat.st_ino);
    if (file->kind == FILE_LIST && !file->path)
        return snprintf(text, bytes, FD_DIRECTORY);
    return snprintf(text, bytes, "%s",
                    file->kind == FILE_DEVICE ? device_name(file->device) : file->path);
}
