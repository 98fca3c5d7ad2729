/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns what the personality keeps of a process at a moment, to have it again: a copy of its state that no
 * process is, and the positions of its open files. What it changed on the host stays changed; what it
 * wrote in memory is removed. The streams are made anew each time: nobody but the run may hold one open,
 * as the other end learns when the last is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "linux/kept.h"
#include "linux/processes.h"
#include "linux/state.h"
#include "linux/writable.h"

/* ---- what cannot be kept --------------------------------------------------------- */

#define STREAMS (1u << FILE_INPUT | 1u << FILE_OUTPUT | 1u << FILE_ERROR)
/* Files of these kinds have nothing but a position and a status. */
#define KINDS_THAT_STAY \
    (STREAMS | 1u << FILE_DEVICE | 1u << FILE_REGULAR | 1u << FILE_DIRECTORY | 1u << FILE_LIST)

static bool has_objects(const struct linux_state *state)
{
    for (unsigned kind = 0; kind < FILE_KINDS; kind++)
        if (state->common->files[kind] && !(KINDS_THAT_STAY & 1u << kind))
            return true;
    return false;
}

/* Who gave it waits for its being closed. */
static bool was_given(const struct linux_state *state)
{
    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++)
        if (state->descriptors[i].file && state->descriptors[i].file->given)
            return true;
    return state->common->files[FILE_GIVEN];
}

static bool writes_memory(const struct linux_state *state)
{
    const struct open_file *file = state->common->writables;

    while (file && !file->writable->memory)
        file = file->next_writable;
    return file;
}

const char *linux_why_not_kept(struct linux_state *state)
{
    if (state->common->process_count > 1 || state->common->zombie_count)
        return "it has other processes";
    if (state->thread_count > 1)
        return "it has other threads";
    if (was_given(state))
        return "it was given a descriptor of the host";
    if (state->traced)
        return "its calls are watched";
    if (has_objects(state))
        return "it has something open that is no file: a pipe, a socket, a timer or the like";
    if (writes_memory(state) || private_has_files(state))
        return "it has files in memory";
    if (state->record_owners)
        return "it has locks on files";
    if (alarms_any(state))
        return "it has a timer";
    if (state->signals.list.pending | state->thread->signals.list.pending)
        return "it has a signal that it did not take";
    return NULL;
}

/* ---- keeping it ------------------------------------------------------------------ */

static bool is_listed(const struct linux_kept *kept, const struct open_file *file)
{
    for (unsigned i = 0; i < kept->file_count; i++)
        if (kept->files[i].file == file)
            return true;
    return false;
}

static bool is_stream(const struct open_file *file)
{
    return file && STREAMS & 1u << file->kind;
}

static void take_stream(struct kept_stream *to, unsigned fd, struct descriptor *from)
{
    *to = (struct kept_stream){fd, from->close_on_exec, from->file, *from->file};
    to->like.path = NULL;
    to->like.seen = NULL;
    from->file->references--; /* the program itself has another */
    from->file = NULL;
}

/* Out of the copy. */
static int list_streams(struct linux_kept *kept)
{
    struct descriptor *descriptors = kept->state->descriptors;
    unsigned count = 0;

    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++)
        count += is_stream(descriptors[i].file);
    kept->streams = calloc(count + 1, sizeof(*kept->streams));
    if (!kept->streams)
        return -ENOMEM;
    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++)
        if (is_stream(descriptors[i].file))
            take_stream(&kept->streams[kept->stream_count++], i, &descriptors[i]);
    return 0;
}

static int list_files(struct linux_kept *kept)
{
    unsigned count = 0;

    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++)
        count += kept->state->descriptors[i].file != NULL;
    kept->files = calloc(count + 1, sizeof(*kept->files));
    if (!kept->files)
        return -ENOMEM;
    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++) {
        struct open_file *file = kept->state->descriptors[i].file;

        if (file && !is_listed(kept, file))
            kept->files[kept->file_count++] =
                (struct kept_file){file, file->position, file->status, file->seen};
    }
    return 0;
}

void kept_rest(struct linux_state *to, const struct linux_state *from)
{
    to->threads->clear_id = from->thread->clear_id;
    to->child_subreaper = from->child_subreaper;
}

static struct linux_state *copy(const struct linux_state *from)
{
    struct linux_state *to = process_copy(from, from->pid);

    if (to)
        kept_rest(to, from);
    return to;
}

int linux_keep(struct linux_state *state, struct linux_kept **out)
{
    struct linux_kept *kept = calloc(1, sizeof(*kept));

    if (!kept)
        return -ENOMEM;
    private_empty(state); /* so that what they cost is the same each time */
    kept->memory_bytes = state->common->view.memory->used_bytes;
    kept->last_id = state->common->last_id;
    kept->objects = state->common->objects;
    kept->foreground = state->common->foreground;
    kept->state = copy(state);
    kept->object_bytes_most = state->common->object_bytes_most;
    if (!kept->state || list_streams(kept) || list_files(kept)) {
        linux_forget(kept);
        return -ENOMEM;
    }
    kept->state->closing = true; /* of what it has open, the streams are the VM's */
    *out = kept;
    return 0;
}

void linux_forget(struct linux_kept *kept)
{
    if (!kept)
        return;
    if (kept->state)
        process_free(kept->state);
    free(kept->files);
    free(kept->streams);
    free(kept);
}

/* ---- going back ------------------------------------------------------------------ */

static void end(struct linux_state *state)
{
    state->closing = true;
    state->thread = linux_first_thread(state);
    alarms_end(state);
    process_free(state);
}

/* That of an earlier descriptor in the list, or a new one, with a reference for this descriptor. */
static int have_stream(struct linux_state *state, const struct linux_kept *kept, unsigned i)
{
    const struct kept_stream *stream = &kept->streams[i];
    struct open_file *file = NULL;

    for (unsigned j = 0; j < i && !file; j++)
        if (kept->streams[j].was == stream->was)
            file = state->descriptors[kept->streams[j].fd].file;
    if (file)
        file->references++;
    else if (file_create(state, stream->like, &file))
        return -ENOMEM;
    state->descriptors[stream->fd] = (struct descriptor){file, stream->close_on_exec};
    return 0;
}

static struct linux_state *fresh_state(const struct linux_kept *kept)
{
    struct linux_state *fresh = copy(kept->state);
    int result = 0;

    for (unsigned i = 0; fresh && !result && i < kept->stream_count; i++)
        result = have_stream(fresh, kept, i);
    if (!result)
        return fresh;
    fresh->closing = true; /* others have its streams */
    process_free(fresh);
    return NULL;
}

/* What a lock of the whole file, or of a part, is held by is the open file. */
static void unlock(const struct open_file *file)
{
    struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    if (!file->writable || !file->local || file->fd < 0)
        return;
    flock(file->fd, LOCK_UN);
    fcntl(file->fd, F_OFD_SETLK, &all);
}

static void have_file(struct linux_state *state, const struct kept_file *kept)
{
    kept->file->position = kept->position;
    kept->file->status = kept->status;
    unlock(kept->file);
    if (kept->seen)
        return;
    space_file_release(vm_space(state->vm), kept->file->seen); /* for which the run was charged */
    kept->file->seen = NULL;
}

int linux_go_back(struct linux_state **state, const struct linux_kept *kept)
{
    struct linux_state *fresh = fresh_state(kept), *old = *state;

    if (!fresh)
        return -ENOMEM;
    fresh->common->processes = fresh; /* all others have ended */
    end(old);
    private_empty(fresh);
    /* What is still mapped of it goes with the memory, soon; it must not be counted until then. */
    writable_recharge(fresh, fresh->common->view.memory, kept->memory_bytes);
    fresh->common->process_count = 1;
    fresh->common->first_ended = false;
    fresh->common->last_id = kept->last_id;
    fresh->common->objects = kept->objects;
    fresh->common->foreground = kept->foreground;
    fresh->common->object_bytes_most = kept->object_bytes_most;
    for (unsigned i = 0; i < kept->file_count; i++)
        have_file(fresh, &kept->files[i]);
    *state = fresh;
    limits_watch_cpu(fresh);
    return 0;
}
