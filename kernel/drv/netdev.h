/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netdev.h - network devices: what a driver gives and gets.
 *
 * A driver fills in a struct netdev and registers it. It sends what `transmit` is given, and calls
 * netdev_receive for each packet from its poll function, which runs as work (sched/work.h) on the
 * CPU that took the interrupt: mask, work_queue; in the work take packets up to NETDEV_BUDGET; if
 * there are more, queue the work again, else unmask and look once more. docs/network.md has the
 * whole way; docs/netdriver.md an example driver.
 *
 * Devices are never unregistered.
 */
#ifndef SELKIE_DRV_NETDEV_H
#define SELKIE_DRV_NETDEV_H

#include "core/spinlock.h"
#include "drv/pkt.h"
#include "sched/work.h"

#define NETDEV_NAME_MAX 16 /* IFNAMSIZ */
#define NETDEV_BUDGET 64u  /* packets of one poll */
#define NETDEV_QUEUES_MAX 16u
#define NETDEV_TXQLEN 1000u /* what programs are told, as Linux does */
/* Packets that wait while a transmit queue is full; what comes then is lost, and a TCP whose only
 * segment that was waits for its timer. A thousand connections answer at the same time, with an
 * acknowledgement and a segment each: as many as Debian's Linux (fq_codel) keeps, where there is
 * the memory for it. */
#define NETDEV_BACKLOG 10240u
#define ETHER_ADDR_LEN 6u

/* Flags as SIOCGIFFLAGS shows them (netdevice(7)). */
enum {
    NETDEV_UP = 0x1,
    NETDEV_BROADCAST = 0x2,
    NETDEV_LOOPBACK = 0x8,
    NETDEV_RUNNING = 0x40, /* has a carrier */
    NETDEV_NOARP = 0x80,
    NETDEV_PROMISC = 0x100,
    NETDEV_ALLMULTI = 0x200,
    NETDEV_MULTICAST = 0x1000,
};
/* What it can do for packets to send; the rest netdev_send does in software. */
enum {
    NETDEV_TX_CHECKSUM = 1u << 0, /* PKT_CHECKSUM_PARTIAL, any offset */
    NETDEV_TX_PIECES = 1u << 1,   /* packets of more than one piece */
    NETDEV_TX_TSO4 = 1u << 2,
    NETDEV_TX_TSO6 = 1u << 3,
    NETDEV_TX_TSO_ECN = 1u << 4,
    NETDEV_TX_USO = 1u << 5,
    NETDEV_TX_ALL = (1u << 6) - 1,
};
enum { ARPHRD_ETHER = 1, ARPHRD_LOOPBACK = 772 };

struct netdev;
struct netdev_ops {
    /* Send a packet by a queue; consumes it if it returns 0. -EAGAIN: the queue is full, the packet
     * stays the caller's, and the driver will call netdev_wake when there is room again. Under the
     * queue's lock, thread context, interrupts may be on. `last`: no more follow at once, tell the
     * device now. */
    int (*transmit)(struct netdev *dev, unsigned queue, struct pkt *pkt, bool last);
    /* IFF_UP was set or taken away; NULL: nothing to do. Thread context. */
    int (*set_up)(struct netdev *dev, bool up);
    /* Accept frames to these, too (promiscuous, multicast); NULL: it takes all. */
    void (*set_filter)(struct netdev *dev);
    int (*set_mtu)(struct netdev *dev, unsigned mtu); /* NULL: any up to mtu_max */
    bool lockless; /* transmit is called without the queue's lock and takes every packet: lo */
};

/* One per CPU and device: written by that CPU only, in threads that are not preempted there (or
 * with relaxed atomics where they are); summed up by readers. */
struct netdev_stats {
    uint64_t rx_packets, rx_bytes, rx_dropped, rx_errors, rx_multicast;
    uint64_t tx_packets, tx_bytes, tx_dropped, tx_errors;
    uint64_t rx_merged;      /* of rx_packets: went up as part of another one (drv/gro.h) */
    uint64_t unused_line[6]; /* no cache line is two CPUs' */
};

struct netdev_queue {
    struct spinlock lock;     /* RANK_NETDEV: transmit, backlog */
    struct pkt_queue backlog; /* the device was full */
    bool stopped;             /* until netdev_wake */
    struct work wake;
    struct netdev *dev;
};

struct netdev {
    char name[NETDEV_NAME_MAX]; /* "eth%d" and the like: the number is filled in */
    const struct netdev_ops *ops;
    void *driver;                   /* the driver's own */
    unsigned index;                 /* from 1; loopback is 1 */
    uint16_t type;                  /* ARPHRD_*: 1 Ethernet, 772 loopback */
    uint32_t flags;                 /* NETDEV_UP ...; atomic */
    uint32_t features;              /* NETDEV_TX_* */
    unsigned mtu, mtu_min, mtu_max; /* mtu: atomic */
    uint8_t address[ETHER_ADDR_LEN];
    unsigned queue_count;
    struct netdev_queue *queues;
    struct netdev_stats *stats; /* by CPU */
    struct gro *gro;            /* by CPU: its work thread's; NULL: nothing is merged */
    struct netdev *next;        /* list of all; set before it is published */
    unsigned promisc, allmulti; /* how many want that; netdev_want */
};

void netdev_init(void); /* boot */
/* Complete and publish: name, index, queues (queue_count set by the driver), stats. -ENOMEM. */
int must_check netdev_register(struct netdev *dev);
struct netdev *netdev_first(void); /* any context */
struct netdev *netdev_next(const struct netdev *dev);
struct netdev *netdev_by_index(unsigned index);
struct netdev *netdev_by_name(const char *name);

/* For drivers. Consumes. From the poll work. */
void netdev_receive(struct netdev *dev, struct pkt *pkt);
/* The poll ends: what was held back to be merged (drv/gro.h) goes up. */
void netdev_receive_done(struct netdev *dev);
void netdev_wake(struct netdev *dev, unsigned queue); /* there is room; any context */
void netdev_carrier(struct netdev *dev, bool on);     /* thread context */
/* A packet that came damaged, or for which there was no memory: counted. */
void netdev_receive_error(struct netdev *dev);
void netdev_receive_drop(struct netdev *dev);

/* A poll that several may queue (the handler, on any CPU, and itself): whoever gets true does.
 * Given back by an exchange with false when the device has nothing more; then one looks once more.
 */
static inline bool must_check netdev_poll_take(bool *polling)
{
    /* Acquire and release: the poll before has left the queue to this one. */
    return !__atomic_exchange_n(polling, true, __ATOMIC_ACQ_REL);
}

/* For the stack: consumes. A link header is in place. Segmentation and checksums that the device
 * cannot do are done here. 0, or a negative errno: it was dropped and counted (-ENOBUFS, -ENETDOWN,
 * -EMSGSIZE). Thread context; takes RANK_NETDEV. */
int netdev_send(struct netdev *dev, struct pkt *pkt);

/* Up or down; the maximum transmission unit. -EINVAL: the device cannot. Thread context;
 * RANK_NETDEV_UP. */
int must_check netdev_set_up(struct netdev *dev, bool up);
int must_check netdev_set_mtu(struct netdev *dev, unsigned mtu);
/* One more (or less) wants NETDEV_PROMISC or NETDEV_ALLMULTI: the flag is there while anybody does.
 */
void netdev_want(struct netdev *dev, uint32_t flag, bool more);
static inline uint32_t netdev_flags(const struct netdev *dev)
{
    return __atomic_load_n(&dev->flags, __ATOMIC_RELAXED);
}
static inline unsigned netdev_mtu(const struct netdev *dev)
{
    return __atomic_load_n(&dev->mtu, __ATOMIC_RELAXED);
}

/* lo, index 1: to be made before any driver registers (drv/loopback.c). -ENOMEM. */
int must_check loopback_init(void);
extern struct netdev loopback;

/* The stack's entry, set once at boot, before the first device: consumes. */
extern void (*netdev_input)(struct pkt *pkt);
/* Sees each device before anybody else (faulty_netdev.h); NULL mostly. */
extern void (*netdev_registering)(struct netdev *dev);
/* Is told of changes of flags, carrier, mtu (to tell netlink, start DHCP); thread context. */
extern void (*netdev_changed)(struct netdev *dev);
/* Sees every packet that comes and goes (AF_PACKET, recording); NULL mostly. Not to keep it. */
extern void (*netdev_tap)(struct netdev *dev, const struct pkt *pkt, bool outgoing);

void netdev_get_stats(const struct netdev *dev, struct netdev_stats *out);

#endif
