/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet.c - AF_PACKET (packet(7)): frames as they come from and go to devices, for tcpdump,
 * arping, DHCP clients. Sockets, sending and receiving; packet_tap.c is where frames come from,
 * packet_ring.c the memory that programs map.
 *
 * On lo the link header of what is sent is taken off: there is none there.
 */
#include "net/packet.h"

#include "core/assert.h"
#include "fs/vfs.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/usercopy.h"
#include "net/ether.h"
#include "net/inet.h"
#include "sched/thread.h"

#define ETHERTYPE_TAG 0x8100u
#define TAG_LEN 4u
enum { SIOCINQ = 0x541b, SIOCOUTQ = 0x5411, SIOCGSTAMP = 0x8906, SIOCGSTAMPNS = 0x8907 };

/* ---- names ---- */

static int check_name(const struct socket_name *name, struct sockaddr_ll *out)
{
    if (name->len < sizeof(*out))
        return -EINVAL;
    memcpy(out, name->bytes, sizeof(*out));
    return out->family == AF_PACKET && out->address_len <= sizeof(out->address) ? 0 : -EINVAL;
}

static int packet_bind(struct socket *socket, const struct socket_name *name)
{
    struct packet_sock *sock = packet_of(socket);
    struct sockaddr_ll ll;
    int err = check_name(name, &ll);
    struct netdev *dev = err || ll.device == 0 ? NULL : netdev_by_index((unsigned)ll.device);
    if (err)
        return err;
    if (ll.device && !dev)
        return -ENODEV;
    mutex_lock(&sock->lock);
    __atomic_store_n(&sock->device, (uint32_t)ll.device, __ATOMIC_RELAXED);
    if (ll.protocol)
        __atomic_store_n(&sock->protocol, net16(ll.protocol), __ATOMIC_RELAXED);
    if (dev && !(netdev_flags(dev) & NETDEV_UP))
        __atomic_store_n(&socket->error, ENETDOWN, __ATOMIC_RELEASE);
    mutex_unlock(&sock->lock);
    return 0;
}

static int packet_get_name(struct socket *socket, bool peer, struct socket_name *out)
{
    const struct packet_sock *sock = packet_of(socket);
    uint32_t device = __atomic_load_n(&sock->device, __ATOMIC_RELAXED);
    const struct netdev *dev = device ? netdev_by_index(device) : NULL;
    struct sockaddr_ll ll = {
        .family = AF_PACKET,
        .protocol = net16((uint16_t)__atomic_load_n(&sock->protocol, __ATOMIC_RELAXED)),
        .device = (int32_t)device,
    };
    if (peer)
        return -EOPNOTSUPP;
    if (dev) {
        ll.hardware = dev->type;
        ll.address_len = ETHER_ADDR_LEN;
        memcpy(ll.address, dev->address, sizeof(dev->address));
    }
    *out = (struct socket_name){.len = SOCKADDR_LL_MIN + ll.address_len};
    memcpy(out->bytes, &ll, sizeof(ll));
    return 0;
}

/* ---- sending ---- */

/* Consumes. A frame whose header has been checked, by lo: what is not IP has nobody but us to
 * receive it. */
static int send_by_lo(struct pkt *pkt)
{
    uint8_t head[ETHER_HEADER_LEN];
    pkt_read(pkt, 0, head, sizeof(head));
    uint16_t type = get_be16(head + 12);
    pkt_skip(pkt, sizeof(head));
    pkt->link = (uint16_t)pkt_headroom(pkt);
    if (type == ETHERTYPE_IP4 || type == ETHERTYPE_IP6)
        return netdev_send(&loopback, pkt);
    packet_show(&loopback, pkt, true, head);
    packet_show(&loopback, pkt, false, head);
    pkt_free(pkt);
    return 0;
}

/* Where to, by what: from the address or from bind. */
static int target(struct packet_sock *sock, const struct socket_msg *msg, struct sockaddr_ll *ll,
                  struct netdev **dev)
{
    *ll = (struct sockaddr_ll){
        .device = (int32_t)__atomic_load_n(&sock->device, __ATOMIC_RELAXED),
        .protocol = net16((uint16_t)__atomic_load_n(&sock->protocol, __ATOMIC_RELAXED)),
    };
    int err = msg->name ? check_name(msg->name, ll) : 0;
    if (err)
        return err;
    *dev = netdev_by_index((unsigned)ll->device);
    if (!*dev)
        return -ENXIO;
    if (!(netdev_flags(*dev) & NETDEV_UP))
        return -ENETDOWN;
    if (!packet_is_raw(sock) && (!msg->name || ll->address_len < ETHER_ADDR_LEN))
        return -EINVAL;
    return 0;
}

/* The frame, with its link header in the first piece. */
static int frame_from(struct packet_sock *sock, struct socket_msg *msg,
                      const struct sockaddr_ll *ll, const struct netdev *dev, struct pkt **out)
{
    size_t len = msg->data->left;
    size_t limit = netdev_mtu(dev) + (packet_is_raw(sock) ? ETHER_HEADER_LEN + TAG_LEN : 0);
    if (len > limit)
        return -EMSGSIZE;
    if (packet_is_raw(sock) && len < ETHER_HEADER_LEN)
        return -EINVAL;
    int err = inet_packet_from(msg->data, PKT_HEADROOM, len, out);
    if (err)
        return err;
    uint8_t *header =
        packet_is_raw(sock) ? pkt_pull(*out, ETHER_HEADER_LEN) : pkt_push(*out, ETHER_HEADER_LEN);
    if (!header)
        err = -ENOBUFS;
    else if (!packet_is_raw(sock)) {
        memcpy(header, ll->address, ETHER_ADDR_LEN);
        memcpy(header + ETHER_ADDR_LEN, dev->address, ETHER_ADDR_LEN);
        memcpy(header + 12, &ll->protocol, 2);
    } else if (len > netdev_mtu(dev) + ETHER_HEADER_LEN && get_be16(header + 12) != ETHERTYPE_TAG) {
        err = -EMSGSIZE; /* four more only with a tag */
    }
    if (err)
        pkt_free(*out);
    return err;
}

static long packet_send(struct socket *socket, struct socket_msg *msg)
{
    struct packet_sock *sock = packet_of(socket);
    struct sockaddr_ll ll;
    struct netdev *dev;
    struct pkt *pkt;
    long len = (long)msg->data->left;
    int err = target(sock, msg, &ll, &dev);
    if (err == 0)
        err = frame_from(sock, msg, &ll, dev, &pkt);
    if (err)
        return err;
    mutex_lock(&sock->lock);
    __atomic_store_n(&sock->sender, thread_current(), __ATOMIC_RELAXED);
    pkt->link = (uint16_t)pkt_headroom(pkt);
    err = dev == &loopback ? send_by_lo(pkt) : netdev_send(dev, pkt);
    __atomic_store_n(&sock->sender, NULL, __ATOMIC_RELAXED);
    mutex_unlock(&sock->lock);
    return err ? err : len;
}

/* ---- receiving ---- */

static bool can_receive(void *arg)
{
    struct packet_sock *sock = arg;
    return __atomic_load_n(&sock->waiting, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&sock->base.error, __ATOMIC_ACQUIRE);
}

static struct pkt *take(struct packet_sock *sock)
{
    spin_lock(&sock->spin);
    struct pkt *pkt = pkt_queue_take(&sock->queue);
    if (pkt && !socket_switch(&sock->base, SO_TIMESTAMP)) /* else it is told with the packet */
        sock->last_ns = ((struct packet_about *)pkt->scratch)->wall_ns;
    packet_count_waiting(sock);
    spin_unlock(&sock->spin);
    return pkt;
}

/* It was only looked at (MSG_PEEK). */
static void put_back(struct packet_sock *sock, struct pkt *pkt)
{
    spin_lock(&sock->spin);
    struct pkt_queue *queue = &sock->queue;
    pkt->next = queue->first;
    queue->first = pkt;
    if (!queue->last)
        queue->last = pkt;
    queue->count++;
    queue->bytes += pkt->truesize;
    packet_count_waiting(sock);
    spin_unlock(&sock->spin);
    waitq_wake_all(&sock->base.wait, POLLIN | POLLRDNORM); /* who saw nothing meanwhile */
}

static void put_name(struct socket_msg *msg, const struct packet_about *about)
{
    struct sockaddr_ll ll = {
        .family = AF_PACKET,
        .protocol = net16(about->protocol),
        .device = (int32_t)about->device,
        .hardware = about->hardware,
        .kind = about->kind,
        .address_len = ETHER_ADDR_LEN,
    };
    memcpy(ll.address, about->source, sizeof(about->source));
    *msg->name = (struct socket_name){.len = sizeof(ll)};
    memcpy(msg->name->bytes, &ll, sizeof(ll));
}

/* PACKET_AUXDATA, and when it came. */
static void put_control(struct packet_sock *sock, struct socket_msg *msg, const struct pkt *pkt,
                        const struct packet_about *about)
{
    struct { /* struct tpacket_auxdata */
        uint32_t status, len, kept;
        uint16_t mac, network, tag, tag_type;
    } aux = {about->status | TP_STATUS_USER, about->len, pkt->total, 0,
             (uint16_t)about->network,       0,          0};
    control_put_time(msg, &sock->base, about->wall_ns);
    if (__atomic_load_n(&sock->auxdata, __ATOMIC_RELAXED))
        control_add(msg, SOL_PACKET, 8, &aux, sizeof(aux));
}

static long give(struct packet_sock *sock, struct socket_msg *msg, const struct pkt *pkt)
{
    const struct packet_about *about = (const struct packet_about *)pkt->scratch;
    size_t n = MIN((size_t)pkt->total, msg->data->left);
    int err = inet_packet_to(pkt, 0, n, msg->data);
    if (err)
        return err;
    if (n < pkt->total)
        msg->result |= MSG_TRUNC;
    if (msg->name)
        put_name(msg, about);
    put_control(sock, msg, pkt, about);
    return (long)(msg->flags & MSG_TRUNC ? pkt->total : n);
}

static long packet_recv(struct socket *socket, struct socket_msg *msg)
{
    struct packet_sock *sock = packet_of(socket);
    uint64_t deadline = socket_deadline(&socket->receive_timeout_ns, msg->flags & MSG_DONTWAIT);
    struct pkt *pkt = NULL;
    if (msg->flags & (MSG_OOB | MSG_ERRQUEUE))
        return -EINVAL;
    while (!pkt) {
        int err = can_receive(sock) ? 0 : socket_wait(&socket->wait, can_receive, sock, deadline);
        if (err == 0)
            err = socket_take_error(socket);
        if (err)
            return err;
        pkt = take(sock);
    }
    long n = give(sock, msg, pkt);
    if (msg->flags & MSG_PEEK)
        put_back(sock, pkt);
    else
        pkt_free(pkt);
    return n;
}

static uint32_t packet_poll(struct socket *socket, struct poll_table *table)
{
    struct packet_sock *sock = packet_of(socket);
    uint32_t events = POLLOUT | POLLWRNORM | POLLWRBAND;
    if (table)
        table->add(table, &socket->wait);
    spin_lock(&sock->spin);
    if (sock->queue.first || (sock->ring && packet_ring_readable_locked(sock->ring)))
        events |= POLLIN | POLLRDNORM;
    spin_unlock(&sock->spin);
    if (__atomic_load_n(&socket->error, __ATOMIC_ACQUIRE))
        events |= POLLERR;
    return events;
}

/* ---- the rest ---- */

static long get_stamp(struct packet_sock *sock, uintptr_t arg, uint64_t unit_ns)
{
    spin_lock(&sock->spin);
    uint64_t ns = sock->last_ns;
    spin_unlock(&sock->spin);
    uint64_t time[2] = {ns / NS_PER_SEC, ns % NS_PER_SEC / unit_ns};
    return ns ? copyout(uaddr(arg), time, sizeof(time)) : -ENOENT;
}

static long packet_ioctl(struct socket *socket, unsigned cmd, uintptr_t arg)
{
    struct packet_sock *sock = packet_of(socket);
    int value = 0;
    if (cmd == SIOCGSTAMP || cmd == SIOCGSTAMPNS)
        return get_stamp(sock, arg, cmd == SIOCGSTAMP ? NS_PER_US : 1);
    if (cmd != SIOCINQ && cmd != SIOCOUTQ)
        return -ENOTTY;
    spin_lock(&sock->spin);
    if (cmd == SIOCINQ && sock->queue.first)
        value = (int)sock->queue.first->total;
    spin_unlock(&sock->spin);
    return copyout(uaddr(arg), &value, sizeof(value));
}

static int packet_mmap(struct socket *socket, struct vm_object **object)
{
    struct packet_sock *sock = packet_of(socket);
    spin_lock(&sock->spin);
    struct packet_ring *ring = sock->ring;
    sock->ring_shown = true;
    spin_unlock(&sock->spin);
    if (!ring)
        return -EINVAL;
    *object = packet_ring_object(ring);
    return 0;
}

static void packet_release(struct socket *socket)
{
    struct packet_sock *sock = packet_of(socket);
    packet_end(sock);
    packet_members_drop(sock);
    spin_lock(&sock->spin);
    struct packet_ring *ring = sock->ring;
    sock->ring = NULL;
    __atomic_store_n(&sock->protocol, 0, __ATOMIC_RELAXED);
    spin_unlock(&sock->spin);
    timer_cancel_sync(&sock->timer); /* without a ring nobody arms it any more */
    packet_ring_put(ring);
    packet_ring_put_all(sock->old_rings);
    bpf_free(socket);
    packet_sock_put(sock);
}

static const struct socket_ops packet_ops = {
    .release = packet_release,
    .bind = packet_bind,
    .get_name = packet_get_name,
    .send = packet_send,
    .recv = packet_recv,
    .poll = packet_poll,
    .ioctl = packet_ioctl,
    .set_option = packet_set_option,
    .get_option = packet_get_option,
    .mmap = packet_mmap,
    .filters = true,
};

static int packet_create(int type, int protocol, struct socket **out)
{
    if (proc_cred()->euid != 0)
        return -EPERM;
    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    struct packet_sock *sock = owner_alloc(OWNER_SOCKET, sizeof(*sock));
    if (!sock)
        return -ENOMEM;
    socket_init(&sock->base, &packet_ops, AF_PACKET, type, protocol);
    sock->protocol = net16((uint16_t)protocol);
    mutex_init(&sock->lock, RANK_SOCK);
    packet_begin(sock);
    *out = &sock->base;
    return 0;
}

const struct socket_family packet_family = {AF_PACKET, packet_create};
