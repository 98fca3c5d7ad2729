/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kinds of addresses that only look alike: each is a struct of one number, so the compiler refuses
 * one kind where another is expected. The structs are passed and kept as the number itself is. An
 * address of the host is a pointer.
 */
#ifndef FERRY_HOST_ADDRESS_H
#define FERRY_HOST_ADDRESS_H

#include <stdint.h>

/* An address in a guest. Its tables map each address to itself, so there is one kind for the
 * addresses that its program uses and those that KVM knows as physical. A number that comes from a
 * guest becomes one by guest_addr, and nothing is checked by that. */
struct guest_addr {
    uint64_t value;
};

static inline struct guest_addr guest_addr(uint64_t value)
{
    return (struct guest_addr){value};
}

static inline struct guest_addr guest_addr_add(struct guest_addr addr, uint64_t bytes)
{
    return (struct guest_addr){addr.value + bytes};
}

/* A place in the pool, in bytes from its start. It is the same place in every window. */
struct pool_offset {
    uint64_t bytes;
};

static inline struct pool_offset pool_offset_add(struct pool_offset offset, uint64_t bytes)
{
    return (struct pool_offset){offset.bytes + bytes};
}

#endif
