/* SPDX-License-Identifier: BSD-2-Clause */
/* What a program has in a range of its addresses: rights and one byte of each page, as Linux has it. */
#ifndef FERRY_TESTS_SPACE_MODEL_H
#define FERRY_TESTS_SPACE_MODEL_H

#include "linux_fixture.h"

#define MODEL_PAGES 1024u
#define MODEL_START 0x23ff00000ull /* huge pages begin within the range */

struct page {
    bool mapped, shared, file;
    uint8_t prot;
    uint8_t value;  /* its first byte */
    uint8_t origin; /* that byte when the page is given back */
};

struct space_model {
    struct page page[MODEL_PAGES];
};

struct range {
    uint32_t at, count;
};

uint64_t model_addr(uint32_t page);
/* False: not all of it lies in the range of the model. */
bool model_range(uint64_t addr, uint32_t count, struct range *out);

bool model_is_free(const struct space_model *model, struct range range);
bool model_is_mapped(const struct space_model *model, struct range range);

/* file: 0, or the first byte of the first page. */
void model_map(struct space_model *model, struct range range, unsigned prot, bool shared, int file);
void model_unmap(struct space_model *model, struct range range);
void model_protect(struct space_model *model, struct range range, unsigned prot);
void model_discard(struct space_model *model, struct range range);
/* Of private memory that is no file's alone, up to the first that is something else: then false. */
bool model_discard_private(struct space_model *model, struct range *range);
/* False: it is not all shared memory. */
bool model_empty_shared(struct space_model *model, struct range range);

/* Whether this mremap is one that Linux allows, and that Ferry does not leave out. */
bool model_must_move(const struct space_model *model, const struct range *old,
                     const struct range *to, uint64_t flags);
/* The pages of a mapping that becomes `count` long. False: they are not one mapping, as they need not be
 * to become shorter in place. */
bool model_take(const struct space_model *model, struct range old, uint32_t count, bool in_place,
                struct page *out);
/* They went away; with `stays` empty pages are left. */
void model_leave(struct space_model *model, struct range old, bool stays);
void model_put(struct space_model *model, struct range range, const struct page *pages);

/* A call failed half way: pages of the range that are not there any more are not expected. */
void model_follow_loss(struct space_model *model, struct ferry_vm *vm, struct range range);

bool page_agrees(const struct page *page, struct ferry_vm *vm, uint64_t addr);
/* It says which page does not agree. */
bool model_agrees(const struct space_model *model, struct ferry_vm *vm);
/* What this process itself may read and write there is no more than the program may. */
void model_check_host(const struct space_model *model, struct ferry_vm *vm);

#endif
