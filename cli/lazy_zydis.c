/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stands in front of Zydis, which the library asks what an instruction does that was refused. Few
 * programs have one, and to load a shared library takes as long as several system calls of a VM: so
 * this one is loaded when it is asked. Where it is missing no instruction can be told.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include <Zydis/Zydis.h>

#ifdef ZYDIS_MAX_OPERAND_COUNT_VISIBLE /* Zydis 4, as in host/program/instruction.c */
#define DECODE ZydisDecoderDecodeFull
#else
#define DECODE ZydisDecoderDecodeBuffer
#endif
#define TEXT_OF(name) #name
#define NAME(name)    TEXT_OF(name)

static struct {
    __typeof__(&ZydisDecoderInit) init;
    __typeof__(&DECODE) decode;
    __typeof__(&ZydisRegisterGetLargestEnclosing) enclosing;
    __typeof__(&ZydisRegisterGetClass) class;
    __typeof__(&ZydisRegisterGetId) id;
} zydis; /* set once; all or none */

static void load(void)
{
    const unsigned major = ZYDIS_VERSION_MAJOR(ZYDIS_VERSION),
                   minor = ZYDIS_VERSION_MINOR(ZYDIS_VERSION);
    char name[64];

    snprintf(name, sizeof(name), "libZydis.so.%u.%u", major, minor);
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    *(void **)&zydis.decode = dlsym(library, NAME(DECODE));
    *(void **)&zydis.enclosing = dlsym(library, "ZydisRegisterGetLargestEnclosing");
    *(void **)&zydis.class = dlsym(library, "ZydisRegisterGetClass");
    *(void **)&zydis.id = dlsym(library, "ZydisRegisterGetId");
    if (zydis.decode && zydis.enclosing && zydis.class && zydis.id)
        *(void **)&zydis.init = dlsym(library, "ZydisDecoderInit");
}

ZyanStatus ZydisDecoderInit(ZydisDecoder *decoder, ZydisMachineMode mode,
#ifdef ZYDIS_MAX_OPERAND_COUNT_VISIBLE
                            ZydisStackWidth width)
#else
                            ZydisAddressWidth width)
#endif
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return zydis.init ? zydis.init(decoder, mode, width) : ZYAN_STATUS_FAILED;
}

/* The rest is called once that succeeded. */
#ifdef ZYDIS_MAX_OPERAND_COUNT_VISIBLE
ZyanStatus ZydisDecoderDecodeFull(const ZydisDecoder *decoder, const void *code, ZyanUSize length,
                                  ZydisDecodedInstruction *insn,
                                  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT])
{
    return zydis.decode(decoder, code, length, insn, operands);
}
#else
ZyanStatus ZydisDecoderDecodeBuffer(const ZydisDecoder *decoder, const void *code, ZyanUSize length,
                                    ZydisDecodedInstruction *insn)
{
    return zydis.decode(decoder, code, length, insn);
}
#endif

ZydisRegister ZydisRegisterGetLargestEnclosing(ZydisMachineMode mode, ZydisRegister reg)
{
    return zydis.enclosing(mode, reg);
}

ZydisRegisterClass ZydisRegisterGetClass(ZydisRegister reg)
{
    return zydis.class(reg);
}

ZyanI8 ZydisRegisterGetId(ZydisRegister reg)
{
    return zydis.id(reg);
}
