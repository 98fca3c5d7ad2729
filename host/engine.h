/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: what all VMs of one embedding share. It owns the pool, the
 * ledger, the table of endpoints, the images and the ticker.
 */
#ifndef FERRY_HOST_ENGINE_H
#define FERRY_HOST_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ferry/ferry.h>

#include "budget.h"
#include "endpoint.h"
#include "ledger.h"
#include "poller.h"
#include "pool.h"
#include "ticker.h"

#define ENDPOINTS_MAX LEDGER_OWNERS

struct ferry_vm;
struct image;

struct image_entry {
    struct image_entry *next;
    struct image *image;
    bool settled; /* its file had not been changed just before */
};

struct ferry_engine {
    struct ferry_engine_config config;
    struct ferry_engine_info info;
    int kvm_fd;
    int vcpu_mmap_bytes;
    struct kvm_cpuid2 *cpuid;
    uint64_t xcr0;
    struct pool pool;
    struct ledger ledger;

    /* What stands above is read by all and hardly written; so are the endpoints. */
    char pad[64];
    pthread_mutex_t lock; /* all below but the ticker */
    uint32_t generation;
    uint32_t place_hint; /* all places of endpoints below it are taken */
    uint32_t place_end;  /* no place from here on was ever taken */
    struct endpoint *made_endpoints, *spare_endpoints;
    struct image_entry *images;
    char pad2[64];
    struct endpoint *_Atomic endpoints[ENDPOINTS_MAX]; /* changed under lock, read without */
    struct budget mappings, files; /* of this process, shared among the VMs; each has its lock */
    struct poller poller;
    char pad3[64];
    struct ticker ticker;
};

static inline struct endpoint *engine_endpoint(struct ferry_engine *engine, uint16_t index)
{
    return engine->endpoints[index];
}

/* A fresh endpoint, not yet linked; `vm` NULL: the host's end of a link. */
int engine_endpoint_new(struct ferry_engine *engine, struct ferry_vm *vm, struct endpoint **out);
/* The endpoint was shut down and no thread acts for it any more, so another may take its place.
 * Frees its links to endpoints that are retired too; the memory of an endpoint without links is
 * used again. */
void engine_endpoint_retire(struct ferry_engine *engine, struct endpoint *endpoint);
/* Under lock: frees a link that no thread can be using. */
void engine_link_free(struct ferry_engine *engine, struct ferry_link *link);

/* The image of a file, read once for all VMs of the engine; for engine_image_release.
 * -ENOMEM: it takes more than limit_bytes. */
int engine_image(struct ferry_engine *engine, const char *path, uint64_t limit_bytes,
                 struct image **out, struct ferry_error *err);
/* Counts one more user of the image; NULL is allowed, as below. */
void engine_image_hold(struct ferry_engine *engine, struct image *image);
void engine_image_release(struct ferry_engine *engine, struct image *image);
/* Frees all images; no VM uses one any more. */
void engine_images_free(struct ferry_engine *engine);

void engine_log(struct ferry_engine *engine, enum ferry_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
