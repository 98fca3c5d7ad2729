/* SPDX-License-Identifier: BSD-2-Clause */
/* Layers: the memory of a moment, had again. */
#include "space_fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char *at(struct space_fixture *f, uint64_t addr)
{
    return space_host(&f->space, addr);
}

/* Three pages: one with text, one that is zero, one that is read-only. */
static struct space_layer *layer_of(struct space_fixture *f)
{
    struct space_layer *layer = NULL;

    assert_int_equal(space_map(&f->space, guest_addr(AREA), 3 * PAGE, READ_WRITE), 0);
    strcpy(at(f, AREA), "before");
    strcpy(at(f, AREA + 2 * PAGE), "fixed");
    assert_int_equal(space_protect(&f->space, guest_addr(AREA + 2 * PAGE), PAGE, SPACE_READ), 0);
    assert_int_equal(space_take_layer(&f->space, &layer), 0);
    return layer;
}

static void expect_as_before(struct space_fixture *f)
{
    static const char zeros[PAGE];

    assert_string_equal(at(f, AREA), "before");
    assert_memory_equal(at(f, AREA + PAGE), zeros, PAGE);
    assert_string_equal(at(f, AREA + 2 * PAGE), "fixed");
    assert_int_equal(f->space.used_bytes, 3 * PAGE);
    assert_int_equal(space_prot(&f->space, guest_addr(AREA + PAGE)), READ_WRITE);
    assert_int_equal(space_prot(&f->space, guest_addr(AREA + 2 * PAGE)), SPACE_READ);
    assert_true(host_can(&f->space, AREA + PAGE, true));
    assert_false(host_can(&f->space, AREA + 2 * PAGE, true));
}

static void stores_are_forgotten(void **state)
{
    struct space_fixture *f = *state;
    struct space_layer *layer = layer_of(f);
    uint64_t changes = f->space.changes, calls;

    expect_as_before(f);
    for (int i = 0; i < 3; i++) {
        strcpy(at(f, AREA), "after");
        strcpy(at(f, AREA + PAGE), "secret");
        calls = f->space.host_calls;
        assert_int_equal(space_go_back(&f->space, layer), 0);
        assert_int_equal(f->space.host_calls, calls); /* the pages stay, with other contents */
        expect_as_before(f);
    }
    assert_int_equal(f->space.changes, changes);
    space_layer_free(&f->space, layer);
}

/* Where the kernel does not tell which pages those are, all are given up. */
static void stores_are_forgotten_unseen(void **state)
{
    struct space_fixture *f = *state;
    struct space_layer *layer = layer_of(f);
    uint64_t calls = f->space.host_calls;

    f->space.backend.pagemap_and_one = 0;
    strcpy(at(f, AREA), "after");
    assert_int_equal(space_go_back(&f->space, layer), 0);
    assert_int_equal(f->space.host_calls - calls, 1); /* for what can be written */
    expect_as_before(f);
    space_layer_free(&f->space, layer);
}

/* Whether there is a page that no file has. */
static bool has_page(const struct space_fixture *f, uint64_t addr)
{
    uint64_t entry = 0, page = (uintptr_t)space_host(&f->space, addr) / PAGE;

    assert_int_equal(pread(f->pagemap, &entry, sizeof entry, (off_t)(page * sizeof entry)),
                     sizeof entry);
    return entry >> 63 && !(entry >> 61 & 1);
}

/* Pages that a run wrote stay for the next one, but no more than a number of them. */
static void pages_stay_up_to_a_number(void **state)
{
    struct space_fixture *f = *state;
    const uint64_t large = AREA + MIB, bytes = 17 * MIB;
    struct space_layer *layer;

    assert_int_equal(space_map(&f->space, guest_addr(large), bytes, READ_WRITE), 0);
    memset(at(f, large), 1, bytes);
    layer = layer_of(f);
    memset(at(f, large), 2, bytes);
    assert_int_equal(space_go_back(&f->space, layer), 0);
    assert_true(has_page(f, large));
    assert_false(has_page(f, large + bytes - PAGE));
    for (uint64_t i = 0; i < bytes; i += PAGE / 2)
        assert_int_equal(at(f, large)[i], 1);
    space_layer_free(&f->space, layer);
}

/* What lies beside a change keeps its pages. */
static void a_change_lays_no_more_than_it_must(void **state)
{
    struct space_fixture *f = *state;
    const uint64_t further = AREA + MIB;
    struct space_layer *layer = layer_of(f);

    strcpy(at(f, AREA), "after");
    strcpy(at(f, AREA + PAGE), "secret");
    assert_int_equal(space_map(&f->space, guest_addr(further), PAGE, READ_WRITE), 0);
    assert_int_equal(space_protect(&f->space, guest_addr(AREA), PAGE, SPACE_READ), 0);
    assert_int_equal(space_unmap(&f->space, guest_addr(AREA + PAGE), PAGE), 0);
    assert_int_equal(space_go_back(&f->space, layer), 0);
    assert_true(has_page(f, AREA));
    assert_false(has_page(f, AREA + PAGE));
    expect_as_before(f);
    assert_false(host_can(&f->space, further, false));
    space_layer_free(&f->space, layer);
}

/* A page that came where there may be none, as the host opened it and refused what lies beside it. */
static void a_page_without_rights_goes(void **state)
{
    struct space_fixture *f = *state;
    const uint64_t shut = AREA + MIB;
    struct space_layer *layer;

    assert_int_equal(space_map(&f->space, guest_addr(shut), PAGE, 0), 0);
    layer = layer_of(f);
    assert_int_equal(mprotect(at(f, shut), PAGE, PROT_READ | PROT_WRITE), 0);
    strcpy(at(f, shut), "secret");
    assert_int_equal(mprotect(at(f, shut), PAGE, PROT_NONE), 0);
    f->space.changes++;
    assert_int_equal(space_go_back(&f->space, layer), 0);
    assert_int_equal(space_protect(&f->space, guest_addr(shut), PAGE, READ_WRITE), 0);
    assert_int_equal(at(f, shut)[0], 0);
    space_layer_free(&f->space, layer);
}

/* ---- copies ------------------------------------------------------------------------ */

/* Another space, with the same layer. */
static struct space_layer *copy_of(struct space_fixture *to, const struct space_layer *layer)
{
    struct space_layer *copy = NULL;

    assert_int_equal(space_copy_layer(&to->space, layer, &copy), 0);
    assert_int_equal(space_go_back(&to->space, copy), 0);
    return copy;
}

static void a_copy_has_the_same_and_its_own(void **state)
{
    struct space_fixture *f = *state, *other;
    struct space_layer *layer = layer_of(f), *copy;
    bool large;

    assert_int_equal(space_setup((void **)&other), 0);
    strcpy(at(f, AREA), "after");
    copy = copy_of(other, layer);
    expect_as_before(other);
    assert_true(leaf_of(other, AREA, &large)); /* the guest gets there */
    strcpy(at(other, AREA), "other");
    assert_string_equal(at(f, AREA), "after");
    assert_int_equal(space_go_back(&f->space, layer), 0);
    assert_string_equal(at(other, AREA), "other");
    space_layer_free(&f->space, layer);
    assert_int_equal(space_go_back(&other->space, copy), 0);
    expect_as_before(other);
    space_layer_free(&other->space, copy);
    space_teardown((void **)&other);
}

/* The names of mappings are others, and called the same. */
static void a_copy_has_names_of_its_own(void **state)
{
    struct space_fixture *f = *state, *other;
    struct space_file *name = space_file_create(&f->space, "/a/name", 1, 2), *found;
    struct space_layer *layer, *copy;

    assert_int_equal(space_setup((void **)&other), 0);
    assert_int_equal(space_map(&f->space, guest_addr(AREA + MIB), 2 * PAGE, READ_WRITE), 0);
    assert_int_equal(space_set_label(&f->space, guest_addr(AREA + MIB), PAGE,
                                     (struct space_label){.file = name}),
                     0);
    assert_int_equal(space_take_layer(&f->space, &layer), 0);
    copy = copy_of(other, layer);
    found = space_label_at(&other->space, guest_addr(AREA + MIB)).file;
    assert_ptr_not_equal(found, name);
    assert_string_equal(found->path, "/a/name");
    assert_int_equal(other->space.used_bytes, f->space.used_bytes);
    assert_int_equal(space_copy_name(copy, layer, name, &found), 0);
    assert_ptr_equal(found, space_label_at(&other->space, guest_addr(AREA + MIB)).file);
    space_file_release(&other->space, found);
    space_layer_free(&other->space, copy);
    space_unmap(&other->space, guest_addr(AREA + MIB), 2 * PAGE);
    assert_int_equal(other->space.used_bytes, 0);
    space_layer_free(&f->space, layer);
    space_file_release(&f->space, name);
    space_teardown((void **)&other);
}

/* ---- mappings ---------------------------------------------------------------------- */

static void mappings_are_as_they_were(void **state)
{
    struct space_fixture *f = *state;
    struct space_layer *layer = layer_of(f);
    const uint64_t below = AREA - MIB, further = AREA + MIB;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(space_map(&f->space, guest_addr(below), PAGE, READ_WRITE), 0);
        assert_int_equal(space_map(&f->space, guest_addr(further), PAGE, READ_WRITE), 0);
        strcpy(at(f, further), "secret");
        assert_int_equal(space_protect(&f->space, guest_addr(AREA + 2 * PAGE), PAGE, READ_WRITE),
                         0);
        strcpy(at(f, AREA + 2 * PAGE), "secret");
        assert_int_equal(space_unmap(&f->space, guest_addr(AREA), PAGE), 0);
        assert_int_equal(space_go_back(&f->space, layer), 0);
        expect_as_before(f);
        assert_int_equal(space_prot(&f->space, guest_addr(further)), 0);
        assert_false(host_can(&f->space, further, false));
        assert_false(host_can(&f->space, below, false));
    }
    space_layer_free(&f->space, layer);
}

/* Pages that changed places must not stay there. */
static void moved_pages_come_back(void **state)
{
    struct space_fixture *f = *state;
    struct space_layer *layer = layer_of(f);
    const uint64_t aside = AREA + MIB;

    assert_int_equal(space_move(&f->space, guest_addr(AREA), PAGE, guest_addr(aside)), 0);
    assert_string_equal(at(f, aside), "before");
    assert_int_equal(space_map(&f->space, guest_addr(AREA), PAGE, READ_WRITE), 0);
    assert_int_equal(space_move(&f->space, guest_addr(aside), PAGE, guest_addr(AREA + PAGE)), 0);
    assert_int_equal(space_go_back(&f->space, layer), 0);
    expect_as_before(f);
    space_layer_free(&f->space, layer);
}

/* Memory that the program gives back is zero, whatever the layer holds. */
static void discarded_memory_is_zero(void **state)
{
    struct space_fixture *f = *state;
    struct space_layer *layer = layer_of(f);

    assert_int_equal(space_discard(&f->space, guest_addr(AREA), PAGE, false), 0);
    assert_int_equal(at(f, AREA)[0], 0);
    strcpy(at(f, AREA), "secret");
    assert_int_equal(space_go_back(&f->space, layer), 0);
    expect_as_before(f);
    space_layer_free(&f->space, layer);
}

/* What is charged by touch is closed again. */
static void touched_memory_is_closed(void **state)
{
    struct space_fixture *f = *state;
    const uint64_t large = AREA + 16 * MIB;
    struct space_layer *layer;

    assert_int_equal(space_map_by_touch(&f->space, guest_addr(large), 4 * MIB, READ_WRITE), 0);
    layer = layer_of(f);
    assert_int_equal(space_touch(&f->space, guest_addr(large), 1), 0);
    strcpy(at(f, large), "secret");
    assert_int_equal(space_go_back(&f->space, layer), 0);
    expect_as_before(f);
    assert_true(space_is_closed(&f->space, guest_addr(large), PAGE));
    assert_int_equal(space_touch(&f->space, guest_addr(large), 1), 0);
    assert_int_equal(at(f, large)[0], 0);
    space_layer_free(&f->space, layer);
}

static void shared_memory_is_refused(void **state)
{
    struct space_fixture *f = *state;
    struct space_layer *layer = NULL;
    int fd = memfd_create("shared", MFD_CLOEXEC);

    assert_true(fd >= 0 && ftruncate(fd, PAGE) == 0);
    assert_int_equal(
        space_map_live(&f->space, guest_addr(AREA), PAGE, READ_WRITE | SPACE_SHARED, fd, 0), 0);
    close(fd);
    assert_int_equal(space_take_layer(&f->space, &layer), -EBUSY);
    assert_null(layer);
}

/* A file that was mapped may change; what the program had of it does not. */
static void file_is_held(void **state)
{
    struct space_fixture *f = *state;
    struct space_layer *layer = NULL;
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_true(fd >= 0 && write(fd, "before", 7) == 7);
    assert_int_equal(space_map_live(&f->space, guest_addr(AREA), PAGE, READ_WRITE, fd, 0), 0);
    assert_int_equal(space_take_layer(&f->space, &layer), 0);
    assert_int_equal(pwrite(fd, "after!", 7, 0), 7);
    close(fd);
    assert_string_equal(at(f, AREA), "before");
    strcpy(at(f, AREA), "secret");
    assert_int_equal(space_go_back(&f->space, layer), 0);
    assert_string_equal(at(f, AREA), "before");
    space_layer_free(&f->space, layer);
}

/* A process that is forked then has what the layer has, also of a file that could only be read. */
static void a_layer_is_copied_for_a_process(void **state)
{
    struct space_fixture *f = *state, *other;
    struct space_layer *layer;
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_int_equal(space_setup((void **)&other), 0);
    assert_true(fd >= 0 && write(fd, "library", 8) == 8);
    assert_int_equal(space_map_live(&f->space, guest_addr(AREA - MIB), PAGE, SPACE_READ, fd, 0), 0);
    close(fd);
    layer = layer_of(f);
    assert_int_equal(space_copy(&other->space, &f->space), 0);
    assert_string_equal(at(other, AREA - MIB), "library");
    assert_string_equal(at(other, AREA), "before");
    space_layer_free(&f->space, layer);
    space_teardown((void **)&other);
}

/* What is read of a file counts for nothing, and is laid anew like all else. */
static void file_that_is_read_is_laid_anew(void **state)
{
    struct space_fixture *f = *state;
    struct space_layer *layer;
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_true(fd >= 0 && write(fd, "library", 8) == 8);
    assert_int_equal(space_map_live(&f->space, guest_addr(AREA - MIB), PAGE, SPACE_READ, fd, 0), 0);
    close(fd);
    layer = layer_of(f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(space_map(&f->space, guest_addr(AREA + MIB), PAGE, READ_WRITE), 0);
        assert_int_equal(space_go_back(&f->space, layer), 0);
        expect_as_before(f);
        assert_string_equal(at(f, AREA - MIB), "library");
    }
    space_layer_free(&f->space, layer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stores_are_forgotten),
        TEST(stores_are_forgotten_unseen),
        TEST(pages_stay_up_to_a_number),
        TEST(a_change_lays_no_more_than_it_must),
        TEST(a_page_without_rights_goes),
        TEST(a_copy_has_the_same_and_its_own),
        TEST(a_copy_has_names_of_its_own),
        TEST(mappings_are_as_they_were),
        TEST(moved_pages_come_back),
        TEST(discarded_memory_is_zero),
        TEST(touched_memory_is_closed),
        TEST(shared_memory_is_refused),
        TEST(file_is_held),
        TEST(a_layer_is_copied_for_a_process),
        TEST(file_that_is_read_is_laid_anew),
    };

    return cmocka_run_group_tests_name("space_layer", tests, NULL, NULL);
}
