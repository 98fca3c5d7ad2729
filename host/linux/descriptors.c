/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the table of descriptors and the open files behind it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/calls.h"
#include "linux/epoll.h"
#include "linux/file_type.h"
#include "linux/guest_files.h"
#include "linux/guest_rooms.h"
#include "linux/host_file.h"
#include "linux/objects.h"
#include "linux/state.h"
#include "linux/told.h"
#include "linux/writable.h"

static bool is_host_file(const struct open_file *file)
{
    return file->kind == FILE_REGULAR || file->kind == FILE_DIRECTORY ||
           file->kind == FILE_INOTIFY || file->kind == FILE_GIVEN;
}

/* Gives back what the file holds. */
static void give_back(struct linux_state *state, const struct open_file *file)
{
    const struct file_type *type = file_type(file);

    if (type->release)
        type->release(state, file);
    object_uncharge(state, file->charged);
    free(file->path);
}

int file_create(struct linux_state *state, struct open_file like, struct open_file **out)
{
    unsigned most = HOST_FILES_MAX * state->common->process_count;
    bool fits =
        !is_host_file(&like) || (state->common->host_files < most && vm_file_take(state->vm));
    struct open_file *file = fits ? malloc(sizeof(*file)) : NULL;

    if (!file) {
        if (fits && is_host_file(&like))
            vm_file_give_back(state->vm);
        give_back(state, &like);
        return fits ? -ENOMEM : -EMFILE;
    }
    *file = like;
    file->references = 1;
    state->common->host_files += is_host_file(file);
    state->common->files[file->kind]++;
    writable_opened(state, file);
    *out = file;
    return 0;
}

static void file_free(struct linux_state *state, struct open_file *file)
{
    if (is_host_file(file)) {
        state->common->host_files--;
        vm_file_give_back(state->vm);
    }
    state->common->files[file->kind]--;
    epoll_forget(state, file);
    /* Another process may have read or written it before this one closed the last descriptor. */
    for (struct linux_state *of = state->common->processes; of; of = of->next_process) {
        guest_files_forget(of, file);
        guest_rooms_forget(of, file);
    }
    writable_forget(file);
    space_file_release(vm_space(state->vm), file->seen);
    give_back(state, file);
    free(file);
}

void file_release(struct linux_state *state, struct open_file *file)
{
    if (--file->references)
        return;
    if (state->closing) {
        file_free(state, file);
        return;
    }
    /* A stream ends with the last open file of it: opening /dev/stdin makes another one. */
    if (file->kind == FILE_INPUT && state->common->files[FILE_INPUT] == 1)
        stream_close_input(vm_stream(state->vm));
    else if (file->kind == FILE_OUTPUT && state->common->files[FILE_OUTPUT] == 1) {
        state->thread->signals.patient = true; /* what was written is not lost */
        stream_close_output(vm_stream(state->vm));
        state->thread->signals.patient = false;
    }
    file_free(state, file);
}

/* The thread of a VM takes no signals, so it must never block in write(2) to
 * standard error. The flag for that is the open file's, which this process
 * shares with others: where the file can be opened anew, that one is ours alone. */
static int open_error(int stderr_fd)
{
    struct stat st;

    if (fstat(stderr_fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
        return -1;
    return host_open_anew(stderr_fd, O_WRONLY | O_NONBLOCK);
}

int descriptors_init(struct linux_state *state, int stderr_fd, unsigned closed)
{
    state->common->error_fd = open_error(stderr_fd);
    if (state->common->error_fd >= 0)
        stderr_fd = state->common->error_fd;
    state->common->error_given = stderr_fd;

    static const struct {
        enum file_kind kind;
        int status;
    } standard[] = {{FILE_INPUT, O_RDONLY}, {FILE_OUTPUT, O_WRONLY}, {FILE_ERROR, O_WRONLY}};

    for (unsigned i = 0; i < 3; i++) {
        const struct open_file like = {.kind = standard[i].kind,
                                       .status = standard[i].status,
                                       .fd = i == STDERR_FILENO ? stderr_fd : -1};
        int result = file_create(state, like, &state->descriptors[i].file);

        if (result)
            return result;
        if (closed & 1u << i)
            sys_close(state, (const uint64_t[6]){i});
    }
    return 0;
}

/* The stream that it was stays, for messages. */
void descriptor_give(struct linux_state *state, unsigned fd, struct open_file *file)
{
    struct open_file *old = state->descriptors[fd].file;

    if (old && --old->references == 0)
        file_free(state, old);
    state->descriptors[fd] = (struct descriptor){.file = file};
}

void descriptors_fini(struct linux_state *state)
{
    for (unsigned i = 0; i < DESCRIPTORS_MAX; i++) {
        struct open_file *file = state->descriptors[i].file;

        state->descriptors[i].file =
            NULL; /* those that are closed later look at all that is open */
        if (file)
            file_release(state, file);
    }
}

/* False: the call has no place for a reference to one more. */
static bool use(struct linux_state *state, struct current_call *call, struct open_file *file)
{
    for (unsigned i = 0; i < call->used_count; i++) {
        if (call->used[i] == file)
            return true;
    }
    if (call->used_count == CALL_FILES)
        return false;
    guest_files_take_back(state); /* the call may have waited before */
    told_take_back(state);
    file->references++;
    call->used[call->used_count++] = file;
    return true;
}

struct open_file *descriptor_look(const struct linux_state *state, uint64_t fd)
{
    /* The kernel takes descriptors as 32-bit numbers and ignores higher bits. */
    return (uint32_t)fd < DESCRIPTORS_MAX ? state->descriptors[(uint32_t)fd].file : NULL;
}

struct open_file *descriptor_file(struct linux_state *state, uint64_t fd)
{
    struct open_file *file = descriptor_look(state, fd);

    if (file && state->thread && state->thread->call && !use(state, state->thread->call, file))
        return NULL;
    return file;
}

void descriptors_unused(struct linux_state *state, struct current_call *call)
{
    while (call->used_count)
        file_release(state, call->used[--call->used_count]);
}

unsigned descriptors_limit(const struct linux_state *state)
{
    rlim_t limit = state->limits[RLIMIT_NOFILE].rlim_cur;

    return limit < DESCRIPTORS_MAX ? (unsigned)limit : DESCRIPTORS_MAX;
}

int descriptor_install(struct linux_state *state, struct open_file *file, unsigned from,
                       bool close_on_exec)
{
    for (unsigned i = from; i < descriptors_limit(state); i++) {
        if (state->descriptors[i].file)
            continue;
        file->references++;
        state->descriptors[i] = (struct descriptor){file, close_on_exec};
        return (int)i;
    }
    return -EMFILE;
}

bool file_can_read(const struct open_file *file)
{
    return file && !(file->status & O_PATH) && (file->status & O_ACCMODE) != O_WRONLY;
}

bool file_can_write(const struct open_file *file)
{
    return file && !(file->status & O_PATH) && (file->status & O_ACCMODE) != O_RDONLY;
}

int64_t sys_close(struct linux_state *state, const uint64_t arg[6])
{
    /* The reference of the descriptor is ours from now on; close_range closes many. */
    struct open_file *file = descriptor_look(state, arg[0]);

    if (!file)
        return -EBADF;
    state->descriptors[(uint32_t)arg[0]].file = NULL;
    locks_drop(state, file);
    file_release(state, file);
    return 0;
}

int64_t sys_dup(struct linux_state *state, const uint64_t arg[6])
{
    struct open_file *file = descriptor_file(state, arg[0]);

    return file ? descriptor_install(state, file, 0, false) : -EBADF;
}

/* Makes `to` refer to the open file of `from`; closes the file that `to` referred to before. */
static int64_t replace_descriptor(struct linux_state *state, uint64_t from, uint64_t to,
                                  bool close_on_exec)
{
    struct open_file *file = descriptor_file(state, from), *old;

    if (!file || (uint32_t)to >= descriptors_limit(state))
        return -EBADF;
    old = state->descriptors[(uint32_t)to].file;
    file->references++;
    state->descriptors[(uint32_t)to] = (struct descriptor){file, close_on_exec};
    if (old) {
        locks_drop(state, old);
        file_release(state, old);
    }
    return (int64_t)(uint32_t)to;
}

int64_t sys_dup2(struct linux_state *state, const uint64_t arg[6])
{
    if ((uint32_t)arg[0] == (uint32_t)arg[1])
        return descriptor_file(state, arg[0]) ? (int64_t)(uint32_t)arg[0] : -EBADF;
    return replace_descriptor(state, arg[0], arg[1], false);
}

int64_t sys_dup3(struct linux_state *state, const uint64_t arg[6])
{
    if ((uint32_t)arg[0] == (uint32_t)arg[1] || arg[2] & ~(uint64_t)O_CLOEXEC)
        return -EINVAL;
    return replace_descriptor(state, arg[0], arg[1], arg[2] & O_CLOEXEC);
}

int64_t sys_close_range(struct linux_state *state, const uint64_t arg[6])
{
    uint32_t first = (uint32_t)arg[0], last = (uint32_t)arg[1], flags = (uint32_t)arg[2];

    /* Nobody shares the table, so CLOSE_RANGE_UNSHARE is done. */
    if (first > last || flags & ~(uint32_t)(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE))
        return -EINVAL;
    for (uint32_t fd = first; fd <= last && fd < DESCRIPTORS_MAX; fd++) {
        if (flags & CLOSE_RANGE_CLOEXEC)
            state->descriptors[fd].close_on_exec = true;
        else
            sys_close(state, (const uint64_t[6]){fd});
    }
    return 0;
}
