/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_cookie.c - SYN cookies (RFC 4987, 3.6): an initial sequence number that holds what an embryo
 * would, so that a flood of SYNs needs no memory.
 *
 *     31..27 minute mod 32   26..24 which MSS   23..0 secret hash of both and the connection
 *
 * The other options go into the low bits of the timestamp, if the peer sends one:
 *
 *     5 ECN   4 SACK   3..0 window scale, 15: none
 */
#include "net/tcp_impl.h"

static const uint16_t cookie_mss[8] = {536, 800, 1024, 1220, 1300, 1400, 1440, 1460};

static uint32_t cookie(const struct tcp_stack *stack, const struct flow_key *key, uint32_t irs,
                       uint32_t minute, unsigned mss)
{
    struct {
        struct flow_key key;
        uint32_t irs, what; /* what: no other use of the hash has such a value here */
    } name = {*key, irs, 0xc0000000u | minute << 3 | mss};
    return (minute % 32) << 27 | mss << 24 | ((uint32_t)stack->mac(&name, sizeof name) & 0xffffff);
}

static uint32_t minute_of(uint64_t now_ns)
{
    return (uint32_t)(now_ns / (60 * NS_PER_SEC)) & 0x1fffffff;
}

uint32_t tcp_cookie_make(const struct tcp_stack *stack, const struct flow_key *key,
                         const struct tcp_segment *syn, uint64_t now_ns)
{
    uint16_t mss = syn->opt.has_mss ? syn->opt.mss : (uint16_t)TCP_MSS_DEFAULT;
    unsigned index = 0;
    while (index < 7 && cookie_mss[index + 1] <= mss)
        index++;
    return cookie(stack, key, syn->seq, minute_of(now_ns), index);
}

bool tcp_cookie_check(const struct tcp_stack *stack, const struct flow_key *key, uint32_t irs,
                      uint32_t value, uint64_t now_ns, uint16_t *mss)
{
    /* Of this minute or the one before: two round trips at least. */
    for (uint32_t age = 0; age < 2; age++) {
        uint32_t minute = minute_of(now_ns) - age;
        unsigned index = value >> 24 & 7;
        if (value != cookie(stack, key, irs, minute, index))
            continue;
        *mss = cookie_mss[index];
        return true;
    }
    return false;
}

/* The value of our timestamp of now that says these options; not later than now. */
uint32_t tcp_cookie_time(uint32_t now, bool wscale_ok, uint8_t wscale, bool sack_ok, bool ecn_ok)
{
    uint32_t bits = (wscale_ok ? wscale : 15u) | (sack_ok ? 0x10u : 0) | (ecn_ok ? 0x20u : 0);
    uint32_t time = (now & ~0x3fu) | bits;
    return seq_after(time, now) ? time - 0x40 : time;
}
