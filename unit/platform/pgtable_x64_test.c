/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/* pgtable_x64_test.c - the page-table walker with the real x64 encoding. The tests: pgtable_body.h.
 */
#include "../../platform/x64/isa/pte.h"

#include "../../platform/common/pgtable.c"

#include "pgtable_body.h"
