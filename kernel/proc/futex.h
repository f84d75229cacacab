/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * futex.h - futexes: what the system calls use, then what the files futex*.c share. The design is
 * docs/futex.md.
 *
 *   futex.c          keys, buckets, waiting, waking
 *   futex_requeue.c  moving waiters, FUTEX_WAKE_OP
 *   futex_pi.c       priority-inheriting futexes
 *   futex_exit.c     the end of a task: robust lists, what it owned
 */
#ifndef SELKIE_PROC_FUTEX_H
#define SELKIE_PROC_FUTEX_H

#include "core/pi.h"
#include "proc/process.h"

#define FUTEX_ANY_BIT UINT32_MAX
#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu
#define FUTEX_WAITV_MAX 128

/* ---- for the system calls; `shared`: without FUTEX_PRIVATE_FLAG ---- */

/* When to give up. */
void futex_init(void); /* boot, before the first call */

struct futex_time {
    uint64_t ns; /* on the monotonic clock, or, if `wall`, on the wall clock; UINT64_MAX: never */
    bool wall;
};

struct futex_word {
    uaddr_t addr;
    bool shared;
};

/* 0, -EAGAIN (another value), -ETIMEDOUT, -EINTR, -EFAULT, -EINVAL. */
int must_check futex_wait(struct futex_word word, uint32_t expected, const struct futex_time *time,
                          uint32_t bitset);
struct futex_wait_item {
    struct futex_word word;
    uint32_t expected;
};
/* Until one of them is woken: its index. -ENOMEM, and what futex_wait gives. */
int must_check futex_wait_many(const struct futex_wait_item *items, unsigned count,
                               const struct futex_time *time);
/* How many were woken: at least one, whatever the count, if there is one. */
int must_check futex_wake_word(struct futex_word word, int count, uint32_t bitset);
long must_check futex_wake_op(struct futex_word word, struct futex_word word2, int count,
                              int count2, uint32_t code);
/* `expected` may be NULL. `pi`: to a PI futex, the first waiter takes it if it is free. */
struct futex_requeue {
    struct futex_word from, to;
    int wake_count, move_count;
    const uint32_t *expected;
};
long must_check futex_requeue(const struct futex_requeue *req);
long must_check futex_requeue_pi(const struct futex_requeue *req);

long must_check futex_lock_pi(struct futex_word word, const struct futex_time *time, bool try);
long must_check futex_unlock_pi(struct futex_word word);
/* Wait for `word`; return as the owner of `pi`. */
long must_check futex_wait_requeue_pi(struct futex_word word, uint32_t expected,
                                      const struct futex_time *time, struct futex_word pi);
/* The wall clock was set: those who wait for a time on it look again. */
void futex_clock_set(void);

/* ---- for tasks ---- */

int futex_wake(uaddr_t addr, unsigned count, uint32_t bitset); /* shared */
/* The task gives up its mutexes: it ends. */
void futex_exit(struct task *task);
/* The same in execve: the task goes on, with other memory. */
void futex_exec(struct task *task);

/* ---- inside ---- */

struct futex_key {
    const struct space *space; /* private: the space; else NULL */
    struct vm_object *object;  /* shared: a reference; else NULL */
    uint64_t offset;           /* address (and a mark, futex.c), or byte in the object */
};

struct futex_bucket {
    struct spinlock lock; /* RANK_FUTEX; guards all that is in the lists */
    struct list waiters;  /* futex_waiter.link; all zero: never used */
    struct list lines;    /* futex_line.link */
} cache_aligned;

/* A PI futex that somebody waits for in the kernel. Guarded by its bucket's lock. */
struct futex_line {
    struct list link;
    struct futex_key key; /* the references are its waiters' */
    struct pi pi;
    struct task *owner;  /* NULL: it has ended */
    uint32_t dead_tid;   /* its number then */
    struct list waiters; /* futex_waiter.link, never empty while the lock is free to take */
};

/* Guarded by the lock of the bucket that it is in. */
struct futex_waiter {
    struct list link;            /* in the bucket or in the line */
    struct futex_bucket *bucket; /* changes under both locks; atomic */
    struct futex_key key;        /* with a reference */
    struct futex_key target;     /* where a requeue may move it to, with a reference; or all zero */
    struct task *task;
    struct thread *thread;
    struct futex_line *line; /* waits for a PI futex */
    struct pi_waiter pi;     /* there */
    uint32_t bitset;
    uint8_t rt;   /* its urgency if that is real-time, else 0 */
    bool wall;    /* sleeps for a time on the wall clock */
    bool taken;   /* out of the queue, about to be woken */
    bool granted; /* owns the PI futex, is in no list */
    bool woken;   /* to be looked at, or in no list any more; atomic */
};

/* Waits in FUTEX_WAIT_REQUEUE_PI, not yet moved. */
static inline bool futex_waits_for_requeue(const struct futex_waiter *w)
{
    return w->target.space || w->target.object;
}

bool futex_key_equal(const struct futex_key *a, const struct futex_key *b);
struct futex_bucket *futex_key_bucket(const struct futex_key *key);
/* On success the caller must give the key back. -EINVAL, -EFAULT. */
int must_check futex_key_get(struct futex_word word, struct futex_key *key);
void futex_key_put(const struct futex_key *key); /* may sleep */
void futex_key_ref(const struct futex_key *key); /* one more */

struct futex_bucket *futex_bucket_at(unsigned index); /* NULL at the end */
void futex_bucket_lock(struct futex_bucket *b);
void futex_bucket_lock_two(struct futex_bucket *a, struct futex_bucket *b);
void futex_bucket_unlock_two(struct futex_bucket *a, struct futex_bucket *b);

void futex_waiter_init(struct futex_waiter *w, const struct futex_time *time, uint32_t bitset);
/* Take the key (into w), compare, stand in the queue. Then futex_waiter_lock or
 * futex_waiter_leave. */
int must_check futex_waiter_enqueue(struct futex_waiter *w, struct futex_word word,
                                    uint32_t expected);
/* Into the bucket's queue, by urgency. */
void futex_waiter_insert(struct futex_bucket *b, struct futex_waiter *w);
/* Until `woken`: 0, -ETIMEDOUT, -EINTR. */
int must_check futex_waiter_sleep(const struct futex_waiter *w, const struct futex_time *time);
/* Lock the bucket that the waiter is in, which a requeue may change until then. */
struct futex_bucket *futex_waiter_lock(struct futex_waiter *w);
/* Out of the queue. It does not go away before futex_wake_taken, without locks, has woken it. */
void futex_waiter_take(struct futex_waiter *w, struct list *taken);
void futex_wake_taken(struct list *taken);
/* Make it look. */
void futex_waiter_notify(struct futex_waiter *w);
/* References of its keys. */
void futex_waiter_put(const struct futex_waiter *w);
/* Does anybody who waits without priority inheritance stand here? */
bool futex_has_plain_waiter(struct futex_bucket *b, const struct futex_key *key);
/* Take up to `count`, at least one. -EINVAL if they wait for a PI futex. */
int must_check futex_wake_locked(struct futex_bucket *b, const struct futex_key *key, int count,
                                 uint32_t bitset, struct list *taken);

/* Bring the page of the word, for reading or for writing; may sleep. -EFAULT. */
int must_check futex_fault_in(uaddr_t addr, bool write);

/* One attempt to get a PI futex, for a task that may be another one. */
struct futex_claim {
    uaddr_t addr;
    struct futex_line *spare; /* memory for a line; taken if NULL afterwards */
    struct futex_line *line;  /* result 0: stand here */
    struct task *found;       /* the owner that was looked up, with a reference */
};
/* 1: `who` owns it. 0: it has another owner. -EDEADLK, -EINVAL, -ESRCH; and, to be tried again
 * after futex_claim_retry without locks: -EFAULT, -EAGAIN, -EBUSY. */
int must_check futex_claim(struct futex_claim *c, struct futex_bucket *b,
                           const struct futex_key *key, struct task *who, bool mark);
/* -ENOMEM. */
int must_check futex_claim_begin(struct futex_claim *c, uaddr_t addr);
/* Drop what the attempt has left; 0 if it may be tried again, -EFAULT, or `err` itself. */
int futex_claim_retry(struct futex_claim *c, int err);
void futex_claim_end(struct futex_claim *c);
/* Stand in the line. -EDEADLK. */
int must_check futex_line_join(struct futex_bucket *b, struct futex_line *line,
                               struct futex_waiter *w);
void futex_line_drop_empty(struct futex_line *line);
struct futex_line *futex_line_find(const struct futex_bucket *b, const struct futex_key *key);
/* The task ends: its lines have no owner. */
void futex_pi_orphan(struct task *task);

#endif
