/* SPDX-License-Identifier: BSD-3-Clause */
/* unix_peek.c - MSG_PEEK where SO_PEEK_OFF says (socket(7)): what was seen before is passed over,
 * and who has seen all waits for more. Contract: unix.h. */
#include "net/unix.h"

/* Linux: __skb_try_recv_from_queue. A message without bytes is seen once. */
struct unix_msg *unix_pass_seen(struct unix_wanting *w, struct unix_msg *m)
{
    int32_t off = socket_peek_off(&w->u->base);
    w->peeks = off >= 0;
    w->skip = (size_t)MAX(off, 0);
    w->seen = 0;
    mutex_lock(&w->u->lock);
    while (w->peeks && m && w->skip >= m->len - m->done && (w->skip || m->peeked)) {
        struct list *next = m->link.next;
        w->skip -= m->len - m->done;
        w->seen++;
        m = next == &w->u->queue ? NULL : list_entry(next, struct unix_msg, link);
    }
    mutex_unlock(&w->u->lock);
    if (m && m->len == 0)
        m->peeked = true;
    return m;
}

bool unix_peek_more(const struct unix_wanting *w)
{
    int64_t off = MAX(socket_peek_off(&w->u->base), 0);
    return __atomic_load_n(&w->u->unread, __ATOMIC_ACQUIRE) > (uint64_t)off ||
           (w->u->base.type != SOCK_STREAM && unix_waiting(w->u) != w->seen);
}
