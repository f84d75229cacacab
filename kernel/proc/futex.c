/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * futex.c - futex(2): sleep until another thread says that a word of user memory has changed.
 *
 * A word is named by a key: the object and byte offset for shared mappings, else the address space
 * and address. Waiters are kept in hash buckets, each with a spinlock.
 *
 * The word cannot be read under a bucket's lock, because that may fault and sleep. So:
 *
 *  Wait. Enqueue as "tentative" (under the lock), read the word, then either leave (it
 *  differs) or become a full waiter (under the lock) and sleep. A waker changes the word before its
 * call, and its scan is ordered with our enqueueing by the lock: if it scanned before, our read
 * sees its change; if after, it finds us. A tentative waiter that is found leaves the queue like
 * any other but is not counted, so it never takes a wake away from a thread that really sleeps:
 * that would be lost when the tentative one then finds that it should not have waited at all.
 *
 *  Requeue with comparison. Read the word, move the waiters with both locks held, read it again. If
 *  it is still the same, the comparison held at the time of the move. Otherwise a thread
 *  may have been moved that Linux would have left: those moved are woken instead (a
 *  spurious wake-up, which every user of futexes must expect), so none is stuck in the wrong queue.
 *
 * A waiter leaves only under the lock of the bucket it is in, so whoever holds that lock may use it
 * and its thread. References to objects are dropped without locks, since that may sleep.
 *
 * Priority-inheriting operations are not implemented: -ENOSYS, as Linux without CONFIG_FUTEX_PI.
 */
#include "lib/errno.h"
#include "mm/area.h"
#include "mm/usercopy.h"
#include "proc/process.h"

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_REQUEUE 3
#define FUTEX_CMP_REQUEUE 4
#define FUTEX_WAKE_OP 5
#define FUTEX_WAIT_BITSET 9
#define FUTEX_WAKE_BITSET 10
#define FUTEX_PRIVATE_FLAG 128
#define FUTEX_CLOCK_REALTIME 256
#define FUTEX_ANY_BIT UINT32_MAX

#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu
#define ROBUST_LIST_LIMIT 2048

#define BUCKET_COUNT 256

struct futex_key {
    const struct space *space; /* private: the space; else NULL */
    struct vm_object *object;  /* shared: a reference; else NULL */
    uint64_t offset;           /* address, or byte in the object */
};

struct bucket {
    struct spinlock lock; /* RANK_FUTEX; guards all that is in waiters */
    struct list waiters;  /* all zero: never used */
} cache_aligned;

struct futex_waiter {
    struct list link;
    struct bucket *bucket; /* where it is or was last; changes under both locks; atomic */
    struct futex_key key;
    struct thread *thread;
    const void *moved_by; /* the latest requeue */
    uint32_t bitset;
    bool tentative;
    bool woken; /* not in the bucket any more; atomic */
};

static struct bucket buckets[BUCKET_COUNT] = {
    [0 ... BUCKET_COUNT - 1] = {.lock = SPINLOCK_INIT(RANK_FUTEX)},
};

/* ---- keys ---- */

static bool key_equal(const struct futex_key *a, const struct futex_key *b)
{
    return a->space == b->space && a->object == b->object && a->offset == b->offset;
}

static struct bucket *key_bucket(const struct futex_key *key)
{
    /* Fibonacci hashing: the upper bits of the product depend on all lower ones. */
    uint64_t base = (uintptr_t)(key->space ? (const void *)key->space : (const void *)key->object);
    uint64_t hash = (base ^ key->offset >> 2) * 0x9e3779b97f4a7c15ull;
    return &buckets[hash >> 56];
}
STATIC_ASSERT(BUCKET_COUNT == 1 << 8);

static void object_get(struct vm_object *object)
{
    if (object && object->ops->get)
        object->ops->get(object);
}

static void object_put(struct vm_object *object)
{
    if (object && object->ops->put)
        object->ops->put(object);
}

static int key_shared(uaddr_t addr, struct futex_key *key)
{
    struct space *space = space_current();
    int err = 0;
    rwlock_read_lock(&space->lock);
    const struct area *area = area_at(space, addr.raw);
    if (!area) {
        err = -EFAULT;
    } else if ((area->flags & AREA_SHARED) && area->object) {
        key->object = area->object;
        key->offset = area->off + (addr.raw - area->lo);
        object_get(key->object);
    } else {
        key->space = space;
    }
    rwlock_read_unlock(&space->lock);
    return err;
}

/* On success the caller must give the key back with key_put. */
static int key_get(uaddr_t addr, bool shared, struct futex_key *key)
{
    *key = (struct futex_key){.offset = addr.raw};
    if (!is_aligned(addr.raw, sizeof(uint32_t)))
        return -EINVAL;
    if (!user_range_ok(addr, sizeof(uint32_t)))
        return -EFAULT;
    if (shared)
        return key_shared(addr, key);
    key->space = space_current();
    return 0;
}

static void key_put(const struct futex_key *key)
{
    object_put(key->object);
}

/* ---- buckets ---- */

static void bucket_prepare(struct bucket *b)
{
    if (!b->waiters.next)
        list_init(&b->waiters);
}

static void bucket_lock(struct bucket *b)
{
    spin_lock(&b->lock);
    bucket_prepare(b);
}

static void bucket_lock_two(struct bucket *a, struct bucket *b)
{
    if (a == b) {
        bucket_lock(a);
        return;
    }
    bucket_lock(a < b ? a : b);
    spin_lock_rank(a < b ? &b->lock : &a->lock, RANK_FUTEX_2);
    bucket_prepare(a < b ? b : a);
}

static void bucket_unlock_two(struct bucket *a, struct bucket *b)
{
    if (a != b)
        spin_unlock(a < b ? &b->lock : &a->lock);
    spin_unlock(a < b ? &a->lock : &b->lock);
}

/* Lock the bucket that the waiter is in, which a requeue may change until then. */
static struct bucket *waiter_lock(struct futex_waiter *w)
{
    for (;;) {
        struct bucket *b = __atomic_load_n(&w->bucket, __ATOMIC_RELAXED);
        spin_lock(&b->lock);
        if (__atomic_load_n(&w->bucket, __ATOMIC_RELAXED) == b)
            return b;
        spin_unlock(&b->lock);
    }
}

/* Under the lock. True if it counts as a wake-up. */
static bool waiter_wake(struct futex_waiter *w)
{
    bool counts = !w->tentative;
    list_remove(&w->link);
    /* Sequentially consistent: the sleeper marks itself sleeping, then looks at this; we set it,
     * then look at its state. */
    __atomic_store_n(&w->woken, true, __ATOMIC_SEQ_CST);
    thread_wake(w->thread);
    return counts;
}

/* Wake up to `count` waiters, at least one as on Linux. */
static int wake_locked(struct bucket *b, const struct futex_key *key, int count, uint32_t bitset)
{
    int woken = 0;
    list_for_each_safe (link, next, &b->waiters) {
        struct futex_waiter *w = list_entry(link, struct futex_waiter, link);
        if (!key_equal(&w->key, key) || !(w->bitset & bitset))
            continue;
        woken += waiter_wake(w);
        if (woken && woken >= count)
            break;
    }
    return woken;
}

static long wake(uaddr_t addr, bool shared, int count, uint32_t bitset)
{
    struct futex_key key;
    if (bitset == 0)
        return -EINVAL;
    int err = key_get(addr, shared, &key);
    if (err)
        return err;
    struct bucket *b = key_bucket(&key);
    bucket_lock(b);
    int woken = wake_locked(b, &key, count, bitset);
    spin_unlock(&b->lock);
    key_put(&key);
    return woken;
}

int futex_wake(uaddr_t addr, unsigned count, uint32_t bitset)
{
    return (int)wake(addr, true, count > INT_MAX ? INT_MAX : (int)count, bitset);
}

/* ---- wait ---- */

static void waiter_enqueue(struct futex_waiter *w, const struct futex_key *key, uint32_t bitset)
{
    struct bucket *b = key_bucket(key);
    *w = (struct futex_waiter){
        .bucket = b,
        .key = *key,
        .thread = thread_current(),
        .bitset = bitset,
        .tentative = true,
    };
    bucket_lock(b);
    list_push_back(&b->waiters, &w->link);
    spin_unlock(&b->lock);
}

/* Leave the queue. True if a waker was faster. */
static bool waiter_leave(struct futex_waiter *w)
{
    struct bucket *b = waiter_lock(w);
    bool woken = w->woken;
    if (!woken)
        list_remove(&w->link);
    spin_unlock(&b->lock);
    key_put(&w->key); /* of the last requeue, if any */
    return woken;
}

static void waiter_confirm(struct futex_waiter *w)
{
    struct bucket *b = waiter_lock(w);
    w->tentative = false;
    spin_unlock(&b->lock);
}

static int waiter_sleep(struct futex_waiter *w, uint64_t deadline)
{
    int err = 0;
    while (err == 0 && !__atomic_load_n(&w->woken, __ATOMIC_SEQ_CST)) {
        thread_prepare_sleep(true);
        if (!__atomic_load_n(&w->woken, __ATOMIC_SEQ_CST))
            err = thread_sleep(deadline);
        thread_finish_sleep();
    }
    return err;
}

/* 0, -EAGAIN, -ETIMEDOUT, -EINTR, -EFAULT, -EINVAL. */
static int wait(uaddr_t addr, bool shared, uint32_t expected, uint64_t deadline, uint32_t bitset)
{
    struct futex_waiter w;
    struct futex_key key;
    uint32_t value;
    int err = key_get(addr, shared, &key);
    if (err)
        return err;
    waiter_enqueue(&w, &key, bitset); /* takes over the reference in the key */
    err = user_load_u32(addr, &value);
    if (err == 0 && value != expected)
        err = -EAGAIN;
    if (err) {
        (void)waiter_leave(&w); /* a wake that found it tentative was not counted */
        return err;
    }
    waiter_confirm(&w);
    err = waiter_sleep(&w, deadline);
    return waiter_leave(&w) ? 0 : err;
}

static long wait_restartable(uaddr_t addr, bool shared, uint32_t expected, uint64_t deadline,
                             uint32_t bitset)
{
    int err = wait(addr, shared, expected, deadline, bitset);
    if (err != -EINTR)
        return err;
    if (deadline == UINT64_MAX)
        return -ERESTARTSYS;
    task_current()->restart_deadline_ns = deadline;
    return -ERESTART_RESTARTBLOCK;
}

/* The deadline on the monotonic clock, UINT64_MAX for none. */
static int read_deadline(uaddr_t timeout, bool absolute, bool wall, uint64_t *out)
{
    struct {
        int64_t sec, nsec;
    } ts;
    *out = UINT64_MAX;
    if (timeout.raw == 0)
        return 0;
    int err = copyin(&ts, timeout, sizeof(ts));
    if (err)
        return err;
    if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= (int64_t)NS_PER_SEC)
        return -EINVAL;
    uint64_t restarted = task_current()->restart_deadline_ns;
    if (restarted) {
        *out = restarted; /* the first call's, after a signal without a handler */
        return 0;
    }
    uint64_t ns, now = clock_mono_ns();
    if (mul_overflow((uint64_t)ts.sec, NS_PER_SEC, &ns) || add_overflow(ns, (uint64_t)ts.nsec, &ns))
        return 0;
    if (absolute && wall) {
        uint64_t wall_now = clock_wall_ns();
        ns = ns > wall_now ? ns - wall_now : 0;
    }
    if ((!absolute || wall) && add_overflow(ns, now, &ns))
        return 0;
    *out = MAX(ns, 1); /* 0 means "no restart" */
    return 0;
}

/* ---- requeue ---- */

struct requeue {
    struct futex_key from, to;
    struct bucket *b_from, *b_to;
    int wake_count, move_count;
};

/* Both locks held. Returns how many were woken or moved; *moved of them were moved. */
static int requeue_locked(struct requeue *r, int *moved)
{
    int woken = 0;
    *moved = 0;
    struct list took;
    list_init(&took);
    list_for_each_safe (link, next, &r->b_from->waiters) {
        struct futex_waiter *w = list_entry(link, struct futex_waiter, link);
        if (!key_equal(&w->key, &r->from))
            continue;
        if (w->tentative || woken < r->wake_count) {
            woken += waiter_wake(w);
            continue;
        }
        if (*moved >= r->move_count)
            break;
        list_remove(&w->link);
        list_push_back(&took, &w->link);
        object_get(r->to.object); /* the waiter's; the one it had is ours now */
        w->key = r->to;
        w->moved_by = r;
        __atomic_store_n(&w->bucket, r->b_to, __ATOMIC_RELAXED); /* read again under the lock */
        ++*moved;
    }
    list_splice_back(&r->b_to->waiters, &took);
    return woken + *moved;
}

/* The comparison no longer holds: wake those that we have moved. */
static void requeue_repair(struct requeue *r)
{
    bucket_lock(r->b_to);
    list_for_each_safe (link, next, &r->b_to->waiters) {
        struct futex_waiter *w = list_entry(link, struct futex_waiter, link);
        if (w->moved_by == r)
            (void)waiter_wake(w);
    }
    spin_unlock(&r->b_to->lock);
}

static long requeue_run(struct requeue *r, uaddr_t addr, const uint32_t *expected)
{
    uint32_t value;
    int moved;
    if (expected) {
        int err = user_load_u32(addr, &value);
        if (err)
            return err;
        if (value != *expected)
            return -EAGAIN;
    }
    bucket_lock_two(r->b_from, r->b_to);
    int done = requeue_locked(r, &moved);
    bucket_unlock_two(r->b_from, r->b_to);
    for (int i = 0; i < moved; i++)
        key_put(&r->from);
    if (expected && moved && (user_load_u32(addr, &value) || value != *expected))
        requeue_repair(r);
    return done;
}

static long requeue(uaddr_t addr, uaddr_t addr2, bool shared, int wake_count, int move_count,
                    const uint32_t *expected)
{
    struct requeue r = {.wake_count = wake_count, .move_count = move_count};
    if (wake_count < 0 || move_count < 0)
        return -EINVAL;
    long result = key_get(addr, shared, &r.from);
    if (result)
        return result;
    result = key_get(addr2, shared, &r.to);
    if (result)
        goto out;
    r.b_from = key_bucket(&r.from);
    r.b_to = key_bucket(&r.to);
    result = requeue_run(&r, addr, expected);
    key_put(&r.to);
out:
    key_put(&r.from);
    return result;
}

/* ---- FUTEX_WAKE_OP ---- */

struct wake_op {
    unsigned op, cmp;
    int32_t arg, cmp_arg;
};

/* futex(2): op, shift flag, cmp: 4 bits each from the top; then two signed 12-bit arguments. */
static int wake_op_decode(uint32_t code, struct wake_op *out)
{
    out->op = code >> 28 & 7;
    out->cmp = code >> 24 & 15;
    out->arg = (int32_t)(code << 8) >> 20;
    out->cmp_arg = (int32_t)(code << 20) >> 20;
    if (code >> 31) /* FUTEX_OP_OPARG_SHIFT; Linux takes the argument modulo 32 */
        out->arg = (int32_t)(1u << (out->arg & 31));
    return out->op > 4 || out->cmp > 5 ? -ENOSYS : 0;
}

static uint32_t wake_op_apply(const struct wake_op *op, uint32_t old)
{
    uint32_t arg = (uint32_t)op->arg;
    switch (op->op) {
    case 0:
        return arg;
    case 1:
        return old + arg;
    case 2:
        return old | arg;
    case 3:
        return old & ~arg;
    default:
        return old ^ arg;
    }
}

static bool wake_op_compare(const struct wake_op *op, uint32_t old)
{
    int32_t value = (int32_t)old;
    switch (op->cmp) {
    case 0:
        return value == op->cmp_arg;
    case 1:
        return value != op->cmp_arg;
    case 2:
        return value < op->cmp_arg;
    case 3:
        return value <= op->cmp_arg;
    case 4:
        return value > op->cmp_arg;
    default:
        return value >= op->cmp_arg;
    }
}

static int wake_op_store(uaddr_t addr, const struct wake_op *op, uint32_t *old)
{
    uint32_t expected;
    int err = user_load_u32(addr, &expected);
    while (err == 0) {
        err = user_cmpxchg_u32(addr, expected, wake_op_apply(op, expected), old);
        if (err == 0 && *old == expected)
            return 0;
        expected = *old;
    }
    return err;
}

/* The word changes before the locks are taken: who enqueues between sees the new value, or is woken
 * for nothing. */
static long wake_op(uaddr_t addr, uaddr_t addr2, bool shared, int count, int count2, uint32_t code)
{
    struct futex_key key, key2;
    struct wake_op op;
    uint32_t old;
    long result = key_get(addr, shared, &key);
    if (result)
        return result;
    result = key_get(addr2, shared, &key2);
    if (result)
        goto out;
    result = wake_op_decode(code, &op);
    if (result == 0)
        result = wake_op_store(addr2, &op, &old);
    if (result)
        goto out2;
    struct bucket *b = key_bucket(&key), *b2 = key_bucket(&key2);
    bucket_lock_two(b, b2);
    result = wake_locked(b, &key, count, FUTEX_ANY_BIT);
    if (wake_op_compare(&op, old))
        result += wake_locked(b2, &key2, count2, FUTEX_ANY_BIT);
    bucket_unlock_two(b, b2);
out2:
    key_put(&key2);
out:
    key_put(&key);
    return result;
}

/* ---- the call ---- */

long futex_syscall(uaddr_t addr, int op, uint32_t val, uint64_t timeout_or_val2, uaddr_t addr2,
                   uint32_t val3)
{
    bool shared = !(op & FUTEX_PRIVATE_FLAG), wall = op & FUTEX_CLOCK_REALTIME;
    int command = op & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    bool waits = command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
    int count = (int)val, count2 = (int)timeout_or_val2;
    uint64_t deadline = UINT64_MAX;
    if (wall && !waits)
        return -ENOSYS;
    if (waits) {
        int err =
            read_deadline(uaddr(timeout_or_val2), command == FUTEX_WAIT_BITSET, wall, &deadline);
        if (err)
            return err;
    }
    switch (command) {
    case FUTEX_WAIT:
        return wait_restartable(addr, shared, val, deadline, FUTEX_ANY_BIT);
    case FUTEX_WAIT_BITSET:
        return val3 ? wait_restartable(addr, shared, val, deadline, val3) : -EINVAL;
    case FUTEX_WAKE:
        return wake(addr, shared, count, FUTEX_ANY_BIT);
    case FUTEX_WAKE_BITSET:
        return wake(addr, shared, count, val3);
    case FUTEX_REQUEUE:
        return requeue(addr, addr2, shared, count, count2, NULL);
    case FUTEX_CMP_REQUEUE:
        return requeue(addr, addr2, shared, count, count2, &val3);
    case FUTEX_WAKE_OP:
        return wake_op(addr, addr2, shared, count, count2, val3);
    default:
        return -ENOSYS;
    }
}

/* ---- robust lists (Linux, Documentation/locking/robust-futex-ABI.rst) ---- */

struct robust_head {
    uint64_t next;    /* first entry, or the head itself; bit 0: a PI futex */
    int64_t offset;   /* from an entry to its futex word */
    uint64_t pending; /* entry that was being added or removed */
};

/* The owner of this word dies. */
static void robust_death(uaddr_t addr, uint32_t tid, bool pi, bool pending)
{
    uint32_t value, seen;
    if (!is_aligned(addr.raw, sizeof(uint32_t)) || user_load_u32(addr, &value))
        return;
    /* It unlocked, but died before it could wake the next: do that for it. */
    if (pending && !pi && value == 0) {
        (void)futex_wake(addr, 1, FUTEX_ANY_BIT);
        return;
    }
    for (;;) {
        if ((value & FUTEX_TID_MASK) != tid)
            return;
        uint32_t dead = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        if (user_cmpxchg_u32(addr, value, dead, &seen))
            return;
        if (seen == value)
            break;
        value = seen;
    }
    if (!pi && (value & FUTEX_WAITERS))
        (void)futex_wake(addr, 1, FUTEX_ANY_BIT);
}

void futex_exit_robust(struct task *task)
{
    uaddr_t head_addr = task->robust_list;
    struct robust_head head;
    uint32_t tid = (uint32_t)task->tid;
    task->robust_list = uaddr(0);
    if (head_addr.raw == 0 || copyin(&head, head_addr, sizeof(head)))
        return;
    uint64_t entry = head.next;
    for (unsigned i = 0; i < ROBUST_LIST_LIMIT && (entry & ~1ull) != head_addr.raw; i++) {
        /* Read the link first: after the word is free its memory belongs to others. */
        uint64_t next, here = entry & ~1ull;
        bool broken = copyin(&next, uaddr(here), sizeof(next)) != 0;
        if (here != (head.pending & ~1ull))
            robust_death(uaddr(here + (uint64_t)head.offset), tid, entry & 1, false);
        if (broken)
            break;
        entry = next;
    }
    uint64_t pending = head.pending & ~1ull;
    if (pending)
        robust_death(uaddr(pending + (uint64_t)head.offset), tid, head.pending & 1, true);
}
