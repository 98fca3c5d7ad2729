/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to the personality: signals, from being sent to the frame on the program's stack.
 *
 * A signal that is sent is put on a list, of one thread or of the process. After each call, each
 * fault and each kick the thread that goes on takes from both lists what it does not block: a
 * handler gets a frame, everything else ends the program or is dropped.
 */
#ifndef FERRY_HOST_SIGNAL_STATE_H
#define FERRY_HOST_SIGNAL_STATE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "linux/linux.h"

#define SIGNALS            64
#define QUEUED_SIGNALS_MAX 64 /* RLIMIT_SIGPENDING */

#define HANDLER_DEFAULT 0
#define HANDLER_IGNORE  1

struct linux_state;
struct linux_thread;

/* As the kernel's struct sigaction on x86-64. */
struct signal_action {
    uint64_t handler, flags, restorer, mask;
};

/* As the kernel's siginfo_t, as far as it is made here. */
struct signal_info {
    int32_t signo, error, code, zero;
    union {
        struct {
            int32_t pid;
            uint32_t uid;
        };
        struct {
            int32_t timer, overrun; /* of SI_TIMER */
        };
        uint64_t addr; /* of a fault */
    };
    uint64_t value;
    uint8_t rest[96];
};
_Static_assert(sizeof(struct signal_info) == 128, "the kernel copies so many bytes");

/* As the kernel's stack_t. */
struct signal_stack {
    uint64_t sp;
    int32_t flags;
    uint32_t zero;
    uint64_t bytes;
};

/* Signals that were sent and not yet taken: which ones, and details, oldest first. */
struct signal_list {
    uint64_t pending;
    struct signal_info queue[QUEUED_SIGNALS_MAX];
    unsigned queued;
};

/* Of one thread. */
struct thread_signals {
    uint64_t blocked;
    /* While a wait has a mask of its own: the mask before, which the frame of a handler keeps. */
    uint64_t blocked_before;
    bool has_before;
    bool patient;     /* only a signal that ends the program ends a wait of the call */
    bool pausing;     /* a wait of the call is interrupted by a signal that stops the program */
    uint64_t awaited; /* the call being served returns when one of these is sent */
    struct signal_stack stack;
    struct signal_list list; /* sent to this thread alone */
    /* The last fault, as every frame tells it. */
    uint64_t trapno, error, cr2;
};

/* Of the process. */
struct process_signals {
    struct signal_action actions[SIGNALS]; /* of signal i + 1 */
    uint64_t changed;                      /* bit i: actions[i] may be other than all zeros */
    uint32_t asked;                        /* how often the program has asked for one that is not */
    struct signal_list list;
    struct signal_info
        fatal;       /* the first that ends the program whatever else is pending; 0: none */
    unsigned queued; /* on all lists */
    uint32_t sent;   /* how many ever were put on one */
};

#define ALARMS_MAX 64

/* A timer that sends a signal. */
struct alarm {
    bool used;
    bool of_cpu; /* it counts processor time */
    int clock, signo, notify;
    int32_t cpu_thread; /* whose processor time that is; 0: the process's */
    int32_t thread;     /* 0: the signal is for the process */
    uint64_t value;
    uint64_t due_ns, interval_ns; /* UINT64_MAX: it does not run; 0: once */
    int32_t overrun;              /* of the signal that was taken last */
};

struct alarms {
    struct alarm table[ALARMS_MAX]; /* those of setitimer first */
    uint64_t next_ns; /* when to look for one that counts real time; 0 or UINT64_MAX: never */
    uint64_t last_ns; /* when one was due last */
};

static inline uint64_t signal_bit(int signo)
{
    return 1ull << (signo - 1);
}

#define SIGNALS_NEVER_BLOCKED (signal_bit(SIGKILL) | signal_bit(SIGSTOP))

#define SIGNALS_THAT_STOP \
    (signal_bit(SIGSTOP) | signal_bit(SIGTSTP) | signal_bit(SIGTTIN) | signal_bit(SIGTTOU))

/* ---- signal_list.c ------------------------------------------------------- */

/* Sends a signal to a thread, or (NULL) to the process. -EAGAIN: there is no room for its details,
 * and it is not sent. */
int signal_post(struct linux_state *state, struct linux_thread *thread,
                const struct signal_info *info);
/* Takes the next of these that is pending for the thread: its number, or 0. */
int signal_take(struct linux_state *state, struct linux_thread *thread, uint64_t set,
                struct signal_info *info);
/* Of these, the ones that are pending for the thread. */
uint64_t signal_pending(const struct linux_state *state, const struct linux_thread *thread,
                        uint64_t set);
/* Counts further expirations of a timer whose signal is pending. False: none is. */
bool signal_add_overrun(struct linux_state *state, int32_t timer, uint64_t times);
/* Drops all that are pending of that number. */
void signal_drop(struct linux_state *state, int signo);
/* Whether it does nothing when it is delivered. */
bool signal_is_ignored(const struct linux_state *state, int signo);

/* ---- alarm.c ------------------------------------------------------------- */

/* Sends the signals of timers that are due: those of real time; those of processor time. */
void alarms_look(struct linux_state *state);
void alarms_look_cpu(struct linux_state *state);
/* How much more of processor time before the first can be due; UINT64_MAX: none is. */
uint64_t alarms_cpu_rest(struct linux_state *state);
/* Another program begins: it has the timers of setitimer only. */
void alarms_exec(struct linux_state *state);
/* Whether it has a timer, or one of setitimer's runs. */
bool alarms_any(const struct linux_state *state);
/* Its process ends: the VM's alarm is for the others'. */
void alarms_end(struct linux_state *state);
/* A signal of a timer was taken. */
void alarms_taken(struct linux_state *state, const struct signal_info *info);

/* ---- signals.c ----------------------------------------------------------- */

void signals_init(struct linux_state *state, bool ignore_sigpipe);
/* Sends the program a signal. It takes effect at the end of the call. */
void signal_send(struct linux_state *state, int signo);
/* The same to any process. */
void signal_send_to(struct linux_state *state, struct linux_state *to, int signo);
/* Sends it what was sent to it from outside. */
void signals_from_outside(struct linux_state *state);
/* The result of a write to a link whose receiver is gone: -EPIPE, perhaps with SIGPIPE. */
int64_t signal_broken_pipe(struct linux_state *state);
/* For the time of a wait: blocks the signals of the mask at `addr`, if there is one. After the wait
 * the mask before is back at once, or after the handler if a signal interrupted it (-EINTR).
 * -EINVAL, -EFAULT. */
int64_t signals_let_through(struct linux_state *state, uint64_t addr, uint64_t bytes);
void signals_wait_over(struct linux_state *state, int64_t result);
/* As the kernel's force_sig of SIGSEGV: the thread takes it even if it blocks or ignores it, and
 * then dies of it. */
void signal_force_segv(struct linux_state *state);
#define SIGNAL_STACK_DISARMS ((int32_t)(1u << 31)) /* SS_AUTODISARM */
/* Makes `stack` the alternate one, if it may be while the stack pointer is `sp`. */
int signal_stack_set(struct linux_state *state, const struct signal_stack *stack, uint64_t sp);
/* The flags that sigaltstack would tell for that stack pointer, without SS_AUTODISARM. */
int32_t signal_stack_flags(const struct signal_stack *stack, uint64_t sp);

/* ---- signal_deliver.c ---------------------------------------------------- */

/* Whether a signal waits that the thread takes at the end of its call: a wait returns -EINTR. */
bool signal_interrupts(struct linux_state *state);
/* Whether SA_RESTART makes the call again once a signal has interrupted it. */
bool signal_may_restart(const struct linux_call *call);
/* Lets the signals that wait take effect, before the program goes on. `call`: the one that was
 * served, or NULL; if a handler is to run, it decides whether the call is made again. */
enum linux_next signals_deliver(struct linux_state *state, struct vcpu *cpu,
                                const struct linux_call *call, int *status);

/* ---- signal_frame.c ------------------------------------------------------ */

/* Puts a frame on the program's stack and makes its registers those at the start of the handler.
 * -EFAULT: there is no such stack, or no such handler; then nothing changed. */
int signal_frame_push(struct linux_state *state, struct vcpu *cpu, const struct signal_info *info,
                      const struct signal_action *action);

#endif
