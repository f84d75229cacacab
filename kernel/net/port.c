/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * port.c - who has which local port. Contract: inet.h.
 *
 * A hash of lists by protocol and port, a lock for each bucket, held for list operations only. What
 * may stand beside what is decided here (socket(7), SO_REUSEADDR and SO_REUSEPORT; ip(7)), whom a
 * packet goes to in flow.c.
 *
 * An ephemeral port for a connection need not be free: connections of different peers may share
 * one, as long as nobody has bound it. So a host has 28,000 connections to each address and port,
 * not in all.
 */
#include "core/random.h"
#include "core/spinlock.h"
#include "fs/vfs.h"
#include "lib/bytes.h"
#include "lib/errno.h"
#include "lib/siphash.h"
#include "net/inet.h"

#define PORT_BUCKETS 256u
#define OP_LOCKS 64u

static struct {
    struct {
        struct spinlock lock; /* RANK_PORT */
        struct list uses;
    } bucket[PORT_BUCKETS];
    struct siphash_key key; /* for the order of ephemeral ports */
    uint32_t counter;       /* RFC 6056, 3.3.3: next_ephemeral; atomic */
} ports;
static struct mutex op_locks[OP_LOCKS]; /* of all sockets: each would be 64 bytes of an idle one */

struct mutex *inet_op_lock(const struct inet_sock *sock)
{
    return &op_locks[sock->base.ino % OP_LOCKS];
}

void port_table_init(void)
{
    for (unsigned i = 0; i < OP_LOCKS; i++)
        mutex_init(&op_locks[i], RANK_SOCK_NAME);
    for (unsigned i = 0; i < PORT_BUCKETS; i++) {
        spin_init(&ports.bucket[i].lock, RANK_PORT);
        list_init(&ports.bucket[i].uses);
    }
    random_bytes(&ports.key, sizeof(ports.key));
    random_bytes(&ports.counter, sizeof(ports.counter));
}

static unsigned bucket_of(uint8_t protocol, uint16_t port)
{
    return (port ^ protocol) % PORT_BUCKETS;
}

/* ---- what may stand beside what ---- */

/* Could one packet be for both? An unspecified IPv6 address stands for all of IPv4, too. */
static bool addresses_overlap(const struct port_use *a, const struct port_use *b)
{
    bool a4 = net_addr_is_v4(&a->local), b4 = net_addr_is_v4(&b->local);
    bool a_any = net_addr_is_any(&a->local), b_any = net_addr_is_any(&b->local);
    if (a4 == b4)
        return a_any || b_any || net_addr_equal(&a->local, &b->local);
    const struct port_use *six = a4 ? b : a;
    return net_addr_is_any(&six->local) && !six->v6_only;
}

/* SO_REUSEADDR: beside everything that does not listen, so that a server can start again while
 * connections of the last one live. */
static bool conflict(const struct port_use *a, const struct port_use *b)
{
    if (a->port != b->port || a->protocol != b->protocol || !addresses_overlap(a, b))
        return false;
    if (a->device && b->device && a->device != b->device)
        return false;
    if (a->reuse_port && b->reuse_port && a->uid == b->uid)
        return false;
    return !(a->reuse_address && b->reuse_address && !b->listening);
}

/* Under the bucket's lock. */
static bool fits(const struct port_use *use)
{
    list_for_each (node, &ports.bucket[bucket_of(use->protocol, use->port)].uses) {
        const struct port_use *other = list_entry(node, struct port_use, link);
        if (other != use && conflict(use, other))
            return false;
    }
    return true;
}

/* With `port` if that may be; else it has none. */
static bool take(struct port_use *use, uint16_t port)
{
    unsigned b = bucket_of(use->protocol, port);
    spin_lock(&ports.bucket[b].lock);
    use->port = port;
    bool ok = fits(use);
    if (ok)
        list_push_back(&ports.bucket[b].uses, &use->link);
    else
        use->port = 0;
    spin_unlock(&ports.bucket[b].lock);
    return ok;
}

struct port_limits port_limits = {PORT_EPHEMERAL_FIRST, PORT_EPHEMERAL_LAST, 1024};

/* The first ephemeral port, and how many there are. The two may be changed between the loads. What
 * a socket wants counts where it lies within (Linux: inet_sk_get_local_port_range). */
static uint32_t ephemeral(struct port_range want, uint32_t *span)
{
    uint32_t first = __atomic_load_n(&port_limits.first, __ATOMIC_RELAXED);
    uint32_t last = __atomic_load_n(&port_limits.last, __ATOMIC_RELAXED);
    if (first <= want.first && want.first <= last)
        first = want.first;
    if (first <= want.last && want.last <= last)
        last = want.last;
    *span = MAX(first, last) - first + 1;
    return first;
}

int port_bind(struct port_use *use, uint16_t port, struct port_range range)
{
    uint32_t span, first = ephemeral(range, &span);
    if (port) {
        if (port < __atomic_load_n(&port_limits.unprivileged, __ATOMIC_RELAXED) &&
            proc_cred()->euid != 0)
            return -EACCES;
        return take(use, port) ? 0 : -EADDRINUSE;
    }
    uint32_t start = (uint32_t)random_u64() % span;
    /* Not one that others have and would share (SO_REUSEPORT): who asks for any port wants one of
     * its own. */
    bool reuse_port = use->reuse_port, reuse_address = use->reuse_address;
    use->reuse_port = use->reuse_address = false;
    int err = -EADDRINUSE;
    for (uint32_t i = 0; err && i < span; i++)
        if (take(use, (uint16_t)(first + (start + i) % span)))
            err = 0;
    use->reuse_port = reuse_port;
    use->reuse_address = reuse_address;
    return err;
}

/* ---- connections ---- */

/* May a connection with an ephemeral port have this one? Under the bucket's lock. */
static bool sharable(uint8_t protocol, uint16_t port)
{
    list_for_each (node, &ports.bucket[bucket_of(protocol, port)].uses) {
        const struct port_use *other = list_entry(node, struct port_use, link);
        if (other->port == port && other->protocol == protocol && !other->shared)
            return false;
    }
    return true;
}

static int try_port(struct port_use *use, uint16_t port, int (*try)(void *arg), void *arg)
{
    unsigned b = bucket_of(use->protocol, port);
    int err = -EADDRINUSE;
    spin_lock(&ports.bucket[b].lock);
    if (sharable(use->protocol, port)) {
        use->port = port;
        use->shared = true;
        err = try(arg);
        if (err == 0) {
            list_push_back(&ports.bucket[b].uses, &use->link);
        } else {
            use->port = 0;
            use->shared = false;
        }
    }
    spin_unlock(&ports.bucket[b].lock);
    return err;
}

int port_connect(struct port_use *use, const struct net_addr *remote, uint16_t remote_port,
                 struct port_range range, int (*try)(void *arg), void *arg)
{
    uint32_t span, first = ephemeral(range, &span);
    /* RFC 6056, 3.3.3: the offset depends on where we connect to, so that a stranger who sees one
     * connection knows nothing of those to others; the counter makes ports come back late. */
    uint64_t words[5] = {use->local.half[0], use->local.half[1], remote->half[0], remote->half[1],
                         remote_port};
    uint32_t offset = (uint32_t)siphash(&ports.key, words, 5);
    uint32_t count = __atomic_fetch_add(&ports.counter, 1, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < span; i++) {
        uint32_t at = (uint32_t)((uint64_t)(offset + count + i) % span);
        int err = try_port(use, (uint16_t)(first + at), try, arg);
        if (err == -EADDRINUSE)
            continue;
        /* The counter goes on behind it, as the RFC has it, so that a stretch of ports in TIME-WAIT
         * is gone through once in a round and not by each connection. */
        if (i)
            __atomic_fetch_add(&ports.counter, i, __ATOMIC_RELAXED);
        return err;
    }
    return -EADDRNOTAVAIL;
}

int port_listen(struct port_use *use)
{
    unsigned b = bucket_of(use->protocol, use->port);
    spin_lock(&ports.bucket[b].lock);
    use->listening = true;
    bool ok = fits(use);
    if (!ok)
        use->listening = false;
    spin_unlock(&ports.bucket[b].lock);
    return ok ? 0 : -EADDRINUSE;
}

void port_unlisten(struct port_use *use)
{
    unsigned b = bucket_of(use->protocol, use->port);
    spin_lock(&ports.bucket[b].lock);
    use->listening = false;
    spin_unlock(&ports.bucket[b].lock);
}

void port_inherit(struct port_use *use, const struct port_use *parent)
{
    unsigned b = bucket_of(parent->protocol, parent->port);
    spin_lock(&ports.bucket[b].lock);
    *use = *parent;
    use->listening = false;
    use->shared = true;
    list_push_back(&ports.bucket[b].uses, &use->link);
    spin_unlock(&ports.bucket[b].lock);
}

void port_release(struct port_use *use)
{
    if (!use->port)
        return;
    unsigned b = bucket_of(use->protocol, use->port);
    spin_lock(&ports.bucket[b].lock);
    list_remove(&use->link);
    use->port = 0;
    spin_unlock(&ports.bucket[b].lock);
}

void port_set_device(struct port_use *use, unsigned device)
{
    if (!use->port)
        return;
    unsigned b = bucket_of(use->protocol, use->port);
    spin_lock(&ports.bucket[b].lock);
    use->device = device;
    spin_unlock(&ports.bucket[b].lock);
}
