/* SPDX-License-Identifier: BSD-3-Clause */
/* packet_option.c - options of AF_PACKET sockets at SOL_PACKET (packet(7)). */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/usercopy.h"
#include "net/inet.h"
#include "net/packet.h"

enum {
    PACKET_ADD_MEMBERSHIP = 1,
    PACKET_DROP_MEMBERSHIP = 2,
    PACKET_RX_RING = 5,
    PACKET_STATISTICS = 6,
    PACKET_COPY_THRESH = 7,
    PACKET_AUXDATA = 8,
    PACKET_VERSION = 10,
    PACKET_HDRLEN = 11,
    PACKET_RESERVE = 12,
    PACKET_TIMESTAMP = 17,
    PACKET_QDISC_BYPASS = 20,
    PACKET_IGNORE_OUTGOING = 23,
};
enum { PACKET_MR_MULTICAST, PACKET_MR_PROMISC, PACKET_MR_ALLMULTI, PACKET_MR_UNICAST };
#define MEMBERS_MAX 64u

struct packet_mreq { /* of user code */
    int32_t device;
    uint16_t type, address_len;
    uint8_t address[8];
};

/* ---- what devices are to let in ---- */

/* Devices have no list of groups to ask for: all, or what the type says. */
static void want(const struct packet_member *m, bool more)
{
    bool promisc = m->type == PACKET_MR_PROMISC || m->type == PACKET_MR_UNICAST;
    if (m->type <= PACKET_MR_UNICAST)
        netdev_want(m->dev, promisc ? NETDEV_PROMISC : NETDEV_ALLMULTI, more);
}

/* The entry for it, or NULL; where its link is. */
static struct packet_member **find(struct packet_sock *sock, const struct packet_mreq *mreq,
                                   const struct netdev *dev)
{
    struct packet_member **link = &sock->members;
    for (; *link; link = &(*link)->next) {
        const struct packet_member *m = *link;
        if (m->dev == dev && m->type == mreq->type && m->address_len == mreq->address_len &&
            memcmp(m->address, mreq->address, m->address_len) == 0)
            break;
    }
    return link;
}

static int add_member(struct packet_sock *sock, const struct packet_mreq *mreq, struct netdev *dev)
{
    struct packet_member *fresh = owner_alloc(OWNER_SOCKET, sizeof(*fresh)), *unused_one = fresh;
    if (!fresh)
        return -ENOBUFS;
    *fresh = (struct packet_member){
        .dev = dev, .count = 1, .type = mreq->type, .address_len = (uint8_t)mreq->address_len};
    memcpy(fresh->address, mreq->address, sizeof(fresh->address));
    const struct packet_member copy = *fresh;
    unsigned count = 0;
    mutex_lock(&sock->lock);
    struct packet_member *old = *find(sock, mreq, dev);
    for (const struct packet_member *m = sock->members; m; m = m->next)
        count++;
    if (old) {
        old->count++;
    } else if (count < MEMBERS_MAX) {
        fresh->next = sock->members;
        sock->members = fresh;
        unused_one = NULL;
    }
    mutex_unlock(&sock->lock);
    if (!unused_one)
        want(&copy, true); /* without the lock: who is told may take others like it */
    else
        owner_free(OWNER_SOCKET, unused_one, sizeof(*unused_one));
    return old || !unused_one ? 0 : -ENOBUFS;
}

/* Linux does not tell whether there was one. */
static void drop_member(struct packet_sock *sock, const struct packet_mreq *mreq,
                        const struct netdev *dev)
{
    struct packet_member *gone = NULL;
    mutex_lock(&sock->lock);
    struct packet_member **link = find(sock, mreq, dev);
    if (*link && --(*link)->count == 0) {
        gone = *link;
        *link = gone->next;
    }
    mutex_unlock(&sock->lock);
    if (gone) {
        want(gone, false);
        owner_free(OWNER_SOCKET, gone, sizeof(*gone));
    }
}

void packet_members_drop(struct packet_sock *sock)
{
    while (sock->members) {
        struct packet_member *gone = sock->members;
        sock->members = gone->next;
        want(gone, false);
        owner_free(OWNER_SOCKET, gone, sizeof(*gone));
    }
}

static int change_member(struct packet_sock *sock, int name, uaddr_t value, unsigned len)
{
    struct packet_mreq mreq;
    if (len < sizeof(mreq))
        return -EINVAL;
    int err = copyin(&mreq, value, sizeof(mreq));
    if (err)
        return err;
    struct netdev *dev = netdev_by_index((unsigned)mreq.device);
    if (name == PACKET_DROP_MEMBERSHIP) {
        drop_member(sock, &mreq, dev);
        return 0;
    }
    if (!dev)
        return -ENODEV;
    if (mreq.address_len > ETHER_ADDR_LEN)
        return -EINVAL;
    return add_member(sock, &mreq, dev);
}

/* ---- rings ---- */

/* Put this one in place of what there is; the mutex is held. What there was goes, at once or, if
 * mmap may just be at it, with the socket. */
static void exchange_ring(struct packet_sock *sock, struct packet_ring *with)
{
    spin_lock(&sock->spin);
    struct packet_ring *old = sock->ring;
    bool shown = sock->ring_shown;
    sock->ring = with;
    sock->ring_shown = false;
    sock->stats = (struct packet_stats){0};
    spin_unlock(&sock->spin);
    if (old && shown)
        packet_ring_push(&sock->old_rings, old);
    else
        packet_ring_put(old);
}

static int set_ring_locked(struct packet_sock *sock, const struct packet_ring_request *request)
{
    struct packet_ring *ring = NULL;
    if (sock->ring && packet_ring_mapped(sock->ring))
        return -EBUSY;
    if (request->block_count == 0) {
        if (request->frame_count)
            return -EINVAL;
    } else if (sock->ring) {
        return -EBUSY;
    } else {
        int err = packet_ring_create(request, sock->version, sock->reserve, &ring);
        if (err)
            return err;
    }
    exchange_ring(sock, ring);
    return 0;
}

static int set_ring(struct packet_sock *sock, uaddr_t value, unsigned len)
{
    struct packet_ring_request request = {0};
    mutex_lock(&sock->lock);
    unsigned size = sock->version == TPACKET_V3 ? sizeof(request) : PACKET_REQUEST_OLD;
    int err = len < size ? -EINVAL : copyin(&request, value, size);
    if (err == 0)
        err = set_ring_locked(sock, &request);
    mutex_unlock(&sock->lock);
    return err;
}

/* ---- set ---- */

static int set_number(struct packet_sock *sock, int name, uint32_t number)
{
    switch (name) {
    case PACKET_VERSION:
        if (number > TPACKET_V3)
            return -EINVAL;
        if (sock->ring)
            return -EBUSY;
        __atomic_store_n(&sock->version, (uint8_t)number, __ATOMIC_RELAXED);
        return 0;
    case PACKET_RESERVE:
        if (number > INT32_MAX)
            return -EINVAL;
        if (sock->ring)
            return -EBUSY;
        sock->reserve = number;
        return 0;
    case PACKET_AUXDATA:
        __atomic_store_n(&sock->auxdata, number != 0, __ATOMIC_RELAXED);
        return 0;
    case PACKET_IGNORE_OUTGOING:
        if (number > 1)
            return -EINVAL;
        __atomic_store_n(&sock->ignore_outgoing, number, __ATOMIC_RELAXED);
        return 0;
    case PACKET_COPY_THRESH:  /* what is cut in the ring is not kept beside it */
    case PACKET_TIMESTAMP:    /* there are only ours */
    case PACKET_QDISC_BYPASS: /* there is no queueing discipline */
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int packet_set_option(struct socket *socket, int level, int name, uaddr_t value, unsigned len)
{
    struct packet_sock *sock = packet_of(socket);
    uint32_t number;
    if (level != SOL_PACKET)
        return -ENOPROTOOPT;
    if (name == PACKET_ADD_MEMBERSHIP || name == PACKET_DROP_MEMBERSHIP)
        return change_member(sock, name, value, len);
    if (name == PACKET_RX_RING)
        return set_ring(sock, value, len);
    if (len < sizeof(number))
        return -EINVAL;
    int err = copyin(&number, value, sizeof(number));
    if (err)
        return err;
    mutex_lock(&sock->lock); /* sock->ring is exchanged under it */
    err = set_number(sock, name, number);
    mutex_unlock(&sock->lock);
    return err;
}

/* ---- get ---- */

/* They are counted anew from here on. */
static void get_stats(struct packet_sock *sock, void *value, unsigned *len)
{
    spin_lock(&sock->spin);
    struct packet_stats stats = sock->stats;
    sock->stats = (struct packet_stats){0};
    spin_unlock(&sock->spin);
    unsigned size = __atomic_load_n(&sock->version, __ATOMIC_RELAXED) == TPACKET_V3
                        ? sizeof(stats)
                        : offsetof(struct packet_stats, freezes);
    stats.packets += stats.drops; /* packet(7): the total */
    *len = MIN(*len, size);
    memcpy(value, &stats, *len);
}

int packet_get_option(struct socket *socket, int level, int name, void *value, unsigned *len)
{
    struct packet_sock *sock = packet_of(socket);
    uint32_t number;
    if (level != SOL_PACKET)
        return -ENOPROTOOPT;
    switch (name) {
    case PACKET_STATISTICS:
        get_stats(sock, value, len);
        return 0;
    case PACKET_AUXDATA:
        number = __atomic_load_n(&sock->auxdata, __ATOMIC_RELAXED);
        break;
    case PACKET_IGNORE_OUTGOING:
        number = __atomic_load_n(&sock->ignore_outgoing, __ATOMIC_RELAXED);
        break;
    case PACKET_VERSION:
        number = __atomic_load_n(&sock->version, __ATOMIC_RELAXED);
        break;
    case PACKET_RESERVE:
        number = __atomic_load_n(&sock->reserve, __ATOMIC_RELAXED);
        break;
    case PACKET_HDRLEN: /* of which version, is in the value */
        if (*len < sizeof(number))
            return -EINVAL;
        memcpy(&number, value, sizeof(number));
        if (number > TPACKET_V3)
            return -EINVAL;
        number = packet_header_len(number);
        break;
    default:
        return -ENOPROTOOPT;
    }
    *len = MIN(*len, (unsigned)sizeof(number));
    memcpy(value, &number, *len);
    return 0;
}
