/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runqueue.c - the order of the threads of one CPU.
 *
 * Virtual time. A thread that runs for d ns advances its vruntime by d * 1.25^nice (a table in
 * 16.16 fixed point; nice 0 is 1.0, SCHED_IDLE is about 341, the weight of 3 against 1024). Picking
 * the smallest vruntime makes run time proportional to 1 / 1.25^nice: one step of nice is a quarter
 * more or less, ten steps a factor of 9.3.
 *
 * min_vruntime is the smallest vruntime among the current and the queued fair threads and only goes
 * forward. New threads start there: they can neither starve the others nor be starved. A thread
 * that is queued keeps its own vruntime if it is not more than SLEEPER_LEAD_NS behind min_vruntime:
 * neither a long sleep, nor a time as a real-time thread, nor stolen time that is given back is
 * saved up.
 *
 * vruntime is compared as a signed difference. With the lowest weight 2^63 ns are ten months of run
 * time. Threads that are queued are less than LAG_MAX_NS apart; one that has slept for so long that
 * it seems to be further ahead than that is behind.
 */
#include "sched/runqueue.h"

/* 65536 * 1.25^nice, rounded. */
static const uint32_t nice_scale[NICE_MAX - NICE_MIN + 1] = {
    756,    944,    1181,   1476,    1845,    2306,    2882,    3603,    4504,    5629,
    7037,   8796,   10995,  13744,   17180,   21475,   26844,   33554,   41943,   52429,
    65536,  81920,  102400, 128000,  160000,  200000,  250000,  312500,  390625,  488281,
    610352, 762939, 953674, 1192093, 1490116, 1862645, 2328306, 2910383, 3637979, 4547474,
};
#define SPARE_LOOKS 128
#define LAG_MAX_NS (1ull << 48) /* a turn of the lowest weight is 2^31 */
#define IDLE_SCALE (65536u * 1024u / 3u)

static bool earlier(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

static bool fair_less(const struct rb_node *a, const struct rb_node *b)
{
    return earlier(thread_of_node(a)->vruntime, thread_of_node(b)->vruntime);
}

bool thread_allowed(const struct thread *thread, unsigned cpu)
{
    /* Acquire: the bitmap was filled before it was published (sched_set_affinity). */
    const uint64_t *mask = __atomic_load_n(&thread->affinity, __ATOMIC_ACQUIRE);
    return !mask || (__atomic_load_n(&mask[cpu / 64], __ATOMIC_RELAXED) >> cpu % 64 & 1);
}

void rq_init(struct runqueue *rq, struct cpu *cpu)
{
    rq->cpu = cpu;
    rq->fair = (struct rb_tree){.root = NULL};
    for (unsigned i = 0; i <= RT_PRIORITY_MAX; i++)
        list_init(&rq->rt[i]);
}

/* Relaxed, all: the setter notifies the thread's CPU afterwards, which orders them. */
static struct rq_rank own_params(const struct thread *thread)
{
    unsigned policy = __atomic_load_n(&thread->policy, __ATOMIC_RELAXED);
    uint8_t priority = __atomic_load_n(&thread->rt_priority, __ATOMIC_RELAXED);
    int nice = __atomic_load_n(&thread->nice, __ATOMIC_RELAXED);
    bool rt = policy == SCHED_FIFO || policy == SCHED_RR;
    ASSERT(priority <= RT_PRIORITY_MAX && nice >= NICE_MIN && nice <= NICE_MAX);
    return (struct rq_rank){
        .policy = (uint8_t)policy,
        .priority = rt ? MAX(priority, 1) : 0,
        .scale = policy == SCHED_IDLE ? IDLE_SCALE : nice_scale[nice - NICE_MIN],
    };
}

unsigned rq_own_urgency(const struct thread *thread)
{
    struct rq_rank params = own_params(thread);
    int nice = __atomic_load_n(&thread->nice, __ATOMIC_RELAXED);
    if (params.priority)
        return URGENCY_NICE_MAX + params.priority;
    return params.policy == SCHED_IDLE ? 0 : (unsigned)(NICE_MAX + 1 - nice);
}

struct rq_rank rq_rank(const struct thread *thread)
{
    struct rq_rank params = own_params(thread);
    unsigned lent = __atomic_load_n(&thread->lent, __ATOMIC_RELAXED);
    if (lent == 0 || lent <= rq_own_urgency(thread))
        return params;
    if (lent > URGENCY_NICE_MAX) {
        params.policy = SCHED_FIFO;
        params.priority = (uint8_t)(lent - URGENCY_NICE_MAX);
    } else {
        params.policy = SCHED_OTHER;
        params.scale = nice_scale[NICE_MAX + 1 - (int)lent - NICE_MIN];
    }
    return params;
}

/* A debt is kept as run time: an owner that is lent a greater weight has run as long as before, and
 * must not wait until the others have done what that time was in its own weight. */
static void rescale_debt(const struct runqueue *rq, struct thread *thread, uint32_t scale)
{
    uint64_t level = thread->vruntime_relative ? 0 : rq->min_vruntime;
    uint64_t debt = thread->vruntime - level; /* a lead wraps */
    uint32_t old = thread->rq_scale;
    if (old && old != scale && debt < LAG_MAX_NS)
        thread->vruntime = level + debt / old * scale + debt % old * scale / old;
}

void rq_refresh(const struct runqueue *rq, struct thread *thread)
{
    ASSERT(!thread->queued);
    struct rq_rank params = rq_rank(thread);
    rescale_debt(rq, thread, params.scale);
    thread->rq_policy = params.policy;
    thread->rq_priority = params.priority;
    thread->rq_scale = params.scale;
}

bool rq_stale(const struct thread *thread)
{
    struct rq_rank params = rq_rank(thread);
    return thread->rq_policy != params.policy || thread->rq_priority != params.priority ||
           (params.priority == 0 && thread->rq_scale != params.scale);
}

/* min_vruntime follows the smallest of the fair threads here. */
static void advance_min(struct runqueue *rq)
{
    const struct thread *first = thread_of_node(rb_first(&rq->fair));
    const struct thread *cur = rq->current;
    bool cur_fair = cur && cur != rq->idle && cur->rq_priority == 0 && !cur->vruntime_relative;
    if (!first && !cur_fair)
        return;
    uint64_t least = first ? first->vruntime : cur->vruntime;
    if (first && cur_fair && earlier(cur->vruntime, least))
        least = cur->vruntime;
    if (earlier(rq->min_vruntime, least))
        rq->min_vruntime = least;
}

static void bound_lead(const struct runqueue *rq, struct thread *thread)
{
    uint64_t least = rq->min_vruntime - SLEEPER_LEAD_NS;
    if (thread->vruntime - least > LAG_MAX_NS) /* or wraps */
        thread->vruntime = least;
}

static void place_fair(const struct runqueue *rq, struct thread *thread)
{
    if (thread->vruntime_relative) {
        thread->vruntime += rq->min_vruntime;
        thread->vruntime_relative = false;
    }
    bound_lead(rq, thread);
}

/* Who yields or used up its turn mostly goes to the end, who wakes to the front: then no path of
 * the tree is walked, whose nodes lie in as many cold cache lines. */
static void insert_fair(struct runqueue *rq, struct thread *thread)
{
    const struct thread *first = thread_of_node(rb_first(&rq->fair));
    const struct thread *last = thread_of_node(rb_last(&rq->fair));
    if (!last || !earlier(thread->vruntime, last->vruntime))
        rb_insert_last(&rq->fair, &thread->run_node);
    else if (earlier(thread->vruntime, first->vruntime))
        rb_insert_first(&rq->fair, &thread->run_node);
    else
        rb_insert(&rq->fair, &thread->run_node, fair_less);
}

void rq_enqueue(struct runqueue *rq, struct thread *thread, enum rq_arrival how)
{
    ASSERT(!thread->queued && thread != rq->idle);
    rq_refresh(rq, thread);
    thread->queued = true;
    rq->queued++;
    place_fair(rq, thread);
    unsigned priority = thread->rq_priority;
    if (priority == 0) {
        rq->fair_queued++;
        insert_fair(rq, thread);
        return;
    }
    if (how == RQ_PREEMPTED)
        list_push_front(&rq->rt[priority], &thread->run_link);
    else
        list_push_back(&rq->rt[priority], &thread->run_link);
    rq->rt_bits[priority / 64] |= 1ull << priority % 64;
}

void rq_dequeue(struct runqueue *rq, struct thread *thread)
{
    ASSERT(thread->queued && rq->queued > 0);
    thread->queued = false;
    rq->queued--;
    unsigned priority = thread->rq_priority;
    if (priority == 0) {
        rq->fair_queued--;
        rb_remove(&rq->fair, &thread->run_node);
        return;
    }
    list_remove(&thread->run_link);
    if (list_empty(&rq->rt[priority]))
        rq->rt_bits[priority / 64] &= ~(1ull << priority % 64);
}

/* The highest priority with a queued thread; 0: none. */
static unsigned rt_highest(const struct runqueue *rq)
{
    for (int word = 1; word >= 0; word--)
        if (rq->rt_bits[word])
            return (unsigned)word * 64 + 63 - (unsigned)__builtin_clzll(rq->rt_bits[word]);
    return 0;
}

struct thread *rq_first(const struct runqueue *rq)
{
    unsigned priority = rt_highest(rq);
    if (priority)
        return list_entry(rq->rt[priority].next, struct thread, run_link);
    return thread_of_node(rb_first(&rq->fair));
}

void rq_charge(struct runqueue *rq, struct thread *thread, uint64_t ns)
{
    if (thread->rq_priority == 0)
        thread->vruntime += (uint64_t)((unsigned __int128)ns * thread->rq_scale >> 16);
    advance_min(rq);
}

void rq_refund(struct thread *thread, uint64_t ns)
{
    if (thread->rq_priority == 0 && !thread->vruntime_relative)
        thread->vruntime -= (uint64_t)((unsigned __int128)ns * thread->rq_scale >> 16);
}

bool rq_preempts(const struct runqueue *rq, const struct thread *thread)
{
    const struct thread *cur = rq->current;
    if (cur == rq->idle)
        return true;
    if (thread->rq_priority != cur->rq_priority)
        return thread->rq_priority > cur->rq_priority;
    if (thread->rq_priority)
        return false;
    if (cur->rq_policy == SCHED_IDLE && thread->rq_policy != SCHED_IDLE)
        return true;
    if (thread->rq_policy != SCHED_OTHER || cur->departing)
        return false;
    /* Weighted: the heavier the waking thread, the shorter the margin it needs. */
    uint64_t margin = WAKE_MARGIN_NS * thread->rq_scale >> 16;
    return (int64_t)(cur->vruntime - thread->vruntime) > (int64_t)margin;
}

uint64_t rq_slice_end(const struct runqueue *rq, const struct thread *thread, uint64_t now)
{
    if (thread->rq_policy == SCHED_FIFO)
        return UINT64_MAX;
    if (thread->rq_policy == SCHED_RR)
        return now + (thread->turn_left_ns ? thread->turn_left_ns : SLICE_RR_NS);
    uint64_t slice = SLICE_SUM_NS / (rq->fair_queued + 1);
    return now + MAX(SLICE_MIN_NS, MIN(slice, SLICE_MAX_NS));
}

/* Not behind those that are further back than a round of its own weight, which is what the threads
 * of the lowest weights are after a turn: one yield would cost seconds. */
void rq_pass(struct runqueue *rq, struct thread *thread)
{
    const struct thread *last = thread_of_node(rb_last(&rq->fair));
    if (thread->rq_priority || !last)
        return;
    uint64_t end = rq->min_vruntime + (SLICE_SUM_NS * thread->rq_scale >> 16);
    if (earlier(last->vruntime, end))
        end = last->vruntime;
    if (earlier(thread->vruntime, end))
        thread->vruntime = end;
}

void rq_leave(const struct runqueue *rq, struct thread *thread)
{
    ASSERT(!thread->queued);
    if (thread->vruntime_relative)
        return;
    bound_lead(rq, thread); /* a debt travels with the thread, a lead only so far */
    thread->vruntime -= rq->min_vruntime;
    thread->vruntime_relative = true;
}

static bool may_go(const struct thread *thread, unsigned cpu)
{
    return !__atomic_load_n(&thread->on_cpu, __ATOMIC_RELAXED) && thread_allowed(thread, cpu);
}

/* Interrupts are off, and each look is a cache miss: not more than SPARE_LOOKS of them. Who waits
 * where changes, so a thread that is not found this time may be found the next. */
struct thread *rq_spare(const struct runqueue *rq, unsigned cpu)
{
    unsigned looks = 0;
    struct rb_node *node = rb_last(&rq->fair);
    for (; node && looks < SPARE_LOOKS; node = rb_prev(node), looks++)
        if (may_go(thread_of_node(node), cpu))
            return thread_of_node(node);
    looks = 0;
    for (unsigned priority = 1; priority <= RT_PRIORITY_MAX; priority++)
        list_for_each (link, &rq->rt[priority]) {
            struct thread *thread = list_entry(link, struct thread, run_link);
            if (may_go(thread, cpu))
                return thread;
            if (++looks >= SPARE_LOOKS)
                return NULL;
        }
    return NULL;
}
