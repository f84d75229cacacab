/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * futex_pi.c - priority-inheriting futexes. The word names the owner: 0 or a TID, with
 * FUTEX_WAITERS if the kernel must hear of the unlock and FUTEX_OWNER_DIED if an owner ended with
 * it. Free and uncontended it changes hands in user space, 0 <-> TID. Otherwise there is a line:
 * who waits, by urgency, and the owner, who inherits it (core/pi.h).
 *
 * A line exists while somebody waits in it. All about it and every change of the word by the kernel
 * is under the bucket's lock. Invariant: a line with an owner belongs to the task that the word
 * names, or the word was changed by user code against the protocol; a line without owner (it ended)
 * has a waiter that was told to look.
 *
 *  Lock. Mark the word FUTEX_WAITERS, so that its owner comes here to unlock; find the owner by its
 *  TID; stand in the line. Sleep until granted.
 *
 *  Unlock. The most urgent waiter becomes the owner, in the word and in the line, before it runs:
 *  the word of a futex with waiters is never seen free, so user code cannot get in between.
 *
 *  The owner ends. It cannot write the word: whoever waits may use another address for it, and
 *  knows best. So the line loses its owner, the first waiter looks, and takes it: word := own TID,
 *  FUTEX_OWNER_DIED as Linux. Anybody else who looks first may take it too.
 *
 *  No line gets an ending owner: attaching counts the task's lines (pi_lines), then looks at its
 *  futex_state; ending sets the state, then looks at the count (both sequentially consistent), and
 *  if it is not zero searches all buckets, so also that of an attachment that came just before. Who
 *  finds a task on its way waits until it is through (futex_exit_lock) and looks at the word again.
 */
#include "lib/errno.h"
#include "mm/kmalloc.h"
#include "mm/usercopy.h"
#include "proc/futex.h"

/* ---- lines ---- */

struct futex_line *futex_line_find(const struct futex_bucket *b, const struct futex_key *key)
{
    list_for_each (link, &b->lines) {
        struct futex_line *line = list_entry(link, struct futex_line, link);
        if (futex_key_equal(&line->key, key))
            return line;
    }
    return NULL;
}

/* The count of the new owner was raised when it was looked up, or is raised here for a task that
 * cannot be ending: it waits. That of the old one is lowered last: if it ends and sees none, it may
 * be freed any time. */
static void set_owner(struct futex_line *line, struct task *owner)
{
    struct task *old = line->owner;
    line->owner = owner;
    pi_set_owner(&line->pi, owner ? &owner->thread : NULL);
    if (old)
        __atomic_fetch_sub(&old->pi_lines, 1, __ATOMIC_SEQ_CST);
}

static void own(struct futex_line *line, struct task *owner)
{
    __atomic_fetch_add(&owner->pi_lines, 1, __ATOMIC_SEQ_CST);
    set_owner(line, owner);
}

void futex_line_drop_empty(struct futex_line *line)
{
    if (!list_empty(&line->waiters))
        return;
    set_owner(line, NULL);
    list_remove(&line->link);
    kfree(line);
}

int futex_line_join(struct futex_bucket *b, struct futex_line *line, struct futex_waiter *w)
{
    int err = pi_wait(&line->pi, &w->pi, w->thread);
    if (err) {
        futex_line_drop_empty(line);
        return err;
    }
    if (list_linked(&w->link))
        list_remove(&w->link); /* requeue */
    list_push_back(&line->waiters, &w->link);
    w->line = line;
    __atomic_store_n(&w->bucket, b, __ATOMIC_RELAXED);
    return 0;
}

static struct futex_waiter *line_first(struct futex_line *line)
{
    struct pi_waiter *first = pi_first(&line->pi);
    return first ? container_of(first, struct futex_waiter, pi) : NULL;
}

/* Out of the line, for whatever reason; the line stays. */
static void line_leave(struct futex_waiter *w)
{
    pi_unwait(&w->pi);
    list_remove(&w->link);
    w->line = NULL;
}

/* The waiter gives up. If the line has no owner the next one must look. */
static void line_give_up(struct futex_waiter *w)
{
    struct futex_line *line = w->line;
    line_leave(w);
    if (!line->owner && !list_empty(&line->waiters))
        futex_waiter_notify(line_first(line));
    futex_line_drop_empty(line);
}

/* ---- claims ---- */

int futex_claim_begin(struct futex_claim *c, uaddr_t addr)
{
    *c = (struct futex_claim){.addr = addr, .spare = kmalloc(sizeof *c->spare, 0)};
    return c->spare ? 0 : -ENOMEM;
}

void futex_claim_end(struct futex_claim *c)
{
    kfree(c->spare);
    if (c->found)
        thread_put(&c->found->thread);
    c->spare = NULL;
    c->found = NULL;
}

int futex_claim_retry(struct futex_claim *c, int err)
{
    if (err == -EAGAIN)
        return 0;
    if (err == -EFAULT)
        return futex_fault_in(c->addr, true);
    if (err == -EBUSY) {
        mutex_lock(&c->found->futex_exit_lock);
        mutex_unlock(&c->found->futex_exit_lock);
        return 0;
    }
    return err;
}

/* 0, -EAGAIN: it has changed, or -EFAULT. */
static int change_word(uaddr_t addr, uint32_t from, uint32_t to)
{
    uint32_t seen;
    int err = user_try_cmpxchg_u32(addr, from, to, &seen);
    return err ? err : seen == from ? 0 : -EAGAIN;
}

/* Nobody has that TID: the word is wrong, unless it has changed. */
static int owner_missing(uaddr_t addr, uint32_t word)
{
    uint32_t value;
    if (user_try_load_u32(addr, &value))
        return -EFAULT;
    return value == word ? -ESRCH : -EAGAIN;
}

/* Find the owner that the word names, and raise its count. c->found gets a reference. */
static int find_owner(struct futex_claim *c, uint32_t word)
{
    ASSERT(!c->found);
    struct task *task = c->found = task_find((int)(word & FUTEX_TID_MASK));
    if (!task)
        return owner_missing(c->addr, word);
    __atomic_fetch_add(&task->pi_lines, 1, __ATOMIC_SEQ_CST);
    uint32_t state = __atomic_load_n(&task->futex_state, __ATOMIC_SEQ_CST);
    if (state == FUTEX_TASK_OK)
        return 0;
    __atomic_fetch_sub(&task->pi_lines, 1, __ATOMIC_SEQ_CST);
    return state == FUTEX_TASK_EXITING ? -EBUSY : owner_missing(c->addr, word);
}

static int line_create(struct futex_claim *c, struct futex_bucket *b, const struct futex_key *key,
                       uint32_t word)
{
    int err = find_owner(c, word);
    if (err)
        return err;
    struct futex_line *line = c->line = c->spare;
    c->spare = NULL;
    *line = (struct futex_line){.key = *key};
    pi_init(&line->pi);
    list_init(&line->waiters);
    list_push_back(&b->lines, &line->link);
    set_owner(line, c->found);
    return 0;
}

/* The owner has ended: `who` takes it, unless user code was faster. */
static int claim_orphan(struct futex_claim *c, struct futex_line *line, struct task *who,
                        uint32_t word)
{
    uint32_t tid = word & FUTEX_TID_MASK, self = (uint32_t)who->tid;
    if (tid == 0 || tid == line->dead_tid) {
        int err = change_word(c->addr, word, self | FUTEX_WAITERS | FUTEX_OWNER_DIED);
        return err ? err : 1;
    }
    if (!(word & FUTEX_WAITERS)) {
        int err = change_word(c->addr, word, word | FUTEX_WAITERS);
        if (err)
            return err;
        word |= FUTEX_WAITERS;
    }
    int err = find_owner(c, word);
    if (!err)
        set_owner(line, c->found);
    return err;
}

/* Does the word still name the owner of the line? As Linux, attach_to_pi_state(); but while that
 * one ends, user code may have taken a robust futex already. */
static int check_owner(struct futex_claim *c, const struct futex_line *line, uint32_t word)
{
    uint32_t tid = word & FUTEX_TID_MASK;
    if (tid == (uint32_t)line->owner->tid || (tid == 0 && (word & FUTEX_OWNER_DIED)))
        return 0;
    if (__atomic_load_n(&line->owner->futex_state, __ATOMIC_SEQ_CST) == FUTEX_TASK_OK)
        return -EINVAL;
    /* Found before, if a requeue has made this line for an earlier waiter. */
    ASSERT(!c->found || c->found == line->owner);
    if (!c->found) {
        c->found = line->owner;
        thread_get(&c->found->thread);
    }
    return -EBUSY;
}

static int claim_line(struct futex_claim *c, struct task *who, uint32_t word)
{
    struct futex_line *line = c->line;
    if (line->owner)
        return check_owner(c, line, word);
    int r = claim_orphan(c, line, who, word);
    if (r == 1) /* others wait, and it does not yet */
        own(line, who);
    return r;
}

int futex_claim(struct futex_claim *c, struct futex_bucket *b, const struct futex_key *key,
                struct task *who, bool mark)
{
    uint32_t word, self = (uint32_t)who->tid;
    if (user_try_load_u32(c->addr, &word))
        return -EFAULT;
    if ((word & FUTEX_TID_MASK) == self)
        return -EDEADLK;
    c->line = futex_line_find(b, key);
    if (c->line)
        return claim_line(c, who, word);
    if (futex_has_plain_waiter(b, key))
        return -EINVAL; /* futex(2): inconsistent use of the word */
    int err;
    if (!(word & FUTEX_TID_MASK)) {
        uint32_t died = word & FUTEX_OWNER_DIED;
        err = change_word(c->addr, word, self | died | (mark ? FUTEX_WAITERS : 0));
        return err ? err : 1;
    }
    err = word & FUTEX_WAITERS ? 0 : change_word(c->addr, word, word | FUTEX_WAITERS);
    return err ? err : line_create(c, b, key, word | FUTEX_WAITERS);
}

/* ---- waiting in a line ---- */

/* The line has no owner. Lock held. 1: the waiter has got it; 0: it has another owner now; or for
 * futex_claim_retry. */
static int take_orphan(struct futex_claim *c, struct futex_waiter *w)
{
    uint32_t word;
    struct futex_line *line = w->line;
    if (user_try_load_u32(c->addr, &word))
        return -EFAULT;
    bool ours = (word & FUTEX_TID_MASK) == (uint32_t)w->task->tid;
    int r = ours ? 1 : claim_orphan(c, line, w->task, word);
    if (r != 1)
        return r;
    line_leave(w);
    if (!list_empty(&line->waiters))
        own(line, w->task);
    futex_line_drop_empty(line);
    return 1;
}

/* 1 if it was granted meanwhile. */
static int give_up(struct futex_waiter *w, int err)
{
    struct futex_bucket *b = futex_waiter_lock(w);
    if (!w->granted)
        line_give_up(w);
    spin_unlock(&b->lock);
    return w->granted ? 1 : err;
}

/* After a sleep. 1: it is ours; 0: it has an owner; -EAGAIN: look again; or an error. */
static int line_look(struct futex_waiter *w, uaddr_t addr)
{
    struct futex_claim c = {.addr = addr};
    struct futex_bucket *b = futex_waiter_lock(w);
    int r = 0;
    if (w->granted)
        r = 1;
    else if (!w->line->owner)
        r = take_orphan(&c, w);
    else
        __atomic_store_n(&w->woken, false, __ATOMIC_RELAXED); /* read next by ourselves */
    spin_unlock(&b->lock);
    if (r < 0) {
        r = futex_claim_retry(&c, r);
        r = r ? r : -EAGAIN;
    }
    futex_claim_end(&c);
    return r;
}

/* Stands in a line: until it owns the futex. 0, or why not. */
static int line_wait(struct futex_waiter *w, uaddr_t addr, const struct futex_time *time)
{
    for (;;) {
        int err = futex_waiter_sleep(w, time), r;
        do
            r = line_look(w, addr);
        while (r == -EAGAIN);
        if (r < 0 || (r == 0 && err))
            r = give_up(w, r ? r : err);
        if (r)
            return r > 0 ? 0 : r;
    }
}

/* ---- the calls ---- */

/* 1: taken, 0: stands in the line (or would, if `try`), -EAGAIN: again; or an error. */
static int lock_once(struct futex_waiter *w, struct futex_word word, bool try)
{
    struct futex_claim c;
    int r = futex_claim_begin(&c, word.addr);
    if (!r)
        r = futex_key_get(word, &w->key);
    if (r) {
        futex_claim_end(&c);
        return r;
    }
    struct futex_bucket *b = futex_key_bucket(&w->key);
    futex_bucket_lock(b);
    r = futex_claim(&c, b, &w->key, w->task, false);
    int claimed = r;
    if (r == 0 && try)
        futex_line_drop_empty(c.line);
    else if (r == 0)
        r = futex_line_join(b, c.line, w);
    spin_unlock(&b->lock);
    if (r || try)
        futex_key_put(&w->key);
    if (claimed < 0) {
        r = futex_claim_retry(&c, r);
        r = r ? r : -EAGAIN;
    }
    futex_claim_end(&c);
    return r;
}

long futex_lock_pi(struct futex_word word, const struct futex_time *time, bool try)
{
    struct futex_waiter w;
    int r;
    do {
        futex_waiter_init(&w, time, FUTEX_ANY_BIT);
        r = lock_once(&w, word, try);
    } while (r == -EAGAIN);
    if (r)
        return r > 0 ? 0 : r;
    if (try)
        return -EAGAIN;
    r = line_wait(&w, word.addr, time);
    futex_waiter_put(&w);
    return r == -EINTR ? -ERESTARTNOINTR : r;
}

/* Hand over to the most urgent. */
static int line_pass_on(struct futex_line *line, uaddr_t addr, uint32_t word)
{
    struct futex_waiter *w = line_first(line);
    ASSERT(w);
    int err = change_word(addr, word, (uint32_t)w->task->tid | FUTEX_WAITERS);
    if (err)
        return err;
    line_leave(w);
    if (!list_empty(&line->waiters))
        own(line, w->task);
    futex_line_drop_empty(line);
    w->granted = true;
    futex_waiter_notify(w);
    return 0;
}

/* May the caller, whom the word names, pass on the line? A line whose owner has ended may not know
 * yet that user code has taken the futex. */
static bool may_unlock(const struct futex_line *line, const struct task *self)
{
    return !line->owner || line->owner == self ||
           __atomic_load_n(&line->owner->futex_state, __ATOMIC_SEQ_CST) != FUTEX_TASK_OK;
}

/* -EFAULT: the page is missing. */
static int unlock_locked(struct futex_bucket *b, const struct futex_key *key, uaddr_t addr)
{
    const struct task *self = task_current();
    uint32_t word;
    if (user_try_load_u32(addr, &word))
        return -EFAULT;
    if ((word & FUTEX_TID_MASK) != (uint32_t)self->tid)
        return -EPERM;
    struct futex_line *line = futex_line_find(b, key);
    if (line)
        return may_unlock(line, self) ? line_pass_on(line, addr, word) : -EINVAL;
    return futex_has_plain_waiter(b, key) ? -EINVAL : change_word(addr, word, 0);
}

long futex_unlock_pi(struct futex_word word)
{
    for (;;) {
        struct futex_key key;
        uint32_t value;
        int err = user_load_u32(word.addr, &value);
        if (err)
            return err;
        if ((value & FUTEX_TID_MASK) != (uint32_t)task_current()->tid)
            return -EPERM;
        err = futex_key_get(word, &key);
        if (err)
            return err;
        struct futex_bucket *b = futex_key_bucket(&key);
        futex_bucket_lock(b);
        err = unlock_locked(b, &key, word.addr);
        spin_unlock(&b->lock);
        futex_key_put(&key);
        if (err == -EFAULT && futex_fault_in(word.addr, true))
            return -EFAULT;
        if (err != -EFAULT && err != -EAGAIN) /* user code has changed another bit */
            return err;
    }
}

/* Was it not moved? Then it will not be any more. */
static bool leave_unmoved(struct futex_waiter *w)
{
    struct futex_bucket *b = futex_waiter_lock(w);
    bool unmoved = !w->granted && !w->line;
    if (unmoved)
        list_remove(&w->link);
    spin_unlock(&b->lock);
    return unmoved;
}

long futex_wait_requeue_pi(struct futex_word word, uint32_t expected, const struct futex_time *time,
                           struct futex_word pi)
{
    struct futex_waiter w;
    if (word.addr.raw == pi.addr.raw)
        return -EINVAL;
    futex_waiter_init(&w, time, FUTEX_ANY_BIT);
    int err = futex_key_get(pi, &w.target);
    if (err)
        return err;
    err = futex_waiter_enqueue(&w, word, expected);
    if (err) {
        futex_key_put(&w.target);
        return err;
    }
    err = futex_waiter_sleep(&w, time);
    if (leave_unmoved(&w)) { /* so err is not 0 */
        futex_waiter_put(&w);
        return err == -EINTR ? -ERESTARTNOINTR : err;
    }
    err = line_wait(&w, pi.addr, time);
    futex_waiter_put(&w);
    return err == -EINTR ? -EAGAIN : err; /* begun again, it would find the word changed */
}

/* ---- the end of an owner ---- */

void futex_pi_orphan(struct task *task)
{
    struct futex_bucket *b;
    if (!__atomic_load_n(&task->pi_lines, __ATOMIC_SEQ_CST))
        return;
    for (unsigned i = 0; (b = futex_bucket_at(i)); i++) {
        futex_bucket_lock(b);
        list_for_each (link, &b->lines) {
            struct futex_line *line = list_entry(link, struct futex_line, link);
            if (line->owner != task)
                continue;
            line->dead_tid = (uint32_t)task->tid;
            set_owner(line, NULL);
            futex_waiter_notify(line_first(line));
        }
        spin_unlock(&b->lock);
    }
}
