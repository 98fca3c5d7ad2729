/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decode: checks one message in private memory, may fail and changes nothing (claims 1, 4, 6, 7).
 * perform hands the checked message over.
 */
#ifndef FERRY_HOST_DECODE_H
#define FERRY_HOST_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/endpoint.h"
#include "ipc/perform.h"

/* Checks a descriptor that `from` queued. -EINVAL: malformed; -EPERM: no link; -EMSGSIZE: too long;
 * -EFAULT: the payload is not the sender's memory. */
int decode_message(struct endpoint *from, const struct ferry_desc *desc, struct transfer *out);
/* Whether only the sender's own thread should check this message and perform it: its payload lies in
 * memory in which a file itself is mapped, so that it may take as long as a disk, or in memory that is
 * charged when it is touched. */
bool decode_may_wait(struct endpoint *from, const struct ferry_desc *desc);
/* Checks the payload of a LEND or MOVE: sets offset, bytes, units. */
int decode_units(struct endpoint *from, struct pool_offset offset, uint64_t bytes,
                 struct transfer *out);

#endif
