/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/*
 * protocol_test.c - the sleep and wake protocol of kernel/core/chaos.c kernel/lib/strutil.c
 * kernel/sched/watchdog.c kernel/sched/sched.c as a model, one memory access per step, all
 * interleavings of a sleeper, its CPU and two wakers on other CPUs explored.
 *
 * The sleeper waits for two conditions in turn; each waker makes one true and wakes. An end
 * state in which the sleeper has not finished is a lost wake-up. The model also proves its worth:
 * it must find a lost wake-up in each of several variants of the protocol that leave a step out.
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
             FINISHED,
};
enum waker_where { SET, SWAP, CLAIM, PUSH, SEND, DONE };

struct model {
    uint8_t pc, waker[2];
    uint8_t state, cond[2], need; /* `need`: the condition waited for */
    uint8_t blocked, notified, inbox, ipi, took;
    uint8_t was_empty[2];
};

/* Variants with a mistake. */
enum variant {
    CORRECT,
    NO_CHECK_BEFORE_BLOCKING,
    NO_LOOK_AFTER_CLEAR,
    NO_IPI,
    LOOK_BEFORE_PREPARE,
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
            m->pc = IDLE;
        } else {
            m->pc = PREPARE;
        }
        break;
    case IDLE:
        m->ipi = 0;
        m->pc = IRQ_TAKE;
        break;
    case IRQ_TAKE:
        m->pc = m->inbox ? INSPECT_STATE : IDLE;
        m->inbox = 0;
        break;
    case INSPECT_STATE:
        m->pc = m->state == SLEEPING ? INSPECT_CLEAR : PLACE_CLEAR;
        break;
    case INSPECT_CLEAR:
        m->notified = 0;
        m->pc = variant == NO_LOOK_AFTER_CLEAR ? IDLE : INSPECT_AGAIN;
        break;
    case INSPECT_AGAIN:
        if (m->state == SLEEPING) {
            m->pc = IDLE;
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
    case FINISHED:
        break;
    }
}

static bool cpu_can_step(const struct model *m)
{
    return m->pc != FINISHED && (m->pc != IDLE || m->ipi);
}

static bool cpu_can_interrupt(const struct model *m)
{
    return m->ipi && (m->pc == PREPARE || m->pc == LOOK);
}

static void waker_step(struct model *m, unsigned w, enum variant variant)
{
    switch ((enum waker_where)m->waker[w]) {
    case SET:
        m->cond[w] = 1;
        m->waker[w] = SWAP;
        break;
    case SWAP:
        m->waker[w] = m->state == SLEEPING ? CLAIM : DONE;
        m->state = m->state == SLEEPING ? READY : m->state;
        break;
    case CLAIM:
        m->waker[w] = m->notified ? DONE : PUSH;
        m->notified = 1;
        break;
    case PUSH:
        m->was_empty[w] = !m->inbox;
        m->inbox = 1;
        m->waker[w] = m->was_empty[w] && variant != NO_IPI ? SEND : DONE;
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

enum { CPU, INTERRUPT, FIRST_WAKER, ACTORS = FIRST_WAKER + 2 };

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
    return ended && m->pc != FINISHED ? "a wake-up is lost" : NULL;
}

static void no_interleaving_loses_a_wake(void **state)
{
    static const struct model first;
    struct exploration e = {&first, sizeof first, ACTORS, CORRECT, step, wrong};
    (void)state;
    explore_all(&e, VARIANTS, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_interleaving_loses_a_wake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
