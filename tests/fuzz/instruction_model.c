/* SPDX-License-Identifier: BSD-2-Clause */
/* A second decoder, small, without tables of others. */
#include "instruction_model.h"

#include <string.h>

enum { RCX = 1, RSP = 4, RBP = 5, RSI = 6, RDI = 7 };

/* One instruction as far as it was read. `at` may pass `length`: bytes beyond are zeros then. */
struct reader {
    const uint8_t *code;
    unsigned at, length;
    bool narrow, short_addresses, wide; /* 66, 67, REX.W */
    uint8_t rex, segment;               /* 64, 65 or 0 */
    uint8_t opcode, modrm;
    bool has_memory;
};

static uint8_t next(struct reader *reader)
{
    uint8_t byte = reader->at < reader->length ? reader->code[reader->at] : 0;

    reader->at++;
    return byte;
}

static int64_t next_signed(struct reader *reader, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)next(reader) << (8 * i);
    return (int64_t)(value << (64 - 8 * bytes)) >> (64 - 8 * bytes);
}

/* False: of these the manual says nothing, or what they do depends on the instruction. */
static bool read_prefixes(struct reader *reader)
{
    for (;;) {
        uint8_t byte = next(reader);

        switch (byte) {
        case 0x66:
            reader->narrow = true;
            break;
        case 0x67:
            reader->short_addresses = true;
            break;
        case 0x64:
        case 0x65:
            if (reader->segment && reader->segment != byte)
                return false;
            reader->segment = byte;
            break;
        case 0x26: /* segments that mean nothing to 64-bit code, also behind one that does */
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0xf2: /* repeat a string instruction, of which one step is looked at */
        case 0xf3:
            break;
        case 0xf0:
            return false;
        default:
            if (byte >> 4 == 4) {
                reader->rex = byte;
                reader->wide = byte & 8;
                byte = next(reader);
            }
            reader->opcode = byte;
            return true;
        }
    }
}

static unsigned operand_bytes(const struct reader *reader, bool byte_wide)
{
    return byte_wide ? 1 : reader->wide ? 8 : reader->narrow ? 2 : 4;
}

static uint64_t with_segment(const struct reader *reader, const struct model_machine *machine,
                             uint64_t addr)
{
    if (reader->short_addresses)
        addr = (uint32_t)addr;
    return addr + (reader->segment == 0x64   ? machine->fs
                   : reader->segment == 0x65 ? machine->gs
                                             : 0);
}

/* Reads what follows ModRM. *relative: RIP at the end of the instruction is still to be added. */
static uint64_t read_address(struct reader *reader, const struct model_machine *machine,
                             bool *relative)
{
    unsigned mod = reader->modrm >> 6, rm = reader->modrm & 7;
    uint64_t addr = 0;
    bool has_base = true;

    *relative = false;
    if (rm == 4) {
        uint8_t sib = next(reader);
        unsigned index = ((sib >> 3) & 7) | (reader->rex & 2) << 2;
        if (index != 4)
            addr = machine->reg[index] << (sib >> 6);
        rm = sib & 7;
        has_base = mod != 0 || rm != 5;
    } else if (mod == 0 && rm == 5) {
        has_base = false;
        *relative = true;
    }
    if (has_base)
        addr += machine->reg[rm | (reader->rex & 1) << 3];
    if (mod == 1)
        addr += (uint64_t)next_signed(reader, 1);
    else if (mod == 2 || !has_base)
        addr += (uint64_t)next_signed(reader, 4);
    return addr;
}

/* What an opcode does to the operand that ModRM names. */
struct effect {
    bool known, byte_wide, write, none;
    unsigned immediate; /* bytes of it; 4: as many as the operand, at most 4 */
};

static struct effect effect_of(uint8_t opcode, unsigned field)
{
    bool byte_wide = !(opcode & 1);

    if (opcode < 0x40 && (opcode & 7) < 4)
        return (struct effect){true, byte_wide, !(opcode & 2) && opcode >> 3 != 7, false, 0};
    switch (opcode) {
    case 0x80:
    case 0x81:
    case 0x83:
        return (struct effect){true, byte_wide, field != 7, false, opcode == 0x81 ? 4 : 1};
    case 0x84:
    case 0x85:
    case 0x8a:
    case 0x8b:
        return (struct effect){true, byte_wide, false, false, 0};
    case 0x86:
    case 0x87:
    case 0x88:
    case 0x89:
        return (struct effect){true, byte_wide, true, false, 0};
    case 0x8d:
        return (struct effect){true, false, false, true, 0};
    case 0xc0:
    case 0xc1:
        return (struct effect){field != 6, byte_wide, true, false, 1};
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return (struct effect){field != 6, byte_wide, true, false, 0};
    case 0xc6:
    case 0xc7:
        return (struct effect){field == 0, byte_wide, true, false, byte_wide ? 1 : 4};
    case 0xf6:
    case 0xf7:
        return (struct effect){field != 1, byte_wide, field == 2 || field == 3, false,
                               field       ? 0
                               : byte_wide ? 1
                                           : 4};
    case 0xfe:
    case 0xff:
        return (struct effect){field < 2, byte_wide, true, false, 0};
    default:
        return (struct effect){0};
    }
}

static bool decode_operand(struct reader *reader, const struct model_machine *machine,
                           struct model_instruction *out)
{
    struct effect effect = effect_of(reader->opcode, 0);
    bool relative = false, has_memory;
    uint64_t addr = 0;

    if (!effect.known)
        return false;
    reader->modrm = next(reader);
    effect = effect_of(reader->opcode, (reader->modrm >> 3) & 7);
    has_memory = reader->modrm >> 6 != 3;
    if (!effect.known || (effect.none && !has_memory))
        return false;
    if (has_memory)
        addr = read_address(reader, machine, &relative);
    unsigned bytes = operand_bytes(reader, effect.byte_wide);
    reader->at += effect.immediate == 4 && bytes < 4 ? bytes : effect.immediate;
    if (!has_memory || effect.none)
        return true;
    if (relative)
        addr += machine->rip + reader->at;
    out->access[out->count++] = (struct instruction_access){
        .addr = with_segment(reader, machine, addr), .bytes = bytes, .write = effect.write};
    return true;
}

/* String instructions: at RSI, which a segment moves, and at RDI, which none does. */
static bool decode_string(struct reader *reader, const struct model_machine *machine,
                          struct model_instruction *out)
{
    unsigned bytes = operand_bytes(reader, !(reader->opcode & 1));
    uint64_t rdi = reader->short_addresses ? (uint32_t)machine->reg[RDI] : machine->reg[RDI];
    struct instruction_access from = {.addr = with_segment(reader, machine, machine->reg[RSI]),
                                      .bytes = bytes};
    struct instruction_access to = {.addr = rdi, .bytes = bytes};

    switch (reader->opcode & ~1) {
    case 0xa4:
        to.write = true;
        out->access[out->count++] = to;
        out->access[out->count++] = from;
        return true;
    case 0xa6:
        out->access[out->count++] = from;
        out->access[out->count++] = to;
        return true;
    case 0xaa:
        to.write = true;
        out->access[out->count++] = to;
        return true;
    case 0xac:
        out->access[out->count++] = from;
        return true;
    case 0xae:
        out->access[out->count++] = to;
        return true;
    default:
        return false;
    }
}

/* push, pop, ret, leave. */
static bool decode_stack(struct reader *reader, const struct model_machine *machine,
                         struct model_instruction *out)
{
    unsigned bytes = reader->narrow && !reader->wide ? 2 : 8;
    struct instruction_access access = {.addr = machine->reg[RSP], .bytes = bytes};

    if (reader->short_addresses)
        return false; /* of the stack's address size it says nothing */
    if (reader->opcode >> 3 == 0x50 >> 3) {
        access.addr -= bytes;
        access.write = true;
    } else if (reader->opcode == 0xc3) {
        access.bytes = 8;
        if (reader->narrow)
            return false; /* makers of processors disagree */
    } else if (reader->opcode == 0xc9) {
        access.addr = machine->reg[RBP];
    } else if (reader->opcode >> 3 != 0x58 >> 3) {
        return false;
    }
    out->access[out->count++] = access;
    return true;
}

enum model_answer model_decode(const struct model_machine *machine, const uint8_t *code,
                               unsigned length, struct model_instruction *out)
{
    struct reader reader = {.code = code, .length = length < 15 ? length : 15};
    bool known;

    memset(out, 0, sizeof *out);
    if (!read_prefixes(&reader))
        return MODEL_UNKNOWN;
    if (reader.opcode == 0xcd) {
        out->interrupt = known = true;
        out->number = next(&reader);
    } else {
        known = decode_string(&reader, machine, out) || decode_stack(&reader, machine, out) ||
                decode_operand(&reader, machine, out);
    }
    out->bytes = reader.at;
    return reader.at > reader.length ? MODEL_SHORT : known ? MODEL_KNOWN : MODEL_UNKNOWN;
}
