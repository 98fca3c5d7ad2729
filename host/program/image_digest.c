/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the digest of a program file. It is computed when somebody asks for the first time: most
 * runs never ask, and it would be a tenth of their start.
 *
 * It always covers the bytes that run, as these come from the copy, which nobody can change. Bytes
 * that are not in the copy never run; they come from the file, if that is still in the state in
 * which it was opened. Otherwise the digest of the file that was opened cannot be computed.
 */
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "program/image_internal.h"

_Static_assert(SHA256_DIGEST_SIZE == FERRY_DIGEST_BYTES, "the digest is SHA-256");

#define PIECE_BYTES (64u << 10)
#define STEP_BYTES  (1u << 20) /* less than a millisecond */

struct image_hashing {
    struct sha256_ctx sha;
    uint64_t at;
    unsigned char piece[PIECE_BYTES];
};

/* True: the digest is there, or will never be. */
static bool hash_some(struct image *image)
{
    lock_assert_held(&image->digest_lock);
    struct image_hashing *hashing = image->hashing;
    uint64_t bytes = image->source.key.bytes;
    uint64_t end = bytes - hashing->at < STEP_BYTES ? bytes : hashing->at + STEP_BYTES;

    while (hashing->at < end) {
        size_t piece = end - hashing->at < PIECE_BYTES ? (size_t)(end - hashing->at) : PIECE_BYTES;

        if (image_read(image, hashing->piece, piece, hashing->at))
            return true;
        sha256_update(&hashing->sha, piece, hashing->piece);
        hashing->at += piece;
    }
    if (end < bytes)
        return false;
    if (image_is_whole(image))
        sha256_digest(&hashing->sha, sizeof(image->digest), image->digest);
    return true;
}

static bool begin(struct image *image)
{
    if (image->hashing)
        return true;
    image->hashing = malloc(sizeof(*image->hashing));
    if (!image->hashing)
        return false;
    sha256_init(&image->hashing->sha);
    image->hashing->at = 0;
    return true;
}

bool image_digest_step(struct image *image)
{
    if (atomic_load(&image->digest_known))
        return true;
    lock_take(&image->digest_lock);
    bool known = atomic_load(&image->digest_known) || !begin(image) || hash_some(image);
    if (known) {
        free(image->hashing);
        image->hashing = NULL;
        atomic_store(&image->digest_known, true);
    }
    lock_drop(&image->digest_lock);
    return known;
}
