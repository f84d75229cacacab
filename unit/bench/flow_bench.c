/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flow_bench.c - what it costs to find out whose a packet is: the shipped classifier and table of
 * flows (kernel/net/classify.c, flow.c) over random TCP frames of N connections, IPv4.
 *
 *     flow_bench [N]...         "flow N  Mpps  ns a packet"; the best of many rounds
 *     flow_bench --count N      one round over PACKETS packets, for callgrind; N = 0: without
 * looking
 *
 * tools/bench/classify builds and runs it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "core/rcu.h"
#include "core/spinlock.h"
#include "lib/bytes.h"
#include "net/flow.h"

#include "bench/frames.h"

#define PACKETS 1000000u
#define ROUNDS 15

/* ---- the kernel around it: one thread ---- */

void random_bytes(void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)frames_draw();
}

unsigned rcu_read_lock(void)
{
    return 0;
}
void rcu_read_unlock(unsigned token)
{
    (void)token;
}
void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    fn(head);
}
static struct work *wanted;
void work_init(struct work *work, void (*fn)(struct work *work))
{
    *work = (struct work){.fn = fn};
}
bool work_queue(struct work *work)
{
    wanted = work;
    return true;
}
void spin_init(struct spinlock *lock, enum lock_rank rank)
{
    (void)lock, (void)rank;
}
void spin_lock(struct spinlock *lock)
{
    (void)lock;
}
void spin_unlock(struct spinlock *lock)
{
    (void)lock;
}
void *kmalloc(size_t size, unsigned flags)
{
    (void)flags;
    return calloc(1, size);
}
void kfree(void *ptr)
{
    free(ptr);
}
void pkt_free(struct pkt *pkt)
{
    (void)pkt;
}
void pkt_free_list(struct pkt *list)
{
    (void)list;
}
struct pkt *pkt_clone(const struct pkt *pkt, uint32_t offset, uint32_t len, uint32_t headroom,
                      unsigned flags)
{
    (void)pkt, (void)offset, (void)len, (void)headroom, (void)flags;
    return NULL;
}

void *pkt_pull(struct pkt *pkt, uint32_t len)
{
    (void)len;
    return pkt;
}

/* ---- connections and frames ---- */

static struct flow_key key_of(uint32_t n)
{
    return (struct flow_key){
        .local = net_addr_v4(net32(LOCAL_IP)),
        .remote = net_addr_v4(net32(remote_ip(n))),
        .local_port = net16(LOCAL_PORT),
        .remote_port = net16(remote_port(n)),
        .protocol = IPPROTO_TCP,
    };
}

static struct flow *flows_memory;
static uint8_t (*frames)[FRAME];

static void set_up(uint32_t count)
{
    static const struct flow_ops ops;
    if (flow_table_init())
        abort();
    flows_memory = calloc(count, sizeof *flows_memory);
    for (uint32_t i = 0; i < count; i++) {
        flow_init(&flows_memory[i], FLOW_SOCKET, &ops);
        flows_memory[i].key = key_of(i);
        if (flow_insert(&flows_memory[i]))
            abort();
        if (wanted) { /* the table grows */
            struct work *work = wanted;
            wanted = NULL;
            work->fn(work);
        }
    }
    frames = calloc(FRAMES, FRAME);
    for (uint32_t i = 0; i < FRAMES; i++)
        frame_make(frames[i], frames_draw() % count);
}

/* How many were found. */
static __attribute__((noinline)) uint32_t run(uint32_t packets)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < packets; i++) {
        struct classified about;
        const uint8_t *frame = frames[i % FRAMES];
        if (classify(frame, FRAME, FRAME, true, &about) != CLASSIFY_FLOW)
            continue;
        struct flow *flow = flow_find(&about.key, flow_hash(&about.key), 2);
        found += flow && flow->kind == FLOW_SOCKET; /* the push would touch it, too */
    }
    return found;
}

static void measure(uint32_t count)
{
    double best = 1e9;
    set_up(count);
    for (int i = 0; i < ROUNDS; i++) {
        double start = frames_seconds();
        if (run(PACKETS) != PACKETS)
            abort();
        double took = frames_seconds() - start;
        best = took < best ? took : best;
    }
    printf("flow %u %.2f %.1f\n", count, PACKETS / best / 1e6, best * 1e9 / PACKETS);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--count") == 0) {
        uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10), packets = 100000;
        set_up(count ? count : 10000);
        return count && run(packets) != packets;
    }
    if (argc != 2) {
        fprintf(stderr, "usage: flow_bench FLOWS | flow_bench --count FLOWS\n");
        return 2;
    }
    measure((uint32_t)strtoul(argv[1], NULL, 10));
    return 0;
}
