/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the list of files and links that are made up. */
#include "linux/made.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/objects.h"
#include "linux/processes.h"
#include "linux/state.h"

#define SELF "/proc/self/"

static const struct {
    const char *name, *text;
    void (*write)(struct linux_state *state, FILE *out);
} files[] = {
    /* Programs look up their user and fail where there is none. */
    {"/etc/passwd", "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/home/nobody:/bin/sh\n",
     NULL},
    {"/etc/group", "root:x:0:\nnogroup:x:65534:\n", NULL},
    {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n", NULL},
    {"/etc/hosts", "127.0.0.1 localhost ferry\n::1 localhost ferry\n", NULL},
    {"/etc/hostname", "ferry\n", NULL},
    {"/etc/resolv.conf", "", NULL},
    {"/proc/cpuinfo", NULL, proc_cpuinfo},
    {"/proc/filesystems", "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\n\text4\n", NULL},
    {"/proc/loadavg", "0.00 0.00 0.00 1/1 2\n", NULL},
    {"/proc/meminfo", NULL, proc_meminfo},
    {"/proc/stat", NULL, proc_stat},
    {"/proc/uptime", NULL, proc_uptime},
    {"/proc/version", "Linux version 6.1.0 (ferry) #1 Ferry\n", NULL},
    {"/proc/sys/crypto/fips_enabled", "0\n", NULL},
    {"/proc/sys/fs/file-max", "1024\n", NULL},
    {"/proc/sys/fs/nr_open", "1024\n", NULL},
    {"/proc/sys/fs/pipe-max-size", "1048576\n", NULL},
    {"/proc/sys/kernel/cap_last_cap", "40\n", NULL},
    {"/proc/sys/kernel/hostname", "ferry\n", NULL},
    {"/proc/sys/kernel/ngroups_max", "65536\n", NULL},
    {"/proc/sys/kernel/osrelease", "6.1.0\n", NULL},
    {"/proc/sys/kernel/ostype", "Linux\n", NULL},
    {"/proc/sys/kernel/pid_max", "32768\n", NULL},
    {"/proc/sys/kernel/random/uuid", NULL, proc_uuid},
    {"/proc/sys/kernel/threads-max", "32768\n", NULL},
    {"/proc/sys/kernel/version", "#1 Ferry\n", NULL},
    {"/proc/sys/vm/max_map_count", "65530\n", NULL},
    {"/proc/sys/vm/mmap_min_addr", "65536\n", NULL},
    {"/proc/sys/vm/overcommit_memory", "0\n", NULL},
    {SELF "auxv", NULL, proc_auxv},
    {SELF "cgroup", "0::/\n", NULL},
    {SELF "cmdline", NULL, proc_cmdline},
    {SELF "comm", NULL, proc_comm},
    {SELF "environ", NULL, proc_environ},
    {SELF "fdinfo/", NULL, proc_descriptor}, /* with a number: numbered.c */
    {SELF "limits", NULL, proc_limits},
    {SELF "maps", NULL, proc_maps},
    {SELF "mountinfo", NULL, proc_mountinfo},
    {SELF "mounts", NULL, proc_mounts},
    {SELF "oom_score_adj", "0\n", NULL},
    {SELF "stat", NULL, proc_self_stat},
    {SELF "statm", NULL, proc_statm},
    {SELF "status", NULL, proc_status},
    {"/sys/devices/system/cpu/kernel_max", "8191\n", NULL},
    {"/sys/devices/system/cpu/online", NULL, proc_processors},
    {"/sys/devices/system/cpu/possible", NULL, proc_processors},
    {"/sys/devices/system/cpu/present", NULL, proc_processors},
    {"/sys/devices/system/node/node0/cpulist", NULL, proc_processors},
    {"/sys/devices/system/node/node0/cpumap", NULL, proc_processor_map},
    {"/sys/devices/system/node/node0/meminfo", NULL, proc_node_meminfo},
    {"/sys/devices/system/node/online", "0\n", NULL},
    {"/sys/devices/system/node/possible", "0\n", NULL},
    {"/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n", NULL},
    {"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "2097152\n", NULL},
};
#define FILES (sizeof(files) / sizeof(files[0]))
_Static_assert(FILES <= MADE_FILES, "each has a place in linux_state");

/* NULL: the program's file, its working directory, the directory of the thread. */
static const struct {
    const char *name, *target;
} links[] = {
    {"/proc/mounts", "/proc/self/mounts"},
    {"/proc/thread-self", NULL},
    {SELF "cwd", NULL},
    {SELF "exe", NULL},
    {SELF "root", "/"},
};
#define LINKS (sizeof(links) / sizeof(links[0]))

int made_find(const char *path)
{
    for (unsigned i = 0; i < FILES; i++) {
        if (strcmp(files[i].name, path) == 0)
            return (int)i;
    }
    return -1;
}

int made_link(const struct linux_state *state, const char *path, char *target, size_t bytes)
{
    const struct linux_state *of = numbered_process(state, path, &path);
    char own[64];

    if (of == state && !*path)
        return snprintf(target, bytes, "/proc/self");
    if (of) {
        snprintf(own, sizeof(own), "/proc/self%s", path);
        return made_link(of, own, target, bytes);
    }
    for (unsigned i = 0; i < LINKS; i++) {
        const char *text = links[i].target;

        if (strcmp(links[i].name, path) != 0)
            continue;
        if (strcmp(path, "/proc/thread-self") == 0)
            return snprintf(target, bytes, SELF "task/%d", state->thread->id);
        if (!text)
            text = strcmp(path, SELF "cwd") == 0 ? state->cwd : state->program;
        return text ? snprintf(target, bytes, "%s", text) : -ENOENT;
    }
    return -ENOENT;
}

const char *made_name(unsigned i, bool *is_link)
{
    *is_link = i >= FILES;
    if (i < FILES)
        return files[i].name;
    return i - FILES < LINKS ? links[i - FILES].name : NULL;
}

/* From here on nobody changes it, by a mapping either: runs of a program, and copies of a VM, share it. */
static int seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) ? -errno : 0;
}

static int make_file(const char *text, size_t bytes)
{
    int fd = memfd_create("ferry-made", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -EMFILE;
    if (write(fd, text, bytes) != (ssize_t)bytes || fchmod(fd, 0444)) {
        close(fd);
        return -ENOMEM;
    }
    return fd;
}

/* Where text goes that may be as long as a program likes, as that of a list of mappings. */
struct text {
    struct linux_state *state;
    int fd;
    size_t bytes;
};

/* Charges what it writes. Nothing is written for a VM that is to stop. */
static ssize_t write_text(void *arg, const char *from, size_t bytes)
{
    struct text *text = arg;

    if (vm_stopping(text->state->vm) || object_charge(text->state, bytes))
        return 0;
    text->bytes += bytes;
    return write(text->fd, from, bytes) == (ssize_t)bytes ? (ssize_t)bytes : 0;
}

/* Of another process, whose memory is looked at; what the text takes is charged to who asks. */
static void write_of(struct linux_state *state, struct linux_state *of, unsigned which, FILE *out)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *apart = open_memstream(&text, &bytes);

    if (!apart)
        return;
    vm_look_at_process(state->vm, of);
    files[which].write(of, apart);
    vm_look_at_process(state->vm, state);
    if (fclose(apart) == 0)
        fwrite(text, 1, bytes, out);
    free(text);
}

static int write_file(struct linux_state *state, struct linux_state *of, unsigned which,
                      size_t *charged)
{
    struct text text = {.state = state, .fd = make_file("", 0)};
    FILE *out =
        text.fd < 0 ? NULL : fopencookie(&text, "w", (cookie_io_functions_t){.write = write_text});
    bool complete = false;

    if (text.fd >= 0 && files[which].write == proc_comm)
        fchmod(text.fd, 0644);
    if (out) {
        if (of == state)
            files[which].write(state, out);
        else
            write_of(state, of, which, out);
        complete = !ferror(out);
        complete = fclose(out) == 0 && complete && !seal(text.fd);
    }
    *charged = text.bytes;
    if (complete || text.fd < 0)
        return text.fd;
    close(text.fd);
    object_uncharge(state, text.bytes);
    return -ENOMEM;
}

/* A file without a number is of the first thread. */
static uint64_t thread_of(const struct linux_state *state, uint64_t number)
{
    return number >> 16 ? (number >> 16) - 1 : (uint64_t)state->pid;
}

/* Numbers of descriptors are the own process's. */
static struct linux_state *process_of(struct linux_state *state, uint64_t number)
{
    int32_t id = (int32_t)thread_of(state, number);
    struct linux_state *of =
        files[number & 0xffff].write == proc_descriptor || thread_find(state, id)
            ? state
            : process_find(state, id);

    return of ? of : state;
}

bool made_names_thread(const struct linux_state *state, uint64_t which, int32_t *thread)
{
    *thread = (int32_t)thread_of(state, which);
    return files[which & 0xffff].write == proc_comm;
}

/* One that never changes is made when it is first asked for, and one file from then on, as programs
 * see by its number. */
int made_open(struct linux_state *state, uint64_t number, size_t *charged)
{
    unsigned which = number & 0xffff;
    struct linux_state *of = process_of(state, number);
    int fd;

    *charged = 0;
    of->told = thread_of(state, number);
    if (files[which].write)
        return write_file(state, of, which, charged);
    if (!state->common->made[which]) {
        fd = make_file(files[which].text, strlen(files[which].text));
        if (fd < 0)
            return fd;
        if (seal(fd)) {
            close(fd);
            return -ENOMEM;
        }
        state->common->made[which] = fd + 1;
    }
    fd = fcntl(state->common->made[which] - 1, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -EMFILE : fd;
}

void made_fini(struct linux_state *state)
{
    for (unsigned i = 0; i < MADE_FILES; i++) {
        if (state->common->made[i])
            close(state->common->made[i] - 1);
    }
}
