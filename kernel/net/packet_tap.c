/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet_tap.c - frames to AF_PACKET sockets.
 *
 * While there is such a socket, netdev_tap is ours: it is called for each frame, in a poll or in a
 * sender's context, walks the list of sockets in an RCU section, asks each one's filter and gives
 * it a copy of what that keeps, to its ring (packet_ring.c) or its queue. A copy, not a clone: who
 * sends may still complete the checksum in the very bytes, and a capture holds no more memory than
 * it keeps.
 *
 * lo has no link headers, but the programs expect Ethernet's there, as on Linux: zeroes and the
 * type, which are put in front here.
 */
#include "fs/pseudo.h"
#include "fs/vfs.h"
#include "lib/bytes.h"
#include "lib/string.h"
#include "mm/account.h"
#include "net/ether.h"
#include "net/packet.h"
#include "sched/thread.h"

#define ETHERTYPE_MIN 0x600u /* below: the length of an 802.3 frame */

static struct {
    struct packet_sock *first; /* atomic */
    struct spinlock lock;
} all = {.lock = SPINLOCK_INIT(RANK_PACKET)};

/* ---- a frame, as sockets see it ---- */

struct frame {
    struct bpf_view view;
    struct packet_about about;
    uint8_t head[ETHER_HEADER_LEN];
};

static uint8_t kind_of(const struct netdev *dev, const uint8_t *to)
{
    if (dev->type != ARPHRD_ETHER)
        return PACKET_HOST;
    if (memcmp(to, ether_broadcast, ETHER_ADDR_LEN) == 0)
        return PACKET_BROADCAST;
    if (to[0] & 1)
        return PACKET_MULTICAST;
    return memcmp(to, dev->address, ETHER_ADDR_LEN) == 0 ? PACKET_HOST : PACKET_OTHERHOST;
}

/* head: the link header of a packet that has none of its own; NULL: made up. */
static void describe(struct frame *f, const struct netdev *dev, const struct pkt *pkt,
                     bool outgoing, const uint8_t *head)
{
    bool bare = dev->type != ARPHRD_ETHER;
    memset(f, 0, sizeof(*f));
    if (bare && head) {
        memcpy(f->head, head, sizeof(f->head));
    } else if (bare) {
        put_be16(f->head + 12, pkt->len && pkt->data[0] >> 4 == 6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
    } else {
        pkt_read(pkt, 0, f->head, MIN(pkt->total, ETHER_HEADER_LEN));
    }
    uint16_t type = get_be16(f->head + 12);
    f->view = (struct bpf_view){
        .head = f->head,
        .pkt = pkt,
        .head_len = bare ? ETHER_HEADER_LEN : 0,
        .len = pkt->total + (bare ? ETHER_HEADER_LEN : 0),
        .device = dev->index,
        .hash = pkt->hash,
        .protocol = type < ETHERTYPE_MIN ? ETH_P_802_2 : type,
        .hardware = dev->type,
        .kind = outgoing ? PACKET_OUTGOING : kind_of(dev, f->head),
    };
    f->view.network = MIN(f->view.len, ETHER_HEADER_LEN);
    f->about = (struct packet_about){
        .wall_ns = clock_wall_ns(),
        .device = dev->index,
        .protocol = f->view.protocol,
        .hardware = dev->type,
        .kind = f->view.kind,
        /* On lo the sums were left out, and vouched for. */
        .status = pkt->checksum == PKT_CHECKSUM_PARTIAL || bare ? TP_STATUS_CSUMNOTREADY
                  : pkt->checksum == PKT_CHECKSUM_GOOD          ? TP_STATUS_CSUM_VALID
                                                                : 0,
    };
    memcpy(f->about.source, f->head + ETHER_ADDR_LEN, ETHER_ADDR_LEN);
}

/* ---- the tap ---- */

static bool wants(const struct packet_sock *sock, const struct frame *f)
{
    uint32_t protocol = __atomic_load_n(&sock->protocol, __ATOMIC_RELAXED);
    uint32_t device = __atomic_load_n(&sock->device, __ATOMIC_RELAXED);
    if (!protocol || (device && device != f->about.device))
        return false;
    if (f->about.kind != PACKET_OUTGOING)
        return protocol == ETH_P_ALL || protocol == f->about.protocol;
    return protocol == ETH_P_ALL && !__atomic_load_n(&sock->ignore_outgoing, __ATOMIC_RELAXED) &&
           __atomic_load_n(&sock->sender, __ATOMIC_RELAXED) != thread_current();
}

/* `len` bytes of the view from its beginning on. NULL without memory. */
static struct pkt *copy_of(const struct bpf_view *view, uint32_t len)
{
    struct pkt *pkt = NULL;
    uint32_t done = 0;
    do {
        uint32_t part = MIN(len - done, (uint32_t)PAGE_SIZE);
        struct pkt *piece = pkt_alloc(0, part, ALLOC_ATOMIC);
        if (!piece) {
            pkt_free(pkt);
            return NULL;
        }
        bpf_view_read(view, view->begin + done, piece->data, part);
        piece->len = piece->total = part;
        if (pkt)
            pkt_append(pkt, piece);
        else
            pkt = piece;
        done += part;
    } while (done < len);
    return pkt;
}

static bool has_room(const struct packet_sock *sock)
{
    return sock->queue.bytes <
           (uint32_t)__atomic_load_n(&sock->base.receive_buffer, __ATOMIC_RELAXED);
}

/* To the queue; the lock is held, and let go meanwhile to allocate. True: wake. */
static bool enqueue_locked(struct packet_sock *sock, const struct bpf_view *view,
                           const struct packet_about *about, uint32_t keep)
{
    struct pkt *copy = NULL;
    if (has_room(sock)) {
        spin_unlock(&sock->spin);
        copy = copy_of(view, keep);
        spin_lock(&sock->spin);
    }
    if (!copy || sock->ring || !has_room(sock)) {
        sock->stats.drops++;
        pkt_free(copy);
        return false;
    }
    memcpy(copy->scratch, about, sizeof(*about));
    pkt_queue_add(&sock->queue, copy);
    packet_count_waiting(sock);
    sock->stats.packets++;
    return true;
}

static void deliver(struct packet_sock *sock, const struct frame *f)
{
    struct bpf_view view = f->view;
    struct packet_about about = f->about;
    uint64_t deadline_ns = UINT64_MAX;
    if (!packet_is_raw(sock))
        view.begin = view.network;
    about.len = view.len - view.begin;
    about.network = view.network - view.begin;
    uint32_t keep = MIN(bpf_filter(&sock->base, &view), about.len);
    if (keep == 0 && about.len > 0)
        return;
    spin_lock(&sock->spin);
    bool wake = sock->ring
                    ? packet_ring_store_locked(sock->ring, &view, &about, keep, packet_is_raw(sock),
                                               &sock->stats, &deadline_ns)
                    : enqueue_locked(sock, &view, &about, keep);
    if (deadline_ns != UINT64_MAX)
        timer_arm(&sock->timer, deadline_ns);
    spin_unlock(&sock->spin);
    if (wake)
        waitq_wake_all(&sock->base.wait, POLLIN | POLLRDNORM);
}

void packet_show(struct netdev *dev, const struct pkt *pkt, bool outgoing, const uint8_t *head)
{
    struct frame frame;
    bool described = false;
    unsigned token = rcu_read_lock();
    for (struct packet_sock *sock = __atomic_load_n(&all.first, __ATOMIC_ACQUIRE); sock;
         sock = __atomic_load_n(&sock->next, __ATOMIC_ACQUIRE)) {
        if (!described)
            describe(&frame, dev, pkt, outgoing, head);
        described = true;
        if (wants(sock, &frame))
            deliver(sock, &frame);
    }
    rcu_read_unlock(token);
}

static void tap(struct netdev *dev, const struct pkt *pkt, bool outgoing)
{
    packet_show(dev, pkt, outgoing, NULL);
}

/* A block of a ring is old enough. */
static void timer_fired(struct timer *timer)
{
    struct packet_sock *sock = container_of(timer, struct packet_sock, timer);
    ref_get(&sock->refs); /* who releases it waits for us, and has one */
    if (!work_queue(&sock->work))
        (void)!ref_put(&sock->refs); /* so it is not the last */
}

static void sock_free(struct rcu_head *head)
{
    struct packet_sock *sock = container_of(head, struct packet_sock, rcu);
    pkt_queue_purge(&sock->queue);
    owner_free(OWNER_SOCKET, sock, sizeof(*sock));
}

void packet_sock_put(struct packet_sock *sock)
{
    if (ref_put(&sock->refs))
        rcu_call(&sock->rcu, sock_free);
}

static void retire(struct work *work)
{
    struct packet_sock *sock = container_of(work, struct packet_sock, work);
    spin_lock(&sock->spin);
    bool wake = sock->ring && packet_ring_retire_locked(sock->ring, &sock->stats);
    spin_unlock(&sock->spin);
    if (wake)
        waitq_wake_all(&sock->base.wait, POLLIN | POLLRDNORM);
    packet_sock_put(sock);
}

/* ---- the list ---- */

/* The tap costs nothing while nobody looks. Under all.lock. */
static void set_tap(void)
{
    /* Release: the list, which it reads in any case with acquire. */
    __atomic_store_n(&netdev_tap, all.first ? tap : NULL, __ATOMIC_RELEASE);
}

void packet_begin(struct packet_sock *sock)
{
    ref_init(&sock->refs);
    spin_init(&sock->spin, RANK_PACKET);
    timer_setup(&sock->timer, timer_fired);
    work_init(&sock->work, retire);
    spin_lock(&all.lock);
    __atomic_store_n(&sock->next, all.first, __ATOMIC_RELAXED);
    __atomic_store_n(&all.first, sock, __ATOMIC_RELEASE);
    set_tap();
    spin_unlock(&all.lock);
}

void packet_end(struct packet_sock *sock)
{
    spin_lock(&all.lock);
    struct packet_sock **link = &all.first;
    while (*link != sock)
        link = &(*link)->next;
    __atomic_store_n(link, sock->next, __ATOMIC_RELEASE);
    set_tap();
    spin_unlock(&all.lock);
}

/* /proc/net/packet. */
int packet_show_all(struct inode *inode, struct strbuf *sb)
{
    strbuf_printf(sb, "%-17sRefCnt Type Proto  Iface R Rmem   User   Inode\n", "sk");
    unsigned token = rcu_read_lock();
    for (struct packet_sock *sock = __atomic_load_n(&all.first, __ATOMIC_ACQUIRE); sock;
         sock = __atomic_load_n(&sock->next, __ATOMIC_ACQUIRE)) {
        uint32_t protocol = __atomic_load_n(&sock->protocol, __ATOMIC_RELAXED);
        spin_lock(&sock->spin);
        uint32_t bytes = sock->queue.bytes;
        spin_unlock(&sock->spin);
        strbuf_printf(sb, "%016x %-6d %-4d %04x   %-5u %1d %-6u %-6u %-6llu\n", 0, 3,
                      sock->base.type, protocol, __atomic_load_n(&sock->device, __ATOMIC_RELAXED),
                      protocol != 0, bytes, sock->base.owner_uid,
                      (unsigned long long)sock->base.ino);
    }
    rcu_read_unlock(token);
    return 0;
}
