/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_tw.c - TIME-WAIT (RFC 9293, 3.6.1; RFC 1337): what is left of a connection whose end this
 * side began. It answers repeated FINs and keeps old duplicates out of the next connection, which
 * may begin at once if its SYN is clearly newer (RFC 6191).
 */
#include "net/tcp_impl.h"

void tcp_tw_init(struct tcp_tw *tw, struct tcp *tp)
{
    uint64_t now = tp->stack->clock();
    *tw = (struct tcp_tw){
        .deadline_ns = now + TCP_TIME_WAIT_NS,
        .time_recent_ns = tp->time_recent_ns,
        .nxt = tp->nxt,
        .rcv_nxt = tp->rcv_nxt,
        .rcv_window = tcp_receive_window(tp),
        .time_recent = tp->time_recent,
        .time_offset = tp->time_offset,
        .wscale = tp->wscale_receive,
        .time_ok = tp->time_ok,
    };
}

static enum tcp_tw_verdict answer(struct tcp_tw *tw, uint64_t now, struct pkt **out)
{
    struct tcp_header header = {.seq = tw->nxt, .ack = tw->rcv_nxt, .flags = TCP_ACK};
    uint32_t window = tw->rcv_window >> tw->wscale;
    header.window = (uint16_t)MIN(window, 65535u);
    header.opt.has_time = tw->time_ok;
    header.opt.time = tcp_ms(now) + tw->time_offset;
    header.opt.echo = tw->time_recent;
    tw->answer_ns = now;
    *out = tcp_make(&header);
    return *out ? TCP_TW_ANSWER : TCP_TW_DROP;
}

/* RFC 6191, 2: newer by its timestamp, or, where that does not say, by its sequence number. */
static bool may_reopen(const struct tcp_tw *tw, const struct tcp_segment *segment)
{
    if ((segment->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
        return false;
    if (tw->time_ok && segment->opt.has_time && segment->opt.time != tw->time_recent)
        return seq_after(segment->opt.time, tw->time_recent);
    return seq_after(segment->seq, tw->rcv_nxt);
}

enum tcp_tw_verdict tcp_tw_input(struct tcp_tw *tw, const struct tcp_stack *stack,
                                 struct tcp_segment *segment, struct pkt **out)
{
    uint64_t now = stack->clock();
    bool limited = tw->answer_ns && now - tw->answer_ns < TCP_CHALLENGE_NS;
    *out = NULL;
    if (may_reopen(tw, segment)) {
        /* Beyond what the old connection may have in flight still (RFC 9293, 3.4.3). */
        segment->iss = tw->nxt + 65535 + 2;
        segment->iss_given = true;
        return TCP_TW_REOPEN;
    }
    bool old =
        tw->time_ok && segment->opt.has_time && seq_before(segment->opt.time, tw->time_recent);
    if (segment->flags & TCP_RST)
        return !old && segment->seq == tw->rcv_nxt ? TCP_TW_DONE : TCP_TW_DROP;
    if (segment->flags & TCP_SYN)
        return limited ? TCP_TW_DROP : answer(tw, now, out);
    if (old || !(segment->flags & TCP_ACK))
        return old && !limited ? answer(tw, now, out) : TCP_TW_DROP;
    if (segment->flags & TCP_FIN) {
        /* Its FIN again: our acknowledgement was lost. The time begins anew (3.10.7.4). */
        if (segment->end == tw->rcv_nxt)
            tw->deadline_ns = now + TCP_TIME_WAIT_NS;
        return answer(tw, now, out);
    }
    if (segment->len || segment->seq != tw->rcv_nxt || segment->ack != tw->nxt)
        return limited ? TCP_TW_DROP : answer(tw, now, out);
    return TCP_TW_DROP;
}

bool tcp_tw_reusable(const struct tcp_tw *tw, uint64_t now_ns)
{
    /* Our own timestamps have moved on by a second, so nothing old passes PAWS over there. */
    return tw->time_ok && now_ns + TCP_TIME_WAIT_NS > tw->deadline_ns + NS_PER_SEC;
}
