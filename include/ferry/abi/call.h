/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls from the guest to the VMM: `out %al, $FERRY_PORT_CALL` with the number
 * in RAX and arguments in RDI, RSI, RDX; the result, or a negative errno,
 * comes back in RAX. No other register changes. Every call is also a natural
 * exit: the VMM drains the out and release rings before it serves it.
 */
#ifndef FERRY_ABI_CALL_H
#define FERRY_ABI_CALL_H

enum ferry_call {
    /* wait(events, timeout_ns): block until one of the events holds; returns
     * those that hold, 0 after the timeout (UINT64_MAX: none). -EINVAL: an event
     * that is not known. */
    FERRY_CALL_WAIT = 1,
    /* alloc(count, page): `count` adjacent extents (page = 0) or 4 KiB pages
     * (page = 1), zeroed, owned by the caller; returns the address,
     * -ENOMEM when the pool has none, -EDQUOT past the VM's share. */
    FERRY_CALL_ALLOC = 2,
    /* free(addr, bytes): whole owned units go back to the pool. */
    FERRY_CALL_FREE = 3,
    /* ready(): the program has done what every run of it needs, and nothing of what is different. If
     * the host wants a snapshot of it, that is taken now. Returns the number of the copy that goes on
     * here, which is `copy` of the control structure. */
    FERRY_CALL_READY = 4,
};

/* Events of FERRY_CALL_WAIT. */
#define FERRY_EVENT_IN   1u /* the in ring holds a message not yet taken */
#define FERRY_EVENT_HOME 2u /* the completion ring holds an entry not yet taken */
#define FERRY_EVENT_OUT  4u /* all descriptors of the out ring were taken */
#define FERRY_EVENTS     7u /* all that are known */

#endif
