/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket on which `ferry serve` takes connections; see serve_listen.h. */
#include "serve_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "command.h"

#define FIRST_GIVEN 3 /* SD_LISTEN_FDS_START */

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t bytes = sizeof on;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &bytes) == 0 && on;
}

static int take_given(int *fd)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

    if (!pid || !count || strtol(pid, NULL, 10) != getpid()) {
        say("serve: no socket; write --listen PATH, or start it from a socket unit of systemd");
        return STATUS_USAGE;
    }
    if (strcmp(count, "1") != 0 || !is_listening(FIRST_GIVEN)) {
        say("serve: it was given %s sockets, or one that takes no connections; give it one, with "
            "Accept=no and ListenStream=",
            count);
        return STATUS_USAGE;
    }
    *fd = FIRST_GIVEN;
    fcntl(*fd, F_SETFD, FD_CLOEXEC);
    fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) | O_NONBLOCK);
    return 0;
}

/* Whether it is a socket on which nobody listens: what a server leaves that has ended. */
static bool is_left(const struct sockaddr_un *address)
{
    struct stat stat;
    int fd;

    if (lstat(address->sun_path, &stat) || !S_ISSOCK(stat.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* its queue may be full */
    bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
                   errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return refused;
}

static const char *advise(int error)
{
    return error == EADDRINUSE ? "something is there already; end the server, or write another path"
                               : "write a path in a directory that you may write to";
}

static int bind_path(int fd, const struct sockaddr_un *address)
{
    if (is_left(address))
        unlink(address->sun_path);
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
        listen(fd, SOMAXCONN) == 0)
        return 0;
    say("--listen '%s': %s; %s", address->sun_path, strerror(errno), advise(errno));
    return STATUS_FERRY;
}

int serve_listen(const char *path, int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (!path)
        return take_given(fd);
    if (!*path || strlen(path) >= sizeof address.sun_path) {
        say("--listen '%s': a socket has a path of 1 to %zu bytes", path,
            sizeof address.sun_path - 1);
        return STATUS_USAGE;
    }
    strcpy(address.sun_path, path);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) {
        say("cannot make a socket: %s", strerror(errno));
        return STATUS_FERRY;
    }
    return bind_path(*fd, &address); /* closed by who has it, in any case */
}
