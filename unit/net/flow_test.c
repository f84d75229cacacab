/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: sched kernel/sched/work.c kernel/net/flow.c */
/* include: unit/sched/include */
/*
 * flow_test.c - the table of flows and their channels, on the simulated machine that exchanges CPUs
 * before any atomic access: who must be found is found while the table grows and others come and
 * go; what has gone is not freed under a lookup; no packet stays in a channel without somebody who
 * will take it, in the order of its producer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mutex.h"
#include "core/random.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "net/flow.h"
#include "sched/crew.h"

#define SEEDS 30

void random_bytes(void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)sim_random(256);
}

static unsigned packets_alive; /* atomic */
void pkt_free(struct pkt *pkt)
{
    if (!pkt)
        return;
    __atomic_fetch_sub(&packets_alive, 1, __ATOMIC_RELAXED);
    free(pkt);
}
void pkt_free_list(struct pkt *list)
{
    while (list) {
        struct pkt *next = list->next;
        pkt_free(list);
        list = next;
    }
}
static struct pkt *packet(uint32_t from, uint32_t number)
{
    struct pkt *pkt = calloc(1, sizeof *pkt);
    SIM_CHECK(pkt);
    pkt->truesize = 100;
    pkt->hash = from;
    pkt->len = number;
    __atomic_fetch_add(&packets_alive, 1, __ATOMIC_RELAXED);
    return pkt;
}

struct pkt *pkt_clone(const struct pkt *pkt, uint32_t offset, uint32_t len, uint32_t headroom,
                      unsigned flags)
{
    (void)offset, (void)len, (void)headroom, (void)flags;
    return packet(pkt->hash, pkt->len);
}

void *pkt_pull(struct pkt *pkt, uint32_t len)
{
    (void)len;
    return pkt;
}

/* ---- a socket as the network has them ---- */

struct sock {
    struct flow flow;
    struct mutex lock;
    struct waitq wait;
    uint32_t received; /* by lock; atomic to look */
    uint32_t last[4];  /* of each producer, by lock */
    bool closed;       /* by lock */
    uint32_t magic;
};
static unsigned socks_alive; /* atomic */

/* The socket's lock is held. */
static void take(struct sock *s)
{
    struct pkt *list = channel_take(&s->flow.channel);
    while (list) {
        struct pkt *next = list->next;
        SIM_CHECK(list->hash < 4 && list->len > s->last[list->hash]); /* in order */
        s->last[list->hash] = list->len;
        channel_discharge(&s->flow.channel, list->truesize);
        pkt_free(list);
        __atomic_fetch_add(&s->received, 1, __ATOMIC_RELAXED);
        list = next;
    }
}
/* docs/network.md: who unlocks looks at the channel again. */
static void unlock(struct sock *s)
{
    mutex_unlock(&s->lock);
    while (!channel_empty(&s->flow.channel) && mutex_try(&s->lock)) {
        take(s);
        mutex_unlock(&s->lock);
    }
}
static void sock_input(struct flow *flow)
{
    struct sock *s = container_of(flow, struct sock, flow);
    SIM_CHECK(s->magic == 0x50c4e7);
    if (!mutex_try(&s->lock))
        return; /* its owner looks when it unlocks */
    take(s);
    unlock(s);
    waitq_wake_all(&s->wait, 0);
}
static void sock_wake(struct flow *flow)
{
    waitq_wake_all(&container_of(flow, struct sock, flow)->wait, 0);
}
static void sock_free(struct flow *flow)
{
    struct sock *s = container_of(flow, struct sock, flow);
    SIM_CHECK(s->magic == 0x50c4e7);
    memset(s, 0xdd, sizeof *s);
    free(s);
    __atomic_fetch_sub(&socks_alive, 1, __ATOMIC_RELAXED);
}
static const struct flow_ops sock_ops = {.input = sock_input, .wake = sock_wake, .free = sock_free};

static struct flow_key key_of(uint32_t number, uint16_t local_port)
{
    return (struct flow_key){
        .local = net_addr_v4(net32(0x0a000001)),
        .remote = net_addr_v4(net32(0x0a010000 + number)),
        .local_port = net16(local_port),
        .remote_port = net16((uint16_t)(1000 + number)),
        .protocol = IPPROTO_TCP,
    };
}
static struct sock *sock_new(const struct flow_key *key)
{
    struct sock *s = calloc(1, sizeof *s);
    SIM_CHECK(s);
    flow_init(&s->flow, FLOW_SOCKET, &sock_ops);
    s->flow.key = *key;
    s->flow.channel.limit = UINT32_MAX;
    s->magic = 0x50c4e7;
    mutex_init(&s->lock, RANK_SOCK);
    waitq_init(&s->wait);
    __atomic_fetch_add(&socks_alive, 1, __ATOMIC_RELAXED);
    return s;
}
static struct flow *find(const struct flow_key *key)
{
    return flow_find(key, flow_hash(key), 1);
}
/* Grace periods and works come to their end. */
static void all_is_freed(void)
{
    for (int i = 0; i < 5 && (socks_alive || packets_alive); i++) {
        rcu_synchronize();
        SIM_CHECK(sleep_until(sim_now() + 20 * NS_PER_MS, false) == 0);
    }
    SIM_CHECK(socks_alive == 0 && packets_alive == 0);
}
static void boot(void)
{
    waitq_init(&done_queue);
    SIM_CHECK(work_start() == 0 && flow_table_init() == 0);
}

/* ---- the table, by one thread ---- */

#define SPREAD_KEYS 8192u
#define SPREAD_BUCKETS (2 * SPREAD_KEYS) /* as flow.c has them */

/* Keys that differ in little: as from one host, one server's clients, our own connections to one
 * server, IPv6. */
static struct flow_key similar_key(unsigned way, uint32_t n)
{
    struct flow_key key = key_of(way == 1 ? n : 7, way == 2 ? net16((uint16_t)(32768 + n)) : 80);
    key.remote_port = net16((uint16_t)(way == 0 ? 1024 + n : 5000 + n / 64));
    if (way == 3 || way == 4) {
        key.local.half[0] = key.remote.half[0] = 0xb80d0120;
        key.local.half[1] = 1ull << 56;
        key.remote.half[1] = 0;
        put_be32(&key.remote.bytes[way == 3 ? 12 : 4], n);
    }
    return key;
}

/* Each way has as few that meet as chance would have: n^2/2m pairs, and no long chain. */
static void spread_main(void *arg)
{
    static uint16_t chain[SPREAD_BUCKETS];
    (void)arg;
    boot();
    for (unsigned way = 0; way <= 4; way++) {
        uint32_t pairs = 0, longest = 0;
        memset(chain, 0, sizeof chain);
        for (uint32_t n = 0; n < SPREAD_KEYS; n++) {
            struct flow_key key = similar_key(way, n);
            uint16_t *in = &chain[flow_hash(&key) % SPREAD_BUCKETS];
            pairs += (*in)++;
            longest = MAX(longest, *in);
        }
        SIM_CHECK(pairs < SPREAD_KEYS * 3 / 8 && longest <= 10); /* about a quarter */
    }
}

static void hashes_spread(void **state)
{
    (void)state;
    sim_test_seeds(1, SEEDS, spread_main);
}

#define MANY 1000

static void table_main(void *arg)
{
    static struct sock *socks[MANY];
    (void)arg;
    boot();
    for (uint32_t i = 0; i < MANY; i++) { /* it grows several times */
        struct flow_key key = key_of(i, 80);
        socks[i] = sock_new(&key);
        SIM_CHECK(find(&key) == NULL);
        SIM_CHECK(flow_insert(&socks[i]->flow) == 0);
        if (i % 100 == 0)
            SIM_CHECK(sleep_until(sim_now() + NS_PER_MS, false) == 0);
    }
    struct flow_key key = key_of(7, 80);
    struct sock *second = sock_new(&key);
    SIM_CHECK(flow_insert(&second->flow) == -EADDRINUSE);
    for (uint32_t i = 0; i < MANY; i++) {
        key = key_of(i, 80);
        SIM_CHECK(find(&key) == &socks[i]->flow);
        key.local_port++;
        SIM_CHECK(find(&key) == NULL);
        key = key_of(i, 80);
        key.protocol = IPPROTO_UDP;
        SIM_CHECK(find(&key) == NULL);
    }
    second->flow.kind = FLOW_TIME_WAIT;
    flow_replace(&socks[7]->flow, &second->flow);
    key = key_of(7, 80);
    SIM_CHECK(find(&key) == &second->flow);
    flow_remove(&second->flow);
    SIM_CHECK(find(&key) == NULL);
    flow_put(&second->flow);
    for (uint32_t i = 0; i < MANY; i++) {
        if (i != 7)
            flow_remove(&socks[i]->flow);
        flow_put(&socks[i]->flow);
    }
    all_is_freed();
}

static void table(void **state)
{
    (void)state;
    sim_test_seeds(2, 3, table_main);
}

static struct sock *listener(struct net_addr address, uint16_t port, unsigned device)
{
    struct flow_key key = {.local = address, .local_port = net16(port), .protocol = IPPROTO_TCP};
    struct sock *s = sock_new(&key);
    s->flow.device = device;
    return s;
}

static void listeners_main(void *arg)
{
    (void)arg;
    boot();
    struct net_addr any = {.half = {0, 0}}, any_v4 = net_addr_v4(0);
    struct flow_key key = key_of(1, 80);
    struct sock *both = listener(any, 80, 0), *v4 = listener(any_v4, 80, 0);
    struct sock *exact = listener(key.local, 80, 0), *bound = listener(any_v4, 80, 1);
    struct sock *other = listener(any_v4, 80, 2), *six = listener(any, 80, 0);
    struct sock *order[] = {other, both, v4, bound, exact};
    six->flow.v6_only = true;
    flow_listen(&six->flow, &six->flow.key.local);
    SIM_CHECK(find(&key) == NULL); /* not for IPv4 */
    flow_listen(&other->flow, &other->flow.key.local);
    SIM_CHECK(find(&key) == NULL); /* another device's */
    for (int i = 1; i < 5; i++) {
        flow_listen(&order[i]->flow, &order[i]->flow.key.local);
        SIM_CHECK(find(&key) == &order[i]->flow);
        struct flow_key elsewhere = key_of(1, 81);
        SIM_CHECK(find(&elsewhere) == NULL);
    }
    struct flow_key key6 = {.local.bytes = {0xfd, [15] = 1},
                            .remote.bytes = {0xfd, [15] = 2},
                            .local_port = net16(80),
                            .protocol = IPPROTO_TCP};
    struct flow *found = find(&key6);
    SIM_CHECK(found == &six->flow || found == &both->flow);
    SIM_CHECK(flow_deliver_all(&key, 1, packet(0, 1)) == 4); /* but for six and other */
    struct sock *connected = sock_new(&key);
    SIM_CHECK(flow_insert(&connected->flow) == 0 && find(&key) == &connected->flow);
    flow_remove(&connected->flow);
    flow_put(&connected->flow);
    /* Sockets that share a port and a peer, too: datagrams may, a connection is one only. */
    for (int tcp = 0; tcp < 2; tcp++) {
        struct flow_key shared_key = key;
        shared_key.protocol = tcp ? IPPROTO_TCP : 17;
        struct sock *one = sock_new(&shared_key), *two = sock_new(&shared_key);
        one->flow.reuse_port = two->flow.reuse_port = true;
        SIM_CHECK(flow_insert(&one->flow) == 0);
        SIM_CHECK(flow_insert(&two->flow) == (tcp ? -EADDRINUSE : 0));
        flow_remove(&one->flow);
        if (!tcp)
            flow_remove(&two->flow);
        flow_put(&one->flow);
        flow_put(&two->flow);
    }
    /* A bound socket that connects is in both tables for a while. */
    exact->flow.key = key;
    SIM_CHECK(flow_insert(&exact->flow) == 0 && find(&key) == &exact->flow);
    flow_unlisten(&exact->flow);
    SIM_CHECK(find(&key) == &exact->flow);
    flow_remove(&exact->flow);
    SIM_CHECK(find(&key) == &bound->flow);
    flow_put(&exact->flow);
    struct sock *all[] = {both, v4, bound, other, six};
    for (int i = 0; i < 5; i++) {
        flow_unlisten(&all[i]->flow);
        flow_put(&all[i]->flow);
    }
    SIM_CHECK(find(&key) == NULL);

    struct sock *group[5]; /* SO_REUSEPORT: strangers are spread evenly, each always to the same */
    unsigned hits[5] = {0};
    for (int i = 0; i < 5; i++) {
        group[i] = listener(any_v4, 80, 0);
        group[i]->flow.reuse_port = true;
        flow_listen(&group[i]->flow, &group[i]->flow.key.local);
    }
    for (uint32_t n = 0; n < 5000; n++) {
        key = key_of(n, 80);
        struct flow *chosen = find(&key);
        SIM_CHECK(chosen == find(&key));
        for (int i = 0; i < 5; i++)
            hits[i] += chosen == &group[i]->flow;
    }
    for (int i = 0; i < 5; i++) {
        SIM_CHECK(hits[i] > 850 && hits[i] < 1150);
        flow_unlisten(&group[i]->flow);
        flow_put(&group[i]->flow);
    }
    all_is_freed();
}

static void listeners(void **state)
{
    (void)state;
    sim_test(1, 1, listeners_main, NULL);
}

/* ---- whoever finds a flow may end it at once: a reset for a connection just born ---- */

#define BIRTHS 100
static unsigned ended; /* atomic */

static void ender(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&ended, __ATOMIC_RELAXED) < BIRTHS) {
        struct flow_key key = key_of(7, 82);
        unsigned token = rcu_read_lock();
        struct flow *flow = find(&key);
        if (flow) {
            SIM_CHECK(__atomic_load_n(&flow->hashed, __ATOMIC_ACQUIRE));
            flow_remove(flow);
            __atomic_fetch_add(&ended, 1, __ATOMIC_RELEASE);
        }
        rcu_read_unlock(token);
    }
    finish();
}

static void bearer(void *arg)
{
    (void)arg;
    for (unsigned n = 0; n < BIRTHS; n++) {
        struct flow_key key = key_of(7, 82);
        struct sock *s = sock_new(&key);
        SIM_CHECK(flow_insert(&s->flow) == 0);
        while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) <= n)
            sched_yield();
        SIM_CHECK(!s->flow.hashed);
        flow_put(&s->flow);
    }
    finish();
}

static void birth_main(void *arg)
{
    (void)arg;
    boot();
    ended = 0;
    spawn(ender, 0, 1);
    spawn(bearer, 0, 1);
    await_all();
    all_is_freed();
}

static void ended_as_soon_as_found(void **state)
{
    (void)state;
    sim_test_seeds(2, SEEDS, birth_main);
}

/* ---- the table, under change ---- */

#define LASTING 40
#define PASSING 150
static struct sock *lasting[LASTING];
static bool over; /* atomic */

static void looker(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        uint32_t n = (uint32_t)sim_random(LASTING);
        struct flow_key key = key_of(n, 80), passing = key_of((uint32_t)sim_random(PASSING), 81);
        unsigned token = rcu_read_lock();
        SIM_CHECK(find(&key) == &lasting[n]->flow);
        struct flow *flow = find(&passing);
        if (flow) { /* not freed under us */
            SIM_CHECK(container_of(flow, struct sock, flow)->magic == 0x50c4e7);
            if (sim_random(2))
                (void)flow_deliver(flow, packet(0, (uint32_t)sim_random(1000000) + 1));
        }
        rcu_read_unlock(token);
    }
    finish();
}

static void sock_close(struct sock *s)
{
    mutex_lock(&s->lock);
    flow_remove(&s->flow);
    s->closed = true;
    memset(s->last, 0, sizeof s->last);
    mutex_unlock(&s->lock);
    flow_put(&s->flow);
}

/* As sock_input, but packets of this test have no order. */
static void discard_input(struct flow *flow)
{
    struct sock *s = container_of(flow, struct sock, flow);
    SIM_CHECK(s->magic == 0x50c4e7);
    if (!mutex_try(&s->lock))
        return;
    pkt_free_list(channel_take(&flow->channel));
    mutex_unlock(&s->lock);
}
static const struct flow_ops discard_ops = {
    .input = discard_input, .wake = sock_wake, .free = sock_free};

static void changer(void *arg)
{
    uint32_t part = (uint32_t)(uintptr_t)arg; /* 0, 1: flows of its own */
    struct sock *mine[PASSING] = {NULL};
    for (int round = 0; round < 400; round++) {
        uint32_t n = (uint32_t)sim_random(PASSING / 2) * 2 + part;
        if (mine[n]) {
            sock_close(mine[n]);
            mine[n] = NULL;
        } else {
            struct flow_key key = key_of(n, 81);
            mine[n] = sock_new(&key);
            mine[n]->flow.ops = &discard_ops;
            SIM_CHECK(flow_insert(&mine[n]->flow) == 0);
        }
    }
    for (uint32_t n = 0; n < PASSING; n++)
        if (mine[n])
            sock_close(mine[n]);
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    finish();
}

static void change_main(void *arg)
{
    (void)arg;
    boot();
    for (uint32_t i = 0; i < LASTING; i++) {
        struct flow_key key = key_of(i, 80);
        lasting[i] = sock_new(&key);
        SIM_CHECK(flow_insert(&lasting[i]->flow) == 0);
    }
    spawn(changer, 0, 2);
    spawn(looker, 0, 3);
    await_all();
    for (uint32_t i = 0; i < LASTING; i++)
        sock_close(lasting[i]);
    all_is_freed();
}

static void found_while_others_come_and_go(void **state)
{
    (void)state;
    sim_test_seeds(4, SEEDS, change_main);
}

/* ---- channels ---- */

#define PRODUCERS 3u
#define SENT 150u
static struct sock *target;

static void produce(void *arg)
{
    uint32_t me = (uint32_t)(uintptr_t)arg;
    for (uint32_t i = 1; i <= SENT; i++) {
        unsigned token = rcu_read_lock();
        SIM_CHECK(flow_deliver(&target->flow, packet(me, i)));
        rcu_read_unlock(token);
        if (sim_random(4) == 0)
            sim_work(sim_random(20000));
        if (sim_random(20) == 0)
            SIM_CHECK(sleep_until(sim_now() + sim_random(200000), false) == 0);
    }
    finish();
}

/* A thread that waits in recv: counts itself, looks, sleeps. Some give up early. */
static void consume(void *arg)
{
    (void)arg;
    uint32_t *received = &target->received;
    while (__atomic_load_n(received, __ATOMIC_RELAXED) < PRODUCERS * SENT) {
        struct waiter w;
        waitq_prepare(&target->wait, &w, false);
        __atomic_fetch_add(&target->flow.readers, 1, __ATOMIC_SEQ_CST);
        if (channel_empty(&target->flow.channel) &&
            __atomic_load_n(received, __ATOMIC_RELAXED) < PRODUCERS * SENT)
            (void)!waitq_sleep(&w, sim_now() + NS_PER_MS);
        __atomic_fetch_sub(&target->flow.readers, 1, __ATOMIC_SEQ_CST);
        waitq_finish(&w);
        mutex_lock(&target->lock);
        take(target);
        unlock(target);
    }
    waitq_wake_all(&target->wait, 0);
    finish();
}

/* One that has the lock for other reasons, and never takes what is there by itself. */
static void disturb(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        mutex_lock(&target->lock);
        sim_work(sim_random(5000));
        unlock(target);
        sim_work(sim_random(20000));
    }
    finish();
}

static void channel_main(void *arg)
{
    bool with_readers = arg != NULL;
    boot();
    struct flow_key key = key_of(1, 80);
    target = sock_new(&key);
    SIM_CHECK(flow_insert(&target->flow) == 0);
    spawn(produce, 1, PRODUCERS);
    spawn(disturb, 0, 1);
    if (with_readers)
        spawn(consume, 0, 2);
    await_all();
    /* Without any further push all that was sent is taken: nothing was left lying. */
    SIM_CHECK(sleep_until(sim_now() + 50 * NS_PER_MS, false) == 0);
    SIM_CHECK(target->received == PRODUCERS * SENT && channel_empty(&target->flow.channel));
    SIM_CHECK(target->flow.channel.bytes == 0);
    sock_close(target);
    all_is_freed();
}

static void with_readers_main(void *arg)
{
    (void)arg;
    channel_main(&target);
}

static void no_packet_is_left_lying(void **state)
{
    (void)state;
    sim_test_seeds(4, SEEDS, channel_main);
    sim_test_seeds(1, SEEDS, channel_main);
    sim_test_seeds(4, SEEDS, with_readers_main);
}

/* Datagrams: while nobody waits for an event, a push tells nobody. Who polls stands in the queue,
 * then looks, then sleeps; he never sleeps on a packet. */
static struct waitq polled;

static bool lazy_unwatched(struct flow *flow)
{
    (void)flow;
    return !waitq_busy(&polled);
}
static void lazy_input(struct flow *flow)
{
    sock_input(flow);
    waitq_wake_all(&polled, 0);
}
static const struct flow_ops lazy_ops = {
    .input = lazy_input, .wake = sock_wake, .unwatched = lazy_unwatched, .free = sock_free};

static void poller(void *arg)
{
    (void)arg;
    uint32_t seen = 0;
    while (seen < PRODUCERS * SENT) {
        struct waiter w;
        waitq_prepare(&polled, &w, false);
        mutex_lock(&target->lock);
        take(target);
        unlock(target);
        uint32_t received = __atomic_load_n(&target->received, __ATOMIC_RELAXED);
        if (received == seen)
            SIM_CHECK(waitq_sleep(&w, sim_now() + NS_PER_SEC) == 0);
        seen = received;
        waitq_finish(&w);
        if (sim_random(3) == 0) /* away for a while */
            sim_work(sim_random(50000));
    }
    finish();
}

static void lazy_main(void *arg)
{
    (void)arg;
    boot();
    waitq_init(&polled);
    struct flow_key key = key_of(1, 80);
    target = sock_new(&key);
    target->flow.ops = &lazy_ops;
    SIM_CHECK(flow_insert(&target->flow) == 0);
    /* With nobody there the packet stays, and whoever comes takes it. */
    unsigned token = rcu_read_lock();
    SIM_CHECK(flow_deliver(&target->flow, packet(0, 1)));
    rcu_read_unlock(token);
    SIM_CHECK(sleep_until(sim_now() + NS_PER_MS, false) == 0);
    SIM_CHECK(!channel_empty(&target->flow.channel));
    mutex_lock(&target->lock);
    unlock(target);
    SIM_CHECK(target->received == 1);
    target->received = 0;
    spawn(produce, 1, PRODUCERS);
    spawn(poller, 0, 1);
    await_all();
    SIM_CHECK(target->received == PRODUCERS * SENT && target->flow.channel.bytes == 0);
    sock_close(target);
    all_is_freed();
}

static void who_polls_never_sleeps_on_a_packet(void **state)
{
    (void)state;
    sim_test_seeds(4, SEEDS, lazy_main);
    sim_test_seeds(1, SEEDS, lazy_main);
}

static void bounded_main(void *arg)
{
    (void)arg;
    boot();
    struct flow_key key = key_of(1, 80);
    struct sock *s = sock_new(&key);
    s->flow.channel.limit = 350;
    SIM_CHECK(flow_insert(&s->flow) == 0);
    mutex_lock(&s->lock); /* nobody takes */
    for (uint32_t i = 1; i <= 5; i++)
        SIM_CHECK(flow_deliver(&s->flow, packet(0, i)) == (i <= 3));
    SIM_CHECK(s->flow.channel.bytes == 300 && packets_alive == 3);
    unlock(s);
    SIM_CHECK(s->received == 3 && s->flow.channel.bytes == 0);
    /* What comes behind the end is freed with the flow. */
    unsigned token = rcu_read_lock();
    sock_close(s);
    (void)flow_deliver(&s->flow, packet(0, 9));
    rcu_read_unlock(token);
    all_is_freed();
}

static void bounded(void **state)
{
    (void)state;
    sim_test(1, 1, bounded_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_spread),
        cmocka_unit_test(table),
        cmocka_unit_test(listeners),
        cmocka_unit_test(ended_as_soon_as_found),
        cmocka_unit_test(found_while_others_come_and_go),
        cmocka_unit_test(no_packet_is_left_lying),
        cmocka_unit_test(who_polls_never_sleeps_on_a_packet),
        cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
