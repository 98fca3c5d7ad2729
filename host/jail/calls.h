/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls that a process in the jail may make, each with the reason why. Every other one
 * kills the process. The build makes a filter of this table (make_filter.c), so nothing is worked out
 * when Ferry starts.
 *
 * How it was found: the functions that the library and the command import (`nm -u`), read down to
 * their calls; then all tests with the filter on. A filter sees numbers, not what pointers lead to: so
 * no name of a file is checked here, but by the walls (walls.c).
 */
#ifndef FERRY_HOST_JAIL_CALLS_H
#define FERRY_HOST_JAIL_CALLS_H

#include <asm/termbits.h>
#include <asm/unistd.h>
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/kvm.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Stands in the filter for the number of our process, which is put in when it is installed. */
#define JAIL_OWN_PID 0x6a61696cu

#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

struct jail_call {
    int number;
    int error;    /* 0: the call is made; else it fails with this errno, and nobody is killed */
    int argument; /* the one that decides; -1: none */
    uint64_t mask, value; /* where argument & mask is value, the line holds */
    int also;             /* a second argument that decides; 0: none */
    uint32_t is;          /* its value, in the lower half */
    const char *why;
};

#define LINE(call, errno_, arg, bits, is, second, second_is, why)  \
    {                                                              \
        __NR_##call, errno_, arg, bits, is, second, second_is, why \
    }
#define ANY(call, why)                                LINE(call, 0, -1, 0, 0, 0, 0, why)
#define WHERE(call, arg, bits, is, why)               LINE(call, 0, arg, bits, is, 0, 0, why)
#define ERROR(call, errno_, why)                      LINE(call, errno_, -1, 0, 0, 0, 0, why)
#define ERROR_WHERE(call, errno_, arg, bits, is, why) LINE(call, errno_, arg, bits, is, 0, 0, why)
/* Two decide: bits of one, and all of another. */
#define BITS(call, arg, bits, is, second, second_is, why) \
    LINE(call, 0, arg, bits, is, second, second_is, why)
#define BOTH(call, arg, is, second, second_is, why) \
    LINE(call, 0, arg, INT32, is, second, second_is, why)
/* The kernel looks at the lower half alone, and C libraries differ in what the upper one is. */
#define INT32                 0xffffffffu
#define REQUEST(request, why) WHERE(ioctl, 1, INT32, (uint32_t)(request), why)
#define COMMAND(command, why) WHERE(fcntl, 1, INT32, command, why)
#define OF_US(call, arg, why) WHERE(call, arg, INT32, JAIL_OWN_PID, why)

#define NEW_PROCESS_MEMORY (CLONE_VM | CLONE_VFORK)
/* What tells a thread of ours from a process, and from name spaces. */
#define THREAD_MASK                                                                              \
    (CLONE_THREAD | CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_FS | CLONE_NEWUSER |          \
     CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | \
     CLONE_PTRACE | CLONE_UNTRACED | CLONE_PARENT)
#define THREAD_IS (CLONE_THREAD | CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_FS)

/* clang-format off */
static const struct jail_call jail_calls[] = {
    /* --- KVM: first, since it is by far the most frequent --- */
    REQUEST(KVM_RUN, "enter a guest"),
    REQUEST(KVM_GET_REGS, "a CPU's registers, where they are not in its shared page"),
    REQUEST(KVM_SET_REGS, "likewise"),
    REQUEST(KVM_GET_SREGS, "likewise"),
    REQUEST(KVM_SET_SREGS, "likewise"),
    REQUEST(KVM_GET_XSAVE, "signal frames, and threads that begin with their maker's state"),
    REQUEST(KVM_SET_XSAVE, "likewise"),
    REQUEST(KVM_SET_FPU, "likewise, on a processor without XSAVE"),
    REQUEST(KVM_GET_VCPU_EVENTS, "a CPU goes back to a snapshot"),
    REQUEST(KVM_SET_VCPU_EVENTS, "likewise"),
    REQUEST(KVM_SET_USER_MEMORY_REGION, "memory that is touched gets its slot"),
    REQUEST(KVM_CREATE_VM, "VMs that are made later"),
    REQUEST(KVM_CREATE_VCPU, "a thread of a program begins"),
    REQUEST(KVM_SET_CPUID2, "a CPU is made"),
    REQUEST(KVM_SET_MSRS, "a CPU is made"),
    REQUEST(KVM_SET_XCRS, "a CPU is made"),
    REQUEST(KVM_SET_SIGNAL_MASK, "a CPU is made"),
    REQUEST(KVM_SET_DEVICE_ATTR, "a CPU is made: its TSC is the host's"),
    REQUEST(KVM_GET_TSC_KHZ, "the page of clocks"),
    REQUEST(KVM_GET_STATS_FD, "KVM's figures"),
    REQUEST(KVM_CHECK_EXTENSION, "an engine that is made later"),
    REQUEST(KVM_GET_API_VERSION, "likewise"),
    REQUEST(KVM_GET_SUPPORTED_CPUID, "likewise"),
    REQUEST(KVM_GET_VCPU_MMAP_SIZE, "likewise"),

    /* --- terminals, as linux/terminal.c allows; none that types, takes over or reaches others --- */
    REQUEST(TCGETS, "modes; isatty"),
    REQUEST(TCSETS, "modes"),
    REQUEST(TCGETS2, "modes"),
    REQUEST(TCSETS2, "modes"),
    REQUEST(TCFLSH, "what was typed is thrown away"),
    REQUEST(TCXONC, "output goes on; the personality passes TCOON only"),
    REQUEST(TIOCGWINSZ, "size"),
    REQUEST(TIOCSWINSZ, "size"),
    REQUEST(TIOCGPGRP, "which group is in the foreground"),
    REQUEST(TIOCSPGRP, "the program's group is ours; it may put itself into the foreground"),
    REQUEST(TIOCGSID, "whether it is our terminal"),
    REQUEST(TIOCOUTQ, "tcdrain, without waiting in the kernel"),
    REQUEST(TIOCGETD, "the discipline, which can only be read"),
    REQUEST(TIOCGDEV, "which terminal /dev/tty is"),
    REQUEST(TIOCGPTN, "whether it is the side of a terminal's maker"),
    REQUEST(FIONREAD, "bytes that wait in what was given, and in an inotify"),

    /* --- memory: never any that can be executed --- */
    WHERE(mmap, 2, PROT_EXEC, 0, "memory of VMs, threads, files"),
    WHERE(mprotect, 2, PROT_EXEC, 0, "windows are opened and closed; the allocator"),
    ANY(munmap, "memory"),
    ANY(mremap, "the program's mremap; the allocator"),
    ANY(madvise, "memory is given back; huge pages"),
    ANY(mincore, "whether pages are there"),
    ANY(msync, "the program's msync of files"),
    ANY(brk, "the allocator"),
    ANY(memfd_create, "memory of VMs that can be mapped twice"),
    OF_US(process_vm_readv, 0, "memory in which a file is mapped, and which may go; ours only"),
    OF_US(process_vm_writev, 0, "likewise"),

    /* --- threads, and processes that share our memory --- */
    ERROR(clone3, ENOSYS, "its flags are behind a pointer; C libraries then use clone"),
    WHERE(clone, 0, THREAD_MASK, THREAD_IS, "threads of programs and of the library"),
    WHERE(clone, 0, INT32, NEW_PROCESS_MEMORY,
          "a call on a file that may never be answered (linux/helper.c); a word of a file (lib/live.c)"),
    ERROR_WHERE(clone, EPERM, 0, INT32, NEW_PROCESS_MEMORY | CLONE_FILES | CLONE_NEWUSER | CLONE_NEWNS,
          "directories in memory of a VM that is made later (linux/private.c): there are none"),
    ERROR_WHERE(clone, EPERM, 0, INT32, NEW_PROCESS_MEMORY | SIGCHLD, "likewise: no program is started"),
    ERROR(fsopen, EPERM, "likewise"),
    ERROR(mkdir, EPERM, "likewise"),
    ANY(wait4, "the end of such a process"),
    ANY(set_robust_list, "a thread begins"),
    ANY(rseq, "a thread begins"),
    ANY(futex, "locks, sleeping, waking; words of the program"),
    ANY(membarrier, "the program's membarrier"),
    ANY(gettid, "the C library"),
    ANY(getpid, "the C library; whether a process is ours"),
    ANY(exit, "a thread ends"),
    ANY(exit_group, "the end"),
    ANY(sched_yield, "a thread that spins lets others go on"),
    ANY(sched_getaffinity, "the processors that a program sees"),
    WHERE(sched_setaffinity, 0, INT32, 0, "a thread of the program asks for processors; each for itself"),
    ANY(sched_rr_get_interval, "a tick of the host"),
    ANY(getcpu, "the program's getcpu, where the vDSO does not answer"),

    /* --- signals: to our own threads only --- */
    OF_US(tgkill, 0, "a CPU is kicked; a pump is interrupted; ferry ends as its program did"),
    ANY(rt_sigprocmask, "threads begin"),
    ANY(rt_sigaction, "ferry's end by a signal; a process of lib/live.c"),
    ANY(rt_sigreturn, "the handler that interrupts a pump"),
    ANY(rt_sigtimedwait, "a kick is taken back"),
    ANY(restart_syscall, "the kernel has it made after a stop"),

    /* --- clocks and waiting --- */
    ANY(clock_gettime, "processor time; others where the vDSO cannot"),
    ANY(clock_getres, "the program's clock_getres"),
    ANY(gettimeofday, "where the vDSO cannot"),
    ANY(time, "where the vDSO cannot"),
    ANY(clock_nanosleep, "the C library"),
    ANY(nanosleep, "the C library"),
    ANY(poll, "waiting for descriptors"),
    ANY(ppoll, "waiting for descriptors"),
    ANY(eventfd2, "waking"),
    ANY(signalfd4, "an ending that is prepared late"),
    ANY(getrusage, "processor time in reports"),

    /* --- open descriptors --- */
    ANY(read, "input, files, events"),
    ANY(write, "output, files, events"),
    ANY(readv, "the C library"),
    ANY(writev, "the C library"),
    ANY(pread64, "files"),
    ANY(pwrite64, "files"),
    ANY(preadv, "files"),
    ANY(pwritev, "files"),
    ANY(preadv2, "whether a file's pages are at hand; files"),
    ANY(pwritev2, "what was given, without waiting"),
    ANY(lseek, "files, and the position of what was given"),
    ANY(close, "descriptors"),
    ANY(close_range, "a helper process holds none of ours"),
    ANY(dup2, "what a program closed is closed by ferry"),
    ANY(dup3, "likewise, where a C library uses it"),
    ANY(pipe2, "pipes"),
    ANY(splice, "the program's splice and sendfile to what was given"),
    ANY(tee, "likewise"),
    ANY(ftruncate, "files, memory"),
    ANY(fallocate, "files; pages are given back"),
    ANY(fsync, "files"),
    ANY(fdatasync, "files"),
    ANY(flock, "files"),
    COMMAND(F_DUPFD_CLOEXEC, "copies of descriptors"),
    COMMAND(F_GETFD, "whether a descriptor is open"),
    COMMAND(F_SETFD, "the C library, for directories"),
    COMMAND(F_GETFL, "how a descriptor was opened"),
    /* O_ASYNC on a terminal would send signals to the group in its foreground. */
    BITS(fcntl, 2, FASYNC, 0, 1, F_SETFL, "appending to a file of the program's"),
    COMMAND(F_OFD_GETLK, "locks on files"),
    COMMAND(F_OFD_SETLK, "locks on files"),
    COMMAND(F_GETPIPE_SZ, "pipes"),
    COMMAND(F_SETPIPE_SZ, "pipes"),
    COMMAND(F_ADD_SEALS, "the program's memfd"),
    COMMAND(F_GET_SEALS, "the program's memfd"),
    /* To the peer only. By sendmsg a socket that was given can be asked for more, if it has no peer. */
    WHERE(sendto, 4, UINT64_MAX, 0, "what was given is a socket; messages of ferry"),
    ANY(recvfrom, "what was given is a socket"),
    ANY(sendmsg, "the descriptor that a helper process found; a socket that was given"),
    ANY(recvmsg, "likewise"),
    /* Of a socket that was made and listens already: that it is reached is its purpose. */
    WHERE(accept4, 3, INT32, SOCK_CLOEXEC, "connections of ferry serve"),
    ANY(shutdown, "likewise: their end"),
    BOTH(getsockopt, 1, SOL_SOCKET, 2, SO_PEERCRED, "likewise: who it is"),
    /* One that is connected for good: with an address, datagrams would go to any socket of the machine. */
    BOTH(socketpair, 0, AF_UNIX, 1, SOCK_SEQPACKET | SOCK_CLOEXEC, "likewise: the helper's"),
    ANY(inotify_init1, "the program's inotify"),
    ANY(inotify_add_watch, "likewise"),
    ANY(inotify_rm_watch, "likewise"),

    /* --- files by name: of the program below its directories; of our own in /proc --- */
    ANY(openat, "files that have been found; the list of our mappings and descriptors"),
    ANY(openat2, "files are found"),
    ANY(open, "as openat, where a C library uses it"),
    ANY(fstat, "files"),
    ANY(stat, "as newfstatat, where a C library uses it"),
    ANY(lstat, "likewise"),
    ANY(newfstatat, "files"),
    ANY(statx, "files, where a C library uses it"),
    ANY(fstatfs, "files; what memory files take"),
    ANY(getdents64, "directories"),
    ANY(readlink, "the name of a terminal; realpath"),
    ANY(readlinkat, "links"),
    ANY(access, "the C library"),
    ANY(faccessat, "files"),
    ANY(faccessat2, "files"),
    ANY(getcwd, "a VM that is made later"),
    ANY(mkdirat, "below --rw, and in memory"),
    ANY(unlink, "files that keep figures"),
    ANY(unlinkat, "below --rw, and in memory"),
    ANY(rmdir, "likewise"),
    ANY(linkat, "likewise"),
    ANY(symlinkat, "likewise"),
    ANY(rename, "files that keep figures"),
    ANY(renameat2, "likewise"),
    ANY(chmod, "likewise, by a name in /proc/self/fd"),
    ANY(fchmod, "likewise"),
    ANY(fchmodat, "likewise"),
    ANY(fchmodat2, "likewise"),
    ANY(utimensat, "likewise"),

    /* --- what the C library asks of the system --- */
    WHERE(prlimit64, 0, INT32, 0, "our own limits; RLIMIT_CORE before ferry ends by a signal"),
    ANY(getrandom, "the program's random numbers"),
    ANY(uname, "the program's uname"),
    ANY(sysinfo, "memory and processors"),
    ANY(getuid, "the owner of files"),
    ANY(geteuid, "likewise"),
    ANY(getgid, "likewise"),
    ANY(getegid, "likewise"),
    ANY(getpgrp, "whether we are in the foreground of a terminal"),
    ANY(getpgid, "likewise"),

#ifdef FERRY_SANITIZED
    /* --- only builds with sanitizers or coverage: their run-time code --- */
    ANY(sigaltstack, "stacks of handlers"),
    ANY(ptrace, "the leak check looks at threads from a process of its own"),
    ANY(getppid, "likewise"),
    ANY(getdents, "likewise"),
    ANY(kill, "likewise"),
    ANY(process_vm_readv, "likewise"),
    ANY(tgkill, "likewise"),
    ANY(mkdir, "figures of coverage"),
    ANY(set_tid_address, "likewise"),
    COMMAND(F_SETLKW, "likewise"),
    COMMAND(F_DUPFD, "reports"),
    WHERE(clone, 0, CLONE_UNTRACED, CLONE_UNTRACED, "likewise: that process"),
    ANY(prctl, "likewise"),
#else
    /* --- and the others --- */
    ERROR(prctl, EINVAL, "the C library names memory, where that is there"),
#endif
};
/* clang-format on */

#endif
