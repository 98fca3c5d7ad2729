/* SPDX-License-Identifier: BSD-2-Clause */
/* A pretended VM: answers the personality's calls without KVM. */
#include "linux_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ferry/abi/layout.h>

#include "lib/clock.h"
#include "linux/state.h"
#include "linux/vm_linux.h"
#include "program/image.h"
#include "stream/stream.h"

#define TABLES 512

struct space *vm_space(struct ferry_vm *vm)
{
    return &vm->space;
}

struct stream *vm_stream(struct ferry_vm *vm)
{
    return &vm->stream;
}

bool vm_files(struct ferry_vm *vm, struct vm_files *out)
{
    *out = vm->guest_files;
    return out->place;
}

void vm_lost_write(struct ferry_vm *vm, const char *name, int error)
{
    snprintf(vm->lost, sizeof(vm->lost), "%s: %s", name, strerrorname_np(error));
}

bool vm_may(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write)
{
    return reach_may(vm_memory(vm, addr, bytes, write), bytes, write);
}

struct reach vm_memory(struct ferry_vm *vm, struct guest_addr addr, uint64_t bytes, bool write)
{
    struct reach place = space_reach(&vm->space, addr, bytes, write ? SPACE_WRITE : SPACE_READ);

    return place.at && space_touch(&vm->space, addr, bytes) ? (struct reach){0} : place;
}

size_t vm_copy_in_pages(struct ferry_vm *vm, void *to, struct guest_addr addr, size_t bytes)
{
    struct reach from = vm_memory(vm, addr, bytes, false);

    return from.at ? reach_read(to, from, bytes) : 0;
}

int vm_copy_in(struct ferry_vm *vm, void *to, struct guest_addr addr, uint64_t bytes)
{
    struct reach from = vm_memory(vm, addr, bytes, false);

    if (!from.at || reach_read(to, from, bytes) != bytes)
        return -EFAULT;
    vm->fetched += bytes;
    if (vm->hostile && vm_may(vm, addr, bytes, true))
        memset(guest(vm, addr.value), vm->hostile, bytes);
    return 0;
}

int vm_copy_out(struct ferry_vm *vm, struct guest_addr addr, const void *from, uint64_t bytes)
{
    struct reach to = vm_memory(vm, addr, bytes, true);

    return to.at && reach_write(to, from, bytes) == bytes ? 0 : -EFAULT;
}

/* Only what can be seen of it: what it was asked for. */
int vm_exec(struct ferry_vm *vm, struct vcpu *cpu, const struct vm_exec *exec)
{
    char *const *const vectors[] = {exec->argv, exec->envp};
    size_t used;

    (void)cpu;
    close(exec->source->fd);
    vm->exec_own = exec->source->own;
    vm->exec_sealed = exec->source->sealed;
    vm->exec_used = vm->space.used_bytes;
    vm->exec_kept = exec->kept_bytes;
    vm->execs++;
    snprintf(vm->exec_text, sizeof(vm->exec_text), "%s", exec->name);
    for (int v = 0; v < 2; v++) {
        for (size_t i = 0; i == 0 || vectors[v][i - 1]; i++) {
            used = strlen(vm->exec_text);
            snprintf(vm->exec_text + used, sizeof(vm->exec_text) - used, "%s%.50s", i ? " " : "|",
                     vectors[v][i] ? vectors[v][i] : "");
        }
    }
    return vm->exec_result;
}

int vm_program_fd(struct ferry_vm *vm, bool *own)
{
    (void)vm;
    (void)own;
    return -ESTALE;
}

bool vm_file_take(struct ferry_vm *vm)
{
    vm->files++;
    return true;
}

void vm_file_give_back(struct ferry_vm *vm)
{
    vm->files--;
}

void vm_set_fs(struct vcpu *cpu, uint64_t base)
{
    cpu->fs = base;
}

void vm_set_gs(struct vcpu *cpu, uint64_t base)
{
    cpu->gs = base;
}

uint64_t vm_fs(struct vcpu *cpu)
{
    return cpu->fs;
}

uint64_t vm_gs(struct vcpu *cpu)
{
    return cpu->gs;
}

uint64_t vm_stack_pointer(struct vcpu *cpu)
{
    return cpu->sp;
}

const struct kvm_regs *vm_regs(struct vcpu *cpu)
{
    return &cpu->regs;
}

void vm_set_regs(struct vcpu *cpu, const struct kvm_regs *regs)
{
    cpu->regs = *regs;
}

void vm_set_result(struct vcpu *cpu, uint64_t value)
{
    cpu->regs.rax = value;
}

uint64_t vm_vectors_parts(struct vcpu *cpu)
{
    (void)cpu;
    return 7;
}

uint32_t vm_vectors_bytes(struct vcpu *cpu)
{
    (void)cpu;
    return 832;
}

int vm_vectors(struct vcpu *cpu, void *area)
{
    memcpy(area, cpu->vectors, sizeof(cpu->vectors));
    return 0;
}

int vm_set_vectors(struct vcpu *cpu, const void *area)
{
    uint8_t mxcsr_mask[4]; /* tells what the processor has: nobody sets it */

    memcpy(mxcsr_mask, cpu->vectors + 28, sizeof(mxcsr_mask));
    memcpy(cpu->vectors, area, sizeof(cpu->vectors));
    memcpy(cpu->vectors + 28, mxcsr_mask, sizeof(mxcsr_mask));
    return 0;
}

void vm_interrupt(struct ferry_vm *vm)
{
    vm->interrupts++;
}

void vm_alarm(struct ferry_vm *vm, uint64_t moment_ns)
{
    vm->alarm_ns = moment_ns;
}

void vm_stack_is(struct ferry_vm *vm, uint64_t bytes)
{
    vm->stack_bytes = bytes;
}

void vm_took_cpu(struct ferry_vm *vm, uint64_t nanoseconds)
{
    (void)vm;
    (void)nanoseconds;
}

uint64_t vm_cpu_ns(struct ferry_vm *vm)
{
    return vm->cpu_ns;
}

void vm_look_at_process(struct ferry_vm *vm, const struct linux_state *state)
{
    (void)vm;
    (void)state;
}

void vm_stand_still(struct ferry_vm *vm)
{
    (void)vm;
}

uint64_t vm_process_cpu_ns(struct ferry_vm *vm, const struct linux_state *state)
{
    (void)state;
    return vm->cpu_ns;
}

uint64_t vm_thread_cpu_ns(struct ferry_vm *vm, const struct linux_thread *thread)
{
    (void)thread;
    return vm->thread_cpu_ns;
}

void vm_watch_cpu(struct ferry_vm *vm, uint64_t nanoseconds)
{
    vm->cpu_watch_ns = nanoseconds;
}

struct timespec vm_clock(struct ferry_vm *vm, clockid_t clock)
{
    struct timespec now = {0};

    (void)vm;
    clock_gettime(clock, &now);
    return now;
}

int vm_sleep(struct ferry_vm *vm, uint64_t nanoseconds)
{
    vm->slept_ns = nanoseconds;
    vm->sleeps++;
    return vm->stop ? -EINTR : 0;
}

/* The program of these tests has one thread. */
int vm_new_cpu(struct ferry_vm *vm, struct vcpu *caller, struct vcpu **out)
{
    (void)vm;
    (void)caller;
    (void)out;
    return -EAGAIN;
}

/* And it is the only process. */
int vm_fork(struct ferry_vm *vm, const struct vm_fork *fork)
{
    (void)vm;
    (void)fork;
    return -EAGAIN;
}

void vm_return_memory(struct ferry_vm *vm)
{
    (void)vm;
}

bool vm_still_has(struct ferry_vm *vm, const void *at, uint64_t bytes, bool write)
{
    struct guest_addr addr;

    return !space_guest(&vm->space, at, &addr) ||
           space_at(&vm->space, addr, bytes, write ? SPACE_WRITE : SPACE_READ);
}

void vm_poll(struct ferry_vm *vm, struct pollfd *entry, int timeout_ms)
{
    (void)vm;
    poll(entry, 1, timeout_ms);
}

void vm_start_cpu(struct ferry_vm *vm, struct vcpu *cpu, struct vcpu *caller,
                  struct linux_thread *thread, uint64_t stack, uint64_t fs)
{
    (void)vm;
    (void)cpu;
    (void)caller;
    (void)thread;
    (void)stack;
    (void)fs;
}

int vm_suspend(struct ferry_vm *vm, struct vcpu *cpu, uint64_t deadline)
{
    (void)cpu;
    vm->suspended_until = deadline;
    vm->sleeps++;
    return vm->stop ? -EINTR : -ETIMEDOUT;
}

void vm_rouse(struct ferry_vm *vm, struct vcpu *cpu)
{
    (void)vm;
    (void)cpu;
}

bool vm_stopping(struct ferry_vm *vm)
{
    return vm->stop;
}

int vm_await(struct ferry_vm *vm, const atomic_bool *done)
{
    void (*meanwhile)(struct ferry_vm * vm) = vm->meanwhile;

    vm->meanwhile = NULL;
    if (meanwhile)
        meanwhile(vm);
    while (!atomic_load(done) && !vm->stop)
        sched_yield();
    return atomic_load(done) ? 0 : -EINTR;
}

struct vcpu *vm_step_aside(struct ferry_vm *vm, const void *to)
{
    struct guest_addr addr;
    bool own = space_guest(&vm->space, to, &addr);
    void (*meanwhile)(struct ferry_vm * vm) = vm->aside;

    if ((to && !own) || !meanwhile)
        return NULL;
    vm->aside = NULL;
    meanwhile(vm);
    return &vm->cpu;
}

void vm_keep_to(struct ferry_vm *vm, const struct linux_thread *thread, const cpu_set_t *host)
{
    (void)thread;
    vm->kept_to = *host;
}

void vm_step_back(struct ferry_vm *vm, struct vcpu *aside)
{
    (void)vm;
    (void)aside;
}

bool vm_polls_itself(struct ferry_vm *vm)
{
    (void)vm;
    return false;
}

void vm_wake_for(struct ferry_vm *vm, uint32_t what)
{
    (void)what;
    atomic_fetch_add(&vm->wakes, 1);
}

int64_t other_call(struct ferry_vm *vm, uint64_t number, const uint64_t arg[6])
{
    struct linux_thread other = {.id = 3};
    struct linux_call call = {.thread = &other, .cpu = &vm->cpu, .number = number};

    memcpy(call.arg, arg, sizeof(call.arg));
    linux_serve(vm->linux_state, &call);
    linux_now_serves(vm->linux_state, linux_first_thread(vm->linux_state));
    return call.result;
}

static void close_meanwhile(struct ferry_vm *vm)
{
    const uint64_t arg[6] = {(uint64_t)vm->closed_meanwhile};

    vm->closed_meanwhile = 0;
    assert_int_equal(other_call(vm, SYS_close, arg), 0);
}

/* Time passes without anybody waiting; a wait for ever ends at once. */
int vm_wait_for(struct ferry_vm *vm, vm_ready_fn ready, void *arg, uint64_t timeout_ns,
                const uint32_t *what)
{
    uint64_t left_ns = timeout_ns, again = UINT64_MAX, turn_ns;

    while (!ready(arg, &again)) {
        if (vm->stop)
            return -EINTR;
        if (!left_ns)
            return -ETIMEDOUT;
        turn_ns = again == UINT64_MAX ? left_ns : again - clock_now();
        if (turn_ns > left_ns)
            turn_ns = left_ns;
        vm->slept_ns = timeout_ns;
        vm->sleeps++;
        vm->waits_for = *what;
        if (vm->closed_meanwhile)
            close_meanwhile(vm);
        if (vm->waiting)
            vm->waiting(vm);
        left_ns -= turn_ns;
        again = UINT64_MAX;
    }
    return 0;
}

void vm_trace(struct ferry_vm *vm, const struct ferry_trace *event)
{
    size_t used = strlen(vm->traced);

    snprintf(vm->traced + used, sizeof(vm->traced) - used, "%s\n", event->line);
}

void vm_debug(struct ferry_vm *vm, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(vm->line, sizeof(vm->line), format, args);
    va_end(args);
    vm->lines++;
}

size_t stream_available(struct stream *stream)
{
    struct ferry_vm *vm = stream->vm;

    return strlen(vm->input);
}

ssize_t stream_read(struct stream *stream, void *dst, size_t bytes)
{
    struct ferry_vm *vm = stream->vm;
    size_t have = strlen(vm->input);

    assert_false(vm->input_closed);
    if (vm->stop)
        return -EINTR;
    assert_true(have || vm->input_ended); /* else a real one would block for ever */
    if (bytes > have)
        bytes = have;
    memcpy(dst, vm->input, bytes);
    vm->input += bytes;
    return (ssize_t)bytes;
}

ssize_t stream_pass(struct stream *stream, size_t bytes)
{
    char through[64];
    ssize_t got = stream_read(stream, through, bytes < sizeof(through) ? bytes : sizeof(through));

    return got > 0 ? stream_write(stream, through, (size_t)got) : got;
}

ssize_t stream_write(struct stream *stream, const void *src, size_t bytes)
{
    struct ferry_vm *vm = stream->vm;

    assert_false(vm->output_closed);
    if (vm->stop)
        return -EINTR;
    if (vm->output_broken)
        return -EPIPE;
    assert_true(bytes <= sizeof(vm->output) - vm->output_bytes);
    if (bytes)
        memcpy(vm->output + vm->output_bytes, src, bytes);
    vm->output_bytes += bytes;
    vm->stop |= vm->stop_after_write;
    return (ssize_t)bytes;
}

ssize_t stream_write_some(struct stream *stream, const void *src, size_t bytes)
{
    struct ferry_vm *vm = stream->vm;

    if (!vm->output_room && !vm->output_broken)
        return -EAGAIN;
    return stream_write(stream, src, bytes < vm->output_room ? bytes : vm->output_room);
}

size_t stream_peek(struct stream *stream, const void **data)
{
    struct ferry_vm *vm = stream->vm;

    *data = vm->input;
    return strlen(vm->input);
}

unsigned stream_guest_reads(const struct stream *stream)
{
    return stream->vm->guest_reads;
}

void stream_first_look(struct stream *stream)
{
    struct ferry_vm *vm = stream->vm;
    void (*meanwhile)(struct ferry_vm * vm) = vm->meanwhile;

    vm->first_looks++;
    vm->meanwhile = NULL;
    if (meanwhile)
        meanwhile(vm);
}

int stream_poll(struct stream *stream, short want, uint64_t timeout_ns)
{
    struct ferry_vm *vm = stream->vm;
    short have = POLLOUT;

    vm->polls++;
    vm->poll_want = want;
    vm->poll_timeout = timeout_ns;
    if (vm->stop)
        return -EINTR;
    if (*vm->input || vm->input_ended)
        have |= POLLIN;
    if (!*vm->input && vm->input_ended)
        have |= POLLHUP;
    if (vm->output_broken)
        have |= POLLERR;
    return have & want;
}

void stream_close_input(struct stream *stream)
{
    struct ferry_vm *vm = stream->vm;

    assert_false(vm->input_closed);
    vm->input_closed = true;
}

void stream_close_output(struct stream *stream)
{
    struct ferry_vm *vm = stream->vm;

    assert_false(vm->output_closed);
    vm->output_closed = true;
}

static int slot_add(void *arg, struct guest_addr gpa, uint64_t bytes, void *host)
{
    (void)arg;
    (void)gpa;
    (void)bytes;
    (void)host;
    return 0;
}

struct ferry_vm *linux_vm_create_as(struct linux_config config)
{
    struct ferry_vm *vm = calloc(1, sizeof(*vm));
    struct space_backend backend = {.slot_add = slot_add};

    config.memory_bytes = MEMORY;
    config.stack_bytes = STACK_BYTES;
    assert_non_null(vm);
    vm->stream.vm = vm;
    vm->input = "";
    vm->table_pages = aligned_alloc(PAGE, TABLES * PAGE);
    guest_tables_init(&vm->tables, vm->table_pages, guest_addr(FERRY_SYSTEM_BASE), TABLES);
    backend.tables = &vm->tables;
    vm->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    backend.pagemap_and_one = vm->pagemap + 1;
    assert_int_equal(space_init(&vm->space, &backend, MEMORY), 0);
    assert_int_equal(
        space_map(&vm->space, guest_addr(SCRATCH), SCRATCH_END - SCRATCH, SPACE_READ | SPACE_WRITE),
        0);
    assert_int_equal(space_map(&vm->space, guest_addr(READ_ONLY), PAGE, SPACE_READ), 0);
    assert_int_equal(linux_create(vm, &config, &vm->linux_state), 0);
    linux_begin(vm->linux_state, guest_addr(HEAP_START), "/a/program-with-a-long-name",
                "/a/program-with-a-long-name", (char *const[]){"program", "an argument", NULL});
    linux_environment(vm->linux_state, (char *[]){(char *)"NAME=value", NULL});
    return vm;
}

struct ferry_vm *linux_vm_create(const char *const *directories, int stderr_fd)
{
    return linux_vm_create_as((struct linux_config){
        .read_only_dirs = directories, .view = FERRY_VIEW_NONE, .stderr_fd = stderr_fd});
}

void linux_vm_destroy(struct ferry_vm *vm)
{
    linux_destroy(vm->linux_state);
    space_fini(&vm->space);
    close(vm->pagemap);
    free(vm->table_pages);
    free(vm);
}

int linux_setup(void **state)
{
    *state = linux_vm_create(NULL, -1);
    return 0;
}

int linux_teardown(void **state)
{
    linux_vm_destroy(*state);
    return 0;
}

int64_t linux_call(struct ferry_vm *vm, uint64_t number, const uint64_t arg[6])
{
    struct linux_call call = {
        .thread = linux_first_thread(vm->linux_state), .cpu = &vm->cpu, .number = number};

    memcpy(call.arg, arg, sizeof(call.arg));
    vm->next = linux_serve(vm->linux_state, &call);
    vm->status = call.status;
    return call.result;
}

void *guest(struct ferry_vm *vm, uint64_t addr)
{
    return vm->space.base + addr;
}

uint64_t guest_string(struct ferry_vm *vm, uint64_t addr, const char *text)
{
    memcpy(guest(vm, addr), text, strlen(text) + 1);
    return addr;
}

uint64_t vm_take_signals(struct ferry_vm *vm)
{
    uint64_t sent = vm->sent;

    vm->sent = 0;
    return sent;
}

void vm_closed(struct ferry_vm *vm, int fd)
{
    vm->closed_fd = fd;
}

bool vm_can_pause(struct ferry_vm *vm)
{
    return vm->pauses_at;
}

void vm_pause(struct ferry_vm *vm, int signo)
{
    vm->paused_by = signo;
    vm->pauses_at++;
}
