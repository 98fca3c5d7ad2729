/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns open files on their way from one socket to another; see rights.h. */
#include "linux/rights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "linux/calls.h"
#include "linux/objects.h"
#include "linux/state.h"

#define MESSAGE_FILES 253   /* SCM_MAX_FD of the kernel */
#define CONTROL_BYTES 20480 /* optmem_max: more is refused */

static size_t bytes_of(unsigned count)
{
    return sizeof(struct rights) + count * sizeof(struct open_file *);
}

/* ---- sending ------------------------------------------------------------- */

/* Adds the files of these descriptors. */
static int add_files(struct linux_state *state, struct rights *rights, const int *fds, size_t count)
{
    if (count > MESSAGE_FILES - rights->count)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        struct open_file *file =
            fds[i] >= 0 && fds[i] < DESCRIPTORS_MAX ? state->descriptors[fds[i]].file : NULL;

        if (!file)
            return -EBADF;
        file->references++;
        rights->files[rights->count++] = file;
    }
    return 0;
}

/* A program may say only that it is itself. */
static int check_credentials(const struct linux_state *state, const struct cmsghdr *part,
                             const void *data)
{
    struct ucred who;

    if (part->cmsg_len != CMSG_LEN(sizeof(who)))
        return -EINVAL;
    memcpy(&who, data, sizeof(who));
    return who.pid == state->pid && who.uid == LINUX_USER && who.gid == LINUX_USER ? 0 : -EPERM;
}

/* All parts of a copy of the control. */
static int look_at_parts(struct linux_state *state, const char *control, size_t bytes,
                         struct rights *rights)
{
    struct cmsghdr part;

    for (size_t at = 0; bytes - at >= sizeof(part); at += CMSG_ALIGN(part.cmsg_len)) {
        const char *data = control + at + sizeof(part);
        int fds[MESSAGE_FILES + 1], result = 0;
        size_t count;

        memcpy(&part, control + at, sizeof(part));
        if (part.cmsg_len < sizeof(part) || part.cmsg_len > bytes - at)
            return -EINVAL;
        count = (part.cmsg_len - sizeof(part)) / sizeof(fds[0]);
        if (part.cmsg_level == SOL_SOCKET && part.cmsg_type == SCM_CREDENTIALS) {
            result = check_credentials(state, &part, data);
        } else if (part.cmsg_level == SOL_SOCKET && part.cmsg_type == SCM_RIGHTS) {
            count = count < MESSAGE_FILES + 1 ? count : MESSAGE_FILES + 1;
            memcpy(fds, data, count * sizeof(fds[0]));
            result = add_files(state, rights, fds, count);
        } else if (part.cmsg_level == SOL_SOCKET) {
            result = -EINVAL;
        }
        if (result)
            return result;
        if (CMSG_ALIGN(part.cmsg_len) > bytes - at)
            break;
    }
    return 0;
}

/* In memory of its own length, which is charged. */
static int keep(struct linux_state *state, struct rights *rights, struct rights **out)
{
    struct rights *kept;

    *out = NULL;
    if (!rights->count)
        return 0;
    if (state->common->files_sent + rights->count > descriptors_limit(state))
        return -ETOOMANYREFS;
    if (object_charge(state, bytes_of(rights->count)))
        return -ENOMEM;
    kept = malloc(bytes_of(rights->count));
    if (!kept) {
        object_uncharge(state, bytes_of(rights->count));
        return -ENOMEM;
    }
    memcpy(kept, rights, bytes_of(rights->count));
    state->common->files_sent += kept->count;
    *out = kept;
    return 0;
}

int rights_fetch(struct linux_state *state, const struct msghdr *message, struct rights **out)
{
    size_t bytes = message->msg_controllen;
    struct rights *rights;
    char *control;
    int result;

    *out = NULL;
    if (!message->msg_control || bytes < sizeof(struct cmsghdr))
        return 0;
    if (bytes > CONTROL_BYTES)
        return -ENOBUFS;
    control = malloc(bytes);
    if (!control)
        return -ENOMEM;
    rights = calloc(1, bytes_of(MESSAGE_FILES));
    result = !rights ? -ENOMEM : guest_get(state, (uintptr_t)message->msg_control, control, bytes);
    if (!result)
        result = look_at_parts(state, control, bytes, rights);
    if (!result)
        result = keep(state, rights, out);
    for (unsigned i = 0; rights && result && i < rights->count; i++)
        file_release(state, rights->files[i]);
    free(rights);
    free(control);
    return result;
}

/* Whether the last of these sockets, or what is on its way to it or to any other of them, is `to`.
 * Each is looked at once. */
static bool leads_to(struct rights_queue *todo, const struct rights_queue *to, uint64_t mark)
{
    while (todo) {
        struct rights_queue *queue = todo;

        todo = queue->todo;
        if (queue == to)
            return true;
        for (const struct rights *rights = queue->first; rights; rights = rights->next) {
            for (unsigned i = 0; i < rights->count; i++) {
                struct rights_queue *next = rights->files[i]->object;

                if (rights->files[i]->kind != FILE_SOCKET || next->mark == mark)
                    continue;
                next->mark = mark;
                next->todo = todo;
                todo = next;
            }
        }
    }
    return false;
}

int rights_check(struct linux_state *state, const struct rights *rights,
                 const struct rights_queue *to)
{
    uint64_t mark = ++state->common->sockets_mark;

    for (unsigned i = 0; i < rights->count; i++) {
        struct rights_queue *queue = rights->files[i]->object;

        if (rights->files[i]->kind != FILE_SOCKET || queue->mark == mark)
            continue;
        queue->mark = mark;
        queue->todo = NULL;
        if (leads_to(queue, to, mark))
            return -ETOOMANYREFS;
    }
    return 0;
}

/* ---- on the way ----------------------------------------------------------- */

void rights_put(struct rights_queue *to, struct rights *rights)
{
    struct rights **last = &to->first;

    while (*last)
        last = &(*last)->next;
    rights->next = NULL;
    *last = rights;
}

struct rights *rights_take(struct rights_queue *from)
{
    struct rights *rights = from->first;

    if (rights)
        from->first = rights->next;
    return rights;
}

/* What is closed may be a socket that has more: those are put on one list, so that no call is made
 * within another. */
void rights_drop(struct linux_state *state, struct rights *rights)
{
    if (!rights)
        return;
    rights->next = state->common->rights_dropped;
    state->common->rights_dropped = rights;
    if (state->common->dropping_rights)
        return;
    state->common->dropping_rights = true;
    while ((rights = state->common->rights_dropped)) {
        state->common->rights_dropped = rights->next;
        for (unsigned i = 0; i < rights->count; i++)
            file_release(state, rights->files[i]);
        state->common->files_sent -= rights->count;
        object_uncharge(state, bytes_of(rights->count));
        free(rights);
    }
    state->common->dropping_rights = false;
}

/* ---- receiving ----------------------------------------------------------- */

/* Puts one part of the control where *at is, as far as there is room. */
static int put_part(struct linux_state *state, struct msghdr *message, size_t *at, int type,
                    const void *data, size_t bytes)
{
    struct cmsghdr part = {.cmsg_level = SOL_SOCKET, .cmsg_type = type};
    uint64_t addr = (uintptr_t)message->msg_control + *at;
    size_t room = message->msg_controllen - *at;

    if (room < sizeof(part)) {
        message->msg_flags |= MSG_CTRUNC;
        return 0;
    }
    if (bytes > room - sizeof(part)) {
        message->msg_flags |= MSG_CTRUNC;
        bytes = room - sizeof(part);
    }
    part.cmsg_len = CMSG_LEN(bytes);
    *at += room < CMSG_SPACE(bytes) ? room : CMSG_SPACE(bytes);
    return guest_put(state, addr, &part, sizeof(part)) ||
                   guest_put(state, addr + sizeof(part), data, bytes)
               ? -EFAULT
               : 0;
}

/* Installs as many as there is room for. */
static int give_files(struct linux_state *state, const struct rights *rights, bool close_on_exec,
                      struct msghdr *message, size_t *at)
{
    size_t room = message->msg_controllen - *at;
    size_t most = room > sizeof(struct cmsghdr) ? (room - sizeof(struct cmsghdr)) / sizeof(int) : 0;
    int fds[MESSAGE_FILES], fd = 0;
    unsigned count = 0;

    for (; count < rights->count && count < most && fd >= 0; count += fd >= 0) {
        fd = descriptor_install(state, rights->files[count], 0, close_on_exec);
        fds[count] = fd;
    }
    if (count < rights->count)
        message->msg_flags |= MSG_CTRUNC;
    return count ? put_part(state, message, at, SCM_RIGHTS, fds, count * sizeof(int)) : 0;
}

int rights_give(struct linux_state *state, const struct rights *rights, bool credentials,
                bool close_on_exec, struct msghdr *message)
{
    static const struct ucred anybody = {LINUX_PID, LINUX_USER, LINUX_USER};
    size_t at = 0;
    int result = 0;

    if (!message->msg_control) {
        message->msg_flags |= rights || credentials ? MSG_CTRUNC : 0;
        message->msg_controllen = 0;
        return 0;
    }
    if (credentials)
        result = put_part(state, message, &at, SCM_CREDENTIALS, &anybody, sizeof(anybody));
    if (rights && !result)
        result = give_files(state, rights, close_on_exec, message, &at);
    message->msg_controllen = at;
    return result;
}
