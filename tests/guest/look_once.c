/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * look_once HOW: looks once for input, without waiting, and says whether there was some.
 * HOW: poll, fionread, read (after O_NONBLOCK), recv (of the message layer, until one comes).
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest.h"

static bool look(const char *how)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    struct ferry_msg msg;
    int bytes = 0;
    char first;

    if (strcmp(how, "poll") == 0)
        return poll(&input, 1, 0) == 1 && (input.revents & POLLIN) != 0;
    if (strcmp(how, "fionread") == 0)
        return ioctl(0, FIONREAD, &bytes) == 0 && bytes > 0;
    if (strcmp(how, "read") == 0) {
        expect_ok("O_NONBLOCK", fcntl(0, F_SETFL, O_NONBLOCK));
        return read(0, &first, 1) == 1;
    }
    /* It may look in between without an exit, but must still not wait for ever. */
    while (ferry_recv(&msg, 0) == -ETIMEDOUT)
        ;
    return msg.bytes > 0;
}

int main(int argc, char **argv)
{
    expect_arguments(argc, 1, "look_once HOW");
    puts(look(argv[1]) ? "input" : "none");
    return 0;
}
