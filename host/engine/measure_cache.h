/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file that keeps the measured figures, so that they need not be measured at every start. It is
 * only an aid: if anything is wrong with it, the costs are measured.
 */
#ifndef FERRY_HOST_MEASURE_CACHE_H
#define FERRY_HOST_MEASURE_CACHE_H

#include <stdbool.h>

#include "engine/costs.h"

#define MEASURE_KEY_BYTES 640

/* The conditions under which the figures hold: processor, kernel, cores, KVM, huge pages or not,
 * Ferry. It is the first part of the file. */
void measure_cache_key(char key[MEASURE_KEY_BYTES], bool huge);

/* False: the file is not there, not readable, not exactly as it was written, of another key, or its
 * figures cannot be believed. */
bool measure_cache_load(const char *path, const char *key, struct costs *out);

/* Replaces the file as a whole. Its directory must be there. 0 or a negative errno; -ERANGE:
 * the figures would not be believed. */
int measure_cache_store(const char *path, const char *key, const struct costs *costs);

#endif
