/* SPDX-License-Identifier: BSD-2-Clause */
/* From options and stages to an engine and VMs. They return 0 or an exit status, after a message. */
#ifndef FERRY_CLI_MAKE_H
#define FERRY_CLI_MAKE_H

#include "pipeline.h"

int make_engine(const struct options *options, uint32_t extents, struct ferry_engine **out);
/* What the options say of a VM for the stage. What it points to is theirs. */
struct ferry_vm_config make_config(const struct options *options, const struct stage *stage);
int make_vm(struct ferry_engine *engine, const struct ferry_vm_config *config, struct stage *stage);

/* After all VMs were destroyed: says so if a unit of the pool did not come home. */
void make_check_ledger(const struct ferry_ledger *ledger);

#endif
