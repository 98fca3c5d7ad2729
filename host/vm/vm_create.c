/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual machine: making it from its program, and taking it apart. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/endpoint_end.h"
#include "ipc/host_end.h"
#include "ipc/name.h"
#include "kvm/boot.h"
#include "lib/bits.h"
#include "lib/error.h"
#include "lib/sized.h"
#include "linux/vm_linux.h"
#include "stream/stream.h"
#include "vm/budgets.h"
#include "vm/guest_make.h"
#include "vm/identity.h"
#include "vm/kernel.h"
#include "vm/snapshot.h"
#include "vm/turn.h"
#include "vm/vm.h"
#include "vm/vm_cpus.h"
#include "vm/vm_create.h"
#include "vm/vm_direct.h"
#include "vm/vm_exec.h"
#include "vm/vm_memory.h"

/* A stream gathers for at most so many times the cost of an exit: then exits are a small part of
 * its time. */
#define GATHER_EXITS         4
#define DEFAULT_MEMORY_BYTES (256ull << 20)
#define DEFAULT_EXTENTS      8
#define DEFAULT_PAGES        64

/* --- making --------------------------------------------------------------------- */

/* The embedder's choice has the same numbers in the guest's table. */
_Static_assert(FERRY_DELIVER_AUTO == FERRY_DELIVERY_AUTO &&
                   FERRY_DELIVER_IMMEDIATE == FERRY_DELIVERY_IMMEDIATE &&
                   FERRY_DELIVER_DEFERRED == FERRY_DELIVERY_DEFERRED,
               "ferry.h and control.h say the same by enum ferry_delivery");
_Static_assert(FERRY_TRANSFER_AUTO == FERRY_PAYLOAD_AUTO &&
                   FERRY_TRANSFER_COPY == FERRY_PAYLOAD_COPY &&
                   FERRY_TRANSFER_MAP == FERRY_PAYLOAD_MAP,
               "ferry.h and control.h say the same by enum ferry_transfer");

void vm_write_control(struct ferry_vm *vm)
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
        .window_bytes = engine->exchange.pool.bytes,
        .small_bytes = pool_small_bytes(&engine->exchange.pool),
        .receive_base = SYSTEM_RECEIVE,
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

int vm_create_endpoint(struct ferry_vm *vm, const struct ferry_vm_config *config,
                       const char *program, struct ferry_error *err)
{
    int result = exchange_endpoint_new(&vm->engine->exchange, vm, &vm->endpoint);
    if (result < 0)
        return error_set(err, result, "cannot make another VM: %s", strerror(-result));
    struct endpoint *endpoint = vm->runner.endpoint = vm->endpoint;
    result = name_endpoint(endpoint, config->name, program, err);
    if (result < 0)
        return result;
    endpoint->delivery = config->delivery;
    endpoint->transfer = config->transfer;
    endpoint->most_extents = config->pool_extents ? config->pool_extents : DEFAULT_EXTENTS;
    endpoint->most_pages = config->pool_pages ? config->pool_pages : DEFAULT_PAGES;
    endpoint->memory = vm_message_memory;
    endpoint->at_hand = vm_at_hand;
    endpoint->waits = &vm_waits;
    result = stream_create(endpoint);
    return result < 0 ? error_set(err, result, "no memory for another VM") : 0;
}

/* The program is within the limit of the VM, so the host had no memory: a larger limit would not
 * help. */
static int explain_refusal(const struct ferry_vm *vm, int result, struct ferry_error *err)
{
    uint64_t bytes = program_memory_bytes(&vm->process->program) + vm->process->stack_bytes;

    if (result == -ENOMEM && bytes <= vm->guest->space.limit_bytes)
        return error_set(err, result, "no memory for the program of VM '%s': %s",
                         vm->endpoint->name, strerror(-result));
    return result;
}

/* It must not be most of a small VM. */
static uint64_t stack_size(uint64_t limit_bytes)
{
    uint64_t bytes = limit_bytes / 4;

    if (bytes > VM_STACK_MOST_BYTES)
        bytes = VM_STACK_MOST_BYTES;
    return page_down(bytes);
}

/* The value of HOME, if it is a directory's name that a program can have for itself. */
static const char *home_of(const struct ferry_vm_config *config)
{
    for (char *const *variable = config->envp; variable && *variable; variable++) {
        if (strncmp(*variable, "HOME=/", 6) == 0 && (*variable)[6])
            return *variable + 5;
    }
    return NULL;
}

static int create_personality(struct ferry_vm *vm, const struct ferry_vm_config *config,
                              uint64_t limit_bytes, struct ferry_error *err)
{
    const char *private_dirs[] = {"/tmp", "/var/tmp", "/dev/shm", "/run", home_of(config), NULL};
    struct linux_config linux_config = {
        .stack_bytes = vm->process->stack_bytes,
        .memory_bytes = limit_bytes,
        .ignore_sigpipe = config->ignore_sigpipe,
        .read_only_dirs = config->read_only_dirs,
        .program = config->program,
        .view = config->view,
        .root_dir = config->root_dir,
        .read_write_dirs = config->read_write_dirs,
        .write_limit_bytes =
            config->write_limit_bytes ? config->write_limit_bytes : VM_WRITE_LIMIT_BYTES,
        .private_dirs = config->view == FERRY_VIEW_SYSTEM ? private_dirs : NULL,
        .stderr_fd = config->stderr_fd == 0 ? STDERR_FILENO : config->stderr_fd,
        .closed = config->closed_fds,
        .threads = vm->most_threads,
        .processes = vm->most_processes,
        .traced = config->trace != NULL,
    };
    int result = linux_create(vm, &linux_config, &vm->process->personality);

    return result < 0
               ? error_set(err, result, "cannot prepare '%s': a directory cannot be opened: %s",
                           vm->endpoint->name, strerror(-result))
               : 0;
}

/* The embedder names the program, so it is opened as any file of this process; what else it needs
 * is named by the program, and opened as such. */
static int open_program(struct ferry_vm *vm, const struct ferry_vm_config *config,
                        uint64_t limit_bytes, struct ferry_error *err)
{
    char *default_argv[] = {(char *)config->program, NULL};
    struct image_source source;
    char *seen = NULL;

    int result = image_source_open(config->program, &source, err);
    if (result < 0)
        return result;
    if (config->root_dir)
        seen = linux_name_of(vm->process->personality, config->program);
    result = vm_open_program(vm, seen ? seen : config->program, &source,
                             config->argv ? config->argv : default_argv, limit_bytes,
                             &vm->process->program, err);
    free(seen);
    if (result < 0)
        return result;
    vm->image = vm->endpoint->image = vm->process->program.image;
    images_hold(&vm->engine->images, vm->image);
    linux_begin(vm->process->personality, program_end(&vm->process->program),
                vm->process->program.file, vm->process->program.name, vm->process->program.argv);
    return 0;
}

int vm_create_cpu(struct ferry_vm *vm, struct guest_addr entry, struct guest_addr stack,
                  struct ferry_error *err)
{
    struct vcpu *vcpu = &vm->own.first_cpu;
    int result = vcpu_create(vcpu, &vm->engine->kvm, &vm->own.kvm, entry, stack, err);

    if (result < 0)
        return result;
    vm->endpoint->control->info.gather_ticks =
        vcpu_ticks(vcpu, GATHER_EXITS * vm->engine->info.exit_ns);
    return 0;
}

static int load_program(struct ferry_vm *vm, const struct ferry_vm_config *config,
                        struct ferry_error *err)
{
    char *default_envp[] = {NULL};
    char *const *envp = config->envp ? config->envp : default_envp;
    struct guest_addr stack = guest_addr(0);
    int result = program_stack(&vm->process->program, &vm->guest->space, vm->process->stack_bytes,
                               envp, guest_addr(FERRY_SYSTEM_BASE), &stack, err);

    linux_environment(vm->process->personality, envp);
    if (result < 0)
        return explain_refusal(vm, result, err);
    result = vm_create_cpu(vm, program_entry(&vm->process->program), stack, err);
    if (result < 0)
        return result;
    vm->guest->first_cpu.runs = linux_first_thread(vm->process->personality);
    /* This comes last: a thread may still be copying an image. */
    result = program_load(&vm->process->program, &vm->guest->space, err);
    if (result < 0)
        return explain_refusal(vm, result, err);
    result = linux_loaded(vm->process->personality, &vm->process->program, stack);
    return result < 0 ? error_set(err, result, "cannot start the program: out of memory") : 0;
}

static unsigned count_directories(const struct ferry_vm_config *config)
{
    unsigned count = 0;

    for (const char *const *dir = config->read_only_dirs; dir && *dir; dir++)
        count++;
    for (const char *const *dir = config->read_write_dirs; dir && *dir; dir++)
        count++;
    return count;
}

static int build(struct ferry_vm *vm, const struct ferry_vm_config *config, struct ferry_error *err)
{
    uint64_t limit = config->memory_bytes ? config->memory_bytes : DEFAULT_MEMORY_BYTES;

    int result = vm_create_endpoint(vm, config, config->program, err);
    if (result < 0)
        return result;
    result = vm_join_budgets(vm, LINUX_OWN_FILES + count_directories(config), err);
    if (result < 0)
        return result;
    vm->guest->space.limit_bytes = limit; /* what is read before there is memory counts as well */
    vm->process->stack_bytes = stack_size(limit);
    vm->most_threads = config->threads ? config->threads : VM_THREADS;
    vm->most_processes = config->processes ? config->processes : VM_PROCESSES;
    result = create_personality(vm, config, limit, err);
    if (result < 0)
        return result;
    /* Early: a thread may copy the image meanwhile. */
    result = open_program(vm, config, limit, err);
    if (result < 0)
        return result;
    result = vm_create_memory(vm, limit, err);
    if (result < 0)
        return result;
    vm_write_control(vm);
    vm->trace = config->trace;
    vm->trace_arg = config->trace_arg;
    return load_program(vm, config, err);
}

/* Refuses values with which no VM can be made. */
static int check_config(const struct ferry_vm_config *config, struct ferry_error *err)
{
    if (!config->program && !config->copy_of)
        return error_set(err, -EINVAL, "a VM needs a program");
    if ((unsigned)config->delivery > FERRY_DELIVER_DEFERRED)
        return error_set(err, -EINVAL, "%d is no value of ferry_vm_config.delivery",
                         (int)config->delivery);
    if ((unsigned)config->transfer > FERRY_TRANSFER_MAP)
        return error_set(err, -EINVAL, "%d is no value of ferry_vm_config.transfer",
                         (int)config->transfer);
    if ((unsigned)config->view > FERRY_VIEW_NONE)
        return error_set(err, -EINVAL, "%d is no value of ferry_vm_config.view", (int)config->view);
    if (config->threads > BOOT_CPUS_MAX)
        return error_set(err, -EINVAL, "%u threads are too many: a VM can have %u", config->threads,
                         BOOT_CPUS_MAX);
    if (config->processes > VM_PROCESSES_MOST)
        return error_set(err, -EINVAL, "%u processes are too many: a VM can have %u",
                         config->processes, VM_PROCESSES_MOST);
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

int ferry_vm_create_sized(struct ferry_engine *engine, const struct ferry_vm_config *config,
                          size_t config_bytes, struct ferry_vm **out, struct ferry_error *err)
{
    struct ferry_vm_config own = {0};

    int result = config ? sized_take(&own, sizeof own, FIRST_VM_CONFIG, config, config_bytes) : 0;
    if (result < 0)
        return sized_explain(err, result, "ferry_vm_config");
    result = check_config(&own, err);
    if (result < 0)
        return result;
    struct ferry_vm *vm = calloc(1, sizeof *vm);
    if (!vm)
        return error_set(err, -ENOMEM, "no memory for another VM");
    vm_init(vm, engine);
    vm->timeout_ns = own.timeout_ns;
    vm->cpu_limit_ns = own.cpu_ns;
    vm->user = own.user;

    result = own.copy_of ? vm_build_copy(vm, &own, err) : build(vm, &own, err);
    if (result < 0) {
        ferry_vm_destroy(vm);
        return result;
    }
    *out = vm;
    return 0;
}

/* --- taking apart, and what may be asked ----------------------------------------- */

void ferry_vm_destroy(struct ferry_vm *vm)
{
    if (!vm)
        return;
    if (vm_is_started(vm)) {
        vm_stop(vm, SIGKILL);
        snapshot_leave(vm);
        vm_join(vm);
    } else if (vm->endpoint) {
        endpoint_shutdown(vm->endpoint);
    }
    vm_let_waiters_go(vm);
    if (vm->endpoint)
        host_end_close_all(vm->endpoint);
    snapshot_free(vm);
    linux_destroy(vm->process->personality);
    guest_end(&vm->own);
    vm_direct_unmap(vm);
    vm_leave_budgets(vm);
    if (vm->endpoint)
        exchange_endpoint_retire(&vm->engine->exchange, vm->endpoint);
    identity_forget(vm);
    program_close(&vm->process->program);
    images_release(&vm->engine->images, vm->image);
    guest_fini(&vm->own);
    vm_fini(vm);
    free(vm);
}

const char *ferry_vm_name(struct ferry_vm *vm)
{
    return vm->endpoint->name;
}

void *ferry_vm_user(struct ferry_vm *vm)
{
    return vm->user;
}
