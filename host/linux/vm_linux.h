/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of a VM that the personality may call; it calls no others. */
#ifndef FERRY_HOST_VM_LINUX_H
#define FERRY_HOST_VM_LINUX_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "lib/address.h"
#include "lib/live.h"

struct ferry_trace;
struct ferry_vm;
struct image_source;
struct kvm_regs;
struct pollfd;
struct linux_state;
struct linux_thread;
struct space;
struct stream;
struct vcpu;

struct space *vm_space(struct ferry_vm *vm);
/* Where the guest kernel looks for files (abi/kernel.h): its pages, and the host's view of
 * FERRY_FILES_BASE. False: there is no guest kernel, or no room. */
struct vm_files {
    struct ferry_kernel_shown *shown;
    struct ferry_kernel_words *words;
    char *place;
};
bool vm_files(struct ferry_vm *vm, struct vm_files *out);
/* What the program has written to the file of this name was refused by the host with that errno, and it
 * can be told no more: it ends. With the turn. */
void vm_lost_write(struct ferry_vm *vm, const char *name, int error);
/* Its plain input and output. */
struct stream *vm_stream(struct ferry_vm *vm);

/* The program's memory and its owned or borrowed window pages, by one check each. Code here assumes
 * that this memory may change at any time, as it may once a program has a second thread. So data by
 * which something is decided is copied in, once, and read in the copy.
 *
 * Each is about [addr, addr + bytes), all of which the program must be allowed to read or write, or
 * nothing is done: -EFAULT, false, a place of NULL. */
int vm_copy_in(struct ferry_vm *vm, void *to, struct guest_addr addr, uint64_t bytes);
int vm_copy_out(struct ferry_vm *vm, struct guest_addr addr, const void *from, uint64_t bytes);
/* Copies as many bytes as there are before the first that the program may not read. */
size_t vm_copy_in_some(struct ferry_vm *vm, void *to, struct guest_addr addr, size_t bytes);
/* Copies as many bytes of them as there are, which are fewer only in live memory. */
size_t vm_copy_in_pages(struct ferry_vm *vm, void *to, struct guest_addr addr, size_t bytes);
/* Whether the program may read them; nothing is read. Of live memory: whether it is there now. */
bool vm_may(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write);

/* Where those bytes are: for what is moved in bulk and no code here interprets, so that a race concerns
 * only the program's own data, and for single words (reach_load, reach_change). Live memory (lib/live.h)
 * is handed to calls of the host's kernel only, or copied. The address is valid
 * until the call that asked for it
 * returns, drains the out ring or changes the memory's rights; no struct that lives longer may keep
 * it. bytes 0: any address but NULL. It is also the hook of the endpoint, for payloads that are
 * copied. */
struct reach vm_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write);

/* After a wait, during which other threads were served: whether bytes at such an address may still
 * be written, or read. True for memory of the VMM's own. */
bool vm_still_has(struct ferry_vm *vm, const void *at, uint64_t bytes, bool write);
/* As poll(2) on a descriptor of the host's, while other threads are served. */
void vm_poll(struct ferry_vm *vm, struct pollfd *entry, int timeout_ms);

/* To be called before the personality keeps one more descriptor of the host, and after it closed
 * one. False: it may not keep another. */
bool vm_file_take(struct ferry_vm *vm);
void vm_file_give_back(struct ferry_vm *vm);

/* Of the CPU that makes the call being served: the segment bases of FS (TLS) and GS, and the stack
 * pointer. */
void vm_set_fs(struct vcpu *cpu, uint64_t base);
void vm_set_gs(struct vcpu *cpu, uint64_t base);
uint64_t vm_fs(struct vcpu *cpu);
uint64_t vm_gs(struct vcpu *cpu);
uint64_t vm_stack_pointer(struct vcpu *cpu);

/* The registers with which the program goes on after the call, and changing them: RFLAGS as far as a
 * program may choose them. RIP must be canonical. */
const struct kvm_regs *vm_regs(struct vcpu *cpu);
void vm_set_regs(struct vcpu *cpu, const struct kvm_regs *regs);

/* What the call returns to the program. */
void vm_set_result(struct vcpu *cpu, uint64_t value);

/* The floating-point and vector registers as XSAVE lays them out, without compaction: which parts
 * there are (0: the processor has no XSAVE, and there are the first 512 bytes only), and the length.
 * Reading and writing them takes VM_VECTORS_MOST bytes; what the processor refuses changes
 * nothing. */
#define VM_VECTORS_MOST 4096
uint64_t vm_vectors_parts(struct vcpu *cpu);
uint32_t vm_vectors_bytes(struct vcpu *cpu);
int vm_vectors(struct vcpu *cpu, void *area);
int vm_set_vectors(struct vcpu *cpu, const void *area);

/* Tells that the stack has another size now; for reports. */
void vm_stack_is(struct ferry_vm *vm, uint64_t bytes);

/* What execve asks for. */
struct vm_exec {
    const char *name; /* for messages, scripts and AT_EXECFN */
    const struct image_source *source;
    bool name_is_lost; /* it stands for a descriptor that is closed then: no script can be run */
    char *const *argv, *const *envp;
    uint64_t stack_bytes;
    uint64_t words_bytes; /* what argv and envp take, which is charged; */
    uint64_t kept_bytes;  /* what is kept of argv as long as the program runs, which is not yet */
};
/* Puts another program in the place of this one, on its only thread and the CPU that runs it: memory
 * and registers, of which RAX is 0; calls linux_begin. Takes over the source, also on an error. 0; a negative errno:
 * nothing changed; 1: the old program is gone and the new one could not be loaded. */
int vm_exec(struct ferry_vm *vm, struct vcpu *cpu, const struct vm_exec *exec);
/* A new descriptor of the file that the program runs from, for reading, or a negative errno; *own: as
 * in struct image_source. */
int vm_program_fd(struct ferry_vm *vm, bool *own);

/* Processor time that all threads of all processes took, also those that have ended, the work for them
 * included; that one process took; and that a thread took which has not ended. The first: any thread, no lock is taken. */
uint64_t vm_cpu_ns(struct ferry_vm *vm);
uint64_t vm_process_cpu_ns(struct ferry_vm *vm, const struct linux_state *state);
/* A thread that helps the program, or a program of the host that did, took so much more. Any thread. */
void vm_took_cpu(struct ferry_vm *vm, uint64_t nanoseconds);
uint64_t vm_thread_cpu_ns(struct ferry_vm *vm, const struct linux_thread *thread);
/* When vm_cpu_ns has reached that, linux_interrupted is called, once; UINT64_MAX: never. In place of
 * what was asked before. */
void vm_watch_cpu(struct ferry_vm *vm, uint64_t nanoseconds);

/* What a clock of the host shows to the VM's programs; not one of processor time. */
struct timespec vm_clock(struct ferry_vm *vm, clockid_t clock);

/* Sleeps; -EINTR when a signal waits or the VM is told to stop. UINT64_MAX: for ever. */
int vm_sleep(struct ferry_vm *vm, uint64_t nanoseconds);

/* Interrupts all threads of the program, in the guest and in waits, so that each looks whether a
 * signal waits for it; and does so at a moment of CLOCK_MONOTONIC, UINT64_MAX: never. */
void vm_interrupt(struct ferry_vm *vm);
void vm_alarm(struct ferry_vm *vm, uint64_t moment_ns);

/* Signals that were sent to the program from outside since the last call: signal n is bit n - 1. */
uint64_t vm_take_signals(struct ferry_vm *vm);
/* A signal stops the program, which goes on when this returns. False: nobody can stop it. */
bool vm_can_pause(struct ferry_vm *vm);
void vm_pause(struct ferry_vm *vm, int signo);
/* As long as linux_stands_still says so, the thread that is served waits, unless it has to end. */
void vm_stand_still(struct ferry_vm *vm);

/* The program has closed what it was given as `fd`. */
void vm_closed(struct ferry_vm *vm, int fd);

/* All that asks for the memory of the process that is served is about that of this one, until the next call:
 * the caller's own is to follow before anything waits. */
void vm_look_at_process(struct ferry_vm *vm, const struct linux_state *state);

/* Whether the VM was told to stop: for work that is long and never waits. */
bool vm_stopping(struct ferry_vm *vm);

/* What a thread waits for, as a set of bits: it is woken by who wakes for one of them. Objects share
 * the bits: to be woken for another's sake is harmless, but with many threads all waking all takes
 * their number squared. WAKES_NONE: for no object, only for what concerns all threads. */
#define WAKES_ALL  UINT32_MAX
#define WAKES_NONE (1u << 31)
static inline uint32_t wakes_of(const void *object)
{
    return 1u << ((uint64_t)(uintptr_t)object * 0x9e3779b97f4a7c15ull >> 32) % 31;
}

void vm_wake_for(struct ferry_vm *vm, uint32_t what);
static inline void vm_wake(struct ferry_vm *vm)
{
    vm_wake_for(vm, WAKES_ALL);
}

/* Waits until *done, which another thread sets and then wakes for wakes_of it; -EINTR when the VM is
 * told to stop first, or the program ends. An execve of another thread waits for it. */
int vm_await(struct ferry_vm *vm, const atomic_bool *done);

/* Whether vm_wait polls the descriptors of linux_watched: the program has one thread only. */
bool vm_polls_itself(struct ferry_vm *vm);

/* Whether what a wait is for has come. May set *again_ns, which is UINT64_MAX before, to the moment
 * at which to ask again though nobody woke the VM. */
typedef bool (*vm_ready_fn)(void *arg, uint64_t *again_ns);
/* Waits until `ready`, which is asked at first and whenever there may be something new (a message
 * arrived, vm_wake was called, or vm_wake_for for some of *what, which `ready` may set), at most
 * timeout_ns (UINT64_MAX: for ever): 0, -ETIMEDOUT, or -EINTR when the VM is told to stop. */
int vm_wait_for(struct ferry_vm *vm, vm_ready_fn ready, void *arg, uint64_t timeout_ns,
                const uint32_t *what);
static inline int vm_wait(struct ferry_vm *vm, vm_ready_fn ready, void *arg, uint64_t timeout_ns)
{
    static const uint32_t all = WAKES_ALL;

    return vm_wait_for(vm, ready, arg, timeout_ns, &all);
}

/* What a process that is forked begins as: its state, its one thread, and how that differs from the
 * thread that forks it, which the CPU runs. stack 0: it is the same. */
struct vm_fork {
    struct linux_state *state;
    struct linux_thread *thread;
    struct vcpu *caller;
    uint64_t stack, fs;
    uint64_t id_addr; /* where its memory has its number, if that can be written; 0: nowhere */
    int32_t id;
    bool parent_waits; /* and is given what it stores, if it runs no other program */
    unsigned left;     /* what is left of others counts as so many processes */
};
/* Makes a process with a copy of the memory and begins it, with result 0; `state` is its own from then
 * on. -EAGAIN: there may be no more; or another negative errno. */
int vm_fork(struct ferry_vm *vm, const struct vm_fork *fork);
/* What the process that is served has stored in its memory since it began is stored in that of its parent
 * as well, which waits. */
void vm_return_memory(struct ferry_vm *vm);

/* A CPU for another thread of the program. -EAGAIN: there may be no more threads. */
int vm_new_cpu(struct ferry_vm *vm, struct vcpu *caller, struct vcpu **out);
/* That CPU runs the thread from where the caller goes on, with result 0 and another stack (0: the
 * same) and segment base of FS. */
void vm_start_cpu(struct ferry_vm *vm, struct vcpu *cpu, struct vcpu *caller,
                  struct linux_thread *thread, uint64_t stack, uint64_t fs);
/* The host's thread of the CPU that runs the thread stays on these processors of the host. */
void vm_keep_to(struct ferry_vm *vm, const struct linux_thread *thread, const cpu_set_t *host);
/* The thread on that CPU, which is the caller's own, waits until vm_rouse, at most until the
 * deadline: 0, also for no reason; -ETIMEDOUT; -EINTR when the VM is told to stop. It begins to wait
 * before another thread is served, so a vm_rouse that comes later is never lost. */
int vm_suspend(struct ferry_vm *vm, struct vcpu *cpu, uint64_t deadline);
void vm_rouse(struct ferry_vm *vm, struct vcpu *cpu);

/* Lets other threads of the program be served while the host waits for a disk, or moves many bytes to
 * the program's memory at `to`, a pointer of the host (NULL: it moves none). Another thread may unmap
 * that memory, and then the host's kernel refuses it, as on Linux. NULL: nobody steps aside, as there
 * is no other thread, or the memory is not the program's own: pages of the window may change hands.
 * vm_step_back takes the result. */
struct vcpu *vm_step_aside(struct ferry_vm *vm, const void *to);
void vm_step_back(struct ferry_vm *vm, struct vcpu *aside);

/* Tells those who watch the program what it did. Strings and the struct are read during the call. */
void vm_trace(struct ferry_vm *vm, const struct ferry_trace *event);

/* A line for the log at debug level (the command's --verbose). */
void vm_debug(struct ferry_vm *vm, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
