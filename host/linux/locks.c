/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns locks on files: flock(2), and records by fcntl(2). Where the program may write they are the
 * host's, so that they hold against other VMs and processes. The locks of an open file are those of
 * our descriptor of it. Records that belong to a process cannot be those of our process, which has
 * several VMs: each VM has one more descriptor of such a file, and they belong to that. On a file system
 * that may not answer there is no descriptor that could have them. Elsewhere each lock is granted and
 * holds against nobody: a program that only reads keeps nobody waiting, and a file that was given is open
 * in other processes, whose lock it would be.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/clock.h"
#include "linux/calls.h"
#include "linux/host_file.h"
#include "linux/state.h"

/* How often a program that waits for a lock asks for it. */
#define LOCK_TURN_NS 10000000ull

/* The descriptor that has the records of a file. */
struct record_owner {
    struct record_owner *next;
    dev_t dev;
    ino_t ino;
    int fd;
};

static struct record_owner **find_owner(struct linux_state *state, const struct open_file *file)
{
    struct record_owner **at = &state->record_owners;

    while (*at && ((*at)->ino != file->ino || (*at)->dev != file->dev))
        at = &(*at)->next;
    return at;
}

static void free_owner(struct linux_state *state, struct record_owner **at)
{
    struct record_owner *owner = *at;

    *at = owner->next;
    close(owner->fd);
    vm_file_give_back(state->vm);
    free(owner);
}

/* As wide as can be: records to read and to write are locked by it. */
static int open_owner(const struct open_file *file)
{
    static const int modes[] = {O_RDWR, O_RDONLY, O_WRONLY};
    int fd = -1;

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]) && fd < 0; i++)
        fd = host_open_anew(file->fd, modes[i] | O_NONBLOCK);
    return fd;
}

/* The descriptor for the records of the file, or -ENOLCK. */
static int owner_of(struct linux_state *state, const struct open_file *file)
{
    struct record_owner **at = find_owner(state, file), *owner = *at;

    if (owner)
        return owner->fd;
    owner = vm_file_take(state->vm) ? malloc(sizeof(*owner)) : NULL;
    if (!owner)
        return -ENOLCK;
    *owner = (struct record_owner){.dev = file->dev, .ino = file->ino, .fd = open_owner(file)};
    if (owner->fd < 0) {
        vm_file_give_back(state->vm);
        free(owner);
        return -ENOLCK;
    }
    *at = owner;
    return owner->fd;
}

void locks_drop(struct linux_state *state, const struct open_file *file)
{
    struct record_owner **at = file->writable ? find_owner(state, file) : NULL;

    if (at && *at)
        free_owner(state, at);
}

void locks_fini(struct linux_state *state)
{
    while (state->record_owners)
        free_owner(state, &state->record_owners);
}

/* ---- how many records there are ------------------------------------------- */

/* The host keeps each of them in memory that nobody is charged for. */
#define RECORDS_MAX 8192

/* Adds how many locks the host keeps for the descriptor. */
static bool add_locks(int fd, unsigned *count)
{
    char name[sizeof("/proc/self/fdinfo/") + 3 * sizeof(int)], line[256];
    FILE *info;

    snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
    info = fopen(name, "re");
    while (info && fgets(line, sizeof(line), info))
        *count += strncmp(line, "lock:", 5) == 0;
    return info && fclose(info) == 0;
}

static bool count_records(const struct linux_state *state, unsigned *count)
{
    bool all = true;

    *count = 0;
    for (const struct record_owner *owner = state->record_owners; all && owner; owner = owner->next)
        all = add_locks(owner->fd, count);
    for (const struct open_file *file = state->common->writables; all && file;
         file = file->next_writable)
        all = !file->local || file->kind != FILE_REGULAR || add_locks(file->fd, count);
    return all;
}

/* Whether there may be one more. A lock in the middle of another one makes two of them, and so does a
 * part that is unlocked: for that there is room when there is none for locks, so that a program can
 * come out of it. The host is asked only when there might be too many. */
static bool has_room(struct linux_state *state, const struct flock *lock)
{
    bool unlocks = lock->l_type == F_UNLCK;
    unsigned count;

    if (unlocks && lock->l_whence == SEEK_SET && !lock->l_start && !lock->l_len)
        return true; /* all of them */
    if (state->records + 2 > RECORDS_MAX) {
        if (!count_records(state, &count) || count + 2 > (unlocks ? RECORDS_MAX : RECORDS_MAX / 2))
            return false;
        state->records = count;
    }
    state->records += 2;
    return true;
}

/* ---- waiting ------------------------------------------------------------- */

/* A lock that is asked for: a record, or (command 0) the whole file. */
struct request {
    struct linux_state *state;
    const struct open_file *records_of; /* NULL: fd has the lock */
    int fd, command, operation;
    struct flock lock;
    int64_t result;
};

static bool ask(void *arg, uint64_t *again_ns)
{
    struct request *request = arg;
    int fd = request->fd, result;

    /* Asked for each time: another thread that closes a descriptor of the file closes this one. */
    if (request->records_of)
        fd = owner_of(request->state, request->records_of);
    if (fd < 0) {
        request->result = fd;
        return true;
    }
    result = request->command ? fcntl(fd, request->command, &request->lock)
                              : flock(fd, request->operation | LOCK_NB);
    request->result = result ? -errno : 0;
    *again_ns = clock_deadline(LOCK_TURN_NS);
    return request->result != -EAGAIN && request->result != -EACCES;
}

/* The host's lock must not block the thread of a VM, so it is asked for again and again. */
static int64_t get_lock(struct linux_state *state, struct open_file *file, struct request *request,
                        bool waits)
{
    uint64_t again;
    int result = 0;

    if (ask(request, &again) || !waits)
        return request->result;
    file->references++; /* another thread may close it meanwhile */
    result = vm_wait(state->vm, ask, request, UINT64_MAX);
    file_release(state, file);
    return result ? result : request->result;
}

/* ---- the calls ----------------------------------------------------------- */

/* Whether its locks are the host's. -ENOLCK: they would be, but each call opens it anew. */
static int has_locks(const struct open_file *file)
{
    if (!file->writable || file->kind != FILE_REGULAR)
        return 0;
    return file->local ? 1 : -ENOLCK;
}

int64_t sys_flock(struct linux_state *state, const uint64_t arg[6])
{
    struct request request = {.operation = (int)(arg[1] & ~(uint64_t)LOCK_NB)};
    struct open_file *file = descriptor_file(state, arg[0]);
    int locks;

    if (request.operation != LOCK_SH && request.operation != LOCK_EX &&
        request.operation != LOCK_UN)
        return -EINVAL;
    if (!file || file->status & O_PATH)
        return -EBADF;
    locks = has_locks(file);
    request.fd = file->fd;
    return locks > 0 ? get_lock(state, file, &request, !(arg[1] & LOCK_NB)) : locks;
}

/* Whether the range is one that Linux takes. From the end of a file on anything may be. */
static int check_range(const struct open_file *file, const struct flock *lock)
{
    int64_t start =
        lock->l_whence == SEEK_CUR && file->kind == FILE_REGULAR ? file_position(file) : 0;
    int64_t end;

    if (lock->l_whence == SEEK_END)
        return 0;
    if (__builtin_add_overflow(start, lock->l_start, &start))
        return -EOVERFLOW;
    if (start < 0)
        return -EINVAL;
    if (lock->l_len > 0)
        return __builtin_add_overflow(start, lock->l_len - 1, &end) ? -EOVERFLOW : 0;
    return start + lock->l_len < 0 ? -EINVAL : 0;
}

static int check_record(const struct open_file *file, uint64_t command, const struct flock *lock)
{
    bool asks = command == F_GETLK || command == F_OFD_GETLK;
    bool of_file = command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;

    if ((lock->l_type != F_RDLCK && lock->l_type != F_WRLCK && lock->l_type != F_UNLCK) ||
        (lock->l_whence != SEEK_SET && lock->l_whence != SEEK_CUR && lock->l_whence != SEEK_END))
        return -EINVAL;
    if (asks && lock->l_type == F_UNLCK)
        return -EINVAL;
    if (!asks && ((lock->l_type == F_RDLCK && !file_can_read(file)) ||
                  (lock->l_type == F_WRLCK && !file_can_write(file))))
        return -EBADF;
    return of_file && lock->l_pid ? -EINVAL : check_range(file, lock);
}

/* Of the host's locks the program learns no process. */
static int64_t get_record(struct linux_state *state, struct open_file *file,
                          struct request *request)
{
    int64_t result = get_lock(state, file, request, false);

    if (!result && request->lock.l_type != F_UNLCK && request->lock.l_pid > 0)
        request->lock.l_pid = 0;
    return result;
}

int64_t record_lock(struct linux_state *state, struct open_file *file, uint64_t command,
                    uint64_t addr)
{
    bool of_file = command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    bool asks = command == F_GETLK || command == F_OFD_GETLK;
    struct request request = {.command = asks ? F_OFD_GETLK : F_OFD_SETLK};
    int64_t result;

    if (guest_get(state, addr, &request.lock, sizeof(request.lock)))
        return -EFAULT;
    result = check_record(file, command, &request.lock);
    if (!result)
        result = has_locks(file);
    if (result < 0)
        return result;
    if (!result) {
        request.lock.l_type = F_UNLCK;
        return asks ? guest_put(state, addr, &request.lock, sizeof(request.lock)) : 0;
    }
    if (request.lock.l_whence == SEEK_CUR) {
        request.lock.l_start += file->position; /* it was checked */
        request.lock.l_whence = SEEK_SET;
    }
    request.lock.l_pid = 0;
    request.state = state;
    request.records_of = of_file ? NULL : file;
    request.fd = file->fd;
    if (!asks && !has_room(state, &request.lock))
        return -ENOLCK;
    if (!asks)
        return get_lock(state, file, &request, command == F_SETLKW || command == F_OFD_SETLKW);
    result = get_record(state, file, &request);
    return result ? result : guest_put(state, addr, &request.lock, sizeof(request.lock));
}
