/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/proc/signal.c kernel/proc/posix_timer.c kernel/proc/itimer.c
   kernel/core/spinlock.c kernel/core/percpu.c kernel/core/panic.c kernel/core/log.c
   kernel/lib/format.c kernel/lib/strutil.c unit/fake_hal.c unit/fake_kmalloc.c */
/* signal_test.c - what is pending where and in which order it is taken, who is interrupted, limits
 * and missing memory; timers that own their signal; the races of setitimer and of sigtimedwait.
 * Threads, wait queues and timers are stand-ins: each test decides what happens meanwhile. */
#include <cmocka.h>

#include "proc/signal_world.h"

/* Its time has come. */
static void expire(struct timer *timer)
{
    WORLD_CHECK(timer->queue);
    if (fake_now_ns < timer->deadline_ns)
        fake_now_ns = timer->deadline_ns;
    timer->queue = NULL;
    timer->fn(timer);
}

static int setup(void **state)
{
    (void)state;
    fake_hal_init(4 << 20);
    world_start();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_end();
    fake_hal_fini();
    return 0;
}

static void handle(int signo)
{
    struct signal_action act = {.handler = 0x1000};
    assert_int_equal(signal_set_action(signo, &act, NULL), 0);
}
static void ignore(int signo)
{
    struct signal_action act = {.handler = SIG_IGN};
    assert_int_equal(signal_set_action(signo, &act, NULL), 0);
}
static struct siginfo queued(int signo, uint64_t value)
{
    return (struct siginfo){.signo = signo, .code = SI_QUEUE, .pid = 1, .value = value};
}
static int send(int signo, uint64_t value)
{
    struct siginfo info = queued(signo, value);
    return signal_send_process(&process, &info);
}
static int send_to(unsigned i, int signo, uint64_t value)
{
    struct siginfo info = queued(signo, value);
    return signal_send_task(&task[i], &info);
}
static int send_code(int signo, int code)
{
    struct siginfo info = {.signo = signo, .code = code, .pid = 9};
    return signal_send_process(&process, &info);
}
/* The value of the next signal of that number, or a negative errno. */
static long take(int signo)
{
    struct siginfo info;
    int err = signal_take(SIG_BIT(signo), &info);
    assert_true(err || info.signo == signo);
    return err ? err : (long)info.value;
}
static void block(unsigned i, uint64_t mask)
{
    struct task *was = current;
    as(i);
    signal_set_mask(mask);
    current = was;
}

/* ---- queues ---- */

static void standard_signals_wait_once(void **state)
{
    (void)state;
    handle(SIGUSR1);
    assert_int_equal(send(SIGUSR1, 1), 0);
    assert_int_equal(send(SIGUSR1, 2), 0);
    assert_int_equal(send_to(0, SIGUSR1, 3), 0); /* another queue */
    assert_int_equal(process.signals_queued, 2);
    assert_int_equal(take(SIGUSR1), 3);
    assert_int_equal(take(SIGUSR1), 1);
    assert_int_equal(take(SIGUSR1), -EAGAIN);
    assert_int_equal(process.signals_queued, 0);
}

static void real_time_signals_keep_their_order(void **state)
{
    (void)state;
    handle(SIGRTMIN);
    handle(SIGRTMIN + 1);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(send(SIGRTMIN + 1, 10 + i), 0);
        assert_int_equal(send(SIGRTMIN, i), 0);
    }
    struct siginfo info;
    static const uint64_t order[] = {1, 2, 3, 11, 12, 13}; /* the lowest number first */
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(signal_take(UINT64_MAX, &info), 0);
        assert_int_equal(info.value, order[i]);
    }
    assert_int_equal(signal_pending_set(current), 0);
}

static void faults_are_taken_first(void **state)
{
    (void)state;
    handle(SIGHUP);
    handle(SIGSEGV);
    assert_int_equal(send_to(0, SIGHUP, 1), 0);
    signal_force(SIGSEGV, SEGV_MAPERR, 0x123);
    unsigned long irq = spin_lock_irqsave(&process.lock);
    struct siginfo info;
    assert_int_equal(signal_dequeue_locked(current, UINT64_MAX, &info), SIGSEGV);
    assert_int_equal(info.addr, 0x123);
    assert_int_equal(signal_dequeue_locked(current, UINT64_MAX, &info), SIGHUP);
    spin_unlock_irqrestore(&process.lock, irq);
}

static void directed_signals_are_their_tasks(void **state)
{
    (void)state;
    handle(SIGUSR1);
    assert_int_equal(send_to(1, SIGUSR1, 5), 0);
    assert_int_equal(interrupts[0], 0);
    assert_int_equal(interrupts[1], 1);
    assert_int_equal(take(SIGUSR1), -EAGAIN);
    assert_false(signal_deliverable(&task[0]));
    assert_true(signal_deliverable(&task[1]));
    as(1);
    assert_int_equal(take(SIGUSR1), 5);
}

static void one_task_is_told_that_does_not_block(void **state)
{
    (void)state;
    handle(SIGUSR1);
    block(0, SIG_BIT(SIGUSR1));
    assert_int_equal(send(SIGUSR1, 1), 0);
    assert_int_equal(interrupts[0] + interrupts[2], 0);
    assert_int_equal(interrupts[1], 1);
    /* It blocks the signal before it has taken it: another one must be told. */
    block(1, SIG_BIT(SIGUSR1));
    assert_int_equal(interrupts[2], 1);
    /* That one leaves: whoever unblocks is told. */
    unsigned long irq = spin_lock_irqsave(&process.lock);
    list_remove(&task[2].process_link);
    process.task_count--;
    signal_task_leaves_locked(&task[2]);
    spin_unlock_irqrestore(&process.lock, irq);
    assert_int_equal(interrupts[0], 0);
    block(0, 0);
    assert_int_equal(interrupts[0], 1);
    assert_int_equal(take(SIGUSR1), 1);
}

static void a_leaving_task_hands_on_and_drops_its_own(void **state)
{
    (void)state;
    handle(SIGUSR1);
    assert_int_equal(send_to(0, SIGUSR1, 1), 0);
    assert_int_equal(send(SIGUSR1, 2), 0);
    unsigned long irq = spin_lock_irqsave(&process.lock);
    list_remove(&task[0].process_link);
    process.task_count--;
    signal_task_leaves_locked(&task[0]);
    spin_unlock_irqrestore(&process.lock, irq);
    assert_int_equal(interrupts[1], 1);
    assert_int_equal(process.signals_queued, 1);
    /* Sent to by someone who still knows it. */
    assert_int_equal(send_to(0, SIGUSR1, 3), 0);
    assert_int_equal(process.signals_queued, 1);
    as(1);
    assert_int_equal(take(SIGUSR1), 2);
}

static void ignored_signals_wait_only_if_blocked(void **state)
{
    (void)state;
    ignore(SIGUSR1);
    assert_int_equal(send(SIGUSR1, 1), 0);
    assert_int_equal(send(SIGCHLD, 1), 0); /* ignored by default */
    assert_int_equal(process.signals_queued, 0);
    block(1, SIG_BIT(SIGUSR1));
    assert_int_equal(send(SIGUSR1, 2), 0);
    assert_int_equal(send_to(0, SIGUSR1, 3), 0); /* this task does not block it */
    assert_int_equal(take(SIGUSR1), 2);
    /* What waits is dropped when it becomes ignored. */
    handle(SIGUSR2);
    assert_int_equal(send(SIGUSR2, 1), 0);
    assert_int_equal(send_to(2, SIGUSR2, 1), 0);
    ignore(SIGUSR2);
    assert_int_equal(process.signals_queued, 0);
    assert_int_equal(process.shared_pending.set | task[2].pending.set, 0);
}

static void stop_and_continue_cancel_each_other(void **state)
{
    (void)state;
    handle(SIGTSTP);
    handle(SIGCONT);
    assert_int_equal(send(SIGTSTP, 1), 0);
    process.stopped = true;
    assert_int_equal(send(SIGCONT, 2), 0);
    assert_false(process.stopped);
    assert_int_equal(process.shared_pending.set, SIG_BIT(SIGCONT));
    assert_int_equal(send_to(1, SIGTSTP, 1), 0);
    assert_int_equal(process.shared_pending.set, 0);
}

static void kill_and_stop_are_never_blocked(void **state)
{
    (void)state;
    struct signal_action act = {.handler = 0x1000, .mask = UINT64_MAX}, old;
    block(0, UINT64_MAX);
    assert_int_equal(task[0].sig_mask, ~SIG_UNBLOCKABLE);
    assert_int_equal(signal_set_action(SIGKILL, &act, NULL), -EINVAL);
    assert_int_equal(signal_set_action(SIGSTOP, &act, NULL), -EINVAL);
    assert_int_equal(signal_set_action(SIGKILL, NULL, &old), 0);
    assert_int_equal(signal_set_action(0, NULL, NULL), -EINVAL);
    assert_int_equal(signal_set_action(NSIG + 1, NULL, NULL), -EINVAL);
    assert_int_equal(signal_set_action(NSIG, &act, NULL), 0);
    assert_int_equal(process.actions.action[NSIG].mask, ~SIG_UNBLOCKABLE);
    assert_int_equal(send(SIGKILL, 0), 0);
    assert_true(process.exiting);
    for (unsigned i = 0; i < TASKS; i++)
        assert_int_equal(interrupts[i], 1);
}

/* ---- limits and memory ---- */

static void the_limit_refuses_what_linux_refuses(void **state)
{
    (void)state;
    struct siginfo info;
    handle(SIGUSR1);
    handle(SIGUSR2);
    handle(SIGRTMIN);
    process.limits[RLIMIT_SIGPENDING].cur = 1;
    assert_int_equal(send(SIGRTMIN, 1), 0);
    assert_int_equal(send(SIGRTMIN, 2), -EAGAIN);
    assert_int_equal(take(SIGRTMIN), 1);
    assert_int_equal(take(SIGRTMIN), -EAGAIN);
    process.limits[RLIMIT_SIGPENDING].cur = 0;
    assert_int_equal(send_code(SIGRTMIN, SI_TKILL), -EAGAIN);
    assert_int_equal(send_code(SIGRTMIN, SI_USER), 0); /* arrives, without its details */
    assert_int_equal(signal_take(SIG_BIT(SIGRTMIN), &info), 0);
    assert_int_equal(info.pid, 0);
    assert_int_equal(send_code(SIGUSR1, SI_USER), 0); /* with them */
    assert_int_equal(signal_take(SIG_BIT(SIGUSR1), &info), 0);
    assert_int_equal(info.pid, 9);
    assert_int_equal(send(SIGUSR2, 7), 0); /* without */
    assert_int_equal(take(SIGUSR2), 0);
    assert_int_equal(process.signals_queued, 0);
}

static void without_memory_the_number_arrives(void **state)
{
    (void)state;
    static const struct {
        int signo, code, result;
    } cases[] = {
        {SIGUSR1, SI_USER, 0},         {SIGUSR1, SI_QUEUE, 0}, {SIGUSR1, SI_KERNEL, 0},
        {SIGRTMIN, SI_QUEUE, -EAGAIN}, {SIGRTMIN, SI_USER, 0},
    };
    handle(SIGUSR1);
    handle(SIGRTMIN);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct siginfo info;
        alloc_fail_nth(1);
        assert_int_equal(send_code(cases[i].signo, cases[i].code), cases[i].result);
        assert_true(alloc_fail_hit());
        int err = signal_take(SIG_BIT(cases[i].signo), &info);
        assert_int_equal(err, cases[i].result);
        if (!err)
            assert_int_equal(info.code, SI_USER);
        assert_int_equal(process.signals_queued, 0);
    }
    /* A fault cannot be lost either. */
    alloc_fail_nth(1);
    signal_force(SIGSEGV, SEGV_MAPERR, 1);
    assert_true(signal_deliverable(current));
    assert_int_equal(signal_pending_set(current), SIG_BIT(SIGSEGV));
    for (uint64_t n = 1; n < 3; n++) { /* timer_create: all or nothing */
        struct posix_timer_spec spec = {.clock = 1, .signo = SIGRTMIN, .notify = SIGEV_SIGNAL};
        alloc_fail_nth(n);
        int id = posix_timer_create(&process, &spec);
        assert_int_equal(process.signals_queued, id >= 0);
        assert_int_equal(list_empty(&process.timers), id < 0);
        if (n == 1)
            assert_int_equal(id, -EAGAIN);
    }
}

/* ---- timers ---- */

static int create(int signo, int notify, int tid, int clock)
{
    struct posix_timer_spec spec = {
        .clock = clock, .signo = signo, .notify = notify, .tid = tid, .value = 55};
    return posix_timer_create(&process, &spec);
}
/* Returns the kernel's timer behind it. */
static struct timer *start(int id, uint64_t first, uint64_t interval)
{
    struct itimer_value v = {first, interval}, old;
    assert_int_equal(posix_timer_set(&process, id, &v, false, &old), 0);
    return armed;
}
static void overrun_is_what_the_signal_says(void **state)
{
    (void)state;
    struct siginfo info;
    handle(SIGRTMIN);
    int id = create(SIGRTMIN, SIGEV_SIGNAL, 0, 1);
    assert_true(id >= 0);
    process.limits[RLIMIT_SIGPENDING].cur = 0; /* it has its entry already */
    assert_int_equal(create(SIGRTMIN, SIGEV_SIGNAL, 0, 1), -EAGAIN);
    struct timer *t = start(id, NS_PER_MS, NS_PER_MS);
    expire(t);
    assert_false(timer_armed(t)); /* until the signal is taken */
    fake_now_ns += 7 * NS_PER_MS + 1;
    assert_int_equal(posix_timer_overrun(&process, id), 0);
    assert_int_equal(signal_take(SIG_BIT(SIGRTMIN), &info), 0);
    assert_int_equal(info.overrun, 7);
    assert_int_equal(info.timer_value, 55);
    assert_int_equal(posix_timer_overrun(&process, id), 7);
    assert_true(timer_armed(t));
    expire(t);
    assert_int_equal(signal_take(SIG_BIT(SIGRTMIN), &info), 0);
    assert_int_equal(info.overrun, 0);
    assert_int_equal(posix_timer_overrun(&process, id), 0);
    expire(t);
    (void)start(id, 0, 0); /* what waits was for the old setting */
    assert_int_equal(take(SIGRTMIN), -EAGAIN);
    assert_int_equal(posix_timer_delete(&process, id), 0);
    assert_int_equal(process.signals_queued, 0);
}

static void a_wall_time_follows_the_clock(void **state)
{
    (void)state;
    struct itimer_value v = {clock_wall_ns() + 100 * NS_PER_SEC, NS_PER_SEC}, old;
    struct siginfo info;
    handle(SIGRTMIN);
    int id = create(SIGRTMIN, SIGEV_SIGNAL, 0, 0);
    assert_int_equal(posix_timer_set(&process, id, &v, true, &old), 0);
    struct timer *t = armed;
    assert_int_equal(t->deadline_ns, fake_now_ns + 100 * NS_PER_SEC);
    wall_ahead -= 50 * NS_PER_SEC;
    posix_timers_clock_set();
    assert_int_equal(t->deadline_ns, fake_now_ns + 150 * NS_PER_SEC);
    wall_ahead += 140 * NS_PER_SEC;
    posix_timers_clock_set();
    assert_int_equal(posix_timer_get(&process, id, &old), 0);
    assert_int_equal(old.left_ns, 10 * NS_PER_SEC);
    expire(t);
    assert_int_equal(signal_take(SIG_BIT(SIGRTMIN), &info), 0);
    assert_int_equal(info.timer_value, 55);
    /* On the same clock from then on; a relative time is not. */
    assert_int_equal(t->deadline_ns, fake_now_ns + NS_PER_SEC);
    t = start(id, NS_PER_SEC, 0);
    wall_ahead += NS_PER_SEC;
    uint64_t due = t->deadline_ns;
    posix_timers_clock_set();
    assert_int_equal(t->deadline_ns, due);
    assert_int_equal(posix_timer_delete(&process, id), 0);
}

/* A process's CPU clock runs the faster the more threads there are. */
static void more_threads_are_looked_at_sooner(void **state)
{
    (void)state;
    int id = create(SIGRTMIN, SIGEV_SIGNAL, 0, 2), other = create(SIGRTMIN, SIGEV_SIGNAL, 0, 1);
    process.task_count = 1;
    struct timer *mono = start(other, NS_PER_SEC, 0), *t = start(id, 600 * NS_PER_MS, 0);
    uint64_t begin = fake_now_ns, mono_due = mono->deadline_ns;
    assert_int_equal(t->deadline_ns, begin + 600 * NS_PER_MS);
    runtime[0] += 60 * NS_PER_MS;
    fake_now_ns += 60 * NS_PER_MS;
    process.task_count = 3;
    unsigned long irq = spin_lock_irqsave(&process.lock);
    posix_timers_task_joined_locked(&process);
    spin_unlock_irqrestore(&process.lock, irq);
    assert_int_equal(t->deadline_ns, fake_now_ns + 180 * NS_PER_MS);
    assert_int_equal(mono->deadline_ns, mono_due);
    assert_int_equal(posix_timer_delete(&process, id), 0);
    assert_int_equal(posix_timer_delete(&process, other), 0);
}

static void a_deleted_timer_takes_its_signal_along(void **state)
{
    (void)state;
    handle(SIGRTMIN);
    int id = create(SIGRTMIN, SIGEV_SIGNAL, 0, 1);
    expire(start(id, NS_PER_MS, 0));
    assert_int_equal(send(SIGRTMIN, 4), 0);
    assert_int_equal(posix_timer_delete(&process, id), 0);
    assert_int_equal(take(SIGRTMIN), 4);
    assert_int_equal(take(SIGRTMIN), -EAGAIN);
    assert_int_equal(posix_timer_delete(&process, id), -EINVAL);
}

/* What was sent without an entry has only its bit: it stays when the timer's entry goes. */
static void a_timers_end_leaves_signals_without_entry(void **state)
{
    (void)state;
    handle(SIGUSR2);
    handle(SIGRTMIN);
    process.limits[RLIMIT_SIGPENDING].cur = 2;
    int id = create(SIGUSR2, SIGEV_SIGNAL, 0, 1), other = create(SIGRTMIN, SIGEV_SIGNAL, 0, 1);
    assert_int_equal(send(SIGUSR2, 4), 0);
    expire(start(id, NS_PER_MS, 0));
    (void)start(id, 0, 0);
    assert_int_equal(take(SIGUSR2), 0);
    assert_int_equal(take(SIGUSR2), -EAGAIN);
    assert_int_equal(send_code(SIGRTMIN, SI_USER), 0);
    expire(start(other, NS_PER_MS, 0));
    assert_int_equal(posix_timer_delete(&process, other), 0);
    assert_int_equal(take(SIGRTMIN), 0);
    assert_int_equal(take(SIGRTMIN), -EAGAIN);
}

static void a_timer_whose_signal_is_ignored_goes_on(void **state)
{
    (void)state;
    ignore(SIGUSR1);
    int id = create(SIGUSR1, SIGEV_SIGNAL, 0, 1);
    struct timer *t = start(id, NS_PER_MS, NS_PER_MS);
    expire(t);
    assert_true(timer_armed(t));
    handle(SIGUSR1);
    expire(t);
    assert_false(timer_armed(t));
    ignore(SIGUSR1); /* drops the signal, not the timer */
    assert_true(timer_armed(t));
    assert_int_equal(process.signals_queued, 1);
}

static void a_timers_thread_may_leave(void **state)
{
    (void)state;
    handle(SIGUSR1);
    assert_int_equal(create(SIGUSR1, SIGEV_THREAD_ID, 99, 1), -EINVAL);
    int id = create(SIGUSR1, SIGEV_THREAD_ID, 3, 1);
    struct timer *t = start(id, NS_PER_MS, NS_PER_MS);
    expire(t);
    assert_int_equal(task[2].pending.set, SIG_BIT(SIGUSR1));
    unsigned long irq = spin_lock_irqsave(&process.lock);
    list_remove(&task[2].process_link);
    process.task_count--;
    signal_task_leaves_locked(&task[2]);
    spin_unlock_irqrestore(&process.lock, irq);
    task[1].tid = 3; /* its number is used again */
    expire(t);
    assert_false(timer_armed(t));
    assert_int_equal(task[1].pending.set | task[2].pending.set, 0);
}

static void thread_clocks_count_their_thread(void **state)
{
    (void)state;
    handle(SIGUSR1);
    int id = create(SIGUSR1, SIGEV_SIGNAL, 0, 3); /* CLOCK_THREAD_CPUTIME_ID of task 0 */
    struct timer *t = start(id, 10 * NS_PER_MS, 0);
    runtime[1] = 100 * NS_PER_MS;
    fake_now_ns += 100 * NS_PER_MS;
    expire(t);
    assert_int_equal(process.shared_pending.set, 0);
    runtime[0] = 10 * NS_PER_MS;
    expire(t);
    assert_int_equal(process.shared_pending.set, SIG_BIT(SIGUSR1));
    /* ~(tid) << 3 | 4 | 2: the clock of another thread, or of none. */
    assert_true(create(SIGUSR1, SIGEV_SIGNAL, 0, (int)(~2u << 3 | 6)) >= 0);
    assert_int_equal(create(SIGUSR1, SIGEV_SIGNAL, 0, (int)(~77u << 3 | 6)), -EINVAL);
}

/* ---- ITIMER_REAL ---- */

/* The timer has left its queue, but its callback has not got the lock: setitimer comes first. */
static void setitimer_before_the_callback(void **state)
{
    (void)state;
    struct itimer_value v = {NS_PER_MS, NS_PER_MS}, off = {0, 0}, old;
    handle(SIGALRM);
    itimer_set(&process, ITIMER_REAL, &v, &old);
    fake_now_ns += NS_PER_MS;
    process.alarm.queue = NULL;
    itimer_set(&process, ITIMER_REAL, &off, &old);
    process.alarm.fn(&process.alarm);
    assert_int_equal(take(SIGALRM), -EAGAIN);
    assert_false(timer_armed(&process.alarm));

    itimer_set(&process, ITIMER_REAL, &v, &old);
    fake_now_ns += NS_PER_MS;
    process.alarm.queue = NULL;
    v.left_ns = 50 * NS_PER_MS;
    itimer_set(&process, ITIMER_REAL, &v, &old);
    uint64_t due = process.alarm.deadline_ns;
    process.alarm.fn(&process.alarm);
    assert_int_equal(take(SIGALRM), -EAGAIN);
    assert_int_equal(process.alarm.deadline_ns, due);
    expire(&process.alarm);
    assert_int_equal(take(SIGALRM), 0);
    assert_int_equal(process.alarm.deadline_ns, due + NS_PER_MS);
    itimer_set(&process, ITIMER_REAL, &off, &old);
    assert_int_equal(old.left_ns, NS_PER_MS);
    assert_int_equal(old.interval_ns, NS_PER_MS);
}

/* ---- sigtimedwait ---- */

static void arrives(void)
{
    assert_int_equal(send(SIGUSR1, 6), 0);
}
static void stops(void)
{
    process.stopped = true;
    thread_interrupt(&current->thread);
}
static void other_signal(void)
{
    assert_int_equal(send_to(0, SIGUSR2, 1), 0);
}
static void false_alarm(void)
{
    thread_interrupt(&current->thread);
    while_asleep = arrives;
}

static void waiting_for_a_signal(void **state)
{
    (void)state;
    struct siginfo info;
    handle(SIGUSR1);
    handle(SIGUSR2);
    for (unsigned i = 0; i < TASKS; i++)
        block(i, SIG_BIT(SIGUSR1));
    while_asleep = arrives;
    assert_int_equal(signal_wait(SIG_BIT(SIGUSR1), UINT64_MAX, &info), SIGUSR1);
    assert_int_equal(info.value, 6);
    assert_int_equal(interrupts[1] + interrupts[2], 0); /* only who waits for it was told */
    assert_int_equal(task[0].sig_wait_set, 0);
    current->thread.interrupted = false;
    while_asleep = false_alarm;
    assert_int_equal(signal_wait(SIG_BIT(SIGUSR1), UINT64_MAX, &info), SIGUSR1);
    current->thread.interrupted = false;
    uint64_t deadline = fake_now_ns + 5;
    assert_int_equal(signal_wait(SIG_BIT(SIGUSR1), deadline, &info), -EAGAIN);
    assert_int_equal(fake_now_ns, deadline);
    while_asleep = other_signal;
    assert_int_equal(signal_wait(SIG_BIT(SIGUSR1), UINT64_MAX, &info), -EINTR);
    assert_int_equal(take(SIGUSR2), 1);
    current->thread.interrupted = false;
    /* A stop takes place on the way to user code: the wait ends, and says so. */
    while_asleep = stops;
    assert_int_equal(signal_wait(SIG_BIT(SIGUSR1), UINT64_MAX, &info), -EINTR);
    assert_true(current->thread.interrupted);
}

/* ---- alternate stacks ---- */

static void alternate_stacks(void **state)
{
    (void)state;
    struct signal_stack s = {.sp = 0x10000, .size = 0x10000}, out;
    assert_int_equal(signal_stack_set(current, 0x5000, &s), 0);
    assert_int_equal(signal_stack_set(current, 0x5000, &s), 0);
    /* On it: nothing may be set, not even what is set already. The lowest address is outside. */
    assert_int_equal(signal_stack_set(current, 0x18000, &s), -EPERM);
    assert_int_equal(signal_stack_set(current, 0x20000, &s), -EPERM);
    assert_int_equal(signal_stack_set(current, 0x10000, &s), 0);
    signal_stack_get(current, 0x18000, &out);
    assert_int_equal(out.flags, SS_ONSTACK);
    s.flags = SS_AUTODISARM;
    assert_int_equal(signal_stack_set(current, 0x5000, &s), 0);
    assert_int_equal(signal_stack_set(current, 0x18000, &s), 0); /* never "on" such a one */
    signal_stack_get(current, 0x18000, &out);
    assert_int_equal(out.flags, SS_AUTODISARM);
    s.size = ISA_MINSIGSTKSZ - 1;
    assert_int_equal(signal_stack_set(current, 0x5000, &s), -ENOMEM);
    s.flags = 3;
    assert_int_equal(signal_stack_set(current, 0x5000, &s), -EINVAL);
    s.flags = SS_DISABLE;
    assert_int_equal(signal_stack_set(current, 0x5000, &s), 0);
    signal_stack_get(current, 0x18000, &out);
    assert_int_equal(out.flags, SS_DISABLE);
    assert_int_equal(out.size, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(standard_signals_wait_once),
        T(real_time_signals_keep_their_order),
        T(faults_are_taken_first),
        T(directed_signals_are_their_tasks),
        T(one_task_is_told_that_does_not_block),
        T(a_leaving_task_hands_on_and_drops_its_own),
        T(ignored_signals_wait_only_if_blocked),
        T(stop_and_continue_cancel_each_other),
        T(kill_and_stop_are_never_blocked),
        T(the_limit_refuses_what_linux_refuses),
        T(without_memory_the_number_arrives),
        T(overrun_is_what_the_signal_says),
        T(a_wall_time_follows_the_clock),
        T(more_threads_are_looked_at_sooner),
        T(a_deleted_timer_takes_its_signal_along),
        T(a_timers_end_leaves_signals_without_entry),
        T(a_timer_whose_signal_is_ignored_goes_on),
        T(a_timers_thread_may_leave),
        T(thread_clocks_count_their_thread),
        T(setitimer_before_the_callback),
        T(waiting_for_a_signal),
        T(alternate_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
