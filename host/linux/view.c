/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the table of mounts. */
#include "linux/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/host_file.h"
#include "linux/state.h"
#include "linux/writable.h"

/* Whether `path` is at or below `top`. */
static bool is_below(const char *top, const char *path)
{
    size_t bytes = strcmp(top, "/") != 0 ? strlen(top) : 0;

    return strncmp(top, path, bytes) == 0 && (!path[bytes] || path[bytes] == '/');
}

struct mount *view_mount_of(const struct view *view, const char *path)
{
    struct mount *found = NULL;

    for (size_t i = 0; i < view->count; i++) {
        struct mount *mount = &view->mounts[i];

        if (mount->path && is_below(mount->path, path) &&
            (!found || strlen(mount->path) > strlen(found->path)))
            found = mount;
    }
    return found;
}

bool view_shows(const struct view *view, const char *path)
{
    const struct mount *mount = view_mount_of(view, path);

    return mount && shown(mount->shown, path) == SHOWN;
}

bool view_above(const struct view *view, const char *path)
{
    for (size_t i = 0; i < view->count; i++) {
        const char *mount = view->mounts[i].path;

        if (strcmp(mount, path) != 0 && is_below(path, mount))
            return true;
    }
    return false;
}

/* Takes the descriptor over. There is room for it. */
static int add_mount(struct view *view, const char *path, const struct mount *like)
{
    char *copy = strdup(path);

    if (!copy) {
        if (like->fd >= 0)
            close(like->fd);
        return -ENOMEM;
    }
    view->mounts[view->count] = *like;
    view->mounts[view->count++].path = copy;
    return 0;
}

static int add_directory(struct view *view, const char *path, const char *host,
                         const struct mount *like)
{
    struct mount mount = *like;

    mount.fd = open(host, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (mount.fd < 0)
        return -errno;
    if (mount.kind == MOUNT_SYSTEM) { /* it answers: Ferry itself lies there */
        mount.known = true;
        mount.local = host_file_local(mount.fd);
    }
    return add_mount(view, path, &mount);
}

/* A name of the host made absolute and free of ".", ".." and "//", as text. */
static int absolute(const char *host_cwd, const char *given, char text[PATH_MAX])
{
    size_t used = 0;

    text[0] = 0;
    if (given[0] != '/' && strcmp(host_cwd, "/") != 0)
        used = strlen(strcpy(text, host_cwd)); /* it is from getcwd: it fits */
    while (*given) {
        size_t bytes = strcspn(given, "/");

        if (bytes == 2 && !memcmp(given, "..", 2)) {
            while (used && text[--used] != '/')
                ;
        } else if (bytes && !(bytes == 1 && given[0] == '.')) {
            if (used + 1 + bytes >= PATH_MAX)
                return -ENAMETOOLONG;
            text[used++] = '/';
            memcpy(text + used, given, bytes);
            used += bytes;
        }
        text[used] = 0;
        given += bytes + (given[bytes] == '/');
    }
    if (!used)
        memcpy(text, "/", 2);
    return 0;
}

/* A directory is known by its real path, and by the one it was given as if that
 * leads there through a link. */
static int add_given(struct view *view, const char *host_cwd, const char *given,
                     struct writable *writable)
{
    const struct mount like = {.kind = MOUNT_GIVEN, .writable = writable};
    char text[PATH_MAX];
    char *real = realpath(given, NULL);
    int result;

    if (!real)
        return -errno;
    result = absolute(host_cwd, given, text);
    if (!result)
        result = add_directory(view, real, real, &like);
    if (!result && strcmp(text, real) != 0)
        result = add_directory(view, text, real, &like);
    free(real);
    return result;
}

/* What is seen where nothing is given. */
static int add_system(struct view *view, const struct linux_config *config)
{
    bool bare = config->view == FERRY_VIEW_BARE;
    struct mount like = {.kind = config->root_dir ? MOUNT_GIVEN : MOUNT_SYSTEM, .libraries = bare};
    const struct mount *mount = view_mount_of(view, "/");
    struct stat stat;
    int result;

    if (mount || (config->view == FERRY_VIEW_NONE && !config->root_dir))
        return 0;
    if (bare)
        like.shown = shown_bare;
    else if (!config->root_dir)
        like.shown = shown_of_system;
    result = add_directory(view, "/", config->root_dir ? config->root_dir : "/", &like);
    if (result || bare || config->root_dir || view_mount_of(view, "/usr")->path[1] ||
        lstat("/usr", &stat) || !S_ISDIR(stat.st_mode) || !(stat.st_mode & S_IXOTH))
        return result;
    /* Most names begin so: a mount of its own saves a step, also where it is a file system of its
     * own. */
    like.shown = NULL;
    return add_directory(view, "/usr", "/usr", &like);
}

/* Whether the program sees this file under its name. */
static bool sees(struct linux_state *state, const char *path, const struct stat *stat)
{
    const struct mount *mount = view_mount_of(&state->common->view, path);
    struct found found;
    bool same;

    if (!mount || (mount->kind == MOUNT_GIVEN && !mount->shown))
        return mount;
    if (mount->kind == MOUNT_PRIVATE)
        return false; /* it is empty */
    if (path_find_text(state, path, FIND_FOLLOW, &found))
        return false;
    same = found.place == PLACE_INSIDE && found.stat.st_ino == stat->st_ino &&
           found.stat.st_dev == stat->st_dev && found_is_public(&found, S_IROTH);
    found_drop(&found);
    return same;
}

static int add_file(struct linux_state *state, const char *path)
{
    struct mount mount = {.kind = MOUNT_GIVEN, .file = true, .known = true};
    struct stat stat;

    mount.fd = open(path, O_PATH | O_CLOEXEC);
    if (mount.fd < 0)
        return 0;
    if (fstat(mount.fd, &stat) || !S_ISREG(stat.st_mode) || sees(state, path, &stat)) {
        close(mount.fd);
        return 0;
    }
    mount.local = host_file_local(mount.fd);
    return add_mount(&state->common->view, path, &mount);
}

/* The program's own file is seen, by its real name and by the one that was given: an interpreter
 * opens it. */
static int add_program(struct linux_state *state, const char *host_cwd, const char *given)
{
    char text[PATH_MAX], real[PATH_MAX];
    int result;

    const char *root = state->common->view.root;

    if (!realpath(given, real) || absolute(host_cwd, given, text) || (root && is_below(root, real)))
        return 0; /* if it cannot be opened, that is told later */
    result = add_file(state, real);
    return result || strcmp(text, real) == 0 ? result : add_file(state, text);
}

/* The host's, where it may be seen. */
static const char *first_cwd(struct linux_state *state, const char *host_cwd)
{
    const struct mount *mount = view_mount_of(&state->common->view, host_cwd);
    struct found found;
    bool seen;

    if (view_above(&state->common->view, host_cwd))
        return host_cwd;
    if (!mount || (mount->kind == MOUNT_GIVEN && !mount->shown))
        return mount && mount->path[1] ? host_cwd : "/";
    if (mount->kind == MOUNT_PRIVATE)
        return "/";
    if (path_find_text(state, host_cwd, FIND_FOLLOW, &found))
        return "/";
    seen =
        found.place == PLACE_ABOVE || (found.place == PLACE_INSIDE && S_ISDIR(found.stat.st_mode) &&
                                       found_is_public(&found, S_IXOTH));
    found_drop(&found);
    return seen ? host_cwd : "/";
}

char *linux_name_of(struct linux_state *state, const char *file)
{
    const char *root = state->common->view.root;
    struct found found;
    char real[PATH_MAX];
    const char *name = file;

    if (!path_find_name(state, (uint64_t)AT_FDCWD, file, FIND_FOLLOW, &found)) {
        bool inside = found.place == PLACE_INSIDE;

        found_drop(&found);
        if (inside)
            return strdup(found.text);
    }
    if (realpath(file, real))
        name = root && strcmp(root, "/") != 0 && is_below(root, real) ? real + strlen(root) : real;
    return strdup(name);
}

static int add_all_given(struct view *view, const char *host_cwd, const char *const *directories,
                         struct writable *writable)
{
    int result = 0;

    for (size_t i = 0; directories && directories[i] && !result; i++)
        result = add_given(view, host_cwd, directories[i], writable);
    return result;
}

/* One that the user named a directory for is that directory. */
static int add_private(struct view *view, const char *const *directories)
{
    const struct mount like = {
        .kind = MOUNT_PRIVATE, .fd = -1, .known = true, .local = true, .writable = view->memory};
    int result = 0;

    for (size_t i = 0; directories && directories[i] && !result; i++) {
        if (!view_mount_of(view, directories[i]))
            result = add_mount(view, directories[i], &like);
    }
    return result;
}

static size_t count_of(const char *const *list)
{
    size_t count = 0;

    while (list && list[count])
        count++;
    return count;
}

int view_init(struct linux_state *state, const struct linux_config *config)
{
    struct view *view = &state->common->view;
    char host_cwd[PATH_MAX];
    size_t given = count_of(config->read_only_dirs) + count_of(config->read_write_dirs);
    int result;

    view->memory_top = -1;
    /* A working directory that is gone, or has no absolute path, is as good as none. */
    if (!getcwd(host_cwd, sizeof(host_cwd)) || host_cwd[0] != '/')
        memcpy(host_cwd, "/", 2);
    view->mounts =
        calloc(2 * given + count_of(config->private_dirs) + LINUX_OWN_FILES, sizeof(*view->mounts));
    view->memory = writable_create(config->memory_bytes);
    view->host = writable_create(config->write_limit_bytes);
    if (!view->mounts || !view->memory || !view->host)
        return -ENOMEM;
    if (config->read_write_dirs && *config->read_write_dirs)
        state->umask = writable_umask();
    /* The first one of a path holds: what is named both ways may be written. */
    result = add_all_given(view, host_cwd, config->read_write_dirs, view->host);
    if (!result)
        result = add_all_given(view, host_cwd, config->read_only_dirs, NULL);
    if (!result)
        result = add_private(view, config->private_dirs);
    if (!result)
        result = add_system(view, config);
    if (!result && config->root_dir) {
        view->root = realpath(config->root_dir, NULL);
        result = view->root ? 0 : -errno;
    }
    if (!result && config->program)
        result = add_program(state, host_cwd, config->program);
    if (result)
        return result;
    state->cwd = strdup(first_cwd(state, host_cwd));
    return state->cwd ? 0 : -ENOMEM;
}

void view_give_files_back(struct linux_state *state, unsigned count)
{
    for (; count; count--) {
        vm_file_give_back(state->vm);
        state->common->view.private_files--;
    }
}

static bool take_files(struct linux_state *state, unsigned count)
{
    for (unsigned taken = 0; taken < count; taken++) {
        if (!vm_file_take(state->vm)) {
            view_give_files_back(state, taken);
            return false;
        }
        state->common->view.private_files++;
    }
    return true;
}

/* The directory that has those in memory, of which two descriptors are held. */
static int make_top(struct linux_state *state)
{
    struct view *view = &state->common->view;

    if (view->memory_refused)
        return view->memory_refused;
    if (!take_files(state, 2))
        return -EMFILE;
    int top = private_make(state, view->memory);

    if (top >= 0) {
        view->memory_top = top;
        return 0;
    }
    view_give_files_back(state, 2);
    if (top != -EMFILE && top != -ENOMEM)
        view->memory_refused = top; /* as it will be next time; the program may look very often */
    return top;
}

void linux_prepare_memory(struct linux_state *state, uint32_t uid, uint32_t gid)
{
    struct view *view = &state->common->view;
    bool wanted = false;

    for (size_t i = 0; i < view->count; i++)
        wanted = wanted || view->mounts[i].kind == MOUNT_PRIVATE;
    if (!wanted || view->memory_top >= 0 || make_top(state))
        return;
    if ((uid != geteuid() || gid != getegid()) &&
        fchownat(view->memory_top, "", uid, gid, AT_EMPTY_PATH)) {
        /* That user could not use it. */
        close(view->memory_top);
        view->memory_top = -1;
        view->memory_refused = -EACCES;
        view_give_files_back(state, 2);
    }
}

static int open_private(struct linux_state *state, struct mount *mount)
{
    struct view *view = &state->common->view;
    char name[24];
    int result = view->memory_top < 0 ? make_top(state) : 0;

    if (result)
        return result;
    snprintf(name, sizeof(name), "%zu", (size_t)(mount - view->mounts));
    if (mkdirat(view->memory_top, name, 0700) && errno != EEXIST)
        return -errno;
    if (fchmodat(view->memory_top, name, 01777, 0))
        return -errno;
    mount->fd = openat(view->memory_top, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return mount->fd < 0 ? -errno : 0;
}

/* One more descriptor for each. */
int view_make_private(struct linux_state *state, struct mount *mount)
{
    if (mount->kind != MOUNT_PRIVATE || mount->fd >= 0)
        return 0;
    if (!take_files(state, 1))
        return -EMFILE;
    int result = open_private(state, mount);

    if (result)
        view_give_files_back(state, 1);
    return result;
}

void view_fini(struct linux_state *state)
{
    struct view *view = &state->common->view;

    for (size_t i = 0; i < view->count; i++) {
        free(view->mounts[i].path);
        if (view->mounts[i].fd >= 0)
            close(view->mounts[i].fd);
    }
    free(view->mounts);
    free(view->root);
    if (view->mounts && view->memory_top >= 0)
        close(view->memory_top);
    for (; view->private_files; view->private_files--)
        vm_file_give_back(state->vm);
    writable_destroy(state, view->memory);
    writable_destroy(state, view->host);
}
