/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what a VM has of a process that was kept in another VM. That one may run meanwhile: of it only what
 * never changes is read, and nothing is shared but what the host's descriptors lead to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/host_file.h"
#include "linux/kept.h"
#include "linux/processes.h"

/* A descriptor of its own for the same file. Where others could tell by the place in a directory, or by a
 * lock, the file is opened anew. */
static int open_again(const struct open_file *file)
{
    if (file->kind == FILE_DIRECTORY && file->local && !(file->status & O_PATH))
        return openat(file->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->writable && file->local && !(file->status & O_PATH))
        return host_open_anew(file->fd, file->status & O_ACCMODE);
    return fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
}

static struct writable *same_place(const struct view *view, const struct view *from,
                                   const struct writable *place)
{
    return !place ? NULL : place == from->memory ? view->memory : view->host;
}

/* As that was when it was kept. */
static int copy_file(struct linux_state *state, const struct linux_kept *from,
                     const struct kept_file *kept, struct open_file **out)
{
    const struct open_file *file = kept->file;
    struct open_file like = {
        .kind = file->kind,
        .status = kept->status,
        .fd = -1,
        .local = file->local,
        .position = kept->position,
        .device = file->device,
        .writable = same_place(&state->common->view, &from->state->common->view, file->writable),
        .dev = file->dev,
        .ino = file->ino,
        .charged = file->charged,
    };

    if (file->kind == FILE_LIST && file->object)
        return -EBUSY;
    if (file->fd >= 0)
        like.fd = open_again(file);
    if (file->fd >= 0 && like.fd < 0)
        return -errno;
    like.path = file->path ? strdup(file->path) : NULL;
    if (file->path && !like.path) {
        close(like.fd);
        return -ENOMEM;
    }
    state->common->object_bytes += file->charged;
    return file_create(state, like, out);
}

/* Its mappings are called what those of the other one are called. */
static int copy_name(const struct kept_file *kept, struct open_file *file,
                     const struct linux_names *names)
{
    return kept->seen ? space_copy_name(names->copy, names->from, kept->file->seen, &file->seen)
                      : 0;
}

static int copy_files(struct linux_kept *copy, const struct linux_kept *from,
                      const struct linux_names *names)
{
    copy->files = calloc(from->file_count + 1, sizeof(*copy->files));
    if (!copy->files)
        return -ENOMEM;
    for (unsigned i = 0; i < from->file_count; i++) {
        struct kept_file *kept = &copy->files[i];
        int result = copy_file(copy->state, from, &from->files[i], &kept->file);

        if (result)
            return result;
        kept->position = from->files[i].position;
        kept->status = from->files[i].status;
        kept->seen = from->files[i].seen;
        copy->file_count++;
        result = copy_name(&from->files[i], kept->file, names);
        if (result)
            return result;
    }
    return 0;
}

static struct open_file *twin_of(const struct linux_kept *copy, const struct linux_kept *from,
                                 const struct open_file *file)
{
    for (unsigned i = 0; file && i < copy->file_count; i++)
        if (from->files[i].file == file)
            return copy->files[i].file;
    return NULL;
}

/* Each file has one reference, of nobody, until its descriptors have theirs. */
static void install(struct linux_kept *copy, const struct linux_kept *from)
{
    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++) {
        const struct descriptor *was = &from->state->descriptors[i];
        struct open_file *twin = twin_of(copy, from, was->file);

        if (!twin)
            continue;
        twin->references++;
        copy->state->descriptors[i] = (struct descriptor){twin, was->close_on_exec};
    }
}

static void drop_references(struct linux_kept *copy)
{
    for (unsigned i = 0; i < copy->file_count; i++)
        file_release(copy->state, copy->files[i].file);
}

static int copy_streams(struct linux_kept *copy, const struct linux_kept *from,
                        const struct linux_state *state)
{
    size_t bytes = (from->stream_count + 1) * sizeof(*copy->streams);

    copy->streams = malloc(bytes);
    if (!copy->streams)
        return -ENOMEM;
    memcpy(copy->streams, from->streams, bytes - sizeof(*copy->streams));
    copy->stream_count = from->stream_count;
    for (unsigned i = 0; i < copy->stream_count; i++)
        if (copy->streams[i].like.kind == FILE_ERROR)
            copy->streams[i].like.fd = state->common->error_given;
    return 0;
}

int linux_copy_kept(struct linux_state *state, const struct linux_kept *from,
                    const struct linux_names *names, struct linux_kept **out)
{
    struct linux_kept *copy = calloc(1, sizeof(*copy));
    int result;

    if (!copy)
        return -ENOMEM;
    copy->last_id = from->last_id;
    copy->objects = from->objects;
    copy->foreground = from->foreground;
    copy->object_bytes_most = from->object_bytes_most;
    copy->memory_bytes = from->memory_bytes;
    copy->state = process_copy_bare(from->state, state, from->state->pid);
    result = copy->state ? copy_streams(copy, from, state) : -ENOMEM;
    if (!result) {
        copy->state->closing = true;
        kept_rest(copy->state, from->state);
        result = copy_files(copy, from, names);
        install(copy, from);
        drop_references(copy);
    }
    if (result) {
        linux_forget(copy);
        return result;
    }
    *out = copy;
    return 0;
}

const struct linux_state *linux_kept_state(const struct linux_kept *kept)
{
    return kept->state;
}
