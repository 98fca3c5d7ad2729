/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers about the descriptors that a program was given, so that a run in a VM
 * can be compared with one outside. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "guest.h"

/* A result and, if it is -1, why. Standard output may be what is asked about. */
static void say(const char *what, long result)
{
    dprintf(2, "%s: %ld", what, result);
    if (result == -1)
        dprintf(2, " (%s)", strerror(errno));
    dprintf(2, "\n");
}

static void say_reopened(const char *name, int flags)
{
    int fd = open(name, flags);
    char byte;

    dprintf(2, "%s by %#x: %s", name, flags, fd < 0 ? strerror(errno) : "open");
    if (fd >= 0) {
        dprintf(2, ", flags %#x, at %ld", fcntl(fd, F_GETFL), (long)lseek(fd, 0, SEEK_CUR));
        if ((flags & O_ACCMODE) == O_RDONLY && lseek(fd, 0, SEEK_CUR) >= 0)
            dprintf(2, ", reads %zd", read(fd, &byte, 1));
        close(fd);
    }
    dprintf(2, "\n");
}

static void say_mapping(int fd)
{
    char *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

    struct stat stat;

    say("map", at == MAP_FAILED ? -1 : fstat(fd, &stat) || stat.st_size < 2 ? 0 : at[1]);
}

/* What can be asked of any descriptor. */
static void ask(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT};
    struct stat stat = {0};
    char bytes[4];
    int available = -1;
    char more[4] = "abc";
    struct iovec pieces[2] = {{more, 2}, {more + 2, 1}};

    dprintf(2, "--- %d\n", fd);
    say("fstat", fstat(fd, &stat));
    dprintf(2, "mode %o, size %ld\n", stat.st_mode & S_IFMT, (long)stat.st_size);
    say("is a terminal", isatty(fd));
    say("flags", fcntl(fd, F_GETFL));
    if (fcntl(fd, F_GETFL) == -1)
        return;
    say("seek", lseek(fd, 0, SEEK_CUR));
    say("pread", pread(fd, bytes, 2, 1));
    say("preadv", preadv(fd, pieces, 2, 1));
    say("available", ioctl(fd, FIONREAD, &available) < 0 ? -1 : available);
    poll(&entry, 1, 0);
    say("events", entry.revents);
    say_mapping(fd);
    say("window size", ioctl(fd, TIOCGWINSZ, bytes));
    if (fd == 0) {
        say("read", read(0, bytes, 3));
        say("readv", readv(0, pieces, 2));
        say("seek", lseek(fd, 0, SEEK_CUR));
        say("seek", lseek(fd, -1, SEEK_END));
        say("seek", lseek(fd, 5, SEEK_SET));
    } else {
        say("write", write(fd, "123", 3));
        say("seek", lseek(fd, 0, SEEK_CUR));
        say("pwrite", pwrite(fd, "p", 1, 0));
        say("pwritev", pwritev(fd, pieces, 2, 1));
        say("seek", lseek(fd, 0, SEEK_CUR));
        say("sync", fsync(fd));
    }
}

static void ask_names(void)
{
    say_reopened("/dev/stdin", O_RDONLY);
    say_reopened("/proc/self/fd/0", O_RDONLY);
    say_reopened("/dev/fd/0", O_RDONLY | O_NONBLOCK);
    say_reopened("/dev/stdout", O_WRONLY);
    say_reopened("/dev/stdout", O_WRONLY | O_APPEND);
}

/* Descriptors of a file give no other rights than they have, whatever its mode is. */
static void ask_rights(void)
{
    say_reopened("/dev/stdin", O_WRONLY);
    say_reopened("/proc/self/fd/0", O_RDWR);
    say_reopened("/dev/stdin", O_RDONLY | O_TRUNC);
    say_reopened("/dev/stdout", O_RDONLY);
    say("cut", ftruncate(0, 0));
    say("write", write(0, "x", 1));
    say("openat", openat(0, "x", O_RDONLY));
}

/* ---- a terminal ---------------------------------------------------------- */

static void set(int minimum, int tenths)
{
    struct termios modes;

    tcgetattr(0, &modes);
    cfmakeraw(&modes);
    modes.c_cc[VMIN] = (cc_t)minimum;
    modes.c_cc[VTIME] = (cc_t)tenths;
    say("set", tcsetattr(0, TCSADRAIN, &modes));
}

static void say_read(const char *what)
{
    char keys[16];
    ssize_t got = read(0, keys, sizeof keys);

    dprintf(2, "%s: %zd %.*s\n", what, got, (int)got, keys);
}

static void ask_keys(void)
{
    struct termios before;

    tcgetattr(0, &before);
    set(0, 0);
    say_read("nothing");
    set(0, 1);
    say_read("nothing in time");
    set(1, 0);
    dprintf(2, "one\n");
    say_read("key");
    set(3, 0);
    dprintf(2, "three\n");
    say_read("keys");
    say("restore", tcsetattr(0, TCSAFLUSH, &before));
}

static void ask_terminal(void)
{
    struct winsize size = {0};
    int number = -1;
    char letter = 'x';

    say("name", strncmp(ttyname(0), "/dev/pts/", 9));
    say("size", ioctl(0, TIOCGWINSZ, &size));
    dprintf(2, "%u rows, %u columns\n", size.ws_row, size.ws_col);
    say("group", tcgetpgrp(0) == getpgrp());
    say("session", tcgetsid(0) == getsid(0));
    say("own group", tcsetpgrp(0, getpgrp()));
    say("other group", tcsetpgrp(0, 77777));
    say("discipline", ioctl(0, TIOCGETD, &number) < 0 ? -1 : number);
    say("output", ioctl(0, TIOCOUTQ, &number) < 0 ? -1 : number);
    say("flush", tcflush(0, TCIFLUSH));
    say("drain", tcdrain(0));
    say("break", tcsendbreak(0, 0));
    say("input on", tcflow(0, TCOON));
    say("no such call", ioctl(0, 0x54ee, &number));
    say("put a size", ioctl(0, TIOCSWINSZ, &size));
    number = open("/dev/tty", O_RDWR);
    say("tty is one", isatty(number));
    say("by its name", open(ttyname(0), O_RDWR | O_NOCTTY) >= 0);
    say("tty", write(number, &letter, 1));
}

/* Leaves the terminal in other modes. */
static void spoil(const char *how)
{
    struct termios modes;
    char key;

    for (int fd = 1; fd >= 0; fd--) {
        tcgetattr(fd, &modes);
        modes.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
        modes.c_oflag &= (tcflag_t)~OPOST;
        tcsetattr(fd, TCSANOW, &modes);
    }
    dprintf(2, "go\n");
    if (strcmp(how, "crash") == 0)
        __builtin_trap();
    if (strcmp(how, "wait") == 0)
        say("read", read(0, &key, 1));
}

static volatile sig_atomic_t changed;

static void note(int signo)
{
    (void)signo;
    changed = 1;
}

/* Waits until the size changes, and tells it. */
static void watch(void)
{
    struct winsize size = {0};
    sigset_t set, before;

    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, &before);
    signal(SIGWINCH, note);
    dprintf(2, "go\n");
    while (!changed)
        sigsuspend(&before);
    ioctl(1, TIOCGWINSZ, &size);
    dprintf(2, "%u rows, %u columns\n", size.ws_row, size.ws_col);
}

/* What would reach others; never done outside a VM. */
static void ask_refused(void)
{
    static const unsigned long calls[] = {TIOCSTI,     TIOCLINUX, TIOCCONS,    TIOCSCTTY,
                                          TIOCNOTTY,   TIOCSETD,  TIOCEXCL,    TIOCVHANGUP,
                                          TIOCGPTPEER, TIOCPKT,   TIOCSSERIAL, 0x4b33};
    int number = 0;

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        dprintf(2, "%s\n", ioctl(0, calls[i], &number) < 0 ? strerrorname_np(errno) : "done");
}

/* From the background, without the signal that would stop it. */
static void grab(void)
{
    struct termios modes;

    signal(SIGTTOU, SIG_IGN);
    say("group", tcsetpgrp(0, getpgrp()));
    tcgetattr(0, &modes);
    say("modes", tcsetattr(0, TCSANOW, &modes));
    say("flush", tcflush(0, TCIFLUSH));
    say("drain", tcdrain(0));
}

static void await(void)
{
    struct pollfd entry = {.fd = 0, .events = POLLIN};

    dprintf(2, "go\n");
    say("poll", poll(&entry, 1, -1));
}

/* Asks for a byte and gives it back. */
static void give_back(void)
{
    char byte = '?';

    if (write(1, &byte, 1) != 1 || read(0, &byte, 1) != 1 || write(1, &byte, 1) != 1)
        fail("no byte came: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "keys") == 0) {
        ask_keys();
    } else if (strcmp(what, "terminal") == 0) {
        ask_terminal();
    } else if (strcmp(what, "read") == 0) {
        give_back();
    } else if (strcmp(what, "await") == 0) {
        await();
    } else if (strcmp(what, "grab") == 0) {
        grab();
    } else if (strcmp(what, "stop") == 0) {
        raise(SIGTSTP);
    } else if (strcmp(what, "watch") == 0) {
        watch();
    } else if (strcmp(what, "spoil") == 0) {
        spoil(argc > 2 ? argv[2] : "");
    } else if (strcmp(what, "refused") == 0) {
        ask_refused();
    } else if (strcmp(what, "names") == 0) {
        ask_names();
    } else if (strcmp(what, "rights") == 0) {
        ask_rights();
    } else {
        ask(0);
        ask(1);
    }
    return 0;
}
