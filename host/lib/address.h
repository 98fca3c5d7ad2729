/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kinds of addresses that only look alike: each is a struct of one number, so the compiler refuses
 * one kind where another is expected. The structs are passed and kept as the number itself is. An
 * address of the host is a pointer.
 */
#ifndef FERRY_HOST_ADDRESS_H
#define FERRY_HOST_ADDRESS_H

#include <stdint.h>

/* A place in the pool, in bytes from its start. It is the same place in every window. */
struct pool_offset {
    uint64_t bytes;
};

static inline struct pool_offset pool_offset_add(struct pool_offset offset, uint64_t bytes)
{
    return (struct pool_offset){offset.bytes + bytes};
}

#endif
