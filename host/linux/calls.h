/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: the system calls that are offered, and their functions. A handler
 * returns the call's result or a negative errno; -EINTR from a call that blocks means that a signal
 * waits or that the VM is being stopped.
 */
#ifndef FERRY_HOST_LINUX_CALLS_H
#define FERRY_HOST_LINUX_CALLS_H

#include <stdint.h>
#include <sys/syscall.h>

struct linux_state;

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* newer than the headers of Debian 12 */
#endif

#define LINUX_CALLS(CALL)                          \
    /* memory.c */                                 \
    CALL(brk, sys_brk)                             \
    CALL(mmap, sys_mmap)                           \
    CALL(munmap, sys_munmap)                       \
    CALL(mprotect, sys_mprotect)                   \
    /* remap.c */                                  \
    CALL(mremap, sys_mremap)                       \
    CALL(madvise, sys_madvise)                     \
    CALL(mlock, sys_mlock)                         \
    CALL(munlock, sys_mlock)                       \
    CALL(mlock2, sys_mlock2)                       \
    CALL(mlockall, sys_mlockall)                   \
    CALL(munlockall, sys_zero)                     \
    CALL(mincore, sys_mincore)                     \
    CALL(msync, sys_msync)                         \
    /* io.c */                                     \
    CALL(read, sys_read)                           \
    CALL(write, sys_write)                         \
    CALL(pread64, sys_pread64)                     \
    CALL(pwrite64, sys_pwrite64)                   \
    CALL(lseek, sys_lseek)                         \
    CALL(getdents64, sys_getdents64)               \
    /* vectors.c */                                \
    CALL(readv, sys_readv)                         \
    CALL(writev, sys_writev)                       \
    CALL(preadv, sys_preadv)                       \
    CALL(pwritev, sys_pwritev)                     \
    CALL(preadv2, sys_preadv2)                     \
    CALL(pwritev2, sys_pwritev2)                   \
    /* splice.c */                                 \
    CALL(sendfile, sys_sendfile)                   \
    CALL(splice, sys_splice)                       \
    CALL(tee, sys_tee)                             \
    CALL(vmsplice, sys_vmsplice)                   \
    CALL(copy_file_range, sys_copy_file_range)     \
    /* fcntl.c */                                  \
    CALL(fcntl, sys_fcntl)                         \
    CALL(ioctl, sys_ioctl)                         \
    CALL(statfs, sys_statfs)                       \
    CALL(fstatfs, sys_fstatfs)                     \
    CALL(syncfs, sys_syncfs)                       \
    CALL(readahead, sys_readahead)                 \
    CALL(fadvise64, sys_fadvise64)                 \
    /* descriptors.c */                            \
    CALL(close, sys_close)                         \
    CALL(close_range, sys_close_range)             \
    CALL(dup, sys_dup)                             \
    CALL(dup2, sys_dup2)                           \
    CALL(dup3, sys_dup3)                           \
    /* pipe.c */                                   \
    CALL(pipe, sys_pipe)                           \
    CALL(pipe2, sys_pipe2)                         \
    /* event.c */                                  \
    CALL(eventfd, sys_eventfd)                     \
    CALL(eventfd2, sys_eventfd2)                   \
    /* epoll.c */                                  \
    CALL(epoll_create, sys_epoll_create)           \
    CALL(epoll_create1, sys_epoll_create1)         \
    CALL(epoll_ctl, sys_epoll_ctl)                 \
    CALL(epoll_wait, sys_epoll_wait)               \
    CALL(epoll_pwait, sys_epoll_pwait)             \
    CALL(epoll_pwait2, sys_epoll_pwait2)           \
    /* timer.c */                                  \
    CALL(timerfd_create, sys_timerfd_create)       \
    CALL(timerfd_settime, sys_timerfd_settime)     \
    CALL(timerfd_gettime, sys_timerfd_gettime)     \
    /* socket.c, socket_calls.c */                 \
    CALL(socket, sys_socket)                       \
    CALL(socketpair, sys_socketpair)               \
    CALL(recvfrom, sys_recvfrom)                   \
    CALL(recvmsg, sys_recvmsg)                     \
    CALL(sendto, sys_sendto)                       \
    CALL(sendmmsg, sys_sendmmsg)                   \
    CALL(recvmmsg, sys_recvmmsg)                   \
    CALL(sendmsg, sys_sendmsg)                     \
    CALL(getsockname, sys_getsockname)             \
    CALL(getpeername, sys_getpeername)             \
    CALL(getsockopt, sys_getsockopt)               \
    CALL(setsockopt, sys_setsockopt)               \
    CALL(shutdown, sys_shutdown)                   \
    CALL(connect, sys_connect)                     \
    CALL(bind, sys_no_listener)                    \
    CALL(listen, sys_no_listener)                  \
    CALL(accept, sys_no_listener)                  \
    CALL(accept4, sys_no_listener)                 \
    /* signalfd.c */                               \
    CALL(signalfd, sys_signalfd)                   \
    CALL(signalfd4, sys_signalfd4)                 \
    /* inotify.c */                                \
    CALL(inotify_init, sys_inotify_init)           \
    CALL(inotify_init1, sys_inotify_init1)         \
    CALL(inotify_add_watch, sys_inotify_add_watch) \
    CALL(inotify_rm_watch, sys_inotify_rm_watch)   \
    /* memfd.c */                                  \
    CALL(memfd_create, sys_memfd_create)           \
    /* poll.c */                                   \
    CALL(poll, sys_poll)                           \
    CALL(ppoll, sys_ppoll)                         \
    CALL(select, sys_select)                       \
    CALL(pselect6, sys_pselect6)                   \
    /* files.c */                                  \
    CALL(open, sys_open)                           \
    CALL(openat, sys_openat)                       \
    CALL(creat, sys_creat)                         \
    CALL(access, sys_access)                       \
    CALL(faccessat, sys_faccessat)                 \
    CALL(faccessat2, sys_faccessat2)               \
    CALL(readlink, sys_readlink)                   \
    CALL(readlinkat, sys_readlinkat)               \
    CALL(getcwd, sys_getcwd)                       \
    CALL(chdir, sys_chdir)                         \
    CALL(fchdir, sys_fchdir)                       \
    /* names.c */                                  \
    CALL(mkdir, sys_mkdir)                         \
    CALL(mkdirat, sys_mkdirat)                     \
    CALL(mknod, sys_mknod)                         \
    CALL(mknodat, sys_mknodat)                     \
    CALL(rmdir, sys_rmdir)                         \
    CALL(unlink, sys_unlink)                       \
    CALL(unlinkat, sys_unlinkat)                   \
    CALL(rename, sys_rename)                       \
    CALL(renameat, sys_renameat)                   \
    CALL(renameat2, sys_renameat2)                 \
    CALL(link, sys_link)                           \
    CALL(linkat, sys_linkat)                       \
    CALL(symlink, sys_symlink)                     \
    CALL(symlinkat, sys_symlinkat)                 \
    /* contents.c */                               \
    CALL(truncate, sys_truncate)                   \
    CALL(ftruncate, sys_ftruncate)                 \
    CALL(fallocate, sys_fallocate)                 \
    CALL(fsync, sys_fsync)                         \
    CALL(fdatasync, sys_fdatasync)                 \
    CALL(sync_file_range, sys_sync_file_range)     \
    /* locks.c */                                  \
    CALL(flock, sys_flock)                         \
    /* attributes.c */                             \
    CALL(chmod, sys_chmod)                         \
    CALL(fchmod, sys_fchmod)                       \
    CALL(fchmodat, sys_fchmodat)                   \
    CALL(fchmodat2, sys_fchmodat2)                 \
    CALL(chown, sys_chown)                         \
    CALL(fchown, sys_fchown)                       \
    CALL(lchown, sys_lchown)                       \
    CALL(fchownat, sys_fchownat)                   \
    CALL(utimensat, sys_utimensat)                 \
    CALL(futimesat, sys_futimesat)                 \
    CALL(utimes, sys_utimes)                       \
    CALL(utime, sys_utime)                         \
    CALL(setxattr, sys_setxattr)                   \
    CALL(lsetxattr, sys_lsetxattr)                 \
    CALL(fsetxattr, sys_fsetxattr)                 \
    CALL(getxattr, sys_getxattr)                   \
    CALL(lgetxattr, sys_lgetxattr)                 \
    CALL(fgetxattr, sys_fgetxattr)                 \
    CALL(listxattr, sys_listxattr)                 \
    CALL(llistxattr, sys_llistxattr)               \
    CALL(flistxattr, sys_flistxattr)               \
    CALL(removexattr, sys_getxattr)                \
    CALL(lremovexattr, sys_lgetxattr)              \
    CALL(fremovexattr, sys_fgetxattr)              \
    /* stat.c */                                   \
    CALL(stat, sys_stat)                           \
    CALL(lstat, sys_lstat)                         \
    CALL(fstat, sys_fstat)                         \
    CALL(newfstatat, sys_newfstatat)               \
    CALL(statx, sys_statx)                         \
    /* time.c */                                   \
    CALL(clock_gettime, sys_clock_gettime)         \
    CALL(clock_getres, sys_clock_getres)           \
    CALL(clock_settime, sys_clock_settime)         \
    CALL(settimeofday, sys_not_permitted)          \
    CALL(gettimeofday, sys_gettimeofday)           \
    CALL(time, sys_time)                           \
    CALL(times, sys_times)                         \
    CALL(nanosleep, sys_nanosleep)                 \
    CALL(clock_nanosleep, sys_clock_nanosleep)     \
    /* futexes.c */                                \
    CALL(futex, sys_futex)                         \
    CALL(futex_waitv, sys_futex_waitv)             \
    /* threads.c */                                \
    CALL(clone, sys_clone)                         \
    CALL(clone3, sys_clone3)                       \
    CALL(fork, sys_fork)                           \
    CALL(vfork, sys_vfork)                         \
    CALL(exit, sys_exit)                           \
    CALL(gettid, sys_gettid)                       \
    CALL(set_tid_address, sys_set_tid_address)     \
    /* signals.c */                                \
    CALL(rt_sigaction, sys_rt_sigaction)           \
    CALL(rt_sigprocmask, sys_rt_sigprocmask)       \
    CALL(rt_sigpending, sys_rt_sigpending)         \
    CALL(rt_sigsuspend, sys_rt_sigsuspend)         \
    CALL(rt_sigtimedwait, sys_rt_sigtimedwait)     \
    CALL(pause, sys_pause)                         \
    CALL(sigaltstack, sys_sigaltstack)             \
    /* signal_frame.c */                           \
    CALL(rt_sigreturn, sys_rt_sigreturn)           \
    /* signal_send.c */                            \
    CALL(rt_sigqueueinfo, sys_rt_sigqueueinfo)     \
    CALL(rt_tgsigqueueinfo, sys_rt_tgsigqueueinfo) \
    CALL(kill, sys_kill)                           \
    CALL(tkill, sys_tkill)                         \
    CALL(tgkill, sys_tgkill)                       \
    /* alarm.c */                                  \
    CALL(alarm, sys_alarm)                         \
    CALL(getitimer, sys_getitimer)                 \
    CALL(setitimer, sys_setitimer)                 \
    CALL(timer_create, sys_timer_create)           \
    CALL(timer_settime, sys_timer_settime)         \
    CALL(timer_gettime, sys_timer_gettime)         \
    CALL(timer_getoverrun, sys_timer_getoverrun)   \
    CALL(timer_delete, sys_timer_delete)           \
    /* limits.c */                                 \
    CALL(getrlimit, sys_getrlimit)                 \
    CALL(setrlimit, sys_setrlimit)                 \
    CALL(prlimit64, sys_prlimit64)                 \
    /* task.c */                                   \
    CALL(prctl, sys_prctl)                         \
    CALL(capget, sys_capget)                       \
    CALL(capset, sys_capset)                       \
    CALL(personality, sys_personality)             \
    CALL(sched_getaffinity, sys_sched_getaffinity) \
    CALL(sched_setaffinity, sys_sched_setaffinity) \
    CALL(sched_getscheduler, sys_get_scheduler)    \
    CALL(sched_setscheduler, sys_set_scheduler)    \
    CALL(sched_getparam, sys_sched_getparam)       \
    CALL(sched_setparam, sys_sched_setparam)       \
    CALL(sched_getattr, sys_sched_getattr)         \
    CALL(pkey_alloc, sys_pkey_alloc)               \
    CALL(pkey_free, sys_pkey_free)                 \
    CALL(pkey_mprotect, sys_pkey_mprotect)         \
    CALL(sched_get_priority_max, sys_priority_max) \
    CALL(sched_get_priority_min, sys_priority_min) \
    CALL(sched_rr_get_interval, sys_rr_interval)   \
    CALL(getpriority, sys_getpriority)             \
    CALL(setpriority, sys_setpriority)             \
    CALL(ioprio_get, sys_ioprio_get)               \
    CALL(get_mempolicy, sys_get_mempolicy)         \
    CALL(set_mempolicy, sys_set_mempolicy)         \
    CALL(mbind, sys_mbind)                         \
    CALL(membarrier, sys_membarrier)               \
    CALL(set_robust_list, sys_set_robust_list)     \
    CALL(get_robust_list, sys_get_robust_list)     \
    /* execve.c */                                 \
    CALL(execve, sys_execve)                       \
    CALL(execveat, sys_execveat)                   \
    /* process.c */                                \
    CALL(exit_group, sys_exit_group)               \
    CALL(getpid, sys_pid)                          \
    CALL(getpgrp, sys_getpgrp)                     \
    CALL(getpgid, sys_getpgid)                     \
    CALL(getsid, sys_getsid)                       \
    CALL(getppid, sys_ppid)                        \
    CALL(setsid, sys_setsid)                       \
    CALL(setpgid, sys_setpgid)                     \
    CALL(getuid, sys_user)                         \
    CALL(geteuid, sys_user)                        \
    CALL(getgid, sys_user)                         \
    CALL(getegid, sys_user)                        \
    CALL(setuid, sys_set_user)                     \
    CALL(setgid, sys_set_user)                     \
    CALL(getresuid, sys_three_users)               \
    CALL(getresgid, sys_three_users)               \
    CALL(setresuid, sys_set_three_users)           \
    CALL(setresgid, sys_set_three_users)           \
    CALL(setreuid, sys_set_two_users)              \
    CALL(setregid, sys_set_two_users)              \
    CALL(setfsuid, sys_user)                       \
    CALL(setfsgid, sys_user)                       \
    CALL(getgroups, sys_getgroups)                 \
    CALL(setgroups, sys_setgroups)                 \
    CALL(umask, sys_umask)                         \
    CALL(uname, sys_uname)                         \
    CALL(sysinfo, sys_sysinfo)                     \
    CALL(getrusage, sys_getrusage)                 \
    CALL(arch_prctl, sys_arch_prctl)               \
    CALL(rseq, sys_no_rseq)                        \
    CALL(sched_yield, sys_yield)                   \
    CALL(sync, sys_zero)                           \
    CALL(getcpu, sys_getcpu)                       \
    CALL(getrandom, sys_getrandom)                 \
    CALL(wait4, sys_wait4)                         \
    CALL(waitid, sys_waitid)                       \
/* A function that serves several calls is declared several times, which C allows. */
#define DECLARE(name, handler) int64_t handler(struct linux_state *state, const uint64_t arg[6]);
LINUX_CALLS(DECLARE)
#undef DECLARE

#endif
