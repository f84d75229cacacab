/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netframe.c - completing checksums and cutting segments, as a network card does: see netframe.h.
 * All lengths and offsets come from a guest and are checked against the record.
 */
#include "netframe.h"

#include <string.h>

#define ETHER 14u
#define NEEDS_CHECKSUM 1u
enum { GSO_NONE = 0, GSO_TCP4 = 1, GSO_TCP6 = 4, GSO_UDP = 5, GSO_ECN = 0x80 };
enum { PROTO_TCP = 6, PROTO_UDP = 17 };
#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) << 16 | get16(p + 2);
}

/* RFC 1071, over bytes in network order. */
static uint32_t sum(const uint8_t *p, size_t len, uint32_t start)
{
    uint64_t total = start;

    for (; len > 1; p += 2, len -= 2)
        total += get16(p);
    if (len)
        total += (uint32_t)p[0] << 8;
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return (uint32_t)total;
}

/* The frame of a record, and where in it things are. */
struct frame {
    uint8_t *data;
    size_t len;
    unsigned network, transport, payload; /* offsets */
    bool v6;
    unsigned proto;
};

static bool find_headers(struct frame *f, unsigned transport)
{
    unsigned type, at = ETHER;

    if (f->len < ETHER + 40)
        return false;
    type = get16(f->data + 12);
    if (type == 0x8100) {
        type = get16(f->data + 16);
        at += 4;
    }
    f->network = at;
    f->transport = transport;
    f->v6 = type == 0x86dd;
    if ((!f->v6 && type != 0x0800) || transport < at + (f->v6 ? 40u : 20u) ||
        f->len < transport + 8u)
        return false;
    if (f->proto == PROTO_UDP)
        f->payload = transport + 8;
    else if (f->len < transport + 20u)
        return false;
    else
        f->payload = transport + (f->data[transport + 12] >> 4) * 4u;
    return f->payload >= transport + 8 && f->payload <= f->len;
}

/* IP's header of a segment of this length, number `i`. */
static void fix_network(const struct frame *f, uint8_t *out, size_t len, unsigned i)
{
    uint8_t *ip = out + f->network;

    if (f->v6) {
        put16(ip + 4, (uint32_t)(len - f->network - 40));
        return;
    }
    put16(ip + 2, (uint32_t)(len - f->network));
    put16(ip + 4, get16(ip + 4) + i);
    put16(ip + 10, 0);
    put16(ip + 10, ~sum(ip, (ip[0] & 15u) * 4u, 0));
}

static void fix_transport(const struct frame *f, uint8_t *out, size_t len, size_t done, bool last)
{
    uint8_t *ip = out + f->network, *tp = out + f->transport;
    uint32_t size = (uint32_t)(len - f->transport), partial, value;
    unsigned field = f->proto == PROTO_UDP ? 6 : 16;

    if (f->proto == PROTO_UDP) {
        put16(tp + 4, size);
    } else {
        uint32_t sequence = get32(tp + 4) + (uint32_t)done;

        put16(tp + 4, sequence >> 16);
        put16(tp + 6, sequence);
        if (!last)
            tp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        if (done)
            tp[13] &= (uint8_t)~TCP_CWR;
    }
    put16(tp + field, 0);
    partial = f->v6 ? sum(ip + 8, 32, 0) : sum(ip + 12, 8, 0);
    value = ~sum(tp, size, partial + size + f->proto) & 0xffff;
    put16(tp + field, value == 0 && f->proto == PROTO_UDP ? 0xffff : value);
}

static bool segments(struct frame *f, unsigned start, unsigned size,
                     void (*emit)(void *arg, const uint8_t *frame, size_t), void *arg)
{
    static uint8_t out[NET_FRAME_MAX];
    size_t done = 0, total;
    unsigned i = 0;

    if (size == 0 || !find_headers(f, start))
        return false;
    total = f->len - f->payload;
    do {
        size_t part = total - done < size ? total - done : size, len = f->payload + part;

        memcpy(out, f->data, f->payload);
        memcpy(out + f->payload, f->data + f->payload + done, part);
        fix_network(f, out, len, i++);
        fix_transport(f, out, len, done, done + part == total);
        emit(arg, out, len);
        done += part;
    } while (done < total);
    return true;
}

bool net_frames(uint8_t *record, size_t len, void (*emit)(void *arg, const uint8_t *frame, size_t),
                void *arg)
{
    uint16_t size, start, offset; /* little-endian, as this host is */
    struct frame f = {.data = record + NET_HEADER, .len = len - NET_HEADER};
    unsigned gso = record[1] & ~(unsigned)GSO_ECN;

    if (len < NET_HEADER + ETHER || f.len > NET_FRAME_MAX)
        return false;
    memcpy(&size, record + 4, 2);
    memcpy(&start, record + 6, 2);
    memcpy(&offset, record + 8, 2);
    if (gso == GSO_TCP4 || gso == GSO_TCP6 || gso == GSO_UDP) {
        f.proto = gso == GSO_UDP ? PROTO_UDP : PROTO_TCP;
        return segments(&f, start, size, emit, arg);
    }
    if (gso != GSO_NONE)
        return false;
    if (record[0] & NEEDS_CHECKSUM) {
        uint32_t value;

        if (start < ETHER || (size_t)start + offset + 2 > f.len)
            return false;
        value = ~sum(f.data + start, f.len - start, 0) & 0xffff;
        put16(f.data + start + offset, value == 0 ? 0xffff : value);
    }
    emit(arg, f.data, f.len);
    return true;
}
