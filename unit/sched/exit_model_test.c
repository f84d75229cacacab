/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/*
 * exit_model_test.c - the end of a thread (proc/futex_exit.c, proc/task.c), who joins it and who
 * waits for a robust mutex that it owns, as a model with the buckets of proc/futex.c and the life
 * of the thread's memory.
 *
 * The one that ends: robust word, wake; TID word := 0, wake; off its CPU, buried by the reaper. The
 * joiner waits until the TID word is 0, then frees what is the thread's in user memory: its stack
 * with the robust word's list entry. The locker gets the robust mutex from the dead; its time runs
 * out once, and it tries again. Both words lie in the same bucket; a waiter is on its thread's
 * stack and gone when it has left.
 */
#include <setjmp.h>
#include <stdarg.h>

#include "explore.h"

#define TID 1 /* of the one that ends, in both words */
#define WAITERS 4
#define DIED 8
#define LOCKER 2

enum { ENDING, JOINER, LOCKING, REAPER, TIMER, ACTORS };

enum where {
    /* ENDING */
    ROBUST_ENTRY, /* read the list entry */
    ROBUST_READ,
    ROBUST_SWAP,
    ROBUST_WAKE,
    TID_CLEAR,
    CLEAR_LATE,
    WAKE_TID,
    WAKING, /* in the bucket: take one waiter out, ... */
    WAKE_WAITER,
    TOUCH_WAITER,
    LEAVE,     /* out of the table of tasks */
    EXIT_DEAD, /* state := DEAD, still on its CPU and stack */
    OFF_CPU,
    /* JOINER, LOCKING */
    USER_LOOK,
    MARK,
    BUCKET,
    COMPARE,
    ENQUEUE,
    SLEEP,
    GIVE_UP,
    TAKEN,
    GOT,
    DONE,
};

struct model {
    uint8_t robust, tid, bucket; /* words; bucket: its lock, actor + 1 */
    uint8_t pc[ACTORS], seen[ACTORS], after[ACTORS];
    uint8_t queued[ACTORS], woken[ACTORS], late, timed_out;
    uint8_t gone[ACTORS];   /* its waiter's memory */
    uint8_t waking, target; /* word whose waiters are woken: JOINER or LOCKING; the one found */
    uint8_t stack_freed;    /* user memory, by the joiner */
    uint8_t dead, off_cpu, kernel_freed;
    uint8_t fault;
};

enum variant {
    CORRECT,
    TID_FIRST,     /* the TID word before the robust list */
    WAKE_FIRST,    /* wake, then clear the TID word */
    COMPARE_EARLY, /* without the bucket's lock */
    NO_ROBUST_WAKE,
    TOUCH_AFTER_WOKEN, /* of the waiter */
    LEAVES_TAKEN,      /* gives up without waiting for the waker */
    BURIED_ON_CPU,     /* the reaper does not wait until it is off the CPU */
    VARIANTS
};

static bool take_bucket(struct model *m, unsigned i)
{
    if (m->bucket)
        return false;
    m->bucket = (uint8_t)(i + 1);
    return true;
}
static void start_wake(struct model *m, unsigned word, enum where after)
{
    m->waking = (uint8_t)word;
    m->after[ENDING] = after;
    m->pc[ENDING] = WAKING;
}
static void touch_stack(struct model *m)
{
    m->fault |= m->stack_freed;
}

static bool wake_step(struct model *m, unsigned variant)
{
    switch ((enum where)m->pc[ENDING]) {
    case WAKING:
        if (!take_bucket(m, ENDING))
            return false;
        m->target = m->waking;
        if (!m->queued[m->target]) {
            m->bucket = 0;
            m->pc[ENDING] = m->after[ENDING];
            return true;
        }
        m->queued[m->target] = 0;
        m->bucket = 0;
        m->pc[ENDING] = WAKE_WAITER;
        return true;
    case WAKE_WAITER:
        m->fault |= m->gone[m->target];
        m->woken[m->target] = 1;
        m->pc[ENDING] = variant == TOUCH_AFTER_WOKEN ? TOUCH_WAITER : m->after[ENDING];
        return true;
    case TOUCH_WAITER:
        m->fault |= m->gone[m->target];
        m->pc[ENDING] = m->after[ENDING];
        return true;
    default:
        return false;
    }
}

static bool end_step(struct model *m, unsigned variant)
{
    uint8_t *pc = &m->pc[ENDING], word = m->seen[ENDING];
    bool tid_first = variant == TID_FIRST;
    switch ((enum where) * pc) {
    case ROBUST_ENTRY:
        touch_stack(m);
        *pc = ROBUST_READ;
        return true;
    case ROBUST_READ:
        m->seen[ENDING] = m->robust;
        *pc = ROBUST_SWAP;
        return true;
    case ROBUST_SWAP:
        if (m->robust != word) {
            *pc = ROBUST_READ;
            return true;
        }
        m->robust = (word & WAITERS) | DIED;
        *pc = (word & WAITERS) && variant != NO_ROBUST_WAKE ? ROBUST_WAKE
              : tid_first                                   ? LEAVE
                                                            : TID_CLEAR;
        return true;
    case ROBUST_WAKE:
        start_wake(m, LOCKING, tid_first ? LEAVE : TID_CLEAR);
        return true;
    case TID_CLEAR:
        if (variant == WAKE_FIRST) {
            start_wake(m, JOINER, CLEAR_LATE);
            return true;
        }
        m->tid = 0;
        *pc = WAKE_TID;
        return true;
    case CLEAR_LATE:
        m->tid = 0;
        *pc = LEAVE;
        return true;
    case WAKE_TID:
        start_wake(m, JOINER, tid_first ? ROBUST_ENTRY : LEAVE);
        return true;
    case LEAVE:
        *pc = EXIT_DEAD;
        return true;
    case EXIT_DEAD:
        m->fault |= m->kernel_freed;
        m->dead = 1;
        *pc = OFF_CPU;
        return true;
    case OFF_CPU:
        m->fault |= m->kernel_freed; /* still on its kernel stack */
        m->off_cpu = 1;
        *pc = DONE;
        return true;
    default:
        return wake_step(m, variant);
    }
}

/* What the waiter i waits for is over. */
static bool over(unsigned i, uint8_t word)
{
    return i == JOINER ? word == 0 : (word & ~WAITERS) != TID;
}
static uint8_t *word_of(struct model *m, unsigned i)
{
    return i == JOINER ? &m->tid : &m->robust;
}

static bool wait_step(struct model *m, unsigned i, unsigned variant)
{
    uint8_t *pc = &m->pc[i], *word = word_of(m, i);
    switch ((enum where) * pc) {
    case USER_LOOK:
        m->seen[i] = *word;
        *pc = over(i, *word) ? GOT : i == LOCKING ? MARK : BUCKET;
        return true;
    case MARK:
        if (*word != m->seen[i]) {
            *pc = USER_LOOK;
        } else {
            m->seen[i] = *word |= WAITERS;
            *pc = BUCKET;
        }
        return true;
    case BUCKET:
        if (variant == COMPARE_EARLY) {
            *pc = *word == m->seen[i] ? ENQUEUE : USER_LOOK;
            return true;
        }
        if (!take_bucket(m, i))
            return false;
        *pc = COMPARE;
        return true;
    case COMPARE:
        *pc = ENQUEUE;
        if (*word != m->seen[i]) {
            m->bucket = 0;
            *pc = USER_LOOK;
        }
        return true;
    case ENQUEUE:
        if (variant == COMPARE_EARLY && m->bucket)
            return false;
        m->queued[i] = 1;
        m->woken[i] = m->gone[i] = 0;
        if (variant != COMPARE_EARLY)
            m->bucket = 0;
        *pc = SLEEP;
        return true;
    case SLEEP:
        if (!m->woken[i] && !(i == LOCKING && m->late))
            return false;
        *pc = m->woken[i] ? TAKEN : GIVE_UP;
        return true;
    case GIVE_UP:
        if (m->bucket)
            return false;
        *pc = TAKEN;
        if (m->queued[i] || variant == LEAVES_TAKEN) {
            m->queued[i] = 0;
            m->gone[i] = 1;
            *pc = USER_LOOK;
        }
        m->late = 0;
        return true;
    case TAKEN:
        if (!m->woken[i])
            return false;
        m->gone[i] = 1;
        *pc = USER_LOOK;
        return true;
    case GOT:
        if (i == JOINER)
            m->stack_freed = 1;
        else
            *word = LOCKER;
        *pc = DONE;
        return true;
    default:
        return false;
    }
}

static bool reap(struct model *m, unsigned variant)
{
    if (m->kernel_freed || !m->dead || (!m->off_cpu && variant != BURIED_ON_CPU))
        return false;
    m->kernel_freed = 1;
    return true;
}

static bool step(void *model, unsigned actor, unsigned variant)
{
    struct model *m = model;
    if (actor == ENDING)
        return end_step(m, variant);
    if (actor == TIMER) {
        if (m->timed_out || m->pc[LOCKING] != SLEEP)
            return false;
        m->late = m->timed_out = 1;
        return true;
    }
    return actor == REAPER ? reap(m, variant) : wait_step(m, actor, variant);
}

static const char *wrong(const void *model, bool ended)
{
    const struct model *m = model;
    if (m->fault)
        return "memory is used that is gone";
    if (!ended)
        return NULL;
    for (unsigned i = 0; i < REAPER; i++)
        if (m->pc[i] != DONE)
            return "somebody waits for ever";
    return m->kernel_freed && m->stack_freed && !m->bucket ? NULL : "something is left";
}

static void all_interleavings(void **state)
{
    static struct model first;
    (void)state;
    size_t states;
    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        first = (struct model){
            .robust = TID,
            .tid = TID,
            .pc = {variant == TID_FIRST ? TID_CLEAR : ROBUST_ENTRY, USER_LOOK, USER_LOOK},
        };
        struct exploration e = {&first, sizeof first, ACTORS, variant, step, wrong};
        const char *found = explore(&e, &states);
        if (variant == CORRECT && found)
            fail_msg("%s", found);
        if (variant == CORRECT)
            assert_true(states > 1000);
        else if (!found)
            fail_msg("variant %u is not found: the model is too weak", variant);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_interleavings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
