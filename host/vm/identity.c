/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shows a guest the identity of its peers, and changes it when one begins another program. What the
 * tables show, and the image that an endpoint runs, changes under the exchange's lock: an endpoint
 * that is not retired has its VM and its table then.
 */
#include "vm/identity.h"

#include <string.h>

#include "engine/engine.h"
#include "ipc/link.h"
#include "kvm/boot.h"
#include "vm/vm.h"

static struct lock *lock_of(const struct ferry_vm *vm)
{
    return &vm->engine->exchange.lock;
}

void identity_set_peer(struct ferry_vm *vm, uint32_t index, struct image *image)
{
    images_hold(&vm->engine->images, image);
    images_release(&vm->engine->images, vm->peer_images[index]);
    vm->peer_images[index] = image;
}

void identity_forget(struct ferry_vm *vm)
{
    for (uint32_t i = 0; i < FERRY_PEERS_MAX; i++)
        images_release(&vm->engine->images, vm->peer_images[i]);
}

/* --- when the guest looks ------------------------------------------------------- */

/* One of a peer whose digest is not known, with a reference, or NULL. */
static struct image *unknown(const struct ferry_vm *vm)
{
    for (uint32_t i = 0; i < FERRY_PEERS_MAX; i++)
        if (vm->peer_images[i] && !atomic_load(&vm->peer_images[i]->digest_known)) {
            images_hold(&vm->engine->images, vm->peer_images[i]);
            return vm->peer_images[i];
        }
    return NULL;
}

/* Digests first: the guest never sees a page without them. False: *missing is one that is not known,
 * with a reference. */
static bool show(struct ferry_vm *vm, struct image **missing)
{
    struct ferry_control_info *info = &vm->endpoint->control->info;

    lock_take(lock_of(vm));
    *missing = unknown(vm);
    for (uint32_t i = 0; !*missing && i < FERRY_PEERS_MAX; i++)
        if (vm->peer_images[i])
            memcpy(info->peers[i].digest, vm->peer_images[i]->digest, FERRY_DIGEST_BYTES);
    vm->identity_shown = !*missing;
    lock_drop(lock_of(vm));
    if (!*missing)
        boot_show_info(&vm->guest->tables); /* the table that the entry goes into is there */
    return !*missing;
}

/* Computes it, with the reference; not to its end if the VM is being stopped. */
static void compute(struct ferry_vm *vm, struct image *image)
{
    while (!image_digest_step(image) && !vm->stop)
        ;
    images_release(&vm->engine->images, image);
}

bool identity_show(struct ferry_vm *vm, struct guest_addr addr)
{
    struct image *missing;

    if (addr.value - FERRY_SYSTEM_BASE >= sizeof(struct ferry_control_info) || vm->identity_shown ||
        vm->guest != &vm->own) /* no other process has messages */
        return false;
    while (!vm->stop && !show(vm, &missing))
        compute(vm, missing);
    return true;
}

/* --- another program --------------------------------------------------------------- */

/* A guest that reads the entry meanwhile sees generation 0 between the two. Those who compare the
 * generation before and after the digest, and with that of a message, never mix two programs. */
static void change_entry(struct ferry_peer *shown, const struct endpoint *peer)
{
    __atomic_store_n(&shown->generation, 0, __ATOMIC_SEQ_CST);
    memcpy(shown->digest, peer->image->digest, FERRY_DIGEST_BYTES);
    __atomic_store_n(&shown->generation, peer->generation, __ATOMIC_SEQ_CST);
}

/* The table of `viewer`; NULL entry: the host has none. False: its guest has looked, and the digest
 * is not known. */
static bool change_for(struct ferry_vm *vm, const struct endpoint *viewer, struct ferry_peer *shown)
{
    struct lock *lock = lock_of(vm);

    lock_assert_held(lock);
    if (!shown || viewer->retired)
        return true;
    uint32_t index = (uint32_t)(shown - viewer->control->info.peers);
    if (viewer->vm->identity_shown) {
        if (!atomic_load(&vm->endpoint->image->digest_known) && !vm->stop)
            return false;
        change_entry(shown, vm->endpoint);
    } else {
        shown->generation = vm->endpoint->generation; /* no guest can see it yet */
    }
    identity_set_peer(viewer->vm, index, vm->endpoint->image);
    return true;
}

static bool change_for_all(struct ferry_vm *vm)
{
    struct endpoint *endpoint = vm->endpoint;
    bool all = true;

    for (uint32_t i = 0; i < endpoint->out_count; i++)
        all &= change_for(vm, endpoint->out[i]->to, endpoint->out[i]->receiver_peer_entry);
    for (uint32_t i = 0; i < endpoint->in_count; i++)
        all &= change_for(vm, endpoint->in[i]->from, endpoint->in[i]->sender_peer_entry);
    return all;
}

void identity_change(struct ferry_vm *vm, struct image *image, uint32_t generation)
{
    struct endpoint *endpoint = vm->endpoint;
    struct image *old = vm->image;

    images_hold(&vm->engine->images, image);
    lock_take(lock_of(vm));
    vm->image = endpoint->image = image;
    endpoint->generation = generation;
    endpoint->control->info.generation = endpoint->generation;
    while (!change_for_all(vm)) {
        lock_drop(lock_of(vm));
        images_hold(&vm->engine->images, image);
        compute(vm, image);
        lock_take(lock_of(vm));
    }
    lock_drop(lock_of(vm));
    images_release(&vm->engine->images, old);
}
