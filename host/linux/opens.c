/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns telling which files of the host calls of a program may open by name, for walls around all others.
 * A name leads out of none of them: paths.c follows links in what is shown. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/mounts.h"
#include "linux/state.h"

/* What is not there, or is a link, which leads to what another line shows, is nothing to tell. */
static int tell_below(const struct linux_opens *to, const struct mount *mount, const char *path)
{
    const struct open_how how = {
        .flags = O_PATH | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    int fd = (int)syscall(SYS_openat2, mount->fd, path + 1, &how, sizeof(how));
    int result = fd < 0 ? 0 : to->tell(to->arg, fd, LINUX_READS);

    if (fd >= 0)
        close(fd);
    return result;
}

/* Every name in the directory of a pattern that the list shows. */
static int tell_matches(const struct linux_opens *to, const struct mount *mount, const char *parent)
{
    char path[PATH_MAX];
    size_t bytes = strlen(strcpy(path, parent));
    int fd = openat(mount->fd, path + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (!dir && fd >= 0)
        close(fd);
    while (dir && result == 0 && (entry = readdir(dir))) {
        path[bytes] = '/';
        strcpy(path + bytes + 1, entry->d_name);
        if (entry->d_name[0] != '.' && shown(mount->shown, path) == SHOWN)
            result = tell_below(to, mount, path);
    }
    if (dir)
        closedir(dir);
    return result;
}

/* What a list shows of a mount at "/". Of the directories above, only which names there are. */
static int tell_list(const struct linux_opens *to, const struct mount *mount)
{
    char parent[PATH_MAX], last[PATH_MAX] = "";
    int result = to->tell(to->arg, mount->fd, LINUX_LISTS);

    for (const char *const *line = mount->shown; *line && result == 0; line++) {
        if (!strchr(*line, '*')) {
            result = tell_below(to, mount, *line);
            continue;
        }
        strcpy(parent, *line);
        *strrchr(parent, '/') = 0;
        if (strcmp(parent, last) != 0) /* once for all patterns of the directory, mostly */
            result = tell_matches(to, mount, parent);
        strcpy(last, parent);
    }
    return result;
}

static int tell_mount(struct linux_opens *to, const struct mount *mount)
{
    if (mount->fd < 0)
        return 0;
    if (!mount->shown)
        return to->tell(to->arg, mount->fd, mount->writable ? LINUX_CHANGES : LINUX_READS);
    if (mount->kind == MOUNT_SYSTEM && mount->shown == to->told)
        return 0;
    if (mount->kind == MOUNT_SYSTEM)
        to->told = mount->shown;
    return tell_list(to, mount);
}

int linux_tell_opens(struct linux_state *state, struct linux_opens *to)
{
    const struct view *view = &state->common->view;
    int result = 0;

    for (size_t i = 0; i < view->count && result == 0; i++)
        result = tell_mount(to, &view->mounts[i]);
    if (view->memory_top >= 0 && result == 0)
        result = to->tell(to->arg, view->memory_top, LINUX_CHANGES);
    for (unsigned i = 0; i < DESCRIPTORS_MAX && result == 0; i++) {
        const struct open_file *file = state->descriptors[i].file;

        if (file && file->fd >= 0)
            result = to->tell(to->arg, file->fd, LINUX_HOLDS);
    }
    return result;
}
