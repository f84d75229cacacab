/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/* length: 16 */
/* runs: 5000 */
/*
 * planted_fuzz.c - a bug that is there on purpose: behind one word, a byte beyond the input is
 * read. tools/tests/planted demands that it is found; the only seed is one bit away from the word.
 */
#include <string.h>

#include "../fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || memcmp(data, "bug!", 4) != 0)
        return 0;
    return ((const volatile uint8_t *)data)[size] == 0 ? 0 : 0;
}
