/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual machine: making it, its thread, its end. */
#include "vm.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot.h"
#include "clock.h"
#include "direct.h"
#include "engine.h"
#include "error.h"
#include "identity.h"
#include "loan.h"
#include "mapping.h"
#include "name.h"
#include "queue.h"
#include "report.h"
#include "ring.h"
#include "route.h"
#include "stream_internal.h"
#include "thread.h"
#include "vcpu.h"
#include "vm_linux.h"

/* A stream gathers for so many times the cost of an exit at most: then exits are a small
 * part of its time. */
#define GATHER_EXITS         4
#define DEFAULT_MEMORY_BYTES (256ull << 20)
#define DEFAULT_EXTENTS      8
#define DEFAULT_PAGES        64

/* --- memory --------------------------------------------------------------- */

static int slot_add(void *arg, uint64_t gpa, uint64_t bytes, void *host)
{
    struct ferry_vm *vm = arg;
    struct kvm_userspace_memory_region region = {.slot = vm->slots,
                                                 .guest_phys_addr = gpa,
                                                 .memory_size = bytes,
                                                 .userspace_addr = (uint64_t)host};

    if (ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return -errno;
    vm->slots++;
    return 0;
}

int vm_slot_add(struct ferry_vm *vm, uint64_t gpa, uint64_t bytes, void *host)
{
    return slot_add(vm, gpa, bytes, host);
}

struct space *vm_space(struct ferry_vm *vm)
{
    return &vm->space;
}

void vm_stack_is(struct ferry_vm *vm, uint64_t bytes)
{
    vm->stack_bytes = bytes;
}

static void *window_memory(struct ferry_vm *vm, uint64_t addr, uint64_t bytes, bool write)
{
    struct pool *pool = &vm->engine->pool;
    uint64_t offset = addr - FERRY_WINDOW_BASE;
    struct units units;

    if (!pool_covering(pool, offset, bytes, &units))
        return NULL;
    /* Neither may change hands while the caller uses it: another thread sends what
     * plain writes gathered, or brings a loan home that was released. */
    if ((write && stream_uses(vm->endpoint->byte_stream, units)) ||
        loan_is_leaving(vm->endpoint, units))
        return NULL;
    int access = ledger_access(&vm->engine->ledger, units, vm->endpoint->index);
    return access >= (write ? WINDOW_WRITE : WINDOW_READ) ? pool->base + offset : NULL;
}

/* Of the system area only copied payloads are the program's to pass on. */
static void *landing_memory(struct ferry_vm *vm, uint64_t addr, uint64_t bytes, bool write)
{
    uint64_t offset = addr - FERRY_SYSTEM_BASE, end;

    if (write || offset < SYSTEM_TABLES_BYTES || __builtin_add_overflow(offset, bytes, &end) ||
        end > SYSTEM_BYTES)
        return NULL;
    return vm->system + offset;
}

void *vm_memory(struct ferry_vm *vm, uint64_t addr, uint64_t bytes, bool write)
{
    if (bytes == 0)
        return vm->system;
    if (addr >= FERRY_WINDOW_BASE)
        return window_memory(vm, addr, bytes, write);
    if (addr >= FERRY_SYSTEM_BASE)
        return landing_memory(vm, addr, bytes, write);
    return space_at(&vm->space, addr, bytes, write ? SPACE_WRITE : SPACE_READ);
}

/* Besides those of the program: system area, window, shared page, stack and endpoint. */
#define OWN_MAPPINGS 8
/* The VM, its virtual CPU and standard error. */
#define OWN_FILES 3

static bool allow_mappings(void *arg, uint64_t mappings)
{
    struct ferry_vm *vm = arg;

    return budget_set(&vm->engine->mappings, &vm->mappings, (uint32_t)mappings + OWN_MAPPINGS);
}

bool vm_file_take(struct ferry_vm *vm)
{
    return budget_set(&vm->engine->files, &vm->files, vm->files.used + 1);
}

void vm_file_give_back(struct ferry_vm *vm)
{
    budget_set(&vm->engine->files, &vm->files, vm->files.used - 1);
}

static int join_budgets(struct ferry_vm *vm, const struct ferry_vm_config *config,
                        struct ferry_error *err)
{
    uint32_t files = OWN_FILES;

    for (const char *const *dir = config->read_only_dirs; dir && *dir; dir++)
        files++;
    if (!budget_join(&vm->engine->files, &vm->files, files))
        return error_set(err, -EMFILE,
                         "no descriptors are left for VM '%s'; fewer VMs, or raise 'ulimit -n'",
                         vm->endpoint->name);
    if (!budget_join(&vm->engine->mappings, &vm->mappings, OWN_MAPPINGS))
        return error_set(err, -ENOMEM,
                         "no mappings are left for VM '%s'; fewer VMs, or raise vm.max_map_count",
                         vm->endpoint->name);
    return 0;
}

static int create_memory(struct ferry_vm *vm, uint64_t limit_bytes)
{
    struct pool *pool = &vm->engine->pool;
    struct endpoint *endpoint = vm->endpoint;

    vm->system = mapping_aligned(SYSTEM_BYTES, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!vm->system)
        return -errno;
    madvise(vm->system, SYSTEM_BYTES, MADV_NOHUGEPAGE); /* a small VM stays small */
    int result = boot_system(vm->system, pool->bytes, &vm->tables);
    if (result < 0)
        return result;
    endpoint->control = (struct ferry_control *)(void *)vm->system;
    endpoint->landing = vm->system + SYSTEM_TABLES_BYTES;
    endpoint->landing_addr = SYSTEM_LANDING;
    endpoint->window_addr = FERRY_WINDOW_BASE;
    result = window_create(&endpoint->window, pool->fd, pool->bytes);
    if (result < 0)
        return result;

    struct space_backend backend = {
        .slot_add = slot_add, .allow_mappings = allow_mappings, .arg = vm, .tables = &vm->tables};
    result = space_init(&vm->space, &backend, limit_bytes);
    if (result == 0)
        result = slot_add(vm, FERRY_SYSTEM_BASE, SYSTEM_BYTES, vm->system);
    if (result == 0)
        result = slot_add(vm, FERRY_WINDOW_BASE, pool->bytes, endpoint->window.base);
    return result;
}

/* --- making ----------------------------------------------------------------- */

static void write_control(struct ferry_vm *vm)
{
    struct ferry_engine *engine = vm->engine;
    struct endpoint *endpoint = vm->endpoint;

    endpoint->control->info = (struct ferry_control_info){
        .magic = FERRY_CONTROL_MAGIC,
        .version = FERRY_ABI_VERSION,
        .size_bytes = sizeof(struct ferry_control),
        .id = endpoint->id,
        .generation = endpoint->generation,
        .window_base = FERRY_WINDOW_BASE,
        .window_bytes = engine->pool.bytes,
        .small_bytes = pool_small_bytes(&engine->pool),
        .landing_base = SYSTEM_LANDING,
        .crossover_bytes = engine->info.crossover_bytes,
        .pool_extents = endpoint->most_extents,
        .delivery = engine->poller.running && endpoint->delivery != FERRY_DELIVER_IMMEDIATE
                        ? FERRY_DELIVERY_POLLED
                        : (uint32_t)endpoint->delivery,
        .payload = (uint32_t)endpoint->transfer,
        .stdin_peer = FERRY_NO_PEER,
        .stdout_peer = FERRY_NO_PEER,
    };
}

static int create_endpoint(struct ferry_vm *vm, const struct ferry_vm_config *config,
                           struct ferry_error *err)
{
    int result = engine_endpoint_new(vm->engine, vm, &vm->endpoint);
    if (result < 0)
        return error_set(err, result, "cannot make another VM: %s", strerror(-result));
    struct endpoint *endpoint = vm->endpoint;
    result = name_endpoint(endpoint, config->name, config->program, err);
    if (result < 0)
        return result;
    endpoint->image = vm->image;
    endpoint->delivery = config->delivery;
    endpoint->transfer = config->transfer;
    endpoint->most_extents = config->pool_extents ? config->pool_extents : DEFAULT_EXTENTS;
    endpoint->most_pages = config->pool_pages ? config->pool_pages : DEFAULT_PAGES;
    result = stream_create(endpoint, &endpoint->byte_stream);
    return result < 0 ? error_set(err, result, "no memory for another VM") : 0;
}

/* A refusal that --mem would not mend: there was room for the program by that, so the host had none. */
static int explain_refusal(const struct ferry_vm *vm, int result, struct ferry_error *err)
{
    uint64_t bytes = vm->image->memory_bytes + vm->image->unshared_bytes + vm->stack_bytes;

    if (result == -ENOMEM && bytes <= vm->space.limit_bytes)
        return error_set(err, result, "no memory for the program of VM '%s': %s",
                         vm->endpoint->name, strerror(-result));
    return result;
}

static int load_program(struct ferry_vm *vm, const struct ferry_vm_config *config,
                        struct ferry_error *err)
{
    char *default_argv[] = {(char *)config->program, NULL}, *default_envp[] = {NULL};
    char *const *argv = config->argv ? config->argv : default_argv;
    char *const *envp = config->envp ? config->envp : default_envp;
    struct linux_config linux_config = {
        .heap_start = vm->image->end,
        .memory_bytes = vm->space.limit_bytes,
        .program = config->program,
        .ignore_sigpipe = config->ignore_sigpipe,
        .read_only_dirs = config->read_only_dirs,
        .stderr_fd = config->stderr_fd == 0 ? STDERR_FILENO : config->stderr_fd,
        .closed = config->closed_fds,
    };
    uint64_t rsp = 0, stack_bytes = vm->space.limit_bytes / 4;

    /* The stack is charged in full, and must not be most of a small VM. */
    if (stack_bytes > VM_STACK_MOST_BYTES)
        stack_bytes = VM_STACK_MOST_BYTES;
    stack_bytes &= ~(FERRY_PAGE_BYTES - 1);
    vm->stack_bytes = stack_bytes;
    int result =
        image_stack(vm->image, &vm->space, stack_bytes, argv, envp, FERRY_SYSTEM_BASE, &rsp, err);
    if (result < 0)
        return explain_refusal(vm, result, err);
    result = vcpu_create(vm, vm->image->entry, rsp, err);
    if (result < 0)
        return result;
    vm->endpoint->control->info.gather_ticks =
        vcpu_ticks(vm, GATHER_EXITS * vm->engine->info.exit_ns);
    linux_config.stack_bytes = stack_bytes;
    result = linux_create(vm, &linux_config, &vm->personality);
    if (result < 0)
        return error_set(err, result,
                         "cannot prepare '%s': a read-only directory cannot be opened: %s",
                         vm->endpoint->name, strerror(-result));
    /* Last: the image may still be being copied. */
    return explain_refusal(vm, image_load(vm->image, &vm->space, err), err);
}

static int build(struct ferry_vm *vm, const struct ferry_vm_config *config, struct ferry_error *err)
{
    struct ferry_engine *engine = vm->engine;
    uint64_t limit = config->memory_bytes ? config->memory_bytes : DEFAULT_MEMORY_BYTES;

    int result = engine_image(engine, config->program, limit, &vm->image, err);
    if (result < 0)
        return result;
    result = create_endpoint(vm, config, err);
    if (result < 0)
        return result;
    result = join_budgets(vm, config, err);
    if (result < 0)
        return result;
    vm->vm_fd = ioctl(engine->kvm_fd, KVM_CREATE_VM, 0);
    if (vm->vm_fd < 0)
        return error_set(err, -errno, "KVM cannot make another VM: %s", strerror(errno));
    result = create_memory(vm, limit);
    if (result < 0)
        return error_set(err, result, "no memory for VM '%s': %s", vm->endpoint->name,
                         strerror(-result));
    write_control(vm);
    vm->timeout_ns = config->timeout_ns;
    return load_program(vm, config, err);
}

/* What no VM can be made of. */
static int check_config(const struct ferry_vm_config *config, struct ferry_error *err)
{
    if (!config || !config->program)
        return error_set(err, -EINVAL, "a VM needs a program");
    if ((unsigned)config->delivery > FERRY_DELIVER_DEFERRED)
        return error_set(err, -EINVAL, "%d is no value of ferry_vm_config.delivery",
                         (int)config->delivery);
    if ((unsigned)config->transfer > FERRY_TRANSFER_MAP)
        return error_set(err, -EINVAL, "%d is no value of ferry_vm_config.transfer",
                         (int)config->transfer);
    if (config->closed_fds > 7)
        return error_set(err, -EINVAL,
                         "%#x is no value of ferry_vm_config.closed_fds: only bits 0, "
                         "1 and 2 are",
                         config->closed_fds);
    if (config->stderr_fd < -1)
        return error_set(err, -EINVAL, "%d is no value of ferry_vm_config.stderr_fd",
                         config->stderr_fd);
    return 0;
}

int ferry_vm_create(struct ferry_engine *engine, const struct ferry_vm_config *config,
                    struct ferry_vm **out, struct ferry_error *err)
{
    int result = check_config(config, err);
    if (result < 0)
        return result;
    struct ferry_vm *vm = calloc(1, sizeof *vm);
    if (!vm)
        return error_set(err, -ENOMEM, "no memory for another VM");
    vm->engine = engine;
    vm->vm_fd = vm->vcpu_fd = -1;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_mutex_init(&vm->serving, NULL);
    clock_cond_init(&vm->ended_changed);

    result = build(vm, config, err);
    if (result < 0) {
        ferry_vm_destroy(vm);
        return result;
    }
    *out = vm;
    return 0;
}

/* --- draining ----------------------------------------------------------------- */

bool vm_has_pending(const struct ferry_vm *vm)
{
    const struct ferry_control *control = vm->endpoint->control;

    return __atomic_load_n(&control->guest.out_head, __ATOMIC_RELAXED) !=
           __atomic_load_n(&control->vmm.out_tail, __ATOMIC_RELAXED);
}

void vm_send_gathered(struct ferry_vm *vm)
{
    const struct ferry_link *out = vm->endpoint->stream_out;

    if (out && atomic_load(&out->to->waiting))
        stream_pull(vm->endpoint->byte_stream);
}

void vm_drain(struct ferry_vm *vm)
{
    struct endpoint *endpoint = vm->endpoint;

    /* Plain output that was written before goes before. */
    if (endpoint->stream_out && route_pending(endpoint))
        stream_pull(endpoint->byte_stream);
    route_drain(endpoint, vm_memory);
    direct_announce(endpoint);
}

static struct vm_marks look(const struct ferry_vm *vm)
{
    const struct ferry_control_guest *guest = &vm->endpoint->control->guest;

    return (struct vm_marks){
        .out_head = __atomic_load_n(&guest->out_head, __ATOMIC_ACQUIRE),
        .in_tail = __atomic_load_n(&guest->in_tail, __ATOMIC_ACQUIRE),
        .home_tail = __atomic_load_n(&guest->home_tail, __ATOMIC_ACQUIRE),
        .release_head = __atomic_load_n(&guest->release_head, __ATOMIC_ACQUIRE),
        .events = atomic_load(&vm->endpoint->events),
    };
}

void vm_poll(struct ferry_vm *vm)
{
    struct vm_marks now = look(vm);

    direct_announce(vm->endpoint);
    if (memcmp(&now, &vm->polled, sizeof now) == 0)
        return;
    if (pthread_mutex_trylock(&vm->serving) != 0)
        return;
    /* Looked at before the drain: what comes during it is seen next time. */
    vm->polled = now;
    vm_drain(vm);
    pthread_mutex_unlock(&vm->serving);
}

int vm_drain_all(struct ferry_vm *vm)
{
    struct endpoint *endpoint = vm->endpoint;
    int result = 0;

    while (result == 0 && route_pending(endpoint)) {
        uint32_t seen = endpoint_prepare(endpoint);
        vm_drain(vm);
        if (route_pending(endpoint))
            result = endpoint_block(endpoint, seen, UINT64_MAX);
        endpoint_finish(endpoint);
    }
    return result;
}

/* --- running -------------------------------------------------------------------- */

int vm_sleep(struct ferry_vm *vm, uint64_t nanoseconds)
{
    uint64_t deadline = clock_deadline(nanoseconds);
    int result = 0;

    while (result == 0) {
        uint32_t seen = endpoint_prepare(vm->endpoint);
        result = endpoint_block(vm->endpoint, seen, deadline);
        endpoint_finish(vm->endpoint);
    }
    return result == -ETIMEDOUT ? 0 : result;
}

bool vm_stopping(struct ferry_vm *vm)
{
    return vm->endpoint->stopping;
}

int vm_await(struct ferry_vm *vm, const atomic_bool *done)
{
    int result = 0;

    while (result == 0 && !atomic_load(done)) {
        uint32_t seen = endpoint_prepare(vm->endpoint);
        if (!atomic_load(done))
            result = endpoint_block(vm->endpoint, seen, UINT64_MAX);
        endpoint_finish(vm->endpoint);
    }
    return result;
}

void vm_wake(struct ferry_vm *vm)
{
    endpoint_wake(vm->endpoint);
}

void vm_debug(struct ferry_vm *vm, const char *format, ...)
{
    char text[256];
    va_list args;

    if (vm->engine->config.log_level < FERRY_LOG_DEBUG)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    engine_log(vm->engine, FERRY_LOG_DEBUG, "%s: %s", vm->endpoint->name, text);
}

/* What the program had sent or written arrives, however it ended, as with a pipe; unless
 * it was told to stop, before or while there was no room. False: something was left. On
 * Linux the program would not have ended, but still be in that write. */
static bool send_rest(struct ferry_vm *vm)
{
    if (vm->exit.how == FERRY_ENDED_STOPPED || vm->exit.how == FERRY_ENDED_TIMEOUT)
        return true;
    return vm_drain_all(vm) != -EINTR && stream_finish(vm->endpoint->byte_stream) != -EINTR;
}

static void *vm_thread(void *arg)
{
    struct ferry_vm *vm = arg;

    /* Whoever made this thread holds the lock until vm->thread is known: others kick by it. */
    pthread_mutex_lock(&vm->lock);
    pthread_mutex_unlock(&vm->lock);
    pthread_mutex_lock(&vm->serving);
    ticker_add(&vm->engine->ticker, vm);
    poller_add(&vm->engine->poller, vm);
    engine_log(vm->engine, FERRY_LOG_INFO, "VM '%s' (id %u, generation %u) starts",
               vm->endpoint->name, vm->endpoint->id, vm->endpoint->generation);
    identity_begin(vm);
    vcpu_run(vm);
    report_refusal(vm);
    engine_log(vm->engine, FERRY_LOG_INFO, "VM '%s' ends: %s", vm->endpoint->name, vm->exit.text);
    loan_ignore_notes(vm->endpoint);
    queue_refuse_all(vm->endpoint); /* nobody takes it: a sender that waits for room need not */
    if (!send_rest(vm) && vm->exit.how == FERRY_ENDED_EXIT)
        vcpu_report_stop(vm);
    poller_remove(&vm->engine->poller, vm);
    pthread_mutex_unlock(&vm->serving);
    ticker_remove(&vm->engine->ticker, vm);
    endpoint_shutdown(vm->endpoint);

    pthread_mutex_lock(&vm->lock);
    vm->ended = true;
    pthread_cond_broadcast(&vm->ended_changed);
    pthread_mutex_unlock(&vm->lock);
    return NULL;
}

/* Under lock. */
static int start(struct ferry_vm *vm, struct ferry_error *err)
{
    if (vm->started)
        return error_set(err, -EALREADY, "VM '%s' was started already", vm->endpoint->name);
    if (vm->timeout_ns)
        vm->deadline_ns = clock_deadline(vm->timeout_ns);
    int result = thread_start(&vm->thread, NULL, vm_thread, vm);
    if (result < 0)
        return error_set(err, result, "no thread for VM '%s': %s", vm->endpoint->name,
                         strerror(-result));
    vm->started = true;
    return 0;
}

int ferry_vm_start(struct ferry_vm *vm, struct ferry_error *err)
{
    pthread_mutex_lock(&vm->lock);
    int result = start(vm, err);
    pthread_mutex_unlock(&vm->lock);
    return result;
}

bool vm_is_quiet(struct ferry_vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    bool quiet = !vm->started || vm->ended;
    pthread_mutex_unlock(&vm->lock);
    return quiet;
}

bool vm_is_started(struct ferry_vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    bool started = vm->started;
    pthread_mutex_unlock(&vm->lock);
    return started;
}

void vm_kick(struct ferry_vm *vm)
{
    if (atomic_load(&vm->in_guest))
        pthread_kill(vm->thread, vcpu_kick_signal());
}

void vm_stop(struct ferry_vm *vm, int reason)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&vm->stop, &none, reason))
        return;
    vm->endpoint->stopping = true;
    endpoint_wake(vm->endpoint);
    pthread_mutex_lock(&vm->lock);
    /* Always: the guest may be about to be entered. The signal stays pending
     * in the thread until KVM_RUN sees it. */
    if (vm->started && !vm->ended)
        pthread_kill(vm->thread, vcpu_kick_signal());
    pthread_mutex_unlock(&vm->lock);
}

void ferry_vm_stop(struct ferry_vm *vm, int signo)
{
    vm_stop(vm, signo > 0 && signo < NSIG ? signo : SIGTERM);
}

int ferry_vm_wait(struct ferry_vm *vm, uint64_t timeout_ns, struct ferry_vm_exit *out)
{
    uint64_t deadline = timeout_ns ? clock_deadline(timeout_ns) : 0;
    int result = 0;

    pthread_mutex_lock(&vm->lock);
    vm->waiting++;
    while (!vm->ended && !vm->destroyed && result == 0)
        result = timeout_ns ? clock_cond_wait(&vm->ended_changed, &vm->lock, deadline)
                            : -ETIMEDOUT; /* a look, and no system call */
    if (vm->ended && out)
        *out = vm->exit;
    if (vm->ended || vm->destroyed)
        result = vm->ended ? 0 : -ECANCELED;
    if (--vm->waiting == 0 && vm->destroyed)
        pthread_cond_broadcast(&vm->ended_changed);
    pthread_mutex_unlock(&vm->lock);
    return result;
}

/* Whoever waits for its end leaves before it goes. */
static void let_waiters_go(struct ferry_vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    vm->destroyed = true;
    pthread_cond_broadcast(&vm->ended_changed);
    while (vm->waiting)
        pthread_cond_wait(&vm->ended_changed, &vm->lock);
    pthread_mutex_unlock(&vm->lock);
}

void ferry_vm_destroy(struct ferry_vm *vm)
{
    if (!vm)
        return;
    if (vm_is_started(vm)) {
        vm_stop(vm, SIGKILL);
        pthread_join(vm->thread, NULL);
    } else if (vm->endpoint) {
        endpoint_shutdown(vm->endpoint);
    }
    let_waiters_go(vm);
    vm_forget_cpu(vm);
    if (vm->endpoint)
        link_close_all(vm->endpoint);
    linux_destroy(vm->personality);
    vcpu_destroy(vm);
    direct_unmap(vm);
    if (vm->space.base)
        space_fini(&vm->space);
    budget_leave(&vm->engine->mappings, &vm->mappings);
    budget_leave(&vm->engine->files, &vm->files);
    if (vm->endpoint)
        engine_endpoint_retire(vm->engine, vm->endpoint);
    identity_forget(vm);
    engine_image_release(vm->engine, vm->image);
    if (vm->system)
        munmap(vm->system, SYSTEM_BYTES);
    pthread_cond_destroy(&vm->ended_changed);
    pthread_mutex_destroy(&vm->serving);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

void ferry_vm_stats(struct ferry_vm *vm, struct ferry_vm_stats *out)
{
    *out = (struct ferry_vm_stats){
        .exits_immediate = atomic_load(&vm->exits_immediate),
        .exits_natural = atomic_load(&vm->exits_natural),
        .messages_sent = atomic_load(&vm->endpoint->messages_sent),
        .messages_received = atomic_load(&vm->endpoint->messages_received),
    };
}

const char *ferry_vm_name(struct ferry_vm *vm)
{
    return vm->endpoint->name;
}
