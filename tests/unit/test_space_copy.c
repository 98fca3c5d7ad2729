/* SPDX-License-Identifier: BSD-2-Clause */
/* The copy of an address space for a process that is forked. */
#include "space_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* A second space, of the child, that is taken down at the end of each test. */
static struct space_fixture *child_of(struct space_fixture *parent)
{
    void *state;

    assert_int_equal(space_setup(&state), 0);
    struct space_fixture *child = state;
    space_share_limit(&child->space, &parent->space);
    return child;
}

static void drop(struct space_fixture *child)
{
    void *state = child;

    space_leave_limit(&child->space);
    space_teardown(&state);
}

static char *at(struct space_fixture *f, uint64_t addr)
{
    return space_host(&f->space, addr);
}

static void name_it(struct space_fixture *f, uint64_t addr, uint64_t bytes)
{
    struct space_file *file = space_file_create(&f->space, "/dev/zero", 0, 1);
    const struct space_label label = {.file = file};

    assert_int_equal(space_set_label(&f->space, guest_addr(addr), bytes, label), 0);
    space_file_release(&f->space, file);
}

static void private_memory_is_copied(void **state)
{
    struct space_fixture *f = *state, *child = child_of(f);

    assert_int_equal(space_map(&f->space, guest_addr(AREA), 3 * PAGE, READ_WRITE), 0);
    strcpy(at(f, AREA + PAGE), "before");
    assert_int_equal(space_copy(&child->space, &f->space), 0);
    assert_string_equal(at(child, AREA + PAGE), "before");
    assert_int_equal(at(child, AREA)[0], 0);
    strcpy(at(f, AREA + PAGE), "parent");
    strcpy(at(child, AREA + 2 * PAGE), "child");
    assert_string_equal(at(child, AREA + PAGE), "before");
    assert_int_equal(at(f, AREA + 2 * PAGE)[0], 0);
    assert_int_equal(child->space.used_bytes, 3 * PAGE);
    drop(child);
    assert_int_equal(f->space.used_bytes, 3 * PAGE);
}

static void rights_are_the_same(void **state)
{
    struct space_fixture *f = *state, *child = child_of(f);
    uint64_t read = AREA, none = AREA + PAGE, reserved = AREA + 2 * PAGE, code = AREA + 4 * PAGE;

    assert_int_equal(space_map(&f->space, guest_addr(read), 2 * PAGE, READ_WRITE), 0);
    strcpy(at(f, read), "read");
    strcpy(at(f, none), "hidden");
    assert_int_equal(space_protect(&f->space, guest_addr(read), PAGE, SPACE_READ), 0);
    assert_int_equal(space_protect(&f->space, guest_addr(none), PAGE, 0), 0);
    assert_int_equal(space_map(&f->space, guest_addr(reserved), PAGE, 0), 0);
    assert_int_equal(space_map(&f->space, guest_addr(code), PAGE, SPACE_READ | SPACE_EXEC), 0);
    assert_int_equal(space_copy(&child->space, &f->space), 0);
    assert_int_equal(space_prot(&child->space, guest_addr(read)), SPACE_READ);
    assert_true(host_can(&child->space, read, false));
    assert_false(host_can(&child->space, read, true));
    assert_string_equal(at(child, read), "read");
    assert_false(host_can(&child->space, none, false));
    assert_false(host_can(&f->space, none, false));
    assert_false(host_can(&child->space, reserved, false));
    assert_int_equal(space_prot(&child->space, guest_addr(code)), SPACE_READ | SPACE_EXEC);
    /* What it held is there again where a process gets the right back. */
    assert_int_equal(space_protect(&child->space, guest_addr(none), PAGE, SPACE_READ), 0);
    assert_string_equal(at(child, none), "hidden");
    drop(child);
}

static void what_was_not_touched_stays_closed(void **state)
{
    struct space_fixture *f = *state, *child = child_of(f);

    assert_int_equal(space_map_by_touch(&f->space, guest_addr(AREA), 8 * MIB, READ_WRITE), 0);
    assert_non_null(space_touch_at(&f->space, guest_addr(AREA), PAGE, READ_WRITE));
    strcpy(at(f, AREA), "touched");
    assert_int_equal(space_copy(&child->space, &f->space), 0);
    assert_string_equal(at(child, AREA), "touched");
    assert_false(host_can(&child->space, AREA + 7 * MIB, false));
    assert_true(space_is_closed(&child->space, guest_addr(AREA + 7 * MIB), PAGE));
    assert_int_equal(child->space.used_bytes, f->space.used_bytes);
    drop(child);
}

/* A page of a file that nobody has read yet is not zero in the copy. */
static void files_are_copied_whole(void **state)
{
    struct space_fixture *f = *state, *child = child_of(f);
    FILE *file = tmpfile();
    int fd = fileno(file);

    assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
    assert_int_equal(pwrite(fd, "far", 4, PAGE), 4);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    assert_int_equal(space_map_live(&f->space, guest_addr(AREA), 2 * PAGE, SPACE_READ, fd, 0), 0);
    assert_int_equal(space_copy(&child->space, &f->space), 0);
    assert_string_equal(at(child, AREA + PAGE), "far");
    fclose(file);
    drop(child);
}

/* Of a file in memory, and memory that was shared in name. */
static void shared_memory_is_the_same(void **state)
{
    struct space_fixture *f = *state, *child = child_of(f);
    uint64_t file = AREA, memory = AREA + MIB;
    int fd = memfd_create("shared", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, PAGE), 0);
    assert_int_equal(
        space_map_live(&f->space, guest_addr(file), PAGE, READ_WRITE | SPACE_SHARED, fd, 0), 0);
    close(fd);
    assert_int_equal(space_map(&f->space, guest_addr(memory), PAGE, READ_WRITE | SPACE_SHARED), 0);
    name_it(f, memory, PAGE);
    strcpy(at(f, memory), "before");
    assert_int_equal(space_copy(&child->space, &f->space), 0);
    assert_string_equal(at(child, memory), "before");
    assert_string_equal(at(f, memory), "before");
    assert_true(space_is_shared(&child->space, guest_addr(memory)));
    strcpy(at(child, memory), "child");
    strcpy(at(f, file), "parent");
    assert_string_equal(at(f, memory), "child");
    assert_string_equal(at(child, file), "parent");
    drop(child);
    assert_string_equal(at(f, memory), "child");
}

static void shared_memory_gives_its_charge_back(void **state)
{
    struct space_fixture *f = *state, *child = child_of(f);

    assert_int_equal(space_map(&f->space, guest_addr(AREA), MIB, READ_WRITE | SPACE_SHARED), 0);
    name_it(f, AREA, MIB);
    strcpy(at(f, AREA), "hidden");
    assert_int_equal(space_protect(&f->space, guest_addr(AREA), MIB, 0), 0);
    assert_int_equal(space_copy(&child->space, &f->space), 0);
    assert_true(space_used_by_all(&f->space) >= MIB && space_used_by_all(&f->space) < MIB + PAGE);
    assert_int_equal(space_protect(&child->space, guest_addr(AREA), MIB, SPACE_READ), 0);
    assert_string_equal(at(child, AREA), "hidden");
    drop(child);
    assert_int_equal(space_unmap(&f->space, guest_addr(AREA), MIB), 0);
    assert_int_equal(f->space.used_bytes, 0);
}

/* The host has no descriptor for the file that would be shared. */
static void shared_memory_that_cannot_be_is_not_charged(void **state)
{
    struct space_fixture *f = *state, *child = child_of(f);
    struct rlimit before, none;

    assert_int_equal(space_map(&f->space, guest_addr(AREA), MIB, READ_WRITE | SPACE_SHARED), 0);
    name_it(f, AREA, MIB);
    strcpy(at(f, AREA), "kept");
    uint64_t used = space_used_by_all(&f->space);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = space_copy(&child->space, &f->space);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(result, -ENOMEM);
    assert_int_equal(space_used_by_all(&f->space), used);
    assert_string_equal(at(f, AREA), "kept");
    drop(child);
}

static void the_limit_is_for_all(void **state)
{
    struct space_fixture *f = *state, *child = child_of(f);

    assert_int_equal(space_map(&f->space, guest_addr(AREA), LIMIT / 2, READ_WRITE), 0);
    assert_int_equal(space_map(&child->space, guest_addr(AREA), LIMIT / 2 + PAGE, READ_WRITE),
                     -ENOMEM);
    assert_int_equal(space_map(&child->space, guest_addr(AREA), LIMIT / 2, READ_WRITE), 0);
    assert_int_equal(space_room(&f->space), 0);
    assert_int_equal(space_charge(&f->space, 1), -ENOMEM);
    drop(child);
    assert_int_equal(space_room(&f->space), LIMIT / 2);
    child = child_of(f);
    assert_int_equal(space_charge(&f->space, PAGE), 0);
    assert_int_equal(space_copy(&child->space, &f->space), -ENOMEM);
    drop(child);
}

/* An object of several processes may be charged to one and given back by another. */
static void what_was_charged_elsewhere_is_not_lost(void **state)
{
    struct space_fixture *f = *state, *child = child_of(f);

    assert_int_equal(space_charge(&child->space, 2 * PAGE), 0);
    drop(child);
    assert_int_equal(f->space.used_bytes, 2 * PAGE);
    child = child_of(f);
    space_recharge(&child->space, 2 * PAGE, 0);
    assert_int_equal(space_room(&f->space), LIMIT);
    drop(child);
    assert_int_equal(f->space.used_bytes, 0);
}

static void what_a_child_stored_comes_back(void **state)
{
    struct space_fixture *f = *state, *child = child_of(f);
    uint64_t read = AREA + 2 * PAGE;
    struct space_marks marks;

    assert_int_equal(space_map(&f->space, guest_addr(AREA), 3 * PAGE, READ_WRITE), 0);
    strcpy(at(f, AREA), "same");
    assert_int_equal(space_copy(&child->space, &f->space), 0);
    assert_int_equal(space_mark(&child->space, &marks), 0);
    strcpy(at(f, AREA), "parent");
    strcpy(at(child, AREA + PAGE), "stored");
    strcpy(at(child, read), "stored");
    assert_int_equal(space_protect(&f->space, guest_addr(read), PAGE, SPACE_READ), 0);
    space_copy_back(&f->space, &child->space, &marks);
    free(marks.marks);
    assert_string_equal(at(f, AREA), "parent"); /* another thread stored there meanwhile */
    assert_string_equal(at(f, AREA + PAGE), "stored");
    assert_int_equal(at(f, read)[0], 0);
    drop(child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(private_memory_is_copied),
        TEST(rights_are_the_same),
        TEST(what_was_not_touched_stays_closed),
        TEST(files_are_copied_whole),
        TEST(shared_memory_is_the_same),
        TEST(shared_memory_gives_its_charge_back),
        TEST(shared_memory_that_cannot_be_is_not_charged),
        TEST(the_limit_is_for_all),
        TEST(what_was_charged_elsewhere_is_not_lost),
        TEST(what_a_child_stored_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
