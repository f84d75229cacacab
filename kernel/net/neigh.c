/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * neigh.c - the table of neighbours. See neigh.h; states: RFC 4861, 7.3.2.
 *
 *     NONE -> INCOMPLETE -> REACHABLE -> STALE -> DELAY -> PROBE -> FAILED
 *             asks, packets   30 s      until it    5 s    asks it, 3 s; an answer, or a sign of
 *             wait            since a   is used            life from above, makes it REACHABLE
 *                             sign of life
 *
 * Sending to a known neighbour takes no lock: whoever sends holds a reference, and the link address
 * is one atomic word. Everything else is under one spinlock. Nothing is sent under it: what is to
 * be sent is collected first. One timer serves all entries; its work walks the table.
 *
 * Limits: NEIGH_MAX entries, of which those that nobody holds and that are not permanent give way
 * to new ones, the longest unused first; NEIGH_QUEUE_MAX packets for each (the newest stay: RFC
 * 1122, 2.3.2.2), NEIGH_QUEUE_TOTAL in all. So a scan of a large network costs this much and no
 * more.
 */
#include "net/neigh.h"

#include "core/random.h"
#include "lib/errno.h"
#include "lib/siphash.h"
#include "mm/kmalloc.h"
#include "net/ether.h"
#include "net/ip.h"
#include "net/mib.h"
#include "sched/timer.h"

#define BUCKETS 128u
#define RETRANS_NS NS_PER_SEC          /* RetransTimer */
#define REACHABLE_NS (30 * NS_PER_SEC) /* ReachableTime */
#define DELAY_NS (5 * NS_PER_SEC)      /* DELAY_FIRST_PROBE_TIME */
#define SOLICIT_MAX 3u                 /* MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT */
#define ASK_BATCH 16u

const uint8_t ether_broadcast[ETHER_ADDR_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct spinlock lock = SPINLOCK_INIT(RANK_NEIGH);
static struct list buckets[BUCKETS];
void (*neigh_told)(const struct neigh_view *view, bool gone);
static unsigned count, queued;
static struct siphash_key secret;
static struct timer timer;
static struct work tick;
static uint64_t armed_for = UINT64_MAX;

/* A question that is sent when the lock is free. */
struct question {
    struct netdev *dev;
    struct net_addr address;
    uint8_t ether[ETHER_ADDR_LEN];
    bool asked, unicast;
};

/* ---- the table ---- */

static struct list *bucket_of(const struct netdev *dev, const struct net_addr *address)
{
    uint64_t words[] = {address->half[0], address->half[1], dev->index};
    return &buckets[siphash(&secret, words, ARRAY_COUNT(words)) % BUCKETS];
}

static struct neigh *find_locked(const struct netdev *dev, const struct net_addr *address)
{
    struct list *bucket = bucket_of(dev, address);
    list_for_each (link, bucket) {
        struct neigh *n = list_entry(link, struct neigh, link);
        if (n->dev == dev && net_addr_equal(&n->address, address))
            return n;
    }
    return NULL;
}

static void ether_unpack(uint64_t word, uint8_t *out)
{
    memcpy(out, &word, ETHER_ADDR_LEN);
}

static uint64_t ether_pack(const uint8_t *ether)
{
    uint64_t word = 0;
    memcpy(&word, ether, ETHER_ADDR_LEN);
    return word | NEIGH_KNOWN;
}

void neigh_put(struct neigh *neigh)
{
    if (neigh && ref_put(&neigh->refs))
        kfree(neigh);
}

static void view_of(const struct neigh *n, struct neigh_view *out)
{
    *out = (struct neigh_view){
        .dev = n->dev,
        .address = n->address,
        .state = n->state,
        .known = n->ether & NEIGH_KNOWN,
        .router = n->router,
        .confirmed_ns = __atomic_load_n(&n->confirmed_ns, __ATOMIC_RELAXED),
        .used_ns = n->used_ns,
    };
    ether_unpack(n->ether, out->ether);
}

static void tell_locked(const struct neigh *n, bool gone)
{
    struct neigh_view view;
    if (!neigh_told)
        return;
    view_of(n, &view);
    neigh_told(&view, gone);
}

/* Its packets go to `dropped`. The caller drops the table's reference without the lock. */
static void unlink_locked(struct neigh *n, struct pkt **dropped)
{
    struct pkt *pkt;
    list_remove(&n->link);
    count--;
    while ((pkt = pkt_queue_take(&n->queue))) {
        queued--;
        pkt->next = *dropped;
        *dropped = pkt;
    }
    __atomic_store_n(&n->state, NEIGH_FAILED, __ATOMIC_RELAXED);
    n->deadline_ns = UINT64_MAX;
    tell_locked(n, true);
}

/* The longest unused that nobody holds; NULL: none. */
static struct neigh *victim_locked(void)
{
    struct neigh *oldest = NULL;
    for (unsigned i = 0; i < BUCKETS; i++)
        list_for_each (link, &buckets[i]) {
            struct neigh *n = list_entry(link, struct neigh, link);
            if (ref_read(&n->refs) == 1 && n->state != NEIGH_PERMANENT &&
                (!oldest || n->used_ns < oldest->used_ns))
                oldest = n;
        }
    return oldest;
}

/* Link a new entry; *old is what gave way to it. False: full. */
static bool link_locked(struct neigh *fresh, struct neigh **old, struct pkt **dropped)
{
    if (count >= NEIGH_MAX) {
        *old = victim_locked();
        if (!*old)
            return false;
        unlink_locked(*old, dropped);
    }
    list_push_front(bucket_of(fresh->dev, &fresh->address), &fresh->link);
    count++;
    return true;
}

struct neigh *neigh_get(struct netdev *dev, const struct net_addr *address)
{
    uint64_t now = clock_mono_ns();
    struct neigh *old = NULL, *fresh = kzalloc(sizeof(*fresh));
    struct pkt *dropped = NULL;
    if (fresh) {
        fresh->dev = dev;
        fresh->address = *address;
        fresh->deadline_ns = UINT64_MAX;
        ref_init(&fresh->refs);
    }
    spin_lock(&lock);
    struct neigh *n = find_locked(dev, address);
    if (!n && fresh && link_locked(fresh, &old, &dropped)) {
        n = fresh;
        fresh = NULL;
    }
    if (n) {
        ref_get(&n->refs);
        n->used_ns = now;
    }
    spin_unlock(&lock);
    if (!n)
        mib_count(MIB_IpExt_NeighTableFull);
    kfree(fresh);
    pkt_free_list(dropped);
    neigh_put(old);
    return n;
}

/* ---- time ---- */

static void timer_fired(struct timer *t)
{
    (void)t;
    work_queue(&tick);
}

static void deadline_locked(struct neigh *n, uint64_t deadline_ns)
{
    n->deadline_ns = deadline_ns;
    if (deadline_ns < armed_for) {
        armed_for = deadline_ns;
        timer_arm(&timer, deadline_ns);
    }
}

static void state_locked(struct neigh *n, enum neigh_state state, uint64_t deadline_ns)
{
    bool change = n->state != state;
    __atomic_store_n(&n->state, (uint8_t)state, __ATOMIC_RELAXED);
    if (change)
        tell_locked(n, false);
    n->probes = 0;
    deadline_locked(n, deadline_ns);
}

static void ask_locked(struct neigh *n, struct question *q, uint64_t now)
{
    *q = (struct question){.dev = n->dev, .address = n->address, .asked = true};
    q->unicast = n->state == NEIGH_PROBE;
    ether_unpack(n->ether, q->ether);
    n->probes++;
    deadline_locked(n, now + RETRANS_NS);
}

static void ask(const struct question *q)
{
    const uint8_t *unicast = q->unicast ? q->ether : NULL;
    if (!q->asked)
        return;
    if (net_addr_is_v4(&q->address))
        arp_solicit(q->dev, &q->address, unicast);
    else
        nd6_solicit(q->dev, &q->address, unicast);
}

/* The time of its state is over. */
static void expire_locked(struct neigh *n, uint64_t now, struct question *q,
                          struct pkt_queue *failed)
{
    uint64_t confirmed = __atomic_load_n(&n->confirmed_ns, __ATOMIC_RELAXED);
    bool alive = confirmed && confirmed + REACHABLE_NS > now;
    struct pkt *pkt;
    n->deadline_ns = UINT64_MAX;
    switch (n->state) {
    case NEIGH_REACHABLE:
    case NEIGH_DELAY:
        if (alive)
            state_locked(n, NEIGH_REACHABLE, confirmed + REACHABLE_NS);
        else if (n->state == NEIGH_REACHABLE)
            state_locked(n, NEIGH_STALE, UINT64_MAX);
        else
            state_locked(n, NEIGH_PROBE, now);
        if (n->state != NEIGH_PROBE)
            return;
        break;
    case NEIGH_PROBE:
        if (alive) {
            state_locked(n, NEIGH_REACHABLE, confirmed + REACHABLE_NS);
            return;
        }
        break;
    case NEIGH_INCOMPLETE:
        break;
    default:
        return;
    }
    if (n->probes < SOLICIT_MAX) {
        ask_locked(n, q, now);
        return;
    }
    state_locked(n, NEIGH_FAILED, UINT64_MAX); /* until somebody sends to it again */
    __atomic_store_n(&n->ether, 0, __ATOMIC_RELAXED);
    while ((pkt = pkt_queue_take(&n->queue))) {
        queued--;
        pkt_queue_add(failed, pkt);
    }
}

/* Up to ASK_BATCH entries whose time has come: how many questions there are. */
static unsigned expire_some(struct question *questions, struct pkt_queue *failed)
{
    unsigned asked = 0;
    uint64_t now = clock_mono_ns();
    spin_lock(&lock);
    armed_for = UINT64_MAX;
    for (unsigned i = 0; i < BUCKETS; i++)
        list_for_each (link, &buckets[i]) {
            struct neigh *n = list_entry(link, struct neigh, link);
            if (n->deadline_ns <= now && asked < ASK_BATCH) {
                questions[asked].asked = false;
                expire_locked(n, now, &questions[asked], failed);
                asked += questions[asked].asked;
            } else if (n->deadline_ns != UINT64_MAX) {
                deadline_locked(n, n->deadline_ns);
            }
        }
    spin_unlock(&lock);
    return asked;
}

static void tick_run(struct work *work)
{
    struct question questions[ASK_BATCH];
    struct pkt_queue failed = {.first = NULL};
    struct pkt *pkt;
    (void)work;
    unsigned asked = expire_some(questions, &failed);
    for (unsigned i = 0; i < asked; i++)
        ask(&questions[i]);
    while ((pkt = pkt_queue_take(&failed)) != NULL) {
        mib_count(MIB_IpExt_NeighDrops);
        ip_unreachable_neighbour(pkt);
    }
}

/* ---- sending ---- */

static int send_to(struct neigh *n, struct pkt *pkt, uint64_t word)
{
    uint8_t ether[ETHER_ADDR_LEN];
    ether_unpack(word, ether);
    return ether_send(n->dev, pkt, ether,
                      net_addr_is_v4(&n->address) ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
}

unsigned neigh_waiting(void)
{
    spin_lock(&lock);
    unsigned n = queued;
    spin_unlock(&lock);
    return n;
}

/* It is not known where to: wait. */
static int wait_locked(struct neigh *n, struct pkt *pkt, struct question *q, struct pkt **drop,
                       uint64_t now)
{
    if (n->queue.count >= NEIGH_QUEUE_MAX) {
        *drop = pkt_queue_take(&n->queue);
        queued--;
    } else if (queued >= NEIGH_QUEUE_TOTAL) {
        *drop = pkt;
        return -ENOBUFS;
    }
    pkt_queue_add(&n->queue, pkt);
    queued++;
    if (n->state != NEIGH_INCOMPLETE) {
        state_locked(n, NEIGH_INCOMPLETE, UINT64_MAX);
        ask_locked(n, q, now);
    }
    return 0;
}

static int output_slow(struct neigh *n, struct pkt *pkt)
{
    struct question q = {.asked = false};
    struct pkt *drop = NULL;
    uint64_t now = clock_mono_ns();
    int err = 0;
    spin_lock(&lock);
    uint64_t word = n->ether;
    if (word & NEIGH_KNOWN) {
        if (n->state == NEIGH_STALE)
            state_locked(n, NEIGH_DELAY, now + DELAY_NS);
    } else if (!list_linked(&n->link)) {
        drop = pkt; /* taken out of the table: the route to it is no longer current */
        err = -EHOSTUNREACH;
    } else {
        err = wait_locked(n, pkt, &q, &drop, now);
    }
    spin_unlock(&lock);
    if (drop) {
        mib_count(MIB_IpExt_NeighDrops);
        pkt_free(drop);
    }
    ask(&q);
    return word & NEIGH_KNOWN ? send_to(n, pkt, word) : err;
}

int neigh_output(struct neigh *neigh, struct pkt *pkt)
{
    /* Relaxed: a state that has just changed is as good as one that changes just after. The address
     * is whole, since it is one word. */
    uint64_t word = __atomic_load_n(&neigh->ether, __ATOMIC_RELAXED);
    if (word & NEIGH_KNOWN && __atomic_load_n(&neigh->state, __ATOMIC_RELAXED) != NEIGH_STALE)
        return send_to(neigh, pkt, word);
    return output_slow(neigh, pkt);
}

void neigh_confirm(struct neigh *neigh)
{
    __atomic_store_n(&neigh->confirmed_ns, clock_mono_ns(), __ATOMIC_RELAXED);
}

/* ---- what is heard ---- */

/* RFC 4861, 7.2.5: what an advertisement changes. */
static void learn_locked(struct neigh *n, const uint8_t *ether, unsigned how, uint64_t now)
{
    uint64_t word = ether ? ether_pack(ether) : n->ether;
    bool known = n->ether & NEIGH_KNOWN, differs = known && word != n->ether;
    if (how & NEIGH_ROUTER_KNOWN)
        n->router = how & NEIGH_IS_ROUTER;
    if (how & NEIGH_SET_PERMANENT) {
        __atomic_store_n(&n->ether, word, __ATOMIC_RELAXED);
        state_locked(n, NEIGH_PERMANENT, UINT64_MAX);
        return;
    }
    if (n->state == NEIGH_PERMANENT || !(word & NEIGH_KNOWN))
        return;
    if (differs && !(how & NEIGH_OVERRIDE)) {
        if (n->state == NEIGH_REACHABLE)
            state_locked(n, NEIGH_STALE, UINT64_MAX);
        return;
    }
    __atomic_store_n(&n->ether, word, __ATOMIC_RELAXED);
    if (how & NEIGH_SOLICITED) {
        __atomic_store_n(&n->confirmed_ns, now, __ATOMIC_RELAXED);
        state_locked(n, NEIGH_REACHABLE, now + REACHABLE_NS);
    } else if (!known || differs) {
        state_locked(n, NEIGH_STALE, UINT64_MAX);
    }
}

void neigh_learn(struct netdev *dev, const struct net_addr *address, const uint8_t *ether,
                 unsigned how)
{
    struct neigh *made = how & NEIGH_CREATE ? neigh_get(dev, address) : NULL;
    struct pkt_queue waiting = {0};
    spin_lock(&lock);
    struct neigh *n = find_locked(dev, address);
    if (n) {
        learn_locked(n, ether, how, clock_mono_ns());
        if (n->ether & NEIGH_KNOWN) {
            waiting = n->queue;
            queued -= waiting.count;
            n->queue = (struct pkt_queue){0};
            ref_get(&n->refs);
        } else {
            n = NULL;
        }
    }
    spin_unlock(&lock);
    struct pkt *pkt;
    while ((pkt = pkt_queue_take(&waiting)))
        (void)neigh_output(n, pkt); /* a failure has been counted */
    neigh_put(n);
    neigh_put(made);
}

int neigh_remove(struct netdev *dev, const struct net_addr *address)
{
    struct pkt *dropped = NULL;
    spin_lock(&lock);
    struct neigh *n = find_locked(dev, address);
    if (n) {
        unlink_locked(n, &dropped);
        __atomic_store_n(&n->ether, 0, __ATOMIC_RELAXED);
    }
    spin_unlock(&lock);
    pkt_free_list(dropped);
    neigh_put(n);
    /* Routes that hold it are looked up again. */
    __atomic_fetch_add(&route_generation, 1, __ATOMIC_RELEASE);
    return n ? 0 : -ENOENT;
}

static bool first_of(const struct netdev *dev, struct net_addr *address)
{
    bool found = false;
    spin_lock(&lock);
    for (unsigned i = 0; i < BUCKETS && !found; i++)
        list_for_each (link, &buckets[i]) {
            struct neigh *n = list_entry(link, struct neigh, link);
            if (n->dev == dev && n->state != NEIGH_PERMANENT) {
                *address = n->address;
                found = true;
                break;
            }
        }
    spin_unlock(&lock);
    return found;
}

void neigh_flush(struct netdev *dev)
{
    struct net_addr address;
    while (first_of(dev, &address))
        (void)!neigh_remove(dev, &address);
}

unsigned neigh_list(struct neigh_view *out, unsigned from, unsigned max)
{
    unsigned number = 0, written = 0;
    spin_lock(&lock);
    for (unsigned i = 0; i < BUCKETS && written < max; i++)
        list_for_each (link, &buckets[i])
            if (number++ >= from && written < max)
                view_of(list_entry(link, struct neigh, link), &out[written++]);
    spin_unlock(&lock);
    return written;
}

int neigh_init(void)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&buckets[i]);
    random_bytes(&secret, sizeof(secret));
    timer_setup(&timer, timer_fired);
    work_init(&tick, tick_run);
    count = queued = 0;
    armed_for = UINT64_MAX;
    return 0;
}
