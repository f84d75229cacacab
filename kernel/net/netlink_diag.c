/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlink_diag.c - NETLINK_SOCK_DIAG (sock_diag(7)): what ss asks about TCP and UDP sockets. Other
 * families are refused with ENOENT, as by a Linux without their modules; ss then reads /proc/net.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "net/inetlist.h"
#include "net/netlink.h"

enum { SOCK_DIAG_BY_FAMILY = 20, SOCK_DESTROY = 21 };
enum { INET_DIAG_INFO = 2, INET_DIAG_CONG = 4, INET_DIAG_SHUTDOWN = 8 };

struct diag_id { /* struct inet_diag_sockid */
    uint16_t local_port, remote_port;
    uint8_t local[16], remote[16];
    uint32_t device, cookie[2];
};
struct diag_request { /* struct inet_diag_req_v2 */
    uint8_t family, protocol, extensions, pad;
    uint32_t states;
    struct diag_id id;
};
struct diag_message { /* struct inet_diag_msg */
    uint8_t family, state, timer, retries;
    struct diag_id id;
    uint32_t expires_ms, rqueue, wqueue, uid, inode;
};
STATIC_ASSERT(sizeof(struct diag_request) == 56 && sizeof(struct diag_message) == 72);

struct dump {
    struct netlink_out *out;
    struct diag_request request;
    bool one; /* the socket that the request names */
    bool found;
};

static void put_address(uint8_t *to, const struct net_addr *a, uint8_t family)
{
    if (family == AF_INET)
        memcpy(to, &a->word[3], 4);
    else
        memcpy(to, a->bytes, 16);
}

static bool is_named(const struct diag_message *m, const struct diag_request *r)
{
    const struct diag_id *a = &m->id, *b = &r->id;
    unsigned len = m->family == AF_INET ? 4 : 16;
    return a->local_port == b->local_port && a->remote_port == b->remote_port &&
           memcmp(a->local, b->local, len) == 0 && memcmp(a->remote, b->remote, len) == 0;
}

static bool show(const struct inet_view *v, void *arg)
{
    struct dump *d = arg;
    struct diag_message m = {
        .family = v->family,
        .state = v->state,
        .timer = v->timer,
        .retries = v->retries,
        .id = {.local_port = v->key.local_port,
               .remote_port = v->key.remote_port,
               .device = v->device,
               .cookie = {(uint32_t)v->ino, 0}},
        .expires_ms = v->expires_ms,
        .rqueue = v->rqueue,
        .wqueue = v->wqueue,
        .uid = v->uid,
        .inode = (uint32_t)v->ino,
    };
    if (v->family != d->request.family || !(d->request.states >> v->state & 1))
        return true;
    put_address(m.id.local, &v->key.local, v->family);
    put_address(m.id.remote, &v->key.remote, v->family);
    if (d->one && !is_named(&m, &d->request))
        return true;
    netlink_begin(d->out, SOCK_DIAG_BY_FAMILY, d->one ? 0 : NLM_F_MULTI, &m, sizeof(m));
    if (v->has_info && d->request.extensions >> (INET_DIAG_INFO - 1) & 1)
        netlink_put(d->out, INET_DIAG_INFO, &v->info, sizeof(v->info));
    netlink_end(d->out);
    d->found = true;
    return d->out->err == 0 && !d->one;
}

int netlink_diag(const struct netlink_request *request, struct netlink_out *out)
{
    struct dump dump = {.out = out};
    bool all = (request->header->flags & NLM_F_DUMP) == NLM_F_DUMP;
    if (request->header->type == SOCK_DESTROY)
        return -EOPNOTSUPP;
    if (request->header->type != SOCK_DIAG_BY_FAMILY ||
        request->body_len < sizeof(dump.request.family) + sizeof(dump.request.protocol))
        return -EINVAL;
    if (request->body[0] != AF_INET && request->body[0] != AF_INET6)
        return -ENOENT;
    if (request->body_len < sizeof(dump.request))
        return -EINVAL;
    memcpy(&dump.request, request->body, sizeof(dump.request));
    if (dump.request.protocol != IPPROTO_TCP && dump.request.protocol != IPPROTO_UDP)
        return -ENOENT;
    dump.one = !all;
    if (dump.one)
        dump.request.states = UINT32_MAX;
    out->dump = all;
    inet_list(dump.request.protocol, show, &dump);
    return all || dump.found ? 0 : -ENOENT;
}
