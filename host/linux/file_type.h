/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to the personality: what can be done to an open file, as a table for each kind. */
#ifndef FERRY_HOST_LINUX_FILE_TYPE_H
#define FERRY_HOST_LINUX_FILE_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct linux_state;
struct open_file;

/* What a look at a file tells beside the events. */
struct readiness {
    uint64_t again_ns; /* when to look again though nobody woke the VM; as in vm_wait */
    /* They change whenever something came to read, or room to write: what an edge is. */
    uint32_t in_edges, out_edges;
};

/* A member that is NULL means: not for such a file. */
struct file_type {
    const char *name; /* what /proc/self/fd tells of it; NULL: its path */
    mode_t mode;      /* what stat tells of it */
    /* Bytes that come and go in order, without positions. */
    bool stream;
    /* As read(2) and write(2). What is not a stream of the VM never waits: -EAGAIN, or less than
     * all. -EPIPE comes without the signal. -EINTR: the VM is to stop. */
    int64_t (*get)(struct linux_state *state, struct open_file *file, void *to, size_t bytes);
    int64_t (*put)(struct linux_state *state, struct open_file *file, const void *from,
                   size_t bytes);
    /* Which events hold: POLLIN and POLLOUT of those that are wanted, others always. NULL: it can
     * be read and written at any time. No other thread is served meanwhile: callers keep pointers
     * to what it could close. */
    int (*poll)(struct linux_state *state, struct open_file *file, int want,
                struct readiness *readiness);
    /* How long a call waits for these events, in nanoseconds; NULL: for ever. */
    uint64_t (*patience)(const struct open_file *file, int events);
    int (*stat)(struct linux_state *state, const struct open_file *file, struct stat *out);
    /* What FIONREAD tells. */
    int64_t (*available)(struct linux_state *state, struct open_file *file);
    /* Another open file of the same object, for an open by /proc/self/fd: fills in what `like` lacks.
     * NULL: only files of the host and streams of the VM can be opened so. */
    int (*reopen)(struct linux_state *state, const struct open_file *file, struct open_file *like);
    /* F_SETPIPE_SZ, or only what it is (0 bytes). */
    int64_t (*resize)(struct linux_state *state, struct open_file *file, uint32_t bytes);
    /* Gives back what the file holds, also of one that was not fully made. */
    void (*release)(struct linux_state *state, const struct open_file *file);
};

/* Of files of the host. */
int host_stat(struct linux_state *state, const struct open_file *file, struct stat *out);
int64_t regular_available(struct linux_state *state, struct open_file *file);

const struct file_type *file_type(const struct open_file *file);

/* streams.c */
extern const struct file_type input_type, output_type, error_type;
/* devices.c */
extern const struct file_type device_type;
/* listing.c */
extern const struct file_type list_type;
/* given.c */
extern const struct file_type given_type;
/* pipe.c, event.c, epoll.c, timer.c, socket.c, inotify.c, signalfd.c */
extern const struct file_type pipe_type, event_type, epoll_type, timer_type, socket_type,
    inotify_type, signals_type;
/* names_threads.c */
extern const struct file_type thread_name_type;

#endif
