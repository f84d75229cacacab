/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_share.c - frames to and from peers on the same switch, through shared memory: net_share.h.
 *
 * Receiving. A ring's `wake` word says how its reader hears of a record. The receive queue sets it
 * to SHARE_BELL when it has found all rings empty, then looks once more (share_arm); while it finds
 * something it leaves it as it is, for the driver gives buffers back and so has it run again. A CPU
 * that polls sets SHARE_LOOKS at the beginning, SHARE_BELL and looks once more at the end. The CPU
 * that sent last, where answers are wanted, sets SHARE_SLEEPS when it goes to sleep, and looks once
 * more. Two CPUs may do such things at a time: whoever sets SHARE_LOOKS still has the end of his
 * polling before him, or is a writer whose bell or wake has this machine look. So no record stays
 * without somebody who will look at its ring; that a word is overwritten may cost time only.
 */
#include "net_share.h"

#include "hosted.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "net_ring.h"

#define HEADER 12u /* virtio's, before the frame */
#define ETHER_ADDRESS 6u
#define ADDRESS_MASK 0xffffffffffffull
#define FUTEX_WAKE 1 /* between processes */
#define FUTEX_WAIT_U32 2u
#define FUTEX_WAIT_PRIVATE 128u

STATIC_ASSERT(SHARE_PORTS == 64); /* bits of a word */

static struct peer {
    uint32_t state, users; /* atomic */
    struct share_region *region;
    unsigned side;
    struct ring_writer out;
    struct ring_reader in;
    /* Of the send queue. */
    uint64_t full_since; /* 0: the ring had room */
    bool stuck;          /* full for so long that its frames are lost */
} cache_aligned peers[SHARE_PORTS];

/* Atomic: bit n: place n is not FREE. */
static uint64_t peers_set;
/* By a hash of the address, each 48 bits and above them port + 1; 0: none. Atomic. */
#define BUCKETS 256u
#define WAYS 4u
static uint64_t addresses[BUCKETS][WAYS];
static uint64_t untold; /* peers that share_sent has to tell; of the send queue */
static uint32_t poller; /* atomic: 1 + the CPU that polls; 0: none */

uint32_t hosted_bells_changed;
uint32_t hosted_sender_waits;
uint32_t hosted_net_cpu;

/* ---- places ---- */

static struct peer *pin(unsigned i)
{
    struct peer *p = &peers[i];

    __atomic_fetch_add(&p->users, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&p->state, __ATOMIC_SEQ_CST) != PEER_FREE)
        return p;
    __atomic_fetch_sub(&p->users, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void unpin(struct peer *p)
{
    __atomic_fetch_sub(&p->users, 1, __ATOMIC_RELEASE); /* after all that we did */
}

void hosted_peer_open(unsigned port, void *region, unsigned side)
{
    struct peer *p = &peers[port];

    p->region = region;
    p->side = side;
    p->full_since = 0;
    p->stuck = false;
    ring_open(region, side, &p->out, &p->in);
    __atomic_store_n(&p->state, PEER_LIVE, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&peers_set, 1ull << port, __ATOMIC_RELEASE);
}

void hosted_peer_gone(unsigned port)
{
    for (unsigned i = 0; i < BUCKETS * WAYS; i++) {
        uint64_t *a = &addresses[i / WAYS][i % WAYS];

        if (__atomic_load_n(a, __ATOMIC_RELAXED) >> 48 == port + 1)
            __atomic_store_n(a, 0, __ATOMIC_RELAXED);
    }
    if (__atomic_load_n(&peers[port].state, __ATOMIC_RELAXED) == PEER_LIVE)
        __atomic_store_n(&peers[port].state, PEER_GONE, __ATOMIC_SEQ_CST);
}

void *hosted_peer_close(unsigned port)
{
    struct peer *p = &peers[port];

    if (__atomic_load_n(&p->state, __ATOMIC_RELAXED) == PEER_FREE)
        return NULL;
    hosted_peer_gone(port);
    __atomic_fetch_and(&peers_set, ~(1ull << port), __ATOMIC_RELAXED);
    __atomic_store_n(&p->state, PEER_FREE, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&p->users, __ATOMIC_SEQ_CST) != 0)
        (void)host_call3(HOST_sched_yield, 0, 0, 0);
    return p->region;
}

const uint32_t *hosted_peer_bell(unsigned port)
{
    struct peer *p = &peers[port];

    if (__atomic_load_n(&p->state, __ATOMIC_RELAXED) == PEER_FREE)
        return NULL;
    return &p->region->side[p->side].bell;
}

/* ---- addresses ---- */

static uint64_t address_of(const uint8_t *mac)
{
    uint64_t value = 0;

    memcpy(&value, mac, ETHER_ADDRESS);
    return value;
}

static uint64_t *bucket_of(uint64_t mac)
{
    return addresses[(mac * 0x9e3779b97f4a7c15ull >> 56) % BUCKETS];
}

void hosted_address_forget(const uint8_t mac[6])
{
    uint64_t value = address_of(mac), *bucket = bucket_of(value);

    for (unsigned i = 0; i < WAYS; i++)
        if ((__atomic_load_n(&bucket[i], __ATOMIC_RELAXED) & ADDRESS_MASK) == value)
            __atomic_store_n(&bucket[i], 0, __ATOMIC_RELAXED);
}

void hosted_address_set(const uint8_t mac[6], unsigned port)
{
    uint64_t value = address_of(mac), *bucket = bucket_of(value);
    static unsigned next;
    unsigned way = WAYS;

    if (__atomic_load_n(&peers[port].state, __ATOMIC_RELAXED) != PEER_LIVE)
        return;
    hosted_address_forget(mac);
    for (unsigned i = 0; i < WAYS && way == WAYS; i++)
        if (__atomic_load_n(&bucket[i], __ATOMIC_RELAXED) == 0)
            way = i;
    if (way == WAYS)
        way = next++ % WAYS;
    __atomic_store_n(&bucket[way], value | (uint64_t)(port + 1) << 48, __ATOMIC_RELAXED);
}

/* The place that a frame is for; SHARE_PORTS: none. */
static unsigned place_of(const struct host_iovec *iov, unsigned count)
{
    uint64_t mac = 0, *bucket;
    uint32_t skip = HEADER, have = 0;

    for (unsigned i = 0; i < count && have < ETHER_ADDRESS; i++) {
        uint32_t len = (uint32_t)iov[i].len, cut = MIN(len, skip);
        uint32_t n = MIN(len - cut, ETHER_ADDRESS - have);

        memcpy((uint8_t *)&mac + have, (const uint8_t *)iov[i].base + cut, n);
        skip -= cut;
        have += n;
    }
    if (mac & 1) /* a group's */
        return SHARE_PORTS;
    bucket = bucket_of(mac);
    for (unsigned i = 0; i < WAYS; i++) {
        uint64_t a = __atomic_load_n(&bucket[i], __ATOMIC_RELAXED);

        if (a && (a & ADDRESS_MASK) == mac)
            return (unsigned)(a >> 48) - 1;
    }
    return SHARE_PORTS;
}

/* ---- telling the other side ---- */

static void wake(const uint32_t *word, bool shared)
{
    (void)host_call3(HOST_futex, (long)word, shared ? FUTEX_WAKE : HOST_FUTEX_WAKE_PRIVATE, 1);
}

static void ring_bell(const struct peer *p)
{
    uint32_t *bell = &p->region->side[!p->side].bell;

    /* Release: what we have published. */
    __atomic_fetch_add(bell, 1, __ATOMIC_RELEASE);
    wake(bell, true);
}

/* ---- sending ---- */

bool share_used(void)
{
    return __atomic_load_n(&peers_set, __ATOMIC_RELAXED) != 0;
}

uint64_t share_set(void)
{
    /* Acquire: what was done before it was set; pin() looks for itself. */
    return __atomic_load_n(&peers_set, __ATOMIC_ACQUIRE);
}

/* A ring that is full stops the queue for a while; one that stays full loses its frames, so that
 * the others' are not held up for ever. */
static int send_full(struct peer *p, uint32_t total)
{
    uint64_t now = hal_clock_ns();

    if (p->stuck)
        return 1;
    if (p->full_since == 0)
        p->full_since = now;
    if (now - p->full_since >= SHARE_PATIENCE_NS) {
        p->stuck = true;
        return 1;
    }
    if (ring_want_room(&p->out, total))
        return 0;
    /* Release, acquire: whoever takes the flag back sees a queue that waits. */
    if (!__atomic_exchange_n(&hosted_sender_waits, 1, __ATOMIC_ACQ_REL)) {
        __atomic_fetch_add(&hosted_bells_changed, 1, __ATOMIC_RELEASE);
        wake(&hosted_bells_changed, false);
    }
    return -EAGAIN;
}

static int send_to(struct peer *p, const struct host_iovec *iov, unsigned count, uint32_t total)
{
    for (;;) {
        int err = ring_write(&p->out, iov, count, total);

        if (err == -EIO) /* what it says is nonsense: it may have its frames by the switch */
            return 0;
        if (err == 0) {
            p->full_since = 0;
            p->stuck = false;
            return 1;
        }
        err = send_full(p, total);
        if (err)
            return err;
    }
}

int share_send(const struct host_iovec *iov, unsigned count, uint32_t total)
{
    uint32_t cpu = vcpu_self()->id;
    struct peer *p;
    unsigned place;
    int result;

    if (!share_used())
        return 0;
    if (__atomic_load_n(&hosted_net_cpu, __ATOMIC_RELAXED) != cpu)
        __atomic_store_n(&hosted_net_cpu, cpu, __ATOMIC_RELAXED);
    place = place_of(iov, count);
    p = place < SHARE_PORTS ? pin(place) : NULL;
    if (!p)
        return 0;
    result = __atomic_load_n(&p->state, __ATOMIC_RELAXED) == PEER_LIVE
                 ? send_to(p, iov, count, total)
                 : 0;
    if (result != 0)
        untold |= 1ull << place;
    unpin(p);
    return result;
}

void share_sent(void)
{
    for (; untold; untold &= untold - 1) {
        struct peer *p = pin((unsigned)__builtin_ctzll(untold));
        uint32_t how;

        if (!p)
            continue;
        how = ring_tell(&p->out);
        if (how == SHARE_SLEEPS)
            wake(&p->out.shared->wake, true);
        else if (how != SHARE_LOOKS)
            ring_bell(p);
        unpin(p);
    }
}

/* ---- receiving ---- */

struct ring_reader *share_reader(unsigned i)
{
    struct peer *p = pin(i);

    return p ? &p->in : NULL;
}

void share_reader_done(unsigned i, bool taken)
{
    struct peer *p = &peers[i];

    if (taken && ring_release(&p->in))
        ring_bell(p);
    unpin(p);
}

static void set_all(uint32_t how)
{
    for (uint64_t left = share_set(); left; left &= left - 1) {
        struct peer *p = pin((unsigned)__builtin_ctzll(left));

        if (p && __atomic_load_n(&p->in.shared->wake, __ATOMIC_RELAXED) != how)
            ring_set_wake(&p->in, how);
        if (p)
            unpin(p);
    }
}

static bool any_filled(void)
{
    bool any = false;

    for (uint64_t left = share_set(); left && !any; left &= left - 1) {
        struct peer *p = pin((unsigned)__builtin_ctzll(left));

        if (p) {
            any = ring_filled(&p->in);
            unpin(p);
        }
    }
    return any;
}

/* A word that is SHARE_BELL already was so, with its fence, before this look. */
bool share_arm(void)
{
    set_all(SHARE_BELL);
    return any_filled();
}

/* ---- a CPU without work ---- */

static void interrupt(struct vcpu *v)
{
    v->net_look = true;
    __atomic_fetch_or(&v->pending, HOSTED_IRQ_NET, __ATOMIC_SEQ_CST);
}

bool share_poll_begin(struct vcpu *v)
{
    uint32_t nobody = 0;

    /* Relaxed: a hint; two that poll would do each other's work. */
    if (!share_used() || !__atomic_compare_exchange_n(&poller, &nobody, v->id + 1, false,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return false;
    set_all(SHARE_LOOKS);
    return true;
}

void share_poll_end(struct vcpu *v)
{
    __atomic_store_n(&poller, 0, __ATOMIC_RELAXED);
    if (share_arm())
        interrupt(v);
}

void share_look(struct vcpu *v)
{
    if (any_filled())
        interrupt(v);
}

struct host_waiter { /* struct futex_waitv */
    uint64_t value, address;
    uint32_t flags, zero;
};
STATIC_ASSERT(sizeof(struct host_waiter) == 24);

/* Absolute time of the host's clock: ours may drift. */
static void until(uint64_t wait_ns, struct host_timespec *out)
{
    uint64_t ns;

    *out = (struct host_timespec){0, 0};
    (void)host_call3(HOST_clock_gettime, 1 /* CLOCK_MONOTONIC */, (long)out, 0);
    ns = (uint64_t)out->nsec + wait_ns % NS_PER_SEC;
    out->sec += (int64_t)(wait_ns / NS_PER_SEC + ns / NS_PER_SEC);
    out->nsec = (int64_t)(ns % NS_PER_SEC);
}

/* A place that becomes FREE meanwhile: the host may find no memory there, which ends the sleep; or
 * has found it and nobody wakes us there, which is as well. */
bool share_sleep(struct vcpu *v)
{
    struct host_waiter waiters[SHARE_PORTS + 1];
    struct host_timespec time, *limit = NULL;
    uint64_t now;
    unsigned n = 1;

    if (!share_used() || __atomic_load_n(&hosted_net_cpu, __ATOMIC_RELAXED) != v->id)
        return false;
    set_all(SHARE_SLEEPS);
    if (any_filled()) {
        interrupt(v);
        return true;
    }
    waiters[0] =
        (struct host_waiter){0, (uintptr_t)&v->pending, FUTEX_WAIT_U32 | FUTEX_WAIT_PRIVATE, 0};
    for (uint64_t left = share_set(); left; left &= left - 1) {
        struct peer *p = pin((unsigned)__builtin_ctzll(left));

        if (!p)
            continue;
        waiters[n++] =
            (struct host_waiter){SHARE_SLEEPS, (uintptr_t)&p->in.shared->wake, FUTEX_WAIT_U32, 0};
        unpin(p);
    }
    now = hal_clock_ns();
    if (v->deadline_ns != UINT64_MAX && v->deadline_ns > now) {
        until(v->deadline_ns - now, &time);
        limit = &time;
    }
    if (limit || v->deadline_ns == UINT64_MAX)
        (void)host_call6(HOST_futex_waitv, (long)waiters, n, 0, (long)limit, 1, 0);
    /* Awake the bell is heard, by a signal if need be. */
    if (share_arm())
        interrupt(v);
    return true;
}
