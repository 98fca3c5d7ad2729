/* SPDX-License-Identifier: BSD-2-Clause */
/* Three VMs and the host, of which B rests between its runs, and has links with all of them. */
#ifndef FERRY_TESTS_CORE_REST_H
#define FERRY_TESTS_CORE_REST_H

#include "core_trio.h"
#include "ipc/endpoint_rest.h"

#define REST_UNITS 516 /* of the trio's pool */

extern struct ferry_link *a_to_b, *c_to_b, *b_to_c, *host_to_b, *b_to_host;
extern struct endpoint_point point; /* at which B was marked last */

int rest_setup(void **state);

/* Marks B as it is, and if that works keeps what it shows its guest; the result. */
int mark(void);
/* B's program has ended: it rests; */
void end_run(void);
/* all is as at the point, */
void clear(void);
/* and goes on. All three at once: */
void begin_anew(void);

/* The guest takes the message, and releases what it carries. */
void take_and_release(struct endpoint *endpoint);
/* A page of its own. */
struct units lend(struct endpoint *from, struct endpoint *to);
int send_inline(struct endpoint *from, struct endpoint *to, uint64_t tag);
int send_copy(struct endpoint *from, uint16_t to);

#define TEST(name) cmocka_unit_test_setup_teardown(name, rest_setup, trio_teardown)

#endif
