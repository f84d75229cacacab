/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * unix_files.c - files in flight: descriptors in messages that nobody has received yet.
 *
 * A socket may travel in a message that waits in its own queue, or two in each other's: then the
 * messages keep the files open and nobody can ever receive them. collect() finds those, by mark and
 * sweep, as Linux does:
 *   1. Candidates: sockets whose file is referred to by messages only (references = in_flight).
 *   2. References that come out of candidates' own queues are taken off (`found`).
 *   3. Whoever has some left is referred to from outside: alive, and so is all that its queue
 *      carries, and so on.
 *   4. The others are garbage: their messages with files are dropped, and the files close.
 *
 * Why the picture is consistent. unix_files_lock is held throughout, and a message with files is
 * counted and queued in one section under it, so no such message enters a queue in between. One
 * leaves a queue (recvmsg) only through an open file, which then has a reference more than
 * messages: its socket is no candidate, its queue is not looked at; what has left and is not yet
 * uncounted (unix_files_land) is found in no queue and so counts as alive. A candidate's number of
 * references cannot rise meanwhile: only who has one outside of messages, or receives one (which
 * ends with unix_files_land), could make more. MSG_PEEK copies under the lock, too.
 * Connections that a candidate has not accepted cannot be accepted either; new ones may join, but
 * their queues hold no files until the lock is free.
 *
 * When to look: whenever a socket goes, and when a process has closed all it had: the last close of
 * a socket that messages keep open lets none go. (Linux looks at the next socket that goes, of
 * whatever process; here there may be no other.)
 *
 * Dropping files may close sockets, whose queues hold files, and so on. So that this does not eat
 * the stack, a thread that is dropping files already (a drain) only puts the messages on its list.
 */
#include "net/unix.h"

#include "core/assert.h"
#include "core/current.h"
#include "sched/thread.h"

struct mutex unix_files_lock;
static struct list flying;                    /* sockets with in_flight > 0, by flight_link */
static unsigned flying_sockets, flying_files; /* messages' references; changed under the lock, the
                                                 first is also read without: atomic */

/* A thread that drops files. */
struct drain {
    struct list link;
    struct thread *thread;
    struct list msgs;
    bool collect; /* a socket has gone */
};
static struct mutex drains_lock;
static struct list drains;

void unix_files_init(void)
{
    mutex_init(&unix_files_lock, RANK_SOCK_FILES);
    mutex_init(&drains_lock, RANK_SOCK_TABLE);
    list_init(&flying);
    list_init(&drains);
}

static struct unix_sock *sock_of_file(const struct file *file)
{
    struct socket *socket = socket_of_file(file);
    return socket && socket->family == AF_UNIX ? unix_of(socket) : NULL;
}

/* ---- counting ---- */

static void count_sockets(int by)
{
    __atomic_store_n(&flying_sockets, flying_sockets + (unsigned)by, __ATOMIC_RELAXED);
}

static void land_one_locked(struct file *file)
{
    struct unix_sock *u = sock_of_file(file);
    flying_files--;
    if (!u)
        return;
    ASSERT(u->in_flight > 0);
    count_sockets(-1);
    if (--u->in_flight == 0)
        list_remove(&u->flight_link);
}

int unix_files_depart_locked(struct socket_files *files)
{
    ASSERT(mutex_held(&unix_files_lock));
    if (flying_files + files->count > UNIX_FLIGHT_MAX)
        return -ETOOMANYREFS;
    flying_files += files->count;
    for (unsigned i = 0; i < files->count; i++) {
        struct unix_sock *u = sock_of_file(files->file[i]);
        if (!u)
            continue;
        count_sockets(1);
        if (u->in_flight++ == 0)
            list_push_back(&flying, &u->flight_link);
    }
    return 0;
}

void unix_files_land(struct socket_files *files)
{
    mutex_lock(&unix_files_lock);
    for (unsigned i = 0; i < files->count; i++)
        land_one_locked(files->file[i]);
    mutex_unlock(&unix_files_lock);
}

/* ---- the search ---- */

/* Call visit for each candidate among the files in u's queue. */
static void scan_queue(struct unix_sock *u, void (*visit)(struct unix_sock *v, struct list *work),
                       struct list *work)
{
    mutex_lock(&u->lock);
    list_for_each (node, &u->queue) {
        struct socket_files *files = list_entry(node, struct unix_msg, link)->files;
        for (unsigned i = 0; files && i < files->count; i++) {
            struct unix_sock *v = sock_of_file(files->file[i]);
            if (v && v->flight_state != FLIGHT_NO)
                visit(v, work);
        }
    }
    mutex_unlock(&u->lock);
}

/* The connection after `embryo` (NULL: the first) that u has not accepted. Only additions may come
 * in between, see above. */
static struct unix_sock *next_embryo(struct unix_sock *u, struct unix_sock *embryo)
{
    mutex_lock(&u->lock);
    struct list *next = embryo ? embryo->embryo_link.next : u->embryos.next;
    struct unix_sock *found =
        next == &u->embryos ? NULL : list_entry(next, struct unix_sock, embryo_link);
    mutex_unlock(&u->lock);
    return found;
}

static void scan(struct unix_sock *u, void (*visit)(struct unix_sock *v, struct list *work),
                 struct list *work)
{
    scan_queue(u, visit, work);
    for (struct unix_sock *e = NULL; (e = next_embryo(u, e)) != NULL;)
        scan_queue(e, visit, work);
}

static void visit_count(struct unix_sock *v, struct list *work)
{
    ASSERT(v->found > 0);
    v->found--;
}

static void set_alive(struct unix_sock *v, struct list *work)
{
    if (v->flight_state == FLIGHT_ALIVE)
        return;
    v->flight_state = FLIGHT_ALIVE;
    list_remove(&v->flight_link);
    list_push_back(work, &v->flight_link);
}

static void find_candidates(struct list *candidates)
{
    list_for_each_safe (node, next, &flying) {
        struct unix_sock *u = list_entry(node, struct unix_sock, flight_link);
        /* Relaxed: see the head of this file. */
        if (ref_read(&u->base.file->refs) != u->in_flight)
            continue;
        u->flight_state = FLIGHT_CANDIDATE;
        u->found = u->in_flight;
        list_remove(&u->flight_link);
        list_push_back(candidates, &u->flight_link);
    }
}

/* Sort the candidates: those that are alive go to `alive`. */
static void mark(struct list *candidates, struct list *alive)
{
    list_for_each (node, candidates)
        scan(list_entry(node, struct unix_sock, flight_link), visit_count, NULL);
    list_for_each_safe (node, next, candidates) {
        struct unix_sock *u = list_entry(node, struct unix_sock, flight_link);
        if (u->found > 0)
            set_alive(u, alive);
    }
    list_for_each (node, alive) /* grows while it is walked */
        scan(list_entry(node, struct unix_sock, flight_link), set_alive, alive);
}

/* Take the messages with files out of u's queue. */
static void sweep_queue(struct unix_sock *u, struct list *msgs)
{
    mutex_lock(&u->lock);
    list_for_each_safe (node, next, &u->queue) {
        struct unix_msg *m = list_entry(node, struct unix_msg, link);
        if (!m->files)
            continue;
        list_remove(&m->link);
        list_push_back(msgs, &m->link);
        __atomic_store_n(&u->waiting, u->waiting - 1, __ATOMIC_RELEASE);
        __atomic_store_n(&u->unread, u->unread - (m->len - m->done), __ATOMIC_RELEASE);
    }
    mutex_unlock(&u->lock);
}

static void reset(struct list *from)
{
    list_for_each (node, from)
        list_entry(node, struct unix_sock, flight_link)->flight_state = FLIGHT_NO;
    list_splice_back(&flying, from);
}

/* The messages of garbage, to be freed without the lock; their files still count as flying. */
static void collect(struct list *msgs)
{
    struct list candidates, alive;
    list_init(&candidates);
    list_init(&alive);
    mutex_lock(&unix_files_lock);
    find_candidates(&candidates);
    mark(&candidates, &alive);
    list_for_each (node, &candidates) {
        struct unix_sock *u = list_entry(node, struct unix_sock, flight_link);
        sweep_queue(u, msgs);
        for (struct unix_sock *e = NULL; (e = next_embryo(u, e)) != NULL;)
            sweep_queue(e, msgs);
    }
    reset(&candidates);
    reset(&alive);
    mutex_unlock(&unix_files_lock);
}

/* ---- dropping ---- */

static struct drain *drain_of_thread(void)
{
    struct drain *found = NULL;
    mutex_lock(&drains_lock);
    list_for_each (node, &drains) {
        struct drain *d = list_entry(node, struct drain, link);
        if (d->thread == thread_current())
            found = d;
    }
    mutex_unlock(&drains_lock);
    return found;
}

static void drain_free(struct drain *d)
{
    struct list *node;
    while ((node = list_pop_front(&d->msgs)) != NULL) {
        struct unix_msg *m = list_entry(node, struct unix_msg, link);
        struct socket_files *files = m->files;
        m->files = NULL;
        unix_msg_free(m);
        if (files)
            unix_files_land(files);
        files_put(files); /* may close sockets: their messages come onto this list */
    }
}

static void drain_run(struct drain *d)
{
    mutex_lock(&drains_lock);
    list_push_back(&drains, &d->link);
    mutex_unlock(&drains_lock);
    do {
        drain_free(d);
        if (d->collect) {
            d->collect = false;
            collect(&d->msgs);
        }
    } while (!list_empty(&d->msgs));
    mutex_lock(&drains_lock);
    list_remove(&d->link);
    mutex_unlock(&drains_lock);
}

void unix_drain(struct list *msgs)
{
    bool search = __atomic_load_n(&flying_sockets, __ATOMIC_RELAXED) > 0;
    if (list_empty(msgs) && !search)
        return;
    struct drain mine = {.thread = thread_current(), .collect = search}, *d = drain_of_thread();
    if (d) {
        list_splice_back(&d->msgs, msgs);
        d->collect |= search;
        return;
    }
    list_init(&mine.link);
    list_init(&mine.msgs);
    list_splice_back(&mine.msgs, msgs);
    drain_run(&mine);
}

void socket_files_closed(void)
{
    struct list none;
    list_init(&none);
    unix_drain(&none);
}
