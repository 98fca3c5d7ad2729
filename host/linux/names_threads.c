/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the files by which a program gives its threads names: /proc/self/comm and that of each task, opened for
 * writing. Libcs name another thread so. */
#include <errno.h>
#include <string.h>

#include "lib/bits.h"
#include "linux/calls.h"
#include "linux/file_type.h"
#include "linux/state.h"

static int64_t name_get(struct linux_state *state, struct open_file *file, void *to, size_t bytes)
{
    const struct linux_thread *thread = thread_find(state, file->thread);
    char text[TASK_NAME_BYTES + 1];
    size_t length, start = (size_t)file->position;

    if (!thread)
        return -ESRCH;
    length = strnlen(thread->task.name, TASK_NAME_BYTES - 1);
    memcpy(text, thread->task.name, length);
    text[length++] = '\n';
    if (start >= length)
        return 0;
    bytes = min_u64(bytes, length - start);
    memcpy(to, text + start, bytes);
    file->position += (off_t)bytes;
    return (int64_t)bytes;
}

/* A longer one is cut, as Linux does without a word. */
static int64_t name_put(struct linux_state *state, struct open_file *file, const void *from,
                        size_t bytes)
{
    struct linux_thread *thread = thread_find(state, file->thread);

    if (!thread)
        return -ESRCH;
    memset(thread->task.name, 0, TASK_NAME_BYTES);
    if (bytes)
        memcpy(thread->task.name, from, min_u64(bytes, TASK_NAME_BYTES - 1));
    thread->task.named = true;
    return (int64_t)bytes;
}

const struct file_type thread_name_type = {
    .name = "/proc/self/comm",
    .mode = S_IFREG | 0644,
    .stream = true,
    .get = name_get,
    .put = name_put,
};
