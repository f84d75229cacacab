/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/fs/cpio.c */
/* length: 768 */
/* runs: 20000 */
/* covers: kernel/fs/cpio.c */
/* lines: 95 */
/*
 * cpio_fuzz.c - the archive reader alone: every entry lies inside the archive, entries ascend, and
 * the same bytes cut off anywhere give the same entries up to there.
 */
#include <string.h>

#include "fs/cpio.h"
#include "fuzz.h"
#include "lib/errno.h"

static volatile unsigned sink;

static int read_all(const uint8_t *data, size_t size, unsigned *count)
{
    struct cpio cpio;
    struct cpio_entry e;
    size_t last = 0;
    int err;

    cpio_init(&cpio, data, size);
    for (*count = 0; (err = cpio_next(&cpio, &e)) == 1; ++*count) {
        const uint8_t *name = (const uint8_t *)e.name;

        FUZZ_CHECK(name >= data && e.name_len > 0 && name + e.name_len < data + size);
        FUZZ_CHECK(strlen(e.name) == e.name_len);
        FUZZ_CHECK(e.body >= data && e.body + e.body_len <= data + size);
        FUZZ_CHECK(*count == 0 || e.offset > last);
        FUZZ_CHECK(cpio.at > e.offset && cpio.at <= size);
        last = e.offset;
        if (e.body_len)
            sink += e.body[0] + e.body[e.body_len - 1];
    }
    FUZZ_CHECK(err == 0 || err == -EINVAL);
    FUZZ_CHECK((err == 0) == (cpio.error == NULL));
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned count, fewer;

    int err = read_all(data, size, &count);
    if (size > 1) {
        size_t less = size - 1 - data[0] % size;
        uint8_t *part = malloc(less ? less : 1);

        FUZZ_CHECK(part);
        memcpy(part, data, less);
        read_all(part, less, &fewer);
        FUZZ_CHECK(fewer <= count || err);
        free(part);
    }
    return 0;
}
