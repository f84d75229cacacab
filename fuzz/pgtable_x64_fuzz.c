/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/* covers: platform/common/pgtable.c */
/* length: 256 */
/* pgtable_x64_fuzz.c - the page-table walker with the real x64 encoding: pgtable_body.h. */
#include "../platform/x64/isa/pte.h"

#include "../platform/common/pgtable.c"

#include "pgtable_body.h"
