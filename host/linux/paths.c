/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the walk from a name of the program to what it means in the view, and so the only way from a
 * name to a file of the host. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "linux/host_file.h"
#include "linux/made.h"
#include "linux/mounts.h"
#include "linux/state.h"

#define LINKS_MAX 40    /* as Linux */
#define STEPS_MAX 16384 /* components: ".." and links start the walk anew, so it is bounded here */

struct walk {
    struct linux_state *state;
    struct found *at; /* where it is; ->text is "" at the root while the walk lasts */
    unsigned flags, links, steps;
    bool own;            /* at->fd is to be closed: it is not the mount's */
    bool anew;           /* what is left is an absolute name, and the walk is nowhere */
    char left[PATH_MAX]; /* what is to be walked: components with one slash between them */
};

/* ---- names as text ------------------------------------------------------- */

/* Adds the components of a name to `to`, without "." and empty ones. */
static int add_name(struct walk *walk, char to[PATH_MAX], const char *name)
{
    size_t used = strlen(to);

    while (*name) {
        size_t bytes = strcspn(name, "/");

        walk->at->directory |= !name[bytes + (name[bytes] == '/')] &&
                               (name[bytes] == '/' || (bytes == 1 && name[0] == '.'));
        if (bytes && !(bytes == 1 && name[0] == '.')) {
            if (bytes > NAME_MAX || used + 1 + bytes >= PATH_MAX - 1)
                return -ENAMETOOLONG;
            if (used)
                to[used++] = '/';
            memcpy(to + used, name, bytes);
            used += bytes;
            to[used] = 0;
        }
        name += bytes + (name[bytes] == '/');
    }
    return 0;
}

/* What is left becomes the three, one below the other. */
static int set_left(struct walk *walk, const char *base, const char *name, const char *rest)
{
    char text[PATH_MAX] = "";
    bool directory = walk->at->directory;
    int result = add_name(walk, text, base);

    if (!result)
        result = add_name(walk, text, name);
    if (*rest)
        walk->at->directory = directory;
    if (!result)
        result = add_name(walk, text, rest);
    memcpy(walk->left, text, sizeof(text));
    return result;
}

/* False: it does not fit. */
static bool append(char path[PATH_MAX], const char *name)
{
    size_t used = strlen(path), bytes = strlen(name);

    if (used + 1 + bytes >= PATH_MAX)
        return false;
    path[used] = '/';
    memcpy(path + used + 1, name, bytes + 1);
    return true;
}

static bool has_up(const char *left)
{
    for (const char *at = left; (at = strstr(at, "..")); at += 2) {
        if ((at == left || at[-1] == '/') && (!at[2] || at[2] == '/'))
            return true;
    }
    return false;
}

/* ---- where the walk is --------------------------------------------------- */

static void go_nowhere(struct walk *walk, enum place place)
{
    if (walk->own)
        close(walk->at->fd);
    walk->own = false;
    walk->at->fd = -1;
    walk->at->mount = NULL;
    walk->at->place = place;
}

/* Whether the mount's file system answers always. Asked once, when it matters. */
static int learn(struct linux_state *state, struct mount *mount)
{
    struct host_call call = {.op = HOST_LOOK_UP, .fd = mount->fd, .path = ""};
    int64_t fd = mount->known ? -EALREADY : host_file_call(state, false, &call);

    if (fd == -EINTR)
        return -EINTR;
    mount->known = true;
    if (fd >= 0) {
        mount->local = call.local;
        close((int)fd);
    }
    return 0;
}

static int go_to_mount(struct walk *walk, struct mount *mount)
{
    int result = view_make_private(walk->state, mount);

    if (!result)
        result = learn(walk->state, mount);
    go_nowhere(walk, PLACE_INSIDE);
    walk->at->mount = mount;
    walk->at->fd = mount->fd;
    walk->at->local = mount->local;
    walk->at->stat = (struct stat){.st_mode = mount->file ? S_IFREG : S_IFDIR | 0555};
    walk->at->partly = mount->shown;
    return result;
}

/* Looks the name up below where the walk is. First tries the way that leaves the directory's file
 * system for no other, which may not answer. */
static int look_up(struct walk *walk, const char *name, struct host_call *call)
{
    int64_t fd;

    *call = (struct host_call){
        .op = HOST_LOOK_UP, .fd = walk->at->fd, .path = name, .here = walk->at->local};
    fd = host_file_call(walk->state, call->here, call);
    if (fd == -EXDEV && call->here) {
        call->here = false;
        fd = host_file_call(walk->state, false, call);
    }
    return (int)(fd == -EXDEV || fd == -EAGAIN ? -EACCES : fd);
}

static void go_to_file(struct walk *walk, int fd, const struct host_call *call)
{
    if (walk->own)
        close(walk->at->fd);
    walk->own = true;
    walk->at->fd = fd;
    walk->at->partly = false;
    walk->at->local = call->local;
    walk->at->stat = call->stat;
}

static bool is_directory(const struct found *at)
{
    return at->place == PLACE_ABOVE || at->place == PLACE_LIST ||
           (at->place == PLACE_INSIDE && S_ISDIR(at->stat.st_mode));
}

/* ---- links --------------------------------------------------------------- */

static bool ends_here(const struct walk *walk, const struct stat *stat)
{
    return !S_ISLNK(stat->st_mode) ||
           (!walk->left[0] && !(walk->flags & FIND_FOLLOW) && !walk->at->directory);
}

/* Goes on with the target of the link `fd`, whose directory is `parent`. The walk is in that
 * directory, or (anew) somewhere above it. */
static int follow(struct walk *walk, int fd, bool local, const char *parent, bool anew)
{
    char target[PATH_MAX];
    struct host_call call = {
        .op = HOST_READLINK, .fd = fd, .to = target, .bytes = sizeof(target) - 1};
    int64_t got = ++walk->links > LINKS_MAX ? -ELOOP : host_file_call(walk->state, local, &call);

    close(fd);
    if (got <= 0)
        return got ? (int)got : -ENOENT;
    target[got] = 0;
    if (target[0] != '/' && !anew && !has_up(target)) {
        memcpy(walk->at->text, parent, strlen(parent) + 1);
        return set_left(walk, "", target, walk->left);
    }
    walk->anew = true;
    return set_left(walk, target[0] == '/' ? "" : parent, target, walk->left);
}

/* ---- the walk ------------------------------------------------------------ */

/* Whether it is below /proc or the like, which no mount of a directory above it shows. */
static bool is_own(const struct walk *walk, const char *path)
{
    return special_own(path) && !special_own(walk->at->mount->path);
}

/* Whether the mount shows the file that was looked up. */
static bool shows(const struct mount *mount, const char *path, enum shown what, mode_t mode)
{
    if (what == SHOWN_PARTLY)
        return S_ISDIR(mode) || S_ISLNK(mode);
    return what == SHOWN && (!mount->libraries || !S_ISREG(mode) || shown_is_library(path));
}

/* All that is left at once, if no link is on the way and no other meaning. 1: that is not so. */
static int jump(struct walk *walk)
{
    struct found *at = walk->at;
    char full[PATH_MAX], parent[PATH_MAX];
    struct host_call call;
    enum place place;
    uint64_t which;
    int fd;

    memcpy(full, at->text, sizeof(full));
    if (at->mount->kind == MOUNT_SYSTEM || at->mount->shown || at->mount->file)
        return 1;
    if (!walk->left[0] || has_up(walk->left) || !append(full, walk->left))
        return 1;
    if (special_place(walk->state, full, true, &place, &which) ||
        terminal_named(walk->state, full, &which) || is_own(walk, full) ||
        view_above(&walk->state->common->view, full))
        return 1;
    fd = look_up(walk, walk->left, &call);
    if (fd == -ELOOP || (fd == -ENOENT && walk->flags & FIND_NEW) ||
        (fd < 0 && fd != -EINTR && special_own(full)))
        return 1;
    walk->left[0] = 0;
    if (fd < 0) {
        memcpy(at->text, full, sizeof(full));
        return fd;
    }
    if (!ends_here(walk, &call.stat)) {
        memcpy(parent, full, sizeof(full));
        *strrchr(parent, '/') = 0;
        return follow(walk, fd, call.local, parent, true);
    }
    memcpy(at->text, full, sizeof(full));
    go_to_file(walk, fd, &call);
    return 0;
}

/* What is left is an absolute name: begins at the innermost mount that surely holds it. */
static int start(struct walk *walk)
{
    char clean[PATH_MAX + 1] = "/";
    struct mount *mount;
    size_t skip;
    int result;

    strcpy(clean + 1, walk->left);
    for (char *at = clean; has_up(at);)
        *strrchr(clean, '/') = 0;
    mount = view_mount_of(&walk->state->common->view, clean);
    walk->anew = false;
    walk->at->text[0] = 0;
    if (!mount) {
        go_nowhere(walk, PLACE_ABOVE);
        return 0;
    }
    result = go_to_mount(walk, mount);
    if (result)
        return result;
    skip = strlen(mount->path + 1);
    memcpy(walk->at->text, mount->path, skip ? skip + 2 : 0);
    if (!skip)
        walk->at->text[0] = 0;
    skip += walk->left[skip] == '/';
    memmove(walk->left, walk->left + skip, strlen(walk->left + skip) + 1);
    result = jump(walk);
    return result < 0 ? result : 0;
}

/* Takes the first component of what is left. */
static void take(struct walk *walk, char name[NAME_MAX + 1])
{
    size_t bytes = strcspn(walk->left, "/"), skip = bytes + (walk->left[bytes] == '/');

    memcpy(name, walk->left, bytes);
    name[bytes] = 0;
    memmove(walk->left, walk->left + skip, strlen(walk->left + skip) + 1);
}

static int go_up(struct walk *walk)
{
    char parent[PATH_MAX];
    char *slash;

    memcpy(parent, walk->at->text, sizeof(parent));
    slash = strrchr(parent, '/');
    if (slash)
        *slash = 0;
    walk->anew = true;
    return set_left(walk, parent, "", walk->left);
}

static bool is_above(const struct walk *walk, const char *path)
{
    return view_above(&walk->state->common->view, path) || special_above(walk->state, path) ||
           terminal_above(walk->state, path);
}

/* A directory on the way to something; or nothing, of which the text is the whole name. */
static int go_above(struct walk *walk)
{
    struct found *at = walk->at;
    char name[NAME_MAX + 1];

    if (is_above(walk, at->text)) {
        go_nowhere(walk, PLACE_ABOVE);
        return 0;
    }
    go_nowhere(walk, PLACE_OUTSIDE);
    while (walk->left[0]) { /* only for what is said of it */
        take(walk, name);
        if (strcmp(name, "..") == 0)
            *strrchr(at->text, '/') = 0;
        else if (!append(at->text, name))
            return -ENAMETOOLONG;
        if (!at->text[0])
            walk->left[0] = 0;
    }
    return 0;
}

/* `name` was appended to the text: looks it up in the mount. */
static int go_down(struct walk *walk, const char *name, const char *parent)
{
    struct found *at = walk->at;
    struct mount *mount = at->mount;
    enum shown what = shown(mount->shown, at->text);
    struct host_call call;
    int fd;

    if (what == HIDDEN)
        return go_above(walk);
    fd = look_up(walk, name, &call);
    if (fd >= 0 && !shows(mount, at->text, what, call.stat.st_mode)) {
        close(fd);
        return go_above(walk);
    }
    if (fd < 0 && fd != -EINTR && (is_above(walk, at->text)))
        return go_above(walk);
    if (fd == -ENOENT && !walk->left[0] && walk->flags & FIND_NEW) {
        at->place = PLACE_MISSING;
        return 0;
    }
    if (fd < 0)
        return fd;
    if (!ends_here(walk, &call.stat))
        return follow(walk, fd, call.local, parent, false);
    go_to_file(walk, fd, &call);
    at->partly = what == SHOWN_PARTLY;
    return 0;
}

/* Whether the mount, and no made-up file, says what the name means. */
static bool shows_below(const struct found *at)
{
    return at->place == PLACE_INSIDE && shown(at->mount->shown, at->text) != HIDDEN;
}

/* The walk is at a link that is made up. */
static int follow_made(struct walk *walk, const char *target)
{
    if (!walk->left[0] && !(walk->flags & FIND_FOLLOW) && !walk->at->directory) {
        go_nowhere(walk, PLACE_LINK);
        return 0;
    }
    if (++walk->links > LINKS_MAX)
        return -ELOOP;
    walk->anew = true;
    return set_left(walk, "", target, walk->left);
}

static int step(struct walk *walk)
{
    struct found *at = walk->at;
    char name[NAME_MAX + 1], parent[PATH_MAX], target[PATH_MAX];
    struct mount *mount;
    enum place place;

    if (++walk->steps > STEPS_MAX)
        return -ELOOP;
    if (!is_directory(at))
        return -ENOTDIR;
    if (at->place == PLACE_INSIDE && !found_is_public(at, S_IXOTH))
        return -EACCES;
    take(walk, name);
    if (strcmp(name, "..") == 0)
        return go_up(walk);
    memcpy(parent, at->text, sizeof(parent));
    if (!append(at->text, name))
        return -ENAMETOOLONG;
    mount = view_mount_of(&walk->state->common->view, at->text);
    if (mount && strcmp(mount->path, at->text) == 0)
        return go_to_mount(walk, mount);
    if (made_link(walk->state, at->text, target, sizeof(target)) >= 0)
        return follow_made(walk, target);
    if (terminal_named(walk->state, at->text, &at->which)) {
        go_nowhere(walk, PLACE_DEVICE);
        return 0;
    }
    if (special_place(walk->state, at->text, shows_below(at), &place, &at->which)) {
        go_nowhere(walk, place);
        return 0;
    }
    if (at->place == PLACE_INSIDE && !is_own(walk, at->text))
        return go_down(walk, name, parent);
    return go_above(walk);
}

/* The file of the mount, in a descriptor of its own. */
static int open_file_mount(struct walk *walk, struct host_call *call)
{
    int fd = fcntl(walk->at->fd, F_DUPFD_CLOEXEC, 0);
    int64_t result;

    if (fd < 0)
        return -EMFILE;
    *call = (struct host_call){.op = HOST_STAT, .fd = fd};
    result = host_file_call(walk->state, walk->at->local, call);
    call->local = walk->at->local;
    if (result < 0)
        close(fd);
    return result < 0 ? (int)result : fd;
}

/* The walk is where the name leads. */
static int arrive(struct walk *walk)
{
    struct found *at = walk->at;
    bool partly = at->partly;
    struct host_call call;
    int fd;

    if (!at->text[0])
        memcpy(at->text, "/", 2);
    if (at->place == PLACE_MISSING && walk->flags & FIND_NEW_DIRECTORY)
        at->directory = false;
    if (at->directory && at->place != PLACE_OUTSIDE && !is_directory(at))
        return at->place == PLACE_MISSING ? -ENOENT : -ENOTDIR;
    if (walk->own || (at->place != PLACE_INSIDE && at->place != PLACE_MISSING))
        return 0;
    fd = at->mount && at->mount->file ? open_file_mount(walk, &call) : look_up(walk, "", &call);
    if (fd < 0)
        return fd;
    go_to_file(walk, fd, &call);
    at->partly = partly;
    return 0;
}

int path_walk(struct linux_state *state, const char *base, const char *name, unsigned flags,
              struct found *out)
{
    struct walk walk = {.state = state, .at = out, .flags = flags};
    int result;

    out->place = PLACE_ABOVE;
    out->mount = NULL;
    out->fd = -1;
    out->directory = false;
    out->partly = false;
    out->text[0] = 0;
    result = set_left(&walk, name[0] == '/' ? "" : base, name, "");
    walk.anew = true;
    while (!result && (walk.anew || walk.left[0]))
        result = walk.anew ? start(&walk) : step(&walk);
    if (!result)
        result = arrive(&walk);
    if (!out->text[0])
        memcpy(out->text, "/", 2);
    if (result)
        go_nowhere(&walk, out->place);
    return result;
}
