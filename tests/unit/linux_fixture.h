/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pretended VM for tests of the personality: real program memory without
 * KVM, streams that are buffers, and a clock that nobody waits for.
 */
#ifndef FERRY_TESTS_LINUX_FIXTURE_H
#define FERRY_TESTS_LINUX_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>

#include <linux/kvm.h>

#include "kvm/guest_tables.h"
#include "linux/linux.h"
#include "linux/vm_linux.h"
#include "program/space.h"

#define PAGE        4096ull
#define MIB         (1ull << 20)
#define HEAP_START  0x500000ull
#define SCRATCH     0x10000000ull /* program memory that tests put arguments into */
#define SCRATCH_END (SCRATCH + 64 * PAGE)
#define READ_ONLY   0x11000000ull /* one page the program cannot write */
#define NOWHERE     0x12000000ull /* mapped by nobody */
#define MEMORY      (64 * MIB)
#define STACK_BYTES (4 * MIB)

/* Its only CPU. */
struct vcpu {
    uint64_t fs, gs, sp;
    struct kvm_regs regs;
    uint8_t vectors[4096];
};

/* Its stream is the VM itself. */
struct stream {
    struct ferry_vm *vm;
};

struct ferry_vm {
    struct space space;
    struct stream stream;
    struct guest_tables tables;
    void *table_pages;
    int pagemap;
    struct linux_state *linux_state;
    struct vcpu cpu;
    uint64_t stack_bytes;
    struct vm_files guest_files; /* none, unless a test has some */
    char lost[64];               /* the file of which a write was lost, and why */
    int files;                   /* taken and not given back */
    /* Calls of vm_exec, what they return, and what the last one was asked for: "name|words|vars". */
    int execs, exec_result;
    char exec_text[256];
    bool exec_own, exec_sealed;
    uint64_t exec_used, exec_kept; /* memory charged then, and what it was asked to charge */
    uint64_t cpu_ns, cpu_watch_ns; /* processor time used, and when to look next */
    uint64_t thread_cpu_ns;        /* by the first thread */
    /* The input stream: what is there, and what stream_poll and stream_read find then. */
    const char *input;
    bool input_ended, input_closed;
    unsigned polls, first_looks;
    unsigned guest_reads; /* by a guest kernel */
    short poll_want;
    uint64_t poll_timeout;
    /* The output stream. */
    char output[8192];
    size_t output_bytes;
    size_t output_room; /* for writes that do not wait */
    bool output_broken, output_closed;
    atomic_uint wakes;     /* calls that a thread of its own made */
    bool stop;             /* what blocks returns -EINTR */
    bool stop_after_write; /* the next write is the last that works */
    uint64_t slept_ns;
    uint64_t sent;      /* signals from outside */
    unsigned pauses_at; /* not 0: a signal stops the program; each one counts up */
    int paused_by;
    int closed_fd;       /* the last one given that it closed */
    unsigned interrupts; /* of its threads */
    uint64_t alarm_ns;
    unsigned sleeps;
    uint32_t waits_for; /* what would have woken the last wait that slept */
    uint64_t suspended_until;
    char line[256];     /* the last of the log */
    char traced[12000]; /* lines of the trace */
    unsigned lines;
    /* A descriptor that another thread closes while a call waits; 0: none. */
    int closed_meanwhile;
    /* What another thread does while a call waits for a file system, or at the first look for input,
     * once; NULL: nothing. */
    void (*meanwhile)(struct ferry_vm *vm);
    /* What it does in each wait for something of the program's; NULL: nothing. */
    void (*waiting)(struct ferry_vm *vm);
    cpu_set_t kept_to; /* the processors of the host that a thread was last kept to */
    /* The same while the host reads a local file into the program's memory. */
    void (*aside)(struct ferry_vm *vm);
    /* Another thread of the program, which overwrites whatever was fetched by this byte, at once
     * and for good; 0: there is none. */
    int hostile;
    uint64_t fetched; /* bytes of arguments in memory */
    /* Of the last call. */
    enum linux_next next;
    int status;
};

/* For cmocka: a VM without read-only directories. */
int linux_setup(void **state);
int linux_teardown(void **state);

struct ferry_vm *linux_vm_create(const char *const *directories, int stderr_fd);
/* With these members of linux_config. */
struct ferry_vm *linux_vm_create_as(struct linux_config config);
void linux_vm_destroy(struct ferry_vm *vm);

/* Makes a system call and returns its result; vm->next tells how it goes on. */
int64_t linux_call(struct ferry_vm *vm, uint64_t number, const uint64_t arg[6]);
#define CALL(vm, number, ...) linux_call(vm, SYS_##number, (const uint64_t[6]){__VA_ARGS__})

/* The same by another thread, while a call of the first one waits. */
int64_t other_call(struct ferry_vm *vm, uint64_t number, const uint64_t arg[6]);

/* The host's view of program memory, whatever its rights. */
void *guest(struct ferry_vm *vm, uint64_t addr);
/* Puts a string into program memory; returns its address. */
uint64_t guest_string(struct ferry_vm *vm, uint64_t addr, const char *text);

#endif
