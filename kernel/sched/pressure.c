/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pressure.c - the reclaim thread, waiting for memory, pressure stall information.
 *
 * Waking the reclaim thread. The page allocator calls on_alarm when an allocation leaves less than
 * the alarm limit free, with any lock held: it sets `wanted` and wakes the thread, which is
 * lock-free. A pass that brings little lowers the limit, so that a machine whose memory is simply
 * in use does not run a futile pass for every page; a pass that brings enough restores it, and so
 * does the look that the thread takes ten times a second while memory is short (it also notices
 * when that has ended).
 *
 * Waiters. memory_wait asks for a pass that begins after the question (`asked` and `passed` count
 * questions and answers) and looks at the free memory afterwards. If there is none, but the pass
 * has brought some, others were faster: it asks again, for that is not the end of the memory.
 *
 * Averages decay by exp(-2 s / T) every two seconds, as Linux's. Nothing runs for that: who reads
 * or changes the account first brings it up to date, period by period.
 */
#include "sched/pressure.h"

#include "core/log.h"
#include "lib/errno.h"
#include "mm/object.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "sched/thread.h"

#define RETRY_PAGES 32                   /* a retry makes sense with this much */
#define BATCH_PAGES 256u                 /* at least, in one pass */
#define PASSES_MAX 4                     /* futile ones, before memory_wait gives up */
#define PASSES_TOTAL 64                  /* with others ever faster: thrashing, not progress */
#define WATCHER_WAIT_NS (50 * NS_PER_MS) /* for programs that watch, after each futile pass */
#define WATCHER_PASSES_MAX 20
#define THRASH_WINDOW_NS (250 * NS_PER_MS)
#define THRASH_NS (1500 * NS_PER_MS)
#define THRASH_PAGES 64 /* refaults in one window, at least */
#define TRIM_NS NS_PER_SEC
#define RECHECK_NS (100 * NS_PER_MS) /* while memory is short */
#define LATE_LOOKS 20 /* a millisecond apart: longer than a host's turn of some other program */
#define PASS_TIMEOUT_NS (10 * NS_PER_SEC)

struct waitq pressure_changes;

static struct thread *reclaimer; /* atomic */
static struct waitq passes;      /* woken after each pass */
static uint64_t asked, passed;   /* atomic */
static uint64_t reclaimed;       /* pages, in all passes; atomic */
static bool wanted;              /* atomic */
static bool cached;              /* CPUs keep free pages at hand; atomic */
static uint32_t level_changes;   /* atomic */
static int watchers;             /* atomic */

/* ---- account ---------------------------------------------------------------------------- */

#define PERIOD_NS (2 * NS_PER_SEC)
#define FRACTION 16
/* exp(-2/10), exp(-2/60), exp(-2/300) with 16 fractional bits. */
static const uint32_t decay[3] = {53656, 63387, 65101};

static struct spinlock stall_lock = SPINLOCK_INIT(RANK_WAITQ); /* guards what follows; irqsave */
static unsigned stalled;
static bool full;
static uint64_t account_at, period_start;
static uint64_t period_ns[PRESSURE_KINDS]; /* stalled in the present period */
static struct pressure_stats stats;

static void add_time(uint64_t ns)
{
    bool counts[PRESSURE_KINDS] = {stalled > 0, stalled > 0 && full};
    for (unsigned kind = 0; kind < PRESSURE_KINDS; kind++) {
        stats.total_ns[kind] += counts[kind] ? ns : 0;
        period_ns[kind] += counts[kind] ? ns : 0;
    }
}

static void end_period(void)
{
    for (unsigned kind = 0; kind < PRESSURE_KINDS; kind++) {
        uint64_t percent = (period_ns[kind] * 100 << FRACTION) / PERIOD_NS;
        for (unsigned i = 0; i < 3; i++) {
            uint64_t old = stats.avg[kind][i];
            stats.avg[kind][i] =
                (uint32_t)((old * decay[i] + percent * ((1u << FRACTION) - decay[i])) >> FRACTION);
        }
        period_ns[kind] = 0;
    }
}

/* Bring the account up to now. After an hour without a period's end every average has decayed to
 * nothing (or risen to the full): no need to count them all. */
static void account_locked(uint64_t now)
{
    const uint64_t many = 1800;
    if (period_start == 0)
        period_start = account_at = now;
    if (now - period_start > many * PERIOD_NS) {
        uint64_t skip = now - many * PERIOD_NS;
        add_time(skip - account_at);
        period_ns[PRESSURE_SOME] = period_ns[PRESSURE_FULL] = 0;
        period_start = account_at = skip;
    }
    while (now - period_start >= PERIOD_NS) {
        period_start += PERIOD_NS;
        add_time(period_start - account_at);
        account_at = period_start;
        end_period();
    }
    add_time(now - account_at);
    account_at = now;
}

static void count_runnable(struct thread *thread, void *arg)
{
    unsigned *count = arg;
    if (thread->space && __atomic_load_n(&thread->state, __ATOMIC_RELAXED) == THREAD_READY)
        ++*count;
}

/* A thread begins (+1) or ends (-1) to wait. Whether others can run is looked at now, and taken to
 * hold until the next one begins or ends. */
static void stall_change(int delta)
{
    unsigned runnable = 0;
    thread_for_each(count_runnable, &runnable);
    unsigned long irq = spin_lock_irqsave(&stall_lock);
    account_locked(clock_mono_ns());
    stalled += (unsigned)delta;
    full = runnable <= 1; /* the caller itself is running */
    spin_unlock_irqrestore(&stall_lock, irq);
}

void pressure_get_stats(struct pressure_stats *out)
{
    unsigned long irq = spin_lock_irqsave(&stall_lock);
    account_locked(clock_mono_ns());
    *out = stats;
    spin_unlock_irqrestore(&stall_lock, irq);
}

/* ---- the reclaim thread ----------------------------------------------------------------- */

/* Any context, any lock held. */
static void on_alarm(void)
{
    /* Seq_cst: pairs with the thread's announcement that it sleeps. Once per pass is enough. */
    if (__atomic_exchange_n(&wanted, true, __ATOMIC_SEQ_CST))
        return;
    struct thread *thread = __atomic_load_n(&reclaimer, __ATOMIC_ACQUIRE);
    if (thread)
        thread_wake(thread);
}

/* Any context, any lock held. */
static void on_cached(void)
{
    /* Seq_cst: as above. */
    if (__atomic_exchange_n(&cached, true, __ATOMIC_SEQ_CST))
        return;
    struct thread *thread = __atomic_load_n(&reclaimer, __ATOMIC_ACQUIRE);
    if (thread)
        thread_wake(thread);
}

static void note_level(enum memory_level *last)
{
    enum memory_level now = memory_level();
    if (now == *last)
        return;
    *last = now;
    __atomic_add_fetch(&level_changes, 1, __ATOMIC_RELEASE);
    waitq_wake_all(&pressure_changes, 0);
}

/*
 * Thrashing: of what passes take, at least half is code that comes back (refaults), window after
 * window for THRASH_NS. The program still gets on a little, so no pass is futile, but it would take
 * minutes to its end or to that of the memory. One that watches gets twice the time. A time
 * without passes ends it. Only the reclaim thread comes here.
 */
static void note_thrashing(uint64_t reclaimed_now)
{
    static uint64_t window_start, window_reclaimed, window_refaults, since;
    uint64_t now = clock_mono_ns(), refaults = vm_cache_refaults();
    uint64_t patience = __atomic_load_n(&watchers, __ATOMIC_RELAXED) ? 2 * THRASH_NS : THRASH_NS;
    if (now - window_start < THRASH_WINDOW_NS)
        return;
    uint64_t back = refaults - window_refaults, taken = reclaimed_now - window_reclaimed;
    bool bad = now - window_start < 2 * THRASH_WINDOW_NS && back >= THRASH_PAGES &&
               taken >= THRASH_PAGES && back >= taken / 2;
    since = !bad ? 0 : since ? since : window_start;
    memory_set_thrashing(since && now - since >= patience);
    window_start = now;
    window_reclaimed = reclaimed_now;
    window_refaults = refaults;
}

/* A virtual CPU that the host does not run at the moment cannot give its slabs back. Before too
 * little is said to have come, it gets some time. */
static uint64_t late_slabs(uint64_t missing)
{
    uint64_t done = 0;
    for (unsigned i = 0; i < LATE_LOOKS && done < missing && slab_trim_pending(); i++) {
        (void)!sleep_until(clock_mono_ns() + NS_PER_MS, false);
        done += slab_trim_late();
    }
    return done;
}

/* One pass: up to the level `low` and an eighth more, so that the next alarm is some time off. */
static void reclaim_pass(void)
{
    /* Slabs that came since the last pass count as free by now: progress for who waits, but nothing
     * that this one has done. */
    uint64_t since = slab_trim_late();
    uint64_t low = memory_level_pages(MEMORY_LOW), goal = low + low / 8, free = page_free_count();
    uint64_t want = free < goal ? MAX(goal - free, (uint64_t)BATCH_PAGES) : 0;
    uint64_t done = want ? memory_reclaim(want, memory_level() >= MEMORY_MEDIUM) : 0;
    if (done < want)
        done += late_slabs(want - done);
    /* Relaxed: `passed`, which is stored later, tells waiters to look. */
    note_thrashing(__atomic_add_fetch(&reclaimed, since + done, __ATOMIC_RELAXED));
    free = page_free_count();
    memory_alarm_set(free >= low || done >= want / 4 ? low : free - free / 8);
}

/* Idle CPUs give their free pages back: look once a second while any keeps some. Slabs, too, whose
 * objects others have freed since their CPU last looked. */
static void trim_if_due(uint64_t *due)
{
    uint64_t now = clock_mono_ns();
    if (*due == UINT64_MAX) {
        *due = __atomic_load_n(&cached, __ATOMIC_SEQ_CST) ? now + TRIM_NS : UINT64_MAX;
    } else if (now >= *due) {
        /* Cleared before the look: who fills a cache later tells us again. */
        __atomic_store_n(&cached, false, __ATOMIC_SEQ_CST);
        bool left = hot_trim();
        slab_trim_ask();
        *due = left || __atomic_load_n(&cached, __ATOMIC_SEQ_CST) ? now + TRIM_NS : UINT64_MAX;
    }
}

static void reclaim_thread(void *arg)
{
    enum memory_level last = MEMORY_PLENTY;
    uint64_t trim_due = UINT64_MAX;
    (void)arg;
    for (;;) {
        bool calm = last == MEMORY_PLENTY && !memory_thrashing();
        uint64_t until = calm ? UINT64_MAX : clock_mono_ns() + RECHECK_NS;
        thread_prepare_sleep(false);
        bool told = trim_due == UINT64_MAX && __atomic_load_n(&cached, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&wanted, __ATOMIC_SEQ_CST) && !told)
            (void)thread_sleep(MIN(until, trim_due));
        thread_finish_sleep();
        trim_if_due(&trim_due);
        note_level(&last);
        note_thrashing(__atomic_load_n(&reclaimed, __ATOMIC_RELAXED)); /* it may be over */
        /* Cleared before the questions are read: one asked later wakes us again. */
        if (!__atomic_exchange_n(&wanted, false, __ATOMIC_SEQ_CST)) {
            memory_alarm_set(memory_level_pages(MEMORY_LOW));
            continue;
        }
        uint64_t answer = __atomic_load_n(&asked, __ATOMIC_SEQ_CST);
        reclaim_pass();
        note_level(&last);
        __atomic_store_n(&passed, answer, __ATOMIC_SEQ_CST);
        waitq_wake_all(&passes, 0);
    }
}

int pressure_init(void)
{
    waitq_init(&passes);
    waitq_init(&pressure_changes);
    struct thread *thread = thread_spawn("reclaim", reclaim_thread, NULL);
    if (!thread)
        return -ENOMEM;
    __atomic_store_n(&reclaimer, thread, __ATOMIC_RELEASE);
    memory_alarm = on_alarm;
    memory_cached = on_cached;
    memory_alarm_set(memory_level_pages(MEMORY_LOW));
    return 0;
}

/* ---- waiting ---------------------------------------------------------------------------- */

/* Wait for a pass that begins after now. */
static void wait_for_pass(void)
{
    uint64_t ticket = __atomic_add_fetch(&asked, 1, __ATOMIC_SEQ_CST);
    uint64_t deadline = clock_mono_ns() + PASS_TIMEOUT_NS;
    struct waiter w;
    int err = 0;
    waitq_prepare(&passes, &w, false);
    on_alarm();
    while (__atomic_load_n(&passed, __ATOMIC_SEQ_CST) < ticket && !err)
        err = waitq_sleep(&w, deadline);
    waitq_finish(&w);
}

bool memory_wait(void)
{
    bool enough = memory_available(RETRY_PAGES);
    if (memory_thrashing())
        return false; /* the little that is free would only prolong it */
    if (enough || !__atomic_load_n(&reclaimer, __ATOMIC_ACQUIRE))
        return enough;
    stall_change(+1);
    uint64_t before = __atomic_load_n(&reclaimed, __ATOMIC_RELAXED), now;
    int futile = 0, max = PASSES_MAX;
    for (int total = 0; futile < max && total < PASSES_TOTAL && !enough && !memory_thrashing();
         total++, before = now) {
        wait_for_pass();
        enough = memory_available(RETRY_PAGES);
        now = __atomic_load_n(&reclaimed, __ATOMIC_RELAXED);
        futile = now - before >= RETRY_PAGES ? 0 : futile + 1;
        if (enough || !__atomic_load_n(&watchers, __ATOMIC_RELAXED))
            continue;
        /* Programs that said they would give memory back get the time to do so. */
        max = WATCHER_PASSES_MAX;
        if (sleep_until(clock_mono_ns() + WATCHER_WAIT_NS, false))
            break;
        enough = memory_available(RETRY_PAGES);
    }
    stall_change(-1);
    waitq_wake_all(&pressure_changes, 0);
    return enough;
}

uint32_t pressure_level_changes(void)
{
    return __atomic_load_n(&level_changes, __ATOMIC_ACQUIRE);
}

void pressure_watch(int delta)
{
    __atomic_add_fetch(&watchers, delta, __ATOMIC_RELAXED);
}
