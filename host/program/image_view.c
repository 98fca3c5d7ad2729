/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the memory in which libelf sees a program file. It is as large as the file, and holds the
 * parts that were fetched, at the same offsets. The rest is zero and takes no memory, only
 * addresses.
 *
 * libelf never sees the file itself. It would read numbers again that were changed after the check,
 * and an access to a mapping of a truncated file faults.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "program/image_internal.h"

int image_view_fetch(struct image_view *view, uint64_t offset, uint64_t bytes)
{
    uint64_t all = view->image->source.key.bytes;

    if (offset > all || bytes > all - offset)
        return -ENODATA;
    return image_read(view->image, view->memory + offset, bytes, offset);
}

bool image_view_begin(struct image_view *view, const struct image *image, const Elf64_Ehdr *ehdr)
{
    uint64_t bytes = image->source.key.bytes;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    *view = (struct image_view){.image = image};
    if (memory == MAP_FAILED)
        return false;
    view->memory = memory;
    madvise(memory, bytes, MADV_NOHUGEPAGE); /* a few bytes of it are used */
    if (image_view_fetch(view, ehdr->e_shoff, ehdr->e_shnum * sizeof(Elf64_Shdr)) == 0) {
        memcpy(memory, ehdr, sizeof(*ehdr)); /* last: a section table may lie in its place */
        elf_version(EV_CURRENT);
        view->elf = elf_memory(memory, bytes);
    }
    if (view->elf)
        return true;
    image_view_end(view);
    return false;
}

void image_view_end(struct image_view *view)
{
    elf_end(view->elf);
    if (view->memory)
        munmap(view->memory, view->image->source.key.bytes);
}
