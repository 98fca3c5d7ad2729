/* SPDX-License-Identifier: BSD-2-Clause */
#include "duo.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vms.h"

/* ---- processes ---------------------------------------------------------- */

int duo_processes(struct duo_cores cores, int (*first)(void *arg), int (*second)(void *arg),
                  void *arg)
{
    int status = 0;
    pid_t child = fork();

    if (child < 0)
        return -errno;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bench_pin(cores.second);
        _exit(-second(arg) & 0xff);
    }
    bench_pin(cores.first);
    int result = first(arg);
    bench_pin(-1);
    if (result < 0)
        kill(child, SIGKILL);
    if (waitpid(child, &status, 0) < 0)
        return -errno;
    if (result == 0 && status != 0)
        result = WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
    return result;
}

/* ---- virtual machines --------------------------------------------------- */

static int build(struct vms *vms, const struct duo_vms *what)
{
    const struct ferry_vm_config config = {.transfer = what->transfer};
    const struct ferry_link_config link = {
        .stream = what->stream, .direct = what->direct, .max_messages = 48};
    const struct ferry_link_config back = {.direct = what->direct, .max_messages = 48};
    const int cores[] = {what->cores.first, what->cores.second};
    int result = 0;

    for (int i = 0; i < 2 && result >= 0; i++)
        result = vms_add(vms, &config, what->vm[i].guest, what->vm[i].words, cores[i]);
    if (result >= 0)
        result = vms_link(vms, 0, 1, &link);
    if (result == 0 && what->two_way)
        result = vms_link(vms, 1, 0, &back);
    if (result == 0)
        result = vms_link(vms, what->reporter, VMS_HOST, NULL);
    return result;
}

int duo_vms(struct bench *bench, const struct duo_vms *what, struct duo_result *out)
{
    const struct ferry_engine_config config = {.polled = what->polled};

    bench_pin(what->polled ? what->cores.second : -1);
    struct vms *vms = vms_new(bench, &config);
    bench_pin(-1);
    if (!vms)
        return -ENODEV;
    int result = build(vms, what);
    if (result == 0)
        result = vms_start(vms);
    if (result == 0)
        result = vms_receive(vms, what->reporter, &out->report, sizeof out->report);
    for (int i = 0; i < 2 && result == 0; i++)
        ferry_vm_stats(vms_at(vms, i), &out->stats[i]);
    vms_free(vms);
    return result;
}
