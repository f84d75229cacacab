/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symtab.c - look up an address in the embedded symbol table. Format: symtab.h.
 *
 * The table is made by our own build, yet a panic must not fault because of it, so every offset is
 * checked against the size.
 */
#include "common/symtab.h"

#include "lib/string.h"

struct symtab_header {
    uint32_t count;
    uint32_t names_size;
};
STATIC_ASSERT(sizeof(struct symtab_header) == 8);

bool symtab_find(const void *table, size_t size, uintptr_t base, uintptr_t pc, const char **name,
                 uintptr_t *offset)
{
    const struct symtab_header *header = table;
    const uint32_t *addr, *name_at;
    const char *names;
    size_t lo = 0, hi;

    if (size < sizeof(*header) || header->count == 0 || pc < base)
        return false;
    if (size < sizeof(*header) + 8ull * header->count + header->names_size)
        return false;
    addr = (const uint32_t *)(header + 1);
    name_at = addr + header->count;
    names = (const char *)(name_at + header->count);

    /* Invariant: addr[lo] <= pc - base, and addr[hi] > pc - base or hi == count. */
    hi = header->count;
    if (pc - base < addr[0])
        return false;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        if (addr[mid] <= pc - base)
            lo = mid;
        else
            hi = mid;
    }
    if (name_at[lo] >= header->names_size ||
        !memchr(names + name_at[lo], 0, header->names_size - name_at[lo]))
        return false;
    *name = names + name_at[lo];
    *offset = pc - base - addr[lo];
    return true;
}
