/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers about pairs of sockets, and about bytes that go from any kind of descriptor
 * to any other, so that a run in a VM can be compared with one outside. */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "say.h"

static void say_option(const char *what, int fd, int name)
{
    socklen_t length = sizeof(int);
    int value = -1;

    say(what, getsockopt(fd, SOL_SOCKET, name, &value, &length));
    printf("value %d, length %d\n", value, (int)length);
}

static void receive_some(const char *what, int fd, size_t bytes, int flags)
{
    char first[4] = "", second[16] = "";
    struct iovec pieces[2] = {{first, 3}, {second, bytes - 3}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2, .msg_name = second};

    say(what, recvmsg(fd, &message, flags));
    printf("%.3s|%.12s, name %d, flags %#x\n", first, second, (int)message.msg_namelen,
           (unsigned)message.msg_flags);
}

static void sockets_of(int type)
{
    struct iovec pieces[2] = {{(void *)(uintptr_t) "abc", 3}, {(void *)(uintptr_t) "defg", 4}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    struct mmsghdr several[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    struct ucred peer;
    char text[300000];
    int pair[2], available;
    long total = 0;

    printf("type %d\n", type);
    say("pair", socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
    say_kind("one", pair[0]);
    say_events("empty", pair[0]);
    say_option("type", pair[0], SO_TYPE);
    say_option("family", pair[0], SO_DOMAIN);
    say_option("error", pair[0], SO_ERROR);
    say_option("room", pair[0], SO_SNDBUF);
    say_option("none", pair[0], 250);
    say("reuse", setsockopt(pair[0], SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)));
    length = sizeof peer;
    say("peer", getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
    printf("me: %d %d\n", peer.pid == getpid(), peer.uid == getuid());
    length = sizeof name;
    say("name", getsockname(pair[0], (struct sockaddr *)&name, &length));
    say("peer's name", getpeername(pair[0], (struct sockaddr *)&name, &length));
    printf("family %d, length %d\n", name.ss_family, (int)length);
    say("nothing", read(pair[0], text, 10));
    say("send", send(pair[0], "hello", 5, 0));
    say("sendmsg", sendmsg(pair[0], &message, MSG_NOSIGNAL));
    say("writev", writev(pair[0], pieces, 2));
    say_events("there", pair[1]);
    say("available", ioctl(pair[1], FIONREAD, &available));
    say("bytes", available);
    receive_some("peek", pair[1], 10, MSG_PEEK);
    receive_some("receive", pair[1], 4, MSG_TRUNC);
    receive_some("receive", pair[1], 15, 0);
    say("read", read(pair[1], text, sizeof text));
    say("nothing", recv(pair[1], text, 10, 0));
    say("seek", lseek(pair[0], 0, SEEK_SET));
    say("at", pwrite(pair[0], text, 1, 0));
    say("to nobody", sendto(pair[0], text, 1, 0, NULL, 0));
    say("long", send(pair[0], text, sizeof text, 0) == sizeof text);
    for (ssize_t put; (put = send(pair[0], text, 60000, 0)) > 0;)
        total += put;
    say("many", total > 100000 && errno == EAGAIN);
    say_events("full", pair[0]);
    while (read(pair[1], text, sizeof text) > 0)
        continue;
    say_events("empty again", pair[0]);
    say("several", sendmmsg(pair[0], several, 2, 0));
    printf("%u %u\n", several[0].msg_len, several[1].msg_len);
    pieces[0].iov_base = pieces[1].iov_base = text;
    say("back", recvmmsg(pair[1], several, 2, MSG_WAITFORONE, NULL));
    printf("%u\n", several[0].msg_len);
    while (read(pair[1], text, sizeof text) > 0)
        continue;
    say("shut", shutdown(pair[0], SHUT_WR));
    say_events("shut, one", pair[0]);
    say_events("shut, other", pair[1]);
    say("no more", send(pair[0], text, 1, MSG_NOSIGNAL));
    say("the other way", write(pair[1], "back", 4));
    say("it", read(pair[0], text, 10));
    say("no way", shutdown(pair[0], 3));
    close(pair[0]);
    say_events("closed", pair[1]);
    say("closed", send(pair[1], text, 1, MSG_NOSIGNAL));
    close(pair[1]);
}

static void sockets(void)
{
    int pair[2], set = epoll_create1(0);
    char text[16];

    sockets_of(SOCK_STREAM);
    sockets_of(SOCK_DGRAM);
    sockets_of(SOCK_SEQPACKET);
    say("family", socketpair(77, SOCK_STREAM, 0, pair));
    say("kind", socketpair(AF_UNIX, 9, 0, pair));
    say("protocol", socketpair(AF_UNIX, SOCK_STREAM, 5, pair));
    say("no socket", send(1, text, 1, 0));
    say("no socket", shutdown(1, 0));
    say("none", recv(77, text, 1, 0));
    say("unread", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    say("send", send(pair[0], "hello", 5, 0));
    close(pair[1]);
    say_events("reset", pair[0]);
    say("reset", read(pair[0], text, 1));
    say("end", read(pair[0], text, 1));
    close(pair[0]);
    say("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    watch("by edge", set, EPOLL_CTL_ADD, pair[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    say_told("first", set, 0);
    say_told("no edge", set, 0);
    say("send", send(pair[1], "hello", 5, 0));
    say_told("an edge", set, 0);
    say("back", send(pair[0], "hello", 5, 0));
    say_told("no edge", set, 0);
    say("all of it", recv(pair[1], text, 5, MSG_WAITALL));
    say_told("room is an edge", set, 0);
    say("shut", shutdown(pair[1], SHUT_WR));
    say_told("shut", set, 0);
    close(pair[1]);
    say_told("closed", set, 0);
    close(pair[0]);
    close(set);
}

/* Bytes from any kind of descriptor to any other. */
static void moves_among_all(void)
{
    int memory = memfd_create("", 0), other = memfd_create("", 0), ends[2], pair[2];
    loff_t offset = 6, back = 2;
    char text[32] = "";

    say("memory", write(memory, "0123456789", 10));
    say("pipe", pipe(ends));
    say("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    say("to a socket", sendfile(pair[0], memory, &offset, 3));
    say("socket to pipe", splice(pair[1], NULL, ends[1], NULL, 100, 0));
    say("pipe to memory", splice(ends[0], NULL, other, &back, 2, 0));
    say("pipe to memory, on", splice(ends[0], NULL, other, NULL, 100, 0));
    printf("offsets %d %d %d\n", (int)offset, (int)back, (int)lseek(other, 0, SEEK_CUR));
    say("memory to memory", sendfile(other, memory, (back = 0, &back), 4));
    say("memory to pipe", splice(memory, (offset = 1, &offset), ends[1], NULL, 4, 0));
    say("pipe to socket", splice(ends[0], NULL, pair[0], NULL, 100, 0));
    say("no pipe", splice(pair[1], NULL, other, NULL, 4, 0));
    say("socket to memory", recv(pair[1], text, sizeof text, 0));
    printf("%s\n", text);
    say("memory", pread(other, text, sizeof text, 0));
    printf("%d %s\n", text[0], text + 1);
    say("at", copy_file_range(memory, (offset = 0, &offset), other, (back = 8, &back), 3, 0));
    say("memory", pread(other, text, sizeof text, 0));
    close(memory);
    close(other);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(pair[i]);
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    sockets();
    moves_among_all();
    return 0;
}
