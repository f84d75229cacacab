/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * account.c - whose CPU time it was, and of which kind.
 *
 * The total is exact: it is charged at every switch, and read together with the time since then.
 * Others read it while its CPU changes it, so a sequence number tells them when to read again; it
 * never seems to go back.
 *
 * User and system time are sampled. Two clock readings per system call would cost as much as the
 * shortest of them; so entering and leaving the kernel is one store (thread->in_user), and an
 * interrupt every TICK_MIN_NS to TICK_MAX_NS of a program's run time finds out which it is and
 * counts all time since the last one as that kind. The period doubles while nothing changes: a
 * program that computes is interrupted 30 times a second. The interrupt is one that is programmed
 * already, mostly, so a switch costs no look at the timer; idle CPUs and kernel threads have none.
 * An interrupt that comes late says little: on hosted and in a virtual machine the host has run
 * something else meanwhile, and it likes to do that where we call it, which is in kernel code. It
 * counts a quarter; where all come late that is as good as any.
 *
 * What is told to programs is the exact total divided as the samples are, as Linux does
 * (cputime_adjust), and never less than was told before. Without any sample all is user time.
 */
#include "sched/internal.h"

#define TICK_MIN_NS (4 * NS_PER_MS)
#define TICK_MAX_NS (32 * NS_PER_MS)
#define LATE_NS (300 * NS_PER_US)
#define LATE_PART 4
#define STOLEN_MIN_NS (100 * NS_PER_US) /* less is interrupts and the ways into the kernel */
#define STOLEN_TURN_NS NS_PER_MS        /* turns of which the end is worth a look */

/* For what others read while this CPU, the only writer, adds to it. */
static void add_relaxed(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, *counter + value, __ATOMIC_RELAXED);
}

/* ---- the total; own CPU, interrupts off ---- */

/* Odd while it changes. The fence keeps the changes behind the first store, the release before the
 * second. */
static void change_total(struct thread *thread, uint64_t ns, uint64_t start)
{
    uint32_t seq = thread->account_seq;
    __atomic_store_n(&thread->account_seq, seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    add_relaxed(&thread->runtime_ns, ns);
    __atomic_store_n(&thread->run_start, start, __ATOMIC_RELAXED);
    __atomic_store_n(&thread->account_seq, seq + 2, __ATOMIC_RELEASE);
}

static void charge(struct runqueue *rq, uint64_t now, uint64_t restart)
{
    struct thread *cur = rq->current;
    uint64_t ns = now > cur->run_start ? now - cur->run_start : 0;
    add_relaxed(cur == rq->idle ? &rq->idle_ns : &rq->busy_ns, ns);
    change_total(cur, ns, restart);
    if (cur != rq->idle)
        rq_charge(rq, cur, ns);
}

void sched_charge(struct runqueue *rq, uint64_t now)
{
    charge(rq, now, now);
}

void account_stop(struct runqueue *rq, uint64_t now)
{
    charge(rq, now, 0);
}

void account_start(struct thread *thread, uint64_t now)
{
    __atomic_store_n(&thread->run_start, now, __ATOMIC_RELAXED);
}

/* ---- stolen time ---- */

/*
 * On a busy host a virtual CPU stands still for tens of milliseconds, charged to whoever runs
 * there. Over a few seconds that decides who gets how much. So at each timer interrupt, and at the
 * end of a turn that was long enough for it to matter (the look is a call of the host), the current
 * thread gets back what was stolen since the last look (not more than its turn has lasted: the rest
 * was others'): it is set back in virtual time and its turn is longer. The times told to programs
 * are not changed; they only ever grow.
 */
void account_refund(struct runqueue *rq, uint64_t now)
{
    struct thread *cur = rq->current;
    uint64_t stolen = hal_stolen_ns();
    uint64_t lost = MIN(stolen - rq->stolen_seen, now - rq->turn_began);
    rq->stolen_seen = stolen;
    if (lost < STOLEN_MIN_NS || cur == rq->idle)
        return;
    rq_refund(cur, lost);
    if (cur->slice_end != UINT64_MAX) /* but not longer than one that begins now */
        cur->slice_end = MIN(cur->slice_end + lost, rq_slice_end(rq, cur, now));
}

void account_turn_ends(struct runqueue *rq, uint64_t now)
{
    if (rq->current != rq->idle && now - rq->turn_began >= STOLEN_TURN_NS)
        account_refund(rq, now);
}

/* ---- the kinds ---- */

void account_sample(struct runqueue *rq, uint64_t late_ns)
{
    struct thread *cur = rq->current;
    uint64_t ns = cur->runtime_ns - cur->sampled_ns;
    bool user = __atomic_load_n(&cur->in_user, __ATOMIC_RELAXED);
    if (cur == rq->idle)
        return;
    cur->sampled_ns = cur->runtime_ns;
    if (late_ns > LATE_NS) {
        add_relaxed(user ? &cur->user_ns : &cur->system_ns, ns / LATE_PART);
        return;
    }
    add_relaxed(user ? &cur->user_ns : &cur->system_ns, ns);
    rq->tick_ns = user == rq->tick_user ? MIN(rq->tick_ns * 2, TICK_MAX_NS) : TICK_MIN_NS;
    rq->tick_ns = MAX(rq->tick_ns, TICK_MIN_NS);
    rq->tick_user = user;
}

uint64_t account_tick(const struct runqueue *rq, uint64_t now)
{
    bool program = rq->current != rq->idle && rq->current->fp;
    return program ? now + MAX(rq->tick_ns, TICK_MIN_NS) : UINT64_MAX;
}

/* ---- for others ---- */

uint64_t thread_runtime_ns(struct thread *thread)
{
    uint64_t total, start, now;
    uint32_t seq;
    do {
        seq = __atomic_load_n(&thread->account_seq, __ATOMIC_ACQUIRE);
        total = __atomic_load_n(&thread->runtime_ns, __ATOMIC_RELAXED);
        start = __atomic_load_n(&thread->run_start, __ATOMIC_RELAXED);
        now = hal_clock_ns();
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while ((seq & 1) || __atomic_load_n(&thread->account_seq, __ATOMIC_RELAXED) != seq);
    return start && now > start ? total + now - start : total;
}

void cpu_times_add(struct cpu_times *sum, struct thread *thread)
{
    sum->total_ns += thread_runtime_ns(thread);
    sum->user_ns += __atomic_load_n(&thread->user_ns, __ATOMIC_RELAXED);
    sum->system_ns += __atomic_load_n(&thread->system_ns, __ATOMIC_RELAXED);
}

/* value * part / whole without overflow; part <= whole. */
static uint64_t share(uint64_t value, uint64_t part, uint64_t whole)
{
    while (value >> 32 || whole >> 32) { /* keeps 32 significant bits of each */
        if (value >> 32 && whole >> 32) {
            part >>= 1;
            whole >>= 1;
        } else if (value >> 32) {
            return share(value >> 1, part, whole) * 2;
        } else {
            part >>= 1;
            whole >>= 1;
        }
    }
    return whole ? value * part / whole : 0;
}

void cpu_times_divide(const struct cpu_times *sum, struct cpu_times *told)
{
    uint64_t system = share(sum->total_ns, sum->system_ns, sum->user_ns + sum->system_ns);
    uint64_t total = MAX(sum->total_ns, told->total_ns);
    system = MAX(system, told->system_ns);
    if (total - MIN(system, total) < told->user_ns)
        system = total - told->user_ns;
    told->total_ns = total;
    told->system_ns = system;
    told->user_ns = total - system;
}
