/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netrx_peer.h - the other end of netrx_fuzz.c's wire: what it has seen of each connection, the
 * frames it makes of that, and what must hold of each frame that the kernel sends.
 *
 * Bytes of the peer's are a function of their sequence number, those of the program's of their
 * place in the stream, so both can be checked wherever they come out.
 */
#ifndef SELKIE_FUZZ_NETRX_PEER_H
#define SELKIE_FUZZ_NETRX_PEER_H

#include "net/tcp_sock.h"
#include "stack.h"

#define PEERS 8
#define KEPT 4 /* frames of the kernel's, to be quoted by ICMP or sent back */
#define KEPT_LEN 600

/* A connection as its other end sees it. */
struct peer {
    bool used, v6, iss_known;
    uint16_t ours, theirs; /* the kernel's port, the peer's */
    uint32_t iss;          /* the kernel's first sequence number */
    uint32_t end, ack;     /* behind what the kernel has sent; what it has acknowledged last */
    uint32_t stamp;        /* the kernel's last timestamp */
    uint16_t window;       /* the kernel's last */
};

static struct {
    struct peer peers[PEERS];
    unsigned peer_next;
    struct {
        uint32_t len;
        uint8_t bytes[KEPT_LEN];
    } kept[KEPT];
    unsigned kept_next;
    bool free_words; /* the program writes frames of its own: nothing of them is checked */
    bool strange;    /* frames whose payload is no function came in */
} wire;

static uint8_t ours(uint32_t at)
{
    return (uint8_t)(at * 2654435761u >> 24 ^ at);
}
static uint8_t theirs(uint32_t seq)
{
    return (uint8_t)(seq * 40503u >> 8 ^ seq);
}
static uint8_t datagram_byte(uint16_t port, uint32_t len, uint32_t at)
{
    return (uint8_t)(port * 31u + len * 7u + at);
}

static struct net_addr our_address(bool v6)
{
    return v6 ? stack_ip6(1) : stack_ip(10, 0, 0, 1);
}
static struct net_addr peer_address(bool v6)
{
    return v6 ? stack_ip6(9) : stack_ip(10, 0, 0, 9);
}

static struct peer *peer_of(bool v6, uint16_t our_port, uint16_t their_port)
{
    for (unsigned i = 0; i < PEERS; i++) {
        struct peer *p = &wire.peers[i];
        if (p->used && p->v6 == v6 && p->ours == our_port && p->theirs == their_port)
            return p;
    }
    struct peer *p = &wire.peers[wire.peer_next++ % PEERS];
    *p = (struct peer){.used = true, .v6 = v6, .ours = our_port, .theirs = their_port};
    p->ack = 0xfffffe00; /* sequence numbers wrap soon */
    return p;
}

/* ---- what the kernel sends ---- */

static void look_at_segment(bool v6, const uint8_t *h, uint32_t len)
{
    struct tcp_segment seg;
    FUZZ_CHECK(tcp_parse(h, len, len, &seg) == 0);
    struct peer *p = peer_of(v6, get_be16(h), get_be16(h + 2));
    FUZZ_TRACE("  sends %u>%u flags %02x seq %u len %u ack %u win %u\n", p->ours, p->theirs,
               seg.flags, seg.seq, seg.len, seg.ack, seg.window);
    if (seg.flags & TCP_SYN) {
        p->iss = seg.seq;
        p->iss_known = true;
    }
    if (seg.flags & TCP_ACK)
        p->ack = seg.ack;
    if (!(seg.flags & TCP_RST))
        p->end = seg.end;
    p->window = (uint16_t)seg.window;
    if (seg.opt.has_time)
        p->stamp = seg.opt.time;
    uint32_t at = seg.seq + !!(seg.flags & TCP_SYN) - p->iss - 1;
    for (uint32_t i = 0; p->iss_known && i < seg.len; i++)
        FUZZ_CHECK(h[seg.header + i] == ours(at + i));
}

static void look_at_transport(bool v6, uint8_t protocol, const uint8_t *h, uint32_t len,
                              const struct net_addr *from, const struct net_addr *to)
{
    uint32_t pseudo = protocol == IPPROTO_ICMP ? 0 : ip_pseudo_sum(from, to, protocol, len);
    bool unsummed = protocol == IPPROTO_UDP && !v6 && len >= 8 && get_be16(h + 6) == 0;
    if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP ||
        protocol == IPPROTO_ICMPV6)
        FUZZ_CHECK(unsummed || checksum_add(h, len, checksum_fold(pseudo)) == 0xffff);
    if (protocol == IPPROTO_UDP)
        FUZZ_CHECK(len >= 8 && get_be16(h + 4) == len);
    if (protocol == IPPROTO_TCP)
        look_at_segment(v6, h, len);
}

static void look_at_ip(const uint8_t *ip, uint32_t len)
{
    struct net_addr from, to;
    bool v6 = ip[0] >> 4 == 6;
    uint32_t head = v6 ? 40 : (ip[0] & 0xf) * 4u, words[2];
    FUZZ_CHECK(len >= head && len <= netdev_mtu(&stack_dev));
    if (v6) {
        FUZZ_CHECK(get_be16(ip + 4) + 40u == len);
        memcpy(&from, ip + 8, 16);
        memcpy(&to, ip + 24, 16);
    } else {
        FUZZ_CHECK(ip[0] >> 4 == 4 && get_be16(ip + 2) == len);
        FUZZ_CHECK(checksum_add(ip, head, 0) == 0xffff);
        memcpy(words, ip + 12, 8);
        from = net_addr_v4(words[0]);
        to = net_addr_v4(words[1]);
    }
    FUZZ_CHECK(!net_addr_is_loopback(&from) && !net_addr_is_multicast(&from));
    uint8_t protocol = ip[v6 ? 6 : 9];
    bool fragment = v6 ? protocol == 44 : (get_be16(ip + 6) & 0x3fff) != 0;
    bool options = v6 && protocol == 0; /* MLD's router alert */
    if (!fragment && !options)
        look_at_transport(v6, protocol, ip + head, len - head, &from, &to);
}

static void look_at_frame(const uint8_t *frame, uint32_t len)
{
    unsigned slot = wire.kept_next++ % KEPT;
    wire.kept[slot].len = MIN(len, (uint32_t)KEPT_LEN);
    memcpy(wire.kept[slot].bytes, frame, wire.kept[slot].len);
    if (wire.free_words)
        return;
    FUZZ_CHECK(len >= 14 && memcmp(frame + 6, stack_our_ether, 6) == 0);
    uint16_t type = get_be16(frame + 12);
    if (type == ETHERTYPE_IP4 || type == ETHERTYPE_IP6)
        look_at_ip(frame + 14, len - 14);
}

/* ---- frames of the peer's ---- */

static void put_sum(uint8_t *message, uint32_t len, uint32_t field, bool v6, uint8_t protocol)
{
    struct net_addr from = peer_address(v6), to = our_address(v6);
    memset(message + field, 0, 2);
    uint32_t pseudo = protocol == IPPROTO_ICMP ? 0 : ip_pseudo_sum(&from, &to, protocol, len);
    uint16_t sum = (uint16_t)~checksum_add(message, len, checksum_fold(pseudo));
    sum = sum ? sum : 0xffff;
    memcpy(message + field, &sum, 2);
}

/* Ethernet and IP before `len` bytes of a message. The length of all. fragment: IPv4's field. */
static uint32_t put_heads(uint8_t *f, bool v6, uint8_t protocol, uint32_t len, uint8_t tos,
                          uint16_t fragment)
{
    struct net_addr from = peer_address(v6), to = our_address(v6);
    uint8_t *h = f + 14;
    memcpy(f, stack_our_ether, 6);
    memcpy(f + 6, stack_peer_ether, 6);
    put_be16(f + 12, v6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
    if (v6) {
        put_be32(h, 6u << 28 | (uint32_t)tos << 20);
        put_be16(h + 4, (uint16_t)len);
        h[6] = protocol;
        h[7] = 255;
        memcpy(h + 8, &from, 16);
        memcpy(h + 24, &to, 16);
        return 54 + len;
    }
    memset(h, 0, 20);
    h[0] = 0x45;
    h[1] = tos;
    put_be16(h + 2, (uint16_t)(20 + len));
    put_be16(h + 4, 0x4242);
    put_be16(h + 6, fragment);
    h[8] = 255;
    h[9] = protocol;
    memcpy(h + 12, from.bytes + 12, 4);
    memcpy(h + 16, to.bytes + 12, 4);
    uint16_t sum = (uint16_t)~checksum_add(h, 20, 0);
    memcpy(h + 10, &sum, 2);
    return 34 + len;
}

static uint32_t near(struct fuzz_input *in, const uint32_t *bases, unsigned count)
{
    uint8_t choice = fuzz_u8(in);
    int8_t off = choice & 0x40 ? (int8_t)fuzz_u8(in) : 0;
    if ((choice & 0x3f) % (count + 1) == count)
        return fuzz_u32(in);
    return bases[(choice & 0x3f) % (count + 1)] +
           (choice & 0x80 ? (uint32_t)(off * 733) : (uint32_t)off);
}

/* TCP's options into `at`; their length, a multiple of four. */
static uint32_t put_options(struct fuzz_input *in, const struct peer *p, uint8_t *at)
{
    uint8_t which = fuzz_u8(in), *begin = at;
    if (which & 1) {
        memcpy(at, "\1\1\10\12", 4);
        put_be32(at + 4, 1000 + (uint32_t)(fake_now_ns / NS_PER_MS) + (uint32_t)(which >> 6));
        put_be32(at + 8, p->stamp);
        at += 12;
    }
    if (which & 2) {
        memcpy(at, "\2\4", 2);
        put_be16(at + 2, fuzz_u16(in));
        at += 4;
    }
    if (which & 4) {
        memcpy(at, "\1\3\3", 3);
        at[3] = fuzz_u8(in) % 16;
        at += 4;
    }
    if (which & 8) {
        memcpy(at, "\1\1\4\2", 4);
        at += 4;
    }
    if (which & 16) {
        memcpy(at, "\1\1\5\12", 4);
        uint32_t from = p->iss + 1 + fuzz_u8(in) * 365u;
        put_be32(at + 4, from);
        put_be32(at + 8, from + fuzz_u8(in) * 365u);
        at += 12;
    }
    if (which & 32) { /* any */
        for (unsigned i = 0; i < 4; i++)
            *at++ = fuzz_u8(in);
    }
    return (uint32_t)(at - begin);
}

/* A segment near what the connection is about. Returns the frame's length. */
static uint32_t make_segment(struct fuzz_input *in, uint8_t *f)
{
    static const uint8_t usual[] = {TCP_ACK,           TCP_ACK | TCP_PSH,
                                    TCP_ACK,           TCP_SYN,
                                    TCP_ACK | TCP_FIN, TCP_SYN | TCP_ACK,
                                    TCP_RST,           TCP_RST | TCP_ACK,
                                    TCP_ACK | TCP_URG, TCP_ACK | TCP_ECE,
                                    TCP_ACK | TCP_CWR, TCP_SYN | TCP_ECE | TCP_CWR,
                                    TCP_FIN,           0};
    static const uint16_t lengths[] = {0, 0, 1, 10, 100, 536, 1000, 1400};
    uint8_t who = fuzz_u8(in), flags = fuzz_u8(in);
    struct peer *p = &wire.peers[who % PEERS];
    if (!p->used || who & 0x80) /* a stranger to the listeners */
        p = peer_of(who & 0x40, who & 0x20 ? 81 : 80, 1000 + who % 4);
    bool v6 = p->v6;
    uint8_t *h = f + (v6 ? 54 : 34);
    const uint32_t from[] = {p->ack, p->ack + p->window, p->ack - 1};
    const uint32_t to[] = {p->end, p->iss + 1, p->end - 1};
    flags = flags & 0x80 ? flags & 0x7f : usual[flags % ARRAY_COUNT(usual)];
    uint32_t seq = near(in, from, ARRAY_COUNT(from)), ack = near(in, to, ARRAY_COUNT(to));
    uint16_t window = fuzz_u16(in);
    uint8_t size = fuzz_u8(in);
    uint32_t len = lengths[size % ARRAY_COUNT(lengths)];
    uint32_t options = put_options(in, p, h + 20), head = 20 + options;
    put_be16(h, p->theirs);
    put_be16(h + 2, p->ours);
    put_be32(h + 4, seq);
    put_be32(h + 8, ack);
    h[12] = (uint8_t)(head / 4 << 4);
    h[13] = flags;
    put_be16(h + 14, window);
    put_be16(h + 18, flags & TCP_URG ? size : 0);
    for (uint32_t i = 0; i < len; i++)
        h[head + i] = theirs(seq + !!(flags & TCP_SYN) + i);
    put_sum(h, head + len, 16, v6, IPPROTO_TCP);
    FUZZ_TRACE("segment %u>%u flags %02x seq %u len %u ack %u win %u\n", p->theirs, p->ours, flags,
               seq, len, ack, window);
    return put_heads(f, v6, IPPROTO_TCP, head + len, size & 0x80 ? 3 : 0, 0);
}

static uint32_t make_datagram(struct fuzz_input *in, uint8_t *f, uint16_t our_port)
{
    uint8_t how = fuzz_u8(in);
    uint16_t port = 1000 + (how & 3);
    uint32_t len = how & 0x40 ? fuzz_u16(in) % 1400u : fuzz_u8(in);
    bool v6 = how & 0x80;
    uint8_t *h = f + (v6 ? 54 : 34);
    put_be16(h, port);
    put_be16(h + 2, our_port);
    put_be16(h + 4, (uint16_t)(8 + len));
    for (uint32_t i = 0; i < len; i++)
        h[8 + i] = datagram_byte(port, len, i);
    put_sum(h, 8 + len, 6, v6, IPPROTO_UDP);
    FUZZ_TRACE("datagram %u>%u len %u\n", port, our_port, len);
    return put_heads(f, v6, IPPROTO_UDP, 8 + len, how >> 2 & 3, 0);
}

/* An error about one of the kernel's last frames, or an echo. */
static uint32_t make_icmp(struct fuzz_input *in, uint8_t *f)
{
    uint8_t how = fuzz_u8(in), type = fuzz_u8(in), code = fuzz_u8(in);
    bool v6 = how & 0x80;
    uint8_t *h = f + (v6 ? 54 : 34);
    uint32_t len = 8, quoted = 0;
    h[0] = type;
    h[1] = code;
    put_be32(h + 4, fuzz_u16(in));
    if (wire.kept[how % KEPT].len > 14 && how & 0x10) {
        quoted = MIN(wire.kept[how % KEPT].len - 14, how & 0x20 ? 548u : 28u);
        memcpy(h + 8, wire.kept[how % KEPT].bytes + 14, quoted);
    }
    put_sum(h, len + quoted, 2, v6, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    FUZZ_TRACE("icmp %u %u about %u bytes\n", type, code, quoted);
    return put_heads(f, v6, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, len + quoted, 0, 0);
}

#endif
