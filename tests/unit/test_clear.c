/* SPDX-License-Identifier: BSD-2-Clause */
/* A receiver gets the payload and zeros: nothing else of the units that carry it. */
#include "core_trio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/loan.h"
#include "linux/vm_linux.h"
#include "stream/stream.h"
#include "stream/stream_internal.h"

#define EXTENT FERRY_EXTENT_BYTES
#define PAGE   FERRY_PAGE_BYTES

static struct ferry_link *a_to_b, *b_to_c;

static int setup(void **state)
{
    (void)state;
    trio_setup();
    a_to_b = core_stream_link(vm_a, vm_b);
    b_to_c = core_stream_link(vm_b, vm_c);
    return 0;
}

/* The guest's own stores, by its window. */
static void fill_units(const struct endpoint *endpoint, struct units units, char with)
{
    memset(window_at(&endpoint->window, pool_offset(&engine->exchange.pool, units.first)), with,
           units_bytes(&engine->exchange.pool, units));
}

static bool all_are(const char *at, uint64_t bytes, char what)
{
    return bytes == 0 || (*at == what && memcmp(at, at + 1, bytes - 1) == 0);
}

/* What `endpoint` sees of the units: `with` in the payload, zeros beside it. */
static void assert_only(const struct endpoint *endpoint, struct units units, uint64_t start,
                        uint64_t bytes, char with)
{
    const char *at = window_at(&endpoint->window, pool_offset(&engine->exchange.pool, units.first));
    uint64_t end = start + bytes, whole = units_bytes(&engine->exchange.pool, units);

    assert_true(all_are(at, start, 0));
    assert_true(all_are(at + start, bytes, with));
    assert_true(all_are(at + end, whole - end, 0));
}

static struct ferry_desc part(enum ferry_mode mode, const struct endpoint *to, struct units units,
                              uint64_t start, uint64_t bytes)
{
    return core_payload(
        mode, to->id,
        FERRY_WINDOW_BASE + pool_offset(&engine->exchange.pool, units.first).bytes + start, bytes);
}

static int send_part(enum ferry_mode mode, struct endpoint *from, struct endpoint *to,
                     struct units units, uint64_t start, uint64_t bytes)
{
    struct ferry_desc desc = part(mode, to, units, start, bytes);

    return core_send(from, &desc);
}

static const struct {
    bool page;
    uint32_t count;
    uint64_t start, bytes;
} parts[] = {
    {true, 1, 0, 1},         {true, 1, PAGE - 1, 1},      {true, 1, 100, 200},
    {true, 1, 0, PAGE},      {true, 3, 10, 2 * PAGE + 1}, {true, 2, PAGE - 1, 2},
    {false, 1, 0, 1},        {false, 1, EXTENT - 1, 1},   {false, 1, 0, EXTENT},
    {false, 1, 70000, 5000}, {false, 2, 0, EXTENT + 1},   {false, 2, EXTENT - 1, 2},
};

#define PARTS (sizeof parts / sizeof parts[0])

static void part_of_units(void **state)
{
    (void)state;
    for (size_t i = 0; i < PARTS; i++) {
        struct units units = core_alloc(a, parts[i].count, parts[i].page);
        fill_units(a, units, 'x');
        assert_int_equal(send_part(FERRY_LEND, a, b, units, parts[i].start, parts[i].bytes), 0);
        assert_only(b, units, parts[i].start, parts[i].bytes, 'x');
        core_release(b, core_take(b).payload.token);
        loan_collect(b);
        a->control->guest.home_tail++;

        /* The owner fills the units again: they were clear once, and are not any more. */
        fill_units(a, units, 'y');
        assert_int_equal(send_part(FERRY_MOVE, a, b, units, parts[i].start, parts[i].bytes), 0);
        core_take(b);
        assert_only(b, units, parts[i].start, parts[i].bytes, 'y');

        /* The new owner fills them, too. */
        fill_units(b, units, 'z');
        assert_int_equal(send_part(FERRY_LEND, b, c, units, parts[i].start, parts[i].bytes), 0);
        assert_only(c, units, parts[i].start, parts[i].bytes, 'z');
        core_release(c, core_take(c).payload.token);
        loan_collect(c);
        b->control->guest.home_tail++;
        assert_int_equal(units_free(b, units), 0);
    }
}

/* Neighbours are handed over in one call. */
static void parts_in_a_run(void **state)
{
    struct units units = core_alloc(a, 6, true);

    (void)state;
    fill_units(a, units, 'x');
    for (uint32_t i = 0; i < units.count; i++) {
        struct ferry_desc desc = part(FERRY_LEND, b, units, i * PAGE + i * 10, 1000);
        core_queue(a, &desc);
    }
    drain_ring(a);
    assert_int_equal(a_to_b->table_calls, 2);
    for (uint32_t i = 0; i < units.count; i++)
        assert_only(b, (struct units){units.first + i, 1}, i * 10ull, 1000, 'x');
    assert_int_equal(a_to_b->bytes_cleared, 6 * (PAGE - 1000));
}

static void full_units_cost_nothing(void **state)
{
    struct units units = core_alloc(a, 2, false);

    (void)state;
    fill_units(a, units, 'x');
    assert_int_equal(send_units(FERRY_LEND, a, b, units), 0);
    assert_int_equal(a_to_b->bytes_cleared, 0);
    assert_only(b, units, 0, 2 * EXTENT, 'x');
}

/* A refused message leaves all as it was. */
static void nothing_is_cleared_for_a_refused_one(void **state)
{
    struct units units = core_alloc(a, 2, true), one = {units.first, 1};

    (void)state;
    fill_units(a, units, 'x');
    assert_int_equal(units_free(a, (struct units){units.first + 1, 1}), 0);
    assert_int_equal(send_part(FERRY_LEND, a, b, units, 10, PAGE), -EPERM);
    endpoint_shutdown(b);
    assert_int_equal(send_part(FERRY_LEND, a, b, one, 10, 20), -EPIPE);
    assert_true(all_are(core_bytes(engine, one.first), PAGE, 'x'));
    assert_int_equal(a_to_b->bytes_cleared, 0);
}

/* If the receiver's window cannot be opened, the sender keeps its payload and may fill the rest
 * again. */
static void after_a_failed_opening(void **state)
{
    struct units units = core_alloc(a, 3, true), middle = {units.first + 1, 1};

    (void)state;
    /* B has the neighbours, so that opening the middle one merges; C has none. */
    fill_units(a, units, 'x');
    core_link(vm_a, vm_c, 0);
    core_exhaust_mappings();
    int result = send_part(FERRY_LEND, a, c, middle, 10, 20);
    core_restore_mappings();
    assert_int_equal(result, -ENOMEM);
    assert_int_equal(core_rights(a, middle.first), WINDOW_WRITE);
    assert_true(all_are(core_bytes(engine, middle.first) + 10, 20, 'x'));
    fill_units(a, middle, 'y');
    assert_int_equal(send_part(FERRY_LEND, a, c, middle, 10, 20), 0);
    assert_only(c, middle, 10, 20, 'y');
}

/* --- a sender that stores until the last moment ---------------------------------- */

static char *stored_at; /* a page of the sender's window, or NULL */

/* The library's own calls come here: the guest's last store is just before its window closes. */
int mprotect(void *addr, size_t bytes, int rights)
{
    if (addr == stored_at && rights == PROT_NONE)
        memset(stored_at, 'x', PAGE);
    return (int)syscall(SYS_mprotect, addr, bytes, rights);
}

static void stores_until_it_is_closed(void **state)
{
    const enum ferry_mode modes[] = {FERRY_LEND, FERRY_MOVE};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct units units = core_alloc(a, 1, true);
        stored_at = window_at(&a->window, pool_offset(&engine->exchange.pool, units.first));
        assert_int_equal(send_part(modes[i], a, b, units, 7, 3), 0);
        stored_at = NULL;
        assert_only(b, units, 7, 3, 'x');
    }
}

/* --- copies ------------------------------------------------------------------------ */

static void copy_and_check(uint64_t bytes, uint64_t cleared)
{
    struct ferry_desc desc = core_payload(FERRY_COPY, b->id, CORE_MEMORY_ADDR, bytes);

    a_to_b->bytes_cleared = 0;
    assert_int_equal(core_send(a, &desc), 0);
    desc = core_take(b);
    assert_int_equal(desc.payload.addr, b->receive_buffers_addr.value); /* always the same slot */
    assert_true(all_are(b->receive_buffers, bytes, 'c'));
    assert_true(all_are(b->receive_buffers + bytes, FERRY_COPY_BYTES - bytes, 0));
    assert_int_equal(a_to_b->bytes_cleared, cleared);
    core_release(b, desc.payload.token);
    loan_collect(b);
}

static void a_slot_holds_one_message(void **state)
{
    (void)state;
    memset(core_memory_bytes, 'c', CORE_MEMORY_BYTES);
    copy_and_check(1000, 0);
    copy_and_check(FERRY_COPY_BYTES, 0);
    copy_and_check(30000, FERRY_COPY_BYTES - 30000);
    copy_and_check(0, 30000);
    copy_and_check(5, 0);
}

static char *live_bytes;

static struct reach live_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes,
                                bool write)
{
    (void)vm;
    (void)bytes;
    (void)write;
    return (struct reach){.at = live_bytes + addr.value, .live = true};
}

/* A copy of a mapped file that somebody cuts short, before it is sent and in the middle of that. */
static void a_payload_is_cut_off(void **state)
{
    struct ferry_desc desc = core_payload(FERRY_COPY, b->id, 5, 8000);
    int fd = memfd_create("file", MFD_CLOEXEC);
    struct transfer transfer;

    (void)state;
    assert_int_equal(ftruncate(fd, 8192), 0);
    live_bytes = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(live_bytes, MAP_FAILED);
    memset(live_bytes, 'c', 8192);
    a->memory = live_memory;
    assert_int_equal(core_send(a, &desc), 0);
    desc = core_take(b);
    assert_true(all_are(b->receive_buffers, 8000, 'c'));
    core_release(b, desc.payload.token);
    loan_collect(b);

    desc = core_payload(FERRY_COPY, b->id, 5, 8000);
    assert_int_equal(decode_message(a, &desc, &transfer), 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_int_equal(perform_one(&transfer), 0);
    desc = core_take(b);
    assert_int_equal(desc.payload.bytes, 8000);
    assert_true(all_are(b->receive_buffers, 4091, 'c'));
    assert_true(all_are(b->receive_buffers + 4091, 8000 - 4091, 0));
    core_release(b, desc.payload.token);
    loan_collect(b);

    desc = core_payload(FERRY_COPY, b->id, 5, 8000);
    assert_int_equal(core_send(a, &desc), -EFAULT);
    munmap(live_bytes, 8192);
    close(fd);
    a->memory = core_memory;
}

/* --- loans that pass on ------------------------------------------------------------- */

/* A loan is forwarded only as it came, since its owner gets it back as it was. */
static void a_loan_passes_on_as_it_came(void **state)
{
    struct units units = core_alloc(a, 2, true);
    const struct {
        uint64_t start, bytes;
    } others[] = {{101, 5000}, {99, 5000},    {101, 4999}, {100, 4999},
                  {99, 5001},  {0, 2 * PAGE}, {100, 1},    {5000, 100}};

    (void)state;
    fill_units(a, units, 'x');
    assert_int_equal(send_part(FERRY_LEND, a, b, units, 100, 5000), 0);
    core_take(b);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(send_part(FERRY_LEND, b, c, units, others[i].start, others[i].bytes),
                         -EPERM);
    assert_only(b, units, 100, 5000, 'x');
    assert_int_equal(send_part(FERRY_LEND, b, c, units, 100, 5000), 0);
    assert_int_equal(b_to_c->bytes_cleared, 0);
    assert_only(c, units, 100, 5000, 'x');
    core_release(c, core_take(c).payload.token);
    loan_collect(c);
    assert_only(a, units, 100, 5000, 'x');
    assert_int_equal(core_rights(a, units.first), WINDOW_WRITE);
}

/* A message that sendfile and splice forward after a part of it was read. */
static void a_partly_read_loan_is_copied(void **state)
{
    char line[8];

    (void)state;
    a->transfer = b->transfer = FERRY_TRANSFER_MAP;
    assert_int_equal(stream_write(vm_stream(vm_a), "SECRET\nhello\n", 13), 13);
    stream_pull(a->byte_stream);
    assert_int_equal(stream_read(vm_stream(vm_b), line, 7), 7);
    assert_int_equal(stream_pass(vm_stream(vm_b), 1 << 20), 6);
    stream_pull(b->byte_stream);
    struct ferry_desc desc = core_take(c);
    assert_int_equal(desc.mode, FERRY_LEND);
    assert_int_equal(desc.payload.bytes, 6);
    const char *extent = c->window.base + ((desc.payload.addr - FERRY_WINDOW_BASE) & ~(EXTENT - 1));
    assert_null(memmem(extent, EXTENT, "SECRET", 6));
    assert_string_equal(extent + (desc.payload.addr & (EXTENT - 1)), "hello\n");
}

/* --- plain output --------------------------------------------------------------------- */

static void write_and_check(uint64_t bytes, uint64_t cleared)
{
    char *with = malloc(bytes);

    assert_non_null(with);
    memset(with, 'w', bytes);
    a_to_b->bytes_cleared = 0;
    assert_int_equal(stream_write(vm_stream(vm_a), with, bytes), bytes);
    free(with);
    stream_pull(a->byte_stream);
    struct ferry_desc desc = core_take(b);
    struct units units;
    assert_true(pool_covering(&engine->exchange.pool,
                              endpoint_offset(b, guest_addr(desc.payload.addr)), EXTENT, &units));
    assert_only(b, units, 0, bytes, 'w');
    assert_int_equal(a_to_b->bytes_cleared, cleared);
    assert_int_equal(core_rights(a, units.first), WINDOW_CLOSED);
    core_release(b, desc.payload.token);
    loan_collect(b);
    /* Between two messages the extent is not the program's, either: so what it holds is known. */
    assert_int_equal(core_rights(a, units.first), WINDOW_CLOSED);
    assert_null(vm_memory(vm_a, guest_addr(desc.payload.addr), 1, false).at);
}

static void plain_output_clears_what_was_longer_before(void **state)
{
    (void)state;
    a->transfer = FERRY_TRANSFER_MAP;
    a->most_extents = 1;
    write_and_check(1000, 0);
    write_and_check(1000, 0);
    write_and_check(300000, 0);
    write_and_check(5, 299995);
    write_and_check(5, 0);
    write_and_check(EXTENT, 0);
    write_and_check(EXTENT, 0);
    write_and_check(EXTENT - 1, 1);
    assert_int_equal(a_to_b->table_calls, 2 * 8); /* its owner's window is never changed */
}

/* A program cannot write from the extent in which its output is gathered, so no copy overlaps
 * itself. */
static void output_is_not_made_of_itself(void **state)
{
    char some[1000] = {0};

    (void)state;
    assert_int_equal(stream_write(vm_stream(vm_a), some, sizeof some), sizeof some);
    const char *extent = core_bytes(engine, a->byte_stream->buffers[0].units.first);
    assert_int_equal(stream_write(vm_stream(vm_a), extent, 2 * sizeof some), -EFAULT);
    assert_int_equal(stream_write(vm_stream(vm_a), extent + sizeof some, 1), -EFAULT);
    assert_int_equal(a->byte_stream->fill, sizeof some);
}

/* The next owner of the extent does not find bytes that were not sent. */
static void the_output_of_the_dead_is_gone(void **state)
{
    (void)state;
    a->transfer = FERRY_TRANSFER_MAP;
    assert_int_equal(stream_write(vm_stream(vm_a), "SECRET", 6), 6);
    ferry_vm_destroy(vm_a);
    vm_a = core_vm(engine, "a");
    for (uint32_t i = 0; i < engine->exchange.pool.extents; i++) {
        struct units units = core_alloc(c, 1, false);
        assert_only(c, units, 0, 0, 0);
    }
}

/* --- the host ----------------------------------------------------------------------- */

static void the_host_sends_part(void **state)
{
    struct ferry_vm *vm = core_vm(engine, "d");
    struct ferry_link *link = core_link(NULL, vm, 0);
    struct units units;
    void *extent;

    (void)state;
    assert_int_equal(ferry_link_alloc(link, 1, false, &extent), 0);
    memset(extent, 'h', EXTENT);
    struct ferry_message message = {.mode = FERRY_LEND, .data = (char *)extent + 7, .bytes = 9};
    assert_int_equal(ferry_link_send(link, &message, 0), 0);
    struct ferry_desc desc = core_take(vm->endpoint);
    assert_true(pool_covering(&engine->exchange.pool,
                              endpoint_offset(vm->endpoint, guest_addr(desc.payload.addr)), 1,
                              &units));
    assert_only(vm->endpoint, units, 7, 9, 'h');
    assert_int_equal(link->bytes_cleared, EXTENT - 9);
    assert_int_equal(loan_release(vm->endpoint, 0), -EINVAL);
    loan_collect(vm->endpoint);
    assert_int_equal(loan_release(vm->endpoint, 0), 0);

    /* What is zero need not be zeroed again. */
    message.rest_is_zero = true;
    assert_int_equal(ferry_link_send(link, &message, 0), 0);
    core_take(vm->endpoint);
    assert_only(vm->endpoint, units, 7, 9, 'h');
    assert_int_equal(link->bytes_cleared, EXTENT - 9);
    loan_collect(vm->endpoint);
    assert_int_equal(loan_release(vm->endpoint, 0), 0);
    assert_int_equal(ferry_link_free(link, extent, EXTENT), 0);
    ferry_vm_destroy(vm);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, trio_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(part_of_units),
        CASE(parts_in_a_run),
        CASE(full_units_cost_nothing),
        CASE(nothing_is_cleared_for_a_refused_one),
        CASE(after_a_failed_opening),
        CASE(stores_until_it_is_closed),
        CASE(a_slot_holds_one_message),
        CASE(a_payload_is_cut_off),
        CASE(a_loan_passes_on_as_it_came),
        CASE(a_partly_read_loan_is_copied),
        CASE(plain_output_clears_what_was_longer_before),
        CASE(output_is_not_made_of_itself),
        CASE(the_output_of_the_dead_is_gone),
        CASE(the_host_sends_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
