/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The jail: what the VMM may still ask of the kernel once guests run. It is for one who has taken the
 * VMM over, so nothing of it can be undone, and nothing is left that would have to be trusted then: no
 * handler that names a forbidden call (the kernel's audit log does), no second process.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/engine.h"
#include "ipc/endpoint.h"
#include "jail/filter.h"
#include "jail/walls.h"
#include "lib/capabilities.h"
#include "lib/error.h"
#include "lib/sized.h"
#include "linux/linux.h"
#include "vm/vm.h"

/* What root needs of its capabilities for the files of others that it named. */
#define FILES_OF_OTHERS (1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER | 1ull << CAP_FSETID)

/* Directories in memory are a file system, and who may make one may do too much. Where there
 * is none, the program learns it when it looks into one. */
static int prepare_vms(struct ferry_engine *engine, const struct ferry_jail_config *config,
                       struct ferry_error *err)
{
    uint32_t uid = config->change_user ? config->uid : geteuid();
    uint32_t gid = config->change_user ? config->gid : getegid();

    for (uint16_t i = 0; i < ENDPOINTS_MAX; i++) {
        const struct endpoint *endpoint = exchange_endpoint(&engine->exchange, i);
        struct ferry_vm *vm = endpoint ? endpoint->vm : NULL;

        if (!vm)
            continue;
        if (vm_is_started(vm))
            return error_set(err, -EBUSY, "VM '%s' has been started: the jail comes before",
                             endpoint->name);
        linux_prepare_memory(vm->process->personality, uid, gid);
    }
    return 0;
}

static int explain(struct ferry_error *err, int result)
{
    return error_set(err, result, "cannot give up rights for the jail: %s", strerror(-result));
}

/* What asks for it is refused there by EINVAL. The kernel refuses it never, the filter of somebody else may. */
static int refuse_second(struct ferry_error *err)
{
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) >= 0)
        return 0;
    if (errno == EINVAL)
        return error_set(err, -EALREADY, "this process is in the jail already");
    return explain(err, -errno);
}

static int no_core(void)
{
    const struct rlimit none = {0, 0};

    return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

/* Whoever started us may have made all memory that can be read executable. */
static void forbid_code_by_reading(void)
{
    int now = personality(0xffffffff);

    if (now >= 0 && now & READ_IMPLIES_EXEC)
        personality((unsigned long)now & ~(unsigned long)READ_IMPLIES_EXEC);
}

/* The memory of the process, which holds that of all guests, goes neither into a core nor to a debugger
 * of the same user. A leak check of a sanitizer is such a debugger. */
static int hide(void)
{
#ifdef FERRY_SANITIZED
    return 0;
#else
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
#endif
}

/* The C library does so for all threads. The kernel drops the capabilities of a root that becomes
 * another user. */
static int change_user(const struct ferry_jail_config *config, struct ferry_error *err)
{
    if (config->change_user &&
        (setgroups(0, NULL) || setresgid(config->gid, config->gid, config->gid) ||
         setresuid(config->uid, config->uid, config->uid)))
        return error_set(err, -errno, "cannot become user %u: %s", config->uid, strerror(errno));
    return 0;
}

static int give_up_capabilities(const struct ferry_jail_config *config, struct ferry_error *err)
{
    uint64_t keep = config->files_of_others ? FILES_OF_OTHERS : 0;

    capabilities_bound(keep);
    int result = change_user(config, err);
    if (result < 0)
        return result;
    result = capabilities_keep(keep);
    return result < 0 ? explain(err, result) : 0;
}

/* Where the kernel has none, the rest of the jail stands without. */
static int wall_in(struct ferry_engine *engine, int rules, struct ferry_error *err)
{
    if (rules < 0) {
        engine_log(engine, FERRY_LOG_INFO,
                   "no walls around files: this kernel has no Landlock, or one that is too old");
        return 0;
    }
    int result = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : walls_close(rules);
    return result < 0 ? explain(err, result) : 0;
}

/* A thread has capabilities and walls of its own, so those of the engine begin anew, without the first and
 * within the others. */
static int give_up(struct ferry_engine *engine, const struct ferry_jail_config *config,
                   struct ferry_error *err)
{
    bool any = capabilities_any();
    int rules = walls_plan(engine, config, err);

    if (rules < 0 && rules != -EOPNOTSUPP)
        return rules;
    int result = give_up_capabilities(config, err);
    if (result == 0)
        result = wall_in(engine, rules, err);
    else if (rules >= 0)
        close(rules);
    if (result == 0 && (any || rules >= 0))
        result = engine_restart_threads(engine, err);
    return result;
}

static int close_in(struct ferry_error *err)
{
    int result = no_core();

    forbid_code_by_reading();
    if (result == 0)
        result = hide();
    if (result == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        result = -errno;
    if (result < 0)
        return explain(err, result);
    result = filter_install();
    if (result < 0)
        return error_set(err, result, "cannot filter system calls for the jail: %s%s",
                         strerror(-result),
                         result == -EBUSY ? "; a thread has a filter of its own" : "");
    return 0;
}

int ferry_jail_sized(struct ferry_engine *engine, const struct ferry_jail_config *config,
                     size_t config_bytes, struct ferry_error *err)
{
    struct ferry_jail_config own = {0};
    int result = config ? sized_take(&own, sizeof own, FIRST_JAIL_CONFIG, config, config_bytes) : 0;

    if (result < 0)
        return sized_explain(err, result, "ferry_jail_config");
    result = refuse_second(err);
    if (result == 0)
        result = prepare_vms(engine, &own, err);
    if (result == 0)
        result = give_up(engine, &own, err);
    return result < 0 ? result : close_in(err);
}
