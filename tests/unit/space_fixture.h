/* SPDX-License-Identifier: BSD-2-Clause */
/* An address space to test, with real tables and a pretended KVM. */
#ifndef FERRY_TESTS_SPACE_FIXTURE_H
#define FERRY_TESTS_SPACE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdbool.h>

#include <ferry/abi/layout.h>

#include "kvm/guest_tables.h"
#include "program/space.h"

#define PAGE       4096ull
#define MIB        (1ull << 20)
#define AREA       0x200000000ull /* where mappings begin */
#define LIMIT      (64 * MIB)
#define READ_WRITE (SPACE_READ | SPACE_WRITE)

struct space_fixture {
    struct space space;
    struct guest_tables tables;
    void *table_pages;
    unsigned slots_added;
    unsigned slots_allowed;
    int pagemap;
};

/* For cmocka: *state is a struct space_fixture. */
int space_setup(void **state);
int space_teardown(void **state);

/* Whether the host's own mapping lets this process read or write there. */
bool host_can(const struct space *space, uint64_t addr, bool write);
/* The leaf that maps addr, 0 if there is none; *large: it is one of 2 MiB. */
uint64_t leaf_of(const struct space_fixture *f, uint64_t addr, bool *large);

#define TEST(name) cmocka_unit_test_setup_teardown(name, space_setup, space_teardown)

#endif
