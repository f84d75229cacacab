/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * epoll.c - watch many files, be told which changed.
 *
 * An item is the interest of one epoll instance in one (file, descriptor number). It has callback
 * waiters on the file's wait queues; a callback puts the item on the instance's ready list, and
 * epoll_wait asks exactly the items on that list for their state: O(ready). A level-triggered item
 * goes back on the list as long as its file says it is ready, an edge-triggered one waits for
 * the next callback, a one-shot one is disabled until EPOLL_CTL_MOD.
 *
 * Locks. epoll_mutex (RANK_EPOLL) guards all trees and item life times, for all instances:
 * instances may watch each other, and one lock makes that free of ordering problems. Callbacks run
 * in any context under the source's wait queue, so the ready lists have a spinlock of
 * their own, epoll_ready_lock (RANK_POLL), again one for all.
 *
 * Nesting: an item whose file is an epoll instance has no callback; it stands on that instance's
 * `outer` list, and making an inner instance ready marks those items, and so on outwards, under the
 * same spinlock. The depth is limited when items are added (ELOOP), so the recursion is.
 *
 * Closing: items hold no reference to the file. The last file_put calls epoll_forget_file before
 * anything is torn down, and epoll_mutex makes that wait for a round that is looking at the file.
 */
#include "fs/epoll.h"

#include "core/assert.h"
#include "fs/fcntl.h"
#include "fs/pollwait.h"
#include "lib/rbtree.h"
#include "mm/account.h"
#include "mm/kmalloc.h"

#define QUEUES_MAX 3 /* wait queues that one file's poll names */
#define DEPTH_MAX 5
#define FLAG_BITS (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)

struct epoll;
struct epoll_item;
struct item_waiter {
    struct waiter waiter;
    struct epoll_item *item;
};
struct epoll_item {
    struct rb_node node; /* epoll->items, by (file, fd) */
    struct epoll *epoll;
    struct file *file;
    int fd;
    uint32_t events; /* atomic: callbacks read it */
    uint64_t data;
    struct list file_link;  /* file->epoll_items */
    struct list ready_link; /* epoll_ready_lock */
    struct list outer_link; /* inner epoll->outer; epoll_ready_lock */
    unsigned queue_count;
    struct item_waiter queues[QUEUES_MAX];
};
struct epoll {
    struct rb_tree items;
    struct list ready;    /* epoll_ready_lock */
    uint32_t ready_count; /* changed under the lock, read without: atomic */
    struct list outer;    /* items of other instances that watch this one */
    struct waitq wait;    /* RANK_POLL_WAITQ */
};

static struct mutex epoll_mutex;
static struct spinlock epoll_ready_lock = SPINLOCK_INIT(RANK_POLL);
static const struct file_ops epoll_ops;

void epoll_init(void)
{
    mutex_init(&epoll_mutex, RANK_EPOLL);
}

bool file_is_epoll(const struct file *file)
{
    return file->ops == &epoll_ops;
}

/* ---- ready lists ---- */

static bool push_ready_locked(struct epoll_item *item)
{
    if (list_linked(&item->ready_link))
        return false;
    struct epoll *ep = item->epoll;
    list_push_back(&ep->ready, &item->ready_link);
    __atomic_store_n(&ep->ready_count, ep->ready_count + 1, __ATOMIC_RELEASE);
    return true;
}

static void remove_ready_locked(struct epoll_item *item)
{
    if (!list_linked(&item->ready_link))
        return;
    list_remove(&item->ready_link);
    __atomic_store_n(&item->epoll->ready_count, item->epoll->ready_count - 1, __ATOMIC_RELEASE);
}

/* Tell everyone who waits for this instance, directly or through others; true if someone slept.
 * Recursion: at most DEPTH_MAX. */
static bool announce_locked(struct epoll *ep)
{
    bool told = waitq_wake_all(&ep->wait, POLLIN | POLLRDNORM);
    list_for_each (node, &ep->outer) {
        struct epoll_item *item = list_entry(node, struct epoll_item, outer_link);
        uint32_t events = __atomic_load_n(&item->events, __ATOMIC_RELAXED);
        if ((events & POLLIN) && push_ready_locked(item))
            told |= announce_locked(item->epoll);
    }
    return told;
}

/* Did this wake anyone? */
static bool make_ready(struct epoll_item *item)
{
    unsigned long irq = spin_lock_irqsave(&epoll_ready_lock);
    push_ready_locked(item);
    bool told = announce_locked(item->epoll);
    spin_unlock_irqrestore(&epoll_ready_lock, irq);
    return told;
}

/* Back on the list without telling anyone: it never left, seen from outside. */
static void keep_ready(struct epoll_item *item)
{
    unsigned long irq = spin_lock_irqsave(&epoll_ready_lock);
    push_ready_locked(item);
    spin_unlock_irqrestore(&epoll_ready_lock, irq);
}

static struct epoll_item *pop_ready(struct epoll *ep)
{
    struct epoll_item *item = NULL;
    unsigned long irq = spin_lock_irqsave(&epoll_ready_lock);
    if (!list_empty(&ep->ready)) {
        item = list_entry(ep->ready.next, struct epoll_item, ready_link);
        remove_ready_locked(item);
    }
    spin_unlock_irqrestore(&epoll_ready_lock, irq);
    return item;
}

static void on_event(struct waiter *w, uint32_t events)
{
    struct epoll_item *item = container_of(w, struct item_waiter, waiter)->item;
    uint32_t wanted = __atomic_load_n(&item->events, __ATOMIC_RELAXED);
    if (!(wanted & ~FLAG_BITS) || (events && !(events & wanted)))
        return;
    /* EPOLLEXCLUSIVE: an instance with a sleeper takes the event; otherwise the next one is asked,
     * too, so that no event waits for an instance that is busy. */
    __atomic_store_n(&w->woken, make_ready(item), __ATOMIC_RELAXED);
}

static uint32_t ready_count(const struct epoll *ep)
{
    return __atomic_load_n(&ep->ready_count, __ATOMIC_ACQUIRE);
}

/* ---- asking files; epoll_mutex held ---- */

static bool any_ready(struct epoll *ep);

static uint32_t item_state(struct epoll_item *item)
{
    uint32_t state;
    if (file_is_epoll(item->file))
        state = any_ready(item->file->private_data) ? POLLIN | POLLRDNORM : 0;
    else
        state = file_poll(item->file, NULL);
    return state & __atomic_load_n(&item->events, __ATOMIC_RELAXED) & ~FLAG_BITS;
}

/* Is there an item that epoll_wait would report? Items that turn out not ready leave the list. */
static bool any_ready(struct epoll *ep)
{
    for (uint32_t left = ready_count(ep); left > 0; left--) {
        struct epoll_item *item = pop_ready(ep);
        if (!item)
            return false;
        if (item_state(item)) {
            keep_ready(item);
            return true;
        }
    }
    return false;
}

/* ---- items ---- */

struct item_table {
    struct poll_table table;
    struct epoll_item *item;
    int err;
};

static void add_queue(struct poll_table *table, struct waitq *queue)
{
    struct item_table *it = container_of(table, struct item_table, table);
    struct epoll_item *item = it->item;
    if (item->queue_count == QUEUES_MAX) {
        it->err = -ENOSPC;
        return;
    }
    struct item_waiter *w = &item->queues[item->queue_count++];
    w->item = item;
    if (item->events & EPOLLEXCLUSIVE)
        waitq_add_exclusive(queue, &w->waiter, on_event);
    else
        waitq_add(queue, &w->waiter, on_event);
}

/* Start listening; returns what is ready already. */
static uint32_t item_attach(struct epoll_item *item, int *err)
{
    *err = 0;
    if (file_is_epoll(item->file)) {
        struct epoll *inner = item->file->private_data;
        unsigned long irq = spin_lock_irqsave(&epoll_ready_lock);
        list_push_back(&inner->outer, &item->outer_link);
        spin_unlock_irqrestore(&epoll_ready_lock, irq);
        return item_state(item);
    }
    struct item_table it = {{add_queue}, item, 0};
    uint32_t state = file_poll(item->file, &it.table);
    *err = it.err;
    return state & item->events & ~FLAG_BITS;
}

static void item_remove(struct epoll_item *item)
{
    /* After waitq_remove no callback runs or will run. */
    for (unsigned i = 0; i < item->queue_count; i++)
        waitq_remove(&item->queues[i].waiter);
    unsigned long irq = spin_lock_irqsave(&epoll_ready_lock);
    remove_ready_locked(item);
    list_remove(&item->outer_link);
    spin_unlock_irqrestore(&epoll_ready_lock, irq);
    rb_remove(&item->epoll->items, &item->node);
    list_remove(&item->file_link);
    owner_free(OWNER_EVENT, item, sizeof(*item));
}

static int item_order(const struct file *file, int fd, const struct epoll_item *item)
{
    if (file != item->file)
        return (uintptr_t)file < (uintptr_t)item->file ? -1 : 1;
    return fd < item->fd ? -1 : fd > item->fd;
}

static bool item_less(const struct rb_node *a, const struct rb_node *b)
{
    const struct epoll_item *ia = container_of(a, struct epoll_item, node);
    return item_order(ia->file, ia->fd, container_of(b, struct epoll_item, node)) < 0;
}

static struct epoll_item *item_find(struct epoll *ep, const struct file *file, int fd)
{
    struct rb_node *node = ep->items.root;
    while (node) {
        struct epoll_item *item = container_of(node, struct epoll_item, node);
        int order = item_order(file, fd, item);
        if (order == 0)
            return item;
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

/* ---- nesting limits ---- */

/* Does `from` watch `target`, directly or not, or deeper than allowed? */
static bool reaches(const struct epoll *from, const struct epoll *target, int depth)
{
    if (from == target || depth > DEPTH_MAX)
        return true;
    for (struct rb_node *n = rb_first(&from->items); n; n = rb_next(n)) {
        const struct epoll_item *item = container_of(n, struct epoll_item, node);
        if (file_is_epoll(item->file) && reaches(item->file->private_data, target, depth + 1))
            return true;
    }
    return false;
}

/* Levels of instances that watch this one. */
rarely static int height_outside(const struct epoll *ep, int depth)
{
    int max = 0;
    if (depth > DEPTH_MAX)
        return DEPTH_MAX;
    list_for_each (node, &ep->outer) {
        const struct epoll_item *item = list_entry(node, struct epoll_item, outer_link);
        int height = 1 + height_outside(item->epoll, depth + 1);
        max = MAX(max, height);
    }
    return max;
}

rarely static int check_nesting(struct epoll *ep, const struct file *target)
{
    if (!file_is_epoll(target))
        return 0;
    return reaches(target->private_data, ep, 1 + height_outside(ep, 0)) ? -ELOOP : 0;
}

/* ---- epoll_ctl ---- */

static int item_add(struct epoll *ep, int fd, struct file *file, uint32_t events, uint64_t data)
{
    int err = check_nesting(ep, file);
    if (err)
        return err;
    struct epoll_item *item = owner_alloc(OWNER_EVENT, sizeof(*item));
    if (!item)
        return -ENOMEM;
    *item =
        (struct epoll_item){.epoll = ep, .file = file, .fd = fd, .events = events, .data = data};
    list_init(&item->ready_link);
    list_init(&item->outer_link);
    list_push_back(&file->epoll_items, &item->file_link);
    file->epoll_watched = true;
    rb_insert(&ep->items, &item->node, item_less);
    uint32_t state = item_attach(item, &err);
    if (err)
        item_remove(item);
    else if (state)
        make_ready(item);
    return err;
}

static int item_modify(struct epoll_item *item, uint32_t events, uint64_t data)
{
    if ((item->events | events) & EPOLLEXCLUSIVE)
        return -EINVAL;
    item->data = data;
    __atomic_store_n(&item->events, events, __ATOMIC_RELAXED);
    /* A callback that still saw the old events did not miss anything: the state is asked now. */
    if (item_state(item))
        make_ready(item);
    return 0;
}

static int check_control(const struct file *epoll, int op, const struct file *target,
                         uint32_t events)
{
    const uint32_t exclusive_ok =
        POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
    if (!target->ops->poll)
        return -EPERM;
    if (target == epoll || !file_is_epoll(epoll))
        return -EINVAL;
    if (op != EPOLL_CTL_DEL && (events & EPOLLEXCLUSIVE) &&
        (op == EPOLL_CTL_MOD || file_is_epoll(target) || (events & ~exclusive_ok)))
        return -EINVAL;
    return 0;
}

int epoll_control(struct file *epoll, int op, int fd, struct file *target, uint32_t events,
                  uint64_t data)
{
    int err = check_control(epoll, op, target, events);
    if (err)
        return err;
    struct epoll *ep = epoll->private_data;
    events |= POLLERR | POLLHUP;
    mutex_lock(&epoll_mutex);
    struct epoll_item *item = item_find(ep, target, fd);
    switch (op) {
    case EPOLL_CTL_ADD:
        err = item ? -EEXIST : item_add(ep, fd, target, events, data);
        break;
    case EPOLL_CTL_MOD:
        err = item ? item_modify(item, events, data) : -ENOENT;
        break;
    case EPOLL_CTL_DEL:
        err = item ? 0 : -ENOENT;
        if (item)
            item_remove(item);
        break;
    default:
        err = -EINVAL;
    }
    mutex_unlock(&epoll_mutex);
    return err;
}

void epoll_forget_file(struct file *file)
{
    mutex_lock(&epoll_mutex);
    while (!list_empty(&file->epoll_items))
        item_remove(list_entry(file->epoll_items.next, struct epoll_item, file_link));
    mutex_unlock(&epoll_mutex);
}

/* ---- epoll_wait ---- */

/* Report ready items. Each item that was on the list at the start is looked at once. */
static long collect(struct epoll *ep, int max, bool (*emit)(void *, uint32_t, uint64_t), void *arg)
{
    long count = 0;
    mutex_lock(&epoll_mutex);
    for (uint32_t left = ready_count(ep); left > 0 && count < max; left--) {
        struct epoll_item *item = pop_ready(ep);
        if (!item)
            break;
        uint32_t state = item_state(item);
        if (!state)
            continue;
        if (!emit(arg, state, item->data)) {
            keep_ready(item);
            if (count == 0)
                count = -EFAULT;
            break;
        }
        count++;
        if (item->events & EPOLLONESHOT)
            __atomic_store_n(&item->events, item->events & FLAG_BITS, __ATOMIC_RELAXED);
        else if (!(item->events & EPOLLET))
            keep_ready(item);
    }
    mutex_unlock(&epoll_mutex);
    return count;
}

static bool something_ready(void *arg)
{
    return ready_count(arg) > 0;
}

long epoll_wait_events(struct file *epoll, int max, uint64_t deadline_ns,
                       bool (*emit)(void *arg, uint32_t events, uint64_t data), void *arg)
{
    struct epoll *ep = epoll->private_data;
    for (;;) {
        long count = ready_count(ep) ? collect(ep, max, emit, arg) : 0;
        if (count || deadline_ns == 0)
            return count;
        int err = fs_wait(&ep->wait, something_ready, ep, deadline_ns);
        if (err == -ETIMEDOUT)
            return 0;
        if (err)
            return err;
    }
}

/* ---- the file ---- */

static uint32_t epoll_poll(struct file *file, struct poll_table *table)
{
    struct epoll *ep = file->private_data;
    if (table)
        table->add(table, &ep->wait);
    mutex_lock(&epoll_mutex);
    bool ready = any_ready(ep);
    mutex_unlock(&epoll_mutex);
    return ready ? POLLIN | POLLRDNORM : 0;
}

static void epoll_release(struct file *file)
{
    struct epoll *ep = file->private_data;
    mutex_lock(&epoll_mutex);
    struct rb_node *node;
    while ((node = rb_first(&ep->items)) != NULL)
        item_remove(container_of(node, struct epoll_item, node));
    mutex_unlock(&epoll_mutex);
    owner_free(OWNER_EVENT, ep, sizeof(*ep));
}

static const struct file_ops epoll_ops = {
    .name = "anon_inode:[eventpoll]",
    .poll = epoll_poll,
    .release = epoll_release,
};

int epoll_create_file(uint32_t flags, struct file **out)
{
    struct epoll *ep = owner_alloc(OWNER_EVENT, sizeof(*ep));
    if (!ep)
        return -ENOMEM;
    list_init(&ep->ready);
    list_init(&ep->outer);
    waitq_init_rank(&ep->wait, RANK_POLL_WAITQ);
    *out = file_alloc(&epoll_ops, O_RDWR | flags, ep);
    if (*out)
        return 0;
    owner_free(OWNER_EVENT, ep, sizeof(*ep));
    return -ENOMEM;
}
