/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * udp_world.h - surroundings of UDP sockets for tests: an IP layer with one host, 10.0.0.1 and
 * fd00::1, whose packets to itself come back as if by a wire, and to others are kept; and calls on
 * sockets in one line.
 */
#ifndef SELKIE_UNIT_NET_UDP_WORLD_H
#define SELKIE_UNIT_NET_UDP_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "fs/fake_fs.h"
#include "lib/bytes.h"
#include "mm/account.h"
#include "net/inet.h"
#include "net/mib.h"
#include "net/sysctl.h"

/* ---- the IP layer ---- */

const struct net_addr net_addr_any = {.half = {0, 0}};
const struct net_addr net_addr_any_v4 = {.bytes = {[10] = 0xff, 0xff}};
uint32_t route_generation;
uint8_t ip_default_ttl = 64;
static unused void tell(struct file *file, const struct ip_error *error)
{
    struct flow *flow = &inet_of(socket_of_file(file))->flow;
    flow->ops->error(flow, error);
}
static struct netdev wire = {.name = "eth0", .index = 2, .mtu = 1500};
static struct pkt *sent; /* the last packet to somebody else, with the IP header */
static unsigned delivered;
static unsigned asked_device; /* of the last route_lookup */
static uint32_t tail;         /* bytes of IP behind the UDP datagram, in a piece of their own */

static struct net_addr v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return net_addr_v4((uint32_t)d << 24 | (uint32_t)c << 16 | (uint32_t)b << 8 | a);
}
static unused struct net_addr v6(uint8_t last)
{
    return (struct net_addr){.bytes = {0xfd, [15] = last}};
}
bool ip_is_local(const struct net_addr *a, unsigned device)
{
    struct net_addr mine = v4(10, 0, 0, 1), mine6 = v6(1), lo = v4(127, 0, 0, 1);
    (void)device;
    return net_addr_equal(a, &mine) || net_addr_equal(a, &mine6) || net_addr_equal(a, &lo);
}
bool ip_is_broadcast(const struct net_addr *a, unsigned device)
{
    (void)device;
    return net_addr_is_v4(a) && a->word[3] == UINT32_MAX;
}
int ip_group_join(const struct net_addr *group, unsigned device)
{
    (void)group;
    return device == 9 ? -ENODEV : 0;
}
int ip_group_leave(const struct net_addr *group, unsigned device)
{
    (void)group, (void)device;
    return 0;
}
struct netdev *netdev_first(void)
{
    return &wire;
}
struct netdev *netdev_by_index(unsigned index)
{
    return index == wire.index ? &wire : NULL;
}
struct netdev *netdev_by_name(const char *name)
{
    return strcmp(name, wire.name) == 0 ? &wire : NULL;
}
int route_lookup(struct ip_route *route, const struct net_addr *remote,
                 const struct net_addr *source, unsigned device)
{
    asked_device = device;
    bool is4 = net_addr_is_v4(remote);
    if (is4 && remote->bytes[12] == 99)
        return -ENETUNREACH;
    *route = (struct ip_route){.dev = &wire,
                               .remote = *remote,
                               .mtu = 1500,
                               .generation = route_generation,
                               .v4 = is4,
                               .broadcast = ip_is_broadcast(remote, 0)};
    route->source = source && !net_addr_is_any(source) ? *source : is4 ? v4(10, 0, 0, 1) : v6(1);
    return 0;
}
void route_release(struct ip_route *route)
{
    route->dev = NULL;
}
bool ip_checksum_ok(const struct pkt *pkt, uint32_t offset, uint32_t len,
                    const struct net_addr *source, const struct net_addr *remote, uint8_t protocol)
{
    return pkt_checksum(pkt, offset, len, ip_pseudo_sum(source, remote, protocol, len)) == 0xffff;
}

static struct work *works[16];
static unsigned work_count;
void work_init(struct work *work, void (*fn)(struct work *work))
{
    *work = (struct work){.fn = fn};
}
bool work_queue(struct work *work)
{
    if (work->queued)
        return false;
    work->queued = true;
    works[work_count++] = work;
    return true;
}
static void run_works(void)
{
    while (work_count > 0) {
        struct work *work = works[--work_count];
        work->queued = false;
        work->fn(work);
    }
}

static void complete_checksum(struct pkt *pkt)
{
    uint32_t start = (uint32_t)(pkt->room + pkt->checksum_start - pkt->data);
    uint16_t sum = (uint16_t)~pkt_checksum(pkt, start, pkt->total - start, 0);
    pkt_write(pkt, start + pkt->checksum_field, &sum, 2);
    pkt->checksum = PKT_CHECKSUM_NONE;
}

static uint64_t counted[MIB_COUNT];
void mib_add(enum mib_counter counter, uint64_t n)
{
    counted[counter] += n;
}

static bool sent_no_loop; /* the last packet */
static int output_error;  /* of all packets, if not 0 */
int ip_output(const struct ip_route *route, struct pkt *pkt, const struct net_addr *source,
              const struct ip_params *params)
{
    if (output_error) {
        pkt_free(pkt);
        return output_error;
    }
    sent_no_loop = params->no_loop;
    pkt->transport = (uint16_t)(pkt->data - pkt->room);
    if (pkt->checksum == PKT_CHECKSUM_PARTIAL)
        complete_checksum(pkt);
    if (tail) {
        struct pkt *more = pkt_alloc(0, tail, 0);
        assert_non_null(more);
        memset(pkt_put(more, tail), 0, tail);
        pkt_append(pkt, more);
    }
    uint32_t len = pkt->total;
    if (route->v4) {
        uint8_t *ip = pkt_push(pkt, IP4_HEADER_LEN);
        memset(ip, 0, IP4_HEADER_LEN);
        ip[0] = 0x45;
        ip[1] = params->tos;
        put_be16(ip + 2, (uint16_t)(len + IP4_HEADER_LEN));
        ip[8] = params->ttl ? params->ttl : 64;
        ip[9] = params->protocol;
        memcpy(ip + 12, &source->word[3], 4);
        memcpy(ip + 16, &route->remote.word[3], 4);
        uint16_t sum = (uint16_t)~checksum_add(ip, IP4_HEADER_LEN, 0);
        memcpy(ip + 10, &sum, 2);
    } else {
        uint8_t *ip = pkt_push(pkt, IP6_HEADER_LEN);
        put_be32(ip, 0x60000000u | (uint32_t)params->tos << 20);
        put_be16(ip + 4, (uint16_t)len);
        ip[6] = params->protocol;
        ip[7] = params->ttl ? params->ttl : 64;
        memcpy(ip + 8, source, 16);
        memcpy(ip + 24, &route->remote, 16);
    }
    pkt->network = (uint16_t)(pkt->data - pkt->room);
    if (!ip_is_local(&route->remote, 0)) {
        pkt_free(sent);
        sent = pkt;
        return 0;
    }
    pkt->dev = &wire;
    struct classified about;
    assert_int_equal(classify(pkt->data, pkt->len, pkt->total, false, &about), CLASSIFY_FLOW);
    unsigned token = rcu_read_lock();
    struct flow *flow = flow_find(&about.key, flow_hash(&about.key), wire.index);
    if (!flow)
        pkt_free(pkt);
    else
        delivered += flow_deliver(flow, pkt);
    rcu_read_unlock(token);
    return 0;
}

static unsigned again;
void ip_input_again(struct pkt *pkt)
{
    again++;
    pkt_free(pkt);
}

/* The other protocols of the families are not here. */
int tcp_create(int family, int type, int protocol, struct socket **out)
{
    (void)family, (void)type, (void)protocol, (void)out;
    return -ESOCKTNOSUPPORT;
}
int raw_create(int family, int type, int protocol, struct socket **out)
{
    return tcp_create(family, type, protocol, out);
}
void tcp_sock_init(void)
{
}
void raw_init(void)
{
}
long inet_ioctl(struct socket *socket, unsigned cmd, uintptr_t arg)
{
    (void)socket, (void)cmd, (void)arg;
    return -ENOTTY;
}

/* ---- helpers ---- */

static int set_up(void **state)
{
    static bool once;
    (void)state;
    fake_hal_init(64u << 20);
    int err = fake_fs_boot(NULL, 0);
    if (err)
        return err;
    pkt_init();
    if (!once)
        err = inet_init();
    else
        err = flow_table_init();
    port_table_init();
    once = true;
    delivered = 0;
    return err;
}

static int tear_down(void **state)
{
    (void)state;
    pkt_free(sent);
    sent = NULL;
    run_works();
    rcu_synchronize();
    assert_int_equal(owner_get(OWNER_SOCKET).objects, 0);
    fake_fs_end();
    return 0;
}

static struct socket_name name4(struct net_addr a, uint16_t port)
{
    struct socket_name name = {.len = 16, .family = AF_INET};
    put_be16(name.bytes + 2, port);
    memcpy(name.bytes + 4, a.bytes + 12, 4);
    return name;
}
static unused struct socket_name name6(struct net_addr a, uint16_t port)
{
    struct socket_name name = {.len = 28, .family = AF_INET6};
    put_be16(name.bytes + 2, port);
    memcpy(name.bytes + 8, a.bytes, 16);
    return name;
}
static uint16_t port_of(const struct socket_name *name)
{
    return get_be16(name->bytes + 2);
}
static struct file *make(int family)
{
    struct socket *socket;
    struct file *file;
    assert_int_equal(socket_create(family, SOCK_DGRAM, 0, &socket), 0);
    assert_int_equal(socket_file(socket, O_NONBLOCK, &file), 0);
    return file;
}
static struct socket *sock(struct file *file)
{
    return socket_of_file(file);
}
static struct file *bound(int family, struct net_addr a, uint16_t port)
{
    struct file *file = make(family);
    struct socket_name name = family == AF_INET ? name4(a, port) : name6(a, port);
    assert_int_equal(socket_bind(sock(file), &name), 0);
    return file;
}
static uint16_t local_port(struct file *file)
{
    struct socket_name name;
    assert_int_equal(socket_get_name(sock(file), false, &name), 0);
    return port_of(&name);
}
static unused int set_int(struct file *file, int level, int name, int value)
{
    return socket_set_option(sock(file), level, name, uaddr((uintptr_t)&value), sizeof value);
}
static long send_to(struct file *file, const struct socket_name *to, const void *data, size_t len,
                    uint32_t flags)
{
    struct iov one;
    struct iov_iter it;
    struct socket_name copy;
    if (to)
        copy = *to;
    iov_iter_init_kernel(&it, &one, (void *)(uintptr_t)data, len);
    struct socket_msg msg = {.data = &it, .flags = flags | MSG_DONTWAIT, .name = to ? &copy : NULL};
    long n = socket_send(sock(file), &msg);
    run_works();
    return n;
}
static struct socket_msg last;
static long recv_from(struct file *file, void *data, size_t len, uint32_t flags,
                      struct socket_name *from)
{
    struct iov one;
    struct iov_iter it;
    iov_iter_init_kernel(&it, &one, data, len);
    last = (struct socket_msg){.data = &it, .flags = flags | MSG_DONTWAIT, .name = from};
    return socket_recv(sock(file), &last);
}

#endif
