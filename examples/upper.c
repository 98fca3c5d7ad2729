/* SPDX-License-Identifier: BSD-2-Clause */
/* A stage that makes ASCII letters large: input in place, output in place. */
#include <ferry/guest.h>

int main(void)
{
    const void *in;
    void *out;
    ssize_t bytes, room;

    while ((bytes = ferry_input(&in)) > 0) {
        const unsigned char *from = in, *end = from + bytes;

        for (; from < end && (room = ferry_output(&out, 0)) > 0; from += room) {
            unsigned char *to = out;

            if (room > end - from)
                room = end - from;
            for (ssize_t i = 0; i < room; i++)
                to[i] = from[i] >= 'a' && from[i] <= 'z' ? from[i] - 32 : from[i];
            if (ferry_commit((size_t)room) != 0)
                return 1;
        }
        if (from < end)
            return 1; /* nobody reads any more */
    }
    return bytes < 0 || ferry_close() != 0;
}
