/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns function names of an image, for crash reports. The symbols are looked through
 * when a report needs one, piece by piece, and nothing of them is kept: a program that does
 * not crash pays nothing, and a file cannot make the VMM hold memory. A file whose
 * symbols are broken, too many or changed while they are read simply has none.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "program/image_internal.h"

#define NAME_SHOWN_MAX 128
#define SECTIONS_MAX   4096
#define SYMBOLS_MAX    2500000u /* 60 MB of them */
#define ALIASES_MAX    64u      /* names of one address that are looked at */
#define PIECE          512u     /* symbols read at a time */

/* Where a symbol table is, and the strings it names symbols with. */
struct table {
    const struct image *image;
    uint64_t symbols, count, strings, strings_bytes;
};

/* The search: the function that starts last at or before an address, how far it reaches, and where
 * its names are. */
struct function {
    uint64_t addr, bytes;
    unsigned names;
    uint32_t name[ALIASES_MAX];
};

/* ---- tables ---------------------------------------------------------------------- */

static bool within_file(const struct image *image, const GElf_Shdr *section)
{
    uint64_t bytes = image->source.key.bytes;

    return section->sh_offset <= bytes && section->sh_size <= bytes - section->sh_offset;
}

/* Looks at the first section of that type only: a hostile file could have thousands. */
static bool find_table(const struct image_view *view, GElf_Word type, struct table *out)
{
    Elf_Scn *section = NULL;
    GElf_Shdr symbols, strings;

    do {
        section = elf_nextscn(view->elf, section);
        if (!gelf_getshdr(section, &symbols))
            return false;
    } while (symbols.sh_type != type);
    if (!gelf_getshdr(elf_getscn(view->elf, symbols.sh_link), &strings) ||
        !within_file(view->image, &symbols) || !within_file(view->image, &strings))
        return false;
    *out = (struct table){.image = view->image,
                          .symbols = symbols.sh_offset,
                          .count = symbols.sh_size / sizeof(Elf64_Sym),
                          .strings = strings.sh_offset,
                          .strings_bytes = strings.sh_size};
    return out->count > 0 && out->count <= SYMBOLS_MAX;
}

/* Only with as many sections as a linker makes: libelf's table of them follows from the number. */
static bool find_symbols(const struct image *image, struct table *table)
{
    struct image_view view;
    Elf64_Ehdr ehdr;
    bool found;

    if (image_read(image, &ehdr, sizeof(ehdr), 0) || ehdr.e_shnum == 0 ||
        ehdr.e_shnum > SECTIONS_MAX || ehdr.e_shentsize != sizeof(Elf64_Shdr) ||
        !image_view_begin(&view, image, &ehdr))
        return false;
    found = find_table(&view, SHT_SYMTAB, table) || find_table(&view, SHT_DYNSYM, table);
    image_view_end(&view);
    return found;
}

/* Not by elf_getdata, which takes memory for the whole table. */
static bool read_symbols(const struct table *table, uint64_t at, size_t count, Elf64_Sym *out)
{
    Elf_Data data = {
        .d_buf = out, .d_type = ELF_T_SYM, .d_version = EV_CURRENT, .d_size = count * sizeof(*out)};

    return image_read(table->image, out, data.d_size, table->symbols + at * sizeof(*out)) == 0 &&
           elf64_xlatetom(&data, &data, ELFDATA2LSB);
}

/* ---- which function ------------------------------------------------------------ */

static bool is_function(const struct table *table, const Elf64_Sym *sym)
{
    unsigned type = ELF64_ST_TYPE(sym->st_info);

    return (type == STT_FUNC || type == STT_GNU_IFUNC) && sym->st_shndx != SHN_UNDEF &&
           sym->st_name > 0 && sym->st_name < table->strings_bytes;
}

/* Several names for one address: the largest of their sizes counts. */
static void look_at(const Elf64_Sym *sym, uint64_t wanted, struct function *nearest)
{
    if (sym->st_value > wanted || (nearest->names && sym->st_value < nearest->addr))
        return;
    if (sym->st_value > nearest->addr) {
        nearest->addr = sym->st_value;
        nearest->bytes = nearest->names = 0;
    }
    if (sym->st_size > nearest->bytes)
        nearest->bytes = sym->st_size;
    if (nearest->names < ALIASES_MAX)
        nearest->name[nearest->names++] = sym->st_name;
}

static bool find_nearest(const struct table *table, uint64_t wanted, struct function *nearest)
{
    Elf64_Sym piece[PIECE];

    for (uint64_t at = 0; at < table->count; at += PIECE) {
        size_t count = table->count - at < PIECE ? (size_t)(table->count - at) : PIECE;

        if (!read_symbols(table, at, count, piece))
            return false;
        for (size_t i = 0; i < count; i++)
            if (is_function(table, &piece[i]))
                look_at(&piece[i], wanted, nearest);
    }
    return nearest->names > 0;
}

/* Where the executable segment that holds addr (as linked) ends; 0: there is none. */
static uint64_t code_end(const struct image *image, uint64_t addr)
{
    for (size_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];

        if ((segment->prot & SPACE_EXEC) && addr >= segment->addr &&
            addr - segment->addr < segment->memory_bytes)
            return segment->addr + segment->memory_bytes;
    }
    return 0;
}

static bool reaches(const struct image *image, const struct function *function, uint64_t addr)
{
    uint64_t end = code_end(image, addr);

    if (end == 0)
        return false;
    if (function->bytes == 0) /* from assembly: up to the next one, in the same segment */
        return code_end(image, function->addr) == end;
    return addr - function->addr < function->bytes;
}

/* ---- which name ------------------------------------------------------------------ */

/* Not by elf_strptr, which needs the whole table of strings, and would inflate one that says it is
 * compressed to the size it claims. */
static bool read_name(const struct table *table, uint32_t at, char name[NAME_SHOWN_MAX + 1])
{
    uint64_t rest = table->strings_bytes - at;
    size_t bytes = rest < NAME_SHOWN_MAX ? (size_t)rest : NAME_SHOWN_MAX;

    memset(name, 0, NAME_SHOWN_MAX + 1);
    return image_read(table->image, name, bytes, table->strings + at) == 0;
}

/* 0 to 3. */
static int leading_underscores(const char *name)
{
    int n = 0;

    while (n < 3 && name[n] == '_')
        n++;
    return n;
}

/* The plainest one. */
static bool find_name(const struct table *table, const struct function *function,
                      char best[NAME_SHOWN_MAX + 1])
{
    for (unsigned i = 0; i < function->names; i++) {
        char name[NAME_SHOWN_MAX + 1];

        if (!read_name(table, function->name[i], name))
            return false;
        int more = leading_underscores(name) - leading_underscores(best);
        if (i == 0 || more < 0 || (more == 0 && strcmp(name, best) < 0))
            memcpy(best, name, sizeof(name));
    }
    return true;
}

void image_symbolize(const struct image *image, uint64_t addr, char *text, size_t bytes)
{
    uint64_t linked = addr - image->bias;
    char name[NAME_SHOWN_MAX + 1] = "";
    struct function function = {0};
    struct table table;

    if (bytes == 0)
        return;
    text[0] = '\0';
    if (addr < image->bias || code_end(image, linked) == 0)
        return;
    if (!image_is_whole(image) || !find_symbols(image, &table) ||
        !find_nearest(&table, linked, &function) || !reaches(image, &function, linked) ||
        !find_name(&table, &function, name) || !image_is_whole(image))
        return;
    snprintf(text, bytes, "%s+0x%llx", name, (unsigned long long)(linked - function.addr));
    /* The name comes from the file and goes to somebody's terminal. */
    for (char *p = text; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}

/* ---- other files ----------------------------------------------------------------- */

/* Keeps what can be executed, as far as the symbols' search asks for it. */
static bool read_code(struct image *image)
{
    Elf64_Phdr headers[IMAGE_HEADERS_MAX];
    Elf64_Ehdr ehdr;
    uint64_t end;

    if (image_read(image, &ehdr, sizeof(ehdr), 0) || memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 ||
        ehdr.e_ident[EI_CLASS] != ELFCLASS64 || ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
        ehdr.e_phentsize != sizeof(*headers) || ehdr.e_phnum > IMAGE_HEADERS_MAX ||
        image_read(image, headers, ehdr.e_phnum * sizeof(*headers), ehdr.e_phoff))
        return false;
    for (size_t i = 0; i < ehdr.e_phnum && image->segment_count < IMAGE_SEGMENTS_MAX; i++) {
        const Elf64_Phdr *phdr = &headers[i];

        if (phdr->p_type == PT_LOAD && phdr->p_flags & PF_X &&
            !__builtin_add_overflow(phdr->p_vaddr, phdr->p_memsz, &end))
            image->segments[image->segment_count++] =
                (struct image_segment){.addr = phdr->p_vaddr,
                                       .file_bytes = phdr->p_filesz,
                                       .memory_bytes = phdr->p_memsz,
                                       .offset = phdr->p_offset,
                                       .prot = SPACE_EXEC};
    }
    return true;
}

int image_symbolize_file(const struct image_source *source, uint64_t offset, uint64_t *linked,
                         char *text, size_t bytes)
{
    struct image image = {.fd = -1, .source = *source};

    if (bytes > 0)
        text[0] = '\0';
    if (!read_code(&image))
        return -ENOEXEC;
    for (size_t i = 0; i < image.segment_count; i++) {
        const struct image_segment *segment = &image.segments[i];

        if (offset < segment->offset || offset - segment->offset >= segment->file_bytes)
            continue;
        *linked = segment->addr + (offset - segment->offset);
        image_symbolize(&image, *linked, text, bytes);
        return 0;
    }
    return -ENOEXEC;
}
