/* SPDX-License-Identifier: BSD-2-Clause */
/* VMs of the benchmark, from engine to end. */
#include "vms.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#define PATIENCE_NS 60000000000ull

struct member {
    struct ferry_vm *vm;
    int core;
};

struct made_link {
    struct ferry_link *link;
    int from, to;
};

struct vms {
    struct bench *bench;
    struct ferry_engine *engine;
    GArray *members; /* of struct member */
    GArray *links;   /* of struct made_link */
};

static int failed(int result, const struct ferry_error *err)
{
    fprintf(stderr, "ferry: bench: %s\n", err->text);
    return result;
}

static struct member *member(struct vms *vms, int place)
{
    return &g_array_index(vms->members, struct member, (guint)place);
}

struct vms *vms_new(struct bench *bench, const struct ferry_engine_config *config)
{
    struct vms *vms = g_new0(struct vms, 1);
    struct ferry_error err;

    vms->bench = bench;
    vms->members = g_array_new(FALSE, TRUE, sizeof(struct member));
    vms->links = g_array_new(FALSE, TRUE, sizeof(struct made_link));
    if (ferry_engine_create(config, &vms->engine, &err) == 0)
        return vms;
    failed(0, &err);
    vms_free(vms);
    return NULL;
}

int vms_add(struct vms *vms, const struct ferry_vm_config *config, const char *guest,
            const char *words, int core)
{
    char *line = g_strdup_printf("%s %s", guest, words ? words : "");
    char **argv = g_strsplit(g_strstrip(line), " ", -1);
    struct ferry_vm_config full = config ? *config : (struct ferry_vm_config){0};
    struct member added = {.core = core};
    struct ferry_error err;
    int result;

    full.program = bench_guest(vms->bench, guest);
    full.argv = argv;
    result = ferry_vm_create(vms->engine, &full, &added.vm, &err);
    g_strfreev(argv);
    g_free(line);
    if (result != 0)
        return failed(result, &err);
    g_array_append_val(vms->members, added);
    return (int)vms->members->len - 1;
}

int vms_link(struct vms *vms, int from, int to, const struct ferry_link_config *config)
{
    struct made_link made = {.from = from, .to = to};
    struct ferry_error err;
    int result = ferry_link_create(vms->engine, from < 0 ? NULL : member(vms, from)->vm,
                                   to < 0 ? NULL : member(vms, to)->vm, config, &made.link, &err);

    if (result != 0)
        return failed(result, &err);
    g_array_append_val(vms->links, made);
    return 0;
}

struct ferry_link *vms_link_at(struct vms *vms, int from, int to)
{
    for (guint i = 0; i < vms->links->len; i++) {
        const struct made_link *made = &g_array_index(vms->links, struct made_link, i);

        if (made->from == from && made->to == to)
            return made->link;
    }
    return NULL;
}

/* A VM's thread has the cores of the thread that starts it. */
int vms_start(struct vms *vms)
{
    struct ferry_error err;
    int result = 0;

    for (guint i = 0; result == 0 && i < vms->members->len; i++) {
        bench_pin(member(vms, (int)i)->core);
        result = ferry_vm_start(member(vms, (int)i)->vm, &err);
    }
    bench_pin(-1);
    return result ? failed(result, &err) : 0;
}

int vms_receive(struct vms *vms, int from, void *data, size_t bytes)
{
    struct ferry_message message;
    int result = ferry_link_recv(vms_link_at(vms, from, VMS_HOST), PATIENCE_NS, &message);

    if (result != 0)
        return result;
    if (message.mode != FERRY_INLINE || message.bytes != bytes)
        return -ENODATA;
    memcpy(data, ferry_message_data(&message), bytes);
    return 0;
}

struct ferry_vm *vms_at(struct vms *vms, int place)
{
    return member(vms, place)->vm;
}

int vms_wait(struct vms *vms)
{
    int result = 0;

    for (guint i = 0; i < vms->members->len; i++) {
        struct ferry_vm *vm = member(vms, (int)i)->vm;
        struct ferry_vm_exit end;
        int waited = ferry_vm_wait(vm, PATIENCE_NS, &end);

        if (waited == 0 && end.how == FERRY_ENDED_EXIT && end.status == 0)
            continue;
        fprintf(stderr, "ferry: bench: VM '%s': %s\n", ferry_vm_name(vm),
                waited ? strerror(-waited) : end.text);
        result = -EIO;
    }
    return result;
}

void vms_free(struct vms *vms)
{
    if (!vms)
        return;
    for (guint i = 0; i < vms->members->len; i++)
        ferry_vm_destroy(member(vms, (int)i)->vm);
    ferry_engine_destroy(vms->engine);
    g_array_free(vms->members, TRUE);
    g_array_free(vms->links, TRUE);
    g_free(vms);
}
