/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_info.c - TCP_INFO and TCP_CONGESTION: a connection as programs may look at it. */
#include "net/tcp_impl.h"

/* tcpi_options */
enum { INFO_TIME = 1, INFO_SACK = 2, INFO_WSCALE = 4, INFO_ECN = 8 };

static uint32_t segments(const struct tcp *tp, uint32_t bytes)
{
    return (bytes + tp->mss - 1) / tp->mss;
}
static uint32_t ms_since(const struct tcp *tp, uint64_t then)
{
    return then ? tcp_ms(tp->now_ns - MIN(then, tp->now_ns)) : 0;
}

void tcp_get_info(struct tcp *tp, struct tcp_info *out)
{
    tcp_enter(tp);
    *out = (struct tcp_info){
        .state = tp->state,
        .ca_state = tp->recovery,
        .retransmits = tp->retries,
        .probes = tp->probes,
        .backoff = tp->backoff,
        .options = (uint8_t)((tp->time_ok ? INFO_TIME : 0) | (tp->sack_ok ? INFO_SACK : 0) |
                             (tp->wscale_ok ? INFO_WSCALE : 0) | (tp->ecn_ok ? INFO_ECN : 0)),
        .wscale = (uint8_t)(tp->wscale_send | tp->wscale_receive << 4),
        .rto = tcp_rto_us(tp),
        .ato = (uint32_t)(TCP_DELAYED_ACK_NS / NS_PER_US) << tp->ack_doublings,
        .snd_mss = tp->mss,
        .rcv_mss = tp->rcv_mss,
        .unacked = segments(tp, tcp_outstanding(tp)),
        .sacked = segments(tp, tp->sacked),
        .lost = segments(tp, tp->lost),
        .retrans = segments(tp, tp->resent),
        .last_data_sent = ms_since(tp, tp->data_ns),
        .last_data_recv = ms_since(tp, tp->heard_ns),
        .last_ack_recv = ms_since(tp, tp->heard_ns),
        .pmtu = tp->mss_path + 40,
        .rcv_ssthresh = tp->rcv_limit,
        .rtt = tp->srtt >> 3,
        .rttvar = tp->rttvar >> 2,
        .snd_ssthresh =
            tp->cong.threshold == TCP_WINDOW_MAX ? 0x7fffffff : segments(tp, tp->cong.threshold),
        .snd_cwnd = segments(tp, tp->cong.window),
        .advmss = tp->mss_path,
        .reordering = TCP_DUP_THRESHOLD,
        .rcv_rtt = tp->tune_rtt_us,
        .rcv_space = tp->tune_space,
        .total_retrans = tp->resent_total,
        .pacing_rate = UINT64_MAX,
        .max_pacing_rate = UINT64_MAX,
        .bytes_acked = tp->bytes_acked,
        .bytes_received = tp->bytes_received,
        .segs_out = tp->segments_out,
        .segs_in = tp->segments_in,
        .notsent_bytes = tp->fin && tcp_fin_sent(tp) ? 0 : tp->written - tp->nxt,
        .min_rtt = tp->rtt_min_us == UINT32_MAX ? 0 : tp->rtt_min_us,
        .bytes_sent = tp->bytes_acked + tcp_outstanding(tp) + tp->bytes_resent,
        .data_segs_in = tp->data_in,
        .data_segs_out = tp->data_out,
        .bytes_retrans = tp->bytes_resent,
        .snd_wnd = tp->window,
        .rcv_wnd = tp->rcv_window,
    };
    /* All that went for the first time and is not on its way any more; our SYN, too, as on Linux.
     */
    out->delivered = tp->data_out - MIN(tp->data_out, tp->resent_total) + tcp_synchronized(tp);
    out->delivered -= MIN(out->delivered, out->unacked - MIN(out->unacked, out->sacked));
    if (tp->state == TCP_CLOSED || tp->state == TCP_SYN_SENT)
        out->notsent_bytes = 0;
}

const char *tcp_congestion_name(const struct tcp *tp)
{
    return tp->cong.reno ? "reno" : "cubic";
}

int tcp_set_congestion(struct tcp *tp, const char *name)
{
    if (strcmp(name, "cubic") != 0 && strcmp(name, "reno") != 0)
        return -ENOENT;
    tp->cong.reno = name[0] == 'r';
    tp->cong.epoch_ns = 0;
    tp->cong.acked = 0;
    return 0;
}
