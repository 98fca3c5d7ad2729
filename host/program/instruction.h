/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which memory does the instruction at RIP touch? KVM does not always say
 * where a guest access failed, so the instruction is decoded and its
 * operands computed from the registers.
 */
#ifndef FERRY_HOST_INSTRUCTION_H
#define FERRY_HOST_INSTRUCTION_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION_ACCESSES_MAX 4

struct instruction_access {
    uint64_t addr;
    uint32_t bytes;
    bool write; /* else read; an operand that is both is listed as a write */
};

/* Decodes `length` (at most 15 used) code bytes at regs->rip. Returns how many
 * accesses were found (explicit operands, string instructions, push, pop, call, ret), 0
 * if the bytes cannot be decoded. fs_base and gs_base as the guest has them. */
size_t instruction_accesses(const uint8_t *code, size_t length, const struct kvm_regs *regs,
                            uint64_t fs_base, uint64_t gs_base,
                            struct instruction_access out[INSTRUCTION_ACCESSES_MAX]);

/* The kind of an instruction that the CPU refused to run at CPL3. */
enum instruction_kind {
    INSTRUCTION_OTHER,
    INSTRUCTION_INTERRUPT, /* `int n` */
    INSTRUCTION_MONITOR,   /* monitor or mwait */
};

/* Whether these bytes begin with a whole instruction, as far as that can be told. */
bool instruction_is_whole(const uint8_t *code, size_t length);

/* *interrupt: the n of `int n`; *bytes: its length. */
enum instruction_kind instruction_refused(const uint8_t *code, size_t length, uint8_t *interrupt,
                                          uint8_t *bytes);

#endif
