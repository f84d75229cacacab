/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/*
 * protocol_test.c - the sleep and wake protocol of kernel/sched/sched.c and calm.c as models, one
 * memory access per step, all interleavings explored.
 *
 * First a sleeper, its CPU, and two wakers on other CPUs. The sleeper waits for two conditions in
 * turn; each waker makes one true and wakes. An end state in which the sleeper has not finished is
 * a lost wake-up. Another thread waits on the sleeper's CPU, until it goes at any moment: as long
 * as it is there the CPU is calm, and the second waker, who can wait, does not interrupt it.
 * Then such a waker, and one who meanwhile changes the class of the thread.
 *
 * The models also prove their worth: they must find what is wrong with each of several variants of
 * the protocol that leave a step out, or exchange two.
 */
#include <setjmp.h>
#include <stdarg.h>

#include "explore.h"

enum { READY, SLEEPING };
enum where {              /* program counter of the home CPU */
             PREPARE,     /* state := SLEEPING */
             LOOK,        /* condition true? */
             SLEEP_DRAIN, /* sched_switch: take the inbox */
             SLEEP_CLEAR, /* ... inspect: the thread is running: clear `notified` */
             SLEEP_CHECK, /* still SLEEPING? then block */
             IDLE,        /* waits for an interrupt */
             IRQ_TAKE,    /* kernel_ipi while idle: take the inbox */
             INSPECT_STATE,
             INSPECT_CLEAR,
             INSPECT_AGAIN,
             PLACE_CLEAR, /* runnable: clear `notified`, run */
             CALM_SET,    /* the other thread runs: say so */
             OTHER_RUNS,  /* a turn that ends some time */
             CALM_CLEAR,  /* it has gone */
             CALM_LOOK,   /* ... the inbox once more */
             FINISHED,
};
enum waker_where { LOOK_FIRST, SET, SWAP, CLAIM, PUSH, LOOK_CALM, SEND, DONE };
#define FILLED 1
#define TOLD 2

struct model {
    uint8_t pc, waker[2];
    uint8_t state, cond[2], need; /* `need`: the condition waited for */
    uint8_t blocked, notified, inbox, ipi, took;
    uint8_t other, calm, seen_calm;
};

/* Variants with a mistake. */
enum variant {
    CORRECT,
    NO_CHECK_BEFORE_BLOCKING,
    NO_LOOK_AFTER_CLEAR,
    NO_IPI,
    LOOK_BEFORE_PREPARE,
    CALM_NEVER_ENDS,
    NO_LOOK_AFTER_CALM,
    CALM_READ_BEFORE_PUSH,
    PATIENT_TELLS,
    VARIANTS
};

/* ---- steps ---- */

static void finish_round(struct model *m)
{
    m->state = READY;
    m->need++;
    m->pc = m->need == 2 ? FINISHED : PREPARE;
}

/* An interrupt while the sleeper runs with interrupts on: inspect() finds it on its CPU. One step,
 * because nobody else looks at what it changes but through `notified`. */
static void irq_while_running(struct model *m)
{
    m->ipi = 0;
    if (m->inbox) {
        m->inbox = 0;
        m->notified = 0;
    }
}

/* Nobody has been woken. */
static uint8_t goes_on(const struct model *m)
{
    return m->other ? OTHER_RUNS : IDLE;
}

static void cpu_step(struct model *m, enum variant variant)
{
    switch ((enum where)m->pc) {
    case PREPARE:
        if (variant == LOOK_BEFORE_PREPARE && m->cond[m->need]) {
            finish_round(m);
            break;
        }
        if (variant == LOOK_BEFORE_PREPARE) { /* the look and the store are two steps */
            m->pc = LOOK;
            break;
        }
        m->state = SLEEPING;
        m->pc = LOOK;
        break;
    case LOOK:
        if (variant == LOOK_BEFORE_PREPARE) {
            m->state = SLEEPING;
            m->pc = SLEEP_DRAIN;
        } else if (m->cond[m->need]) {
            finish_round(m);
        } else {
            m->pc = SLEEP_DRAIN;
        }
        break;
    case SLEEP_DRAIN:
        m->pc = m->inbox ? SLEEP_CLEAR : SLEEP_CHECK;
        m->inbox = 0;
        break;
    case SLEEP_CLEAR:
        m->notified = 0;
        m->pc = SLEEP_CHECK;
        break;
    case SLEEP_CHECK:
        if (m->state == SLEEPING || variant == NO_CHECK_BEFORE_BLOCKING) {
            m->blocked = 1;
            m->pc = m->other ? CALM_SET : CALM_CLEAR;
        } else {
            m->pc = PREPARE;
        }
        break;
    case IDLE:
        m->ipi = 0;
        m->pc = IRQ_TAKE;
        break;
    case IRQ_TAKE:
        m->pc = m->inbox ? INSPECT_STATE : goes_on(m);
        m->inbox = 0;
        break;
    case INSPECT_STATE:
        m->pc = m->state == SLEEPING ? INSPECT_CLEAR : PLACE_CLEAR;
        break;
    case INSPECT_CLEAR:
        m->notified = 0;
        m->pc = variant == NO_LOOK_AFTER_CLEAR ? goes_on(m) : INSPECT_AGAIN;
        break;
    case INSPECT_AGAIN:
        if (m->state == SLEEPING) {
            m->pc = goes_on(m);
        } else { /* runs without the claim */
            m->blocked = 0;
            m->pc = PREPARE;
        }
        break;
    case PLACE_CLEAR:
        m->blocked = 0;
        m->notified = 0;
        m->pc = PREPARE;
        break;
    case CALM_SET:
        m->calm = 1;
        m->pc = OTHER_RUNS;
        break;
    case OTHER_RUNS: /* the end of its turn, or an interrupt */
        m->ipi = 0;
        m->pc = IRQ_TAKE;
        break;
    case CALM_CLEAR:
        if (variant != CALM_NEVER_ENDS)
            m->calm = 0;
        m->pc = variant == NO_LOOK_AFTER_CALM ? IDLE : CALM_LOOK;
        break;
    case CALM_LOOK:
        m->pc = m->inbox ? INSPECT_STATE : IDLE;
        m->inbox = 0;
        break;
    case FINISHED:
        break;
    }
}

/* The other thread has gone. While the sleeper runs, or is looked at, that has no consequence yet.
 */
static bool other_leaves(struct model *m)
{
    if (!m->other || m->pc == CALM_SET || m->pc == IRQ_TAKE || m->pc == INSPECT_STATE ||
        m->pc == INSPECT_CLEAR || m->pc == INSPECT_AGAIN)
        return false;
    m->other = 0;
    if (m->pc == OTHER_RUNS)
        m->pc = CALM_CLEAR;
    return true;
}

static bool cpu_can_step(const struct model *m)
{
    return m->pc != FINISHED && (m->pc != IDLE || m->ipi);
}

static bool cpu_can_interrupt(const struct model *m)
{
    return m->ipi && (m->pc == PREPARE || m->pc == LOOK);
}

/* After the push, or before it. */
static bool calm_takes(const struct model *m, unsigned w, enum variant variant)
{
    return w == 1 && (variant == CALM_READ_BEFORE_PUSH ? m->seen_calm : m->calm);
}

static void waker_step(struct model *m, unsigned w, enum variant variant)
{
    uint8_t told;
    switch ((enum waker_where)m->waker[w]) {
    case LOOK_FIRST: /* in the variant only */
        m->seen_calm = m->calm;
        m->waker[w] = PUSH;
        break;
    case SET:
        m->cond[w] = 1;
        m->waker[w] = SWAP;
        break;
    case SWAP:
        m->waker[w] = m->state == SLEEPING ? CLAIM : DONE;
        m->state = m->state == SLEEPING ? READY : m->state;
        break;
    case CLAIM:
        m->waker[w] = m->notified                                  ? DONE
                      : w == 1 && variant == CALM_READ_BEFORE_PUSH ? LOOK_FIRST
                                                                   : PUSH;
        m->notified = 1;
        break;
    case PUSH:
        told = m->inbox & TOLD;
        m->inbox = FILLED | (w == 1 && variant != PATIENT_TELLS ? told : TOLD);
        m->waker[w] = told || variant == NO_IPI ? DONE : LOOK_CALM;
        break;
    case LOOK_CALM:
        m->waker[w] = calm_takes(m, w, variant) ? DONE : SEND;
        break;
    case SEND:
        m->ipi = 1;
        m->waker[w] = DONE;
        break;
    case DONE:
        break;
    }
}

/* ---- exploration ---- */

enum { CPU, INTERRUPT, OTHER, FIRST_WAKER, ACTORS = FIRST_WAKER + 2 };

static bool step(void *model, unsigned actor, unsigned variant)
{
    struct model *m = model;
    if (actor == CPU) {
        if (!cpu_can_step(m))
            return false;
        cpu_step(m, (enum variant)variant);
    } else if (actor == INTERRUPT) {
        if (!cpu_can_interrupt(m))
            return false;
        irq_while_running(m);
    } else if (actor == OTHER) {
        return other_leaves(m);
    } else {
        if (m->waker[actor - FIRST_WAKER] == DONE)
            return false;
        waker_step(m, actor - FIRST_WAKER, (enum variant)variant);
    }
    return true;
}

static const char *wrong(const void *model, bool ended)
{
    const struct model *m = model;
    bool sending = m->waker[0] == LOOK_CALM || m->waker[1] == LOOK_CALM || m->waker[0] == SEND ||
                   m->waker[1] == SEND;
    if (m->pc == OTHER_RUNS && (m->inbox & TOLD) && !m->ipi && !sending)
        return "a wake-up that cannot wait has not interrupted";
    return ended && m->pc != FINISHED ? "a wake-up is lost" : NULL;
}

static void no_interleaving_loses_a_wake(void **state)
{
    static const struct model first = {.other = 1, .waker = {SET, SET}};
    struct exploration e = {&first, sizeof first, ACTORS, CORRECT, step, wrong};
    (void)state;
    explore_all(&e, VARIANTS, 500);
}

/* ---- a thread in the inbox becomes another ---- */

enum pusher_where { COUNT_FIRST, RANK, PUSH_IT, CALM, COUNT_AGAIN, INTERRUPT_IT, PUSHED };
enum setter_where { STORE, HURRY, IS_CALM, HURRY_IPI, STORED };
enum hurry_variant {
    HURRY_CORRECT,
    HURRY_NOT_COUNTED,
    HURRY_NOT_SENT,
    HURRY_BEFORE_STORE,
    RANK_BEFORE_COUNT,
    HURRY_VARIANTS
};

/* The pusher has the claim, or the setter would push himself. */
struct hurry {
    uint8_t pusher, setter;
    uint8_t rank, count, inbox, ipi;
    uint8_t seen_rank, seen_count;
};

static void pusher_step(struct hurry *h, enum hurry_variant variant)
{
    bool exchanged = variant == RANK_BEFORE_COUNT;
    switch ((enum pusher_where)h->pusher) {
    case COUNT_FIRST:
        if (exchanged)
            h->seen_rank = h->rank;
        else
            h->seen_count = h->count;
        break;
    case RANK:
        if (exchanged)
            h->seen_count = h->count;
        else
            h->seen_rank = h->rank;
        break;
    case PUSH_IT:
        h->inbox = 1;
        break;
    case CALM: /* it is, all the time */
        break;
    case COUNT_AGAIN:
        if (!h->seen_rank && h->count == h->seen_count)
            h->pusher = INTERRUPT_IT;
        break;
    case INTERRUPT_IT:
        h->ipi = 1;
        break;
    case PUSHED:
        return;
    }
    h->pusher++;
}

static void setter_step(struct hurry *h, enum hurry_variant variant)
{
    bool exchanged = variant == HURRY_BEFORE_STORE;
    uint8_t at = h->setter++;
    if (at == STORE || at == HURRY) {
        if ((at == STORE) != exchanged)
            h->rank = 1;
        else if (variant != HURRY_NOT_COUNTED)
            h->count++;
    } else if (at == HURRY_IPI && variant != HURRY_NOT_SENT) {
        h->ipi = 1;
    }
}

static bool hurry_step(void *model, unsigned actor, unsigned variant)
{
    struct hurry *h = model;
    if (actor == 0 && h->pusher < PUSHED) {
        pusher_step(h, (enum hurry_variant)variant);
    } else if (actor == 1 && h->setter < STORED) {
        setter_step(h, (enum hurry_variant)variant);
    } else if (actor == 2 && h->ipi) {
        h->ipi = 0;
        h->inbox = 0;
    } else {
        return false;
    }
    return true;
}

static const char *hurry_wrong(const void *model, bool ended)
{
    const struct hurry *h = model;
    return ended && h->inbox ? "an urgent thread waits in the inbox" : NULL;
}

static void nobody_becomes_urgent_unseen(void **state)
{
    static const struct hurry first;
    struct exploration e = {&first, sizeof first, 3, HURRY_CORRECT, hurry_step, hurry_wrong};
    (void)state;
    explore_all(&e, HURRY_VARIANTS, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_interleaving_loses_a_wake),
        cmocka_unit_test(nobody_becomes_urgent_unseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
