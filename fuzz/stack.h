/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stack.h - the whole network of the kernel for one target: sockets of every family over a device
 * whose other end the target is. Below it are the machine of unit/fake_hal.c, the clock and timers
 * of unit/fs/fake_fs.c, and the works of unit/fake_work.h, which run when the target says so. To be
 * included once.
 *
 * Booted once per process; stack_end sees to it that nothing of an input is left for the next one:
 * no packet, no socket, no neighbour, addresses and routes as they were.
 */
#ifndef SELKIE_FUZZ_STACK_H
#define SELKIE_FUZZ_STACK_H

#include "fake.h"
#include "fake_work.h"
#include "fs/fake_fs.h"
#include "fuzz.h"
#include "lib/bytes.h"
#include "mm/account.h"
#include "mm/reclaim.h"
#include "net/ether.h"
#include "net/fake_ether.h"
#include "net/inet.h"
#include "net/neigh.h"
#include "net/route.h"
#include "sched/wait.h"

#define STACK_RAM (64u << 20)

/* All works, then what RCU has to free, until there is nothing more. */
static void stack_run(void)
{
    do {
        while (fake_work_run(1) > 0)
            ;
        rcu_synchronize();
    } while (fake_works);
}
/* The same, as time goes on and timers fire. */
static void stack_advance(uint64_t ns)
{
    uint64_t until = fake_now_ns + ns;
    stack_run();
    while (fake_timer_next() <= until) {
        uint64_t next = fake_timer_next();
        fake_advance(next > fake_now_ns ? next - fake_now_ns : 0);
        stack_run();
    }
    fake_advance(until - fake_now_ns);
    stack_run();
}

/* Whether close(2) comes of a process's end: then SO_LINGER does not wait. */
bool proc_exiting(void)
{
    return false;
}
/* net_farewell's, which no target calls. */
int sleep_until(uint64_t deadline_ns, bool interruptible)
{
    (void)interruptible;
    stack_advance(deadline_ns > fake_now_ns ? deadline_ns - fake_now_ns : 0);
    return 0;
}

/* ---- the device ---- */

static const uint8_t stack_our_ether[6] = {2, 0, 0, 0, 0, 1},
                     stack_peer_ether[6] = {2, 0, 0, 0, 0, 9};
static void (*stack_sent)(const uint8_t *frame, uint32_t len); /* each frame that leaves */
static bool stack_full; /* the device takes nothing for now */
static struct netdev stack_dev;

static int stack_transmit(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last)
{
    static uint8_t frame[70000];
    (void)dev, (void)queue, (void)last;
    if (stack_full)
        return -EAGAIN;
    uint32_t len = pkt->total;
    FUZZ_CHECK(len <= sizeof(frame));
    pkt_read(pkt, 0, frame, len);
    pkt_free(pkt);
    if (stack_sent)
        stack_sent(frame, len);
    return 0;
}
static const struct netdev_ops stack_ops = {.transmit = stack_transmit};

static struct net_addr stack_ip(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return net_addr_v4(a | b << 8 | c << 16 | d << 24);
}
/* fd00::last */
static struct net_addr stack_ip6(uint8_t last)
{
    return (struct net_addr){.bytes = {0xfd, [15] = last}};
}

static void stack_neighbours(void)
{
    const struct net_addr peer4 = stack_ip(10, 0, 0, 9), peer6 = stack_ip6(9);
    const unsigned how = NEIGH_CREATE | NEIGH_OVERRIDE | NEIGH_SET_PERMANENT;
    neigh_learn(&stack_dev, &peer4, stack_peer_ether, how);
    neigh_learn(&stack_dev, &peer6, stack_peer_ether, how);
}

static void stack_address(struct net_addr address, uint8_t prefix)
{
    const struct ifaddr_info info = {
        .dev = &stack_dev, .address = address, .prefix = prefix, .flags = IFADDR_PERMANENT};
    FUZZ_CHECK(ifaddr_add(&info) == 0);
}

/* 10.0.0.1/24 and fd00::1/64 on eth0, the peer is 10.0.0.9 and fd00::9. */
static void stack_boot(void)
{
    fake_hal_init(STACK_RAM);
    FUZZ_CHECK(fake_fs_boot(NULL, 0) == 0);
    pkt_init();
    FUZZ_CHECK(net_init() == 0);
    fake_ether(&stack_dev, &stack_ops, stack_our_ether);
    FUZZ_CHECK(netdev_register(&stack_dev) == 0);
    stack_address(stack_ip(10, 0, 0, 1), 24);
    stack_address(stack_ip6(1), 64);
    stack_advance(60 * NS_PER_SEC); /* duplicate address detection, router solicitations */
    stack_neighbours();
}

/* What a kernel keeps between two programs: the same before an input as after it. */
struct stack_account {
    uint64_t packets, sockets, files;
};
static unused struct stack_account stack_count(void)
{
    return (struct stack_account){owner_get(OWNER_PACKET).objects, owner_get(OWNER_SOCKET).objects,
                                  owner_get(OWNER_FILE).objects};
}

/* Consumes `len` bytes as a frame from outside, cut into pieces of at most `piece` (0: one). */
static unused void stack_receive(const uint8_t *bytes, uint32_t len, uint32_t piece)
{
    struct pkt *pkt = NULL;
    uint32_t at = 0;
    do {
        uint32_t part = piece ? MIN(len - at, piece) : len;
        struct pkt *p = pkt_alloc(0, part, ALLOC_DEFAULT);
        if (!p) {
            pkt_free(pkt);
            return;
        }
        memcpy(pkt_put(p, part), bytes + at, part);
        if (pkt)
            pkt_append(pkt, p);
        else
            pkt = p;
        at += part;
    } while (at < len);
    netdev_receive(&stack_dev, pkt);
}

#endif
