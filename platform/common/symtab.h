/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symtab.h - the kernel's own symbol table, for back traces on bare metal.
 *
 * The image is linked twice. cmake/symtab.sh makes the table with nm from the first link and puts
 * it into section .symtab_data of the second one, which stands last in the read-only data, so that
 * no address of a function moves. Functions only, sorted by address.
 *
 * Names are written in codes of a byte, half as long as they are. The table begins with what the
 * codes stand for: a count of letters and the letters (codes from 1; the letter NUL ends a name),
 * a count of pairs and the pairs (the codes behind): two codes, each less than the pair's own, and
 * either may be a pair in turn. Then for each function its distance from the one before (the first:
 * from hal_kernel_text().lo) as ULEB128, that is 7 bits in a byte, the lowest first, and bit 7 if
 * more follow; and the codes of its name up to the one with the NUL.
 *
 * The first link has an empty table. Panic-safe: reads only, from the beginning (some 200 us).
 */
#ifndef SELKIE_SYMTAB_H
#define SELKIE_SYMTAB_H

#include "lib/types.h"

/* Look up pc in `table` of `size` bytes whose offsets count from `base`. False if the table is
 * empty or malformed or pc lies before the first symbol. The name is cut to `room` bytes with its
 * NUL. */
bool symtab_find(const void *table, size_t size, uintptr_t base, uintptr_t pc, char *name,
                 size_t room, uintptr_t *offset);

#endif
