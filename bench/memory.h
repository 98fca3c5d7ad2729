/* SPDX-License-Identifier: BSD-2-Clause */
/* What memory this process takes, its own and the kernel's for it, in KiB. */
#ifndef FERRY_BENCH_MEMORY_H
#define FERRY_BENCH_MEMORY_H

struct memory {
    double resident;  /* pages mapped by the process */
    double own;       /* of these its share: a page that is mapped n times counts 1/n each time */
    double anonymous; /* of `own` */
    /* Of the whole machine: only differences say something. */
    double slab, vmalloc, page_tables, shadow_tables, kernel_stacks;
    double taken; /* memory that is not available */
};

/* What cannot be read is 0. */
void memory_read(struct memory *out);

#endif
