/* SPDX-License-Identifier: BSD-2-Clause */
/* Shows a guest the identity of its peers. */
#include "vm/identity.h"

#include <string.h>

#include "engine/engine.h"
#include "kvm/boot.h"
#include "vm/vm.h"

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

static bool has_digests(const struct ferry_vm *vm)
{
    for (uint32_t i = 0; i < vm->endpoint->control->info.peer_count; i++)
        if (vm->peer_images[i])
            return true;
    return false;
}

/* Digests first: the guest never sees a page without them. */
static void show(struct ferry_vm *vm)
{
    struct ferry_control_info *info = &vm->endpoint->control->info;

    for (uint32_t i = 0; i < info->peer_count; i++)
        if (vm->peer_images[i])
            memcpy(info->peers[i].digest, vm->peer_images[i]->digest, FERRY_DIGEST_BYTES);
    vm->identity_shown = true;
    boot_show_info(&vm->tables); /* the table that the entry goes into is there */
}

void identity_begin(struct ferry_vm *vm)
{
    if (!has_digests(vm))
        show(vm);
}

bool identity_show(struct ferry_vm *vm, struct guest_addr addr)
{
    if (addr.value - FERRY_SYSTEM_BASE >= sizeof(struct ferry_control_info) || vm->identity_shown)
        return false;
    for (uint32_t i = 0; i < vm->endpoint->control->info.peer_count; i++)
        while (vm->peer_images[i] && !image_digest_step(vm->peer_images[i]))
            if (vm->stop)
                return true;
    show(vm);
    return true;
}
