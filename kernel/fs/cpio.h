/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpio.h - reader of cpio archives in the "New ASCII" format (cpio(5)): magic 070701, or 070702
 * with checksums, which are not verified (Linux does not either).
 *
 * Pure: looks only at the bytes it is given and allocates nothing, so it can be fuzzed.
 */
#ifndef SELKIE_FS_CPIO_H
#define SELKIE_FS_CPIO_H

#include "lib/types.h"

struct cpio {
    const uint8_t *data;
    size_t len, at;
    const char *error; /* why cpio_next said -EINVAL: a constant */
};
struct cpio_entry {
    uint32_t ino, mode, uid, gid, nlink, mtime, dev_major, dev_minor, rdev_major, rdev_minor;
    const char *name; /* NUL-terminated, inside the archive, at least one character */
    size_t name_len;
    const uint8_t *body;
    size_t body_len;
    size_t offset; /* of the header, for messages */
};
void cpio_init(struct cpio *cpio, const void *data, size_t len);
/* 1: *out is the next entry. 0: the end, after which only zero bytes or further archives stand;
 * those are read as if they were one. -EINVAL: not an archive, or cut off. */
int must_check cpio_next(struct cpio *cpio, struct cpio_entry *out);

#endif
