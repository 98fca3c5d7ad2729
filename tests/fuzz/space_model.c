/* SPDX-License-Identifier: BSD-2-Clause */
/* An array of pages: nothing is known of regions, charges or the host. */
#include "space_model.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuzz.h"

#define RIGHTS (SPACE_READ | SPACE_WRITE | SPACE_EXEC)

uint64_t model_addr(uint32_t page)
{
    return MODEL_START + page * PAGE;
}

bool model_range(uint64_t addr, uint32_t count, struct range *out)
{
    if (addr < MODEL_START || addr + count * PAGE > MODEL_START + MODEL_PAGES * PAGE)
        return false;
    *out = (struct range){(uint32_t)((addr - MODEL_START) / PAGE), count};
    return true;
}

bool model_is_free(const struct space_model *model, struct range range)
{
    for (uint32_t i = 0; i < range.count; i++) {
        if (model->page[range.at + i].mapped)
            return false;
    }
    return true;
}

bool model_is_mapped(const struct space_model *model, struct range range)
{
    for (uint32_t i = 0; i < range.count; i++) {
        if (!model->page[range.at + i].mapped)
            return false;
    }
    return true;
}

/* The processor knows no right to write or execute without the one to read. */
static uint8_t rights(unsigned prot)
{
    return (uint8_t)(prot & (SPACE_WRITE | SPACE_EXEC) ? prot | SPACE_READ : prot);
}

void model_map(struct space_model *model, struct range range, unsigned prot, bool shared, int file)
{
    for (uint32_t i = 0; i < range.count; i++) {
        uint8_t origin = file ? (uint8_t)(file + (int)i) : 0;
        model->page[range.at + i] = (struct page){.mapped = true,
                                                  .shared = shared,
                                                  .file = file != 0,
                                                  .prot = rights(prot),
                                                  .value = origin,
                                                  .origin = origin};
    }
}

void model_unmap(struct space_model *model, struct range range)
{
    memset(&model->page[range.at], 0, range.count * sizeof(struct page));
}

void model_protect(struct space_model *model, struct range range, unsigned prot)
{
    for (uint32_t i = 0; i < range.count; i++)
        model->page[range.at + i].prot = rights(prot);
}

void model_discard(struct space_model *model, struct range range)
{
    for (uint32_t i = 0; i < range.count; i++) {
        struct page *page = &model->page[range.at + i];
        if (!page->shared)
            page->value = page->origin;
    }
}

bool model_discard_private(struct space_model *model, struct range *range)
{
    for (uint32_t i = 0; i < range->count; i++) {
        struct page *page = &model->page[range->at + i];
        if (page->mapped && (page->shared || page->file))
            return false;
        page->value = 0;
    }
    return true;
}

bool model_empty_shared(struct space_model *model, struct range range)
{
    for (uint32_t i = 0; i < range.count; i++) {
        struct page *page = &model->page[range.at + i];
        if (!page->mapped || !page->shared)
            return false;
        page->value = 0;
    }
    return true;
}

/* ---- mremap ----------------------------------------------------------------- */

static bool is_like(const struct page *one, const struct page *other)
{
    return other->mapped && one->prot == other->prot && one->shared == other->shared &&
           one->file == other->file;
}

static bool is_uniform(const struct space_model *model, struct range range)
{
    for (uint32_t i = 0; i < range.count; i++) {
        if (!is_like(&model->page[range.at], &model->page[range.at + i]))
            return false;
    }
    return true;
}

bool model_must_move(const struct space_model *model, const struct range *old,
                     const struct range *to, uint64_t flags)
{
    bool fixed = flags & MREMAP_FIXED, grows = to->count > old->count;

    if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) && !(flags & MREMAP_MAYMOVE))
        return false;
    if (flags & MREMAP_DONTUNMAP && to->count != old->count)
        return false;
    if ((fixed || flags & MREMAP_DONTUNMAP) && to->at < old->at + old->count &&
        old->at < to->at + to->count)
        return false;
    if (!is_uniform(model, *old) || (model->page[old->at].file && grows))
        return false;
    if (flags & MREMAP_DONTUNMAP && (model->page[old->at].file || model->page[old->at].shared))
        return false;
    return !grows || flags & MREMAP_MAYMOVE;
}

bool model_take(const struct space_model *model, struct range old, uint32_t count, bool in_place,
                struct page *out)
{
    const struct page *from = &model->page[old.at];
    uint32_t kept = count < old.count ? count : old.count;

    if ((!in_place && !model_is_mapped(model, (struct range){old.at, kept})) ||
        (count > old.count && !is_uniform(model, old)))
        return false;
    memcpy(out, from, kept * sizeof *out);
    for (uint32_t i = kept; i < count; i++)
        out[i] = (struct page){.mapped = true, .shared = from->shared, .prot = from->prot};
    return true;
}

void model_leave(struct space_model *model, struct range old, bool stays)
{
    if (!stays)
        model_unmap(model, old);
    for (uint32_t i = 0; stays && i < old.count; i++)
        model->page[old.at + i].value = 0;
}

void model_put(struct space_model *model, struct range range, const struct page *pages)
{
    memcpy(&model->page[range.at], pages, range.count * sizeof *pages);
}

void model_follow_loss(struct space_model *model, struct ferry_vm *vm, struct range range)
{
    for (uint32_t i = 0; i < range.count; i++) {
        if (!space_reach(&vm->space, guest_addr(model_addr(range.at + i)), PAGE, 0).at)
            model_unmap(model, (struct range){range.at + i, 1});
    }
}

/* ---- comparing -------------------------------------------------------------- */

bool page_agrees(const struct page *page, struct ferry_vm *vm, uint64_t addr)
{
    struct guest_addr at = guest_addr(addr);
    uint8_t value = 0xff;

    if ((space_prot(&vm->space, at) & RIGHTS) != page->prot ||
        (space_reach(&vm->space, at, PAGE, 0).at != NULL) != page->mapped)
        return false;
    if (!(page->prot & SPACE_READ))
        return true;
    /* What is closed was never used. To look would open it. */
    if (space_is_closed(&vm->space, at, PAGE))
        return page->value == 0;
    return !vm_copy_in(vm, &value, at, 1) && value == page->value;
}

bool model_agrees(const struct space_model *model, struct ferry_vm *vm)
{
    for (uint32_t i = 0; i < MODEL_PAGES; i++) {
        if (!page_agrees(&model->page[i], vm, model_addr(i))) {
            fprintf(stderr, "page %u: prot %u, expected %u, value %u\n", i,
                    space_prot(&vm->space, guest_addr(model_addr(i))), model->page[i].prot,
                    model->page[i].value);
            return false;
        }
    }
    return true;
}

void model_check_host(const struct space_model *model, struct ferry_vm *vm)
{
    for (uint32_t i = 0; i < MODEL_PAGES; i++) {
        const struct page *page = &model->page[i];
        uint64_t addr = model_addr(i);
        char byte = 0;
        struct iovec mine = {&byte, 1}, there = {space_host(&vm->space, addr), 1};
        bool open = page->mapped && !space_is_closed(&vm->space, guest_addr(addr), PAGE);
        bool reads = process_vm_readv(getpid(), &mine, 1, &there, 1, 0) == 1;

        FUZZ_ASSERT(reads == (open && page->prot & SPACE_READ));
        if (reads)
            FUZZ_ASSERT((process_vm_writev(getpid(), &mine, 1, &there, 1, 0) == 1) ==
                        ((page->prot & SPACE_WRITE) != 0));
    }
}
