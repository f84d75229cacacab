/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpio.c - see cpio.h. Layout of an entry: a header of 110 characters (a magic of 6, then 13
 * numbers of 8 hexadecimal digits), the name with its NUL, padding to a multiple of 4 counted from
 * the archive's start, the body, padding again. The entry named TRAILER!!! ends an archive. As for
 * Linux's initramfs any number of zero bytes, and then another archive, may follow.
 */
#include "fs/cpio.h"

#include "lib/errno.h"
#include "lib/string.h"

#define HEADER_LEN 110u
#define FIELD_COUNT 13

enum field {
    F_INO,
    F_MODE,
    F_UID,
    F_GID,
    F_NLINK,
    F_MTIME,
    F_FILESIZE,
    F_DEVMAJOR,
    F_DEVMINOR,
    F_RDEVMAJOR,
    F_RDEVMINOR,
    F_NAMESIZE,
    F_CHECK
};

void cpio_init(struct cpio *cpio, const void *data, size_t len)
{
    *cpio = (struct cpio){.data = data, .len = len};
}

static int fail(struct cpio *cpio, const char *why)
{
    cpio->error = why;
    return -EINVAL;
}

static bool parse_hex(const uint8_t *p, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < 8; i++) {
        uint8_t c = p[i];
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)c - '0';
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (uint32_t)(c | 0x20) - 'a' + 10;
        else
            return false;
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

static int parse_header(struct cpio *cpio, uint32_t field[FIELD_COUNT])
{
    const uint8_t *p = cpio->data + cpio->at;
    if (cpio->len - cpio->at < HEADER_LEN)
        return fail(cpio, "cut off in a header");
    if (memcmp(p, "070701", 6) != 0 && memcmp(p, "070702", 6) != 0)
        return fail(cpio, "no cpio (newc) header");
    for (int i = 0; i < FIELD_COUNT; i++)
        if (!parse_hex(p + 6 + 8 * i, &field[i]))
            return fail(cpio, "bad digit in a header");
    return 0;
}

/* From `from`, `len` bytes and then up to a multiple of 4: false if that is past the end. The
 * padding after the very last body may be missing. */
static bool step(const struct cpio *cpio, size_t from, size_t len, size_t *end)
{
    size_t sum;
    if (add_overflow(from, len, &sum) || sum > cpio->len)
        return false;
    size_t padded = (sum + 3) & ~(size_t)3;
    *end = MIN(padded, cpio->len);
    return true;
}

static int parse_entry(struct cpio *cpio, struct cpio_entry *out)
{
    uint32_t field[FIELD_COUNT];
    int err = parse_header(cpio, field);
    if (err)
        return err;
    size_t name_at = cpio->at + HEADER_LEN, body_at, next;
    size_t name_size = field[F_NAMESIZE], body_len = field[F_FILESIZE];
    if (name_size < 2 || name_size > 4096)
        return fail(cpio, "bad name length");
    if (!step(cpio, name_at, name_size, &body_at))
        return fail(cpio, "cut off in a name");
    const char *name = (const char *)cpio->data + name_at;
    if (name[name_size - 1] != '\0' || memchr(name, '\0', name_size - 1))
        return fail(cpio, "bad name");
    if (!step(cpio, body_at, body_len, &next))
        return fail(cpio, "cut off in a file");
    *out = (struct cpio_entry){
        .ino = field[F_INO],
        .mode = field[F_MODE],
        .uid = field[F_UID],
        .gid = field[F_GID],
        .nlink = field[F_NLINK],
        .mtime = field[F_MTIME],
        .dev_major = field[F_DEVMAJOR],
        .dev_minor = field[F_DEVMINOR],
        .rdev_major = field[F_RDEVMAJOR],
        .rdev_minor = field[F_RDEVMINOR],
        .name = name,
        .name_len = name_size - 1,
        .body = cpio->data + body_at,
        .body_len = body_len,
        .offset = cpio->at,
    };
    cpio->at = next;
    return 0;
}

static void skip_zeroes(struct cpio *cpio)
{
    while (cpio->at < cpio->len && cpio->data[cpio->at] == 0)
        cpio->at++;
}

int cpio_next(struct cpio *cpio, struct cpio_entry *out)
{
    for (;;) {
        skip_zeroes(cpio);
        if (cpio->at == cpio->len)
            return 0;
        int err = parse_entry(cpio, out);
        if (err)
            return err;
        if (out->name_len != 10 || memcmp(out->name, "TRAILER!!!", 10) != 0)
            return 1;
    }
}
