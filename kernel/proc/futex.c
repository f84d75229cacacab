/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * futex.c - futex(2): sleep until another thread says that a word of user memory has changed.
 *
 * A word is named by a key: the object and byte offset for shared mappings, else the address
 * space and address. Waiters are kept in hash buckets, each with a spinlock.
 *
 * The word is read under the bucket's lock, without sleeping; if its page is not there, the lock is
 * given back, the page is brought, and everything begins again, the key too. So comparing and
 * standing in the queue are one step for all who hold the lock: a waker changes the word before its
 * call, and if its scan came before our step, our read sees the change; if after, it finds us.
 *
 * A waiter that gives up leaves under the lock of the bucket it is in, so whoever holds that lock
 * may use it and its thread. Those who are to be woken are taken out under the lock and woken after
 * it, since there may be thousands: from then on a waiter does not leave before `woken` is set,
 * which is the last that is done to it. Its thread may be gone right after that, but not its
 * memory: it is woken in an RCU section (sched/reap.c), or cannot run because it is this CPU's.
 * References to objects are dropped without locks, since that may sleep.
 */
#include "proc/futex.h"

#include "core/rcu.h"
#include "lib/errno.h"
#include "mm/area.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"

#define BUCKET_COUNT 256

static struct futex_bucket buckets[BUCKET_COUNT];

void futex_init(void)
{
    for (unsigned i = 0; i < BUCKET_COUNT; i++)
        spin_init(&buckets[i].lock, RANK_FUTEX);
}

/* How often the wall clock was set; atomic. */
static uint32_t clock_generation;

/* ---- keys ---- */

bool futex_key_equal(const struct futex_key *a, const struct futex_key *b)
{
    return a->space == b->space && a->object == b->object && a->offset == b->offset;
}

struct futex_bucket *futex_key_bucket(const struct futex_key *key)
{
    /* Fibonacci hashing: the upper bits of the product depend on all lower ones. */
    uint64_t base = (uintptr_t)(key->space ? (const void *)key->space : (const void *)key->object);
    uint64_t hash = (base ^ key->offset >> 2) * 0x9e3779b97f4a7c15ull;
    return &buckets[hash >> 56];
}
STATIC_ASSERT(BUCKET_COUNT == 1 << 8);

void futex_key_ref(const struct futex_key *key)
{
    if (key->object && key->object->ops->get)
        key->object->ops->get(key->object);
}

void futex_key_put(const struct futex_key *key)
{
    if (key->object && key->object->ops->put)
        key->object->ops->put(key->object);
}

/* Private memory named without FUTEX_PRIVATE_FLAG is another futex than with it, as on Linux: words
 * are aligned, so the lowest bit is free to tell them apart. */
#define KEY_NOT_PRIVATE 1u

/* Could a word lie there? As on Linux (get_futex_key) it is asked even if nothing is read: there
 * must be memory, and private memory that nobody writes is none for futexes. */
static bool may_hold_word(const struct area *area, uint64_t offset)
{
    bool shared = area->flags & AREA_SHARED;
    if (!(area->prot & (shared ? PROT_READ | PROT_WRITE : PROT_WRITE)))
        return false;
    /* Relaxed: a size that changes at the same time may be either. */
    return !area->object ||
           offset < align_up(__atomic_load_n(&area->object->size, __ATOMIC_RELAXED), PAGE_SIZE);
}

static int key_shared(uaddr_t addr, struct futex_key *key)
{
    struct space *space = space_current();
    int err = 0;
    rwlock_read_lock(&space->lock);
    const struct area *area = area_at(space, addr.raw);
    uint64_t offset = area ? area->off + (addr.raw - area->lo) : 0;
    if (!area || !may_hold_word(area, offset)) {
        err = -EFAULT;
    } else if ((area->flags & AREA_SHARED) && area->object) {
        key->object = area->object;
        key->offset = offset;
        futex_key_ref(key);
    } else {
        key->space = space;
        key->offset |= KEY_NOT_PRIVATE;
    }
    rwlock_read_unlock(&space->lock);
    return err;
}

int futex_key_get(struct futex_word word, struct futex_key *key)
{
    *key = (struct futex_key){.offset = word.addr.raw};
    if (!is_aligned(word.addr.raw, sizeof(uint32_t)))
        return -EINVAL;
    /* Nothing need be there: waking at a private address where nobody can wait, NULL for instance,
     * wakes nobody. */
    bool null_page = !word.shared && word.addr.raw < PAGE_SIZE;
    if (!null_page && !user_range_ok(word.addr, sizeof(uint32_t)))
        return -EFAULT;
    if (word.shared)
        return key_shared(word.addr, key);
    key->space = space_current();
    return 0;
}

int futex_fault_in(uaddr_t addr, bool write)
{
    uint32_t value, seen;
    int err = user_load_u32(addr, &value);
    if (err || !write)
        return err;
    return user_cmpxchg_u32(addr, value, value, &seen); /* the same value, if any */
}

/* ---- buckets ---- */

static void bucket_prepare(struct futex_bucket *b)
{
    if (!b->waiters.next) {
        list_init(&b->waiters);
        list_init(&b->lines);
    }
}

struct futex_bucket *futex_bucket_at(unsigned index)
{
    return index < BUCKET_COUNT ? &buckets[index] : NULL;
}

void futex_bucket_lock(struct futex_bucket *b)
{
    spin_lock(&b->lock);
    bucket_prepare(b);
}

void futex_bucket_lock_two(struct futex_bucket *a, struct futex_bucket *b)
{
    if (a == b) {
        futex_bucket_lock(a);
        return;
    }
    futex_bucket_lock(a < b ? a : b);
    spin_lock_rank(a < b ? &b->lock : &a->lock, RANK_FUTEX_2);
    bucket_prepare(a < b ? b : a);
}

void futex_bucket_unlock_two(struct futex_bucket *a, struct futex_bucket *b)
{
    if (a != b)
        spin_unlock(a < b ? &b->lock : &a->lock);
    spin_unlock(a < b ? &a->lock : &b->lock);
}

struct futex_bucket *futex_waiter_lock(struct futex_waiter *w)
{
    for (;;) {
        struct futex_bucket *b = __atomic_load_n(&w->bucket, __ATOMIC_RELAXED);
        spin_lock(&b->lock);
        if (__atomic_load_n(&w->bucket, __ATOMIC_RELAXED) == b) {
            ASSERT(b == futex_key_bucket(&w->key));
            return b;
        }
        spin_unlock(&b->lock);
    }
}

/* ---- waking ---- */

static bool is_woken(const struct futex_waiter *w)
{
    return __atomic_load_n(&w->woken, __ATOMIC_SEQ_CST);
}

void futex_waiter_notify(struct futex_waiter *w)
{
    /* Sequentially consistent: the sleeper marks itself sleeping, then looks at this; we set it,
     * then look at its state. */
    __atomic_store_n(&w->woken, true, __ATOMIC_SEQ_CST);
    thread_wake(w->thread);
}

void futex_waiter_take(struct futex_waiter *w, struct list *taken)
{
    list_remove(&w->link);
    list_push_back(taken, &w->link);
    w->taken = true;
}

/* A thread of this CPU: with interrupts off it stays one and does not run, so it is still there
 * after `woken` is set, and sees both that and its state. False if it is another's. */
static bool wake_own(struct futex_waiter *w)
{
    struct thread *thread = w->thread;
    preempt_disable();
    unsigned long irq = hal_irq_save();
    bool own = __atomic_load_n(&thread->head.cpu, __ATOMIC_ACQUIRE) == this_cpu();
    if (own) {
        __atomic_store_n(&w->woken, true, __ATOMIC_RELEASE);
        thread_wake(thread);
    }
    hal_irq_restore(irq);
    preempt_enable(); /* the place to give way to the woken thread */
    return own;
}

static void wake_other(struct futex_waiter *w)
{
    struct thread *thread = w->thread;
    unsigned token = rcu_read_lock();
    __atomic_store_n(&w->woken, true, __ATOMIC_SEQ_CST); /* as futex_waiter_notify */
    thread_wake(thread);
    rcu_read_unlock(token);
}

void futex_wake_taken(struct list *taken)
{
    list_for_each_safe (link, next, taken) { /* `next` is read before this one goes away */
        struct futex_waiter *w = list_entry(link, struct futex_waiter, link);
        if (!wake_own(w))
            wake_other(w);
    }
}

bool futex_has_plain_waiter(struct futex_bucket *b, const struct futex_key *key)
{
    list_for_each (link, &b->waiters)
        if (futex_key_equal(&list_entry(link, struct futex_waiter, link)->key, key))
            return true;
    return false;
}

int futex_wake_locked(struct futex_bucket *b, const struct futex_key *key, int count,
                      uint32_t bitset, struct list *taken)
{
    int woken = 0;
    if (!list_empty(&b->lines) && futex_line_find(b, key))
        return -EINVAL;
    list_for_each_safe (link, next, &b->waiters) {
        struct futex_waiter *w = list_entry(link, struct futex_waiter, link);
        if (!futex_key_equal(&w->key, key) || !(w->bitset & bitset))
            continue;
        if (futex_waits_for_requeue(w))
            return -EINVAL; /* only FUTEX_CMP_REQUEUE_PI may wake it */
        futex_waiter_take(w, taken);
        if (++woken >= count)
            break;
    }
    return woken;
}

int futex_wake_word(struct futex_word word, int count, uint32_t bitset)
{
    struct futex_key key;
    if (bitset == 0)
        return -EINVAL;
    int err = futex_key_get(word, &key);
    if (err)
        return err;
    struct futex_bucket *b = futex_key_bucket(&key);
    struct list taken;
    list_init(&taken);
    futex_bucket_lock(b);
    int woken = futex_wake_locked(b, &key, count, bitset, &taken);
    spin_unlock(&b->lock);
    futex_wake_taken(&taken);
    futex_key_put(&key);
    return woken;
}

int futex_wake(uaddr_t addr, unsigned count, uint32_t bitset)
{
    return futex_wake_word((struct futex_word){addr, true}, (int)MIN(count, (unsigned)INT_MAX),
                           bitset);
}

/* ---- waiting ---- */

#define URGENCY_REAL_TIME 41 /* core/pi.h */

/* Field by field: gcc would clear the whole by `rep stos`, which takes longer than the rest of the
 * call on the way to sleep. */
void futex_waiter_init(struct futex_waiter *w, const struct futex_time *time, uint32_t bitset)
{
    unsigned urgency = thread_urgency(thread_current());
    list_init(&w->link);
    w->bucket = NULL;
    w->key = w->target = (struct futex_key){0};
    w->task = task_current();
    w->thread = thread_current();
    w->line = NULL;
    w->pi = (struct pi_waiter){0};
    w->bitset = bitset;
    w->rt = (uint8_t)(urgency >= URGENCY_REAL_TIME ? urgency : 0);
    w->wall = time->wall;
    w->taken = w->granted = w->woken = false;
}

/* As on Linux real-time threads come first, by their priority now; all others in order of arrival.
 */
void futex_waiter_insert(struct futex_bucket *b, struct futex_waiter *w)
{
    struct list *before = &b->waiters;
    if (w->rt) {
        list_for_each (pos, &b->waiters)
            if (list_entry(pos, struct futex_waiter, link)->rt < w->rt) {
                before = pos;
                break;
            }
    }
    list_push_back(before, &w->link); /* in front of `before` */
}

int futex_waiter_enqueue(struct futex_waiter *w, struct futex_word word, uint32_t expected)
{
    for (;;) {
        uint32_t value;
        int err = futex_key_get(word, &w->key);
        if (err)
            return err;
        struct futex_bucket *b = futex_key_bucket(&w->key);
        __atomic_store_n(&w->bucket, b, __ATOMIC_RELAXED);
        futex_bucket_lock(b);
        bool missing = user_try_load_u32(word.addr, &value) != 0;
        if (!missing && value != expected)
            err = -EAGAIN;
        else if (!missing && futex_key_equal(&w->key, &w->target))
            err = -EINVAL;
        else if (!missing)
            futex_waiter_insert(b, w);
        spin_unlock(&b->lock);
        if (!missing && !err)
            return 0;
        futex_key_put(&w->key);
        if (!err)
            err = futex_fault_in(word.addr, false);
        if (err)
            return err;
    }
}

/* The deadline on the monotonic clock. The generation is read after the thread has marked itself
 * sleeping, and before the wall clock: futex_clock_set, which is called after the clock was set,
 * counts before it wakes. So we see the new clock, or it sees us asleep. */
static uint64_t deadline_of(const struct futex_time *time)
{
    if (!time->wall || time->ns == UINT64_MAX)
        return time->ns;
    (void)__atomic_load_n(&clock_generation, __ATOMIC_SEQ_CST);
    uint64_t wall = clock_wall_ns(), mono = clock_mono_ns(), deadline;
    if (time->ns <= wall)
        return mono;
    return add_overflow(time->ns - wall, mono, &deadline) ? UINT64_MAX : deadline;
}

/* Sleep once, unless the flag is set. */
static int sleep_once(const bool *woken, const struct futex_time *time)
{
    int err = 0;
    thread_prepare_sleep(true);
    if (!__atomic_load_n(woken, __ATOMIC_SEQ_CST))
        err = thread_sleep(deadline_of(time));
    thread_finish_sleep();
    if (err == -ETIMEDOUT && time->wall && clock_wall_ns() < time->ns)
        err = 0; /* it was set back */
    return err;
}

int futex_waiter_sleep(const struct futex_waiter *w, const struct futex_time *time)
{
    int err = 0;
    while (err == 0 && !is_woken(w))
        err = sleep_once(&w->woken, time);
    return err;
}

void futex_waiter_put(const struct futex_waiter *w)
{
    futex_key_put(&w->key);
    futex_key_put(&w->target);
}

/* Leave the queue. True if a waker was faster. */
static bool waiter_leave(struct futex_waiter *w)
{
    bool taken = is_woken(w);
    if (!taken) {
        struct futex_bucket *b = futex_waiter_lock(w);
        taken = w->taken;
        if (!taken)
            list_remove(&w->link);
        spin_unlock(&b->lock);
    }
    while (taken && !is_woken(w)) { /* the waker is about to */
        thread_prepare_sleep(false);
        if (!is_woken(w))
            (void)thread_sleep(UINT64_MAX);
        thread_finish_sleep();
    }
    futex_waiter_put(w); /* of the last requeue, if any */
    return taken;
}

int futex_wait(struct futex_word word, uint32_t expected, const struct futex_time *time,
               uint32_t bitset)
{
    struct futex_waiter w;
    if (bitset == 0)
        return -EINVAL;
    futex_waiter_init(&w, time, bitset);
    int err = futex_waiter_enqueue(&w, word, expected);
    if (err)
        return err;
    err = futex_waiter_sleep(&w, time);
    return waiter_leave(&w) ? 0 : err;
}

/* ---- waiting for several ---- */

static int first_woken(struct futex_waiter *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (is_woken(&w[i]))
            return (int)i;
    return -1;
}

static int sleep_many(struct futex_waiter *w, unsigned count, const struct futex_time *time)
{
    int err = 0;
    while (err == 0 && first_woken(w, count) < 0) {
        thread_prepare_sleep(true);
        if (first_woken(w, count) < 0)
            err = thread_sleep(deadline_of(time));
        thread_finish_sleep();
        if (err == -ETIMEDOUT && time->wall && clock_wall_ns() < time->ns)
            err = 0;
    }
    return err;
}

/* Linux tells the last of those woken. */
static int leave_many(struct futex_waiter *w, unsigned count)
{
    int last = -1;
    for (unsigned i = 0; i < count; i++)
        if (waiter_leave(&w[i]))
            last = (int)i;
    return last;
}

/* Bringing a page may sleep while the first ones are in their queues already: their wakes are not
 * lost, they stay noted in `woken`. */
int futex_wait_many(const struct futex_wait_item *items, unsigned count,
                    const struct futex_time *time)
{
    struct futex_waiter *w = kmalloc_array(count, sizeof *w, 0);
    int err = 0;
    unsigned queued = 0;
    if (!w)
        return -ENOMEM;
    for (; queued < count && err == 0; queued += err == 0) {
        futex_waiter_init(&w[queued], time, FUTEX_ANY_BIT);
        err = futex_waiter_enqueue(&w[queued], items[queued].word, items[queued].expected);
    }
    if (err == 0)
        err = sleep_many(w, count, time);
    int index = leave_many(w, queued);
    kfree(w);
    return index >= 0 ? index : err;
}

/* ---- the wall clock ---- */

static void notify_wall(struct list *waiters)
{
    list_for_each (link, waiters) {
        const struct futex_waiter *w = list_entry(link, struct futex_waiter, link);
        if (w->wall)
            thread_wake(w->thread);
    }
}

void futex_clock_set(void)
{
    __atomic_fetch_add(&clock_generation, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < BUCKET_COUNT; i++) {
        futex_bucket_lock(&buckets[i]);
        notify_wall(&buckets[i].waiters);
        list_for_each (link, &buckets[i].lines)
            notify_wall(&list_entry(link, struct futex_line, link)->waiters);
        spin_unlock(&buckets[i].lock);
    }
}
