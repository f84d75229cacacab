/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * zerocopy.c - MSG_ZEROCOPY (socket(7), Linux: Documentation/networking/msg_zerocopy.rst).
 *
 * A send with the flag has an object that every piece of its packets refers to (pkt_done). The
 * pieces are the program's own pages where those can be kept (space_pin_pages) and the packet
 * leaves the machine; else copies, and the program is told so, as on Linux. When the last piece
 * goes, for TCP when all is acknowledged, a work puts the number of the send on the socket's error
 * queue, where neighbours become one range.
 *
 * 1. The object holds a reference of the socket; the packets that hold the object go at the latest
 *    when the protocol is done with the connection.
 * 2. What the completion needs is allocated first: none is lost for lack of memory.
 * 3. At most PENDING_MAX sends of a socket wait to complete or stand on its error queue by
 *    themselves (Linux: net.core.optmem_max), so that who reads no completions sends no more. And
 *    all together keep as much memory as RLIMIT_MEMLOCK allows, in addition to what is locked.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/space.h"
#include "mm/usercopy.h"
#include "net/inet.h"
#include "sched/work.h"

#define PENDING_MAX 160u
#define PIN_MIN 512u /* a shorter piece costs more than its copy */
#define BATCH 16u

struct zerocopy {
    struct socket_zerocopy base; /* first */
    struct pkt_done done;
    struct work work;
    struct inet_sock *sock;    /* reference */
    struct inet_error *notice; /* for the error queue */
    uint64_t pages;            /* counted in `pinned` */
    size_t kept, copied;       /* bytes */
    bool local;                /* to this machine: the reader must not see later changes */
    bool sent;                 /* set before the call's reference is put */
    uint32_t id;
};

static uint64_t pinned; /* pages that sends keep; atomic, relaxed: a count */

/* ---- the end ---- */

static void complete(struct work *work)
{
    struct zerocopy *zc = container_of(work, struct zerocopy, work);
    struct inet_sock *sock = zc->sock;
    __atomic_fetch_sub(&pinned, zc->pages, __ATOMIC_RELAXED);
    inet_lock(sock);
    bool tell = zc->sent && !sock->dead;
    if (tell)
        inet_error_zerocopy(sock, zc->notice, zc->id, zc->kept == 0 || zc->copied > zc->kept);
    else
        inet_error_free(zc->notice);
    sock->zerocopy_pending -= !tell; /* else when it is read, or part of a range */
    inet_unlock(sock);
    if (tell)
        inet_wake(sock, POLLERR);
    inet_put(sock);
    owner_free(OWNER_SOCKET, zc, sizeof(*zc));
}

/* Any context. */
static void last_gone(struct pkt_done *done)
{
    work_queue(&container_of(done, struct zerocopy, done)->work);
}

/* ---- packets ---- */

static bool charge(struct zerocopy *zc, const struct space *space)
{
    uint64_t limit = __atomic_load_n(&space->lock_limit, __ATOMIC_RELAXED);
    uint64_t now = __atomic_add_fetch(&pinned, 1, __ATOMIC_RELAXED);
    if (limit != UINT64_MAX &&
        now + __atomic_load_n(&space->pages_locked, __ATOMIC_RELAXED) > limit >> PAGE_SHIFT) {
        __atomic_fetch_sub(&pinned, 1, __ATOMIC_RELAXED);
        return false;
    }
    zc->pages++;
    return true;
}

/* The piece tells when it goes. One that stays here may wait long for its reader: what is copied
 * for it need not be waited for. NULL: nothing. */
static struct pkt *carry(struct zerocopy *zc, struct pkt *piece)
{
    if (piece && !zc->local) {
        piece->done = &zc->done;
        ref_get(&zc->done.refs);
    }
    return piece;
}

static struct pkt *copied_piece(struct zerocopy *zc, struct iov_iter *from, size_t len, int *err)
{
    uint32_t n = (uint32_t)MIN(len, PAGE_SIZE);
    struct pkt *piece = pkt_alloc(0, n, 0);
    void *to = piece ? pkt_put(piece, n) : NULL;
    *err = to ? 0 : -ENOMEM;
    if (to && iov_copy_from(from, to, n) != (long)n)
        *err = -EFAULT;
    if (*err) {
        pkt_free(piece);
        return NULL;
    }
    zc->copied += n;
    return carry(zc, piece);
}

/* Pages at the front of the iterator, at most `len` bytes: appended to pkt, and the iterator steps
 * over them. Those that cannot be kept end it. Bytes, or -ENOMEM, -ENOBUFS. */
static long append_pages(struct zerocopy *zc, struct iov_iter *from, size_t len, struct pkt *pkt)
{
    struct space *space = space_current();
    struct page *pages[BATCH];
    uintptr_t base;
    size_t left, total = 0;
    if (zc->local || from->kernel || !iov_iter_piece(from, &base, &left))
        return 0;
    left = MIN(left, len);
    size_t offset = base % PAGE_SIZE;
    if (MIN(left, PAGE_SIZE - offset) < PIN_MIN || !user_range_ok(uaddr(base), left))
        return 0;
    size_t count = MIN((offset + left + PAGE_SIZE - 1) / PAGE_SIZE, (size_t)BATCH);
    count = space_pin_pages(space, base - offset, pages, count);
    int err = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t n = (uint32_t)MIN(left - total, PAGE_SIZE - offset);
        if (err == 0 && !charge(zc, space))
            err = -ENOBUFS;
        struct pkt *piece = err ? NULL : carry(zc, pkt_of_page(pages[i], (uint32_t)offset, n, 0));
        page_put(pages[i]);
        if (!piece) {
            err = err ? err : -ENOMEM;
            continue;
        }
        pkt_append(pkt, piece);
        total += n;
        offset = 0;
    }
    iov_iter_advance(from, total);
    zc->kept += total;
    return err ? err : (long)total;
}

/* As inet_packet_from. */
static int fill(struct socket_msg *msg, uint32_t headroom, size_t len, struct pkt **out)
{
    struct zerocopy *zc = container_of(msg->zerocopy, struct zerocopy, base);
    struct pkt *pkt = pkt_alloc(headroom, 0, 0);
    int err = 0;
    if (!pkt)
        return -ENOMEM;
    carry(zc, pkt);
    while (err == 0 && len > 0) {
        long n = append_pages(zc, msg->data, len, pkt);
        if (n == 0) {
            uintptr_t base;
            size_t part;
            /* To the end of this page: behind it there may be one that can be kept. */
            (void)iov_iter_piece(msg->data, &base, &part);
            part = MIN(zc->local ? len : PAGE_SIZE - base % PAGE_SIZE, len);
            struct pkt *piece = copied_piece(zc, msg->data, part, &err);
            if (!piece)
                break;
            n = (long)piece->total;
            pkt_append(pkt, piece);
        }
        if (n < 0)
            err = (int)n;
        else
            len -= (size_t)n;
    }
    if (err)
        pkt_free(pkt);
    else
        *out = pkt;
    return err;
}

/* ---- the call ---- */

/* Does what it sends come back to this machine? */
static bool stays_here(struct inet_sock *sock, const struct socket_msg *msg)
{
    struct inet_name to;
    if (msg->name && sock->base.type == SOCK_DGRAM)
        return inet_name_get(sock, msg->name, &to) != 0 || ip_is_local(&to.address, 0) ||
               net_addr_is_multicast(&to.address) || ip_is_broadcast(&to.address, 0);
    inet_lock(sock);
    const struct ip_route *route = &sock->route;
    bool local = !route->dev || route->local || route->multicast || route->broadcast;
    inet_unlock(sock);
    return local;
}

static struct zerocopy *begin(struct inet_sock *sock, const struct socket_msg *msg)
{
    bool local = stays_here(sock, msg);
    struct zerocopy *zc = owner_alloc(OWNER_SOCKET, sizeof(*zc));
    struct inet_error *notice = inet_error_new();
    inet_lock(sock);
    bool room = zc && notice && sock->zerocopy_pending < PENDING_MAX;
    sock->zerocopy_pending += room;
    inet_unlock(sock);
    if (!room) {
        inet_error_free(notice);
        if (zc)
            owner_free(OWNER_SOCKET, zc, sizeof(*zc));
        return NULL;
    }
    *zc = (struct zerocopy){
        .base = {fill}, .done = {.fn = last_gone}, .sock = sock, .notice = notice, .local = local};
    ref_init(&zc->done.refs);
    work_init(&zc->work, complete);
    inet_get(sock);
    return zc;
}

static long zerocopy_send(struct socket *socket, struct socket_msg *msg)
{
    struct inet_sock *sock = inet_of(socket);
    struct zerocopy *zc = begin(sock, msg);
    if (!zc)
        return -ENOBUFS;
    msg->zerocopy = &zc->base;
    long n = socket->ops->send(socket, msg);
    msg->zerocopy = NULL;
    if (n >= 0) { /* numbered by the order in which calls end */
        inet_lock(sock);
        zc->id = sock->zerocopy_next++;
        inet_unlock(sock);
        zc->sent = true;
    }
    if (ref_put(&zc->done.refs))
        last_gone(&zc->done);
    return n;
}

void zerocopy_init(void)
{
    socket_zerocopy_send = zerocopy_send;
}
