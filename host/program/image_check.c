/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the checks of an ELF file: whether Ferry can run it, and a check of every number in it that
 * is used later. The file is not trusted: its author may want to crash the VMM, or to make it slow.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "program/image_internal.h"

static int malformed(const struct image *image, struct ferry_error *err, const char *what)
{
    return image_fail(err, -ENOEXEC, image->path, "malformed: %s; build it again", what);
}

static int check_header(const struct image *image, const Elf64_Ehdr *ehdr, struct ferry_error *err)
{
    if (ehdr->e_machine != EM_X86_64)
        return image_fail(err, -ENOEXEC, image->path,
                          "built for another machine (ELF machine %u); build it for x86-64",
                          ehdr->e_machine);
    if (ehdr->e_type == ET_REL)
        return image_fail(err, -ENOEXEC, image->path, "an object file, not a program; link it");
    if (ehdr->e_type == ET_CORE)
        return image_fail(err, -ENOEXEC, image->path,
                          "a core dump, not a program; give the program that made it");
    if (ehdr->e_type != ET_EXEC && ehdr->e_type != ET_DYN)
        return image_fail(err, -ENOEXEC, image->path,
                          "not an executable (ELF type %u); link it again", ehdr->e_type);
    if (ehdr->e_phnum == 0)
        return image_fail(err, -ENOEXEC, image->path, "it has no load segments; link it again");
    if (ehdr->e_phentsize != sizeof(Elf64_Phdr) || ehdr->e_phnum > IMAGE_HEADERS_MAX)
        return malformed(image, err, "bad program header table");
    return 0;
}

/* The file was not read: it ends before, as the text says, or reading failed. */
static int unread(const struct image *image, struct ferry_error *err, int result, const char *text)
{
    return result == -ENODATA
               ? malformed(image, err, text)
               : image_fail(err, result, image->path, "reading it: %s", strerror(-result));
}

static int read_program_headers(const struct image *image, struct image_view *view,
                                struct image_headers *headers, struct ferry_error *err)
{
    int count = headers->file.e_phnum;
    int result = image_view_fetch(view, headers->file.e_phoff, (size_t)count * sizeof(Elf64_Phdr));

    if (result)
        return unread(image, err, result, "its program headers lie beyond the end of the file");
    for (int i = 0; i < count; i++)
        if (!gelf_getphdr(view->elf, i, &headers->program[i]))
            return malformed(image, err, "bad program header table");
    return 0;
}

/* Of the file that PT_INTERP names. Linux opens it whatever it is, and so does who opens it here:
 * as a name that the program gives. */
static int read_loader(struct image *image, const Elf64_Phdr *phdr, struct ferry_error *err)
{
    char name[PATH_MAX];

    if (phdr->p_filesz < 2 || phdr->p_filesz > sizeof(name))
        return malformed(image, err, "the name of its loader is empty or too long");
    int result = image_pread(image->source.fd, name, phdr->p_filesz, phdr->p_offset);
    if (result)
        return unread(image, err, result, "the name of its loader lies beyond the end of the file");
    if (name[phdr->p_filesz - 1] != '\0' || name[0] == '\0')
        return malformed(image, err, "the name of its loader is empty or does not end");
    image->loader = strdup(name);
    return image->loader ? 0 : image_fail(err, -ENOMEM, image->path, "out of memory");
}

/* The information of the program headers besides segments. As on Linux, the first of several
 * loaders counts. */
static int check_linkage(struct image *image, const struct image_headers *headers,
                         struct ferry_error *err)
{
    for (int i = 0; i < headers->file.e_phnum; i++) {
        const Elf64_Phdr *phdr = &headers->program[i];
        int result = 0;

        if (phdr->p_type == PT_GNU_STACK)
            image->stack_executable = phdr->p_flags & PF_X;
        if (phdr->p_type == PT_INTERP && !image->loader)
            result = read_loader(image, phdr, err);
        if (result)
            return result;
    }
    return 0;
}

static int check_segment(const struct image *image, const Elf64_Phdr *phdr, uint64_t file_bytes,
                         struct ferry_error *err)
{
    const struct image_segment *last =
        image->segment_count ? &image->segments[image->segment_count - 1] : NULL;
    uint64_t start, end, file_end;

    if (image->segment_count == IMAGE_SEGMENTS_MAX)
        return image_fail(err, -ENOEXEC, image->path,
                          "more than %d load segments; link it with the default linker script",
                          IMAGE_SEGMENTS_MAX);
    if (phdr->p_filesz > phdr->p_memsz)
        return malformed(image, err, "a segment is larger in the file than in memory");
    if (__builtin_add_overflow(phdr->p_offset, phdr->p_filesz, &file_end) || file_end > file_bytes)
        return malformed(image, err, "a segment lies beyond the end of the file");
    if (phdr->p_filesz && (phdr->p_offset - phdr->p_vaddr) % FERRY_PAGE_BYTES != 0)
        return malformed(image, err, "a segment's address and file offset do not go together");
    if (__builtin_add_overflow(phdr->p_vaddr, image->bias, &start) ||
        __builtin_add_overflow(start, phdr->p_memsz, &end))
        return malformed(image, err, "a segment's address overflows");
    if (start < FERRY_PROGRAM_LOW || end > IMAGE_HIGH)
        return image_fail(err, -ENOEXEC, image->path,
                          "a segment is linked at 0x%llx to 0x%llx, outside 0x%llx to 0x%llx; link "
                          "it at the default address",
                          (unsigned long long)start, (unsigned long long)end, FERRY_PROGRAM_LOW,
                          IMAGE_HIGH);
    if (last && phdr->p_vaddr < last->addr + last->memory_bytes)
        return malformed(image, err, "its segments overlap or are not in order");
    return 0;
}

/* x86 has no memory that can be written or executed but not read. */
static unsigned segment_prot(uint32_t p_flags)
{
    unsigned prot = 0;

    if (p_flags & (PF_R | PF_W | PF_X))
        prot |= SPACE_READ;
    if (p_flags & PF_W)
        prot |= SPACE_WRITE;
    if (p_flags & PF_X)
        prot |= SPACE_EXEC;
    return prot;
}

static void add_segment(struct image *image, const Elf64_Ehdr *ehdr, const Elf64_Phdr *phdr)
{
    uint64_t table_bytes = (uint64_t)ehdr->e_phnum * ehdr->e_phentsize;

    image->segments[image->segment_count++] = (struct image_segment){
        .addr = phdr->p_vaddr,
        .file_bytes = phdr->p_filesz,
        .memory_bytes = phdr->p_memsz,
        .offset = phdr->p_offset,
        .prot = segment_prot(phdr->p_flags),
    };
    image->end = page_up(phdr->p_vaddr + image->bias + phdr->p_memsz);
    if (ehdr->e_phoff >= phdr->p_offset && phdr->p_filesz >= table_bytes &&
        ehdr->e_phoff - phdr->p_offset <= phdr->p_filesz - table_bytes)
        image->phdr_addr = ehdr->e_phoff - phdr->p_offset + phdr->p_vaddr + image->bias;
}

static int read_segments(struct image *image, const struct image_headers *headers,
                         struct ferry_error *err)
{
    for (int i = 0; i < headers->file.e_phnum; i++) {
        const Elf64_Phdr *phdr = &headers->program[i];
        int result;

        if (phdr->p_type != PT_LOAD || phdr->p_memsz == 0)
            continue;
        result = check_segment(image, phdr, image->source.key.bytes, err);
        if (result)
            return result;
        add_segment(image, &headers->file, phdr);
    }
    if (image->segment_count == 0)
        return image_fail(err, -ENOEXEC, image->path, "it has no load segments; link it again");
    return 0;
}

static int check_entry(const struct image *image, const Elf64_Ehdr *ehdr, struct ferry_error *err)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];

        if ((segment->prot & SPACE_EXEC) && ehdr->e_entry >= segment->addr &&
            ehdr->e_entry - segment->addr < segment->memory_bytes)
            return 0;
    }
    if (ehdr->e_type == ET_DYN && ehdr->e_entry == 0)
        return image_fail(err, -ENOEXEC, image->path,
                          "a shared library, not a program; name a program");
    return malformed(image, err, "its entry point is not in executable memory");
}

int image_check(struct image *image, struct image_view *view, struct image_headers *headers,
                struct ferry_error *err)
{
    const Elf64_Ehdr *ehdr = &headers->file;
    int result = check_header(image, ehdr, err);

    if (!result)
        result = read_program_headers(image, view, headers, err);
    if (result)
        return result;
    image->bias = ehdr->e_type == ET_DYN ? IMAGE_PIE_BIAS : 0;
    result = check_linkage(image, headers, err);
    if (!result)
        result = read_segments(image, headers, err);
    if (!result)
        result = check_entry(image, ehdr, err);
    if (result)
        return result;
    image->entry = ehdr->e_entry + image->bias; /* within a checked segment */
    image->phdr_count = ehdr->e_phnum;
    return 0;
}
