/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/kvm_stats.h"

#include <linux/kvm.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* More than any KVM has; and longer than any name. */
#define FIGURES_MAX 1024
#define NAME_MAX    256

/* The descriptions of all figures, one after the other, each with its name behind it. */
static char *read_descriptions(int fd, const struct kvm_stats_header *header, size_t each)
{
    size_t bytes = header->num_desc * each;
    char *descriptions = malloc(bytes);

    if (descriptions && pread(fd, descriptions, bytes, header->desc_offset) == (ssize_t)bytes)
        return descriptions;
    free(descriptions);
    return NULL;
}

static uint64_t read_figure(int fd, const struct kvm_stats_header *header, const char *name)
{
    size_t each = sizeof(struct kvm_stats_desc) + header->name_size;
    char *descriptions = read_descriptions(fd, header, each);
    uint64_t value = 0;

    for (uint32_t i = 0; descriptions && i < header->num_desc; i++) {
        const char *at = descriptions + i * each;
        struct kvm_stats_desc desc;

        memcpy(&desc, at, sizeof(desc));
        if (strncmp(at + sizeof(desc), name, header->name_size) != 0)
            continue;
        if (pread(fd, &value, sizeof(value), (off_t)header->data_offset + desc.offset) !=
            sizeof(value))
            value = 0;
        break;
    }
    free(descriptions);
    return value;
}

uint64_t kvm_stat(int fd, const char *name)
{
    struct kvm_stats_header header;
    uint64_t value = 0;
    int stats = ioctl(fd, KVM_GET_STATS_FD, 0);

    if (stats < 0)
        return 0;
    if (pread(stats, &header, sizeof(header), 0) == sizeof(header) &&
        header.num_desc <= FIGURES_MAX && header.name_size <= NAME_MAX)
        value = read_figure(stats, &header, name);
    close(stats);
    return value;
}
