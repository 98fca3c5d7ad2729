/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which memory some instructions touch, told from the processor's manual alone: those of one byte of
 * opcode that a compiler makes most, with every prefix and every form of address.
 */
#ifndef FERRY_TESTS_INSTRUCTION_MODEL_H
#define FERRY_TESTS_INSTRUCTION_MODEL_H

#include "program/instruction.h"

struct model_machine {
    uint64_t
        reg[16]; /* by the processor's numbers: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8... */
    uint64_t rip, fs, gs;
};

enum model_answer {
    MODEL_UNKNOWN, /* nothing is said about it */
    MODEL_SHORT,   /* it does not end within these bytes */
    MODEL_KNOWN,
};

struct model_instruction {
    unsigned bytes; /* of the instruction */
    unsigned count;
    struct instruction_access access[2];
    bool interrupt; /* `int n` */
    uint8_t number; /* that n */
};

enum model_answer model_decode(const struct model_machine *machine, const uint8_t *code,
                               unsigned length, struct model_instruction *out);

#endif
