/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/proc/signal.c kernel/proc/posix_timer.c kernel/proc/itimer.c
   kernel/core/spinlock.c kernel/core/percpu.c kernel/core/panic.c kernel/core/log.c
   kernel/lib/format.c kernel/lib/strutil.c unit/fake_hal.c unit/fake_kmalloc.c */
/* covers: kernel/proc/signal.c */
/* length: 256 */
/*
 * signals_fuzz.c - three tasks of a process send each other signals, block, ignore, take and wait
 * for them, leave and come, while timers expire; the model is a list for each queue. After each
 * operation queues, masks and the account are the model's, and the rule of signal.c holds: what can
 * be delivered has interrupted a task that can take it.
 */
#include "fuzz.h"
#include "proc/signal_world.h"

#define TIMERS 3
#define QUEUE 512
#define MS NS_PER_MS

struct entry {
    int signo, code, timer; /* -1: sent */
    uint64_t value;
};
struct queue {
    struct entry entry[QUEUE];
    unsigned count;
    uint64_t bare; /* numbers without an entry */
};
static struct {
    struct queue own[TASKS], shared;
    uint64_t mask[TASKS];
    bool in[TASKS], exiting, stopped;
    enum { DEFAULT, IGNORED, HANDLED } action[NSIG + 1];
    unsigned limit;
    struct {
        struct timer *timer;
        int id, signo, task; /* task -1: the process */
        uint64_t due, interval;
        bool waits;
    } timer[TIMERS];
} m;
static struct fuzz_input *in;
static uint64_t next_value;
static bool no_memory; /* the next allocation fails */

static const int some[] = {SIGHUP,  SIGUSR1, SIGUSR1,  SIGUSR2,      SIGSEGV, SIGBUS,
                           SIGCHLD, SIGCONT, SIGTSTP,  SIGTTIN,      SIGALRM, SIGRTMIN,
                           33,      NSIG,    SIGRTMIN, SIGRTMIN + 2, SIGSTOP, SIGKILL};

static int some_signal(void)
{
    return some[fuzz_u8(in) % ARRAY_COUNT(some)];
}

static uint64_t some_set(void)
{
    uint32_t bits = fuzz_u16(in);
    uint64_t set = 0;

    if (bits == 0xffff)
        return UINT64_MAX;
    for (unsigned i = 0; i < 16; i++)
        if (bits >> i & 1)
            set |= SIG_BIT(some[i]);
    return set;
}

/* A task that has not left; there is always one. */
static unsigned some_task(void)
{
    unsigned i = fuzz_u8(in) % TASKS;

    while (!m.in[i])
        i = (i + 1) % TASKS;
    return i;
}

/* ---- the model ---- */

static uint64_t set_of(const struct queue *q)
{
    uint64_t set = q->bare;

    for (unsigned i = 0; i < q->count; i++)
        set |= SIG_BIT(q->entry[i].signo);
    return set;
}

/* A timer's signal was taken, or is not wanted: the next period. Its overrun. */
static int timer_next(int i)
{
    uint64_t periods;

    m.timer[i].waits = false;
    if (!m.timer[i].interval) {
        m.timer[i].due = 0;
        return 0;
    }
    periods = (fake_now_ns - m.timer[i].due) / m.timer[i].interval + 1;
    m.timer[i].due += periods * m.timer[i].interval;
    return (int)periods - 1;
}

static void queue_remove(struct queue *q, unsigned i)
{
    q->count--;
    memmove(&q->entry[i], &q->entry[i + 1], (q->count - i) * sizeof(q->entry[0]));
}

static void queue_drop(struct queue *q, uint64_t set)
{
    q->bare &= ~set;
    for (unsigned i = 0; i < q->count;) {
        struct entry e = q->entry[i];

        if (!(SIG_BIT(e.signo) & set)) {
            i++;
            continue;
        }
        queue_remove(q, i);
        if (e.timer >= 0)
            timer_next(e.timer);
    }
}

static void drop_everywhere(uint64_t set)
{
    queue_drop(&m.shared, set);
    for (unsigned i = 0; i < TASKS; i++)
        queue_drop(&m.own[i], set);
}

static unsigned accounted(void)
{
    unsigned count = TIMERS;

    for (unsigned i = 0; i <= TASKS; i++) {
        const struct queue *q = i < TASKS ? &m.own[i] : &m.shared;

        for (unsigned k = 0; k < q->count; k++)
            count += q->entry[k].timer < 0;
    }
    return count;
}

/* What happens at once; is the signal to be queued? */
static bool model_prepare(int to, int signo)
{
    uint64_t blocked = 0;

    if (m.exiting || (to >= 0 && !m.in[to]))
        return false;
    if (signo == SIGCONT) {
        drop_everywhere(SIG_STOPS);
        m.stopped = false;
    }
    if (SIG_BIT(signo) & SIG_STOPS)
        drop_everywhere(SIG_BIT(SIGCONT));
    if (signo == SIGKILL) {
        m.exiting = true;
        return false;
    }
    for (int i = 0; i < TASKS; i++)
        if (m.in[i] && (to < 0 || to == i))
            blocked |= m.mask[i];
    return (blocked & SIG_BIT(signo)) || m.action[signo] == HANDLED ||
           (m.action[signo] == DEFAULT && !(SIG_BIT(signo) & SIG_DEFAULT_IGNORE));
}

static int model_send(int to, struct entry e, bool fails)
{
    struct queue *q = to < 0 ? &m.shared : &m.own[to];

    if (!model_prepare(to, e.signo))
        return 0;
    if (e.timer < 0) {
        if (e.signo < SIGRTMIN && (set_of(q) & SIG_BIT(e.signo)))
            return 0;
        fails |= (e.signo >= SIGRTMIN || e.code < 0) && accounted() >= m.limit;
        if (fails && e.signo >= SIGRTMIN && e.code != SI_USER)
            return -EAGAIN;
        if (fails) {
            q->bare |= SIG_BIT(e.signo);
            return 0;
        }
    }
    FUZZ_CHECK(q->count < QUEUE);
    q->entry[q->count++] = e;
    return 0;
}

/* Its number, or 0: the task's own before its process's, faults first, then by number, then in
 * order. */
static int model_take(unsigned to, uint64_t set, struct siginfo *info)
{
    struct queue *q = set_of(&m.own[to]) & set ? &m.own[to] : &m.shared;
    uint64_t ready = set_of(q) & set;

    if (!ready)
        return 0;
    if (ready & SIG_SYNCHRONOUS)
        ready &= SIG_SYNCHRONOUS;
    int signo = __builtin_ctzll(ready) + 1;
    *info = (struct siginfo){.signo = signo};
    for (unsigned i = 0; i < q->count; i++) {
        struct entry e = q->entry[i];

        if (e.signo != signo)
            continue;
        queue_remove(q, i);
        info->code = e.code;
        if (e.timer >= 0) {
            info->timer_id = m.timer[e.timer].id;
            info->timer_value = e.value;
            info->overrun = timer_next(e.timer);
        } else {
            info->pid = e.code != SEGV_MAPERR;
            info->value = e.value;
        }
        break;
    }
    /* Of several without an entry one is left; it is told with the last that has one. */
    bool more = false;
    for (unsigned i = 0; i < q->count; i++)
        more |= q->entry[i].signo == signo;
    if (!more)
        q->bare &= ~SIG_BIT(signo);
    return signo;
}

/* ---- kernel and model are alike ---- */

static void check_queue(const struct signal_pending *pending, const struct queue *q)
{
    unsigned i = 0;

    list_for_each (pos, &pending->queue) {
        const struct queued_signal *real = list_entry(pos, struct queued_signal, link);

        FUZZ_CHECK(i < q->count);
        FUZZ_CHECK(real->info.signo == q->entry[i].signo);
        FUZZ_CHECK(real->info.code == q->entry[i].code);
        FUZZ_CHECK((real->taken != NULL) == (q->entry[i].timer >= 0));
        FUZZ_CHECK(real->taken ? real->info.timer_value == q->entry[i].value
                               : real->info.value == q->entry[i].value);
        i++;
    }
    FUZZ_CHECK(i == q->count);
    FUZZ_CHECK(pending->set == set_of(q));
}

/* Whoever can take it is on its way to. */
static void check_told(void)
{
    uint64_t open = set_of(&m.shared);

    for (unsigned i = 0; i < TASKS; i++) {
        if (!m.in[i] || !task[i].thread.interrupted)
            continue;
        open &= m.mask[i];
    }
    for (unsigned i = 0; i < TASKS; i++) {
        if (!m.in[i])
            continue;
        FUZZ_CHECK(!(open & ~m.mask[i]));
        FUZZ_CHECK(!(set_of(&m.own[i]) & ~m.mask[i]) || task[i].thread.interrupted);
    }
}

static void check(void)
{
    check_queue(&process.shared_pending, &m.shared);
    for (unsigned i = 0; i < TASKS; i++) {
        check_queue(&task[i].pending, &m.own[i]);
        FUZZ_CHECK(task[i].sig_mask == m.mask[i]);
        FUZZ_CHECK(task[i].sig_wait_set == 0);
    }
    for (unsigned i = 0; i < TIMERS; i++)
        FUZZ_CHECK(timer_armed(m.timer[i].timer) == (m.timer[i].due && !m.timer[i].waits));
    FUZZ_CHECK(process.signals_queued == accounted());
    FUZZ_CHECK(process.stopped == m.stopped && process.exiting == m.exiting);
    if (!m.exiting)
        check_told();
}

/* ---- operations ---- */

static void send(void)
{
    static const int codes[] = {SI_QUEUE, SI_USER, SI_TKILL, SI_KERNEL};
    uint8_t how = fuzz_u8(in);
    int to = how % 4 - 1; /* -1: the process; also a task that has left */
    struct entry e = {some_signal(), codes[how / 4 % 4], -1, next_value++};
    struct siginfo info = {.signo = e.signo, .code = e.code, .pid = 1, .value = e.value};

    int err = to < 0 ? signal_send_process(&process, &info) : signal_send_task(&task[to], &info);
    FUZZ_TRACE("send %d code %d to %d: %d%s\n", e.signo, e.code, to, err,
               alloc_fail_hit() ? " without memory" : "");
    FUZZ_CHECK(err == model_send(to, e, no_memory && alloc_fail_hit()));
    if (alloc_fail_hit()) {
        no_memory = false;
        alloc_fail_nth(0);
    }
}

static void set_mask(unsigned who, uint64_t set, bool for_call)
{
    as(who);
    if (for_call)
        signal_mask_for_call(set);
    else
        signal_set_mask(set);
    FUZZ_CHECK(!for_call ||
               (task[who].sig_restore_mask && task[who].sig_saved_mask == m.mask[who]));
    task[who].sig_restore_mask = false;
    m.mask[who] = set & ~SIG_UNBLOCKABLE;
    FUZZ_TRACE("task %u blocks %#llx\n", who, (unsigned long long)m.mask[who]);
}

static void set_action(void)
{
    static const uintptr_t handlers[] = {SIG_DFL, SIG_IGN, 0x1000};
    int signo = some_signal();
    unsigned how = fuzz_u8(in) % 3;
    struct signal_action act = {.handler = handlers[how]}, old;
    bool fixed = SIG_BIT(signo) & SIG_UNBLOCKABLE;

    FUZZ_CHECK(signal_set_action(signo, &act, &old) == (fixed ? -EINVAL : 0));
    FUZZ_TRACE("action %d: %u\n", signo, how);
    if (fixed)
        return;
    FUZZ_CHECK(old.handler == handlers[m.action[signo]]);
    m.action[signo] = how;
    if (how == IGNORED || (how == DEFAULT && (SIG_BIT(signo) & SIG_DEFAULT_IGNORE)))
        drop_everywhere(SIG_BIT(signo));
}

static bool same_info(const struct siginfo *a, const struct siginfo *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static void take(unsigned who, uint64_t set)
{
    struct siginfo info = {0}, want = {0};

    as(who);
    int err = signal_take(set, &info);
    int signo = model_take(who, set & ~SIG_UNBLOCKABLE, &want);
    FUZZ_TRACE("task %u takes of %#llx: %d\n", who, (unsigned long long)set, err ? err : signo);
    FUZZ_CHECK(err == (signo ? 0 : -EAGAIN));
    FUZZ_CHECK(err || same_info(&info, &want));
}

/* On its way to user code the task takes everything that it does not block. */
static void deliver(unsigned who)
{
    struct siginfo info, want;
    int signo;

    as(who);
    thread_clear_interrupt();
    do {
        unsigned long irq = spin_lock_irqsave(&process.lock);
        signo = signal_dequeue_locked(current, ~current->sig_mask, &info);
        spin_unlock_irqrestore(&process.lock, irq);
        FUZZ_TRACE("task %u gets %d\n", who, signo);
        FUZZ_CHECK(signo == model_take(who, ~m.mask[who], &want));
        FUZZ_CHECK(!signo || same_info(&info, &want));
    } while (signo);
    FUZZ_CHECK(!signal_deliverable(current));
}

static void force(unsigned who)
{
    int signo = fuzz_u8(in) & 1 ? SIGSEGV : SIGBUS;
    struct entry e = {signo, SEGV_MAPERR, -1, 0};

    as(who);
    if ((m.mask[who] & SIG_BIT(signo)) || m.action[signo] == IGNORED) {
        m.action[signo] = DEFAULT;
        m.mask[who] &= ~SIG_BIT(signo);
    }
    signal_force(signo, SEGV_MAPERR, 0);
    FUZZ_TRACE("task %u: fault %d\n", who, signo);
    if (set_of(&m.own[who]) & SIG_BIT(signo))
        return;
    if (no_memory && alloc_fail_hit()) {
        no_memory = false;
        alloc_fail_nth(0);
        m.own[who].bare |= SIG_BIT(signo);
    } else {
        m.own[who].entry[m.own[who].count++] = e;
    }
}

static void wait_for(unsigned who)
{
    uint64_t set = some_set() & ~SIG_UNBLOCKABLE;
    struct siginfo info = {0}, want = {0};

    as(who);
    while_asleep = fuzz_u8(in) & 1 ? send : NULL;
    bool sleeps = !((set_of(&m.own[who]) | set_of(&m.shared)) & set);
    long result = signal_wait(set, fake_now_ns + 1, &info);
    /* The model has seen what was sent meanwhile. */
    while_asleep = NULL;
    int signo = model_take(who, set, &want);
    bool leaves =
        ((set_of(&m.own[who]) | set_of(&m.shared)) & ~m.mask[who]) || m.exiting || m.stopped;
    FUZZ_TRACE("task %u waits for %#llx: %ld, slept %d\n", who, (unsigned long long)set, result,
               sleeps);
    if (signo) {
        FUZZ_CHECK(result == signo && same_info(&info, &want));
        return;
    }
    FUZZ_CHECK(sleeps);
    if (!leaves)
        FUZZ_CHECK(result == -EAGAIN);
    else /* of a signal that others were told it need not know */
        FUZZ_CHECK(result == -EINTR || (result == -EAGAIN && !task[who].thread.interrupted));
}

static void leave_or_join(unsigned who)
{
    unsigned long irq = spin_lock_irqsave(&process.lock);

    if (!m.in[who]) {
        task[who].sig_mask = m.mask[who] = current->sig_mask; /* clone(2) */
        task[who].thread.interrupted = false;
        list_push_back(&process.tasks, &task[who].process_link);
        process.task_count++;
        m.in[who] = true;
    } else if (process.task_count > 1) {
        list_remove(&task[who].process_link);
        process.task_count--;
        signal_task_leaves_locked(&task[who]);
        m.in[who] = false;
        queue_drop(&m.own[who], UINT64_MAX);
    }
    spin_unlock_irqrestore(&process.lock, irq);
    FUZZ_TRACE("task %u is %s\n", who, m.in[who] ? "in" : "out");
    as(some_task());
}

/* ---- timers ---- */

static void timer_set(unsigned i)
{
    struct itimer_value value = {fuzz_u8(in) % 4 * MS, fuzz_u8(in) % 3 * MS}, old;

    FUZZ_CHECK(posix_timer_set(&process, m.timer[i].id, &value, false, &old) == 0);
    FUZZ_TRACE("timer %u in %llu, every %llu ms\n", i, (unsigned long long)(value.left_ns / MS),
               (unsigned long long)(value.interval_ns / MS));
    if (value.left_ns)
        m.timer[i].timer = armed;
    for (unsigned k = 0; k <= TASKS; k++) { /* its signal goes */
        struct queue *q = k < TASKS ? &m.own[k] : &m.shared;

        for (unsigned e = 0; e < q->count; e++)
            if (q->entry[e].timer == (int)i)
                queue_remove(q, e--);
    }
    m.timer[i].waits = false;
    m.timer[i].due = value.left_ns ? fake_now_ns + value.left_ns : 0;
    m.timer[i].interval = value.left_ns ? value.interval_ns : 0;
}

static void timer_expire(unsigned i, uint64_t late)
{
    struct timer *timer = m.timer[i].timer;
    int to = m.timer[i].task;
    struct entry e = {m.timer[i].signo, SI_TIMER, (int)i, 1000 + i};

    if (!timer_armed(timer))
        return;
    fake_now_ns = MAX(fake_now_ns, timer->deadline_ns) + late;
    timer->queue = NULL;
    timer->fn(timer);
    FUZZ_TRACE("timer %u expires: signal %d to %d\n", i, e.signo, to);
    if (to >= 0 && !m.in[to]) {
        m.timer[i].due = 0;
        return;
    }
    if (!model_prepare(to, e.signo)) {
        timer_next((int)i);
        return;
    }
    struct queue *q = to < 0 ? &m.shared : &m.own[to];
    q->entry[q->count++] = e;
    m.timer[i].waits = true;
}

static void timers_create(void)
{
    static const int signals[] = {SIGALRM, SIGUSR1, SIGRTMIN, SIGCHLD};

    for (unsigned i = 0; i < TIMERS; i++) {
        uint8_t how = fuzz_u8(in);
        struct posix_timer_spec spec = {.clock = 1, .notify = SIGEV_SIGNAL, .value = 1000 + i};
        struct itimer_value soon = {MS, 0}, off = {0, 0}, old;

        m.timer[i].task = how % 4 - 1;
        m.timer[i].signo = spec.signo = signals[how / 4 % 4];
        if (m.timer[i].task >= 0) {
            spec.notify = SIGEV_THREAD_ID;
            spec.tid = task[m.timer[i].task].tid;
        }
        m.timer[i].id = posix_timer_create(&process, &spec);
        FUZZ_CHECK(m.timer[i].id >= 0);
        FUZZ_CHECK(posix_timer_set(&process, m.timer[i].id, &soon, false, &old) == 0);
        m.timer[i].timer = armed;
        FUZZ_CHECK(posix_timer_set(&process, m.timer[i].id, &off, false, &old) == 0);
    }
}

/* ---- */

static void one_step(void)
{
    uint8_t what = fuzz_u8(in);
    unsigned who;

    switch (what % 16) {
    case 0:
    case 1:
        who = some_task();
        set_mask(who, some_set(), what & 16);
        break;
    case 2:
    case 3:
        set_action();
        break;
    case 4:
        who = some_task();
        take(who, some_set());
        break;
    case 5:
        deliver(some_task());
        break;
    case 6:
        force(some_task());
        break;
    case 7:
        wait_for(some_task());
        break;
    case 8:
        leave_or_join(fuzz_u8(in) % TASKS);
        break;
    case 9:
        timer_set(fuzz_u8(in) % TIMERS);
        break;
    case 10:
    case 11:
        timer_expire(fuzz_u8(in) % TIMERS, what / 16 * MS);
        break;
    case 12:
        m.limit = what & 16 ? 100 : TIMERS + what / 32;
        process.limits[RLIMIT_SIGPENDING].cur = m.limit;
        break;
    case 13:
        no_memory = true;
        alloc_fail_nth(1);
        break;
    default:
        send();
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size, 0};
    static bool started;

    if (!started)
        fake_hal_init(4 << 20);
    started = true;
    in = &input;
    world_start();
    memset(&m, 0, sizeof(m));
    for (unsigned i = 0; i < TASKS; i++)
        m.in[i] = true;
    m.limit = 100;
    no_memory = false;
    timers_create();
    while (fuzz_more(in) && !m.exiting) {
        one_step();
        check();
    }
    world_end();
    return 0;
}
