/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file that keeps what was measured, so that it need not be measured at
 * every start. It is an aid only: whatever is wrong with it, the answer is to measure.
 */
#ifndef FERRY_HOST_MEASURE_CACHE_H
#define FERRY_HOST_MEASURE_CACHE_H

#include <stdbool.h>

#include "engine/costs.h"

#define MEASURE_KEY_BYTES 640

/* Where the figures hold: processor, kernel, cores, KVM, huge pages or not, Ferry. It is
 * the first part of the file. */
void measure_cache_key(char key[MEASURE_KEY_BYTES], bool huge);

/* False: not there, not readable, not as it was written, of another key, or not to be believed. */
bool measure_cache_load(const char *path, const char *key, struct costs *out);

/* Replaces the file as a whole. Its directory must be there. 0 or a negative errno; -ERANGE:
 * the figures would not be believed. */
int measure_cache_store(const char *path, const char *key, const struct costs *costs);

#endif
