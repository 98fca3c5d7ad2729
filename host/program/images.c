/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The images of an engine: the image that belongs to a file, and how long an image is kept. Of
 * those that no VM uses the latest few are kept for the next VM, and no more: the files of an
 * engine may change without end, and no VM is charged for what is kept.
 */
#include "program/images.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/error.h"
#include "program/image.h"

#define IDLE_MOST  8             /* images that no VM uses, */
#define IDLE_BYTES (64ull << 20) /* and their copies together */

/* A file that was changed a moment before it was opened may be changed again within the same
 * tick of the clock that file systems use, and would then look the same. */
#define UNSETTLED_NS 40000000

static bool is_settled(const struct image_key *key)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    return key->changed_ns < now_ns - UNSETTLED_NS || key->changed_ns > now_ns + UNSETTLED_NS;
}

void images_init(struct images *images)
{
    *images = (struct images){0};
    lock_init(&images->lock, LOCK_LEAF);
}

static struct image *find_image(struct images *images, const struct image_key *key)
{
    lock_assert_held(&images->lock);
    for (struct image_entry *entry = images->list; entry; entry = entry->next)
        if (entry->settled && atomic_load(&entry->image->copy_code) == 0 &&
            memcmp(&entry->image->source.key, key, sizeof *key) == 0)
            return entry->image;
    return NULL;
}

int images_open(struct images *images, const char *path, const struct image_source *source,
                uint64_t limit_bytes, struct image **out, struct ferry_error *err)
{
    /* The state of the file that was opened, not of what the path names now. */
    bool settled = is_settled(&source->key);
    lock_take(&images->lock);
    *out = find_image(images, &source->key);
    if (*out)
        (*out)->users++;
    lock_drop(&images->lock);
    if (*out) {
        close(source->fd);
        return 0;
    }
    struct image_entry *entry = calloc(1, sizeof *entry);
    if (!entry) {
        close(source->fd);
        return error_set(err, -ENOMEM, "no memory to load '%s'", path);
    }
    /* Nothing is locked, as this may take long. If another thread loads the same file
     * meanwhile, there are two images of it, which does no harm. */
    int result = image_open(path, source, limit_bytes, &entry->image, err);
    if (result < 0) {
        free(entry);
        return result;
    }
    entry->settled = settled;
    entry->image->users = 1;
    lock_take(&images->lock);
    entry->next = images->list;
    images->list = entry;
    lock_drop(&images->lock);
    *out = entry->image;
    return 0;
}

void images_hold(struct images *images, struct image *image)
{
    if (!image)
        return;
    lock_take(&images->lock);
    image->users++;
    lock_drop(&images->lock);
}

/* Takes those unused images off the list that are too many. */
static struct image_entry *take_surplus(struct images *images)
{
    lock_assert_held(&images->lock);
    struct image_entry *surplus = NULL, **link = &images->list;
    unsigned idle = 0;
    uint64_t bytes = 0;

    while (*link) {
        struct image_entry *entry = *link;
        const struct image *image = entry->image;

        if (image->users == 0 &&
            (image->source.own || idle == IDLE_MOST || image->copied_bytes > IDLE_BYTES - bytes)) {
            *link = entry->next;
            entry->next = surplus;
            surplus = entry;
        } else {
            idle += image->users == 0;
            bytes += image->users == 0 ? image->copied_bytes : 0;
            link = &entry->next;
        }
    }
    return surplus;
}

static void free_entries(struct image_entry *entries)
{
    while (entries) {
        struct image_entry *entry = entries;

        entries = entry->next;
        image_close(entry->image);
        free(entry);
    }
}

void images_release(struct images *images, struct image *image)
{
    if (!image)
        return;
    lock_take(&images->lock);
    image->users--;
    struct image_entry *surplus = take_surplus(images);
    lock_drop(&images->lock);
    free_entries(surplus); /* takes long: not under the lock */
}

void images_fini(struct images *images)
{
    free_entries(images->list);
    images->list = NULL;
    lock_fini(&images->lock);
}
