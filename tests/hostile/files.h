/* SPDX-License-Identifier: BSD-2-Clause */
/* A directory with what an attacker may read and change, and with what it may not. */
#ifndef FERRY_TESTS_HOSTILE_FILES_H
#define FERRY_TESTS_HOSTILE_FILES_H

#include "../kvm/kvm_fixture.h"

struct hostile_files {
    char top[256], read_only[300], read_write[300], secret_path[320];
    const char *read_only_dirs[2], *read_write_dirs[2];
};

void hostile_files_make(struct hostile_files *files, const char *secret, struct world *world);
/* Nothing outside of the directory that may be written was changed. */
void hostile_files_expect(struct hostile_files *files, const char *secret);
void hostile_files_remove(struct hostile_files *files);

#endif
