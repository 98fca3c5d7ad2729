/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: which files a program sees. A view is a table of mounts and of names
 * that Ferry gives a meaning (special.c). A name is walked component by component, as the kernel
 * does it, but here: so a symbolic link is followed inside the view, whatever it says, and nothing
 * outside is ever asked for. The host only looks one name up in one directory, or several at once
 * where no link is among them.
 */
#ifndef FERRY_HOST_LINUX_MOUNTS_H
#define FERRY_HOST_LINUX_MOUNTS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct linux_state;

enum mount_kind {
    MOUNT_GIVEN, /* a directory of the host that the user named, read-only */
};

struct mount {
    enum mount_kind kind;
    char *path;        /* absolute, normalised; a directory named through a link has two mounts */
    int fd;            /* O_PATH */
    bool known, local; /* as in struct open_file; asked for once */
};

struct view {
    struct mount *mounts;
    size_t count;
};

enum place {
    PLACE_OUTSIDE,    /* nothing the program may know of */
    PLACE_ABOVE,      /* a directory on the way to a mount or a special name */
    PLACE_INSIDE,     /* at or below a mount */
    PLACE_MISSING,    /* below a mount, and not there: only with FIND_NEW */
    PLACE_DEVICE,     /* /dev/null and its like */
    PLACE_DESCRIPTOR, /* /dev/stdin, /proc/self/fd/1, ...: an open descriptor */
    PLACE_LIST,       /* /proc/self/fd, /dev/fd */
    PLACE_MADE,       /* /etc/passwd and its like, where no real one can be seen */
};

/* What a name led to. */
struct found {
    enum place place;
    uint64_t which;      /* the device, the descriptor, or the file that is made up */
    struct mount *mount; /* of PLACE_INSIDE and PLACE_MISSING; else NULL */
    int fd;           /* O_PATH: of PLACE_INSIDE the file, of PLACE_MISSING its directory; or -1 */
    bool local;       /* its file system answers always: see host_file.h */
    bool directory;   /* the name ended with a slash */
    struct stat stat; /* of PLACE_INSIDE: a regular file, a directory, or a link not followed */
    char text[PATH_MAX]; /* absolute, without links, ".", ".." and "//" */
};

enum {
    FIND_FOLLOW = 1, /* also a link that the name ends with */
    FIND_NEW = 2,    /* the last component need not exist */
};

/* Fetches the string at `addr` and walks it from `dirfd` on. -ENOENT if it is empty. PLACE_OUTSIDE
 * is a result, not an error. After 0 the caller calls found_drop. */
int path_find(struct linux_state *state, uint64_t dirfd, uint64_t addr, unsigned flags,
              struct found *out);
/* The same for a name in memory of ours. */
int path_find_name(struct linux_state *state, uint64_t dirfd, const char *name, unsigned flags,
                   struct found *out);
/* The same for an absolute name that no call gave. */
int path_find_text(struct linux_state *state, const char *name, unsigned flags, struct found *out);
void found_drop(struct found *found);

int view_init(struct linux_state *state, const char *const *directories);
void view_fini(struct linux_state *state);
/* The innermost mount the path is at or below, which has to be absolute and normalised; NULL. */
struct mount *view_mount_of(const struct view *view, const char *path);
/* Whether the path is of a directory on the way to a mount. */
bool view_above(const struct view *view, const char *path);

#endif
