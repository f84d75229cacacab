/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/*
 * mutex_model_test.c - the word of kernel/sched/mutex.c and its line as a model: three threads take
 * and release the mutex, one of them twice; each access of the word is one step, and sleeping and
 * waking are those of a single flag. What only m->lock guards changes with the step before or
 * after.
 *
 * No two may own it, nobody may sleep for ever, and while somebody sleeps in the line of an owner
 * that runs, that owner is the one who inherits.
 */
#include <setjmp.h>
#include <stdarg.h>

#include "explore.h"

#define THREADS 3 /* number i + 1 */
#define OWNER 3
#define WAITERS 4

enum where {
    TAKE, /* 0 -> self */
    LOCK, /* m->lock */
    READ, /* take_or_mark */
    TAKE_FREE,
    MARK,
    PREPARE, /* sleeping, lock released */
    LATE_PREPARE,
    ASLEEP,
    INSIDE,
    RELEASE, /* self -> 0 */
    SLOW_LOCK,
    SLOW_FREE,
    SLOW_WAKE,
    DONE,
};

struct model {
    uint8_t word, lock, waiting, pi_owner;
    uint8_t pc[THREADS], seen[THREADS], in_line[THREADS], asleep[THREADS], rounds[THREADS];
};

enum variant {
    CORRECT,
    NO_MARK,           /* sleep without WAITERS */
    TAKES_MARK_AWAY,   /* the one who was woken forgets the others */
    SLEEP_AFTER_LOCK,  /* release m->lock, then mark oneself sleeping */
    FREE_WITHOUT_LOCK, /* free the word and wake without m->lock, first in line or not */
    NOT_RELEASED,      /* hand over nothing: wake, but keep the word */
    NO_LOAN,           /* the owner is not told */
    VARIANTS
};

static unsigned first_in_line(const struct model *m)
{
    for (unsigned i = 0; i < THREADS; i++)
        if (m->in_line[i])
            return i;
    return THREADS;
}
static bool swap(struct model *m, uint8_t from, uint8_t to)
{
    if (m->word != from)
        return false;
    m->word = to;
    return true;
}

static void taken(struct model *m, unsigned i)
{
    m->waiting--;
    m->in_line[i] = 0;
    m->pi_owner = m->waiting ? (uint8_t)(i + 1) : 0;
    m->lock = 0;
    m->pc[i] = INSIDE;
}

static bool lock_step(struct model *m, unsigned i, unsigned variant)
{
    uint8_t self = (uint8_t)(i + 1), word = m->seen[i];
    switch ((enum where)m->pc[i]) {
    case TAKE:
        m->pc[i] = swap(m, 0, self) ? INSIDE : LOCK;
        return true;
    case LOCK:
        if (m->lock)
            return false;
        m->lock = self;
        m->waiting += !m->in_line[i];
        m->in_line[i] = 1;
        m->pc[i] = READ;
        return true;
    case READ:
        m->seen[i] = m->word;
        if (!(m->word & OWNER))
            m->pc[i] = TAKE_FREE;
        else
            m->pc[i] = (m->word & WAITERS) || variant == NO_MARK ? PREPARE : MARK;
        return true;
    case TAKE_FREE: {
        bool others = m->waiting > 1 && variant != TAKES_MARK_AWAY;
        if (swap(m, word, self | (others ? WAITERS : 0)))
            taken(m, i);
        else
            m->pc[i] = READ;
        return true;
    }
    case MARK:
        m->pc[i] = swap(m, word, word | WAITERS) ? PREPARE : READ;
        return true;
    case PREPARE:
        if (variant != NO_LOAN)
            m->pi_owner = m->word & OWNER;
        m->asleep[i] = variant != SLEEP_AFTER_LOCK;
        m->lock = 0;
        m->pc[i] = variant == SLEEP_AFTER_LOCK ? LATE_PREPARE : ASLEEP;
        return true;
    case LATE_PREPARE:
        m->asleep[i] = 1;
        m->pc[i] = ASLEEP;
        return true;
    case ASLEEP:
        if (m->asleep[i])
            return false;
        m->pc[i] = LOCK;
        return true;
    default:
        return false;
    }
}

static void slow_free(struct model *m, unsigned i, unsigned variant)
{
    m->pi_owner = 0;
    if (variant != NOT_RELEASED)
        m->word = WAITERS;
    m->pc[i] = SLOW_WAKE;
}

static bool unlock_step(struct model *m, unsigned i, unsigned variant)
{
    uint8_t self = (uint8_t)(i + 1);
    unsigned first = first_in_line(m);
    switch ((enum where)m->pc[i]) {
    case INSIDE:
        m->pc[i] = RELEASE;
        return true;
    case RELEASE:
        if (!swap(m, self, 0))
            m->pc[i] = variant == FREE_WITHOUT_LOCK ? SLOW_FREE : SLOW_LOCK;
        else
            m->pc[i] = m->rounds[i]-- > 1 ? TAKE : DONE;
        return true;
    case SLOW_LOCK:
        if (m->lock)
            return false;
        m->lock = self;
        m->pc[i] = SLOW_FREE;
        return true;
    case SLOW_FREE:
        slow_free(m, i, variant);
        return true;
    case SLOW_WAKE:
        if (first < THREADS)
            m->asleep[first] = 0;
        if (variant != FREE_WITHOUT_LOCK)
            m->lock = 0;
        m->pc[i] = m->rounds[i]-- > 1 ? TAKE : DONE;
        return true;
    default:
        return false;
    }
}

static bool step(void *model, unsigned actor, unsigned variant)
{
    return lock_step(model, actor, variant) || unlock_step(model, actor, variant);
}

static const char *wrong(const void *model, bool ended)
{
    const struct model *m = model;
    unsigned owners = 0;
    bool sleeper = false, runs = false;
    for (unsigned i = 0; i < THREADS; i++) {
        owners += m->pc[i] == INSIDE;
        sleeper |= m->asleep[i];
        runs |= m->pc[i] == INSIDE && m->pi_owner == i + 1;
    }
    if (owners > 1)
        return "two owners";
    if (owners && sleeper && !m->lock && !runs)
        return "the owner does not inherit";
    if (!ended)
        return NULL;
    for (unsigned i = 0; i < THREADS; i++)
        if (m->pc[i] != DONE)
            return "somebody waits for ever";
    return m->word || m->waiting || m->lock || m->pi_owner ? "something is left" : NULL;
}

static void all_interleavings(void **state)
{
    static const struct model first = {.rounds = {2, 1, 1}};
    struct exploration e = {&first, sizeof first, THREADS, CORRECT, step, wrong};
    (void)state;
    explore_all(&e, VARIANTS, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_interleavings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
