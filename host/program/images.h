/* SPDX-License-Identifier: BSD-2-Clause */
/* The images that VMs of one engine run: which file is which image, and how long one is kept. */
#ifndef FERRY_HOST_IMAGES_H
#define FERRY_HOST_IMAGES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <ferry/ferry.h>

#include "lib/lock.h"

struct image;
struct image_source;

struct image_entry {
    struct image_entry *next;
    struct image *image;
    bool settled; /* its file had not been changed just before */
};

struct images {
    struct lock lock; /* a leaf */
    struct image_entry *list;
};

void images_init(struct images *images);
/* Frees all images; no VM uses one any more. */
void images_fini(struct images *images);

/* The image of a file, read once for all VMs; for images_release. `path` is for messages. Takes over
 * the source, also on an error.
 * -ENOMEM: it takes more than limit_bytes. */
int images_open(struct images *images, const char *path, const struct image_source *source,
                uint64_t limit_bytes, struct image **out, struct ferry_error *err);
/* Counts one more user of the image; NULL is allowed, as below. */
void images_hold(struct images *images, struct image *image);
void images_release(struct images *images, struct image *image);

#endif
