/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threat: a program whose instruction at a fault, and every register, were chosen by an attacker, to
 * make the decoder read beyond the bytes that were copied, not come back, give more accesses than
 * asked for, or name another address than the processor would use: then a report lies, and a place
 * that the program never touched is charged to it.
 *
 * An input is registers, a length and code. The code ends at a page that cannot be read. What is told
 * of it must not depend on bytes behind it, nor change when some come; where a model knows the
 * instruction, addresses, sizes and kinds are the model's.
 *
 * Not here: of instructions that the model does not know only that bounds hold; instructions that
 * change while they are read, as they are copied before.
 */
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "instruction_model.h"

#define CODE_MOST   15u
#define PAGE        4096u
#define BYTES_MOST  8192u /* of one access: eight tiles of AMX */
#define NOT_WRITTEN 0xa5u

static struct model_machine machine;
static struct kvm_regs regs;

static void take_registers(struct fuzz *fuzz)
{
    for (unsigned i = 0; i < 16; i++)
        machine.reg[i] = (i + 1) * 0x0101010100001000ull + i;
    machine.rip = 0x401000;
    machine.fs = 0x7000000;
    machine.gs = 0x9000000;
    for (uint32_t changes = fuzz_below(fuzz, 4); changes; changes--) {
        uint32_t which = fuzz_below(fuzz, 19);
        uint64_t value = fuzz_value(fuzz);
        if (which < 16)
            machine.reg[which] = value;
        else
            *(which == 16 ? &machine.rip : which == 17 ? &machine.fs : &machine.gs) = value;
    }
    const uint64_t *reg = machine.reg;
    regs = (struct kvm_regs){.rax = reg[0],
                             .rcx = reg[1],
                             .rdx = reg[2],
                             .rbx = reg[3],
                             .rsp = reg[4],
                             .rbp = reg[5],
                             .rsi = reg[6],
                             .rdi = reg[7],
                             .r8 = reg[8],
                             .r9 = reg[9],
                             .r10 = reg[10],
                             .r11 = reg[11],
                             .r12 = reg[12],
                             .r13 = reg[13],
                             .r14 = reg[14],
                             .r15 = reg[15],
                             .rip = machine.rip,
                             .rflags = 2};
}

/* The same bytes, with nothing readable behind them. */
static const uint8_t *at_the_edge(const uint8_t *code, unsigned length)
{
    static uint8_t *pages;

    if (!pages) {
        pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        FUZZ_ASSERT(pages != MAP_FAILED && !mprotect(pages + PAGE, PAGE, PROT_NONE));
    }
    memcpy(pages + PAGE - length, code, length);
    return pages + PAGE - length;
}

struct told {
    size_t count;
    struct instruction_access access[INSTRUCTION_ACCESSES_MAX];
};

static struct told ask(const uint8_t *code, unsigned length)
{
    struct told told = {0};
    struct instruction_access out[INSTRUCTION_ACCESSES_MAX + 1];

    memset(out, NOT_WRITTEN, sizeof out);
    told.count =
        instruction_accesses(at_the_edge(code, length), length, &regs, machine.fs, machine.gs, out);
    FUZZ_ASSERT(told.count <= INSTRUCTION_ACCESSES_MAX);
    FUZZ_ASSERT(out[INSTRUCTION_ACCESSES_MAX].bytes == NOT_WRITTEN * 0x01010101u);
    memcpy(told.access, out, told.count * sizeof out[0]);
    for (size_t i = 0; i < told.count; i++)
        FUZZ_ASSERT(out[i].bytes > 0 && out[i].bytes <= BYTES_MOST);
    return told;
}

static bool is_same(const struct instruction_access *one, const struct instruction_access *other)
{
    return one->addr == other->addr && one->bytes == other->bytes && one->write == other->write;
}

static void check_accesses(const struct told *told, const struct instruction_access *want,
                           size_t count)
{
    FUZZ_ASSERT(told->count == count);
    for (size_t i = 0; i < count; i++)
        FUZZ_ASSERT(is_same(&told->access[i], &want[i]));
}

static void check_refused(const uint8_t *code, unsigned length, enum model_answer answer,
                          const struct model_instruction *model)
{
    uint8_t interrupt = NOT_WRITTEN, bytes = NOT_WRITTEN;
    enum instruction_kind kind =
        instruction_refused(at_the_edge(code, length), length, &interrupt, &bytes);

    if (kind == INSTRUCTION_INTERRUPT) {
        FUZZ_ASSERT(bytes >= 2 && bytes <= length && bytes <= CODE_MOST);
        FUZZ_ASSERT(code[bytes - 2] == 0xcd && code[bytes - 1] == interrupt);
    } else {
        FUZZ_ASSERT(interrupt == NOT_WRITTEN && bytes == NOT_WRITTEN);
    }
    if (answer == MODEL_KNOWN) {
        FUZZ_ASSERT((kind == INSTRUCTION_INTERRUPT) == model->interrupt);
        if (model->interrupt)
            FUZZ_ASSERT(interrupt == model->number && bytes == model->bytes);
    } else if (answer == MODEL_SHORT) {
        FUZZ_ASSERT(kind == INSTRUCTION_OTHER);
    }
}

/* Of the bytes alone: what comes behind a whole instruction changes nothing, and one that is not whole
 * touches nothing. */
static void check_cuts(const uint8_t *code, unsigned length)
{
    struct told all = ask(code, length);
    bool was_whole = false;

    for (unsigned cut = 0; cut <= length && cut <= CODE_MOST; cut++) {
        bool whole = instruction_is_whole(at_the_edge(code, cut), cut);
        struct told told = ask(code, cut);
        FUZZ_ASSERT(whole || !was_whole);
        if (whole)
            check_accesses(&told, all.access, all.count);
        else
            FUZZ_ASSERT(told.count == 0);
        was_whole = whole;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz fuzz = fuzz_begin(data, bytes);
    struct model_instruction model;
    uint8_t code[CODE_MOST + 1];
    unsigned length = 0;

    take_registers(&fuzz);
    while (fuzz_left(&fuzz) && length < sizeof code)
        code[length++] = fuzz_byte(&fuzz);
    enum model_answer answer = model_decode(&machine, code, length, &model);
    if (answer == MODEL_KNOWN) {
        struct told told = ask(code, length);
        check_accesses(&told, model.access, model.count);
        FUZZ_ASSERT(instruction_is_whole(code, model.bytes));
        FUZZ_ASSERT(!instruction_is_whole(code, model.bytes - 1));
    } else if (answer == MODEL_SHORT) {
        FUZZ_ASSERT(!instruction_is_whole(code, length));
    }
    check_refused(code, length, answer, &model);
    check_cuts(code, length);
    return 0;
}
