/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threat: a program that maps, moves, protects and gives back memory in any order, to keep memory that
 * nobody counts, to see what was there before, to have a right that it gave away or never had, or to
 * make the VMM touch memory that is not there; and a host that refuses such a change at any moment.
 *
 * An input is a list of calls for a range of 1,024 pages, and for the heap, served by the personality
 * without KVM. A model has the rights and one byte of each page. The address space, and
 * at the end the host's own mappings, must agree with it (looked at
 * every few calls, as there are many pages); what the program may have is never exceeded;
 * in the end, when all is unmapped, nothing is charged. A layer may be taken at any moment, and had again any
 * number of times: then all is as the model was.
 *
 * Not here: the far part, shared files, files that change, threads.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "host_refuses.h"
#include "linux/mapped.h"
#include "linux/state.h"
#include "linux/vm_linux.h"
#include "linux_fixture.h"
#include "space_model.h"

#define STEPS       60
#define CHECK_STEPS 8 /* all pages are looked at after so many */
#define FILE_PAGES  16u
#define HOGS        8u
#define HEAP_PAGES  64u
#define PIECE       (64ull << 10) /* that a touch may open */

static struct run {
    struct ferry_vm *vm;
    struct space_model model;
    int64_t fd; /* a file of FILE_PAGES: page n begins with n + 1 */
    uint64_t hog[HOGS], hog_bytes[HOGS];
    unsigned hogs;
    uint64_t heap_break;
    uint64_t start_bytes; /* charged at the start */
    /* What there was when the layer was taken: */
    struct space_layer *layer; /* NULL: there is none */
    struct {
        struct space_model model;
        uint64_t hog[HOGS], hog_bytes[HOGS];
        unsigned hogs;
        uint64_t heap_break, heap_mapped, object_bytes_most;
    } then;
} run;

/* ---- what calls are about --------------------------------------------------- */

static struct range take_range(struct fuzz *fuzz)
{
    uint32_t kind = fuzz_byte(fuzz), at = (uint32_t)fuzz_bytes(fuzz, 2) % MODEL_PAGES;
    uint32_t count = kind & 0x80 ? 240 + (kind & 0x7f) * 4 : 1 + (kind & 15);

    if (kind & 0x40)
        at &= ~15u; /* so that ranges meet */
    if (count > MODEL_PAGES - at)
        count = MODEL_PAGES - at;
    return (struct range){at, count};
}

static unsigned take_prot(struct fuzz *fuzz)
{
    return fuzz_below(fuzz, 8);
}

/* Whether so much more may be refused: it would not fit, or the host was told to refuse. */
static bool may_refuse(uint64_t more)
{
    return host_refused() || run.vm->space.used_bytes + more > run.vm->space.limit_bytes;
}

static uint64_t bytes_of(struct range range)
{
    return range.count * PAGE;
}

/* ---- the calls -------------------------------------------------------------- */

static void map_fixed(struct fuzz *fuzz)
{
    struct range range = take_range(fuzz);
    unsigned prot = take_prot(fuzz), kind = fuzz_byte(fuzz);
    bool file = (kind & 3) == 3, shared = (kind & 3) == 1, keeps = kind & 4;
    uint64_t flags = (shared ? MAP_SHARED : MAP_PRIVATE) | (file ? 0 : MAP_ANONYMOUS) |
                     (keeps ? MAP_FIXED_NOREPLACE : MAP_FIXED) | (kind & 8 ? MAP_NORESERVE : 0);
    uint64_t offset = file ? fuzz_below(fuzz, FILE_PAGES) : 0;

    if (file && range.count > FILE_PAGES - offset)
        range.count = FILE_PAGES - (unsigned)offset;
    int64_t got = CALL(run.vm, mmap, model_addr(range.at), bytes_of(range), prot, flags,
                       file ? (uint64_t)run.fd : (uint64_t)-1, offset * PAGE);
    if (keeps && !model_is_free(&run.model, range)) {
        FUZZ_ASSERT(got == -EEXIST);
    } else if (got < 0) {
        FUZZ_ASSERT(got == -ENOMEM && may_refuse(bytes_of(range)));
        if (host_refused()) /* what was to be replaced may be gone */
            model_follow_loss(&run.model, run.vm, range);
    } else {
        FUZZ_ASSERT((uint64_t)got == model_addr(range.at));
        model_map(&run.model, range, prot, shared, file ? (int)offset + 1 : 0);
    }
}

/* Where the personality likes, near a wish. */
static void map_anywhere(struct fuzz *fuzz)
{
    struct range range = take_range(fuzz), got_range;
    unsigned prot = take_prot(fuzz);
    uint64_t hint = fuzz_byte(fuzz) & 1 ? model_addr(range.at) : fuzz_value(fuzz);
    int64_t got = CALL(run.vm, mmap, hint, bytes_of(range), prot, MAP_PRIVATE | MAP_ANONYMOUS,
                       (uint64_t)-1, 0);

    if (got < 0) {
        FUZZ_ASSERT(got == -ENOMEM && may_refuse(bytes_of(range)));
        return;
    }
    FUZZ_ASSERT(got % PAGE == 0 &&
                space_is_range(&run.vm->space, guest_addr((uint64_t)got), bytes_of(range)));
    if (hint == model_addr(range.at) && model_is_free(&run.model, range))
        FUZZ_ASSERT((uint64_t)got == hint);
    if (model_range((uint64_t)got, range.count, &got_range)) {
        FUZZ_ASSERT(model_is_free(&run.model, got_range));
        model_map(&run.model, got_range, prot, false, 0);
    } else {
        /* Its parts in the range, if any, must have been free: they are again. */
        host_refuse(0);
        FUZZ_ASSERT(CALL(run.vm, munmap, (uint64_t)got, bytes_of(range)) == 0);
    }
}

static void unmap(struct fuzz *fuzz)
{
    struct range range = take_range(fuzz);
    int64_t got = CALL(run.vm, munmap, model_addr(range.at), bytes_of(range));

    if (got)
        FUZZ_ASSERT(got == -ENOMEM && host_refused());
    else
        model_unmap(&run.model, range);
}

static void protect(struct fuzz *fuzz)
{
    struct range range = take_range(fuzz);
    unsigned prot = take_prot(fuzz);
    int64_t got = CALL(run.vm, mprotect, model_addr(range.at), bytes_of(range), prot);

    if (!model_is_mapped(&run.model, range))
        FUZZ_ASSERT(got == -ENOMEM);
    else if (got)
        FUZZ_ASSERT(got == -ENOMEM && may_refuse(bytes_of(range)));
    else
        model_protect(&run.model, range, prot);
}

static void advise(struct fuzz *fuzz)
{
    static const int advices[] = {MADV_DONTNEED, MADV_FREE, MADV_REMOVE, 22, 23};
    struct range range = take_range(fuzz);
    int advice = advices[fuzz_below(fuzz, 5)];
    int64_t got = CALL(run.vm, madvise, model_addr(range.at), bytes_of(range), (uint64_t)advice);

    if (got == -ENOMEM && host_refused()) { /* memory of a layer is mapped anew */
        host_refuse(0);
        got = CALL(run.vm, madvise, model_addr(range.at), bytes_of(range), (uint64_t)advice);
    }
    if (advice == MADV_DONTNEED) {
        FUZZ_ASSERT(got == (model_is_mapped(&run.model, range) ? 0 : -ENOMEM));
        model_discard(&run.model, range);
    } else if (advice == MADV_FREE) {
        if (model_discard_private(&run.model, &range))
            FUZZ_ASSERT(got == (model_is_mapped(&run.model, range) ? 0 : -ENOMEM));
        else
            FUZZ_ASSERT(got == -EINVAL);
    } else if (advice == MADV_REMOVE && got == 0) {
        FUZZ_ASSERT(model_empty_shared(&run.model, range));
    }
}

/* ---- mremap ----------------------------------------------------------------- */

struct move {
    struct range old, to; /* to: where MREMAP_FIXED says; its count is the new length */
    uint64_t flags;
};

/* Nothing was moved; but where the host refused half way, what was to be cut off or replaced may be
 * gone. */
static void move_failed(const struct move *move, int64_t got)
{
    struct range rest = {move->old.at + move->to.count, move->old.count - move->to.count};

    FUZZ_ASSERT(got == -EINVAL || got == -EFAULT || got == -ENOMEM);
    if (model_must_move(&run.model, &move->old, &move->to, move->flags))
        FUZZ_ASSERT(got == -ENOMEM && may_refuse(2 * bytes_of(move->to)));
    if (got != -ENOMEM)
        return;
    if (move->to.count < move->old.count)
        model_follow_loss(&run.model, run.vm, rest);
    if (move->flags & MREMAP_FIXED)
        model_follow_loss(&run.model, run.vm, move->to);
}

static void remap(struct fuzz *fuzz)
{
    static const uint64_t kinds[] = {0,
                                     MREMAP_MAYMOVE,
                                     MREMAP_MAYMOVE,
                                     MREMAP_MAYMOVE | MREMAP_FIXED,
                                     MREMAP_MAYMOVE | MREMAP_FIXED,
                                     MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
                                     MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
                                     MREMAP_FIXED};
    struct move move = {.old = take_range(fuzz), .to = take_range(fuzz)};
    struct range now;

    move.flags = kinds[fuzz_below(fuzz, 8)];
    if (fuzz_byte(fuzz) & 1 && move.to.at + move.old.count <= MODEL_PAGES)
        move.to.count = move.old.count;
    int64_t got = CALL(run.vm, mremap, model_addr(move.old.at), bytes_of(move.old),
                       bytes_of(move.to), move.flags, model_addr(move.to.at));
    if (got < 0) {
        move_failed(&move, got);
        return;
    }
    FUZZ_ASSERT(!(move.flags & MREMAP_FIXED) || (uint64_t)got == model_addr(move.to.at));
    struct page moved[MODEL_PAGES];
    FUZZ_ASSERT(model_take(&run.model, move.old, move.to.count,
                           (uint64_t)got == model_addr(move.old.at), moved));
    model_leave(&run.model, move.old, move.flags & MREMAP_DONTUNMAP);
    if (model_range((uint64_t)got, move.to.count, &now)) {
        FUZZ_ASSERT(move.flags & MREMAP_FIXED || model_is_free(&run.model, now) ||
                    now.at == move.old.at);
        model_put(&run.model, now, moved);
        return;
    }
    for (uint32_t i = 0; i < move.to.count; i++)
        FUZZ_ASSERT(page_agrees(&moved[i], run.vm, (uint64_t)got + i * PAGE));
    host_refuse(0);
    FUZZ_ASSERT(CALL(run.vm, munmap, (uint64_t)got, bytes_of(move.to)) == 0);
}

/* ---- use -------------------------------------------------------------------- */

static void store(struct fuzz *fuzz)
{
    uint32_t at = (uint32_t)fuzz_bytes(fuzz, 2) % MODEL_PAGES;
    uint8_t value = fuzz_byte(fuzz);
    struct page *page = &run.model.page[at];
    int result = vm_copy_out(run.vm, guest_addr(model_addr(at)), &value, 1);

    if (!(page->prot & SPACE_WRITE)) {
        FUZZ_ASSERT(result);
    } else if (result) {
        FUZZ_ASSERT(may_refuse(PIECE));
    } else {
        page->value = value;
    }
}

/* Uses up what the program may have. */
static void hog(struct fuzz *fuzz)
{
    uint64_t bytes = (1 + (uint64_t)fuzz_below(fuzz, 64)) * MIB;
    int64_t got;

    if (run.hogs == HOGS)
        return;
    got = CALL(run.vm, mmap, 0, bytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (uint64_t)-1, 0);
    if (got < 0) {
        FUZZ_ASSERT(got == -ENOMEM && may_refuse(bytes));
        return;
    }
    run.hog[run.hogs] = (uint64_t)got;
    run.hog_bytes[run.hogs++] = bytes;
    if (CALL(run.vm, madvise, (uint64_t)got, bytes, 23))
        FUZZ_ASSERT(may_refuse(bytes));
}

/* The heap's last byte is used; what was given back must come again as zeros. */
static void move_break(struct fuzz *fuzz)
{
    uint64_t wanted = HEAP_START + fuzz_bytes(fuzz, 3) % (HEAP_PAGES * PAGE);
    uint64_t got = (uint64_t)CALL(run.vm, brk, wanted);
    uint8_t byte = 0xff, one = 1;

    if (got != wanted) {
        FUZZ_ASSERT(got == run.heap_break && may_refuse(HEAP_PAGES * PAGE));
        return;
    }
    for (uint64_t addr = (run.heap_break + PAGE - 1) & ~(PAGE - 1); addr < wanted; addr += PAGE) {
        FUZZ_ASSERT(!vm_copy_in(run.vm, &byte, guest_addr(addr), 1) && byte == 0);
        FUZZ_ASSERT(!vm_copy_out(run.vm, guest_addr(addr), &one, 1));
    }
    uint64_t end = (wanted + PAGE - 1) & ~(PAGE - 1);
    FUZZ_ASSERT(!space_prot(&run.vm->space, guest_addr(end)));
    run.heap_break = wanted;
}

/* ---- layers ----------------------------------------------------------------- */

static bool has_shared(const struct space_model *model)
{
    for (uint32_t i = 0; i < MODEL_PAGES; i++)
        if (model->page[i].mapped && model->page[i].shared)
            return true;
    return false;
}

static void take_layer(struct fuzz *fuzz)
{
    const struct linux_state *state = run.vm->linux_state;
    struct space_layer *layer;
    int result = space_take_layer(&run.vm->space, &layer);

    (void)fuzz;
    if (result == -EBUSY) {
        FUZZ_ASSERT(has_shared(&run.model));
        return;
    }
    if (result) {
        FUZZ_ASSERT(result == -ENOMEM && host_refused());
        return;
    }
    FUZZ_ASSERT(!has_shared(&run.model));
    space_layer_free(&run.vm->space, run.layer);
    run.layer = layer;
    for (uint32_t i = 0; i < MODEL_PAGES; i++) /* what a file had is from now on as it is now */
        if (run.model.page[i].file)
            run.model.page[i].origin = run.model.page[i].value;
    run.then.model = run.model;
    memcpy(run.then.hog, run.hog, sizeof run.hog);
    memcpy(run.then.hog_bytes, run.hog_bytes, sizeof run.hog_bytes);
    run.then.hogs = run.hogs;
    run.then.heap_break = run.heap_break;
    run.then.heap_mapped = state->heap_mapped;
    run.then.object_bytes_most = state->common->object_bytes_most;
}

/* The personality's own objects stay, and so does what they are charged for. */
static void have_layer(struct fuzz *fuzz)
{
    struct linux_state *state = run.vm->linux_state;

    (void)fuzz;
    if (!run.layer)
        return;
    if (space_go_back(&run.vm->space, run.layer)) {
        FUZZ_ASSERT(host_refused());
        host_refuse(0);
        FUZZ_ASSERT(space_go_back(&run.vm->space, run.layer) == 0);
    }
    run.vm->space.used_bytes += state->common->object_bytes_most - run.then.object_bytes_most;
    run.model = run.then.model;
    memcpy(run.hog, run.then.hog, sizeof run.hog);
    memcpy(run.hog_bytes, run.then.hog_bytes, sizeof run.hog_bytes);
    run.hogs = run.then.hogs;
    run.heap_break = state->heap_break = run.then.heap_break;
    state->heap_mapped = run.then.heap_mapped;
}

static void step(struct fuzz *fuzz)
{
    static void (*const calls[])(struct fuzz *) = {map_fixed,  map_anywhere, unmap,     protect,
                                                   advise,     remap,        store,     hog,
                                                   move_break, take_layer,   have_layer};
    uint8_t kind = fuzz_byte(fuzz);

    host_refuse(kind & 0x80 ? 1 + fuzz_below(fuzz, 12) : 0);
    calls[(kind & 0x7f) % (sizeof calls / sizeof calls[0])](fuzz);
    host_refuse(0);
    FUZZ_ASSERT(run.vm->space.used_bytes <= run.vm->space.limit_bytes);
}

/* Without what the personality's own objects took once, which the next ones have free. */
static uint64_t charged(void)
{
    const struct linux_state *state = run.vm->linux_state;

    return run.vm->space.used_bytes - state->common->object_bytes_most +
           state->common->object_bytes;
}

static void begin(void)
{
    memset(&run, 0, sizeof run);
    run.vm = linux_vm_create(NULL, -1);
    run.heap_break = HEAP_START;
    run.start_bytes = charged();
    guest_string(run.vm, SCRATCH, "file");
    run.fd = CALL(run.vm, memfd_create, SCRATCH, 0);
    FUZZ_ASSERT(run.fd >= 0 && !CALL(run.vm, ftruncate, (uint64_t)run.fd, FILE_PAGES * PAGE));
    for (uint64_t i = 0; i < FILE_PAGES; i++) {
        *(uint8_t *)guest(run.vm, SCRATCH) = (uint8_t)(i + 1);
        FUZZ_ASSERT(CALL(run.vm, pwrite64, (uint64_t)run.fd, SCRATCH, 1, i * PAGE) == 1);
    }
    /* From its first mapping on it has a name, for which the program is charged. */
    FUZZ_ASSERT(CALL(run.vm, mmap, model_addr(0), PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED,
                     (uint64_t)run.fd, 0) == (int64_t)model_addr(0));
    FUZZ_ASSERT(CALL(run.vm, munmap, model_addr(0), PAGE) == 0);
}

static void end(void)
{
    FUZZ_ASSERT(model_agrees(&run.model, run.vm));
    model_check_host(&run.model, run.vm);
    FUZZ_ASSERT(CALL(run.vm, munmap, model_addr(0), MODEL_PAGES * PAGE) == 0);
    for (unsigned i = 0; i < run.hogs; i++)
        FUZZ_ASSERT(CALL(run.vm, munmap, run.hog[i], run.hog_bytes[i]) == 0);
    FUZZ_ASSERT(CALL(run.vm, brk, HEAP_START) == HEAP_START);
    space_layer_free(&run.vm->space, run.layer);
    FUZZ_ASSERT(CALL(run.vm, close, (uint64_t)run.fd) == 0);
    FUZZ_ASSERT(run.vm->linux_state->mapped_count == 0);
    mapped_clear(run.vm->linux_state); /* its list of mapped files, too */
    FUZZ_ASSERT(charged() == run.start_bytes);
    linux_vm_destroy(run.vm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz fuzz = fuzz_begin(data, bytes);

    begin();
    for (int i = 1; i <= STEPS && fuzz_left(&fuzz); i++) {
        step(&fuzz);
        if (i % CHECK_STEPS == 0)
            FUZZ_ASSERT(model_agrees(&run.model, run.vm));
    }
    end();
    return 0;
}
