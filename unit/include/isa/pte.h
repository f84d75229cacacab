/* SPDX-License-Identifier: BSD-3-Clause */
/* pte.h - the unit tests have no page-table encoding of their own: unit/platform/pgtable_*_test.c
 * include a real one (which has the same include guard) before anything that includes this. */
#ifndef SELKIE_ISA_PTE_H
#error "include platform/<isa>/isa/pte.h first"
#endif
