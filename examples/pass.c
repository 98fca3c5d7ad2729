/* SPDX-License-Identifier: BSD-2-Clause */
/* A stage that forwards everything, unread. It shows the cost of the pipeline itself. */
#include <stdio.h>
#include <string.h>

#include <ferry/guest.h>

int main(void)
{
    const void *data;
    ssize_t bytes;
    int error = 0;

    while (error == 0 && (bytes = ferry_input(&data)) > 0)
        error = ferry_forward();
    if (error == 0)
        error = bytes < 0 ? (int)bytes : ferry_close();
    if (error != 0)
        fprintf(stderr, "pass: %s\n", strerror(-error));
    return error != 0;
}
