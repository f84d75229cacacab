/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inet_group.c - multicast groups that a socket has joined, and from whom it takes what is sent to
 * them (ip(7), ipv6(7), RFC 3678). All is under the socket's lock.
 *
 * The network is told of groups only (igmp.c); sources are sorted out here.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/usercopy.h"
#include "net/inet.h"

enum {
    IP_MULTICAST_IF = 32,
    IP_ADD_MEMBERSHIP = 35,
    IP_DROP_MEMBERSHIP = 36,
    IP_UNBLOCK_SOURCE = 37,
    IP_BLOCK_SOURCE = 38,
    IP_ADD_SOURCE_MEMBERSHIP = 39,
    IP_DROP_SOURCE_MEMBERSHIP = 40,
    MCAST_JOIN_GROUP = 42,
    MCAST_BLOCK_SOURCE = 43,
    MCAST_UNBLOCK_SOURCE = 44,
    MCAST_LEAVE_GROUP = 45,
    MCAST_JOIN_SOURCE_GROUP = 46,
    MCAST_LEAVE_SOURCE_GROUP = 47,
};
enum { IPV6_ADD_MEMBERSHIP = 20, IPV6_DROP_MEMBERSHIP = 21 };

#define GROUPS_MAX 20u  /* net.ipv4.igmp_max_memberships */
#define SOURCES_MAX 10u /* net.ipv4.igmp_max_msf */
#define GROUP_AT 8u     /* in struct group_req and group_source_req */
#define SOURCE_AT 136u
#define SOURCE_REQ_LEN 264u

struct inet_group {
    struct inet_group *next;
    struct net_addr address;
    unsigned device; /* as asked for; 0: by the route */
    bool include;    /* only what these sources send; else all but that */
    uint8_t count;
    struct net_addr source[SOURCES_MAX];
};

/* What an option asks for. */
struct request {
    struct net_addr group, address, source; /* address: ours, which says the device */
    unsigned device;
};

static struct inet_group **find_group(struct inet_sock *sock, const struct net_addr *address,
                                      unsigned device)
{
    struct inet_group **link = &sock->groups;
    while (*link && !(net_addr_equal(&(*link)->address, address) && (*link)->device == device))
        link = &(*link)->next;
    return link;
}

static int join_locked(struct inet_sock *sock, const struct net_addr *address, unsigned device)
{
    unsigned count = 0;
    if (!net_addr_is_multicast(address))
        return -EINVAL;
    if (*find_group(sock, address, device))
        return -EADDRINUSE;
    for (const struct inet_group *g = sock->groups; g; g = g->next)
        count++;
    if (count >= GROUPS_MAX)
        return -ENOBUFS;
    struct inet_group *group = owner_alloc(OWNER_SOCKET, sizeof(*group));
    if (!group)
        return -ENOMEM;
    int err = ip_group_join(address, device);
    if (err) {
        owner_free(OWNER_SOCKET, group, sizeof(*group));
        return err;
    }
    *group = (struct inet_group){.next = sock->groups, .address = *address, .device = device};
    sock->groups = group;
    return 0;
}

static void leave(struct inet_group **link)
{
    struct inet_group *group = *link;
    *link = group->next;
    (void)!ip_group_leave(&group->address, group->device); /* the device may have gone down */
    owner_free(OWNER_SOCKET, group, sizeof(*group));
}

static int leave_locked(struct inet_sock *sock, const struct net_addr *address, unsigned device)
{
    struct inet_group **link = find_group(sock, address, device);
    if (!*link)
        return -EADDRNOTAVAIL;
    leave(link);
    return 0;
}

void inet_groups_leave(struct inet_sock *sock)
{
    while (sock->groups)
        leave(&sock->groups);
}

/* ---- sources ---- */

static unsigned find_source(const struct inet_group *group, const struct net_addr *source)
{
    unsigned i = 0;
    while (i < group->count && !net_addr_equal(&group->source[i], source))
        i++;
    return i;
}

bool inet_group_wanted(const struct inet_sock *sock, const struct net_addr *group, unsigned device,
                       const struct net_addr *source)
{
    for (const struct inet_group *g = sock->groups; g; g = g->next)
        if (net_addr_equal(&g->address, group) && (!g->device || g->device == device))
            return (find_source(g, source) < g->count) == g->include;
    return __atomic_load_n(&sock->options, __ATOMIC_RELAXED) &
           (net_addr_is_v4(group) ? INET_MULTICAST_ALL : INET_MULTICAST_ALL6);
}

/* To or from those that it takes (include), or those that it does not. Errors are Linux's
 * (ip_mc_source). */
static int change_source_locked(struct inet_sock *sock, const struct request *r, bool include,
                                bool add)
{
    int err = include && add ? join_locked(sock, &r->group, r->device) : 0;
    if (err && err != -EADDRINUSE)
        return err;
    struct inet_group **link = find_group(sock, &r->group, r->device), *g = *link;
    if (!g || (g->include != include && g->count > 0))
        return -EINVAL;
    g->include = include;
    unsigned at = find_source(g, &r->source);
    if ((at < g->count) == add)
        return -EADDRNOTAVAIL;
    if (add && g->count == SOURCES_MAX)
        return -ENOBUFS;
    if (add)
        g->source[g->count++] = r->source;
    else if (include && g->count == 1)
        leave(link);
    else
        g->source[at] = g->source[--g->count];
    return 0;
}

/* ---- what programs say ---- */

/* The device that has this address; 0: none. */
static unsigned device_of(const struct net_addr *address)
{
    for (struct netdev *dev = netdev_first(); dev; dev = dev->next)
        if (ip_is_local(address, dev->index))
            return dev->index;
    return 0;
}

static int find_device(struct request *r, uint32_t address)
{
    r->address = net_addr_v4(address);
    if (r->device)
        return netdev_by_index(r->device) ? 0 : -ENODEV;
    if (address)
        r->device = device_of(&r->address);
    return address && !r->device ? -ENODEV : 0;
}

/* struct ip_mreqn, or ip_mreq, its first eight bytes: group, our address, device. */
static int get_mreq4(uaddr_t value, unsigned len, struct request *r)
{
    struct {
        uint32_t group, address;
        int32_t device;
    } mreq = {0, 0, 0};
    if (len < 8)
        return -EINVAL;
    int err = copyin(&mreq, value, MIN((size_t)len, sizeof(mreq)));
    if (err)
        return err;
    r->group = net_addr_v4(mreq.group);
    r->device = (unsigned)mreq.device;
    return find_device(r, mreq.address);
}

/* struct ip_mreq_source. */
static int get_mreq_source(uaddr_t value, unsigned len, struct request *r)
{
    struct {
        uint32_t group, address, source;
    } mreq;
    if (len != sizeof(mreq))
        return -EINVAL;
    int err = copyin(&mreq, value, sizeof(mreq));
    if (err)
        return err;
    r->group = net_addr_v4(mreq.group);
    r->source = net_addr_v4(mreq.source);
    return find_device(r, mreq.address);
}

static int get_mreq6(uaddr_t value, unsigned len, struct request *r)
{
    struct {
        uint8_t group[16];
        int32_t device;
    } mreq;
    if (len < sizeof(mreq))
        return -EINVAL;
    int err = copyin(&mreq, value, sizeof(mreq));
    if (err)
        return err;
    memcpy(r->group.bytes, mreq.group, sizeof(mreq.group));
    r->device = (unsigned)mreq.device;
    return r->device && !netdev_by_index(r->device) ? -ENODEV : 0;
}

static int get_name(const struct inet_sock *sock, uaddr_t value, unsigned at, unsigned len,
                    struct net_addr *out)
{
    struct socket_name name = {.len = MIN(len - at, SOCKET_NAME_MAX)};
    struct inet_name in;
    int err = copyin(name.bytes, uaddr(value.raw + at), name.len);
    if (err == 0)
        err = inet_name_get(sock, &name, &in);
    if (err == 0)
        *out = in.address;
    return err;
}

/* struct group_req, group_source_req: the device, then one sockaddr, or two. */
static int get_group_req(const struct inet_sock *sock, uaddr_t value, unsigned len, bool source,
                         struct request *r)
{
    uint32_t index;
    if (len < (source ? SOURCE_REQ_LEN : GROUP_AT + INADDR_NAME_LEN))
        return -EINVAL;
    int err = copyin(&index, value, sizeof(index));
    if (err == 0)
        err = get_name(sock, value, GROUP_AT, len, &r->group);
    if (err == 0 && source)
        err = get_name(sock, value, SOURCE_AT, len, &r->source);
    if (err)
        return err;
    r->device = index;
    return index && !netdev_by_index(index) ? -ENODEV : 0;
}

static int set_multicast_device(struct inet_sock *sock, uaddr_t value, unsigned len)
{
    struct request r = {.address = net_addr_any_v4};
    uint32_t only = 0;
    int err = 0;
    if (len >= 8) {
        err = get_mreq4(value, len, &r);
    } else if (len >= sizeof(only)) {
        err = copyin(&only, value, sizeof(only));
        r.address = net_addr_v4(only);
        if (err == 0 && only && !(r.device = device_of(&r.address)))
            err = -EADDRNOTAVAIL;
    } else {
        err = -EINVAL;
    }
    if (err)
        return err;
    inet_lock(sock);
    sock->multicast_device = r.device;
    sock->multicast_source = r.address;
    route_release(&sock->route);
    inet_unlock(sock);
    return 0;
}

static int set_group(struct inet_sock *sock, int level, int name, uaddr_t value, unsigned len,
                     bool join)
{
    struct request r = {.device = 0};
    int err;
    if (name == MCAST_JOIN_GROUP || name == MCAST_LEAVE_GROUP)
        err = get_group_req(sock, value, len, false, &r);
    else if (level == SOL_IP)
        err = get_mreq4(value, len, &r);
    else
        err = get_mreq6(value, len, &r);
    if (err)
        return err;
    inet_lock(sock);
    err = join ? join_locked(sock, &r.group, r.device) : leave_locked(sock, &r.group, r.device);
    inet_unlock(sock);
    return err;
}

static int set_source(struct inet_sock *sock, int name, uaddr_t value, unsigned len, bool include,
                      bool add)
{
    struct request r = {.device = 0};
    int err = name < MCAST_JOIN_GROUP ? get_mreq_source(value, len, &r)
                                      : get_group_req(sock, value, len, true, &r);
    if (err)
        return err;
    inet_lock(sock);
    err = change_source_locked(sock, &r, include, add);
    inet_unlock(sock);
    return err;
}

int inet_group_option(struct inet_sock *sock, int level, int name, uaddr_t value, unsigned len)
{
    static const struct {
        uint8_t name;
        bool include, add;
    } sources[] = {
        {IP_UNBLOCK_SOURCE, false, false},      {IP_BLOCK_SOURCE, false, true},
        {IP_ADD_SOURCE_MEMBERSHIP, true, true}, {IP_DROP_SOURCE_MEMBERSHIP, true, false},
        {MCAST_UNBLOCK_SOURCE, false, false},   {MCAST_BLOCK_SOURCE, false, true},
        {MCAST_JOIN_SOURCE_GROUP, true, true},  {MCAST_LEAVE_SOURCE_GROUP, true, false},
    };
    bool v4 = level == SOL_IP;
    if (v4 && name == IP_MULTICAST_IF)
        return set_multicast_device(sock, value, len);
    for (size_t i = 0; i < ARRAY_COUNT(sources); i++)
        if (sources[i].name == name && (v4 || name > MCAST_JOIN_GROUP))
            return set_source(sock, name, value, len, sources[i].include, sources[i].add);
    bool join = name == (v4 ? IP_ADD_MEMBERSHIP : IPV6_ADD_MEMBERSHIP) || name == MCAST_JOIN_GROUP;
    if (!join && name != (v4 ? IP_DROP_MEMBERSHIP : IPV6_DROP_MEMBERSHIP) &&
        name != MCAST_LEAVE_GROUP)
        return -ENOPROTOOPT;
    return set_group(sock, level, name, value, len, join);
}
