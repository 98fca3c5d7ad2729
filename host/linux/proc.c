/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what the files of /proc and /sys say: figures of the VM in the words of Linux. */
#include <cpuid.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "linux/made.h"
#include "linux/processes.h"
#include "linux/state.h"

#define KIB   1024
#define PAGE  4096
#define TICKS 100 /* a second has so many in these files */

/* ---- memory -------------------------------------------------------------- */

static uint64_t used_bytes(struct linux_state *state)
{
    return vm_space(state->vm)->used_bytes;
}

static uint64_t free_bytes(struct linux_state *state)
{
    uint64_t used = used_bytes(state);

    return used < state->memory_bytes ? state->memory_bytes - used : 0;
}

void proc_meminfo(struct linux_state *state, FILE *out)
{
    uint64_t free_kib = free_bytes(state) / KIB;

    fprintf(out,
            "MemTotal:       %8" PRIu64 " kB\nMemFree:        %8" PRIu64
            " kB\nMemAvailable:   %8" PRIu64 " kB\n",
            state->memory_bytes / KIB, free_kib, free_kib);
    fputs("Buffers:               0 kB\nCached:                0 kB\nSwapCached:            0 kB\n"
          "SwapTotal:             0 kB\nSwapFree:              0 kB\nShmem:                 0 kB\n"
          "HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n",
          out);
}

void proc_node_meminfo(struct linux_state *state, FILE *out)
{
    fprintf(out, "Node 0 MemTotal: %8" PRIu64 " kB\nNode 0 MemFree:  %8" PRIu64 " kB\n",
            state->memory_bytes / KIB, free_bytes(state) / KIB);
}

/* The addresses that are mapped, all told. */
static uint64_t mapped_bytes(struct linux_state *state)
{
    const struct space *space = vm_space(state->vm);
    uint64_t bytes = 0;

    for (size_t i = 0; i < space->count; i++)
        bytes += space->regions[i].end - space->regions[i].start;
    return bytes;
}

void proc_statm(struct linux_state *state, FILE *out)
{
    uint64_t used = used_bytes(state) / PAGE;

    fprintf(out, "%" PRIu64 " %" PRIu64 " 0 0 0 %" PRIu64 " 0\n", mapped_bytes(state) / PAGE, used,
            used);
}

/* ---- processors and time ------------------------------------------------- */

void proc_processors(struct linux_state *state, FILE *out)
{
    unsigned count = processors_count(state);

    if (count == 1)
        fputs("0\n", out);
    else
        fprintf(out, "0-%u\n", count - 1);
}

/* In words of 32 bits, the highest first. */
void proc_processor_map(struct linux_state *state, FILE *out)
{
    unsigned count = processors_count(state), words = (count + 31) / 32;
    uint32_t first = UINT32_MAX >> (32 * words - count);

    fprintf(out, "%" PRIx32, first);
    for (unsigned i = 1; i < words; i++)
        fputs(",ffffffff", out);
    fputc('\n', out);
}

/* The flags that programs look for, by leaf (1 or 7), register and bit. */
static const struct {
    const char *name;
    uint8_t leaf, from, bit;
} cpu_flags[] = {
    {"fpu", 1, 3, 0},     {"tsc", 1, 3, 4},       {"cx8", 1, 3, 8},      {"cmov", 1, 3, 15},
    {"mmx", 1, 3, 23},    {"fxsr", 1, 3, 24},     {"sse", 1, 3, 25},     {"sse2", 1, 3, 26},
    {"pni", 1, 2, 0},     {"pclmulqdq", 1, 2, 1}, {"ssse3", 1, 2, 9},    {"fma", 1, 2, 12},
    {"cx16", 1, 2, 13},   {"sse4_1", 1, 2, 19},   {"sse4_2", 1, 2, 20},  {"movbe", 1, 2, 22},
    {"popcnt", 1, 2, 23}, {"aes", 1, 2, 25},      {"xsave", 1, 2, 26},   {"avx", 1, 2, 28},
    {"f16c", 1, 2, 29},   {"rdrand", 1, 2, 30},   {"bmi1", 7, 1, 3},     {"avx2", 7, 1, 5},
    {"bmi2", 7, 1, 8},    {"erms", 7, 1, 9},      {"avx512f", 7, 1, 16}, {"rdseed", 7, 1, 18},
    {"adx", 7, 1, 19},    {"sha_ni", 7, 1, 29},   {"gfni", 7, 2, 8},     {"vaes", 7, 2, 9},
};

static void put_flags(FILE *out)
{
    uint32_t leaf_1[4] = {0}, leaf_7[4] = {0};

    __get_cpuid(1, &leaf_1[0], &leaf_1[1], &leaf_1[2], &leaf_1[3]);
    __get_cpuid_count(7, 0, &leaf_7[0], &leaf_7[1], &leaf_7[2], &leaf_7[3]);
    fputs("flags\t\t:", out);
    for (size_t i = 0; i < sizeof(cpu_flags) / sizeof(cpu_flags[0]); i++) {
        const uint32_t *leaf = cpu_flags[i].leaf == 1 ? leaf_1 : leaf_7;

        if (leaf[cpu_flags[i].from] >> cpu_flags[i].bit & 1)
            fprintf(out, " %s", cpu_flags[i].name);
    }
    fputs(" syscall nx lm\n", out);
}

/* The processor that the program itself sees by the instruction CPUID. */
void proc_cpuinfo(struct linux_state *state, FILE *out)
{
    uint32_t r[12] = {0}, signature = 0, unused;
    unsigned count = processors_count(state);
    char vendor[13] = "", model[49] = "";

    if (__get_cpuid(0, &unused, &r[0], &r[2], &r[1]))
        memcpy(vendor, r, 12);
    __get_cpuid(1, &signature, &unused, &unused, &unused);
    for (uint32_t i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    memcpy(model, r, 48);
    for (unsigned i = 0; i < count; i++) {
        fprintf(out, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", i,
                vendor, (signature >> 8 & 15) + (signature >> 20 & 255),
                (signature >> 4 & 15) | (signature >> 12 & 0xf0));
        fprintf(out, "model name\t: %s\nstepping\t: %u\nphysical id\t: 0\nsiblings\t: %u\n", model,
                signature & 15, count);
        fprintf(out, "core id\t\t: %u\ncpu cores\t: %u\n", i, count);
        put_flags(out);
        fputc('\n', out);
    }
}

static uint64_t ticks_of(uint64_t nanoseconds)
{
    return nanoseconds / (1000000000 / TICKS);
}

void proc_stat(struct linux_state *state, FILE *out)
{
    uint64_t ticks = ticks_of(vm_cpu_ns(state->vm));

    fprintf(out, "cpu  %" PRIu64 " 0 0 0 0 0 0 0 0 0\n", ticks);
    for (unsigned i = 0; i < processors_count(state); i++)
        fprintf(out, "cpu%u %" PRIu64 " 0 0 0 0 0 0 0 0 0\n", i, i ? 0 : ticks);
    fprintf(out, "ctxt 0\nbtime %lld\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n",
            (long long)state->started.tv_sec);
}

void proc_uptime(struct linux_state *state, FILE *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    fprintf(out, "%lld.00 0.00\n",
            now.tv_sec > state->started.tv_sec ? (long long)(now.tv_sec - state->started.tv_sec)
                                               : 0);
}

/* ---- the process --------------------------------------------------------- */

void proc_cmdline(struct linux_state *state, FILE *out)
{
    fwrite(state->arguments.text, 1, state->arguments.bytes, out);
}

void proc_environ(struct linux_state *state, FILE *out)
{
    fwrite(state->environment.text, 1, state->environment.bytes, out);
}

/* The thread that the file is about. */
static const struct linux_thread *told(struct linux_state *state)
{
    const struct linux_thread *thread = thread_find(state, (int32_t)state->told);

    return thread ? thread : state->thread;
}

void proc_comm(struct linux_state *state, FILE *out)
{
    fprintf(out, "%.*s\n", TASK_NAME_BYTES, told(state)->task.name);
}

static unsigned count_threads(const struct linux_state *state)
{
    unsigned count = 0;

    for (const struct linux_thread *thread = state->threads; thread; thread = thread->next)
        count++;
    return count;
}

/* Fields that have no meaning here are 0, as for a process of another user. */
void proc_self_stat(struct linux_state *state, FILE *out)
{
    fprintf(out,
            "%d (%.*s) %c %d %d %d 0 -1 4194304 0 0 0 0 %" PRIu64 " 0 %" PRIu64 " 0 20 0 %u 0 0 ",
            told(state)->id, TASK_NAME_BYTES, told(state)->task.name, state->stopped ? 'T' : 'R',
            process_parent(state), state->group, state->session, ticks_of(cpu_clock_ns(state, 0)),
            ticks_of(state->children.cpu_ns), count_threads(state));
    fprintf(out,
            "%" PRIu64 " %" PRIu64 " 18446744073709551615 0 0 %" PRIu64 " 0 0 %" PRIu64
            " 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
            mapped_bytes(state), used_bytes(state) / PAGE, state->stack_top,
            state->signals.list.pending);
}

static void put_signals(struct linux_state *state, FILE *out)
{
    const struct thread_signals *signals = &told(state)->signals;
    uint64_t ignored = 0, caught = 0;

    for (unsigned i = 0; i < SIGNALS; i++) {
        ignored |= (uint64_t)(state->signals.actions[i].handler == 1) << i;
        caught |= (uint64_t)(state->signals.actions[i].handler > 1) << i;
    }
    fprintf(out,
            "SigQ:\t%u/%d\nSigPnd:\t%016" PRIx64 "\nShdPnd:\t%016" PRIx64 "\nSigBlk:\t%016" PRIx64
            "\nSigIgn:\t%016" PRIx64 "\nSigCgt:\t%016" PRIx64 "\n",
            state->signals.queued, QUEUED_SIGNALS_MAX, signals->list.pending,
            state->signals.list.pending, signals->blocked, ignored, caught);
}

void proc_status(struct linux_state *state, FILE *out)
{
    uint64_t size = mapped_bytes(state) / KIB, used = used_bytes(state) / KIB;

    fprintf(out, "Name:\t%.*s\nUmask:\t%04o\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n",
            TASK_NAME_BYTES, told(state)->task.name, state->umask,
            state->stopped ? "T (stopped)" : "R (running)", state->pid, told(state)->id);
    fprintf(out, "PPid:\t%d\nTracerPid:\t0\nUid:\t%d\t%d\t%d\t%d\nGid:\t%d\t%d\t%d\t%d\n",
            process_parent(state), LINUX_USER, LINUX_USER, LINUX_USER, LINUX_USER, LINUX_USER,
            LINUX_USER, LINUX_USER, LINUX_USER);
    fprintf(out,
            "FDSize:\t%u\nGroups:\t\nVmPeak:\t%8" PRIu64 " kB\nVmSize:\t%8" PRIu64
            " kB\nVmLck:\t       0 kB\nVmHWM:\t%8" PRIu64 " kB\nVmRSS:\t%8" PRIu64 " kB\n",
            DESCRIPTORS_MAX, size, size, used, used);
    fprintf(out, "VmSwap:\t       0 kB\nThreads:\t%u\n", count_threads(state));
    put_signals(state, out);
    fprintf(out,
            "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
            "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t%d\nSeccomp:\t0\n"
            "Cpus_allowed:\t",
            told(state)->task.no_new_privileges);
    proc_processor_map(state, out);
    fputs("Cpus_allowed_list:\t", out);
    proc_processors(state, out);
    fputs("Mems_allowed:\t1\nMems_allowed_list:\t0\n", out);
}

/* As far as it is known here without asking the file system. */
void proc_descriptor(struct linux_state *state, FILE *out)
{
    const struct descriptor *descriptor = &state->descriptors[state->told % DESCRIPTORS_MAX];
    struct stat stat = {0};

    if (!descriptor->file)
        return;
    if (file_is_stream(descriptor->file))
        file_stat(state, descriptor->file, &stat);
    fprintf(out, "pos:\t%lld\nflags:\t0%o\nmnt_id:\t20\nino:\t%llu\n",
            file_is_stream(descriptor->file) ? 0ll : (long long)file_position(descriptor->file),
            (unsigned)descriptor->file->status | (descriptor->close_on_exec ? O_CLOEXEC : 0u),
            (unsigned long long)stat.st_ino);
}

static void put_limit(FILE *out, rlim_t limit)
{
    if (limit == RLIM_INFINITY)
        fprintf(out, "%-21s", "unlimited");
    else
        fprintf(out, "%-21" PRIu64, (uint64_t)limit);
}

void proc_limits(struct linux_state *state, FILE *out)
{
    static const struct {
        int which;
        const char *name, *unit;
    } rows[] = {
        {RLIMIT_CPU, "Max cpu time", "seconds"},        {RLIMIT_FSIZE, "Max file size", "bytes"},
        {RLIMIT_DATA, "Max data size", "bytes"},        {RLIMIT_STACK, "Max stack size", "bytes"},
        {RLIMIT_CORE, "Max core file size", "bytes"},   {RLIMIT_RSS, "Max resident set", "bytes"},
        {RLIMIT_NPROC, "Max processes", "processes"},   {RLIMIT_NOFILE, "Max open files", "files"},
        {RLIMIT_MEMLOCK, "Max locked memory", "bytes"}, {RLIMIT_AS, "Max address space", "bytes"},
    };

    fprintf(out, "%-26s%-21s%-21s%s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fprintf(out, "%-26s", rows[i].name);
        put_limit(out, state->limits[rows[i].which].rlim_cur);
        put_limit(out, state->limits[rows[i].which].rlim_max);
        fprintf(out, "%s\n", rows[i].unit);
    }
}

/* ---- others -------------------------------------------------------------- */

/* A path as mount tables have it: blanks and backslashes by their octal numbers. */
static void put_path(FILE *out, const char *path)
{
    for (; *path; path++) {
        if (strchr(" \t\n\\", *path))
            fprintf(out, "\\%03o", (unsigned char)*path);
        else
            fputc(*path, out);
    }
}

static const char *rights_of(const struct mount *mount)
{
    return mount->writable ? "rw,nosuid,nodev" : "ro,nosuid,nodev";
}

static const char *type_of(const struct mount *mount)
{
    return mount->kind == MOUNT_PRIVATE ? "tmpfs" : "ext4";
}

void proc_mounts(struct linux_state *state, FILE *out)
{
    for (size_t i = 0; i < state->common->view.count; i++) {
        fputs("ferry ", out);
        put_path(out, state->common->view.mounts[i].path);
        fprintf(out, " %s %s 0 0\n", type_of(&state->common->view.mounts[i]),
                rights_of(&state->common->view.mounts[i]));
    }
    fputs("proc /proc proc ro,nosuid,nodev,noexec 0 0\nsysfs /sys sysfs "
          "ro,nosuid,nodev,noexec 0 0\n",
          out);
}

void proc_mountinfo(struct linux_state *state, FILE *out)
{
    size_t count = state->common->view.count;

    for (size_t i = 0; i < count; i++) {
        const char *rights = rights_of(&state->common->view.mounts[i]);

        fprintf(out, "%zu 1 0:%zu / ", 20 + i, 20 + i);
        put_path(out, state->common->view.mounts[i].path);
        fprintf(out, " %s - %s ferry %.2s\n", rights, type_of(&state->common->view.mounts[i]),
                rights);
    }
    fprintf(out, "%zu 1 0:14 / /proc ro,nosuid,nodev,noexec - proc proc ro\n", 20 + count);
    fprintf(out, "%zu 1 0:15 / /sys ro,nosuid,nodev,noexec - sysfs sysfs ro\n", 21 + count);
}

void proc_uuid(struct linux_state *state, FILE *out)
{
    uint8_t b[16] = {0};

    (void)state;
    if (getrandom(b, sizeof(b), 0) != sizeof(b))
        return;
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    for (size_t i = 0; i < sizeof(b); i++)
        fprintf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    fputc('\n', out);
}
