/* SPDX-License-Identifier: BSD-2-Clause */
/* The secret, as bystanders know it and as the attacker does, in whose memory it must not be. */
#ifndef FERRY_TESTS_HOSTILE_SECRET_H
#define FERRY_TESTS_HOSTILE_SECRET_H

#define SECRET_BYTES 16

static inline char secret_hidden(char letter)
{
    return (char)(letter + 1);
}

#endif
