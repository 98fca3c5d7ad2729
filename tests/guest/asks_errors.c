/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints what Linux answers to odd arguments, in the directory given: names that are none, flags that do
 * not fit, memory that ends early, events of each kind of file, signals that are ignored. So a run in a VM
 * can be compared with one outside. With a second argument it ends by a signal without a name. */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include "say.h"

static void make_file(const char *name, const char *text)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);

    say("write", write(fd, text, strlen(text)));
    close(fd);
}

static void directories(const char *program)
{
    static const char *const names[] = {".", "d/.", "d/..", "..", "/", "d/sub/../..", "d/./", ""};

    say("mkdir", mkdir("d", 0700));
    say("mkdir", mkdir("d/sub", 0700));
    make_file("d/file", "text");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        printf("'%s'\n", names[i]);
        say("rmdir", rmdir(names[i]));
        say("unlink", unlink(names[i]));
        say("rename", rename(names[i], "e"));
        say("rename to", rename("d", names[i]));
        say("open new", open(names[i], O_CREAT | O_RDWR, 0600));
    }
    say("rmdir", rmdir("d/sub/."));
    say("rmdir", rmdir("d/none/."));
    say("directory", access("d/sub", F_OK));
    say("new", open("d/new/", O_CREAT | O_RDWR, 0600));
    say("nowhere", open("d/none/new/", O_CREAT | O_RDWR, 0600));
    say("new", access("d/new", F_OK));
    say("file to directory", rename("d/file", "d/other/"));
    say("directory to new", rename("d/sub", "d/other/"));
    say("top", open("/", O_RDWR));
    say("made, not written", open(program, O_CREAT | O_RDONLY, 0600) < 0 ? -1 : 0);
    say("directory of the system", open("/usr", O_WRONLY));
}

static void descriptors_as_names(void)
{
    struct statx wide;
    struct stat stat;
    char text[16];
    int link, file, seen;

    say("device", fstatat(AT_FDCWD, "/dev/null", &stat, 0));
    printf("of %u\n", stat.st_uid);
    make_file("file", "text");
    say("symlink", symlink("file", "link"));
    file = open("file", O_RDWR);
    link = open("link", O_PATH | O_NOFOLLOW);
    say("link", readlinkat(link, "", text, sizeof text));
    say("no link", readlinkat(file, "", text, sizeof text));
    say("no name", readlinkat(AT_FDCWD, "", text, sizeof text));
    say("no descriptor", readlinkat(99, "", text, sizeof text));
    say("here", syscall(SYS_newfstatat, AT_FDCWD, "", &stat, AT_EMPTY_PATH));
    printf("%d\n", S_ISDIR(stat.st_mode));
    say("both", statx(file, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_ALL,
                      &wide));
    say("reserved", statx(file, "", AT_EMPTY_PATH, 0x80000000u, &wide));
    seen = SYS_faccessat2;
    say("may read", syscall(seen, file, "", R_OK, AT_EMPTY_PATH));
    say("may run", syscall(seen, file, "", X_OK, AT_EMPTY_PATH));
    say("no flag", syscall(seen, file, "", R_OK, 0));
    say("odd flag", syscall(seen, AT_FDCWD, "file", R_OK, 0x4000));
    say("none", syscall(seen, 99, "", R_OK, AT_EMPTY_PATH));
    say("here", syscall(seen, AT_FDCWD, "", R_OK, AT_EMPTY_PATH));
}

/* The last five bytes before memory that is not there. */
static char *edge(void)
{
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(map, 'e', 4096);
    munmap(map + 4096, 4096);
    return map + 4096 - 5;
}

static void memory_that_ends(void)
{
    char *end = edge(), text[16];
    struct iovec pieces[3] = {{end, 5}, {(void *)8, 5}, {text, 5}};
    int file = open("ends", O_CREAT | O_RDWR, 0600);

    say("write", write(file, end, 20));
    say("at", pwrite(file, end, 20, 5));
    say("nothing", write(file, end + 5, 20));
    say("all", pwrite(file, "0123456789", 10, 0));
    say("seek", lseek(file, 0, SEEK_SET));
    say("read", read(file, end, 20));
    printf("%.5s\n", end);
    say("position", lseek(file, 0, SEEK_CUR));
    say("rest", read(file, text, sizeof text));
    say("the end", read(file, end + 5, 20));
    say("at", pread(file, end, 1 << 20, 8));
    say("pieces out", pwritev(file, pieces, 3, 0));
    say("pieces in", preadv(file, pieces, 3, 0));
    pieces[1].iov_len = 1ul << 62;
    say("beyond all", writev(file, pieces, 3));
    say("made up", pread(open("/proc/self/status", O_RDONLY), end, 20, 0));
}

static void events_of_files(void)
{
    int pair[2], pipes[2], event = eventfd(0, 0);
    struct itimerspec soon = {.it_value = {.tv_nsec = 1}};
    sigset_t one;
    int fds[9], count = 0;

    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigprocmask(SIG_BLOCK, &one, NULL);
    raise(SIGUSR1);
    say("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    say("pipe", pipe(pipes));
    fds[count++] = event;
    fds[count++] = eventfd(1, 0);
    fds[count++] = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(fds[count - 1], 0, &soon, NULL);
    fds[count++] = signalfd(-1, &one, 0);
    fds[count++] = pair[0];
    fds[count++] = pipes[0];
    fds[count++] = pipes[1];
    fds[count++] = open(".", O_PATH);
    fds[count++] = open("file", O_RDONLY);
    for (int i = 0; i < count; i++) {
        struct pollfd entry = {.fd = fds[i], .events = ~POLLIN};

        poll(&entry, 1, 0); /* lets the timer go off */
        entry.events = (short)0xffff;
        say("ready", poll(&entry, 1, 1000));
        printf("%#x\n", (unsigned)entry.revents);
    }
    say("shut", shutdown(pair[1], SHUT_WR));
    struct pollfd entry = {.fd = pair[0], .events = (short)0xffff};
    poll(&entry, 1, 0);
    printf("%#x\n", (unsigned)entry.revents);
}

static void count_alarm(int signo)
{
    say("handler", signo);
}

/* One that was sent while it was blocked, and is ignored, ends no wait. */
static void ignored(void)
{
    struct timespec while_ns = {.tv_nsec = 1000000};
    sigset_t one, none;

    sigemptyset(&none);
    sigaddset(&none, SIGUSR1); /* is pending */
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    signal(SIGUSR2, SIG_IGN);
    sigprocmask(SIG_BLOCK, &one, NULL);
    raise(SIGUSR2);
    say("ppoll", ppoll(NULL, 0, &while_ns, &none));
    raise(SIGUSR2);
    say("taken", sigtimedwait(&one, NULL, &while_ns));
    signal(SIGALRM, count_alarm);
    raise(SIGUSR2);
    alarm(1);
    say("suspend", sigsuspend(&none));
}

static void flags_that_do_not_fit(void)
{
    struct timespec soon = {.tv_nsec = 1000};
    int file = open("file", O_RDWR), log = open("log", O_CREAT | O_WRONLY | O_APPEND, 0600);
    static uint32_t word;
    siginfo_t child;

    say("range", sync_file_range(file, 0, 0, 99));
    say("range", sync_file_range(file, -1, 0, 0));
    say("append", sendfile(log, file, NULL, 2));
    say("futex", syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &soon, NULL, 0));
    say("wait", waitpid(-1, NULL, 99));
    say("wait", waitpid(INT32_MIN, NULL, 0));
    say("wait", waitid(9, 0, &child, WEXITED));
    say("wait", waitid(P_ALL, 0, &child, WEXITED | 0x100));
    say("wait", waitid(P_ALL, 0, &child, WEXITED | WNOHANG));
    say("group", setpgid(-1, 0));
}

static void no_directory(const char *home)
{
    char text[4096];

    say("mkdir", mkdir("gone", 0700));
    say("into", chdir("gone"));
    say("where", syscall(SYS_getcwd, text, sizeof text) > 0 ? 0 : -1);
    say("rmdir", rmdir("../gone"));
    say("where", syscall(SYS_getcwd, text, sizeof text));
    say("file", open("file", O_CREAT | O_RDWR, 0600));
    say("back", chdir(home));
}

static int release;

static void *until_released(void *arg)
{
    while (!__atomic_load_n(&release, __ATOMIC_ACQUIRE))
        usleep(1000);
    return arg;
}

static void names_of_threads(void)
{
    char text[64] = "";
    pthread_t thread;
    int fd;

    say("thread", pthread_create(&thread, NULL, until_released, NULL));
    say("name", pthread_setname_np(thread, "another's"));
    say("its name", pthread_getname_np(thread, text, sizeof text));
    printf("%s\n", text);
    say("too long", pthread_setname_np(thread, "a name of sixteen"));
    __atomic_store_n(&release, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    fd = open("/proc/self/comm", O_RDWR | O_TRUNC);
    say("open", fd < 0 ? -1 : 0);
    say("write", write(fd, "one that is too long", 20));
    say("read", read(fd, text, sizeof text));
    printf("%.16s", text);
    say("the end", read(fd, text, sizeof text));
    say("own", prctl(PR_GET_NAME, text));
    printf("%s\n", text);
    say("may write", access("/proc/self/comm", W_OK));
    say("may not", access("/proc/self/stat", X_OK));
}

/* Until a file was removed; but for IN_ATTRIB, see CAVEATS. */
static void watches(void)
{
    _Alignas(struct inotify_event) char events[4096];
    int fd = inotify_init(), file;
    bool going = true;

    say("watch", inotify_add_watch(fd, ".", IN_ALL_EVENTS & ~IN_ATTRIB));
    say("again", inotify_add_watch(fd, ".", IN_ALL_EVENTS & ~IN_ATTRIB));
    say("file", inotify_add_watch(fd, "file", IN_MODIFY));
    say("no directory", inotify_add_watch(fd, "file", IN_MODIFY | IN_ONLYDIR));
    say("link", inotify_add_watch(fd, "link", IN_MODIFY | IN_DONT_FOLLOW) < 0 ? -1 : 0);
    say("none", inotify_add_watch(fd, "none", IN_MODIFY));
    file = open("watched", O_CREAT | O_RDWR, 0600);
    close(file);
    unlink("watched");
    while (going) {
        ssize_t bytes = read(fd, events, sizeof events);

        for (ssize_t at = 0; at < bytes;) {
            const struct inotify_event *event = (const void *)(events + at);

            printf("%#x %s\n", event->mask, event->len ? event->name : "");
            going = going && !(event->mask & IN_DELETE);
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
}

static void attributes(void)
{
    char value[16];

    say("get", getxattr("none", "user.x", value, sizeof value));
    say("get", getxattr("file", "", value, sizeof value));
    say("get", getxattr("file", "nonsense", value, sizeof value));
    say("get", fgetxattr(99, "user.x", value, sizeof value));
    say("set", setxattr("none", "user.x", "v", 1, 0));
    say("set", setxattr("file", "user.x", "v", 1, 9));
    say("list", listxattr("none", value, sizeof value));
    say("list", flistxattr(99, value, sizeof value));
    say("remove", lremovexattr("none", "user.x"));
}

int main(int argc, char **argv)
{
    if (argc < 2 || chdir(argv[1]) != 0)
        fail("no directory");
    setbuf(stdout, NULL);
    if (argc > 2)
        raise(SIGRTMIN + 5);
    directories(argv[0]);
    descriptors_as_names();
    memory_that_ends();
    events_of_files();
    ignored();
    flags_that_do_not_fit();
    no_directory(argv[1]);
    names_of_threads();
    attributes();
    watches();
    return 0;
}
