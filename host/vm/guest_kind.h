/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kind of guest: what each exit of its CPUs means. The loop of guest_run.c knows no guest; it
 * looks up the exit in the table of the VM's kind. So a port, a range of device memory or another
 * exit is one line of that table, beside the function that serves it.
 */
#ifndef FERRY_HOST_GUEST_KIND_H
#define FERRY_HOST_GUEST_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ferry_vm;
struct vcpu;

/* Serves an exit of this CPU, on its thread. True: the guest goes on. False: it has ended, and
 * vm->exit says how, or vm->stop says why. */
typedef bool (*exit_fn)(struct ferry_vm *vm, struct vcpu *vcpu);

/* What became of an access that the host's page table refused. */
enum refusal {
    REFUSAL_ENDS,   /* the guest has ended, as for exit_fn */
    REFUSAL_SERVED, /* the guest had no right to it, was told, and goes on */
    REFUSAL_UNSEEN, /* no address can be found that the guest had no right to */
};
typedef enum refusal (*refused_fn)(struct ferry_vm *vm, struct vcpu *vcpu);

/* Whether an exit counts as immediate, made for a message. All others are natural (claims 5, 6). */
enum exit_count {
    EXIT_NATURAL,
    EXIT_IMMEDIATE,
    /* Immediate if delivery is, and a message was sent while it was served. */
    EXIT_IMMEDIATE_IF_SENT,
};

/* What made the guest exit. */
enum exit_cause {
    CAUSE_OTHER, /* none that a guest of this kind should make */
    CAUSE_SYSCALL,
    CAUSE_CALL, /* of the guest library */
    CAUSE_DOORBELL,
    CAUSE_EXCEPTION,
    CAUSE_MMIO,    /* KVM took an access that the host refused for one to a device */
    CAUSE_REFUSED, /* an access that the host refused */
    CAUSE_KICK,    /* the ticker, a signal, or an end from outside */
    CAUSES
};

struct guest_exit {
    uint32_t reason; /* KVM_EXIT_... */
    /* The ports (KVM_EXIT_IO) or guest-physical addresses (KVM_EXIT_MMIO) that it is for; other
     * exits are at address 0. */
    uint64_t at, bytes;
    exit_fn serve;
    enum exit_count count;
    enum exit_cause cause;
};

#define EXIT_PORT(number) .reason = KVM_EXIT_IO, .at = (number), .bytes = 1
#define EXIT_ANY(number)  .reason = (number), .bytes = UINT64_MAX

struct guest_kind {
    /* The first entry that fits serves the exit. If none fits, KVM could not run the guest
     * further. */
    const struct guest_exit *exits;
    size_t exit_count;
    /* A kick made the guest exit. */
    exit_fn interrupted;
    /* The host's page table refused an access. One of which no reason is seen the guest tries again, up to
     * a number of times; then `refused_for_good` has to end it. */
    refused_fn refused;
    exit_fn refused_for_good;
};

/* A program at CPL3, whose system calls the personality serves. */
extern const struct guest_kind guest_program;

#endif
