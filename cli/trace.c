/* SPDX-License-Identifier: BSD-2-Clause */
/* `--trace`; see trace.h. Lines go out at once, so that the last ones before a crash are there. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "command.h"
#include "trace.h"

int trace_open(struct trace *trace, const struct options *options)
{
    *trace = (struct trace){.fd = -1, .json = options->trace_json};
    pthread_mutex_init(&trace->lock, NULL);
    if (!options->trace)
        return 0;
    if (!options->trace_file) {
        trace->fd = STDERR_FILENO;
        return 0;
    }
    trace->fd =
        open(options->trace_file, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
    if (trace->fd < 0) {
        say("--trace='%s': %s; give a file that you may write", options->trace_file,
            strerror(errno));
        return STATUS_USAGE;
    }
    fcntl(trace->fd, F_SETFL, O_NONBLOCK); /* the open file is ours alone */
    trace->own = true;
    return 0;
}

/* ---- one line ------------------------------------------------------------- */

static void add_call(json_t *object, const struct ferry_trace *event)
{
    json_t *args = json_array();

    for (uint32_t i = 0; i < event->arg_count; i++)
        json_array_append_new(args, json_string(event->args[i]));
    json_object_set_new(object, "call", json_string(event->name));
    json_object_set_new(object, "args", args);
    if (!event->returned)
        json_object_set_new(object, "result", json_null());
    else
        json_object_set_new(object, "result", json_integer(event->result));
    if (event->returned && event->result < 0 && strerrorname_np((int)-event->result))
        json_object_set_new(object, "error", json_string(strerrorname_np((int)-event->result)));
    json_object_set_new(object, "took", json_real((double)event->took_ns / 1e9));
}

static char *json_line(const char *name, const struct ferry_trace *event)
{
    json_t *object = json_object();
    char *valid = g_utf8_make_valid(name, -1);

    json_object_set_new(object, "time", json_real((double)event->time_ns / 1e9));
    json_object_set_new(object, "vm", json_string(valid));
    json_object_set_new(object, "thread", json_integer(event->thread));
    if (event->kind == FERRY_TRACE_CALL) {
        add_call(object, event);
    } else if (event->kind == FERRY_TRACE_SIGNAL) {
        json_object_set_new(object, "signal", json_string(event->name));
        json_object_set_new(object, "info", json_string(event->args[0]));
    } else if (strcmp(event->name, "exited") == 0) {
        json_object_set_new(object, "exited", json_integer(event->result));
    } else {
        json_object_set_new(object, "killed", json_string(event->name));
    }
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(16));
    char *line = g_strconcat(text ? text : "{}", "\n", NULL);
    free(text);
    g_free(valid);
    json_decref(object);
    return line;
}

void trace_event(void *arg, struct ferry_vm *vm, const struct ferry_trace *event)
{
    struct trace *trace = arg;
    const char *name = ferry_vm_name(vm);
    char *line = trace->json ? json_line(name, event)
                             : g_strdup_printf("[%s %d] %s\n", name, event->thread, event->line);

    if (!trace->own) {
        say_text(line, strlen(line));
    } else {
        pthread_mutex_lock(&trace->lock);
        if (!trace->error)
            trace->error = say_to(trace->fd, line, strlen(line));
        pthread_mutex_unlock(&trace->lock);
    }
    g_free(line);
}

int trace_close(struct trace *trace, const struct options *options)
{
    if (trace->own && close(trace->fd) != 0 && !trace->error)
        trace->error = errno;
    pthread_mutex_destroy(&trace->lock);
    if (!trace->error)
        return 0;
    say("cannot write to '%s': %s; the trace is not complete", options->trace_file,
        strerror(trace->error));
    return STATUS_IO;
}
