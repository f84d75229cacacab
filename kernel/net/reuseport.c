/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reuseport.c - which socket of a group (SO_REUSEPORT) gets a packet, if a program says so
 * (SO_ATTACH_REUSEPORT_CBPF, socket(7)).
 *
 * The group are the flows that fit a packet equally well (flow.c), numbered in the order in which
 * they came. The program sees the payload, and its result is a number; one that no member has
 * leaves the choice to the hash. A program is its socket's (bpf_socket.c), and the group has the
 * one that was attached last: with the socket it goes.
 */
#include "lib/bytes.h"
#include "net/bpf.h"
#include "net/inet.h"

#define GROUP_MAX 64u /* numbers above are not chosen by programs */
#define UDP_HEADER 8u

/* Where the payload begins in the frame; its end if it does not say. */
static uint32_t payload_of(const struct pkt *pkt, const struct classified *about)
{
    uint8_t words = 0;
    if (about->key.protocol == IPPROTO_UDP)
        return MIN(about->transport + UDP_HEADER, about->end);
    if (about->transport + 13u <= about->end)
        pkt_read(pkt, about->transport + 12, &words, 1);
    return MIN(about->transport + (words >> 4) * 4u, about->end);
}

static const struct bpf_program *newest(struct flow *const *group, unsigned count)
{
    const struct bpf_program *best = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (group[i]->kind != FLOW_SOCKET)
            continue;
        const struct socket_rare *rare = socket_rare(&inet_of_flow(group[i])->base);
        /* Acquire: the program is whole. */
        const struct bpf_program *program =
            rare ? __atomic_load_n(&rare->steering, __ATOMIC_ACQUIRE) : NULL;
        if (program && (!best || (int32_t)(program->stamp - best->stamp) > 0))
            best = program;
    }
    return best;
}

static struct flow *choose(struct flow *flow, const struct pkt *pkt, const struct classified *about)
{
    struct flow *group[GROUP_MAX];
    if (!__atomic_load_n(&bpf_steers, __ATOMIC_RELAXED))
        return flow;
    unsigned count = flow_group(flow, &about->key, pkt->dev->index, group, GROUP_MAX);
    const struct bpf_program *program = newest(group, count);
    if (!program)
        return flow;
    const struct bpf_view view = {
        .pkt = pkt,
        .len = about->end,
        .begin = payload_of(pkt, about),
        .network = about->network,
        .device = pkt->dev->index,
        .hash = pkt->hash,
        .protocol = about->ethertype,
        .hardware = pkt->dev->type,
    };
    uint32_t n = bpf_run(program, &view);
    return n < count ? group[n] : flow;
}

void reuseport_init(void)
{
    ip_choose = choose;
}
