/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the names of numbers in arguments of system calls: flags and choices. */
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "linux/trace.h"

/* The names lie in the table: pointers to them would have to be relocated at each start. */
struct name {
    uint64_t value;
    char name[32];
};

/* clang-format off */
#define N(value) {(uint64_t)(value), #value}
#define KERNEL_LARGEFILE 0100000 /* O_LARGEFILE is 0 for 64-bit programs */

static const struct name open_names[] = {
    N(O_RDONLY), N(O_WRONLY), N(O_RDWR), N(O_CREAT), N(O_EXCL), N(O_NOCTTY), N(O_TRUNC), N(O_APPEND),
    N(O_NONBLOCK), N(O_SYNC), N(O_DSYNC), N(O_ASYNC), N(O_DIRECT), {KERNEL_LARGEFILE, "O_LARGEFILE"},
    N(O_TMPFILE), N(O_DIRECTORY), N(O_NOFOLLOW), N(O_NOATIME), N(O_CLOEXEC), N(O_PATH)};
static const struct name descriptor_names[] = {N(FD_CLOEXEC)};
static const struct name pipe_names[] = {N(O_NONBLOCK), N(O_DIRECT), N(O_CLOEXEC)};
static const struct name prot_names[] = {
    N(PROT_NONE), N(PROT_READ), N(PROT_WRITE), N(PROT_EXEC), N(PROT_GROWSDOWN), N(PROT_GROWSUP)};
static const struct name map_names[] = {
    N(MAP_SHARED), N(MAP_PRIVATE), N(MAP_SHARED_VALIDATE), N(MAP_FIXED), N(MAP_ANONYMOUS), N(MAP_32BIT),
    N(MAP_GROWSDOWN), N(MAP_DENYWRITE), N(MAP_LOCKED), N(MAP_NORESERVE), N(MAP_POPULATE),
    N(MAP_NONBLOCK), N(MAP_STACK), N(MAP_HUGETLB), N(MAP_SYNC), N(MAP_FIXED_NOREPLACE)};
static const struct name mremap_names[] = {
    N(MREMAP_MAYMOVE), N(MREMAP_FIXED), N(MREMAP_DONTUNMAP)};
static const struct name advice_names[] = {
    N(MADV_NORMAL), N(MADV_RANDOM), N(MADV_SEQUENTIAL), N(MADV_WILLNEED), N(MADV_DONTNEED),
    N(MADV_FREE), N(MADV_REMOVE), N(MADV_DONTFORK), N(MADV_DOFORK), N(MADV_MERGEABLE),
    N(MADV_UNMERGEABLE), N(MADV_HUGEPAGE), N(MADV_NOHUGEPAGE), N(MADV_DONTDUMP), N(MADV_DODUMP),
    N(MADV_WIPEONFORK), N(MADV_KEEPONFORK), N(MADV_COLD), N(MADV_PAGEOUT)};
static const struct name sync_names[] = {N(MS_ASYNC), N(MS_INVALIDATE), N(MS_SYNC)};
static const struct name access_names[] = {N(F_OK), N(R_OK), N(W_OK), N(X_OK)};
static const struct name whence_names[] = {
    N(SEEK_SET), N(SEEK_CUR), N(SEEK_END), N(SEEK_DATA), N(SEEK_HOLE)};
static const struct name at_names[] = {
    N(AT_SYMLINK_NOFOLLOW), N(AT_REMOVEDIR), N(AT_SYMLINK_FOLLOW), N(AT_NO_AUTOMOUNT),
    N(AT_EMPTY_PATH), N(AT_RECURSIVE)};
static const struct name flock_names[] = {N(LOCK_SH), N(LOCK_EX), N(LOCK_NB), N(LOCK_UN)};
static const struct name fcntl_names[] = {
    N(F_DUPFD), N(F_GETFD), N(F_SETFD), N(F_GETFL), N(F_SETFL), N(F_GETLK), N(F_SETLK), N(F_SETLKW),
    N(F_SETOWN), N(F_GETOWN), N(F_OFD_GETLK), N(F_OFD_SETLK), N(F_OFD_SETLKW), N(F_DUPFD_CLOEXEC),
    N(F_SETPIPE_SZ), N(F_GETPIPE_SZ), N(F_ADD_SEALS), N(F_GET_SEALS)};
static const struct name ioctl_names[] = {
    N(TCGETS), N(TCSETS), N(TCSETSW), N(TCSETSF), N(TIOCGWINSZ), N(TIOCSWINSZ), N(TIOCGPGRP),
    N(TIOCSPGRP), N(TIOCSTI), N(TIOCSCTTY), N(TIOCNOTTY), N(FIONREAD), N(FIONBIO), N(FIOASYNC),
    N(FIOCLEX), N(FIONCLEX)};
static const struct name splice_names[] = {
    N(SPLICE_F_MOVE), N(SPLICE_F_NONBLOCK), N(SPLICE_F_MORE), N(SPLICE_F_GIFT)};
static const struct name clone_names[] = {
    N(SIGCHLD), N(CLONE_VM), N(CLONE_FS), N(CLONE_FILES), N(CLONE_SIGHAND), N(CLONE_PIDFD), N(CLONE_PTRACE),
    N(CLONE_VFORK), N(CLONE_PARENT), N(CLONE_THREAD), N(CLONE_NEWNS), N(CLONE_SYSVSEM),
    N(CLONE_SETTLS), N(CLONE_PARENT_SETTID), N(CLONE_CHILD_CLEARTID), {0x00400000, "CLONE_DETACHED"},
    N(CLONE_UNTRACED), N(CLONE_CHILD_SETTID), N(CLONE_NEWCGROUP), N(CLONE_NEWUTS), N(CLONE_NEWIPC),
    N(CLONE_NEWUSER), N(CLONE_NEWPID), N(CLONE_NEWNET), N(CLONE_IO)};
static const struct name futex_names[] = {
    N(FUTEX_WAIT), N(FUTEX_WAKE), N(FUTEX_REQUEUE), N(FUTEX_CMP_REQUEUE), N(FUTEX_WAKE_OP),
    N(FUTEX_LOCK_PI), N(FUTEX_UNLOCK_PI), N(FUTEX_TRYLOCK_PI), N(FUTEX_WAIT_BITSET),
    N(FUTEX_WAKE_BITSET), N(FUTEX_WAIT_REQUEUE_PI), N(FUTEX_CMP_REQUEUE_PI), N(FUTEX_LOCK_PI2),
    N(FUTEX_WAIT_PRIVATE), N(FUTEX_WAKE_PRIVATE), N(FUTEX_REQUEUE_PRIVATE),
    N(FUTEX_CMP_REQUEUE_PRIVATE), N(FUTEX_WAKE_OP_PRIVATE), N(FUTEX_LOCK_PI_PRIVATE),
    N(FUTEX_LOCK_PI2_PRIVATE), N(FUTEX_UNLOCK_PI_PRIVATE), N(FUTEX_TRYLOCK_PI_PRIVATE),
    N(FUTEX_WAIT_BITSET_PRIVATE), N(FUTEX_WAKE_BITSET_PRIVATE), N(FUTEX_WAIT_REQUEUE_PI_PRIVATE),
    N(FUTEX_CMP_REQUEUE_PI_PRIVATE), N(FUTEX_CLOCK_REALTIME)};
static const struct name prctl_names[] = {
    N(PR_SET_PDEATHSIG), N(PR_GET_PDEATHSIG), N(PR_GET_DUMPABLE), N(PR_SET_DUMPABLE),
    N(PR_GET_KEEPCAPS), N(PR_SET_KEEPCAPS), N(PR_SET_NAME), N(PR_GET_NAME), N(PR_GET_SECCOMP),
    N(PR_SET_SECCOMP), N(PR_CAPBSET_READ), N(PR_CAPBSET_DROP), N(PR_GET_TSC), N(PR_SET_TSC),
    N(PR_SET_TIMERSLACK), N(PR_GET_TIMERSLACK), N(PR_SET_MM), N(PR_SET_CHILD_SUBREAPER),
    N(PR_GET_CHILD_SUBREAPER), N(PR_SET_NO_NEW_PRIVS), N(PR_GET_NO_NEW_PRIVS), N(PR_SET_THP_DISABLE),
    N(PR_GET_THP_DISABLE), N(PR_CAP_AMBIENT), N(PR_SET_VMA)};
static const struct name arch_names[] = {N(ARCH_SET_GS), N(ARCH_SET_FS), N(ARCH_GET_FS), N(ARCH_GET_GS)};
static const struct name resource_names[] = {
    N(RLIMIT_CPU), N(RLIMIT_FSIZE), N(RLIMIT_DATA), N(RLIMIT_STACK), N(RLIMIT_CORE), N(RLIMIT_RSS),
    N(RLIMIT_NPROC), N(RLIMIT_NOFILE), N(RLIMIT_MEMLOCK), N(RLIMIT_AS), N(RLIMIT_LOCKS),
    N(RLIMIT_SIGPENDING), N(RLIMIT_MSGQUEUE), N(RLIMIT_NICE), N(RLIMIT_RTPRIO), N(RLIMIT_RTTIME)};
static const struct name clock_names[] = {
    N(CLOCK_REALTIME), N(CLOCK_MONOTONIC), N(CLOCK_PROCESS_CPUTIME_ID), N(CLOCK_THREAD_CPUTIME_ID),
    N(CLOCK_MONOTONIC_RAW), N(CLOCK_REALTIME_COARSE), N(CLOCK_MONOTONIC_COARSE), N(CLOCK_BOOTTIME),
    N(CLOCK_REALTIME_ALARM), N(CLOCK_BOOTTIME_ALARM), N(CLOCK_TAI)};
static const struct name timer_names[] = {N(TIMER_ABSTIME)};
static const struct name random_names[] = {N(GRND_NONBLOCK), N(GRND_RANDOM), N(GRND_INSECURE)};
static const struct name memfd_names[] = {N(MFD_CLOEXEC), N(MFD_ALLOW_SEALING), N(MFD_HUGETLB)};
static const struct name eventfd_names[] = {N(EFD_CLOEXEC), N(EFD_NONBLOCK), N(EFD_SEMAPHORE)};
static const struct name signalfd_names[] = {N(SFD_CLOEXEC), N(SFD_NONBLOCK)};
static const struct name timerfd_names[] = {N(TFD_CLOEXEC), N(TFD_NONBLOCK)};
static const struct name inotify_names[] = {N(IN_CLOEXEC), N(IN_NONBLOCK)};
static const struct name epoll_create_names[] = {N(EPOLL_CLOEXEC)};
static const struct name epoll_names[] = {N(EPOLL_CTL_ADD), N(EPOLL_CTL_DEL), N(EPOLL_CTL_MOD)};
static const struct name epoll_event_names[] = {
    N(EPOLLIN), N(EPOLLPRI), N(EPOLLOUT), N(EPOLLERR), N(EPOLLHUP), N(EPOLLRDNORM), N(EPOLLWRNORM),
    N(EPOLLRDHUP), N(EPOLLEXCLUSIVE), N(EPOLLWAKEUP), N(EPOLLONESHOT), N(EPOLLET)};
static const struct name poll_names[] = {
    N(POLLIN), N(POLLPRI), N(POLLOUT), N(POLLERR), N(POLLHUP), N(POLLNVAL), N(POLLRDNORM),
    N(POLLRDBAND), N(POLLWRNORM), N(POLLWRBAND), N(POLLRDHUP)};
static const struct name domain_names[] = {N(AF_UNIX), N(AF_INET), N(AF_INET6), N(AF_NETLINK), N(AF_PACKET)};
static const struct name socket_names[] = {
    N(SOCK_STREAM), N(SOCK_DGRAM), N(SOCK_RAW), N(SOCK_SEQPACKET), N(SOCK_CLOEXEC), N(SOCK_NONBLOCK)};
static const struct name level_names[] = {N(SOL_SOCKET)};
static const struct name option_names[] = {
    N(SO_DEBUG), N(SO_REUSEADDR), N(SO_TYPE), N(SO_ERROR), N(SO_BROADCAST), N(SO_SNDBUF), N(SO_RCVBUF),
    N(SO_KEEPALIVE), N(SO_LINGER), N(SO_PASSCRED), N(SO_PEERCRED), N(SO_RCVLOWAT), N(SO_RCVTIMEO),
    N(SO_SNDTIMEO), N(SO_ACCEPTCONN), N(SO_PROTOCOL), N(SO_DOMAIN)};
static const struct name shutdown_names[] = {N(SHUT_RD), N(SHUT_WR), N(SHUT_RDWR)};
static const struct name message_names[] = {
    N(MSG_OOB), N(MSG_PEEK), N(MSG_CTRUNC), N(MSG_TRUNC), N(MSG_DONTWAIT), N(MSG_EOR), N(MSG_WAITALL),
    N(MSG_NOSIGNAL), N(MSG_MORE), N(MSG_CMSG_CLOEXEC)};
static const struct name how_names[] = {N(SIG_BLOCK), N(SIG_UNBLOCK), N(SIG_SETMASK)};
static const struct name action_names[] = {
    {0x04000000, "SA_RESTORER"}, N(SA_ONSTACK), N(SA_RESTART), N(SA_NODEFER), N(SA_RESETHAND),
    N(SA_SIGINFO), N(SA_NOCLDSTOP), N(SA_NOCLDWAIT)};
static const struct name signal_code_names[] = {
    N(SI_USER), N(SI_QUEUE), N(SI_TIMER), N(SI_TKILL), N(SI_KERNEL)};
static const struct name file_type_names[] = {
    N(S_IFREG), N(S_IFDIR), N(S_IFLNK), N(S_IFCHR), N(S_IFBLK), N(S_IFIFO), N(S_IFSOCK)};

/* The bits of `choice` are one of the names, which come first; each of the others has a name of its
 * own. */
#define TABLE(names, choice) {(names), sizeof(names) / sizeof((names)[0]), (choice)}
#define ONE UINT64_MAX
static const struct {
    const struct name *names;
    size_t count;
    uint64_t choice;
} tables[TRACE_KINDS] = {
    [AS_OPEN] = TABLE(open_names, O_ACCMODE), [AS_PIPE] = TABLE(pipe_names, 0),
    [AS_DESCRIPTOR] = TABLE(descriptor_names, 0), [AS_PROT] = TABLE(prot_names, 0),
    [AS_MAP] = TABLE(map_names, MAP_TYPE), [AS_REMAP] = TABLE(mremap_names, 0),
    [AS_ADVICE] = TABLE(advice_names, ONE), [AS_SYNC] = TABLE(sync_names, 0),
    [AS_ACCESS] = TABLE(access_names, 0), [AS_WHENCE] = TABLE(whence_names, ONE),
    [AS_AT] = TABLE(at_names, 0), [AS_FLOCK] = TABLE(flock_names, 0),
    [AS_FCNTL] = TABLE(fcntl_names, ONE), [AS_IOCTL] = TABLE(ioctl_names, ONE),
    [AS_SPLICE] = TABLE(splice_names, 0), [AS_CLONE] = TABLE(clone_names, CSIGNAL),
    [AS_FUTEX] = TABLE(futex_names, (uint32_t)~FUTEX_CLOCK_REALTIME), [AS_PRCTL] = TABLE(prctl_names, ONE),
    [AS_ARCH] = TABLE(arch_names, ONE), [AS_RESOURCE] = TABLE(resource_names, ONE),
    [AS_CLOCK] = TABLE(clock_names, ONE), [AS_TIMER] = TABLE(timer_names, 0),
    [AS_RANDOM] = TABLE(random_names, 0), [AS_MEMFD] = TABLE(memfd_names, 0),
    [AS_EVENTFD] = TABLE(eventfd_names, 0), [AS_SIGNALFD] = TABLE(signalfd_names, 0),
    [AS_TIMERFD] = TABLE(timerfd_names, 0), [AS_INOTIFY] = TABLE(inotify_names, 0),
    [AS_EPOLL_CREATE] = TABLE(epoll_create_names, 0),
    [AS_EPOLL] = TABLE(epoll_names, ONE), [AS_EPOLL_EVENTS] = TABLE(epoll_event_names, 0),
    [AS_POLL_EVENTS] = TABLE(poll_names, 0), [AS_DOMAIN] = TABLE(domain_names, ONE),
    [AS_SOCKET] = TABLE(socket_names, 15), [AS_LEVEL] = TABLE(level_names, ONE),
    [AS_OPTION] = TABLE(option_names, ONE), [AS_SHUTDOWN] = TABLE(shutdown_names, ONE),
    [AS_MESSAGE] = TABLE(message_names, 0), [AS_HOW] = TABLE(how_names, ONE),
    [AS_ACTION_FLAGS] = TABLE(action_names, 0), [AS_SIGNAL_CODE] = TABLE(signal_code_names, ONE),
    [AS_FILE_TYPE] = TABLE(file_type_names, ONE),
};
/* clang-format on */

/* Numbers of an address's width that are flags or choices in 32 bits. */
static bool is_wide(enum trace_kind kind)
{
    return kind == AS_CLONE || kind == AS_ACTION_FLAGS || kind == AS_MAP;
}

static const char *chosen(enum trace_kind kind, uint64_t value)
{
    for (size_t i = 0; i < tables[kind].count; i++) {
        uint64_t named = tables[kind].names[i].value;

        if (!(named & ~tables[kind].choice) && (is_wide(kind) ? named : (uint32_t)named) == value)
            return tables[kind].names[i].name;
    }
    return NULL;
}

static void add(struct trace_text *to, bool *any, const char *name)
{
    show(to, "%s%s", *any ? "|" : "", name);
    *any = true;
}

bool show_names(struct trace_text *to, enum trace_kind kind, uint64_t value)
{
    uint64_t choice = tables[kind].choice;
    const char *name;
    bool any = false;

    if (!tables[kind].names)
        return false;
    if (!is_wide(kind))
        value = (uint32_t)value;
    name = chosen(kind, value & choice);
    if ((name && choice) || (name && !value))
        add(to, &any, name);
    if (name && choice)
        value &= ~choice;
    for (size_t i = 0; i < tables[kind].count; i++) {
        uint64_t bits = tables[kind].names[i].value;

        if (bits & ~choice && (value & bits) == bits) {
            add(to, &any, tables[kind].names[i].name);
            value &= ~bits;
        }
    }
    if (value || !any)
        show(to, value ? "%s%#" PRIx64 : "%s%" PRIu64, any ? "|" : "", value);
    return true;
}

void show_signo(struct trace_text *to, uint64_t signo)
{
    const char *name = signo < SIGNALS ? sigabbrev_np((int)signo) : NULL;

    if (name)
        show(to, "SIG%s", name);
    else if (signo >= 32 && signo <= SIGNALS)
        show(to, signo == 32 ? "SIGRTMIN" : "SIGRT_%d", (int)signo - 32);
    else
        show(to, "%d", (int)signo);
}
