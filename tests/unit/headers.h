/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what the C++ half of test_headers.c offers to the C half. */
#ifndef HEADERS_H
#define HEADERS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

const char *headers_cxx_version(void);
size_t headers_cxx_size(void); /* that FERRY_INIT gave a struct ferry_vm_exit */

#ifdef __cplusplus
}
#endif

#endif
