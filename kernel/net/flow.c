/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flow.c - the table of flows, and the push into a channel. Contract: flow.h; the whole picture:
 * docs/network.md, Channels and Life of a flow.
 *
 * Two tables. Connected flows stand in a hash of the whole key that grows; who waits for strangers
 * (listeners, bound sockets) in one of fixed size by protocol and local port. Readers are in RCU
 * sections and take no lock. Writers take the lock of a stripe, which is chosen by the low bits of
 * the hash; as no table is smaller than the number of stripes, an entry has the same stripe in
 * every table.
 *
 * Growing. `table->next` is the larger table while entries move. One bucket after the other is
 * emptied under its stripe, its last entry first:
 *  1. The entry is linked into the new bucket while the old chain still leads to it: a reader that
 *     stands on it or before it goes on into the new chain, where it finds strangers (keys are
 *     compared) and an end. As it was the last of its chain, nobody misses entries behind it.
 *  2. The store that ends the old chain before it comes after: whoever does not find it any more in
 *     the old table sees the new one (release; the reader's acquire) and looks there.
 * So a reader looks into the old bucket, then, if there is a next table, into that. Inserts go to
 * the newest. When all buckets are empty the new table is published, and the old one freed after a
 * grace period. An entry is removed where it is found, in the old chain or the new one.
 */
#include "net/flow.h"

#include "core/assert.h"
#include "core/random.h"
#include "core/spinlock.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/fold.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

#define STRIPES 64u
#define BUCKETS_MIN STRIPES
#define BUCKETS_MAX (1u << 22)
#define LISTEN_BUCKETS 64u
#define SPARE \
    2u /* buckets for each flow, before the table grows: a chain is mostly one flow long, \
        * and each costs a cache line */

struct flow_table {
    struct flow_table *next; /* atomic: the larger one, while entries move there */
    uint32_t mask;
    struct rcu_head rcu;
    struct flow *bucket[]; /* atomic */
};

static struct {
    uint64_t secret[4];
    struct flow_table *table; /* atomic */
    uint32_t count;           /* connected flows; atomic */
    bool growing;             /* atomic: somebody grows the table, or has asked for it */
    struct work grow;
    struct spinlock stripe[STRIPES];
    struct flow *listening[LISTEN_BUCKETS]; /* atomic; by listen_lock */
    struct spinlock listen_lock;
} flows;

/* ---- keys ---- */

/* Ports and protocol in one word. */
static uint64_t ports_of(const struct flow_key *key)
{
    uint64_t word;
    STATIC_ASSERT(offsetof(struct flow_key, zero) - offsetof(struct flow_key, local_port) == 5);
    memcpy(&word, &key->local_port, sizeof word);
    return word & 0xffffffffff;
}

/* The folded product of two words, each XORed with a word of the secret. */
static uint64_t mix(uint64_t a, uint64_t b, const uint64_t secret[2])
{
    return fold_product(a ^ secret[0], b ^ secret[1]);
}

/* Folded products under 256 bits of secret, as hashes of many languages' maps are. Who does not
 * know the secret has no pair of keys that meets with another chance than one in the number of
 * buckets: each factor is as random as the secret. It is no pseudo-random function as SipHash is,
 * which took ten times as long: who could see hashes could compute the secret. Nobody does: a
 * hash neither leaves the kernel nor orders anything that does, and a chain one longer is some ns
 * of an answer's time. Besides, only finished handshakes and a bounded number of embryos are in
 * the table (Linux: 32 bits of secret). */
uint32_t flow_hash(const struct flow_key *key)
{
    uint64_t ports = ports_of(key), h;
    if (net_addr_is_v4(&key->remote)) {
        h = mix(ports, (uint64_t)key->local.word[3] << 32 | key->remote.word[3], flows.secret);
    } else {
        h = mix(key->remote.half[0], key->remote.half[1], flows.secret);
        h = mix(h ^ ports, key->local.half[0], flows.secret + 2);
        h = mix(h, key->local.half[1], flows.secret + 1);
    }
    return (uint32_t)mix(h, 0, flows.secret + 2);
}

static bool key_equal(const struct flow_key *a, const struct flow_key *b)
{
    /* Without branches: whose hashes are equal mostly are. */
    uint64_t differ = (ports_of(a) ^ ports_of(b)) | (a->remote.half[0] ^ b->remote.half[0]) |
                      (a->remote.half[1] ^ b->remote.half[1]) |
                      (a->local.half[0] ^ b->local.half[0]) | (a->local.half[1] ^ b->local.half[1]);
    return differ == 0;
}

static unsigned listen_bucket(uint8_t protocol, uint16_t port)
{
    return (net16(port) ^ protocol) % LISTEN_BUCKETS;
}

/* ---- tables ---- */

static struct flow_table *table_alloc(uint32_t buckets)
{
    struct flow_table *table = kzalloc(sizeof *table + buckets * sizeof table->bucket[0]);
    if (table)
        table->mask = buckets - 1;
    return table;
}

static void table_free(struct rcu_head *head)
{
    kfree(container_of(head, struct flow_table, rcu));
}

static struct spinlock *stripe_of(uint32_t hash)
{
    return &flows.stripe[hash % STRIPES];
}

/* Release: the entry's fields, and the chain behind it. */
static void link_in(struct flow **bucket, struct flow *flow)
{
    __atomic_store_n(&flow->hash_next, __atomic_load_n(bucket, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    __atomic_store_n(bucket, flow, __ATOMIC_RELEASE);
}

/* The last of a chain that is not empty: where its link stands. */
static struct flow **last_link(struct flow **bucket)
{
    struct flow **link = bucket, *flow = *link;
    while (flow->hash_next) {
        link = &flow->hash_next;
        flow = *link;
    }
    return link;
}

/* The stripe's lock is held. An entry with `new` as its next bucket goes there. */
static void bucket_move(struct flow **bucket, struct flow_table *to)
{
    while (*bucket) {
        struct flow **link = last_link(bucket), *flow = *link;
        link_in(&to->bucket[flow->hash & to->mask], flow);
        __atomic_store_n(link, NULL, __ATOMIC_RELEASE);
    }
}

/* Moves all into a table twice as large. Only one at a time (flows.growing). */
static void grow(struct work *work)
{
    struct flow_table *old = flows.table;
    struct flow_table *new = table_alloc((old->mask + 1) * 2);
    (void)work;
    if (new) {
        __atomic_store_n(&old->next, new, __ATOMIC_RELEASE);
        /* From the next lock on inserts see it; those before it are in buckets yet to be moved. */
        for (uint32_t i = 0; i <= old->mask; i++) {
            spin_lock(stripe_of(i));
            bucket_move(&old->bucket[i], new);
            spin_unlock(stripe_of(i));
        }
        __atomic_store_n(&flows.table, new, __ATOMIC_RELEASE);
        rcu_call(&old->rcu, table_free);
    }
    __atomic_store_n(&flows.growing, false, __ATOMIC_RELEASE);
}

static void grow_if_full(void)
{
    struct flow_table *table = __atomic_load_n(&flows.table, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&flows.count, __ATOMIC_RELAXED) * SPARE <= table->mask ||
        table->mask + 1 >= BUCKETS_MAX)
        return;
    if (!__atomic_exchange_n(&flows.growing, true, __ATOMIC_ACQUIRE))
        work_queue(&flows.grow);
}

int flow_table_init(void)
{
    random_bytes(flows.secret, sizeof flows.secret);
    flows.table = table_alloc(BUCKETS_MIN);
    if (!flows.table)
        return -ENOMEM;
    for (unsigned i = 0; i < STRIPES; i++)
        spin_init(&flows.stripe[i], RANK_FLOW);
    spin_init(&flows.listen_lock, RANK_FLOW);
    work_init(&flows.grow, grow);
    return 0;
}

/* ---- life ---- */

static void flow_work(struct work *work)
{
    struct flow *flow = container_of(work, struct flow, work);
    flow->ops->input(flow);
    flow_put(flow);
}

void flow_init(struct flow *flow, enum flow_kind kind, const struct flow_ops *ops)
{
    *flow = (struct flow){.ops = ops, .kind = (uint8_t)kind, .incoming_cpu = -1};
    ref_init(&flow->refs);
    work_init(&flow->work, flow_work);
}

void flow_get(struct flow *flow)
{
    ref_get(&flow->refs);
}

static void flow_end(struct rcu_head *head)
{
    struct flow *flow = container_of(head, struct flow, rcu);
    struct pkt *list = channel_take(&flow->channel);
    while (list && flow->ops->late) {
        struct pkt *next = list->next;
        list->next = NULL;
        flow->ops->late(flow, list);
        list = next;
    }
    pkt_free_list(list);
    flow->ops->free(flow);
}

void flow_put(struct flow *flow)
{
    if (!ref_put(&flow->refs))
        return;
    ASSERT(!flow->hashed && !flow->listening);
    rcu_call(&flow->rcu, flow_end);
}

static inline struct flow *find_in(struct flow *const *bucket, const struct flow_key *key,
                                   uint32_t hash)
{
    struct flow *flow = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
    while (flow && !(flow->hash == hash && key_equal(&flow->key, key)))
        flow = __atomic_load_n(&flow->hash_next, __ATOMIC_ACQUIRE);
    return flow;
}

/* In an RCU section or under the stripe's lock. */
static inline struct flow *find_connected(const struct flow_key *key, uint32_t hash)
{
    struct flow_table *table = __atomic_load_n(&flows.table, __ATOMIC_ACQUIRE);
    while (table) {
        struct flow *flow = find_in(&table->bucket[hash & table->mask], key, hash);
        if (flow)
            return flow;
        table = __atomic_load_n(&table->next, __ATOMIC_ACQUIRE);
    }
    return NULL;
}

/* Where entries of this moment go. Under a stripe's lock. */
static struct flow_table *newest(void)
{
    struct flow_table *table = __atomic_load_n(&flows.table, __ATOMIC_ACQUIRE);
    struct flow_table *next = __atomic_load_n(&table->next, __ATOMIC_ACQUIRE);
    return next ? next : table;
}

int flow_insert(struct flow *flow)
{
    ASSERT(!flow->hashed);
    int err = -EADDRINUSE;
    flow->hash = flow_hash(&flow->key);
    unsigned token = rcu_read_lock(); /* the old table stays while we look into it */
    spin_lock(stripe_of(flow->hash));
    struct flow *equal = find_connected(&flow->key, flow->hash);
    /* Datagrams may have several takers; a connection has two ends. */
    bool share = flow->key.protocol != IPPROTO_TCP && flow->reuse_port;
    if (!equal || (equal->reuse_port && share)) {
        struct flow_table *table = newest();
        /* Before it can be found: whoever gets a packet by it may be done with it at once, and then
         * has to know that it must be taken out (a new connection that is reset). Release:
         * net/input.c looks. */
        __atomic_store_n(&flow->hashed, true, __ATOMIC_RELEASE);
        __atomic_fetch_add(&flows.count, 1, __ATOMIC_RELAXED);
        link_in(&table->bucket[flow->hash & table->mask], flow);
        err = 0;
    }
    spin_unlock(stripe_of(flow->hash));
    rcu_read_unlock(token);
    if (err == 0)
        grow_if_full();
    return err;
}

static struct flow **listen_bucket_of(const struct flow *flow)
{
    return &flows.listening[listen_bucket(flow->key.protocol, flow->key.local_port)];
}

void flow_listen(struct flow *flow, const struct net_addr *local)
{
    ASSERT(!flow->listening);
    struct flow **bucket = listen_bucket_of(flow);
    flow->bound = *local;
    spin_lock(&flows.listen_lock);
    __atomic_store_n(&flow->listen_next, *bucket, __ATOMIC_RELAXED);
    __atomic_store_n(bucket, flow, __ATOMIC_RELEASE);
    flow->listening = true;
    spin_unlock(&flows.listen_lock);
}

void flow_unlisten(struct flow *flow)
{
    ASSERT(flow->listening);
    spin_lock(&flows.listen_lock);
    struct flow **link = listen_bucket_of(flow);
    while (*link != flow)
        link = &(*link)->listen_next;
    __atomic_store_n(link, flow->listen_next, __ATOMIC_RELEASE);
    flow->listening = false;
    spin_unlock(&flows.listen_lock);
}

/* The link that leads to `flow`, or NULL. */
static struct flow **link_to(struct flow **bucket, const struct flow *flow)
{
    for (struct flow **link = bucket; *link; link = &(*link)->hash_next)
        if (*link == flow)
            return link;
    return NULL;
}

static struct flow **connected_link(const struct flow *flow)
{
    struct flow_table *table = __atomic_load_n(&flows.table, __ATOMIC_ACQUIRE);
    struct flow **link = NULL;
    while (table && !link) {
        link = link_to(&table->bucket[flow->hash & table->mask], flow);
        table = __atomic_load_n(&table->next, __ATOMIC_ACQUIRE);
    }
    return link;
}

/* Its own next stays: readers that stand on it go on. */
static void unlink(struct flow **link, struct flow *flow)
{
    __atomic_store_n(link, flow->hash_next, __ATOMIC_RELEASE);
    __atomic_store_n(&flow->hashed, false, __ATOMIC_RELEASE); /* net/input.c looks */
}

void flow_remove(struct flow *flow)
{
    ASSERT(flow->hashed);
    unsigned token = rcu_read_lock();
    spin_lock(stripe_of(flow->hash));
    unlink(connected_link(flow), flow);
    spin_unlock(stripe_of(flow->hash));
    rcu_read_unlock(token);
    __atomic_fetch_sub(&flows.count, 1, __ATOMIC_RELAXED);
}

void flow_replace(struct flow *old, struct flow *new)
{
    ASSERT(old->hashed && !new->hashed &&key_equal(&old->key, &new->key));
    new->hash = old->hash;
    unsigned token = rcu_read_lock();
    spin_lock(stripe_of(old->hash));
    struct flow **link = connected_link(old);
    __atomic_store_n(&new->hash_next, old->hash_next, __ATOMIC_RELAXED);
    __atomic_store_n(&new->hashed, true, __ATOMIC_RELEASE); /* net/input.c looks */
    __atomic_store_n(link, new, __ATOMIC_RELEASE);
    __atomic_store_n(&old->hashed, false, __ATOMIC_RELEASE); /* net/input.c looks */
    spin_unlock(stripe_of(old->hash));
    rcu_read_unlock(token);
}

/* ---- lookup ---- */

/* How well a bound flow fits; 0: not at all. An exact address beats any, a device none, an IPv4
 * socket an IPv6 one that takes both. */
static unsigned fit(const struct flow *flow, const struct flow_key *key, unsigned device)
{
    if (flow->key.local_port != key->local_port || flow->key.protocol != key->protocol)
        return 0;
    unsigned own = __atomic_load_n(&flow->device, __ATOMIC_RELAXED);
    if (own && own != device)
        return 0;
    bool v4 = net_addr_is_v4(&key->local);
    unsigned score = 1 + (own ? 4 : 0);
    if (net_addr_equal(&flow->bound, &key->local))
        return score + 8;
    if (net_addr_is_v4(&flow->bound)) /* 0.0.0.0 is ::ffff:0.0.0.0 */
        return v4 && flow->bound.word[3] == 0 ? score + 2 : 0;
    if ((flow->bound.half[0] | flow->bound.half[1]) != 0)
        return 0;
    return v4 && flow->v6_only ? 0 : score + (v4 ? 0 : 2);
}

static struct flow *find_listening(const struct flow_key *key, uint32_t hash, unsigned device)
{
    struct flow *const *bucket = &flows.listening[listen_bucket(key->protocol, key->local_port)];
    struct flow *best = NULL;
    unsigned best_fit = 0, equal = 0;
    const int cpu = (int)hal_cpu_id(); /* a hint: should the thread be moved now, another one's */
    for (struct flow *flow = __atomic_load_n(bucket, __ATOMIC_ACQUIRE); flow;
         flow = __atomic_load_n(&flow->listen_next, __ATOMIC_ACQUIRE)) {
        unsigned f = fit(flow, key, device) * 2;
        if (f && __atomic_load_n(&flow->incoming_cpu, __ATOMIC_RELAXED) == cpu)
            f++; /* among equals: SO_INCOMING_CPU */
        if (f == 0 || f < best_fit)
            continue;
        if (f > best_fit) {
            best = flow;
            best_fit = f;
            equal = 1;
        } else if (flow->reuse_port) {
            /* The nth of a group takes the place with chance 1/n: all are alike, and a flow has the
             * same while the group is the same. */
            uint32_t draw = (hash ^ ++equal * 0x9e3779b9u) * 0x85ebca6bu;
            draw = (draw ^ draw >> 15) * 0xc2b2ae35u;
            if ((uint64_t)draw * equal >> 32 == 0)
                best = flow;
        }
    }
    return best;
}

unsigned flow_group(const struct flow *like, const struct flow_key *key, unsigned device,
                    struct flow **out, unsigned max)
{
    struct flow *const *bucket = &flows.listening[listen_bucket(key->protocol, key->local_port)];
    unsigned want = fit(like, key, device), count = 0;
    /* The newest come first in the bucket. Those beyond `max` are the newest. */
    for (struct flow *flow = __atomic_load_n(bucket, __ATOMIC_ACQUIRE); flow;
         flow = __atomic_load_n(&flow->listen_next, __ATOMIC_ACQUIRE)) {
        if (!flow->reuse_port || fit(flow, key, device) != want)
            continue;
        if (count == max)
            memmove(out, out + 1, --count * sizeof(*out));
        out[count++] = flow;
    }
    for (unsigned i = 0; i < count / 2; i++) {
        struct flow *other = out[i];
        out[i] = out[count - 1 - i];
        out[count - 1 - i] = other;
    }
    return count;
}

struct flow *flow_find(const struct flow_key *key, uint32_t hash, unsigned device)
{
    struct flow *flow = find_connected(key, hash);
    unsigned own = flow ? __atomic_load_n(&flow->device, __ATOMIC_RELAXED) : 0;
    if (flow && (!own || own == device))
        return flow;
    return find_listening(key, hash, device);
}

static bool walk_connected(bool (*fn)(struct flow *flow, void *arg), void *arg)
{
    struct flow_table *table = __atomic_load_n(&flows.table, __ATOMIC_ACQUIRE);
    for (; table; table = __atomic_load_n(&table->next, __ATOMIC_ACQUIRE))
        for (uint32_t i = 0; i <= table->mask; i++)
            for (struct flow *flow = __atomic_load_n(&table->bucket[i], __ATOMIC_ACQUIRE); flow;
                 flow = __atomic_load_n(&flow->hash_next, __ATOMIC_ACQUIRE))
                if (!fn(flow, arg))
                    return false;
    return true;
}

void flow_walk(bool (*fn)(struct flow *flow, void *arg), void *arg)
{
    unsigned token = rcu_read_lock();
    bool more = walk_connected(fn, arg);
    for (unsigned i = 0; i < LISTEN_BUCKETS && more; i++)
        for (struct flow *flow = __atomic_load_n(&flows.listening[i], __ATOMIC_ACQUIRE);
             flow && more; flow = __atomic_load_n(&flow->listen_next, __ATOMIC_ACQUIRE))
            if (!__atomic_load_n(&flow->hashed, __ATOMIC_ACQUIRE)) /* else it has come */
                more = fn(flow, arg);
    rcu_read_unlock(token);
}

/* ---- channels ---- */

/* A work with a reference of its own; if one is queued already, that one looks later. */
void flow_kick(struct flow *flow)
{
    if (!ref_get_live(&flow->refs))
        return; /* its last reference has gone: flow_end looks at the channel */
    if (!work_queue(&flow->work))
        flow_put(flow);
}

bool (*flow_memory_short)(void);

/* Datagrams that wait for their program: others need the memory more. Streams have limits of their
 * own (tcp_sock_memory.c). */
static bool gives_way(const struct flow *flow, bool first)
{
    return !first && flow->ops->unwatched && flow_memory_short && flow_memory_short();
}

bool flow_deliver(struct flow *flow, struct pkt *pkt)
{
    struct channel *channel = &flow->channel;
    uint32_t size = pkt->truesize;
    /* Relaxed: the count bounds, it publishes nothing. Many may add before one sees that it is too
     * much; each takes its own back. */
    uint32_t sum = __atomic_add_fetch(&channel->bytes, size, __ATOMIC_RELAXED);
    if (sum > __atomic_load_n(&channel->limit, __ATOMIC_RELAXED) || gives_way(flow, sum == size)) {
        channel_discharge(channel, size);
        pkt_free(pkt);
        return false;
    }
    struct pkt *head = __atomic_load_n(&channel->packets, __ATOMIC_RELAXED);
    do
        pkt->next = head;
    /* Release: the packet. Sequentially consistent against `readers` and the socket's lock, see
     * docs/network.md. */
    while (!__atomic_compare_exchange_n(&channel->packets, &head, pkt, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED));
    if (head)
        return true; /* who pushed onto the empty channel has told somebody, if anybody waited, who
                        takes all; who waits since then has looked at the channel */
    if (__atomic_load_n(&flow->readers, __ATOMIC_SEQ_CST))
        flow->ops->wake(flow);
    else if (!flow->ops->unwatched || !flow->ops->unwatched(flow))
        flow_kick(flow);
    return true;
}

struct pkt *channel_take(struct channel *channel)
{
    struct pkt *newest = __atomic_exchange_n(&channel->packets, NULL, __ATOMIC_SEQ_CST);
    struct pkt *list = NULL;
    while (newest) {
        struct pkt *older = newest->next;
        newest->next = list;
        list = newest;
        newest = older;
    }
    return list;
}

#define UDP_HEADER 8u

/* A datagram for one of many, its headers in the first piece and where input.c found them. */
static struct pkt *copy_of(const struct pkt *pkt)
{
    uint32_t header = (uint32_t)pkt->transport - pkt->network;
    struct pkt *copy = pkt_clone(pkt, 0, pkt->total, 0, ALLOC_ATOMIC);
    if (!copy)
        return NULL;
    if (!pkt_pull(copy, header + UDP_HEADER)) {
        pkt_free(copy);
        return NULL;
    }
    copy->link = copy->network = (uint16_t)pkt_headroom(copy);
    copy->transport = (uint16_t)(copy->network + header);
    copy->checksum = pkt->checksum;
    return copy;
}

unsigned flow_deliver_all(const struct flow_key *key, unsigned device, struct pkt *pkt)
{
    struct flow *const *bucket = &flows.listening[listen_bucket(key->protocol, key->local_port)];
    unsigned taken = 0;
    for (struct flow *flow = __atomic_load_n(bucket, __ATOMIC_ACQUIRE); flow;
         flow = __atomic_load_n(&flow->listen_next, __ATOMIC_ACQUIRE)) {
        if (!fit(flow, key, device))
            continue;
        struct pkt *copy = copy_of(pkt);
        if (copy)
            taken += flow_deliver(flow, copy);
    }
    pkt_free(pkt);
    return taken;
}
