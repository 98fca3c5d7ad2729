/* SPDX-License-Identifier: BSD-2-Clause */
/* The filter of the jail, by itself: what it says of calls with arguments that a way out would need. It is
 * run here as the kernel runs it, as a real call could not be tried in so many ways. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h> /* needs those above */

#include "jail/calls.h"

static const struct sock_filter filter[] = {
#include "jail_filter.h"
};

#define COUNT      (sizeof(filter) / sizeof(filter[0]))
#define OWN        JAIL_OWN_PID
#define OTHER      0x1234u
#define FAILS(err) (SECCOMP_RET_ERRNO | (err))
#define KILLS      SECCOMP_RET_KILL_PROCESS
#define ALLOWS     SECCOMP_RET_ALLOW

/* ---- the kernel's machine ------------------------------------------------- */

static uint32_t word_at(const struct seccomp_data *data, uint32_t offset)
{
    uint32_t word;

    assert_true(offset % sizeof(word) == 0 && offset < sizeof(*data));
    memcpy(&word, (const char *)data + offset, sizeof(word));
    return word;
}

static bool holds(const struct sock_filter *at, uint32_t word)
{
    switch (BPF_OP(at->code)) {
    case BPF_JEQ:
        return word == at->k;
    case BPF_JGT:
        return word > at->k;
    case BPF_JGE:
        return word >= at->k;
    default:
        assert_int_equal(BPF_OP(at->code), BPF_JSET);
        return word & at->k;
    }
}

static uint32_t run(const struct seccomp_data *data)
{
    uint32_t word = 0;

    for (size_t i = 0; i < COUNT; i++) {
        const struct sock_filter *at = &filter[i];

        if (at->code == (BPF_RET | BPF_K))
            return at->k;
        if (at->code == (BPF_LD | BPF_W | BPF_ABS))
            word = word_at(data, at->k);
        else if (at->code == (BPF_ALU | BPF_AND | BPF_K))
            word &= at->k;
        else if (at->code == (BPF_JMP | BPF_JA))
            i += at->k;
        else if (BPF_CLASS(at->code) == BPF_JMP)
            i += holds(at, word) ? at->jt : at->jf;
        else
            fail_msg("instruction %#x", at->code);
    }
    fail_msg("it has no end");
    return 0;
}

/* ---- calls that nothing allows -------------------------------------------- */

#define NAME(call)         \
    {                      \
        __NR_##call, #call \
    }

static const struct {
    int number;
    const char *name;
} never[] = {
    /* other programs, other processes */
    NAME(execve),
    NAME(execveat),
    NAME(fork),
    NAME(vfork),

    NAME(tkill),
    NAME(rt_sigqueueinfo),
    NAME(rt_tgsigqueueinfo),

    NAME(kcmp),
    NAME(pidfd_open),
    NAME(pidfd_getfd),
    NAME(pidfd_send_signal),
    NAME(process_madvise),
    NAME(setpgid),
    NAME(setsid),
    NAME(setpriority),
    NAME(sched_setscheduler),
    NAME(sched_setparam),
    NAME(sched_setattr),
    NAME(ioprio_set),
    NAME(setrlimit),
    NAME(timer_create),
    NAME(alarm),
    NAME(setitimer),
    NAME(move_pages),
    NAME(migrate_pages),
#ifndef FERRY_SANITIZED /* the run-time code of a sanitizer makes these */
    NAME(kill),
    NAME(ptrace),
#endif
    /* rights, name spaces */
    NAME(setuid),
    NAME(setgid),
    NAME(setresuid),
    NAME(setresgid),
    NAME(setgroups),
    NAME(setfsuid),
    NAME(capset),
    NAME(unshare),
    NAME(setns),
    NAME(chroot),
    NAME(pivot_root),
    NAME(mount),
    NAME(umount2),
    NAME(move_mount),
    NAME(open_tree),
    NAME(fsmount),
    NAME(fsconfig),
    NAME(fspick),
    NAME(mount_setattr),
    NAME(personality),
    NAME(seccomp),
    NAME(arch_prctl),
    /* the network and what else reaches other processes */
    NAME(socket),
    NAME(bind),
    NAME(connect),
    NAME(listen),
    NAME(accept),
    NAME(accept4),
    NAME(setsockopt),
    NAME(sendmmsg),
    NAME(mq_open),
    NAME(msgget),
    NAME(semget),
    NAME(shmget),
    NAME(shmat),
    NAME(keyctl),
    NAME(add_key),
    NAME(request_key),
    /* much of the kernel */
    NAME(bpf),
    NAME(io_uring_setup),
    NAME(io_uring_enter),
    NAME(io_uring_register),
    NAME(io_setup),
    NAME(userfaultfd),
    NAME(perf_event_open),
    NAME(vmsplice),
    NAME(memfd_secret),
    NAME(pkey_mprotect),
    NAME(remap_file_pages),
    NAME(modify_ldt),
    NAME(ioperm),
    NAME(iopl),
    NAME(fanotify_init),
    NAME(init_module),
    NAME(finit_module),
    NAME(delete_module),
    NAME(kexec_load),
    NAME(reboot),
    NAME(syslog),
    NAME(acct),
    NAME(swapon),
    NAME(quotactl),
    NAME(settimeofday),
    NAME(clock_settime),
    NAME(adjtimex),
    NAME(sethostname),
    NAME(vhangup),
    NAME(lookup_dcookie),
    NAME(mbind),
    /* files beyond what programs ask for */
    NAME(open_by_handle_at),
    NAME(name_to_handle_at),
    NAME(mknod),
    NAME(mknodat),
    NAME(chown),
    NAME(fchown),
    NAME(lchown),
    NAME(fchownat),
    NAME(setxattr),
    NAME(fsetxattr),
    NAME(lsetxattr),
    NAME(removexattr),
    NAME(chdir),
    NAME(fchdir),
    NAME(creat),
    NAME(link),
    NAME(symlink),
    NAME(truncate),
    NAME(copy_file_range),
    NAME(umask),
};

static void calls_that_nothing_allows(void **state)
{
    static const uint64_t values[] = {0, 1, OWN, OTHER, 0xffffffff, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            struct seccomp_data data = {.nr = never[i].number, .arch = AUDIT_ARCH_X86_64};

            for (size_t a = 0; a < 6; a++)
                data.args[a] = values[v];
            if (run(&data) != KILLS)
                fail_msg("%s with %#llx is not forbidden", never[i].name,
                         (unsigned long long)values[v]);
        }
    }
}

/* Numbers that no kernel has yet, those of x32, and calls by the gates of 32 bits. */
static void other_numbers(void **state)
{
    (void)state;
    for (int nr = 453; nr < 2048; nr++) {
        const struct seccomp_data data = {.nr = nr, .arch = AUDIT_ARCH_X86_64};

        assert_int_equal(run(&data), KILLS);
    }
    for (int nr = -1; nr < 600; nr++) {
        const struct seccomp_data x32 = {.nr = nr | 0x40000000, .arch = AUDIT_ARCH_X86_64},
                                  old = {.nr = nr, .arch = AUDIT_ARCH_I386};

        assert_int_equal(run(&x32), KILLS);
        assert_int_equal(run(&old), KILLS);
    }
}

/* ---- arguments ------------------------------------------------------------- */

#define HIGH 0x100000000ull
#define PAIR (SOCK_SEQPACKET | SOCK_CLOEXEC)

static const struct variant {
    int number;
    uint64_t args[6];
    uint32_t action;
} variants[] = {
    /* code */
    {__NR_mmap, {0, 4096, PROT_READ | PROT_WRITE}, ALLOWS},
    {__NR_mmap, {0, 4096, PROT_EXEC}, KILLS},
    {__NR_mmap, {0, 4096, PROT_READ | PROT_EXEC | HIGH}, KILLS},
    {__NR_mmap, {0, 4096, UINT64_MAX}, KILLS},
    {__NR_mprotect, {0, 4096, PROT_READ}, ALLOWS},
    {__NR_mprotect, {0, 4096, PROT_READ | PROT_EXEC}, KILLS},
    /* processes */
    {__NR_clone, {THREAD_IS | CLONE_SYSVSEM | CLONE_SETTLS}, ALLOWS},
    {__NR_clone, {CLONE_VM | CLONE_VFORK}, ALLOWS},
    {__NR_clone, {SIGCHLD}, KILLS},
    {__NR_clone, {0}, KILLS},
    {__NR_clone, {CLONE_VM}, KILLS},
    {__NR_clone, {CLONE_VM | CLONE_VFORK | CLONE_FS}, KILLS},
    {__NR_clone, {CLONE_VM | CLONE_VFORK | CLONE_PARENT}, KILLS},
    {__NR_clone, {CLONE_VM | CLONE_VFORK | CLONE_NEWUSER}, KILLS},
    {__NR_clone, {CLONE_VM | CLONE_VFORK | CLONE_NEWNET}, KILLS},
    {__NR_clone, {THREAD_IS | CLONE_NEWNS}, KILLS},
    {__NR_clone, {THREAD_IS | CLONE_NEWUSER}, KILLS},
    {__NR_clone, {THREAD_IS | CLONE_NEWCGROUP}, KILLS},
    {__NR_clone, {CLONE_VM | CLONE_VFORK | SIGCHLD}, FAILS(EPERM)},
    {__NR_clone3, {0}, FAILS(ENOSYS)},
    {__NR_fsopen, {0}, FAILS(EPERM)},
    /* of ourselves only */
    {__NR_tgkill, {OWN, 1, SIGUSR1}, ALLOWS},
#ifndef FERRY_SANITIZED
    {__NR_tgkill, {OTHER, 1, SIGUSR1}, KILLS},
    {__NR_tgkill, {0, 1, SIGUSR1}, KILLS},
    {__NR_tgkill, {0xffffffff, 1, SIGUSR1}, KILLS},
    {__NR_process_vm_readv, {OTHER}, KILLS},
    {__NR_prctl, {4, 1}, FAILS(EINVAL)}, /* PR_SET_DUMPABLE */
#endif
    {__NR_process_vm_writev, {OWN}, ALLOWS},
    {__NR_process_vm_writev, {OTHER}, KILLS},
    {__NR_sched_setaffinity, {0, 8}, ALLOWS},
    {__NR_sched_setaffinity, {OWN, 8}, KILLS},
    {__NR_sched_setaffinity, {OTHER, 8}, KILLS},
    {__NR_prlimit64, {0}, ALLOWS},
    {__NR_prlimit64, {OTHER}, KILLS},
    {__NR_prlimit64, {OWN}, KILLS},
    /* descriptors */
    {__NR_fcntl, {0, F_GETFL}, ALLOWS},
    {__NR_fcntl, {0, F_SETFL, 04000}, ALLOWS}, /* O_NONBLOCK */
    {__NR_fcntl, {0, F_SETFL, 02000}, ALLOWS}, /* O_APPEND */
    {__NR_fcntl, {0, F_SETFL, FASYNC}, KILLS},
    {__NR_fcntl, {0, F_SETFL, FASYNC | 04000}, KILLS},
    {__NR_fcntl, {0, F_SETOWN, OTHER}, KILLS},
    {__NR_fcntl, {0, F_SETOWN_EX}, KILLS},
    {__NR_fcntl, {0, F_SETSIG, SIGKILL}, KILLS},
    {__NR_fcntl, {0, F_SETLEASE}, KILLS},
    {__NR_fcntl, {0, F_NOTIFY}, KILLS},
    {__NR_fcntl, {0, F_SETLK}, KILLS},
    /* sockets */
    {__NR_socketpair, {AF_UNIX, PAIR}, ALLOWS},
    {__NR_socketpair, {AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC}, KILLS},
    {__NR_socketpair, {AF_TIPC, PAIR}, KILLS},
    {__NR_sendto, {3, 0x7000, 1, MSG_DONTWAIT, 0, 0}, ALLOWS},
    {__NR_sendto, {3, 0x7000, 1, MSG_DONTWAIT, 0x7000, 16}, KILLS},
    {__NR_sendto, {3, 0x7000, 1, MSG_DONTWAIT, HIGH, 16}, KILLS},
    /* devices */
    {__NR_ioctl, {0, KVM_RUN}, ALLOWS},
    {__NR_ioctl, {0, KVM_RUN | HIGH}, ALLOWS}, /* the kernel looks at 32 bits */
    {__NR_ioctl, {0, TCGETS}, ALLOWS},
    {__NR_ioctl, {0, TIOCSTI}, KILLS},
    {__NR_ioctl, {0, TIOCSTI | HIGH}, KILLS},
    {__NR_ioctl, {0, 0x541c}, KILLS}, /* TIOCLINUX */
    {__NR_ioctl, {0, TIOCSCTTY}, KILLS},
    {__NR_ioctl, {0, TIOCNOTTY}, KILLS},
    {__NR_ioctl, {0, TIOCSETD}, KILLS},
    {__NR_ioctl, {0, TIOCCONS}, KILLS},
    {__NR_ioctl, {0, TIOCGPTPEER}, KILLS},
    {__NR_ioctl, {0, FIOASYNC}, KILLS},
    {__NR_ioctl, {0, FIOSETOWN}, KILLS},
    {__NR_ioctl, {0, KVM_CREATE_DEVICE}, KILLS},
    {__NR_ioctl, {0, KVM_ENABLE_CAP}, KILLS},
    {__NR_ioctl, {0, KVM_IOEVENTFD}, KILLS},
    {__NR_ioctl, {0, 0}, KILLS},
    {__NR_ioctl, {0, UINT64_MAX}, KILLS},
};

static void arguments(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        const struct variant *variant = &variants[i];
        struct seccomp_data data = {.nr = variant->number, .arch = AUDIT_ARCH_X86_64};

        memcpy(data.args, variant->args, sizeof(data.args));
        uint32_t action = run(&data);
        if (action != variant->action)
            fail_msg("variant %zu (call %d): %#x, not %#x", i, variant->number, action,
                     variant->action);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_that_nothing_allows),
        cmocka_unit_test(other_numbers),
        cmocka_unit_test(arguments),
    };

    return cmocka_run_group_tests_name("jail_filter", tests, NULL, NULL);
}
