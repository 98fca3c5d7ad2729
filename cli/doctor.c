/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `ferry doctor`: what this machine offers, one line for each thing, and the
 * line to type for each thing missing.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include <ferry/ferry.h>

#include "cache.h"
#include "command.h"

#define KVM_DEVICE "/dev/kvm"
#define KVM_API    12

/* Linux's own default. Each extent handed over can split a mapping, so a
 * machine that lowered it can run out. */
#define MAP_COUNT_WANTED 65530

static void line(bool ok, const char *what, const char *found)
{
    printf("%-8s %-22s %s\n", ok ? "ok" : "missing", what, found);
}

/* Whether there is such a command, also in the directories that only root has in PATH. */
static bool have(const char *command)
{
    static const char *const others[] = {"/usr/sbin", "/sbin", "/usr/local/sbin"};
    char *found = g_find_program_in_path(command);

    for (size_t i = 0; !found && i < G_N_ELEMENTS(others); i++) {
        found = g_build_filename(others[i], command, NULL);
        if (access(found, X_OK) != 0)
            g_clear_pointer(&found, g_free);
    }
    g_free(found);
    return found != NULL;
}

/* The line that runs this command in a shell as root, for a user who is root or may become root. */
static void remedy(const char *command, const char *note)
{
    bool simple = !strchr(command, '>');

    printf("%-8s ", "");
    if (geteuid() == 0)
        printf("type: %s", command);
    else if (have("sudo"))
        printf(simple ? "type: sudo %s" : "type: sudo sh -c \"%s\"", command);
    else if (have("su"))
        printf("type: su -c \"%s\"", command);
    else
        printf("as root type: %s", command);
    printf("%s\n", note);
}

/* The way to get the right to /dev/kvm depends on which group has it. */
static void remedy_rights(void)
{
    struct stat st;
    char text[160];

    if (stat(KVM_DEVICE, &st) == 0 && st.st_gid != 0 && (st.st_mode & 0060) == 0060) {
        const struct group *group = getgrgid(st.st_gid);

        if (group && have("usermod")) {
            snprintf(text, sizeof(text), "usermod -aG %s $USER", group->gr_name);
            remedy(text, "   (then log in again)");
            return;
        }
    }
    remedy(have("setfacl") ? "setfacl -m u:$USER:rw " KVM_DEVICE : "chmod o+rw " KVM_DEVICE, "");
}

/* The module of this processor. */
static void remedy_module(void)
{
    char *text = NULL;
    bool intel = g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL) &&
                 strstr(text, "GenuineIntel") != NULL;

    if (have("modprobe"))
        remedy(intel ? "modprobe kvm_intel" : "modprobe kvm_amd", "");
    g_free(text);
    printf("%-8s %sswitch virtualisation on in the firmware;\n"
           "%-8s in a virtual machine, nested virtualisation in its hypervisor;\n"
           "%-8s in a container, let it have the device " KVM_DEVICE "\n",
           "", have("modprobe") ? "if that fails: " : "", "", "");
}

/* Returns whether KVM can be used. */
static bool check_kvm(const struct ferry_machine *m)
{
    char text[160];
    struct stat st;
    bool present = stat(KVM_DEVICE, &st) == 0 && m->kvm_errno != ENOENT && m->kvm_errno != ENODEV &&
                   m->kvm_errno != ENXIO;

    line(present, "KVM", present ? KVM_DEVICE : "no working " KVM_DEVICE);
    if (!present) {
        remedy_module();
        return false;
    }
    if (m->kvm_errno != 0) {
        line(false, "right to use KVM", strerror(m->kvm_errno));
        if (m->kvm_errno == EACCES || m->kvm_errno == EPERM)
            remedy_rights();
        return false;
    }
    line(true, "right to use KVM", "yes");
    snprintf(text, sizeof(text), "%d%s", m->kvm_api, m->kvm_api == KVM_API ? "" : ", 12 is needed");
    line(m->kvm_api == KVM_API, "KVM API", text);
    return m->kvm_api == KVM_API;
}

static void check_memory(const struct ferry_machine *m)
{
    char text[160];
    bool enough = m->max_map_count >= MAP_COUNT_WANTED;

    line(m->huge, "huge pages in a memfd", m->huge ? "yes" : "no: it works, but slower");
    if (!m->huge)
        remedy("echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled", "");
    snprintf(text, sizeof(text), "%ld%s", m->max_map_count,
             enough ? "" : ": long pipelines may run out of mappings");
    line(enough, "vm.max_map_count", text);
    if (!enough) {
        snprintf(text, sizeof(text),
                 have("sysctl") ? "sysctl vm.max_map_count=%d"
                                : "echo %d > /proc/sys/vm/max_map_count",
                 MAP_COUNT_WANTED);
        remedy(text, "");
    }
}

static void measured(const char *what, uint64_t ns)
{
    if (ns != 0)
        printf("%-8s %-22s %.1f us\n", "measured", what, (double)ns / 1e3);
    else
        printf("%-8s %-22s not measured\n", "-", what);
}

static void print_costs(const struct ferry_machine *m)
{
    char text[80];

    measured("VM exit", m->exit_ns);
    measured("hand-over of 2 MiB", m->handover_ns);
    measured("first touch of 2 MiB", m->touch_ns);
    measured("copy of 2 MiB", m->copy_ns);
    if (m->copy_ns == 0)
        return;
    snprintf(text, sizeof(text), "copying takes %.3f us per KiB, a loan %.1f us",
             (double)m->copy_ns / 2048 / 1e3, (double)(m->handover_ns + 2 * m->touch_ns) / 1e3);
    printf("%-8s %-22s %s\n", "", "", text);
    if (m->huge)
        printf("%-8s %-22s payloads up to %" PRIu64 " KiB are copied, longer ones handed over\n",
               "measured", "crossover", m->crossover_bytes / 1024);
    else
        printf("%-8s %-22s none without huge pages: copying is always cheaper\n", "-", "crossover");
}

/* The other commands use the figures kept there, and measure only if these do not fit. */
static void keep_costs(const struct ferry_machine *m)
{
    char *path = cache_path();
    uint64_t held = 0;

    if (m->copy_ns != 0 && !path) {
        printf("%-8s %-22s not kept: no XDG_CACHE_HOME or HOME that can be used\n", "-",
               "crossover");
    } else if (m->copy_ns != 0) {
        int result = ferry_machine_keep(m, path, &held);

        printf("%-8s %-22s ", result == 0 ? "kept" : "-", "crossover");
        if (result != 0)
            printf("not kept in %s: %s\n", path,
                   m->unsure ? "the machine was too busy to be sure; try again later"
                             : strerror(-result));
        else if (held != 0)
            printf("%" PRIu64 " KiB in place of %" PRIu64 " KiB, in %s\n",
                   m->crossover_bytes / 1024, held / 1024, path);
        else
            printf("%" PRIu64 " KiB, in %s\n", m->crossover_bytes / 1024, path);
    }
    g_free(path);
}

static void print_verdict(bool usable)
{
    if (usable) {
        printf("Ferry can run here.\n");
        return;
    }
    printf("Ferry cannot run here yet. There are two ways on:\n"
           "  1. make KVM usable, as said above;\n"
           "  2. run Ferry in an emulated machine, slow but complete, without KVM and its rights:\n"
           "     in Ferry's source%s type: %s, then lab/run -- ferry run busybox uname -a\n",
           have("make") ? ", 'make demo' and 'make check' do so by themselves,\n     and" : "",
           have("make") ? "make lab" : "scripts/setup --lab");
}

/* --help and --version only. Returns 1: go on. */
static int parse(int argc, char **argv, int *status)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };

    opterr = 0;
    switch (getopt_long(argc, argv, "+hV", options, NULL)) {
    case 'h':
        *status = help_print(argv[0]);
        return 0;
    case 'V':
        *status = version_print();
        return 0;
    case -1:
        if (optind == argc)
            return 1;
        break;
    }
    say("doctor: takes no '%s'; see 'ferry doctor --help'", argv[argc - 1]);
    *status = STATUS_USAGE;
    return 0;
}

int command_doctor(int argc, char **argv)
{
    struct ferry_machine machine;
    int status;

    if (!parse(argc, argv, &status))
        return status;
    ferry_machine_probe(&machine);
    bool usable = check_kvm(&machine);

    check_memory(&machine);
    print_costs(&machine);
    keep_costs(&machine);
    print_verdict(usable);
    if (fflush(stdout) != 0) {
        say("cannot write to standard output: %s", strerror(errno));
        return STATUS_IO;
    }
    return usable ? 0 : 1;
}
