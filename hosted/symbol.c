/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbol.c - names of kernel addresses, from the symbol table of our own executable, which is
 * mapped at the first question. (gabi: ELF-64 headers and symbols.)
 */
#include "hosted.h"
#include "lib/elf64.h"
#include "lib/string.h"

#define O_CLOEXEC_RDONLY 02000000
#define STAT_SIZE_WORD 6 /* st_size in struct stat */
#define SHT_SYMTAB 2
#define STT_FUNC 2
#define STT_NOTYPE 0

struct elf_section {
    uint32_t name, type;
    uint64_t flags, addr, offset, size;
    uint32_t link, info;
    uint64_t addralign, entsize;
};
struct elf_symbol {
    uint32_t name;
    uint8_t info, other;
    uint16_t shndx;
    uint64_t value, size;
};

static const uint8_t *image;
static uint64_t image_size;

/* A CPU that panics at the same time maps the file once more: harmless. */
static bool image_map(void)
{
    uint64_t stat[18] = {0};
    long fd, at;

    if (__atomic_load_n(&image, __ATOMIC_ACQUIRE))
        return true;
    fd = host_call3(HOST_open, (long)"/proc/self/exe", O_CLOEXEC_RDONLY, 0);
    if (fd < 0)
        return false;
    if (host_call3(HOST_fstat, fd, (long)stat, 0) < 0)
        return false;
    at = host_call6(HOST_mmap, 0, (long)stat[STAT_SIZE_WORD], HOST_PROT_READ, HOST_MAP_PRIVATE, fd,
                    0);
    (void)host_call3(HOST_close, fd, 0, 0);
    if (at < 0 && at > -4096)
        return false;
    image_size = stat[STAT_SIZE_WORD];
    __atomic_store_n(&image, (const uint8_t *)at, __ATOMIC_RELEASE);
    return true;
}

/* `count` structures of `size` at `offset`, or NULL if they are not inside the file. */
static const void *image_at(uint64_t offset, uint64_t count, uint64_t size)
{
    uint64_t len, end;

    if (mul_overflow(count, size, &len) || add_overflow(offset, len, &end) || end > image_size ||
        offset % 8 != 0)
        return NULL;
    return image + offset;
}

static const struct elf_section *sections(unsigned *count)
{
    const struct elf_ehdr *h = image_at(0, 1, sizeof(*h));

    if (!h || h->shentsize != sizeof(struct elf_section))
        return NULL;
    *count = h->shnum;
    return image_at(h->shoff, h->shnum, sizeof(struct elf_section));
}

/* The last symbol at or below addr. */
static const struct elf_symbol *nearest(const struct elf_symbol *sym, uint64_t count, uint64_t addr)
{
    const struct elf_symbol *best = NULL;

    for (uint64_t i = 0; i < count; i++) {
        unsigned type = sym[i].info & 0xf;

        if ((type != STT_FUNC && type != STT_NOTYPE) || sym[i].shndx == 0 || sym[i].value > addr)
            continue;
        if (!best || sym[i].value > best->value ||
            (sym[i].value == best->value && type == STT_FUNC))
            best = &sym[i];
    }
    return best;
}

bool hal_symbol(uintptr_t pc, char name[HAL_SYMBOL_ROOM], uintptr_t *offset)
{
    const struct hosted_config *c = &hosted_config;
    const struct elf_section *s;
    unsigned count = 0;

    if (pc < c->text_lo || pc >= c->text_hi || !image_map())
        return false;
    s = sections(&count);
    for (unsigned i = 0; s && i < count; i++) {
        const struct elf_symbol *table, *best;
        const char *names;

        if (s[i].type != SHT_SYMTAB || s[i].link >= count)
            continue;
        table = image_at(s[i].offset, s[i].size / sizeof(*table), sizeof(*table));
        if (!table)
            return false;
        best = nearest(table, s[i].size / sizeof(*table), pc - c->load_bias);
        if (!best || best->name >= s[s[i].link].size ||
            s[s[i].link].offset + s[s[i].link].size > image_size)
            return false;
        /* String tables end with a NUL. */
        names = (const char *)image + s[s[i].link].offset;
        strlcpy(name, names + best->name, HAL_SYMBOL_ROOM);
        *offset = pc - c->load_bias - best->value;
        return true;
    }
    return false;
}

struct hal_text hal_kernel_text(void)
{
    return (struct hal_text){hosted_config.text_lo, hosted_config.text_hi};
}

void hal_kernel_data(void (*fn)(uintptr_t lo, uintptr_t hi))
{
    fn(hosted_config.data_lo, hosted_config.data_hi);
}
