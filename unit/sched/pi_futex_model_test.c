/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/*
 * pi_futex_model_test.c - the protocol of kernel/proc/futex_pi.c between user code, the word and
 * the line, as a model: one access of the word, of the ending owner's state or count per step; what
 * only the bucket's lock guards changes together with one of them.
 *
 * The first thread owns the futex; it unlocks or ends, as the first state says. Two others lock it
 * and unlock; as the first state says their time may run out while they wait. Nobody may be left
 * waiting, no two may own it, and in the end there is no line and nothing is counted.
 */
#include <setjmp.h>
#include <stdarg.h>

#include "explore.h"

#define NOBODY 0
#define DEAD_OWNER 1 /* the first thread's TID */
#define THREADS 3    /* TID i + 1 */
#define TID 3
#define WAITERS 4
#define DIED 8

enum task_state { OK, EXITING, DEAD };

enum where {
    USER_LOCK, /* 0 -> TID */
    TAKE_LOCK, /* the bucket's */
    READ,
    TAKE_FREE, /* compare and swap of what was read */
    MARK,
    COUNT, /* find the owner: raise its count */
    LOOK_STATE,
    UNCOUNT_WAIT, /* it ends: wait for that */
    UNCOUNT_REREAD,
    AWAIT_EXIT,
    REREAD, /* no such owner: has the word changed? */
    SLEEP,
    LOOK, /* after a sleep, lock held */
    ORPHAN_READ,
    ORPHAN_TAKE,
    GIVE_UP,
    INSIDE, /* owns it */
    CLEAR_DIED,
    USER_UNLOCK,
    UNLOCK_LOCK,
    UNLOCK_READ,
    UNLOCK_SWAP,
    END_STATE, /* the owner ends */
    END_LINES_EARLY,
    END_READ,
    END_SWAP,
    END_LINES,
    END_LOCK,
    END_ORPHAN,
    END_DEAD,
    DONE,
};

struct model {
    uint8_t word, lock;       /* lock: TID */
    uint8_t line, line_owner; /* exists; TID or NOBODY */
    uint8_t in_line[THREADS], woken[THREADS], granted[THREADS], late[THREADS];
    uint8_t pc[THREADS], seen[THREADS]; /* seen: a value of the word, or of the count */
    uint8_t state, count;               /* of the first thread */
    uint8_t ends, lines_early;          /* the first thread ends; the count it saw too early */
    uint8_t may_be_late[THREADS], takes_robust;
    uint8_t failed;
};

enum variant {
    CORRECT,
    NO_MARK,
    STATE_BEFORE_COUNT,
    LINES_BEFORE_STATE,
    ORPHAN_UNTOLD,
    GIVE_UP_SILENTLY,
    UNLOCK_FREES,
    TIMEOUT_LOSES_GRANT,
    NO_REREAD,
    VARIANTS
};

/* ---- the line; the lock is held ---- */

static unsigned first_in_line(const struct model *m)
{
    for (unsigned i = 0; i < THREADS; i++)
        if (m->in_line[i])
            return i;
    return THREADS;
}
static void line_owner(struct model *m, uint8_t tid)
{
    if (m->line_owner == DEAD_OWNER && tid != DEAD_OWNER)
        m->count--;
    m->line_owner = tid;
}
static void drop_empty(struct model *m)
{
    if (first_in_line(m) < THREADS)
        return;
    line_owner(m, NOBODY);
    m->line = 0;
}
static void become_owner(struct model *m, unsigned i)
{
    m->in_line[i] = 0;
    line_owner(m, (uint8_t)(i + 1));
    drop_empty(m);
}
static void unlock(struct model *m)
{
    m->lock = 0;
}
static void go(struct model *m, unsigned i, enum where where)
{
    m->pc[i] = where;
}
static void again(struct model *m, unsigned i)
{
    unlock(m);
    go(m, i, TAKE_LOCK);
}
static void join(struct model *m, unsigned i)
{
    m->in_line[i] = 1;
    m->woken[i] = m->granted[i] = 0;
    unlock(m);
    go(m, i, SLEEP);
}

/* ---- locking ---- */

static bool swap(struct model *m, uint8_t from, uint8_t to)
{
    if (m->word != from)
        return false;
    m->word = to;
    return true;
}

static void after_read(struct model *m, unsigned i, unsigned variant)
{
    uint8_t word = m->seen[i];
    if (m->line && m->line_owner == NOBODY)
        go(m, i, ORPHAN_TAKE);
    else if (m->line)
        join(m, i);
    else if (!(word & TID))
        go(m, i, TAKE_FREE);
    else if ((word & WAITERS) || variant == NO_MARK)
        go(m, i, variant == STATE_BEFORE_COUNT ? LOOK_STATE : COUNT);
    else
        go(m, i, MARK);
}

static void attach(struct model *m, unsigned i, uint8_t owner)
{
    m->line = 1;
    m->line_owner = owner;
    join(m, i);
}

static void find_owner(struct model *m, unsigned i, unsigned variant)
{
    uint8_t owner = m->seen[i] & TID;
    if (owner != DEAD_OWNER) { /* the others do not end */
        attach(m, i, owner);
        return;
    }
    if (m->pc[i] == COUNT) {
        m->count++;
        if (variant == STATE_BEFORE_COUNT)
            attach(m, i, owner);
        else
            go(m, i, LOOK_STATE);
        return;
    }
    if (m->state == OK && variant == STATE_BEFORE_COUNT)
        go(m, i, COUNT);
    else if (m->state == OK)
        attach(m, i, owner);
    else
        go(m, i, m->state == EXITING ? UNCOUNT_WAIT : UNCOUNT_REREAD);
}

static bool lock_step(struct model *m, unsigned i, unsigned variant)
{
    uint8_t self = (uint8_t)(i + 1), word = m->seen[i];
    switch ((enum where)m->pc[i]) {
    case USER_LOCK: /* musl takes a robust mutex that is free in user code, and loses WAITERS */
        if (m->takes_robust && i == 1 && (m->word & (TID | DIED)) == DIED) {
            m->word = self | DIED;
            go(m, i, INSIDE);
        } else {
            go(m, i, swap(m, 0, self) ? INSIDE : TAKE_LOCK);
        }
        return true;
    case TAKE_LOCK:
        if (m->lock)
            return false;
        m->lock = self;
        go(m, i, READ);
        return true;
    case READ:
        m->seen[i] = m->word;
        after_read(m, i, variant);
        return true;
    case TAKE_FREE:
        if (swap(m, word, self | (word & DIED))) {
            unlock(m);
            go(m, i, INSIDE);
        } else {
            again(m, i);
        }
        return true;
    case MARK:
        m->seen[i] = word | WAITERS;
        if (swap(m, word, word | WAITERS))
            go(m, i, variant == STATE_BEFORE_COUNT ? LOOK_STATE : COUNT);
        else
            again(m, i);
        return true;
    case COUNT:
    case LOOK_STATE:
        find_owner(m, i, variant);
        return true;
    case UNCOUNT_WAIT:
    case UNCOUNT_REREAD:
        m->count -= variant != STATE_BEFORE_COUNT;
        if (m->pc[i] == UNCOUNT_WAIT)
            unlock(m);
        go(m, i, m->pc[i] == UNCOUNT_WAIT ? AWAIT_EXIT : REREAD);
        return true;
    case AWAIT_EXIT:
        if (m->state != DEAD)
            return false;
        go(m, i, TAKE_LOCK);
        return true;
    case REREAD:
        if (m->word == word || variant == NO_REREAD)
            m->failed = 1;
        again(m, i);
        return true;
    default:
        return false;
    }
}

/* ---- waiting ---- */

static void orphan_take(struct model *m, unsigned i)
{
    uint8_t self = (uint8_t)(i + 1), word = m->seen[i], tid = word & TID;
    if (tid == NOBODY || tid == DEAD_OWNER) {
        if (!swap(m, word, self | WAITERS | DIED)) {
            go(m, i, m->in_line[i] ? ORPHAN_READ : READ);
            return;
        }
        become_owner(m, i);
        unlock(m);
        go(m, i, INSIDE);
    } else if (!swap(m, word, word | WAITERS)) {
        go(m, i, m->in_line[i] ? ORPHAN_READ : READ);
    } else {
        line_owner(m, tid);
        if (!m->in_line[i])
            join(m, i);
        else
            go(m, i, LOOK);
    }
}

static void look(struct model *m, unsigned i, unsigned variant)
{
    bool late = m->late[i];
    if (m->granted[i] && !(late && variant == TIMEOUT_LOSES_GRANT)) {
        unlock(m);
        go(m, i, INSIDE);
    } else if (m->granted[i]) {
        unlock(m);
        go(m, i, DONE);
    } else if (late && variant == GIVE_UP_SILENTLY) {
        go(m, i, GIVE_UP);
    } else if (m->line_owner == NOBODY) {
        go(m, i, ORPHAN_READ);
    } else if (late) {
        go(m, i, GIVE_UP);
    } else {
        m->woken[i] = 0;
        unlock(m);
        go(m, i, SLEEP);
    }
}

static void give_up(struct model *m, unsigned i, unsigned variant)
{
    m->in_line[i] = 0;
    unsigned next = first_in_line(m);
    if (m->line_owner == NOBODY && next < THREADS && variant != GIVE_UP_SILENTLY)
        m->woken[next] = 1;
    drop_empty(m);
    unlock(m);
    go(m, i, DONE);
}

static bool wait_step(struct model *m, unsigned i, unsigned variant)
{
    switch ((enum where)m->pc[i]) {
    case SLEEP:
        if (m->lock || (!m->woken[i] && !m->late[i]))
            return false;
        m->lock = (uint8_t)(i + 1);
        go(m, i, LOOK);
        return true;
    case LOOK:
        look(m, i, variant);
        return true;
    case ORPHAN_READ:
        m->seen[i] = m->word;
        go(m, i, ORPHAN_TAKE);
        return true;
    case ORPHAN_TAKE:
        orphan_take(m, i);
        return true;
    case GIVE_UP:
        give_up(m, i, variant);
        return true;
    default:
        return false;
    }
}

/* ---- unlocking, ending ---- */

static void unlock_swap(struct model *m, unsigned i, unsigned variant)
{
    unsigned next = first_in_line(m);
    uint8_t word = m->seen[i];
    bool pass = m->line && next < THREADS;
    uint8_t to = pass && variant != UNLOCK_FREES ? (uint8_t)(next + 1) | WAITERS : 0;
    if (!swap(m, word, to)) {
        go(m, i, UNLOCK_READ);
        return;
    }
    if (pass) {
        become_owner(m, next);
        m->granted[next] = m->woken[next] = 1;
    }
    unlock(m);
    go(m, i, DONE);
}

static bool unlock_step(struct model *m, unsigned i, unsigned variant)
{
    uint8_t self = (uint8_t)(i + 1);
    switch ((enum where)m->pc[i]) {
    case INSIDE:
        go(m, i, i == 0 && m->ends ? END_STATE : m->word & DIED ? CLEAR_DIED : USER_UNLOCK);
        if (i == 0 && m->ends && variant == LINES_BEFORE_STATE)
            go(m, i, END_LINES_EARLY);
        return true;
    case CLEAR_DIED:
        m->word &= (uint8_t)~DIED;
        go(m, i, USER_UNLOCK);
        return true;
    case USER_UNLOCK:
        go(m, i, swap(m, self, 0) ? DONE : UNLOCK_LOCK);
        return true;
    case UNLOCK_LOCK:
        if (m->lock)
            return false;
        m->lock = self;
        go(m, i, UNLOCK_READ);
        return true;
    case UNLOCK_READ:
        m->seen[i] = m->word;
        go(m, i, UNLOCK_SWAP);
        return true;
    case UNLOCK_SWAP:
        unlock_swap(m, i, variant);
        return true;
    default:
        return false;
    }
}

static void orphan(struct model *m, unsigned variant)
{
    if (m->line && m->line_owner == DEAD_OWNER) {
        line_owner(m, NOBODY);
        if (variant != ORPHAN_UNTOLD)
            m->woken[first_in_line(m)] = 1;
    }
    unlock(m);
}

static bool end_step(struct model *m, unsigned i, unsigned variant)
{
    switch ((enum where)m->pc[i]) {
    case END_LINES_EARLY:
        go(m, i, END_STATE);
        m->lines_early = m->count;
        return true;
    case END_STATE:
        m->state = EXITING;
        go(m, i, END_READ);
        return true;
    case END_READ:
        m->seen[i] = m->word;
        go(m, i, END_SWAP);
        return true;
    case END_SWAP:
        go(m, i, swap(m, m->seen[i], (m->seen[i] & WAITERS) | DIED) ? END_LINES : END_READ);
        return true;
    case END_LINES:
        go(m, i, (variant == LINES_BEFORE_STATE ? m->lines_early : m->count) ? END_LOCK : END_DEAD);
        return true;
    case END_LOCK:
        if (m->lock)
            return false;
        m->lock = (uint8_t)(i + 1);
        go(m, i, END_ORPHAN);
        return true;
    case END_ORPHAN:
        orphan(m, variant);
        go(m, i, END_DEAD);
        return true;
    case END_DEAD:
        m->state = DEAD;
        go(m, i, DONE);
        return true;
    default:
        return false;
    }
}

/* Actors 0..2: the threads; 3..4: time runs out for thread 1, 2. */
static bool step(void *model, unsigned actor, unsigned variant)
{
    struct model *m = model;
    if (actor >= THREADS) {
        unsigned i = actor - THREADS + 1;
        if (!m->may_be_late[i] || m->late[i] || m->pc[i] != SLEEP)
            return false;
        m->late[i] = 1;
        return true;
    }
    return lock_step(m, actor, variant) || wait_step(m, actor, variant) ||
           unlock_step(m, actor, variant) || end_step(m, actor, variant);
}

static bool owns(const struct model *m, unsigned i)
{
    enum where where = (enum where)m->pc[i];
    return where == INSIDE || where == CLEAR_DIED;
}

static const char *wrong(const void *model, bool ended)
{
    const struct model *m = model;
    unsigned owners = 0;
    for (unsigned i = 0; i < THREADS; i++)
        owners += owns(m, i);
    if (owners > 1)
        return "two owners";
    if (m->failed)
        return "a robust futex has no owner to wait for";
    if (m->state == DEAD && m->line && m->line_owner == DEAD_OWNER)
        return "a line belongs to one who has ended";
    if (!ended)
        return NULL;
    for (unsigned i = 0; i < THREADS; i++)
        if (m->pc[i] != DONE)
            return "somebody waits for ever";
    if (m->line || m->count || m->lock || (m->word & TID))
        return "something is left";
    return NULL;
}

/* All first states. */
static const char *explore_variant(unsigned variant, size_t *states)
{
    const char *found = NULL;
    *states = 0;
    for (unsigned choice = 0; choice < 16 && !found; choice++) {
        static struct model first;
        size_t count;
        first = (struct model){
            .word = DEAD_OWNER,
            .pc = {INSIDE},
            .ends = choice & 1,
            .may_be_late = {0, choice >> 1 & 1, choice >> 2 & 1},
            .takes_robust = choice >> 3,
        };
        if ((choice >> 3) && !first.ends)
            continue;
        struct exploration e = {&first, sizeof first, 5, variant, step, wrong};
        found = explore(&e, &count);
        *states += count;
    }
    return found;
}

static void no_interleaving_goes_wrong(void **state)
{
    (void)state;
    size_t states;
    const char *found = explore_variant(CORRECT, &states);
    if (found)
        fail_msg("%s", found);
    assert_true(states > 20000);
}

static void every_step_is_needed(void **state)
{
    (void)state;
    size_t states;
    for (unsigned variant = CORRECT + 1; variant < VARIANTS; variant++)
        if (!explore_variant(variant, &states))
            fail_msg("variant %u is not found: the model is too weak", variant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_interleaving_goes_wrong),
        cmocka_unit_test(every_step_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
