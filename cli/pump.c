/* SPDX-License-Identifier: BSD-2-Clause */
/* The two ends of a pipeline on the host; see pump.h. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ferry/abi/layout.h>
#include <ferry/abi/message.h>

#include "command.h"
#include "pump.h"

/* Interrupts a system call of a pump; the handler has nothing to do. */
#define SIGNAL_INTERRUPT (SIGRTMIN + 1)

static void interrupted(int signo)
{
    (void)signo;
}

/* Lets the thread be interrupted, whatever signal mask we were started with. */
static void pump_begin(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGNAL_INTERRUPT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void pump_interrupt(pthread_t thread)
{
    struct sigaction action = {.sa_handler = interrupted};

    sigaction(SIGNAL_INTERRUPT, &action, NULL);
    pthread_kill(thread, SIGNAL_INTERRUPT);
}

/* ---- input --------------------------------------------------------------- */

/* A file as long as this is worth filling large buffers with. */
#define LONG_FILE_BYTES  (64ull << 20)
#define LONG_FILE_BUFFER (4 * FERRY_EXTENT_BYTES)

/* The cost of a hand-over is per message, hardly per byte. A pipe or a terminal rarely
 * holds such amounts, and its bytes must not wait. */
static size_t choose_buffer_bytes(int fd)
{
    struct stat st;
    bool is_long =
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size >= LONG_FILE_BYTES;

    return is_long ? LONG_FILE_BUFFER : FERRY_EXTENT_BYTES;
}

/* A loan that came home becomes spare. A buffer that was filled in part was
 * lent in part, always from its start. */
static int input_reclaim(struct input *input, uint64_t timeout_ns)
{
    void *buffer;
    size_t bytes;
    int result = ferry_link_reclaim(input->link, timeout_ns, &buffer, &bytes);

    if (result == 0) {
        assert(input->spare_count < INPUT_BUFFERS);
        input->spare[input->spare_count++] = buffer;
    }
    return result;
}

static int input_alloc(struct input *input)
{
    size_t extents = input->buffer_bytes / FERRY_EXTENT_BYTES;
    void *fresh;

    if (input->all_count == INPUT_BUFFERS || (input->all_count + 1) * extents > input->most_extents)
        return -ENOMEM;
    int result = ferry_link_alloc(input->link, extents, false, &fresh);
    if (result == -ENOMEM && input->all_count == 0 && extents > 1) {
        /* The guests were faster, and no such run is left. */
        input->buffer_bytes = FERRY_EXTENT_BYTES;
        result = ferry_link_alloc(input->link, 1, false, &fresh);
    }
    if (result == 0) {
        input->all[input->all_count++] = fresh;
        input->spare[input->spare_count++] = fresh;
    }
    return result;
}

/* A buffer to fill: a spare one, which is still in the cache, else a new one, else the next one
 * that comes home. */
static int input_take(struct input *input, void **buffer)
{
    int result = 0;

    if (input->spare_count == 0 && input_reclaim(input, 0) != 0)
        result = input_alloc(input);
    if (result == -ENOMEM && input->all_count > 0)
        result = input_reclaim(input, UINT64_MAX);
    if (result == 0)
        *buffer = input->spare[--input->spare_count];
    return result;
}

/* Waits for input (or, with timeout 0, looks) and reads what is there.
 * -EAGAIN: nothing is; -ECANCELED: told to stop. */
static ssize_t read_some(struct input *input, void *to, size_t room, int timeout_ms)
{
    struct pollfd ready = {.fd = input->fd, .events = POLLIN};

    while (!atomic_load(&input->stop)) {
        int n = poll(&ready, 1, timeout_ms);

        if (n == 0)
            return -EAGAIN;
        ssize_t got = n < 0 ? -1 : read(input->fd, to, room);
        if (got >= 0)
            return got;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    return -ECANCELED;
}

/* Waits for the first byte, then fills a buffer with the bytes that are there at once: a line that
 * was typed must not wait for more. Returns the bytes. */
static size_t input_fill(struct input *input, char *buffer, size_t room)
{
    size_t bytes = 0;

    while (bytes < room) {
        ssize_t got = read_some(input, buffer + bytes, room - bytes, bytes == 0 ? -1 : 0);

        if (got == -EAGAIN)
            break;
        if (got <= 0) {
            input->ended = true;
            /* EBADF: it is closed, and so is that of the first stage. */
            if (got < 0 && got != -ECANCELED && got != -EBADF)
                input->read_error = (int)-got;
            break;
        }
        bytes += (size_t)got;
        input->read += (uint64_t)got;
    }
    return bytes;
}

static int input_send_copy(struct input *input, char *buffer, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        size_t rest = bytes - done;
        struct ferry_message message = {
            .mode = FERRY_COPY,
            .data = buffer + done,
            .bytes = rest < FERRY_COPY_BYTES ? rest : FERRY_COPY_BYTES,
        };
        int result = ferry_link_send(input->link, &message, UINT64_MAX);

        if (result != 0)
            return result;
        input->bytes += message.bytes;
        done += message.bytes;
    }
    return 0;
}

/* Which of its buffers it is. */
static size_t index_of(const struct input *input, const void *buffer)
{
    size_t i = 0;

    while (input->all[i] != buffer)
        i++;
    return i;
}

/* The whole buffer becomes readable, so the bytes that an earlier, longer piece left behind this
 * one are zeroed. It is done here since only we know that a buffer is seldom filled less than
 * before. */
static int input_lend(struct input *input, char *buffer, size_t bytes, size_t *filled)
{
    struct ferry_message message = {
        .mode = FERRY_LEND, .data = buffer, .bytes = bytes, .rest_is_zero = true};

    memset(buffer + bytes, 0, *filled - bytes);
    *filled = bytes;
    int result = ferry_link_send(input->link, &message, UINT64_MAX);

    if (result == 0)
        input->bytes += bytes;
    return result;
}

static bool copies(const struct input *input, size_t bytes)
{
    return input->transfer == FERRY_TRANSFER_COPY ||
           (input->transfer == FERRY_TRANSFER_AUTO && bytes <= input->crossover_bytes);
}

/* Sends the filled buffer, by a copy or whole. */
static int input_send(struct input *input, void *buffer, size_t bytes)
{
    size_t *filled = &input->filled[index_of(input, buffer)];

    *filled = MAX(*filled, bytes);
    if (!copies(input, bytes))
        return input_lend(input, buffer, bytes, filled);
    int result = input_send_copy(input, buffer, bytes);

    input->spare[input->spare_count++] = buffer;
    return result;
}

/* Most input is short. As long as there is only as much input at once as would be copied anyway, no
 * extent is allocated for it: making one huge takes milliseconds. */
static int input_run_small(struct input *input)
{
    char buffer[FERRY_COPY_BYTES];
    struct stat st;
    size_t bytes = 0;
    int result = 0;

    if (!copies(input, sizeof buffer) ||
        (fstat(input->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > FERRY_COPY_BYTES))
        return 0;
    while (result == 0 && !input->ended && bytes < sizeof buffer) {
        bytes = input_fill(input, buffer, sizeof buffer);
        result = input_send_copy(input, buffer, bytes);
    }
    return result;
}

void input_run(struct input *input)
{
    int result = 0;

    pump_begin();
    input->buffer_bytes = choose_buffer_bytes(input->fd);
    /* Input that no stage wants is left to the process that started us. */
    result = input->none ? -EPIPE : ferry_link_await_receiver(input->link, UINT64_MAX);
    input->start = lseek(input->fd, 0, SEEK_CUR);
    if (result == 0)
        result = input_run_small(input);
    while (result == 0 && !input->ended) {
        void *buffer;

        result = input_take(input, &buffer);
        if (result != 0)
            break;
        size_t bytes = input_fill(input, buffer, input->buffer_bytes);
        if (bytes == 0)
            break;
        result = input_send(input, buffer, bytes);
        if (result != 0)
            break;
    }
    /* -EPIPE: the first stage reads no more, as it may. */
    if (result != 0 && result != -EPIPE && result != -ECANCELED)
        input->send_error = -result;
    ferry_link_hangup(input->link);
}

void input_again(struct input *input)
{
    while (input_reclaim(input, 0) == 0)
        ;
    memcpy(input->spare, input->all, sizeof(input->spare)); /* also one that was not sent */
    input->spare_count = input->all_count;
    input->read = input->bytes = 0;
    input->ended = false;
    input->read_error = input->send_error = 0;
    atomic_store(&input->stop, false);
}

/* Puts the offset of a seekable file behind the last byte that the first stage took, for the next
 * reader, unless another process moved the offset meanwhile. */
static void put_back(const struct input *input)
{
    struct ferry_link_stats stats;
    uint64_t end = (uint64_t)input->start + input->read;

    ferry_link_stats(input->link, &stats);
    if (input->start >= 0 && stats.bytes_taken < input->read &&
        lseek(input->fd, 0, SEEK_CUR) == (off_t)end)
        (void)lseek(input->fd, input->start + (off_t)stats.bytes_taken, SEEK_SET);
}

void input_finish(struct input *input)
{
    put_back(input);
    /* A buffer that did not come home cannot be freed, and the ledger shows it. */
    for (size_t i = 0; i < input->all_count; i++)
        (void)ferry_link_free(input->link, input->all[i], input->buffer_bytes);
}

/* ---- output -------------------------------------------------------------- */

/* Frees the whole units around a payload that was moved here. */
static void free_moved(struct output *output)
{
    static const uint64_t units[] = {FERRY_PAGE_BYTES, FERRY_EXTENT_BYTES};
    uintptr_t start = (uintptr_t)output->message.data;

    /* The message does not say which kind of unit it came in; freeing fails
     * and changes nothing unless the range is made of whole ones. */
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t before = start % units[i];
        size_t bytes = (before + output->message.bytes + units[i] - 1) / units[i] * units[i];

        if (ferry_link_free(output->link, (char *)output->message.data - before, bytes) == 0)
            return;
    }
}

static void output_let_go(struct output *output)
{
    switch (output->message.mode) {
    case FERRY_COPY:
    case FERRY_LEND:
        (void)ferry_link_release(output->link, output->message.token);
        break;
    case FERRY_MOVE:
        free_moved(output);
        break;
    default:
        break;
    }
    output->held = false;
}

static int write_some(int fd, const char *from, size_t bytes, size_t *written)
{
    ssize_t n = write(fd, from, bytes);

    *written = 0;
    if (n >= 0) {
        *written = (size_t)n;
        return 0;
    }
    if (errno == EAGAIN) { /* somebody made it non-blocking */
        struct pollfd ready = {.fd = fd, .events = POLLOUT};

        (void)poll(&ready, 1, -1);
        return 0;
    }
    return errno == EINTR ? 0 : -errno;
}

static int output_write(struct output *output)
{
    const char *data = ferry_message_data(&output->message);
    size_t done = 0;

    while (done < output->message.bytes) {
        size_t written;

        if (atomic_load(&output->stop))
            return -ECANCELED;
        int result = write_some(output->fd, data + done, output->message.bytes - done, &written);
        if (result != 0)
            return result;
        done += written;
        output->bytes += written;
    }
    return 0;
}

void output_run(struct output *output)
{
    int result = 0;

    pump_begin();
    while (result == 0) {
        result = ferry_link_recv(output->link, UINT64_MAX, &output->message);
        if (result != 0 || output->message.mode == FERRY_HANGUP)
            break;
        output->held = true;
        result = output_write(output);
        if (result == 0)
            output_let_go(output);
    }
    output->error = -result;
}

void output_finish(struct output *output)
{
    if (output->held)
        output_let_go(output);
    while (ferry_link_recv(output->link, 0, &output->message) == 0 &&
           output->message.mode != FERRY_HANGUP)
        output_let_go(output);
}
