/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symtab.h - the kernel's own symbol table, for back traces on bare metal.
 *
 * The image is linked twice. cmake/symtab.cmake makes the table with nm from the first link and
 * puts it into section .symtab_data of the second one, which stands last in the read-only data, so
 * that no address of a function moves. Functions only, sorted by address:
 *
 *   u32 count; u32 names_size;
 *   u32 offset[count];   from hal_kernel_text().lo, ascending
 *   u32 name[count];     offset into names
 *   char names[names_size];   NUL-terminated
 *
 * The first link has an empty table (count 0). Panic-safe: reads only.
 */
#ifndef SELKIE_SYMTAB_H
#define SELKIE_SYMTAB_H

#include "lib/types.h"

/* Look up pc in `table` of `size` bytes whose offsets count from `base`. False if the table is
 * empty or malformed or pc lies before the first symbol. */
bool symtab_find(const void *table, size_t size, uintptr_t base, uintptr_t pc, const char **name,
                 uintptr_t *offset);

#endif
