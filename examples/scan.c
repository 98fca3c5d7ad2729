/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan [-f] [-v]: reads all of its input in place and counts bytes, lines and
 * a sum. -f passes the input on untouched and without a copy, else the figures
 * are the output; -v prints them to standard error.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <ferry/guest.h>

#include "sum.h"

/* Both figures are taken of a block while it is in the cache. */
#define BLOCK 16384u

static uint64_t count_lines(const uint8_t *data, size_t bytes)
{
    const __m128i newline = _mm_set1_epi8('\n'), zero = _mm_setzero_si128();
    __m128i total = zero;
    uint64_t parts[2], lines = 0;
    size_t done = 0;

    while (bytes - done >= 16) {
        size_t rounds = (bytes - done) / 16;
        __m128i some = zero; /* a count for each of 16 columns, at most 255 */

        rounds = rounds < 255 ? rounds : 255;
        for (size_t i = 0; i < rounds; i++, done += 16)
            some = _mm_sub_epi8(some, _mm_cmpeq_epi8(newline, sum_load(data + done)));
        total = _mm_add_epi64(total, _mm_sad_epu8(some, zero));
    }
    for (; done < bytes; done++)
        lines += data[done] == '\n';
    memcpy(parts, &total, sizeof(parts));
    return lines + parts[0] + parts[1];
}

static int usage(void)
{
    fprintf(stderr, "usage: scan [-f|--forward] [-v|--verbose]\n");
    return 2;
}

int main(int argc, char **argv)
{
    bool forward = false, verbose = false;
    struct sum sum = {0, 0};
    uint64_t lines = 0;
    const void *data;
    ssize_t bytes;
    int error = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--forward") == 0)
            forward = true;
        else if (strcmp(argv[i], "-v") == 0 || strcmp(argv[i], "--verbose") == 0)
            verbose = true;
        else
            return usage();
    }
    while (error == 0 && (bytes = ferry_input(&data)) > 0) {
        for (size_t done = 0, part; done < (size_t)bytes; done += part) {
            const uint8_t *block = (const uint8_t *)data + done;

            part = (size_t)bytes - done < BLOCK ? (size_t)bytes - done : BLOCK;
            sum_add(&sum, block, part);
            lines += count_lines(block, part);
        }
        if (forward)
            error = ferry_forward();
    }
    if (error == 0)
        error = bytes < 0 ? (int)bytes : forward ? ferry_close() : 0;
    if (error != 0) {
        fprintf(stderr, "scan: %s\n", strerror(-error));
        return 1;
    }
    if (verbose)
        fprintf(stderr, "scan: %" PRIu64 " bytes, %" PRIu64 " lines, sum %016" PRIx64 "\n",
                sum.bytes, lines, sum.value);
    if (!forward)
        printf("%" PRIu64 " bytes %" PRIu64 " lines %016" PRIx64 "\n", sum.bytes, lines, sum.value);
    return 0;
}
