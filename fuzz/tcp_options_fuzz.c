/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/lib/checksum.c kernel/net/tcp_options.c */
/* covers: kernel/net/tcp_options.c */
/* lines: 95 */
/* length: 96 */
/* runs: 20000 */
/*
 * tcp_options_fuzz.c - a TCP header: parsed, its promises checked, written again from what was
 * understood, and parsed to the same.
 */
#include <string.h>

#include "machine.h"
#include "net/tcp_impl.h"

static void promises(const struct tcp_segment *seg, size_t size)
{
    FUZZ_CHECK(seg->header >= TCP_HEADER && seg->header <= TCP_HEADER_MAX && seg->header <= size);
    FUZZ_CHECK(seg->len == size - seg->header);
    FUZZ_CHECK(seg->end - seg->seq ==
               seg->len + !!(seg->flags & TCP_SYN) + !!(seg->flags & TCP_FIN));
    FUZZ_CHECK(seg->opt.sack_count <= TCP_SACK_MAX && seg->opt.cookie_len <= TCP_COOKIE_MAX);
    FUZZ_CHECK(seg->opt.wscale <= TCP_WSCALE_MAX);
    FUZZ_CHECK(!seg->ce && !seg->iss_given);
}

/* SACK blocks are not written into a SYN, so they are not compared there. */
static void again(const struct tcp_segment *seg)
{
    struct tcp_segment other = {0};
    struct tcp_header header = {.seq = seg->seq,
                                .ack = seg->ack,
                                .window = seg->window,
                                .urgent = seg->urgent,
                                .flags = seg->flags,
                                .opt = seg->opt};
    if (seg->flags & TCP_SYN)
        header.opt.sack_count = 0;
    if (tcp_options_size(&header.opt, (seg->flags & TCP_SYN) != 0) > TCP_HEADER_MAX - TCP_HEADER)
        return; /* others pack them closer than we do */
    struct pkt *pkt = tcp_make(&header);
    FUZZ_CHECK(pkt);
    FUZZ_CHECK(tcp_parse(pkt->data, pkt->len, pkt->total, &other) == 0);
    FUZZ_CHECK(other.seq == seg->seq && other.flags == seg->flags && other.window == seg->window);
    FUZZ_CHECK(other.ack == (seg->flags & TCP_ACK ? seg->ack : 0) && other.urgent == seg->urgent);
    for (unsigned i = header.opt.sack_count; i < TCP_SACK_MAX; i++)
        other.opt.sack[i] = header.opt.sack[i];
    FUZZ_CHECK(other.opt.sack_count == header.opt.sack_count);
    FUZZ_CHECK(memcmp(&other.opt, &header.opt, sizeof other.opt) == 0);
    pkt_free(pkt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* What its counts do not cover is left as it was. */
    struct tcp_segment seg = {0}, twice = {0};
    machine_packets_start();
    if (tcp_parse(data, (uint32_t)size, (uint32_t)size, &seg) != 0)
        return 0;
    promises(&seg, size);
    /* It depends on the header only, and says the same where payload is elsewhere. */
    FUZZ_CHECK(tcp_parse(data, seg.header, (uint32_t)size, &twice) == 0);
    FUZZ_CHECK(memcmp(&seg, &twice, sizeof seg) == 0);
    FUZZ_CHECK(tcp_parse(data, seg.header - 1u, (uint32_t)size, &twice) != 0);
    again(&seg);
    return 0;
}
