/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/* pgtable_aarch64_test.c - the page-table walker with the real aarch64 encoding. The tests:
 * pgtable_body.h. */
#include "../../platform/aarch64/isa/pte.h"

#include "../../platform/common/pgtable.c"

#include "pgtable_body.h"
