/* SPDX-License-Identifier: BSD-2-Clause */
/* What must hold of the books of message traffic after every step, whatever guests did. */
#ifndef FERRY_TESTS_DECODE_BOOKS_H
#define FERRY_TESTS_DECODE_BOOKS_H

#include "core_fixture.h"

/* VM i, or NULL, has its window watched under number i (window_rights.h). `exact`: no change of a
 * window has failed so far, so rights are those of the ledger, and not only no more. */
void books_check(struct ferry_engine *engine, struct ferry_vm *const *vms, unsigned count,
                 bool exact);

#endif
