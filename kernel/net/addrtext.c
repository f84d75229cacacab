/* SPDX-License-Identifier: BSD-3-Clause */
/* addrtext.c - addresses as text: RFC 4291, 2.2, and RFC 5952, which says which of the forms to
 * write. */
#include "lib/bytes.h"
#include "lib/format.h"
#include "lib/string.h"
#include "net/netconf.h"

/* ---- reading ---- */

/* Decimal, without zeros in front, which some read as octal (as inet_pton). */
static bool parse4(const char *text, size_t len, uint8_t *out)
{
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        unsigned value = 0, digits = 0;
        for (; at < len && text[at] >= '0' && text[at] <= '9' && (digits == 0 || value);
             at++, digits++)
            value = MIN(value * 10 + (unsigned)(text[at] - '0'), 256u);
        if (digits == 0 || value > 255 || (i < 3 && (at >= len || text[at] != '.')))
            return false;
        out[i] = (uint8_t)value;
        at += i < 3;
    }
    return at == len;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Groups of hexadecimal digits; *gap: the number of groups before "::", -1: there was none. */
static bool parse6(const char *text, size_t len, uint8_t *out)
{
    int groups = 0, gap = -1;
    size_t at = 0;
    if (len >= 2 && text[0] == ':' && text[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < len) {
        unsigned value = 0, digits = 0;
        size_t begin = at;
        for (; at < len && hex_digit(text[at]) >= 0 && digits < 5; at++, digits++)
            value = value << 4 | (unsigned)hex_digit(text[at]);
        if (at < len && text[at] == '.' && groups <= 6) {
            if (!parse4(text + begin, len - begin, out + (size_t)groups * 2))
                return false;
            groups += 2;
            break;
        }
        if (digits == 0 || digits > 4 || groups == 8)
            return false;
        put_be16(out + (size_t)groups++ * 2, (uint16_t)value);
        if (at == len)
            break;
        if (text[at++] != ':' || at == len)
            return false;
        if (text[at] == ':') {
            if (gap >= 0)
                return false;
            gap = groups;
            at++;
        }
    }
    if (gap < 0)
        return groups == 8;
    if (groups == 8)
        return false;
    size_t tail = (size_t)(groups - gap) * 2;
    memmove(out + 16 - tail, out + (size_t)gap * 2, tail);
    memset(out + (size_t)gap * 2, 0, 16 - tail - (size_t)gap * 2);
    return true;
}

bool net_addr_parse(const char *text, size_t len, struct net_addr *out)
{
    uint32_t word;
    memset(out, 0, sizeof(*out));
    if (parse4(text, len, (uint8_t *)&word)) {
        *out = net_addr_v4(word);
        return true;
    }
    return parse6(text, len, out->bytes);
}

/* ---- writing ---- */

/* The longest run of zero groups, the first of equals; of one group none (RFC 5952, 4.2). */
static int longest_gap(const uint8_t *a, int *length)
{
    int best = -1;
    *length = 1;
    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && get_be16(a + (i + n) * 2) == 0)
            n++;
        if (n > *length) {
            *length = n;
            best = i;
        }
    }
    return best;
}

void net_addr_format(const struct net_addr *address, char *buf)
{
    const uint8_t *a = address->bytes;
    struct strbuf sb = {.buf = buf, .size = NET_ADDR_TEXT};
    int length, gap;
    if (net_addr_is_v4(address)) {
        (void)snprintf(buf, NET_ADDR_TEXT, "%u.%u.%u.%u", a[12], a[13], a[14], a[15]);
        return;
    }
    gap = longest_gap(a, &length);
    for (int i = 0; i < 8; i++) {
        if (i == gap) {
            strbuf_printf(&sb, "::");
            i += length - 1;
        } else {
            strbuf_printf(&sb, "%s%x", i == 0 || (gap >= 0 && i == gap + length) ? "" : ":",
                          get_be16(a + i * 2));
        }
    }
    buf[MIN(sb.len, (size_t)NET_ADDR_TEXT - 1)] = 0;
}
