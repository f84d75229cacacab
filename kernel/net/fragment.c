/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fragment.c - received fragments: the headers around reass.c, its lock and its clock.
 *
 * The whole is made in the first fragment's packet, whose headers lie in front of its payload: IPv4
 * gets its length and no fragment fields, IPv6 loses its fragment header. It then goes through the
 * classifier as if it had come so.
 */
#include "net/fragment.h"

#include "core/random.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "net/ipimpl.h"
#include "net/mib.h"
#include "net/reass.h"
#include "sched/timer.h"

#define FRAGMENT_HEADER 8u
enum { NEXT_FRAGMENT = 44 };

static struct spinlock lock = SPINLOCK_INIT(RANK_REASS);
static struct reass reass;
static struct timer timer;
static struct work expire;

static void timer_fired(struct timer *t)
{
    (void)t;
    work_queue(&expire);
}

static void expire_run(struct work *work)
{
    struct pkt *expired = NULL, *dropped = NULL;
    unsigned timeouts;
    (void)work;
    spin_lock(&lock);
    uint64_t next = reass_expire(&reass, clock_mono_ns(), &expired, &timeouts, &dropped);
    if (next != UINT64_MAX)
        timer_arm(&timer, next);
    spin_unlock(&lock);
    if (timeouts)
        mib_add(MIB_Ip_ReasmTimeout, timeouts);
    for (struct pkt *pkt = expired; pkt; pkt = pkt->next) {
        /* RFC 792, RFC 4443, 3.3: fragment reassembly time exceeded. */
        (void)pkt_push(pkt, pkt_headroom(pkt) - pkt->network);
        if (pkt->data[0] >> 4 == 4)
            icmp4_error(pkt, ICMP4_TIME_EXCEEDED, 1, 0);
        else
            icmp6_error(pkt, ICMP6_TIME_EXCEEDED, 1, 0);
    }
    pkt_free_list(expired);
    pkt_free_list(dropped);
}

int fragment_init(void)
{
    uint64_t secret[2];
    random_bytes(secret, sizeof(secret));
    reass_init(&reass, secret);
    timer_setup(&timer, timer_fired);
    work_init(&expire, expire_run);
    return 0;
}

/* Headers of the whole, in front of all payloads. NULL: they do not fit together any more. */
static struct pkt *finish4(struct pkt *pkt, uint32_t header_len)
{
    uint8_t *h = pkt_push(pkt, header_len);
    put_be16(h + 2, (uint16_t)pkt->total);
    put_be16(h + 6, 0);
    h[10] = h[11] = 0;
    uint16_t sum = (uint16_t)~checksum_add(h, header_len, 0);
    memcpy(h + 10, &sum, sizeof(sum));
    return pkt;
}

/* Where the byte is that says which header comes at `at`. */
static uint32_t next_field(const uint8_t *h, uint32_t at)
{
    uint32_t field = 6;
    for (uint32_t i = IP6_HEADER_LEN; i < at; i += (h[i + 1] + 1u) * 8)
        field = i;
    return field;
}

static struct pkt *finish6(struct pkt *pkt, uint32_t before, uint8_t protocol)
{
    /* What is before the fragment header moves up to the payload; so do the link header's bytes. */
    uint32_t link = pkt->network - pkt->link;
    uint8_t *h = pkt_push(pkt, before + FRAGMENT_HEADER);
    memmove(h + FRAGMENT_HEADER - link, h - link, link + before);
    pkt_skip(pkt, FRAGMENT_HEADER);
    h += FRAGMENT_HEADER;
    pkt->link = (uint16_t)(pkt->link + FRAGMENT_HEADER);
    pkt->network = (uint16_t)(pkt->network + FRAGMENT_HEADER);
    h[next_field(h, before)] = protocol;
    put_be16(h + 4, (uint16_t)(pkt->total - IP6_HEADER_LEN));
    return pkt;
}

static void count(enum reass_result result, bool v4)
{
    if (result == REASS_DONE)
        mib_count(v4 ? MIB_Ip_ReasmOKs : MIB_Ip6_ReasmOKs);
    else if (result != REASS_WAIT && result != REASS_REPEAT)
        mib_count(v4 ? MIB_Ip_ReasmFails : MIB_Ip6_ReasmFails);
    if (result == REASS_OVERLAP)
        mib_count(MIB_IpExt_ReasmOverlaps);
    if (result == REASS_FULL)
        mib_count(MIB_IpExt_ReasmLimit);
}

struct pkt *fragment_input(struct pkt *pkt, const struct classified *about)
{
    const uint8_t *h = pkt->data;
    bool v4 = net_addr_is_v4(&about->key.local), more;
    uint32_t at = about->transport - about->network, offset;
    struct reass_key key = {.source = about->key.remote, .dest = about->key.local};
    struct pkt *whole = NULL, *dropped = NULL;
    mib_count(v4 ? MIB_Ip_ReasmReqds : MIB_Ip6_ReasmReqds);
    if (v4) {
        key.id = get_be16(h + 4);
        key.protocol = about->key.protocol | 4u << 8;
        offset = (get_be16(h + 6) & IP4_OFFSET) * 8u;
        more = get_be16(h + 6) & IP4_FLAG_MF;
    } else {
        key.id = get_be32(h + at + 4);
        key.protocol = 6u << 8; /* RFC 8200, 4.5: the next header may differ */
        offset = get_be16(h + at + 2) & 0xfff8u;
        more = get_be16(h + at + 2) & 1;
    }
    pkt_skip(pkt, v4 ? at : at + FRAGMENT_HEADER);
    /* The classifier has to find in the whole what it found in the fragment: so nobody vouches for
     * the sum any more. */
    if (pkt->checksum != PKT_CHECKSUM_GOOD || pkt->dev != &loopback)
        pkt->checksum = PKT_CHECKSUM_NONE;
    spin_lock(&lock);
    uint64_t now = clock_mono_ns();
    enum reass_result result =
        reass_add(&reass, &key, pkt, offset, more, v4 ? at : at - 40, now, &whole, &dropped);
    if (!timer_armed(&timer) && reass.count)
        timer_arm(&timer, now + REASS_TIME_NS);
    spin_unlock(&lock);
    count(result, v4);
    pkt_free_list(dropped);
    if (result != REASS_DONE)
        return NULL;
    at = whole->transport - whole->network;
    if (v4)
        whole = finish4(whole, at);
    else
        whole = finish6(whole, at, whole->room[whole->transport]);
    (void)pkt_push(whole, whole->network - whole->link);
    return whole;
}
