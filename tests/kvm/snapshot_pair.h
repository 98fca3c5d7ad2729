/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM that is brought back to its snapshot, and the host at the other end of its links. */
#ifndef FERRY_TESTS_SNAPSHOT_PAIR_H
#define FERRY_TESTS_SNAPSHOT_PAIR_H

#include "../guest/ready.h"
#include "kvm_fixture.h"

#define PAGE 4096u

static const char secret[SECRET_BYTES] = "what nobody else may see";

/* A VM that runs `ready`, and the links to and from it. */
struct pair {
    struct ferry_vm *vm;
    struct ferry_link *to, *from;
};

struct pair pair_add(struct world *world, const char *with);
struct pair pair_with_snapshot(struct world *world);
void pair_reset(const struct pair *pair);
void pair_ask(const struct pair *pair, enum ready_request request, int mode, const void *data,
              size_t bytes);
struct ferry_message pair_await(struct world *world, const struct pair *pair);
uint64_t pair_answer(struct world *world, const struct pair *pair, enum ready_request request);
uint64_t pair_answer_to(struct world *world, const struct pair *pair, enum ready_request request,
                        const char *data);
/* The number of the run says which of them it is; the count that it is fresh. */
void pair_expect_fresh(struct world *world, const struct pair *pair, uint64_t copy);
struct ferry_ledger world_books(struct world *world);
int pair_setup_polled(void **state);

#endif
