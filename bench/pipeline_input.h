/* SPDX-License-Identifier: BSD-2-Clause */
/* The file that whole pipelines run over. */
#ifndef FERRY_BENCH_PIPELINE_INPUT_H
#define FERRY_BENCH_PIPELINE_INPUT_H

#include <stddef.h>

/* A file of so many bytes without a name, in the directory for temporary files, of this
 * machine's own libraries: bytes that do not compress to nothing. A descriptor, which the caller
 * closes, or a negative errno. */
int pipeline_input(size_t bytes);

#endif
