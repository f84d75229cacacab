/* SPDX-License-Identifier: BSD-3-Clause */
/* strbuf.c - the growing cursor of format.h. */
#include "lib/format.h"
#include "lib/string.h"

void strbuf_append(struct strbuf *sb, const void *data, size_t len)
{
    if (sb->len < sb->size) {
        size_t room = sb->size - sb->len;
        memcpy(sb->buf + sb->len, data, len < room ? len : room);
    }
    sb->len += len;
}

void strbuf_vprintf(struct strbuf *sb, const char *fmt, va_list args)
{
    size_t room = sb->len < sb->size ? sb->size - sb->len : 0;
    int n = vsnprintf(room ? sb->buf + sb->len : NULL, room, fmt, args);
    if (n <= 0)
        return;
    /* vsnprintf needs a byte for its NUL, so a text that fills the room exactly has lost its last
     * character: count it as one too long, that the reader sees the truncation. */
    sb->len += (size_t)n + ((size_t)n == room);
}

void strbuf_printf(struct strbuf *sb, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    strbuf_vprintf(sb, fmt, args);
    va_end(args);
}
