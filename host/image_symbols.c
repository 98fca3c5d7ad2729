/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns function names of an image, for crash reports. Read when first asked
 * for; a file whose symbols are broken simply has none.
 */
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image_internal.h"

#define NAME_SHOWN_MAX 128

/* A symbol table, and the strings it names symbols with. */
struct table {
    Elf_Data *symbols, *strings;
    size_t count;
};

/* Looks at the first section of that type only: a hostile file could have
 * thousands, each as large as the file. */
static bool find_table(Elf *elf, uint32_t type, struct table *out)
{
    Elf_Scn *section = NULL;
    GElf_Shdr shdr;

    do {
        section = elf_nextscn(elf, section);
        if (!section || !gelf_getshdr(section, &shdr))
            return false;
    } while (shdr.sh_type != type);
    out->symbols = elf_getdata(section, NULL);
    out->strings = elf_getdata(elf_getscn(elf, shdr.sh_link), NULL);
    if (!out->symbols || !out->symbols->d_buf || !out->strings || !out->strings->d_buf)
        return false;
    out->count = out->symbols->d_size / sizeof(Elf64_Sym);
    if (out->count > INT32_MAX)
        out->count = INT32_MAX; /* gelf_getsym counts in int */
    return out->count > 0;
}

static bool is_function(const struct table *table, const GElf_Sym *sym)
{
    unsigned type = GELF_ST_TYPE(sym->st_info);

    return (type == STT_FUNC || type == STT_GNU_IFUNC) && sym->st_shndx != SHN_UNDEF &&
           sym->st_name > 0 && sym->st_name < table->strings->d_size;
}

/* 0 to 3, whatever the length of the name: sorting must not depend on that. */
static int leading_underscores(const char *name)
{
    int n = 0;

    while (n < 3 && name[n] == '_')
        n++;
    return n;
}

/* By address; of several names for one address the plainest comes first. */
static int compare_symbols(const void *a, const void *b)
{
    const struct image_symbol *x = a, *y = b;
    int ux, uy;

    if (x->addr != y->addr)
        return x->addr < y->addr ? -1 : 1;
    ux = leading_underscores(x->name);
    uy = leading_underscores(y->name);
    if (ux != uy)
        return ux - uy;
    return x->name < y->name ? -1 : x->name > y->name;
}

/* Leaves one symbol per address, with the largest of their sizes. */
static size_t merge_aliases(struct image_symbol *symbols, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        struct image_symbol *last = kept ? &symbols[kept - 1] : NULL;

        if (!last || last->addr != symbols[i].addr)
            symbols[kept++] = symbols[i];
        else if (symbols[i].bytes > last->bytes)
            last->bytes = symbols[i].bytes;
    }
    return kept;
}

static void read_table(struct image *image, const struct table *table)
{
    size_t functions = 0, names_bytes = table->strings->d_size;
    struct image_symbol *symbols;
    char *names;
    GElf_Sym sym;

    for (size_t i = 0; i < table->count; i++)
        if (gelf_getsym(table->symbols, (int)i, &sym) && is_function(table, &sym))
            functions++;
    /* Both sizes are bounded by that of the file. One block: symbols, then their names. */
    symbols = functions ? malloc(functions * sizeof(*symbols) + names_bytes + 1) : NULL;
    if (!symbols)
        return;
    names = (char *)&symbols[functions];
    memcpy(names, table->strings->d_buf, names_bytes);
    names[names_bytes] = '\0';
    functions = 0;
    for (size_t i = 0; i < table->count; i++)
        if (gelf_getsym(table->symbols, (int)i, &sym) && is_function(table, &sym))
            symbols[functions++] = (struct image_symbol){
                .addr = sym.st_value, .bytes = sym.st_size, .name = names + sym.st_name};
    qsort(symbols, functions, sizeof(*symbols), compare_symbols);
    image->symbols = symbols;
    image->symbol_count = merge_aliases(symbols, functions);
}

static void read_symbols(struct image *image)
{
    struct table table;
    Elf *elf;

    elf_version(EV_CURRENT);
    elf = elf_begin(image->fd, ELF_C_READ, NULL);
    if (elf && (find_table(elf, SHT_SYMTAB, &table) || find_table(elf, SHT_DYNSYM, &table)))
        read_table(image, &table);
    elf_end(elf);
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

/* The last symbol that starts at addr or before, if it reaches as far. */
static const struct image_symbol *find_symbol(const struct image *image, uint64_t addr)
{
    size_t low = 0, high = image->symbol_count;
    uint64_t end = code_end(image, addr);
    const struct image_symbol *symbol;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (image->symbols[middle].addr <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || end == 0)
        return NULL;
    symbol = &image->symbols[low - 1];
    if (symbol->bytes == 0) /* from assembly: up to the next one, in the same segment */
        return code_end(image, symbol->addr) == end ? symbol : NULL;
    return addr - symbol->addr < symbol->bytes ? symbol : NULL;
}

void image_symbolize(struct image *image, uint64_t addr, char *text, size_t bytes)
{
    const struct image_symbol *symbol;

    if (bytes == 0)
        return;
    text[0] = '\0';
    if (addr < image->bias)
        return;
    pthread_mutex_lock(&image->symbols_lock);
    if (!image->symbols)
        read_symbols(image);
    pthread_mutex_unlock(&image->symbols_lock);
    symbol = image->symbols ? find_symbol(image, addr - image->bias) : NULL;
    if (!symbol)
        return;
    snprintf(text, bytes, "%.*s+0x%llx", NAME_SHOWN_MAX, symbol->name,
             (unsigned long long)(addr - image->bias - symbol->addr));
    /* The name comes from the file and goes to somebody's terminal. */
    for (char *p = text; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
}
