/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the question "which memory does this instruction touch?". Zydis
 * decodes; this file turns operands into addresses and adds what Zydis leaves
 * to its caller: where push writes, what pop sees in RSP, bit strings, xlat.
 *
 * Not covered: gather and scatter, whose addresses lie in vector registers,
 * which struct kvm_regs does not hold. The state components of xsave beyond its first
 * 576 bytes are not listed either.
 */
#include "program/instruction.h"

#include <Zydis/Zydis.h>

#define INSTRUCTION_BYTES_MAX 15

/* Not there in a static program where Zydis is a shared library only: then no instruction can be
 * told, and reports name no address. */
#pragma weak ZydisDecoderInit

struct decoded {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* The registers from which addresses are computed. */
struct machine {
    const struct kvm_regs *regs;
    uint64_t next_rip, fs_base, gs_base;
};

static bool decode(const uint8_t *code, size_t length, struct decoded *out)
{
    ZydisDecoder decoder;

    if (!ZydisDecoderInit)
        return false;
#ifdef ZYDIS_MAX_OPERAND_COUNT_VISIBLE /* Zydis 4; its version macros do not work in #if */
    return ZYAN_SUCCESS(
               ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) &&
           ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, length, &out->insn, out->operands));
#else
    /* Zydis 3 keeps the operands inside the instruction. */
    if (!ZYAN_SUCCESS(
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_ADDRESS_WIDTH_64)) ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeBuffer(&decoder, code, length, &out->insn)))
        return false;
    for (size_t i = 0; i < out->insn.operand_count; i++)
        out->operands[i] = out->insn.operands[i];
    return true;
#endif
}

/* The whole 64-bit register that `reg` is a part of; false if it is not one of
 * the general ones or RIP. */
static bool register_value(const struct machine *m, ZydisRegister reg, uint64_t *value)
{
    const struct kvm_regs *r = m->regs;
    const uint64_t general[16] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                                  r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
    ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

    if (reg == ZYDIS_REGISTER_NONE) {
        *value = 0;
    } else if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_IP) {
        *value = m->next_rip;
    } else if (ZydisRegisterGetClass(whole) == ZYDIS_REGCLASS_GPR64) {
        *value = general[ZydisRegisterGetId(whole)];
    } else {
        return false;
    }
    return true;
}

/* Bit instructions with their bit number in a register reach beyond the
 * operand: how many bytes away is the unit that holds the bit? */
static int64_t bit_offset(const struct machine *m, const struct decoded *d)
{
    uint64_t bit;

    if (d->insn.mnemonic != ZYDIS_MNEMONIC_BT && d->insn.mnemonic != ZYDIS_MNEMONIC_BTS &&
        d->insn.mnemonic != ZYDIS_MNEMONIC_BTR && d->insn.mnemonic != ZYDIS_MNEMONIC_BTC)
        return 0;
    if (d->operands[1].type != ZYDIS_OPERAND_TYPE_REGISTER ||
        !register_value(m, d->operands[1].reg.value, &bit))
        return 0;
    switch (d->insn.operand_width) {
    case 16:
        return ((int16_t)bit >> 4) * (int64_t)2;
    case 32:
        return ((int32_t)bit >> 5) * (int64_t)4;
    default:
        return ((int64_t)bit >> 6) * 8;
    }
}

/* The part of an address that Zydis leaves out of the operand. */
static uint64_t correction(const struct machine *m, const struct decoded *d,
                           const ZydisDecodedOperand *op)
{
    bool on_stack = op->mem.base == ZYDIS_REGISTER_RSP || op->mem.base == ZYDIS_REGISTER_ESP;
    bool is_hidden = op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
    uint64_t bytes = op->size / 8;

    /* push, call, enter: RSP is lowered before the store. */
    if (is_hidden && on_stack && (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
        return -bytes;
    /* pop to memory: RSP is raised before the address is computed. */
    if (!is_hidden && on_stack && d->insn.mnemonic == ZYDIS_MNEMONIC_POP)
        return bytes;
    if (d->insn.mnemonic == ZYDIS_MNEMONIC_XLAT)
        return m->regs->rax & 0xff;
    return (uint64_t)bit_offset(m, d);
}

static bool operand_address(const struct machine *m, const struct decoded *d,
                            const ZydisDecodedOperand *op, uint64_t *out)
{
    uint64_t base, index, addr;

    if (!register_value(m, op->mem.base, &base) || !register_value(m, op->mem.index, &index))
        return false;
    addr = base + index * op->mem.scale + (uint64_t)op->mem.disp.value + correction(m, d, op);
    if (d->insn.address_width == 32)
        addr = (uint32_t)addr;
    if (op->mem.segment == ZYDIS_REGISTER_FS)
        addr += m->fs_base;
    else if (op->mem.segment == ZYDIS_REGISTER_GS)
        addr += m->gs_base;
    *out = addr;
    return true;
}

/* Their operand names an address but a bad one does not fault. */
static bool is_hint(const ZydisDecodedInstruction *insn)
{
    return insn->meta.category == ZYDIS_CATEGORY_NOP ||
           insn->meta.category == ZYDIS_CATEGORY_WIDENOP ||
           insn->meta.category == ZYDIS_CATEGORY_PREFETCH ||
           insn->meta.category == ZYDIS_CATEGORY_CLDEMOTE;
}

size_t instruction_accesses(const uint8_t *code, size_t length, const struct kvm_regs *regs,
                            uint64_t fs_base, uint64_t gs_base,
                            struct instruction_access out[INSTRUCTION_ACCESSES_MAX])
{
    struct decoded d;
    struct machine m = {.regs = regs, .fs_base = fs_base, .gs_base = gs_base};
    size_t count = 0;

    if (length > INSTRUCTION_BYTES_MAX)
        length = INSTRUCTION_BYTES_MAX;
    if (!decode(code, length, &d) || is_hint(&d.insn))
        return 0;
    m.next_rip = regs->rip + d.insn.length;
    for (size_t i = 0; i < d.insn.operand_count && count < INSTRUCTION_ACCESSES_MAX; i++) {
        const ZydisDecodedOperand *op = &d.operands[i];

        if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.type != ZYDIS_MEMOP_TYPE_MEM)
            continue; /* the other types only compute an address, or take it from vectors */
        if (!operand_address(&m, &d, op, &out[count].addr))
            continue;
        out[count].bytes = op->size >= 8 ? op->size / 8 : 1;
        out[count].write = (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
        count++;
    }
    return count;
}

bool instruction_is_whole(const uint8_t *code, size_t length)
{
    struct decoded d;

    return !ZydisDecoderInit || decode(code, length, &d);
}

enum instruction_kind instruction_refused(const uint8_t *code, size_t length, uint8_t *interrupt,
                                          uint8_t *bytes)
{
    struct decoded d;

    if (length > INSTRUCTION_BYTES_MAX)
        length = INSTRUCTION_BYTES_MAX;
    if (!decode(code, length, &d))
        return INSTRUCTION_OTHER;
    if (d.insn.mnemonic == ZYDIS_MNEMONIC_MONITOR || d.insn.mnemonic == ZYDIS_MNEMONIC_MWAIT)
        return INSTRUCTION_MONITOR;
    if (d.insn.mnemonic != ZYDIS_MNEMONIC_INT || d.operands[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
        return INSTRUCTION_OTHER;
    *interrupt = (uint8_t)d.operands[0].imm.value.u;
    *bytes = d.insn.length;
    return INSTRUCTION_INTERRUPT;
}
