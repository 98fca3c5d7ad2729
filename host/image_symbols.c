/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns function names of an image, for crash reports. The symbols are looked through
 * when a report needs one, piece by piece, and nothing of them is kept: a program that does
 * not crash pays nothing, and a file cannot make the VMM hold memory. A file whose
 * symbols are broken, too many or changed since it was opened simply has none.
 */
#include <stdio.h>
#include <string.h>

#include "image_internal.h"

#define NAME_SHOWN_MAX 128
#define SECTIONS_MAX   4096u
#define SYMBOLS_MAX    2500000u /* 60 MB of them */
#define ALIASES_MAX    64u      /* names of one address that are looked at */
#define PIECE          512u     /* symbols read at a time */

/* Where a symbol table is, and the strings it names symbols with. */
struct table {
    uint64_t symbols, count, strings, strings_bytes;
};

/* What was found: the function that starts last at or before an address, and how far it
 * reaches; which of its names to show is looked for afterwards. */
struct function {
    uint64_t addr, bytes;
};

static bool read_section(const struct image *image, const Elf64_Ehdr *ehdr, uint32_t index,
                         Elf64_Shdr *out)
{
    uint64_t bytes = image->source.key.bytes, at = (uint64_t)index * sizeof(*out);

    return index < ehdr->e_shnum && ehdr->e_shoff < bytes && at < bytes - ehdr->e_shoff &&
           sizeof(*out) <= bytes - ehdr->e_shoff - at &&
           image_read(image, out, sizeof(*out), ehdr->e_shoff + at);
}

static bool within_file(const struct image *image, const Elf64_Shdr *section)
{
    uint64_t bytes = image->source.key.bytes;

    return section->sh_offset <= bytes && section->sh_size <= bytes - section->sh_offset;
}

/* Looks at the first section of that type only: a hostile file could have thousands. */
static bool find_table(const struct image *image, const Elf64_Ehdr *ehdr, uint32_t type,
                       struct table *out)
{
    Elf64_Shdr symbols, strings;
    uint32_t i = 0;

    do {
        if (i == SECTIONS_MAX || !read_section(image, ehdr, i++, &symbols))
            return false;
    } while (symbols.sh_type != type);
    if (!read_section(image, ehdr, symbols.sh_link, &strings) || !within_file(image, &symbols) ||
        !within_file(image, &strings))
        return false;
    *out = (struct table){.symbols = symbols.sh_offset,
                          .count = symbols.sh_size / sizeof(Elf64_Sym),
                          .strings = strings.sh_offset,
                          .strings_bytes = strings.sh_size};
    return out->count > 0 && out->count <= SYMBOLS_MAX;
}

static bool is_function(const struct table *table, const Elf64_Sym *sym)
{
    unsigned type = ELF64_ST_TYPE(sym->st_info);

    return (type == STT_FUNC || type == STT_GNU_IFUNC) && sym->st_shndx != SHN_UNDEF &&
           sym->st_name > 0 && sym->st_name < table->strings_bytes;
}

/* Calls visit with each function until it says false. */
static bool for_each_function(const struct image *image, const struct table *table,
                              bool (*visit)(const Elf64_Sym *sym, void *arg), void *arg)
{
    Elf64_Sym piece[PIECE];

    for (uint64_t at = 0; at < table->count; at += PIECE) {
        size_t count = table->count - at < PIECE ? (size_t)(table->count - at) : PIECE;

        if (!image_read(image, piece, count * sizeof(*piece), table->symbols + at * sizeof(*piece)))
            return false;
        for (size_t i = 0; i < count; i++)
            if (is_function(table, &piece[i]) && !visit(&piece[i], arg))
                return true;
    }
    return true;
}

/* ---- which function ------------------------------------------------------------ */

struct nearest {
    uint64_t wanted;
    bool found;
    struct function function;
};

/* Several names for one address: the largest of their sizes counts. */
static bool look_nearest(const Elf64_Sym *sym, void *arg)
{
    struct nearest *nearest = arg;
    struct function *function = &nearest->function;

    if (sym->st_value > nearest->wanted || (nearest->found && sym->st_value < function->addr))
        return true;
    if (!nearest->found || sym->st_value > function->addr)
        *function = (struct function){.addr = sym->st_value};
    if (sym->st_size > function->bytes)
        function->bytes = sym->st_size;
    nearest->found = true;
    return true;
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

struct naming {
    const struct image *image;
    const struct table *table;
    uint64_t addr;
    unsigned looked_at;
    char name[NAME_SHOWN_MAX + 1];
};

static bool read_name(const struct naming *naming, uint32_t at, char name[NAME_SHOWN_MAX + 1])
{
    uint64_t rest = naming->table->strings_bytes - at;
    size_t bytes = rest < NAME_SHOWN_MAX ? (size_t)rest : NAME_SHOWN_MAX;

    memset(name, 0, NAME_SHOWN_MAX + 1);
    return image_read(naming->image, name, bytes, naming->table->strings + at);
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
static bool look_name(const Elf64_Sym *sym, void *arg)
{
    struct naming *naming = arg;
    char name[NAME_SHOWN_MAX + 1];

    if (sym->st_value != naming->addr)
        return true;
    if (!read_name(naming, sym->st_name, name))
        return false;
    int more = leading_underscores(name) - leading_underscores(naming->name);
    if (!naming->looked_at || more < 0 || (more == 0 && strcmp(name, naming->name) < 0))
        memcpy(naming->name, name, sizeof(name));
    return ++naming->looked_at < ALIASES_MAX;
}

static bool find_tables(const struct image *image, struct table *table)
{
    Elf64_Ehdr ehdr;

    return image_read(image, &ehdr, sizeof(ehdr), 0) && ehdr.e_shentsize == sizeof(Elf64_Shdr) &&
           (find_table(image, &ehdr, SHT_SYMTAB, table) ||
            find_table(image, &ehdr, SHT_DYNSYM, table));
}

void image_symbolize(const struct image *image, uint64_t addr, char *text, size_t bytes)
{
    struct nearest nearest = {.wanted = addr - image->bias};
    struct naming naming = {.image = image};
    struct table table;

    if (bytes == 0)
        return;
    text[0] = '\0';
    if (addr < image->bias || code_end(image, nearest.wanted) == 0)
        return;
    if (!image_is_whole(image) || !find_tables(image, &table) ||
        !for_each_function(image, &table, look_nearest, &nearest) || !nearest.found ||
        !reaches(image, &nearest.function, nearest.wanted))
        return;
    naming.table = &table;
    naming.addr = nearest.function.addr;
    if (!for_each_function(image, &table, look_name, &naming) || !naming.looked_at)
        return;
    snprintf(text, bytes, "%s+0x%llx", naming.name,
             (unsigned long long)(nearest.wanted - nearest.function.addr));
    /* The name comes from the file and goes to somebody's terminal. */
    for (char *p = text; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}
