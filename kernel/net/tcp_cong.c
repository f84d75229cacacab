/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_cong.c - the congestion window: CUBIC (RFC 9438) or NewReno (RFC 5681), slow start with
 * HyStart++ (RFC 9406), the initial window (RFC 6928), after idle time (RFC 5681, 4.1).
 *
 * Everything is in bytes, ms and us, without fractions: beta is 7/10, C is 4/10 segments a second
 * cubed. The window grows only where it was the limit (RFC 9438, 4.2; RFC 2861).
 */
#include "net/tcp_impl.h"

#define HYSTART_SAMPLES 8u /* RFC 9406, 4.3 */
#define HYSTART_DELAY_MIN_US 4000u
#define HYSTART_DELAY_MAX_US 16000u
#define HYSTART_CSS_ROUNDS 5u
#define HYSTART_CSS_DIVISOR 4u

void tcp_cong_init(struct tcp *tp)
{
    tp->cong = (struct tcp_cong){
        .threshold = TCP_WINDOW_MAX,
        .window = 10 * TCP_MSS_DEFAULT,
        .reno = tp->stack->reno,
        .round_min_us = UINT32_MAX,
        .last_min_us = UINT32_MAX,
    };
}

/* RFC 6928, 2; one segment after a lost SYN (RFC 5681, 3.1). */
static uint32_t initial_window(const struct tcp *tp)
{
    return MIN(10 * tp->mss, MAX(2 * tp->mss, 14600u));
}

void tcp_cong_start(struct tcp *tp)
{
    tp->cong.window = tp->syn_tries > 1 ? tp->mss : initial_window(tp);
    tp->cong.round_end = tp->nxt;
}

/* ---- slow start: HyStart++ ---- */

static void end_round(struct tcp *tp)
{
    struct tcp_cong *c = &tp->cong;
    c->round_end = tp->nxt;
    c->last_min_us = c->round_min_us;
    c->round_min_us = UINT32_MAX;
    c->round_samples = 0;
    if (c->css && ++c->css_rounds >= HYSTART_CSS_ROUNDS) {
        c->threshold = c->window;
        c->css = false;
    }
}

static void hystart(struct tcp *tp, uint32_t rtt_us)
{
    struct tcp_cong *c = &tp->cong;
    if (!seq_before(tp->una, c->round_end))
        end_round(tp);
    if (rtt_us == 0)
        return;
    c->round_min_us = MIN(c->round_min_us, rtt_us);
    if (c->round_samples < 255)
        c->round_samples++;
    if (c->round_samples < HYSTART_SAMPLES || c->last_min_us == UINT32_MAX)
        return;
    uint32_t delay = MIN(MAX(c->last_min_us / 8, HYSTART_DELAY_MIN_US), HYSTART_DELAY_MAX_US);
    if (c->css) {
        if (c->round_min_us < c->css_base_us)
            c->css = false; /* it was a flicker */
    } else if (c->round_min_us >= c->last_min_us + delay) {
        c->css_base_us = c->round_min_us;
        c->css = true;
        c->css_rounds = 0;
    }
}

/* ---- congestion avoidance ---- */

/* floor(cube root), bit by bit. */
static uint32_t cube_root(uint64_t value)
{
    uint64_t root = 0;
    for (int bit = 20; bit >= 0; bit--) {
        uint64_t next = root | 1ull << bit;
        if (next * next * next <= value)
            root = next;
    }
    return (uint32_t)root;
}

/* W_cubic(t) (RFC 9438, 4.2): C * (t - K)^3 + W_max. */
static uint32_t w_cubic(const struct tcp *tp, uint64_t t_ms)
{
    const struct tcp_cong *c = &tp->cong;
    uint64_t off = t_ms > c->k_ms ? t_ms - c->k_ms : c->k_ms - t_ms;
    off = MIN(off, (uint64_t)100000); /* 10^15 * 4 fits; the window has long been at its limit */
    uint64_t bytes = 4 * off * off * off / 1000000 * tp->mss / 10000;
    if (t_ms < c->k_ms)
        return c->w_max > bytes ? c->w_max - (uint32_t)bytes : 0;
    return (uint32_t)MIN(c->w_max + bytes, (uint64_t)TCP_WINDOW_MAX);
}

static void cubic_epoch(struct tcp *tp)
{
    struct tcp_cong *c = &tp->cong;
    c->epoch_ns = tp->now_ns;
    c->w_reno = c->window;
    c->acked = 0;
    if (c->window < c->w_max) { /* 4.2: K = cbrt((W_max - cwnd_epoch) / C), in ms */
        uint64_t gap = (uint64_t)(c->w_max - c->window) * 2500000000ull / tp->mss;
        c->k_ms = cube_root(gap);
    } else {
        c->k_ms = 0;
        c->w_max = c->window;
    }
}

static void cubic_grow(struct tcp *tp, uint32_t acked)
{
    struct tcp_cong *c = &tp->cong;
    if (c->epoch_ns == 0)
        cubic_epoch(tp);
    uint64_t t_ms = (tp->now_ns - c->epoch_ns) / NS_PER_MS;
    uint32_t rtt_ms = (tp->srtt >> 3) / 1000;
    /* 4.3: a Reno flow's window: alpha = 3 * 0.3 / 1.7 until it is where the last reduction was. */
    uint32_t window = MAX(c->window, 1u);
    uint64_t reno = (uint64_t)tp->mss * acked / window;
    c->w_reno += (uint32_t)(c->w_reno < c->prior_window ? reno * 9 / 17 : reno);
    uint32_t target = w_cubic(tp, t_ms + rtt_ms);
    target = MIN(MAX(target, c->window), c->window + c->window / 2); /* 4.4, 4.5 */
    if (w_cubic(tp, t_ms) < c->w_reno) {
        c->window = MAX(c->window, c->w_reno);
        return;
    }
    /* (target - cwnd) / cwnd for each acknowledged segment; what is less than a byte is saved. */
    uint64_t add = (uint64_t)(target - c->window) * acked + c->acked;
    c->acked = (uint32_t)(add % window);
    c->window += (uint32_t)(add / window);
}

static void reno_grow(struct tcp *tp, uint32_t acked)
{
    struct tcp_cong *c = &tp->cong;
    c->acked += acked; /* RFC 5681, 3.1 with byte counting (RFC 3465) */
    if (c->acked >= c->window) {
        c->acked -= c->window;
        c->window += tp->mss;
    }
}

void tcp_cong_grow(struct tcp *tp, const struct tcp_ack_info *info)
{
    struct tcp_cong *c = &tp->cong;
    uint32_t acked = info->acked, limit = TCP_WINDOW_MAX;
    bool slow = c->window < c->threshold;
    if (slow)
        hystart(tp, info->rtt_us);
    /* Was the window what limited us? In slow start half of it suffices. */
    uint64_t flight = slow ? 2 * (uint64_t)info->flight : info->flight + 3 * (uint64_t)tp->mss;
    if (acked == 0 || flight < c->window)
        return;
    if (slow) {
        uint32_t add = c->css ? acked / HYSTART_CSS_DIVISOR : acked;
        add = MIN(add, c->threshold - c->window);
        c->window += add;
    } else if (c->reno) {
        reno_grow(tp, acked);
    } else {
        cubic_grow(tp, acked);
    }
    c->window = MIN(c->window, limit);
}

/* ---- reductions ---- */

uint32_t tcp_cong_reduced(struct tcp *tp)
{
    struct tcp_cong *c = &tp->cong;
    /* Not of what is in flight: the window grows only where it is the limit, so it is no more than
     * the path has carried (RFC 9438, 4.6, allows that). */
    uint32_t now = MAX(c->window, 2 * tp->mss);
    if (tp->recovery == TCP_CA_OPEN || tp->recovery == TCP_CA_REDUCED) {
        c->prior_window = c->window;
        c->prior_threshold = c->threshold;
        c->w_last = c->w_max;
    }
    c->epoch_ns = 0;
    c->acked = 0;
    c->css = false;
    if (c->reno)
        return MAX(now / 2, 2 * tp->mss);
    /* RFC 9438, 4.7: give way to new flows. */
    c->w_max = now < c->w_max ? (uint32_t)((uint64_t)now * 17 / 20) : now;
    return MAX((uint32_t)((uint64_t)now * 7 / 10), 2 * tp->mss);
}

void tcp_cong_timeout(struct tcp *tp)
{
    tp->cong.window = tcp_pipe(tp) + tp->mss; /* one segment */
    tp->cong.round_end = tp->nxt;
    tp->cong.last_min_us = tp->cong.round_min_us = UINT32_MAX;
}

void tcp_cong_undo(struct tcp *tp)
{
    struct tcp_cong *c = &tp->cong;
    c->window = MAX(c->window, c->prior_window);
    c->threshold = MAX(c->threshold, c->prior_threshold);
    c->w_max = c->w_last;
    c->epoch_ns = 0;
}

/* Nothing has been sent for a while: what the window was says little now (RFC 5681, 4.1), half for
 * each timeout that has passed (RFC 2861); nor has CUBIC's time gone on (RFC 9438, 5.8). */
void tcp_cong_idle(struct tcp *tp)
{
    struct tcp_cong *c = &tp->cong;
    uint64_t idle_us = tp->now_ns > tp->data_ns ? (tp->now_ns - tp->data_ns) / NS_PER_US : 0;
    if (tp->data_ns == 0 || idle_us < tp->rto_us)
        return;
    c->threshold = MAX(c->threshold, c->window / 4 * 3);
    uint32_t restart = MIN(initial_window(tp), c->window);
    for (uint64_t t = tp->rto_us; t <= idle_us && c->window > restart; t += tp->rto_us)
        c->window /= 2;
    c->window = MAX(c->window, restart);
    c->epoch_ns = 0;
    c->acked = 0;
}
