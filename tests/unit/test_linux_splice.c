/* SPDX-License-Identifier: BSD-2-Clause */
/* The personality: bytes from one descriptor to another, and reading and writing at offsets. */
#include "linux_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "linux/state.h"

#define OUT    (SCRATCH + PAGE)
#define OFFSET (SCRATCH + 2 * PAGE)
#define EXTENT (2ull << 20)

/* Descriptor 3: a file that begins with "root:x:0:0:root:". */
static struct ferry_vm *with_file(void **state)
{
    struct ferry_vm *vm = *state;

    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/etc/passwd"), O_RDONLY), 3);
    return vm;
}

static void test_splice_of_streams(void **state)
{
    struct ferry_vm *vm = *state;

    vm->input = "four";
    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 0, 0), 0);
    assert_int_equal(CALL(vm, splice, 77, 0, 1, 0, 0, 0x1000), 0); /* nothing to do comes first */
    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 5, 0x1000), -EINVAL);
    assert_int_equal(CALL(vm, splice, 0, OFFSET, 1, 0, 5, 0), -ESPIPE);
    assert_int_equal(CALL(vm, splice, 0, 0, 1, OFFSET, 5, 0), -ESPIPE);
    assert_int_equal(CALL(vm, splice, 0, 0, 9, 0, 3, 0), -EBADF);
    assert_int_equal(CALL(vm, splice, 1, 0, 0, 0, 3, 0), -EBADF);
    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 100, SPLICE_F_NONBLOCK), 4);
    assert_memory_equal(vm->output, "four", 4);
    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 100, SPLICE_F_NONBLOCK), -EAGAIN);
    vm->input_ended = true;
    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 100, SPLICE_F_NONBLOCK), 0);
    vm->input = "more";
    vm->output_broken = true;
    assert_int_equal(CALL(vm, splice, 0, 0, 1, 0, 100, 0), -EPIPE);
    assert_int_equal(vm->next, LINUX_SIGNAL);
}

static void test_splice_with_files(void **state)
{
    struct ferry_vm *vm = with_file(state);
    int64_t *offset = guest(vm, OFFSET);

    vm->input = "thrown away";
    assert_int_equal(CALL(vm, open, guest_string(vm, SCRATCH, "/dev/null"), O_WRONLY), 4);
    assert_int_equal(CALL(vm, splice, 0, 0, 4, 0, 3, 0), 3);
    assert_string_equal(vm->input, "own away");
    assert_int_equal(CALL(vm, splice, 3, 0, 1, 0, 4, 0), 4);
    *offset = 5;
    assert_int_equal(CALL(vm, splice, 3, OFFSET, 1, 0, 3, 0), 3);
    assert_int_equal(*offset, 8);
    assert_int_equal(CALL(vm, splice, 3, 0, 1, 0, 2, 0), 2); /* its own position is another */
    assert_memory_equal(vm->output, "rootx:0:x", 9);
    *offset = -1;
    assert_int_equal(CALL(vm, splice, 3, OFFSET, 1, 0, 3, 0), -EINVAL);
    assert_int_equal(CALL(vm, splice, 3, NOWHERE, 1, 0, 3, 0), -EFAULT);
    assert_int_equal(CALL(vm, splice, 3, 0, 4, 0, 3, 0), -EINVAL); /* no pipe */
    /* What was not taken is not lost. */
    vm->output_room = 2;
    assert_int_equal(CALL(vm, lseek, 3, 0, SEEK_SET), 0);
    assert_int_equal(CALL(vm, splice, 3, 0, 1, 0, 4, SPLICE_F_NONBLOCK), 2);
    assert_int_equal(CALL(vm, lseek, 3, 0, SEEK_CUR), 2);
}

/* A pipe of the program that has room for `room` bytes: its ends. */
static void full_pipe(struct ferry_vm *vm, uint64_t *in, uint64_t *out, size_t room)
{
    int ends[2];

    assert_int_equal(CALL(vm, pipe2, OUT, 0), 0);
    memcpy(ends, guest(vm, OUT), sizeof(ends));
    *in = (uint64_t)ends[0];
    *out = (uint64_t)ends[1];
    for (size_t left = 65536 - room; left; left -= left < PAGE ? left : PAGE)
        assert_true(CALL(vm, write, *out, SCRATCH, left < PAGE ? left : PAGE) > 0);
}

/* What goes to a pipe is no more than fits: the rest stays where it is, also where it could wait. */
static void test_nothing_is_lost_for_want_of_room(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t in, out, from, into;
    int pair[2];

    full_pipe(vm, &in, &out, 5000);
    full_pipe(vm, &from, &into, 65536 - 8192);
    assert_int_equal(CALL(vm, splice, from, 0, out, 0, 8192, 0), 5000);
    assert_int_equal(CALL(vm, splice, from, 0, out, 0, 8192, SPLICE_F_NONBLOCK), -EAGAIN);
    assert_int_equal(CALL(vm, ioctl, from, FIONREAD, OFFSET), 0);
    assert_int_equal(*(int *)guest(vm, OFFSET), 8192 - 5000);

    assert_int_equal(CALL(vm, read, in, SCRATCH, PAGE), PAGE);
    assert_int_equal(CALL(vm, socketpair, AF_UNIX, SOCK_STREAM, 0, OUT), 0);
    memcpy(pair, guest(vm, OUT), sizeof(pair));
    assert_int_equal(CALL(vm, write, (uint64_t)pair[0], SCRATCH, 2 * PAGE), 2 * PAGE);
    assert_int_equal(CALL(vm, splice, (uint64_t)pair[1], 0, out, 0, 2 * PAGE, 0), PAGE);
    assert_int_equal(CALL(vm, ioctl, (uint64_t)pair[1], FIONREAD, OFFSET), 0);
    assert_int_equal(*(int *)guest(vm, OFFSET), PAGE);

    assert_int_equal(CALL(vm, read, in, SCRATCH, PAGE), PAGE);
    assert_int_equal(CALL(vm, write, out, SCRATCH, PAGE - 3), PAGE - 3);
    vm->input = "more than three";
    assert_int_equal(CALL(vm, splice, 0, 0, out, 0, 100, SPLICE_F_NONBLOCK), -EAGAIN);
    assert_string_equal(vm->input, "more than three");
}

static int copied[4]; /* two pipes */
static unsigned turns;

/* The other thread has two turns: it takes all that was to be copied, and later puts more. */
static void empty_and_refill(struct ferry_vm *vm)
{
    if (turns++ == 0) {
        assert_int_equal(
            other_call(vm, SYS_read, (const uint64_t[6]){(uint64_t)copied[0], SCRATCH, PAGE}), 100);
        assert_int_equal(
            other_call(vm, SYS_read, (const uint64_t[6]){(uint64_t)copied[2], SCRATCH, PAGE}),
            PAGE);
    } else {
        assert_int_equal(
            other_call(vm, SYS_write, (const uint64_t[6]){(uint64_t)copied[1], SCRATCH, 5}), 5);
    }
}

/* A tee that may wait never says that it would have to. */
static void test_a_tee_waits_again(void **state)
{
    struct ferry_vm *vm = *state;
    uint64_t in, into, out, from;

    full_pipe(vm, &in, &into, 65536 - 100);
    full_pipe(vm, &from, &out, 0);
    memcpy(copied, (int[]){(int)in, (int)into, (int)from, (int)out}, sizeof(copied));
    turns = 0;
    vm->waiting = empty_and_refill;
    assert_int_equal(CALL(vm, tee, in, out, 200, 0), 5);
    vm->waiting = NULL;
    assert_int_equal(turns, 2);
    assert_int_equal(CALL(vm, ioctl, in, FIONREAD, OFFSET), 0);
    assert_int_equal(*(int *)guest(vm, OFFSET), 5);
}

static void test_sendfile(void **state)
{
    struct ferry_vm *vm = with_file(state);
    int64_t *offset = guest(vm, OFFSET);

    vm->input = "input";
    assert_int_equal(CALL(vm, sendfile, 1, 3, 0, 4), 4);
    *offset = 5;
    assert_int_equal(CALL(vm, sendfile, 1, 3, OFFSET, 3), 3);
    assert_int_equal(*offset, 8);
    assert_memory_equal(vm->output, "rootx:0", 7);
    assert_int_equal(CALL(vm, sendfile, 1, 3, 0, 0), 0);
    assert_int_equal(CALL(vm, sendfile, 1, 0, OFFSET, 3), -ESPIPE);
    assert_int_equal(CALL(vm, sendfile, 0, 3, 0, 3), -EBADF);
    assert_int_equal(CALL(vm, sendfile, 1, 1, 0, 3), -EBADF);
    /* A stream is no file, but whole messages of it pass on. */
    assert_int_equal(CALL(vm, sendfile, 1, 0, 0, 3), -EINVAL);
    assert_int_equal(CALL(vm, sendfile, 1, 0, 0, EXTENT), 5);
    /* To its end, and there. */
    assert_true(CALL(vm, sendfile, 1, 3, 0, 4000) > 0);
    assert_int_equal(CALL(vm, sendfile, 1, 3, 0, 4000), 0);
}

static void test_tee_and_vmsplice(void **state)
{
    struct ferry_vm *vm = with_file(state);

    vm->input = "four";
    assert_int_equal(CALL(vm, tee, 0, 1, 0, 0), 0);
    assert_int_equal(CALL(vm, tee, 0, 1, 3, 0), 3);
    assert_memory_equal(vm->output, "fou", 3);
    assert_string_equal(vm->input, "four");
    assert_int_equal(CALL(vm, tee, 0, 1, 3, 0x100), -EINVAL);
    assert_int_equal(CALL(vm, tee, 3, 1, 3, 0), -EINVAL);
    assert_int_equal(CALL(vm, tee, 0, 9, 3, 0), -EBADF);
    vm->input = "";
    assert_int_equal(CALL(vm, tee, 0, 1, 3, SPLICE_F_NONBLOCK), -EAGAIN);

    memcpy(guest(vm, SCRATCH), (uint64_t[]){OUT, 3}, 16);
    memcpy(guest(vm, OUT), "abc", 3);
    assert_int_equal(CALL(vm, vmsplice, 1, SCRATCH, 1, 0), 3);
    assert_memory_equal(vm->output + 3, "abc", 3);
    assert_int_equal(CALL(vm, vmsplice, 1, SCRATCH, 1, 0x100), -EINVAL);
    assert_int_equal(CALL(vm, vmsplice, 3, SCRATCH, 1, 0), -EBADF);
    vm->input = "xyz";
    assert_int_equal(CALL(vm, vmsplice, 0, SCRATCH, 1, 0), 3);
    assert_memory_equal(guest(vm, OUT), "xyz", 3);
    assert_int_equal(CALL(vm, copy_file_range, 0, 0, 1, 0, 4, 0), -EINVAL);
    assert_int_equal(CALL(vm, copy_file_range, 3, 0, 1, 0, 4, 0), -EINVAL);
    assert_int_equal(CALL(vm, copy_file_range, 3, 0, 9, 0, 4, 0), -EBADF);
    assert_int_equal(CALL(vm, copy_file_range, 3, 0, 3, 0, 4, 1), -EINVAL);
}

static void test_pieces_at_offsets(void **state)
{
    struct ferry_vm *vm = with_file(state);
    char *got = guest(vm, OUT);

    memcpy(guest(vm, SCRATCH), (uint64_t[]){OUT, 2, OUT + 10, 3}, 32);
    assert_int_equal(CALL(vm, preadv, 3, SCRATCH, 2, 5), 5);
    assert_memory_equal(got, "x:", 2);
    assert_memory_equal(got + 10, "0:0", 3);
    assert_int_equal(CALL(vm, lseek, 3, 0, SEEK_CUR), 0);
    assert_int_equal(CALL(vm, preadv2, 3, SCRATCH, 1, (uint64_t)-1, 0, 0), 2);
    assert_memory_equal(got, "ro", 2);
    assert_int_equal(CALL(vm, lseek, 3, 0, SEEK_CUR), 2);
    assert_int_equal(CALL(vm, preadv2, 3, SCRATCH, 1, 0, 0, 0x1000), -EOPNOTSUPP);
    assert_int_equal(CALL(vm, preadv, 3, SCRATCH, 1, (uint64_t)-1), -EINVAL);
    assert_int_equal(CALL(vm, preadv, 0, SCRATCH, 1, 0), -ESPIPE);
    assert_int_equal(CALL(vm, pwritev, 1, SCRATCH, 1, 0), -ESPIPE);
    assert_int_equal(CALL(vm, pwritev, 3, SCRATCH, 1, 0), -EBADF);
    assert_int_equal(CALL(vm, preadv2, 0, SCRATCH, 1, (uint64_t)-1, 0, RWF_NOWAIT), -EAGAIN);
    assert_int_equal(CALL(vm, fcntl, 0, F_GETFL), O_RDONLY); /* for that call alone */
    assert_int_equal(CALL(vm, pwritev2, 1, SCRATCH, 1, (uint64_t)-1, 0, 0), 2);
    assert_memory_equal(vm->output, "ro", 2);
}

/* ---- another thread, while the file system has not answered yet ------------------- */

static int64_t position_meanwhile, mapped_meanwhile;

static void ask_position(struct ferry_vm *vm)
{
    position_meanwhile = other_call(vm, SYS_fcntl, (const uint64_t[6]){3, F_GETFL}) & O_NONBLOCK
                             ? -1
                             : vm->linux_state->descriptors[3].file->position;
}

static void test_the_position_stays_during_waits(void **state)
{
    struct ferry_vm *vm = with_file(state);
    int64_t *offset = guest(vm, OFFSET);
    int pipe[2];

    vm->linux_state->descriptors[3].file->local = false;
    assert_int_equal(CALL(vm, lseek, 3, 2, SEEK_SET), 2);
    memcpy(guest(vm, SCRATCH), (uint64_t[]){OUT, 2}, 16);
    vm->meanwhile = ask_position;
    assert_int_equal(CALL(vm, preadv, 3, SCRATCH, 1, 5), 2);
    assert_null(vm->meanwhile);
    assert_int_equal(position_meanwhile, 2);
    vm->meanwhile = ask_position;
    assert_int_equal(CALL(vm, preadv2, 3, SCRATCH, 1, 5, 0, RWF_NOWAIT), 2);
    assert_null(vm->meanwhile);
    assert_int_equal(position_meanwhile, 2);
    assert_int_equal(CALL(vm, preadv2, 3, SCRATCH, 1, (uint64_t)-1, 0, RWF_NOWAIT), 2);
    assert_int_equal(CALL(vm, lseek, 3, 0, SEEK_CUR), 4);

    assert_int_equal(CALL(vm, pipe2, OUT, 0), 0);
    memcpy(pipe, guest(vm, OUT), sizeof(pipe));
    *offset = 5;
    vm->meanwhile = ask_position;
    assert_int_equal(CALL(vm, splice, 3, OFFSET, (uint64_t)pipe[1], 0, 3, 0), 3);
    assert_null(vm->meanwhile);
    assert_int_equal(position_meanwhile, 4);
    assert_int_equal(*offset, 8);
}

static int64_t read_meanwhile;

static void read_some(struct ferry_vm *vm)
{
    read_meanwhile = other_call(vm, SYS_read, (const uint64_t[6]){3, OFFSET, 4});
    position_meanwhile = other_call(vm, SYS_lseek, (const uint64_t[6]){3, 0, SEEK_CUR});
}

/* Each call that goes by a file's position waits until that of another thread has moved it. Here no
 * such wait ever ends. */
static void test_calls_by_position_take_turns(void **state)
{
    struct ferry_vm *vm = with_file(state);

    vm->linux_state->descriptors[3].file->local = false;
    memcpy(guest(vm, SCRATCH), (uint64_t[]){OUT, 2}, 16);
    for (int i = 0; i < 4; i++) {
        vm->meanwhile = read_some;
        assert_int_equal(i == 0   ? CALL(vm, read, 3, OUT, 2)
                         : i == 1 ? CALL(vm, readv, 3, SCRATCH, 1)
                         : i == 2 ? CALL(vm, preadv2, 3, SCRATCH, 1, (uint64_t)-1, 0, RWF_NOWAIT)
                                  : CALL(vm, lseek, 3, 8, SEEK_SET),
                         i < 3 ? 2 : 8);
        assert_null(vm->meanwhile);
        assert_int_equal(read_meanwhile, -ETIMEDOUT);
        assert_int_equal(position_meanwhile, -ETIMEDOUT);
    }
    assert_int_equal(vm->linux_state->descriptors[3].file->position_wanted, 0);
    vm->meanwhile = read_some;
    assert_int_equal(CALL(vm, pread64, 3, OUT, 2, 0), 2); /* this one does not go by it */
    assert_int_equal(read_meanwhile, 4);
    assert_int_equal(position_meanwhile, 12);
}

static void close_and_unmap(struct ferry_vm *vm)
{
    assert_int_equal(other_call(vm, SYS_close, (const uint64_t[6]){3}), 0);
    assert_int_equal(other_call(vm, SYS_munmap, (const uint64_t[6]){mapped_meanwhile, PAGE}), 0);
}

/* The host may be long in reading a file: others are served meanwhile, and may take away what the
 * call works on. */
static void test_reading_lets_others_be_served(void **state)
{
    struct ferry_vm *vm = with_file(state);

    mapped_meanwhile =
        CALL(vm, mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1);
    vm->aside = read_some;
    assert_int_equal(CALL(vm, read, 3, (uint64_t)mapped_meanwhile, 4), 4);
    assert_null(vm->aside);
    assert_int_equal(read_meanwhile, -ETIMEDOUT);
    vm->aside = close_and_unmap;
    assert_int_equal(CALL(vm, pread64, 3, (uint64_t)mapped_meanwhile, 4, 0), -EFAULT);
    assert_null(vm->aside);
    assert_int_equal(CALL(vm, read, 3, OUT, 4), -EBADF);
}

static void map_some(struct ferry_vm *vm)
{
    mapped_meanwhile = other_call(vm, SYS_mmap,
                                  (const uint64_t[6]){0, PAGE, PROT_READ | PROT_WRITE,
                                                      MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1});
    *(char *)guest(vm, (uint64_t)mapped_meanwhile) = '!';
}

static void test_a_mapping_made_meanwhile_stays(void **state)
{
    struct ferry_vm *vm = with_file(state);
    int64_t addr;

    vm->linux_state->descriptors[3].file->local = false;
    vm->meanwhile = map_some;
    addr = CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, 3, 0);
    assert_null(vm->meanwhile);
    assert_true(addr > 0 && mapped_meanwhile > 0);
    assert_memory_equal(guest(vm, (uint64_t)addr), "root", 4);
    assert_int_equal(*(char *)guest(vm, (uint64_t)mapped_meanwhile), '!');
}

static uint64_t used_meanwhile;

static void ask_used(struct ferry_vm *vm)
{
    if (vm->space.used_bytes > used_meanwhile)
        used_meanwhile = vm->space.used_bytes;
    vm->meanwhile = ask_used;
}

/* The copy of a file is charged as soon as it is made, not when it is mapped. */
static void test_a_copy_is_charged_at_once(void **state)
{
    struct ferry_vm *vm = with_file(state);
    uint64_t before = vm->space.used_bytes, name;
    int64_t addr;

    vm->linux_state->descriptors[3].file->local = false;
    used_meanwhile = 0;
    vm->meanwhile = ask_used;
    addr = CALL(vm, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, 3, 0);
    assert_true(addr > 0);
    vm->meanwhile = NULL;
    name = space_label_at(&vm->space, guest_addr((uint64_t)addr)).file->charged;
    assert_in_range(name, 1, 256);
    assert_int_equal(used_meanwhile, before + PAGE + name);
    assert_int_equal(vm->space.used_bytes, before + PAGE + name);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, linux_setup, linux_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_splice_of_streams),
        TEST(test_splice_with_files),
        TEST(test_nothing_is_lost_for_want_of_room),
        TEST(test_a_tee_waits_again),
        TEST(test_sendfile),
        TEST(test_tee_and_vmsplice),
        TEST(test_pieces_at_offsets),
        TEST(test_the_position_stays_during_waits),
        TEST(test_calls_by_position_take_turns),
        TEST(test_reading_lets_others_be_served),
        TEST(test_a_mapping_made_meanwhile_stays),
        TEST(test_a_copy_is_charged_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
