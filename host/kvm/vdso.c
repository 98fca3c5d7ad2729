/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory of the vDSO, and its place in a guest. */
#include "kvm/vdso.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vdso_image.h"

_Static_assert(sizeof vdso_image <= FERRY_VDSO_BYTES, "the image fits");

static void *map_fd(int fd, size_t bytes, int prot)
{
    void *got = mmap(NULL, bytes, prot, MAP_SHARED, fd, 0);

    return got == MAP_FAILED ? NULL : got;
}

static int fill(struct vdso *vdso, int fd)
{
    if (ftruncate(fd, VDSO_ALL_BYTES) < 0)
        return -errno;
    ssize_t put = pwrite(fd, vdso_image, sizeof vdso_image, FERRY_PAGE_BYTES);
    if (put != (ssize_t)sizeof vdso_image)
        return put < 0 ? -errno : -ENOMEM;
    vdso->view = map_fd(fd, VDSO_ALL_BYTES, PROT_READ);
    vdso->clock = map_fd(fd, FERRY_PAGE_BYTES, PROT_READ | PROT_WRITE);
    return vdso->view && vdso->clock ? 0 : -ENOMEM;
}

int vdso_create(struct vdso *vdso)
{
    *vdso = (struct vdso){0};
    int fd = memfd_create("ferry-vdso", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = fill(vdso, fd);
    close(fd);
    return result;
}

void vdso_destroy(struct vdso *vdso)
{
    if (vdso->clock)
        munmap(vdso->clock, FERRY_PAGE_BYTES);
    if (vdso->view)
        munmap(vdso->view, VDSO_ALL_BYTES);
    *vdso = (struct vdso){0};
}

int vdso_map(struct guest_tables *tables)
{
    int result =
        guest_tables_map(tables, guest_addr(FERRY_CLOCK_ADDR), FERRY_PAGE_BYTES, GUEST_USER);

    return result < 0 ? result
                      : guest_tables_map(tables, guest_addr(FERRY_VDSO_ADDR), FERRY_VDSO_BYTES,
                                         GUEST_USER | GUEST_EXEC);
}

char *vdso_at(const struct vdso *vdso, struct guest_addr addr, uint64_t bytes)
{
    uint64_t offset = addr.value - FERRY_CLOCK_ADDR;

    return offset < VDSO_ALL_BYTES && bytes <= VDSO_ALL_BYTES - offset ? vdso->view + offset : NULL;
}
