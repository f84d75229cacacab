/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_options.c - TCP headers and their options, read and written. Reading is pure: any bytes.
 */
#include "net/tcp_impl.h"

enum {
    OPT_END = 0,
    OPT_NOP = 1,
    OPT_MSS = 2,       /* RFC 9293, 3.7.1 */
    OPT_WSCALE = 3,    /* RFC 7323, 2 */
    OPT_SACK_OK = 4,   /* RFC 2018, 2 */
    OPT_SACK = 5,      /* RFC 2018, 3 */
    OPT_TIME = 8,      /* RFC 7323, 3 */
    OPT_FASTOPEN = 34, /* RFC 7413, 4.1.1 */
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}
static uint8_t *put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
    return p + 2;
}
static uint8_t *put32(uint8_t *p, uint32_t value)
{
    return put16(put16(p, value >> 16), value & 0xffff);
}

static void read_sack(const uint8_t *body, uint32_t len, struct tcp_options *opt)
{
    if (len % 8 || len > TCP_SACK_MAX * 8)
        return;
    opt->sack_count = (uint8_t)(len / 8);
    for (unsigned i = 0; i < opt->sack_count; i++, body += 8)
        opt->sack[i] = (struct tcp_range){get32(body), get32(body + 4)};
}

static void read_cookie(const uint8_t *body, uint32_t len, struct tcp_options *opt)
{
    if (len > TCP_COOKIE_MAX || len % 2 || (len && len < 4))
        return;
    opt->has_cookie = true; /* without bytes: a request */
    opt->cookie_len = (uint8_t)len;
    memset(opt->cookie, 0, sizeof opt->cookie); /* of one that came twice the last counts */
    memcpy(opt->cookie, body, len);
}

/* One option of known length; what has another length than its RFC says is ignored. Options of SYNs
 * only are remembered from any segment; who asks knows which it was. */
static void read_option(unsigned kind, const uint8_t *body, uint32_t len, struct tcp_options *opt)
{
    switch (kind) {
    case OPT_MSS:
        if (len != 2)
            break;
        opt->has_mss = true;
        opt->mss = get16(body);
        break;
    case OPT_WSCALE:
        if (len != 1)
            break;
        opt->has_wscale = true;
        opt->wscale = MIN(body[0], TCP_WSCALE_MAX); /* RFC 7323, 2.3: use 14 instead */
        break;
    case OPT_SACK_OK:
        if (len == 0)
            opt->has_sack_ok = true;
        break;
    case OPT_SACK:
        read_sack(body, len, opt);
        break;
    case OPT_TIME:
        if (len != 8)
            break;
        opt->has_time = true;
        opt->time = get32(body);
        opt->echo = get32(body + 4);
        break;
    case OPT_FASTOPEN:
        read_cookie(body, len, opt);
        break;
    }
}

static void read_options(const uint8_t *p, uint32_t len, struct tcp_options *opt)
{
    while (len) {
        if (p[0] == OPT_END)
            return;
        if (p[0] == OPT_NOP) {
            p++, len--;
            continue;
        }
        if (len < 2 || p[1] < 2 || p[1] > len)
            return;
        read_option(p[0], p + 2, p[1] - 2u, opt);
        len -= p[1];
        p += p[1];
    }
}

int tcp_parse(const uint8_t *header, uint32_t lie, uint32_t total, struct tcp_segment *out)
{
    /* The lists behind are as long as their counts say. */
    memzero_inline(out, offsetof(struct tcp_segment, opt.sack));
    if (lie < TCP_HEADER || total < TCP_HEADER)
        return -EINVAL;
    uint32_t size = (uint32_t)(header[12] >> 4) * 4;
    if (size < TCP_HEADER || size > lie || size > total)
        return -EINVAL;
    out->header = (uint8_t)size;
    out->seq = get32(header + 4);
    out->ack = get32(header + 8);
    out->flags = header[13];
    out->window = get16(header + 14);
    out->urgent = get16(header + 18);
    out->len = total - size;
    out->end = out->seq + out->len + !!(out->flags & TCP_SYN) + !!(out->flags & TCP_FIN);
    read_options(header + TCP_HEADER, size - TCP_HEADER, &out->opt);
    return 0;
}

/* ---- writing ---- */

/* As others lay them out (RFC 7323, appendix A): NOPs first, words aligned. */
uint32_t tcp_options_size(const struct tcp_options *opt, bool syn)
{
    uint32_t size = 0;
    if (opt->has_mss)
        size += 4;
    if (opt->has_time)
        size += 12;
    if (opt->has_sack_ok && !opt->has_time)
        size += 4; /* else in place of the timestamp's NOPs */
    if (opt->has_wscale)
        size += 4;
    if (opt->has_cookie)
        size += (2u + opt->cookie_len + 3) & ~3u;
    if (!syn && opt->sack_count)
        size += 4 + 8u * opt->sack_count;
    return size;
}

static uint8_t *write_options(uint8_t *p, const struct tcp_options *opt)
{
    if (opt->has_mss)
        p = put16(put16(p, OPT_MSS << 8 | 4), opt->mss);
    if (opt->has_sack_ok)
        p = put16(p, OPT_SACK_OK << 8 | 2);
    else if (opt->has_time)
        p = put16(p, OPT_NOP << 8 | OPT_NOP);
    if (opt->has_time)
        p = put32(put32(put16(p, OPT_TIME << 8 | 10), opt->time), opt->echo);
    else if (opt->has_sack_ok)
        p = put16(p, OPT_NOP << 8 | OPT_NOP);
    if (opt->has_wscale)
        p = put32(p, (uint32_t)OPT_NOP << 24 | OPT_WSCALE << 16 | 3 << 8 | opt->wscale);
    if (opt->has_cookie) {
        uint32_t size = 2u + opt->cookie_len;
        p = put16(p, OPT_FASTOPEN << 8 | size);
        memcpy(p, opt->cookie, opt->cookie_len);
        p += opt->cookie_len;
        for (; size % 4; size++)
            *p++ = OPT_NOP;
    }
    if (opt->sack_count) {
        p = put32(p, (uint32_t)OPT_NOP << 24 | OPT_NOP << 16 | OPT_SACK << 8 |
                         (2u + 8u * opt->sack_count));
        for (unsigned i = 0; i < opt->sack_count; i++)
            p = put32(put32(p, opt->sack[i].start), opt->sack[i].end);
    }
    return p;
}

void tcp_write_header(struct pkt *pkt, const struct tcp_header *header)
{
    uint32_t options = tcp_options_size(&header->opt, (header->flags & TCP_SYN) != 0);
    ASSERT(options <= TCP_HEADER_MAX - TCP_HEADER);
    uint8_t *p = pkt_push(pkt, TCP_HEADER + options);

    put32(p, 0); /* ports: the owner's */
    put32(p + 4, header->seq);
    put32(p + 8, header->flags & TCP_ACK ? header->ack : 0);
    p[12] = (uint8_t)((TCP_HEADER + options) / 4 << 4);
    p[13] = header->flags;
    put16(p + 14, header->window);
    put16(p + 16, 0); /* checksum: the owner's, and the device's */
    put16(p + 18, header->urgent);
    const uint8_t *end = write_options(p + TCP_HEADER, &header->opt);
    ASSERT(end == p + TCP_HEADER + options);
    (void)end;
    pkt->transport = (uint16_t)pkt_headroom(pkt);
    pkt->checksum = PKT_CHECKSUM_PARTIAL;
    pkt->checksum_start = pkt->transport;
    pkt->checksum_field = 16;
}

struct pkt *tcp_make(const struct tcp_header *header)
{
    struct pkt *pkt = pkt_alloc(PKT_HEADROOM, 0, ALLOC_ATOMIC);
    if (pkt)
        tcp_write_header(pkt, header);
    return pkt;
}
