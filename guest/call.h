/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two ways in which a program makes an exit on purpose. Private to libferry-guest. It is a
 * file of its own, so that a test can replace the VMM.
 */
#ifndef FERRY_GUEST_CALL_H
#define FERRY_GUEST_CALL_H

#include <stdint.h>

#include <ferry/abi/call.h>

/* A call of abi/call.h: its result, or a negative errno. */
int64_t ferry_guest_call(enum ferry_call number, uint64_t first, uint64_t second, uint64_t third);

/* Makes the VMM look at the out ring now (claim 6). */
void ferry_guest_doorbell(void);

#endif
