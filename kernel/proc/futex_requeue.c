/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * futex_requeue.c - the operations on two futexes: moving waiters from one to the other, and
 * FUTEX_WAKE_OP.
 *
 * Everything happens in one step for others: both buckets are locked, the words are read and
 * written without sleeping, and if a page is missing nothing has been done yet and all begins again
 * when it is there. The exception is FUTEX_CMP_REQUEUE_PI, which may have handled some waiters when
 * it has to wait for an owner that is ending: it goes on with the rest.
 *
 * A waiter that is moved gets a reference to the object of its new key; the reference of its old
 * one is dropped here after the locks.
 */
#include "lib/errno.h"
#include "mm/usercopy.h"
#include "proc/futex.h"

struct pair {
    struct futex_key key, key2;
    struct futex_bucket *b, *b2;
};

static int pair_get(struct pair *p, struct futex_word word, struct futex_word word2)
{
    int err = futex_key_get(word, &p->key);
    if (err)
        return err;
    err = futex_key_get(word2, &p->key2);
    if (err) {
        futex_key_put(&p->key);
        return err;
    }
    p->b = futex_key_bucket(&p->key);
    p->b2 = futex_key_bucket(&p->key2);
    return 0;
}

static void pair_put(const struct pair *p)
{
    futex_key_put(&p->key2);
    futex_key_put(&p->key);
}

/* 0, -EAGAIN, or -EFAULT if the page is missing. */
static int compare_locked(uaddr_t addr, const uint32_t *expected)
{
    uint32_t value;
    if (!expected)
        return 0;
    if (user_try_load_u32(addr, &value))
        return -EFAULT;
    return value == *expected ? 0 : -EAGAIN;
}

/* ---- FUTEX_REQUEUE, FUTEX_CMP_REQUEUE ---- */

static void move(struct pair *p, struct futex_waiter *w)
{
    list_remove(&w->link);
    futex_key_ref(&p->key2); /* the waiter's; the one it had is ours now */
    w->key = p->key2;
    __atomic_store_n(&w->bucket, p->b2, __ATOMIC_RELAXED); /* read again under the lock */
    futex_waiter_insert(p->b2, w);
}

/* Both locks held. Returns how many were woken or moved, or -EINVAL; *moved of them were moved and
 * have left a reference. */
static int requeue_locked(const struct futex_requeue *req, struct pair *p, int *moved,
                          struct list *taken)
{
    int woken = 0, stay = 0;
    bool same = futex_key_equal(&p->key, &p->key2);
    if (!list_empty(&p->b->lines) && futex_line_find(p->b, &p->key))
        return -EINVAL;
    list_for_each_safe (link, next, &p->b->waiters) {
        struct futex_waiter *w = list_entry(link, struct futex_waiter, link);
        if (!futex_key_equal(&w->key, &p->key))
            continue;
        if (futex_waits_for_requeue(w))
            return -EINVAL;
        if (woken < req->wake_count) {
            futex_waiter_take(w, taken);
            woken++;
        } else if (*moved + stay >= req->move_count) {
            break;
        } else if (same) {
            stay++;
        } else {
            move(p, w);
            ++*moved;
        }
    }
    return woken + *moved + stay;
}

long futex_requeue(const struct futex_requeue *req)
{
    if (req->wake_count < 0 || req->move_count < 0)
        return -EINVAL;
    for (;;) {
        struct pair p;
        struct list taken;
        list_init(&taken);
        int moved = 0, result = pair_get(&p, req->from, req->to);
        if (result)
            return result;
        futex_bucket_lock_two(p.b, p.b2);
        int missing = result = compare_locked(req->from.addr, req->expected);
        if (result == 0)
            result = requeue_locked(req, &p, &moved, &taken);
        futex_bucket_unlock_two(p.b, p.b2);
        futex_wake_taken(&taken);
        for (int i = 0; i < moved; i++)
            futex_key_put(&p.key);
        pair_put(&p);
        if (missing != -EFAULT)
            return result;
        result = futex_fault_in(req->from.addr, false);
        if (result)
            return result;
    }
}

/* ---- FUTEX_CMP_REQUEUE_PI ---- */

struct pi_move {
    const struct futex_requeue *req;
    struct pair p;
    struct futex_claim claim;
    int done;  /* waiters that own it or stand in its line now */
    int moved; /* references left behind in this round */
};

static void grant(struct futex_waiter *w)
{
    list_remove(&w->link);
    w->granted = true;
    futex_waiter_notify(w);
}

/* As futex_claim. The waiter's own reference to the target becomes that of its key. */
static int move_one(struct pi_move *m, struct futex_waiter *w)
{
    int r = futex_claim(&m->claim, m->p.b2, &m->p.key2, w->task, m->req->move_count > 0);
    if (r == 1)
        grant(w);
    if (r)
        return r;
    r = futex_line_join(m->p.b2, m->claim.line, w);
    if (r)
        return r;
    w->key = w->target;
    w->target = (struct futex_key){0};
    m->moved++;
    return 0;
}

/* Both locks held. */
static int move_all(struct pi_move *m)
{
    list_for_each_safe (link, next, &m->p.b->waiters) {
        struct futex_waiter *w = list_entry(link, struct futex_waiter, link);
        if (!futex_key_equal(&w->key, &m->p.key))
            continue;
        if (m->done > m->req->move_count) /* one more than that: the one to be woken */
            break;
        if (!futex_key_equal(&w->target, &m->p.key2))
            return -EINVAL;
        int r = move_one(m, w);
        if (r < 0)
            return r;
        m->done++;
    }
    return 0;
}

enum round { ROUND_AGAIN, ROUND_DONE };

/* ROUND_AGAIN, or ROUND_DONE and the result of the call. */
static enum round move_result(struct pi_move *m, int compared, int err, long *result)
{
    int again = compared == -EFAULT ? futex_fault_in(m->req->from.addr, false)
                : compared || !err  ? 0
                                    : futex_claim_retry(&m->claim, err);
    *result = again;
    if (compared == -EAGAIN) /* the word has changed: what was moved before stays moved, but a
                                number would say that nobody is left to be */
        *result = -EAGAIN;
    else if (!compared && !err)
        *result = m->done;
    else if (!again)
        return ROUND_AGAIN;
    return ROUND_DONE;
}

static enum round move_round(struct pi_move *m, long *result)
{
    int err = pair_get(&m->p, m->req->from, m->req->to);
    *result = err;
    if (err)
        return ROUND_DONE;
    if (futex_key_equal(&m->p.key, &m->p.key2)) {
        pair_put(&m->p);
        *result = -EINVAL;
        return ROUND_DONE;
    }
    m->moved = 0;
    futex_bucket_lock_two(m->p.b, m->p.b2);
    int compared = compare_locked(m->req->from.addr, m->req->expected);
    if (compared == 0)
        err = move_all(m);
    futex_bucket_unlock_two(m->p.b, m->p.b2);
    for (int i = 0; i < m->moved; i++)
        futex_key_put(&m->p.key);
    pair_put(&m->p);
    return move_result(m, compared, err, result);
}

long futex_requeue_pi(const struct futex_requeue *req)
{
    struct pi_move m = {.req = req};
    long result;
    enum round round;
    if (req->from.addr.raw == req->to.addr.raw || req->wake_count != 1 || req->move_count < 0)
        return -EINVAL;
    do {
        int err = futex_claim_begin(&m.claim, req->to.addr);
        if (err)
            return err;
        round = move_round(&m, &result);
        futex_claim_end(&m.claim);
    } while (round == ROUND_AGAIN);
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

/* -EFAULT: the page is missing, nothing is stored. */
static int wake_op_store(uaddr_t addr, const struct wake_op *op, uint32_t *old)
{
    uint32_t expected;
    int err = user_try_load_u32(addr, &expected);
    while (err == 0) {
        err = user_try_cmpxchg_u32(addr, expected, wake_op_apply(op, expected), old);
        if (err == 0 && *old == expected)
            return 0;
        expected = *old;
    }
    return err;
}

struct wake_counts {
    int first, second;
};

static int wake_op_locked(const struct pair *p, bool both, struct wake_counts count,
                          struct list *taken)
{
    int woken = futex_wake_locked(p->b, &p->key, count.first, FUTEX_ANY_BIT, taken);
    if (woken < 0 || !both)
        return woken;
    int more = futex_wake_locked(p->b2, &p->key2, count.second, FUTEX_ANY_BIT, taken);
    return more < 0 ? more : woken + more;
}

long futex_wake_op(struct futex_word word, struct futex_word word2, int count, int count2,
                   uint32_t code)
{
    struct wake_op op;
    for (;;) {
        struct pair p;
        struct list taken;
        uint32_t old;
        list_init(&taken);
        int result = pair_get(&p, word, word2);
        if (result)
            return result;
        result = wake_op_decode(code, &op);
        if (result) {
            pair_put(&p);
            return result;
        }
        futex_bucket_lock_two(p.b, p.b2);
        int missing = wake_op_store(word2.addr, &op, &old);
        if (!missing)
            result = wake_op_locked(&p, wake_op_compare(&op, old),
                                    (struct wake_counts){count, count2}, &taken);
        futex_bucket_unlock_two(p.b, p.b2);
        futex_wake_taken(&taken);
        pair_put(&p);
        if (!missing)
            return result;
        result = futex_fault_in(word2.addr, true);
        if (result)
            return result;
    }
}
