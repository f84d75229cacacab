/* SPDX-License-Identifier: BSD-3-Clause */
/* fake_net.c - works, timers, RCU and the clock of fake_net.h. */
#include "net/fake_net.h"

#include "core/rcu.h"
#include "fake.h"
#include "fake_work.h"
#include "lib/errno.h"
#include "sched/timer.h"
#include "sched/wait.h"

#define TIMERS_MAX 64

static struct rcu_head *calls;
static struct timer *timers[TIMERS_MAX];

uint64_t clock_mono_ns(void)
{
    return fake_now_ns;
}
uint64_t clock_wall_ns(void)
{
    return fake_now_ns;
}

void timer_setup(struct timer *timer, void (*fn)(struct timer *))
{
    timer->fn = fn;
    timer->deadline_ns = UINT64_MAX;
    timer->queue = NULL;
}
bool timer_cancel(struct timer *timer)
{
    for (int i = 0; i < TIMERS_MAX; i++)
        if (timers[i] == timer) {
            timers[i] = NULL;
            timer->queue = NULL;
            return true;
        }
    return false;
}
void timer_cancel_sync(struct timer *timer)
{
    (void)timer_cancel(timer);
}
void timer_arm(struct timer *timer, uint64_t deadline_ns)
{
    (void)timer_cancel(timer);
    for (int i = 0; i < TIMERS_MAX; i++)
        if (!timers[i]) {
            timers[i] = timer;
            timer->deadline_ns = deadline_ns;
            timer->queue = (struct timerq *)timer;
            return;
        }
    __builtin_trap();
}

unsigned rcu_read_lock(void)
{
    return 0;
}
void rcu_read_unlock(unsigned token)
{
    (void)token;
}
void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    head->fn = fn;
    head->next = calls;
    calls = head;
}
void rcu_synchronize(void)
{
}

/* Nobody wakes a test of one thread: a sleep lets time pass up to its deadline. */
void waitq_init(struct waitq *queue)
{
    (void)queue;
}
void waitq_prepare(struct waitq *queue, struct waiter *w, bool interruptible)
{
    (void)queue, (void)w, (void)interruptible;
}
int waitq_sleep(struct waiter *w, uint64_t deadline_ns)
{
    (void)w;
    if (fake_now_ns >= deadline_ns)
        return -ETIMEDOUT;
    uint64_t left = deadline_ns - fake_now_ns;
    fake_net_advance(left < NS_PER_MS ? left : NS_PER_MS);
    return 0;
}
void waitq_finish(struct waiter *w)
{
    (void)w;
}
bool waitq_wake_all(struct waitq *queue, uint32_t events)
{
    (void)queue, (void)events;
    return false;
}

void fake_net_reset(void)
{
    fake_work_forget();
    calls = NULL;
    for (int i = 0; i < TIMERS_MAX; i++)
        timers[i] = NULL;
}

void fake_net_run(void)
{
    while (fake_works || calls) {
        struct rcu_head *call = calls;
        if (fake_work_run(1) > 0)
            continue;
        calls = call->next;
        call->fn(call);
    }
}

void fake_net_advance(uint64_t ns)
{
    uint64_t until = fake_now_ns + ns;
    for (;;) {
        struct timer *next = NULL;
        fake_net_run();
        for (int i = 0; i < TIMERS_MAX; i++)
            if (timers[i] && timers[i]->deadline_ns <= until &&
                (!next || timers[i]->deadline_ns < next->deadline_ns))
                next = timers[i];
        if (!next)
            break;
        if (next->deadline_ns > fake_now_ns)
            fake_now_ns = next->deadline_ns;
        (void)timer_cancel(next);
        next->fn(next);
    }
    fake_now_ns = until;
    fake_net_run();
}
