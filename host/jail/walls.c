/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the walls around the files of the host. Landlock refuses to open, make, remove and move what no
 * rule allows, whatever name or descriptor leads there. It asks where a file lies, so a link helps nobody.
 * It has no C library, so its calls are made by number; and headers are older than kernels, so what is
 * asked of them is written here.
 */
#include "jail/walls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/engine.h"
#include "ipc/endpoint.h"
#include "lib/error.h"
#include "linux/linux.h"
#include "vm/vm.h"

/* ---- what a kernel can refuse --------------------------------------------- */

#define FS(what)  LANDLOCK_ACCESS_FS_##what
#define TRUNCATE  (1ull << 14) /* from version 3 on */
#define IOCTL_DEV (1ull << 15) /* 5 */
#define NET_TCP   3ull         /* 4: to bind and to connect; none may */
/* 6: abstract sockets of others. Not signals: the filter refuses those to others, and some kernels would
 * refuse those to our own threads that are outside, too. */
#define ALL_SCOPES 1ull

struct rules {
    uint64_t files, net, scopes;
};

#define READS (FS(READ_FILE) | FS(READ_DIR))
#define CHANGES                                                                                \
    (READS | FS(WRITE_FILE) | FS(REMOVE_DIR) | FS(REMOVE_FILE) | FS(MAKE_DIR) | FS(MAKE_REG) | \
     FS(MAKE_SYM) | FS(REFER) | TRUNCATE)
/* Nobody makes a device, a FIFO or a socket, or runs a file. */
#define NOBODY   (FS(EXECUTE) | FS(MAKE_CHAR) | FS(MAKE_SOCK) | FS(MAKE_FIFO) | FS(MAKE_BLOCK))
#define OF_FILES (FS(READ_FILE) | FS(WRITE_FILE) | TRUNCATE | IOCTL_DEV)

static struct rules rules_of(int version)
{
    struct rules all = {.files = CHANGES | NOBODY | IOCTL_DEV};

    if (version < 3)
        all.files &= ~TRUNCATE;
    if (version < 5)
        all.files &= ~IOCTL_DEV;
    if (version >= 4)
        all.net = NET_TCP;
    if (version >= 6)
        all.scopes = ALL_SCOPES;
    return all;
}

/* ---- rules ----------------------------------------------------------------- */

struct plan {
    int rules;
    uint64_t files; /* what is refused where no rule allows it */
};

/* A pipe or a socket, and memory that was never a file, needs no rule. */
static int allow(const struct plan *plan, int fd, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.parent_fd = fd,
                                              .allowed_access = access & plan->files};
    struct stat stat;

    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISDIR(stat.st_mode))
        rule.allowed_access &= OF_FILES;
    if (S_ISLNK(stat.st_mode) || !rule.allowed_access ||
        syscall(SYS_landlock_add_rule, plan->rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
        return 0;
    return errno == EBADFD ? 0 : -errno;
}

static int allow_path(const struct plan *plan, const char *path, uint64_t access)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    int result = fd < 0 ? -errno : allow(plan, fd, access);

    if (fd >= 0)
        close(fd);
    return result;
}

static int allow_open(const struct plan *plan, int fd)
{
    int flags = fcntl(fd, F_GETFL), mode = flags & O_ACCMODE;
    uint64_t access = IOCTL_DEV;

    if (flags < 0 || flags & O_PATH)
        return 0;
    if (mode != O_WRONLY)
        access |= READS;
    if (mode != O_RDONLY)
        access |= FS(WRITE_FILE) | TRUNCATE;
    return allow(plan, fd, access);
}

static int allow_for_program(void *arg, int fd, enum linux_opening what)
{
    const struct plan *plan = arg;

    switch (what) {
    case LINUX_LISTS:
        return allow(plan, fd, FS(READ_DIR));
    case LINUX_READS:
        return allow(plan, fd, READS);
    case LINUX_CHANGES:
        return allow(plan, fd, CHANGES);
    default:
        return allow_open(plan, fd);
    }
}

/* Where one is missing, what asks for it does without. */
static void allow_own(const struct plan *plan)
{
    static const char *const read[] = {
        "/proc/sys/vm/max_map_count",      /* advice, when mappings run out; a later engine */
        "/proc/sys/kernel/random/boot_id", /* a later engine */
        "/sys/devices/system/clocksource", /* likewise */
        "/sys/devices/system/cpu",         /* the C library counts processors */
    };
    /* Our own, of which a new one is made when nobody has the old one: this descriptor stays. */
    int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (self >= 0)
        (void)allow(plan, self, READS);
    for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++)
        (void)allow_path(plan, read[i], READS);
    (void)allow_path(plan, "/dev/kvm", FS(READ_FILE) | FS(WRITE_FILE) | IOCTL_DEV);
#ifdef FERRY_SANITIZED /* its run-time code writes figures and reports wherever it was told to */
    (void)allow_path(plan, "/", ~0ull);
#endif
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        (void)allow_open(plan, fd);
}

static int allow_all(const struct plan *plan, const char *const *paths, uint64_t access,
                     struct ferry_error *err)
{
    int result = 0;

    for (; paths && *paths && result == 0; paths++) {
        result = allow_path(plan, *paths, access);
        if (result < 0)
            error_set(err, result, "the jail cannot leave '%s' open: %s", *paths,
                      strerror(-result));
    }
    return result;
}

static int allow_vms(struct ferry_engine *engine, struct plan *plan, struct ferry_error *err)
{
    struct linux_opens opens = {.tell = allow_for_program, .arg = plan};
    int result = 0;

    for (uint16_t i = 0; i < ENDPOINTS_MAX && result == 0; i++) {
        const struct endpoint *endpoint = exchange_endpoint(&engine->exchange, i);

        if (!endpoint || !endpoint->vm)
            continue;
        result = linux_tell_opens(endpoint->vm->process->personality, &opens);
        if (result < 0)
            error_set(err, result, "the jail cannot leave the files of VM '%s' open: %s",
                      endpoint->name, strerror(-result));
    }
    return result;
}

int walls_plan(struct ferry_engine *engine, const struct ferry_jail_config *config,
               struct ferry_error *err)
{
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (version < 2) /* 1: nobody moves a file to another directory */
        return -EOPNOTSUPP;
    const struct rules all = rules_of(version);
    struct plan plan = {
        .rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0),
        .files = all.files,
    };
    if (plan.rules < 0)
        return error_set(err, -errno, "cannot make rules for files: %s", strerror(errno));
    allow_own(&plan);
    int result = allow_vms(engine, &plan, err);
    if (result == 0)
        result = allow_all(&plan, config->read_only_paths, READS, err);
    if (result == 0)
        result = allow_all(&plan, config->read_write_paths, CHANGES, err);
    if (result == 0)
        return plan.rules;
    close(plan.rules);
    return result;
}

int walls_close(int rules)
{
    int result = syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;

    close(rules);
    return result;
}
