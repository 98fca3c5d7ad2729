/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that embeds Ferry: it decodes untrusted files, each in a fresh virtual machine, and
 * survives whatever they do to the decoder. The machine is made once, and kept as it is when the
 * decoder first asks for input; for each further file it is brought back to that point, so that nothing
 * of one file is there when the next is decoded.
 *
 * decode DECODER FILE...
 *
 * DECODER is a static Linux program that reads standard input and writes standard output; it sees
 * nothing else of this machine. What it made of a file is written only if it ended well: a decoder
 * that crashed may have written anything. Build: cc decode.c $(pkg-config --cflags --libs ferry)
 */
#include <errno.h>
#include <ferry/ferry.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES (1u << 20) /* of what one file may become */
#define MOST_NS    (10 * 1000000000ull)

struct job {
    FILE *file;
    struct ferry_vm *vm;
    struct ferry_link *in, *out;
    char decoded[MOST_BYTES];
    size_t bytes;
    bool too_long;
};

/* The machine, with a link to its standard input and one from its standard output, ready for the first
 * file. */
static int make(struct job *job, struct ferry_engine *engine, const char *decoder,
                struct ferry_error *err)
{
    const struct ferry_vm_config config = {
        .program = decoder, .memory_bytes = 16u << 20, .timeout_ns = MOST_NS, .stderr_fd = -1};
    const struct ferry_link_config stream = {.stream = true};

    int result = ferry_vm_create(engine, &config, &job->vm, err);
    if (result == 0)
        result = ferry_link_create(engine, NULL, job->vm, &stream, &job->in, err);
    if (result == 0)
        result = ferry_link_create(engine, job->vm, NULL, &stream, &job->out, err);
    if (result == 0)
        result = ferry_vm_snapshot(job->vm, UINT64_MAX, err); /* timeout_ns bounds it */
    return result;
}

/* On a thread of its own: the decoder may wait until its output is taken before it reads on. */
static void *feed(void *arg)
{
    struct job *job = arg;
    char piece[FERRY_COPY_BYTES];
    size_t bytes;

    while ((bytes = fread(piece, 1, sizeof piece, job->file)) > 0) {
        const struct ferry_message message = {.mode = FERRY_COPY, .data = piece, .bytes = bytes};

        if (ferry_link_send(job->in, &message, UINT64_MAX) < 0)
            return NULL; /* -EPIPE: it takes no more, and how it ended says why */
    }
    ferry_link_hangup(job->in);
    return NULL;
}

/* Until the decoder hangs up, as it also does when it crashes or is stopped. */
static void collect(struct job *job)
{
    struct ferry_message message;

    while (ferry_link_recv(job->out, UINT64_MAX, &message) == 0 && message.mode != FERRY_HANGUP) {
        if (message.bytes > MOST_BYTES - job->bytes) {
            job->too_long = true; /* it may have ended well before it is stopped */
            ferry_vm_stop(job->vm, SIGXFSZ);
        } else if (message.bytes > 0) {
            memcpy(job->decoded + job->bytes, ferry_message_data(&message), message.bytes);
            job->bytes += message.bytes;
        }
        if (message.mode == FERRY_COPY || message.mode == FERRY_LEND)
            ferry_link_release(job->out, message.token);
        /* What a decoder moved here, if it is none that just writes, goes with its machine. */
    }
}

static int run(struct job *job, const char *path)
{
    struct ferry_vm_exit end;
    pthread_t feeder;

    int result = -pthread_create(&feeder, NULL, feed, job);
    if (result < 0) {
        fprintf(stderr, "decode: %s: no thread: %s\n", path, strerror(-result));
        return result;
    }
    collect(job);
    result = ferry_vm_wait(job->vm, UINT64_MAX, &end);
    pthread_join(feeder, NULL);
    if (job->too_long)
        snprintf(end.text, sizeof end.text, "it becomes more than %u bytes", MOST_BYTES);
    else if (result == 0 && end.how == FERRY_ENDED_EXIT && end.status == 0)
        return fwrite(job->decoded, 1, job->bytes, stdout) == job->bytes ? 0 : -EIO;
    fprintf(stderr, "decode: %s: %s\n", path, end.text);
    return -EBADMSG;
}

static int decode(struct job *job, const char *path)
{
    int result;

    job->file = fopen(path, "rb");
    if (!job->file) {
        result = -errno;
        fprintf(stderr, "decode: %s: %s\n", path, strerror(errno));
        return result;
    }
    job->bytes = 0;
    job->too_long = false;
    result = run(job, path);
    fclose(job->file);
    return result;
}

/* What a file did to the decoder, it did not do to the next one. */
static int decode_all(struct job *job, char *const *paths, struct ferry_error *err)
{
    int failed = 0, result = 0;

    for (; *paths && result == 0; paths++) {
        failed |= decode(job, *paths);
        if (paths[1])
            result = ferry_vm_reset(job->vm, err);
    }
    if (result < 0)
        fprintf(stderr, "decode: %s\n", err->text);
    return result < 0 ? result : failed;
}

int main(int argc, char **argv)
{
    const struct ferry_engine_config config = {.pool_extents = 8};
    struct ferry_engine *engine;
    struct ferry_error err;
    int result;

    if (argc < 3) {
        fputs("usage: decode DECODER FILE...\n", stderr);
        return 2;
    }
    struct job *job = calloc(1, sizeof *job);
    if (!job || ferry_engine_create(&config, &engine, &err) < 0) {
        fprintf(stderr, "decode: %s\n", job ? err.text : strerror(ENOMEM));
        free(job);
        return 2;
    }
    result = make(job, engine, argv[1], &err);
    if (result < 0)
        fprintf(stderr, "decode: %s\n", err.text);
    else
        result = decode_all(job, argv + 2, &err);
    ferry_vm_destroy(job->vm); /* and its links */
    ferry_engine_destroy(engine);
    free(job);
    return fflush(stdout) == 0 && result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
