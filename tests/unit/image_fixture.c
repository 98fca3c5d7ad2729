/* SPDX-License-Identifier: BSD-2-Clause */
/* See image_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image_fixture.h"

#define TABLE_PAGES 256

static void add_symbol(struct elf *elf, int at, const char *name, uint64_t addr, uint64_t bytes,
                       unsigned type)
{
    size_t used = 1;

    while (elf->strs[used])
        used += strlen(elf->strs + used) + 1;
    strcpy(elf->strs + used, name);
    elf->sym[at] = (Elf64_Sym){.st_name = (uint32_t)used,
                               .st_info = (uint8_t)ELF64_ST_INFO(STB_GLOBAL, type),
                               .st_shndx = 3,
                               .st_value = addr,
                               .st_size = bytes};
}

static void add_symbols(struct elf *elf)
{
    elf->ehdr.e_shoff = SHDRS;
    elf->ehdr.e_shnum = 4;
    elf->ehdr.e_shentsize = sizeof(Elf64_Shdr);
    elf->shdr[1] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                                .sh_offset = SYMS,
                                .sh_size = sizeof(elf->sym),
                                .sh_link = 2,
                                .sh_entsize = sizeof(Elf64_Sym)};
    elf->shdr[2] =
        (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = STRS, .sh_size = sizeof(elf->strs)};
    elf->shdr[3] = (Elf64_Shdr){.sh_type = SHT_PROGBITS, .sh_addr = TEXT, .sh_size = 0x1800};
    add_symbol(elf, 1, "charlie", TEXT + 0x1300, 0x10, STT_FUNC);
    add_symbol(elf, 2, "__alpha", TEXT + 0x1100, 0x20, STT_FUNC);
    add_symbol(elf, 3, "alpha", TEXT + 0x1100, 0x00, STT_FUNC);
    add_symbol(elf, 4, "bravo", TEXT + 0x1200, 0, STT_FUNC);
    add_symbol(elf, 5, "not_a_function", TEXT + 0x1110, 0x10, STT_OBJECT);
    add_symbol(elf, 6, "esc\033[2J\n", TEXT + 0x1400, 0x10, STT_GNU_IFUNC);
    add_symbol(elf, 7, "last", TEXT + 0x1500, 0, STT_FUNC);
    add_symbol(elf, 8, "undefined", TEXT + 0x1600, 0x10, STT_FUNC);
    elf->sym[8].st_shndx = SHN_UNDEF;
}

struct elf make_elf(void)
{
    struct elf elf = {.bytes = FILE_BYTES};

    elf.ehdr = (Elf64_Ehdr){.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                            .e_type = ET_EXEC,
                            .e_machine = EM_X86_64,
                            .e_version = EV_CURRENT,
                            .e_entry = TEXT + 0x1000,
                            .e_phoff = sizeof(Elf64_Ehdr),
                            .e_ehsize = sizeof(Elf64_Ehdr),
                            .e_phentsize = sizeof(Elf64_Phdr),
                            .e_phnum = 3};
    elf.phdr[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                               .p_flags = PF_R | PF_X,
                               .p_vaddr = TEXT,
                               .p_filesz = 0x1800,
                               .p_memsz = 0x1800,
                               .p_align = PAGE};
    elf.phdr[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                               .p_flags = PF_R | PF_W,
                               .p_offset = 0x1800,
                               .p_vaddr = DATA,
                               .p_filesz = 0x300,
                               .p_memsz = 0x2000,
                               .p_align = PAGE};
    elf.phdr[2] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
    add_symbols(&elf);
    for (size_t i = PAGE; i < FILE_BYTES; i++)
        elf.byte[i] = (uint8_t)(i % 251 + 1);
    return elf;
}

void make_pie(struct elf *elf)
{
    elf->ehdr.e_type = ET_DYN;
    elf->ehdr.e_entry -= TEXT;
    elf->phdr[0].p_vaddr -= TEXT;
    elf->phdr[1].p_vaddr -= TEXT;
    for (int i = 1; i < SYM_COUNT; i++)
        elf->sym[i].st_value -= TEXT;
    elf->phdr[2] = (Elf64_Phdr){
        .p_type = PT_DYNAMIC, .p_offset = DYNS, .p_vaddr = DYNS, .p_filesz = sizeof(elf->dyn)};
    elf->dyn[0] = (Elf64_Dyn){.d_tag = DT_FLAGS_1, .d_un.d_val = DF_1_PIE};
    elf->dyn[1] = (Elf64_Dyn){.d_tag = DT_NULL};
    elf->dyn[2] = (Elf64_Dyn){.d_tag = DT_NEEDED}; /* after the end: not looked at */
}

void make_dynamic(struct elf *elf, const char *loader)
{
    elf->phdr[2] = (Elf64_Phdr){
        .p_type = PT_INTERP, .p_offset = DYNS, .p_vaddr = DYNS, .p_filesz = strlen(loader) + 1};
    memcpy(elf->byte + DYNS, loader, strlen(loader) + 1);
}

int open_path(const char *path, struct image **out, struct ferry_error *err)
{
    struct image_source source;
    int code = image_source_open(path, &source, err);

    if (code == 0)
        code = image_open(path, &source, LIMIT, out, err);
    return code ? code : image_copy_wait(*out, err);
}

int open_elf(const struct elf *elf, struct image **out, struct ferry_error *err)
{
    char path[64];
    int fd = memfd_create("test-image", MFD_CLOEXEC);
    int code;

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, elf->byte, elf->bytes, 0), elf->bytes);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    code = open_path(path, out, err);
    close(fd);
    return code;
}

struct image *must_open(const struct elf *elf)
{
    struct image *image = NULL;
    struct ferry_error err = {0};

    if (open_elf(elf, &image, &err))
        fail_msg("%s", err.text);
    return image;
}

static int accept_slot(void *arg, struct guest_addr gpa, uint64_t bytes, void *host)
{
    (void)arg;
    (void)gpa;
    (void)bytes;
    (void)host;
    return 0;
}

void fixture_init(struct fixture *fixture, uint64_t limit)
{
    struct space_backend backend = {.slot_add = accept_slot, .tables = &fixture->tables};

    fixture->table_pages = aligned_alloc(PAGE, TABLE_PAGES * PAGE);
    assert_non_null(fixture->table_pages);
    guest_tables_init(&fixture->tables, fixture->table_pages, guest_addr(FERRY_SYSTEM_BASE),
                      TABLE_PAGES);
    assert_int_equal(space_init(&fixture->space, &backend, limit), 0);
}

void fixture_fini(struct fixture *fixture)
{
    space_fini(&fixture->space);
    free(fixture->table_pages);
}

void load(struct fixture *fixture, struct image *image)
{
    struct ferry_error err = {0};

    fixture_init(fixture, LIMIT);
    if (image_load(image, 0, &fixture->space, &err))
        fail_msg("%s", err.text);
}

const uint8_t *look(const struct fixture *fixture, uint64_t addr, uint64_t bytes)
{
    const uint8_t *host = space_at(&fixture->space, guest_addr(addr), bytes, SPACE_READ);

    assert_non_null(host);
    return host;
}

void assert_zero(const uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(p[i], 0);
}

int make_dir(void **state)
{
    char *dir = strdup("/tmp/ferry-test-image-XXXXXX");

    *state = dir;
    return dir && mkdtemp(dir) ? 0 : -1;
}

int remove_dir(void **state)
{
    char *dir = *state;

    rmdir(dir);
    free(dir);
    return 0;
}
