/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what the C++ half of test_headers.c offers to the C half. */
#ifndef HEADERS_H
#define HEADERS_H

#ifdef __cplusplus
extern "C" {
#endif

const char *headers_cxx_version(void);

#ifdef __cplusplus
}
#endif

#endif
