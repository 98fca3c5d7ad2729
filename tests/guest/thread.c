/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes a thread, and fails if it gets none. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void *nothing(void *arg)
{
    return arg;
}

int main(void)
{
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, nothing, NULL);

    if (rc != 0) {
        fprintf(stderr, "no thread: %s\n", strerror(rc));
        return 1;
    }
    return pthread_join(thread, NULL);
}
