/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/* covers: platform/common/pgtable.c */
/* length: 256 */
/* runs: 1000 */
/* pgtable_aarch64_fuzz.c - the page-table walker with the real aarch64 encoding: pgtable_body.h. */
#include "../platform/aarch64/isa/pte.h"

#include "../platform/common/pgtable.c"

#include "pgtable_body.h"
