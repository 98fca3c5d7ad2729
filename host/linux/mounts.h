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

struct linux_config;
struct linux_state;
struct writable;

enum mount_kind {
    MOUNT_GIVEN,   /* of the host, named by the user: all that this process may read */
    MOUNT_SYSTEM,  /* of the host, read-only: what its "others" may read */
    MOUNT_PRIVATE, /* a directory in memory */
};

struct mount {
    enum mount_kind kind;
    char *path; /* absolute, normalised; of what a link led to there are two mounts */
    int fd;    /* O_PATH; of a directory, or of one regular file; -1: in memory, and not made yet */
    bool file; /* of a file */
    bool known, local;         /* as in struct open_file; asked for once */
    const char *const *shown;  /* what of it; NULL: all. Only of a mount at "/" */
    bool libraries;            /* and of the files only those that are libraries by their names */
    struct writable *writable; /* NULL: read-only */
};

struct view {
    struct mount *mounts;
    size_t count;
    char *root;                     /* the real path of the tree that is given as "/", or NULL */
    struct writable *host, *memory; /* all that the program may write on the host, and in memory */
    int memory_top;                 /* the directory that has those in memory, or -1 */
    int memory_refused;             /* the error why there can be none, or 0 */
    unsigned private_files;         /* descriptors of the host that these take */
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
    PLACE_LINK,       /* a link that is made up and not followed */
};

/* What a name led to. */
struct found {
    enum place place;
    uint64_t which;      /* the device, the descriptor, or the file that is made up */
    struct mount *mount; /* of PLACE_INSIDE and PLACE_MISSING; else NULL */
    int fd;           /* O_PATH: of PLACE_INSIDE the file, of PLACE_MISSING its directory; or -1 */
    bool local;       /* its file system answers always: see host_file.h */
    bool directory;   /* the name ended with a slash */
    bool partly;      /* of PLACE_INSIDE: a directory that has more than is shown */
    struct stat stat; /* of PLACE_INSIDE: a regular file, a directory, or a link not followed */
    char text[PATH_MAX]; /* absolute, without links, ".", ".." and "//" */
};

enum {
    FIND_FOLLOW = 1,        /* also a link that the name ends with */
    FIND_NEW = 2,           /* the last component need not exist */
    FIND_NEW_DIRECTORY = 4, /* with FIND_NEW: it is to be a directory, so a slash may follow it */
};

/* Fetches the string at `addr` and walks it from `dirfd` on. -ENOENT if it is empty. PLACE_OUTSIDE
 * is a result, not an error. After 0 the caller calls found_drop. */
int path_find(struct linux_state *state, uint64_t dirfd, uint64_t addr, unsigned flags,
              struct found *out);
/* The same for a name in memory of ours. */
int path_find_name(struct linux_state *state, uint64_t dirfd, const char *name, unsigned flags,
                   struct found *out);
/* paths.c: the same for a name below `base`, an absolute name. */
int path_walk(struct linux_state *state, const char *base, const char *name, unsigned flags,
              struct found *out);
/* The same for an absolute name that no call gave. */
int path_find_text(struct linux_state *state, const char *name, unsigned flags, struct found *out);
void found_drop(struct found *found);

/* Of PLACE_INSIDE: whether the mount's kind allows what these bits of the mode allow to others. */
bool found_is_public(const struct found *found, mode_t others);
/* The same, and whether this process may: as access(2). 0 or a negative errno. */
int found_may(struct linux_state *state, const struct found *found, int mode);

int view_init(struct linux_state *state, const struct linux_config *config);
/* The same view and working directory, with nothing in it that the program of the other one made. */
int view_copy(struct linux_state *state, const struct linux_state *like);
void view_fini(struct linux_state *state);

/* The innermost mount the path is at or below, which has to be absolute and normalised; NULL. */
struct mount *view_mount_of(const struct view *view, const char *path);
/* Whether a mount has this path, and more of it than what leads to something shown. */
bool view_shows(const struct view *view, const char *path);
/* Makes the directory in memory, if that was not done. */
int view_make_private(struct linux_state *state, struct mount *mount);
/* So many descriptors of the host that directories in memory took are closed. */
void view_give_files_back(struct linux_state *state, unsigned count);
/* Whether the path is of a directory on the way to a mount. */
bool view_above(const struct view *view, const char *path);

/* ---- shown.c ------------------------------------------------------------- */

enum shown { HIDDEN, SHOWN_PARTLY, SHOWN };

extern const char *const shown_of_system[], *const shown_bare[];
/* What such a list says of a path. Partly: it is a directory on the way to something shown. */
enum shown shown(const char *const *list, const char *path);
/* Whether a file that shown_bare shows is a library, or tells the loader where those are. */
bool shown_is_library(const char *path);

#endif
