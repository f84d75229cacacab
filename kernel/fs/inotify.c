/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inotify.c - see inotify.h.
 *
 * A watch belongs to one inotify instance and one inode, stands on a list of each, and holds a
 * reference to the inode. The mutex (RANK_SLEEP_LAST, so hooks may run under the locks of the
 * operation they report) guards all watches and all queues: who uses inotify is rare, and the hooks
 * of all others look at one counter only.
 *
 * An event that equals the last one queued is dropped, as on Linux. When the queue is full, or
 * there is no memory for an event, IN_Q_OVERFLOW follows what is queued. User memory is copied
 * without the mutex: a reader takes one event out of the queue at a time.
 */
#include "fs/inotify.h"

#include "core/assert.h"
#include "fs/console.h"
#include "fs/pollwait.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"

#define NAME_ALIGN 16u /* sizeof(struct inotify_event) */
#define KEPT_FLAGS (IN_EXCL_UNLINK | IN_ONESHOT)

struct header { /* struct inotify_event of inotify(7) without the name */
    int32_t wd;
    uint32_t mask, cookie, len;
};
STATIC_ASSERT(sizeof(struct header) == NAME_ALIGN);

struct event {
    struct list link;
    struct header header; /* len: padded */
    char name[];          /* zeroes up to header.len */
};
struct inotify {
    struct list watches, events;
    unsigned queued;     /* events in the list; atomic: sleepers look at it */
    size_t queued_bytes; /* what reading all of them would return */
    bool overflow;       /* atomic */
    int last_wd;
    struct waitq wait;
};
struct watch {
    struct list inode_link, owner_link;
    struct inotify *owner;
    struct inode *inode; /* reference */
    int wd;
    uint32_t mask; /* IN_ALL_EVENTS and KEPT_FLAGS */
};

uint32_t inotify_watches;
static struct mutex inotify_mutex;
static uint32_t last_cookie; /* atomic */

void inotify_init(void)
{
    mutex_init(&inotify_mutex, RANK_SLEEP_LAST);
    inotify_watches = 0;
}

uint32_t inotify_cookie(void)
{
    return __atomic_add_fetch(&last_cookie, 1, __ATOMIC_RELAXED);
}

/* ---- queues; mutex held ---- */

static bool has_events(void *arg)
{
    struct inotify *in = arg;
    /* Acquire is not needed for the events: who takes one holds the mutex. */
    return __atomic_load_n(&in->queued, __ATOMIC_RELAXED) > 0 ||
           __atomic_load_n(&in->overflow, __ATOMIC_RELAXED);
}

static void set_queued(struct inotify *in, unsigned count)
{
    __atomic_store_n(&in->queued, count, __ATOMIC_RELAXED);
}

static bool repeats_last(const struct inotify *in, const struct header *h, const char *name,
                         size_t len)
{
    if (list_empty(&in->events))
        return false;
    const struct event *last = list_entry(in->events.prev, struct event, link);
    return last->header.wd == h->wd && last->header.mask == h->mask &&
           last->header.cookie == h->cookie && last->header.len == h->len &&
           memcmp(last->name, name, len) == 0;
}

static void queue_event(struct inotify *in, int wd, uint32_t mask, uint32_t cookie,
                        const char *name, size_t len)
{
    /* A name has at least one NUL. */
    size_t padded = len ? align_up(len + 1, NAME_ALIGN) : 0;
    struct header header = {wd, mask, cookie, (uint32_t)padded};
    if (repeats_last(in, &header, name, len))
        return;
    struct event *event = in->queued < INOTIFY_QUEUE_MAX ? kzalloc(sizeof(*event) + padded) : NULL;
    if (event) {
        event->header = header;
        memcpy(event->name, name, len);
        list_push_back(&in->events, &event->link);
        set_queued(in, in->queued + 1);
        in->queued_bytes += sizeof(header) + padded;
    } else {
        __atomic_store_n(&in->overflow, true, __ATOMIC_RELAXED);
    }
    waitq_wake_all(&in->wait, POLLIN | POLLRDNORM);
}

/* ---- watches; mutex held ---- */

/* Take a watch off its lists; the caller frees it with free_watches after unlocking. */
static void detach(struct watch *w, struct list *dead)
{
    list_remove(&w->inode_link);
    list_remove(&w->owner_link);
    list_push_back(dead, &w->owner_link);
    __atomic_fetch_sub(&inotify_watches, 1, __ATOMIC_RELAXED);
}

static void end_watch(struct watch *w, struct list *dead)
{
    queue_event(w->owner, w->wd, IN_IGNORED, 0, "", 0);
    detach(w, dead);
}

/* Without the mutex: an inode may go with its last watch. */
static void free_watches(struct list *dead)
{
    while (!list_empty(dead)) {
        struct watch *w = list_entry(dead->next, struct watch, owner_link);
        list_remove(&w->owner_link);
        inode_put(w->inode);
        kfree(w);
    }
}

struct report {
    uint32_t event, cookie;
    const char *name;
    size_t len;
    bool unlinked; /* the name is gone from its directory: IN_EXCL_UNLINK */
};

static void deliver(struct inode *inode, const struct report *r)
{
    struct list dead;
    list_init(&dead);
    mutex_lock(&inotify_mutex);
    list_for_each_safe (node, next, &inode->watches) {
        struct watch *w = list_entry(node, struct watch, inode_link);
        if (!(w->mask & r->event & IN_ALL_EVENTS) || (r->unlinked && (w->mask & IN_EXCL_UNLINK)))
            continue;
        queue_event(w->owner, w->wd, r->event, r->cookie, r->name, r->len);
        if (w->mask & IN_ONESHOT)
            end_watch(w, &dead);
    }
    mutex_unlock(&inotify_mutex);
    free_watches(&dead);
}

/* ---- hooks ---- */

static uint32_t with_type(struct inode *inode, uint32_t event)
{
    return event | (inode_is(inode, S_IFDIR) ? IN_ISDIR : 0);
}

void inotify_report_inode(struct inode *inode, uint32_t event)
{
    struct report r = {.event = with_type(inode, event), .name = ""};
    if (inotify_used())
        deliver(inode, &r);
}

void inotify_report(struct dentry *dentry, uint32_t event)
{
    char name[NAME_MAX + 1];
    if (!inotify_used() || !dentry->inode)
        return;
    struct report r = {.event = with_type(dentry->inode, event), .name = name};
    struct dentry *parent = dentry_where(dentry, name, &r.len, &r.unlinked);
    if (parent != dentry && parent->inode)
        deliver(parent->inode, &r);
    dentry_put(parent);
    inotify_report_inode(dentry->inode, event);
}

void inotify_report_name(struct inode *dir, uint32_t event, uint32_t cookie, const char *name,
                         size_t len, bool is_dir)
{
    struct report r = {event | (is_dir ? IN_ISDIR : 0), cookie, name, len, false};
    if (inotify_used())
        deliver(dir, &r);
}

void inotify_inode_gone(struct inode *inode)
{
    struct list dead;
    if (!inotify_used())
        return;
    inotify_report_inode(inode, IN_DELETE_SELF);
    list_init(&dead);
    mutex_lock(&inotify_mutex);
    list_for_each_safe (node, next, &inode->watches)
        end_watch(list_entry(node, struct watch, inode_link), &dead);
    mutex_unlock(&inotify_mutex);
    free_watches(&dead);
}

/* ---- inotify_add_watch, inotify_rm_watch ---- */

static struct watch *find_watch(struct inotify *in, const struct inode *inode)
{
    list_for_each (node, &inode->watches) {
        struct watch *w = list_entry(node, struct watch, inode_link);
        if (w->owner == in)
            return w;
    }
    return NULL;
}

static int change_watch(struct watch *w, uint32_t mask)
{
    uint32_t kept = mask & (IN_ALL_EVENTS | KEPT_FLAGS);
    if (mask & IN_MASK_CREATE)
        return -EEXIST;
    w->mask = (mask & IN_MASK_ADD) ? w->mask | kept : kept;
    return w->wd;
}

int inotify_add(struct file *file, struct inode *inode, uint32_t mask)
{
    struct inotify *in = file->private_data;
    struct watch *fresh = kzalloc(sizeof(*fresh));
    if (!fresh)
        return -ENOMEM;
    mutex_lock(&inotify_mutex);
    struct watch *w = find_watch(in, inode);
    int result;
    if (w) {
        result = change_watch(w, mask);
    } else if (inotify_watches >= INOTIFY_WATCHES_MAX) {
        result = -ENOSPC;
    } else {
        inode_get(inode);
        result = ++in->last_wd;
        *fresh = (struct watch){
            .owner = in, .inode = inode, .wd = result, .mask = mask & (IN_ALL_EVENTS | KEPT_FLAGS)};
        list_push_back(&inode->watches, &fresh->inode_link);
        list_push_back(&in->watches, &fresh->owner_link);
        __atomic_fetch_add(&inotify_watches, 1, __ATOMIC_RELAXED);
        fresh = NULL;
    }
    mutex_unlock(&inotify_mutex);
    kfree(fresh);
    return result;
}

int inotify_remove(struct file *file, int wd)
{
    struct inotify *in = file->private_data;
    struct list dead;
    list_init(&dead);
    mutex_lock(&inotify_mutex);
    list_for_each_safe (node, next, &in->watches) {
        struct watch *w = list_entry(node, struct watch, owner_link);
        if (w->wd == wd)
            end_watch(w, &dead);
    }
    mutex_unlock(&inotify_mutex);
    int err = list_empty(&dead) ? -EINVAL : 0;
    free_watches(&dead);
    return err;
}

/* ---- the file ---- */

/* The next event, if it fits; NULL with *result 0: there is none. */
static struct event *take_event(struct inotify *in, size_t room, long *result)
{
    struct event *event = NULL;
    *result = 0;
    mutex_lock(&inotify_mutex);
    if (!list_empty(&in->events)) {
        event = list_entry(in->events.next, struct event, link);
        size_t size = sizeof(event->header) + event->header.len;
        if (size > room) {
            event = NULL;
            *result = -EINVAL;
        } else {
            list_remove(&event->link);
            set_queued(in, in->queued - 1);
            in->queued_bytes -= size;
        }
    }
    mutex_unlock(&inotify_mutex);
    return event;
}

static long put_overflow(struct inotify *in, struct iov_iter *to)
{
    const struct header header = {-1, IN_Q_OVERFLOW, 0, 0};
    if (to->left < sizeof(header))
        return -EINVAL;
    if (!__atomic_exchange_n(&in->overflow, false, __ATOMIC_RELAXED))
        return 0;
    return iov_copy_to(to, &header, sizeof(header));
}

/* One event: its size; 0: none; -EINVAL: it does not fit. */
static long read_one(struct inotify *in, struct iov_iter *to)
{
    long n;
    struct event *event = take_event(in, to->left, &n);
    if (!event)
        return n ? n : put_overflow(in, to);
    size_t size = sizeof(event->header) + event->header.len;
    n = iov_copy_to(to, &event->header, sizeof(event->header));
    if (n == (long)sizeof(event->header) && event->header.len)
        n = iov_copy_to(to, event->name, event->header.len);
    kfree(event);
    return n < 0 ? n : (long)size;
}

static long inotify_read(struct file *file, struct iov_iter *to, off64_t *pos)
{
    struct inotify *in = file->private_data;
    long done = 0;
    for (;;) {
        long n = read_one(in, to);
        if (n > 0) {
            done += n;
            continue;
        }
        if (done)
            return done;
        if (n < 0)
            return n;
        if (file_flags(file) & O_NONBLOCK)
            return -EAGAIN;
        int err = fs_wait(&in->wait, has_events, in, UINT64_MAX);
        if (err)
            return err;
    }
}

static uint32_t inotify_poll(struct file *file, struct poll_table *table)
{
    struct inotify *in = file->private_data;
    if (table)
        table->add(table, &in->wait);
    return has_events(in) ? POLLIN | POLLRDNORM : 0;
}

static long inotify_ioctl(struct file *file, unsigned cmd, uintptr_t arg)
{
    struct inotify *in = file->private_data;
    if (cmd != FIONREAD)
        return -ENOTTY;
    mutex_lock(&inotify_mutex);
    int count = (int)(in->queued_bytes + (in->overflow ? sizeof(struct header) : 0));
    mutex_unlock(&inotify_mutex);
    return copyout(uaddr(arg), &count, sizeof(count));
}

static void inotify_release(struct file *file)
{
    struct inotify *in = file->private_data;
    struct list dead;
    list_init(&dead);
    mutex_lock(&inotify_mutex);
    list_for_each_safe (node, next, &in->watches)
        detach(list_entry(node, struct watch, owner_link), &dead);
    mutex_unlock(&inotify_mutex);
    /* No watch leads here any more: nobody else sees the queue. */
    free_watches(&dead);
    while (!list_empty(&in->events)) {
        struct event *event = list_entry(in->events.next, struct event, link);
        list_remove(&event->link);
        kfree(event);
    }
    owner_free(OWNER_EVENT, in, sizeof(*in));
}

static const struct file_ops inotify_ops = {
    .name = "anon_inode:inotify",
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
    .async = true,
};

bool file_is_inotify(const struct file *file)
{
    return file->ops == &inotify_ops;
}

int inotify_create(uint32_t flags, struct file **out)
{
    struct inotify *in = owner_alloc(OWNER_EVENT, sizeof(*in));
    if (!in)
        return -ENOMEM;
    list_init(&in->watches);
    list_init(&in->events);
    waitq_init(&in->wait);
    *out = file_alloc(&inotify_ops, O_RDONLY | flags, in);
    if (*out)
        return 0;
    owner_free(OWNER_EVENT, in, sizeof(*in));
    return -ENOMEM;
}
