/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/proc/futex.c kernel/proc/futex_requeue.c kernel/proc/futex_pi.c
   kernel/proc/futex_exit.c kernel/linux/sys_futex.c unit/sched/sim.c unit/fake_kmalloc.c
   kernel/core/chaos.c kernel/lib/strutil.c kernel/sched/watchdog.c kernel/sched/sched.c
   kernel/sched/calm.c kernel/sched/balance.c kernel/sched/runqueue.c kernel/sched/thread.c
   kernel/sched/reap.c kernel/sched/cpu.c kernel/sched/sleep.c kernel/sched/params.c
   kernel/sched/timer.c kernel/sched/wait.c kernel/sched/mutex.c kernel/sched/rwlock.c
   kernel/sched/clock.c kernel/sched/barrier.c kernel/sched/idle.c kernel/sched/account.c
   kernel/sched/rcu.c kernel/sched/pi.c kernel/core/percpu.c kernel/core/spinlock.c
   kernel/lib/rbtree.c */
/* covers: kernel/proc/futex.c kernel/proc/futex_requeue.c */
/* length: 160 */
/* runs: 1000 */
/* include: unit/sched/include */
/*
 * futex_fuzz.c - threads that wait for one word or several, with timeouts and signals, and one that
 * wakes, moves and changes, on the simulated machine of the unit tests (two CPUs, the scheduler
 * itself). The model is one queue: after each operation exactly those waiters have returned that it
 * says, with its results, and each call has counted what it counts.
 */
#include "fuzz.h"
#include "proc/futex_sim.h"

#include <ucontext.h>

#define WAITERS 24
#define ITEMS 3
#define FOREVER INT_MAX

/* Words of futex_sim.h's memory: 0 and 64 are the same of a shared object. */
static const unsigned words[] = {0, 64, 1, 128, 500, 501};
#define WORDS ARRAY_COUNT(words)

struct item {
    unsigned word, key;
    bool shared;
    uint32_t expected;
};
static struct sleeper {
    struct task *task;
    struct item item[ITEMS];
    unsigned count; /* of items */
    bool many;      /* futex_waitv */
    uint32_t bitset;
    int until; /* second of the run, or FOREVER */
    bool over; /* in the model */
    long wanted;
    bool returned;
    long result;
} waiters[WAITERS];
static unsigned waiter_count;

/* The queue of the model, in order of arrival. */
static struct entry {
    unsigned waiter, item, key;
    uint32_t bitset;
} queue[WAITERS * ITEMS];
static unsigned queue_length;

static struct fuzz_input *in;
static uint64_t began; /* of the run, ns */
static int second;

static unsigned key_of(unsigned word, bool shared)
{
    if (!shared)
        return 10000 + word;
    if (word >= 192) /* private memory all the same, but another futex (kernel/proc/futex.c) */
        return 20000 + word;
    return word < 128 ? word % 64 : 1000 + word;
}

static struct item some_item(bool shared)
{
    unsigned word = words[fuzz_u8(in) % WORDS];

    return (struct item){word, key_of(word, shared), shared, memory[word]};
}

/* ---- waiters ---- */

struct waitv {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};

static struct timespec64 when(int until)
{
    uint64_t at = began + (uint64_t)until * NS_PER_SEC;

    return (struct timespec64){(int64_t)(at / NS_PER_SEC), (int64_t)(at % NS_PER_SEC)};
}

static void waiter_main(void *arg)
{
    struct sleeper *w = arg;
    struct timespec64 until = when(w->until == FOREVER ? 0 : w->until);
    uint64_t time = w->until == FOREVER ? 0 : (uintptr_t)&until;
    struct waitv v[ITEMS] = {0};

    if (w->many) {
        for (unsigned i = 0; i < w->count; i++)
            v[i] = (struct waitv){w->item[i].expected, (uintptr_t)&memory[w->item[i].word],
                                  2 | (w->item[i].shared ? 0 : PRIVATE), 0};
        struct syscall_args a = {.arg = {(uintptr_t)v, w->count, 0, time, 1}};
        w->result = sys_futex_waitv(&a);
    } else {
        w->result = futex(&memory[w->item[0].word], WAIT_BITSET | (w->item[0].shared ? 0 : PRIVATE),
                          w->item[0].expected, time, NULL, w->bitset);
    }
    w->returned = true;
    finish();
}

static void over(unsigned i, long result)
{
    waiters[i].over = true;
    waiters[i].wanted = result;
}

/* Those that are over leave the queue. */
static void queue_clean(void)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < queue_length; i++)
        if (!waiters[queue[i].waiter].over)
            queue[kept++] = queue[i];
    queue_length = kept;
}

/* What the call says at once; 1: it waits. */
static long begin(const struct sleeper *w)
{
    if (!w->bitset)
        return -EINVAL;
    for (unsigned i = 0; i < w->count; i++)
        if (w->item[i].expected != memory[w->item[i].word])
            return -EAGAIN;
    return w->until <= second ? -ETIMEDOUT : 1;
}

static void wait_some(void)
{
    static const uint32_t sets[] = {FUTEX_ANY_BIT, FUTEX_ANY_BIT, 1, 2, 3, 0};
    uint8_t how = fuzz_u8(in), more = fuzz_u8(in);
    unsigned i = waiter_count;
    struct sleeper *w = &waiters[i];

    if (waiter_count == WAITERS)
        return;
    waiter_count++;
    *w = (struct sleeper){.many = how & 1, .count = 1, .until = FOREVER, .bitset = FUTEX_ANY_BIT};
    if (w->many)
        w->count = 1 + how / 2 % ITEMS;
    else
        w->bitset = sets[how / 2 % ARRAY_COUNT(sets)];
    for (unsigned k = 0; k < w->count; k++) {
        w->item[k] = some_item(more >> k & 1);
        w->item[k].expected ^= (more & 0xf0) == 0xf0;
    }
    if (how & 32)
        w->until = second + how / 64;
    long result = begin(w);
    if (result != 1)
        over(i, result);
    for (unsigned k = 0; k < w->count && result == 1; k++)
        queue[queue_length++] = (struct entry){i, k, w->item[k].key, w->bitset};
    FUZZ_TRACE("waiter %u: %s of word %u%s, bits %#x, until %d: %ld\n", i,
               w->many ? "several" : "one", w->item[0].word, w->item[0].shared ? " shared" : "",
               w->bitset, w->until, result);
    w->task = spawn(waiter_main, (uintptr_t)w);
}

/* ---- wakers ---- */

/* Up to `count` of the queue return. */
static int model_wake(unsigned key, int count, uint32_t bitset)
{
    int woken = 0;

    for (unsigned i = 0; i < queue_length; i++) {
        struct entry *e = &queue[i];

        if (e->key != key || !(e->bitset & bitset))
            continue;
        e->bitset = 0; /* taken */
        over(e->waiter,
             MAX(waiters[e->waiter].over ? waiters[e->waiter].wanted : 0, (long)e->item));
        if (++woken >= count)
            break;
    }
    return woken;
}

static int some_count(void)
{
    static const int counts[] = {1, 1, 2, 3, 0, INT_MAX, -1, 1};

    return counts[fuzz_u8(in) % ARRAY_COUNT(counts)];
}

static void wake(void)
{
    static const uint32_t sets[] = {FUTEX_ANY_BIT, 1, 2, 4, 0};
    bool shared = fuzz_u8(in) & 1;
    struct item item = some_item(shared);
    int count = some_count();
    uint32_t set = sets[fuzz_u8(in) % ARRAY_COUNT(sets)];
    long want = set ? model_wake(item.key, count, set) : -EINVAL;
    long got = futex(&memory[item.word], WAKE_BITSET | (shared ? 0 : PRIVATE), (uint32_t)count, 0,
                     NULL, set);

    FUZZ_TRACE("wake %d of word %u%s, bits %#x: %ld for %ld\n", count, item.word,
               shared ? " shared" : "", set, got, want);
    FUZZ_CHECK(got == want);
}

static long model_requeue(unsigned from, unsigned to, int wakes, int moves)
{
    struct entry moved[ARRAY_COUNT(queue)];
    int woken = 0, stay = 0;
    unsigned count = 0, kept = 0;

    if (wakes < 0 || moves < 0)
        return -EINVAL;
    for (unsigned i = 0; i < queue_length; i++) {
        struct entry e = queue[i];

        if (e.key == from && woken < wakes) {
            woken += model_wake(from, 1, FUTEX_ANY_BIT);
        } else if (e.key == from && from == to && stay < moves) {
            stay++;
        } else if (e.key == from && from != to && (int)count < moves) {
            e.key = to;
            moved[count++] = e;
            continue;
        }
        queue[kept++] = queue[i];
    }
    memcpy(&queue[kept], moved, count * sizeof(moved[0]));
    return woken + stay + (int)count;
}

static void requeue(void)
{
    uint8_t how = fuzz_u8(in);
    bool shared = how & 1, compare = how & 2, wrong = compare && (how & 0xf0) == 0xf0;
    struct item from = some_item(shared), to = some_item(shared);
    int wakes = some_count(), moves = some_count();
    long want = wakes < 0 || moves < 0 ? -EINVAL
                : wrong                ? -EAGAIN
                                       : model_requeue(from.key, to.key, wakes, moves);
    long got = futex(&memory[from.word], (compare ? CMP_REQUEUE : REQUEUE) | (shared ? 0 : PRIVATE),
                     (uint32_t)wakes, (uint32_t)moves, &memory[to.word], from.expected + wrong);

    FUZZ_TRACE("requeue %u to %u%s, wake %d, move %d: %ld for %ld\n", from.word, to.word,
               shared ? " shared" : "", wakes, moves, got, want);
    FUZZ_CHECK(got == want);
}

static void wake_op(void)
{
    uint8_t how = fuzz_u8(in), args = fuzz_u8(in);
    bool shared = how & 1;
    struct item one = some_item(shared), two = some_item(shared);
    int count = some_count(), count2 = some_count();
    unsigned op = how / 2 % 5, cmp = how / 16 % 6;
    int arg = args % 16 - 4, cmp_arg = args / 16 - 4;
    int old = (int)two.expected;
    const bool holds[] = {old == cmp_arg, old != cmp_arg, old<cmp_arg, old <= cmp_arg, old> cmp_arg,
                          old >= cmp_arg};
    const int after[] = {arg, old + arg, old | arg, old & ~arg, old ^ arg};
    long want = model_wake(one.key, count, FUTEX_ANY_BIT);
    uint32_t code =
        op << 28 | cmp << 24 | ((uint32_t)arg & 0xfff) << 12 | ((uint32_t)cmp_arg & 0xfff);

    if (holds[cmp])
        want += model_wake(two.key, count2, FUTEX_ANY_BIT);
    long got = futex(&memory[one.word], WAKE_OP | (shared ? 0 : PRIVATE), (uint32_t)count,
                     (uint32_t)count2, &memory[two.word], code);
    FUZZ_TRACE("wake op %#x of %u and %u: %ld for %ld\n", code, one.word, two.word, got, want);
    FUZZ_CHECK(got == want);
    FUZZ_CHECK((int)memory[two.word] == after[op]);
}

static void interrupt(void)
{
    unsigned i = fuzz_u8(in) % WAITERS;

    if (i >= waiter_count || waiters[i].over)
        return;
    FUZZ_TRACE("signal for waiter %u\n", i);
    over(i, waiters[i].many || waiters[i].until == FOREVER ? -ERESTARTSYS : -ERESTART_RESTARTBLOCK);
    thread_interrupt(&waiters[i].task->thread);
}

static void next_second(void)
{
    second++;
    FUZZ_TRACE("second %d\n", second);
    for (unsigned i = 0; i < waiter_count; i++)
        if (!waiters[i].over && waiters[i].until <= second)
            over(i, -ETIMEDOUT);
    FUZZ_CHECK(sleep_until(began + (uint64_t)second * NS_PER_SEC, false) == 0);
}

/* ---- */

static void one_step(void)
{
    switch (fuzz_u8(in) % 16) {
    case 0:
    case 1:
        wake();
        break;
    case 2:
    case 3:
        requeue();
        break;
    case 4:
    case 5:
        wake_op();
        break;
    case 6:
        interrupt();
        break;
    case 7:
        next_second();
        break;
    case 8:
        memory[words[fuzz_u8(in) % WORDS]] = fuzz_u8(in) % 4;
        break;
    default:
        wait_some();
        break;
    }
    queue_clean();
    settle();
    for (unsigned i = 0; i < waiter_count; i++) {
        const struct sleeper *w = &waiters[i];

        if (w->returned != w->over || (w->over && w->result != w->wanted))
            FUZZ_TRACE("waiter %u: returned %d %ld, model %d %ld\n", i, w->returned, w->result,
                       w->over, w->wanted);
        FUZZ_CHECK(w->returned == w->over);
        FUZZ_CHECK(!w->over || w->result == w->wanted);
    }
}

static void run_input(void)
{
    unsigned contexts = sim_contexts(), threads = thread_count();

    ASAN_UNPOISON_MEMORY_REGION(task, sizeof task); /* of the threads of the run before */
    memset(task, 0, sizeof task);
    prepare();
    memset(memory, 0, sizeof memory);
    memset(waiters, 0, sizeof waiters);
    waiter_count = queue_length = 0;
    task_count = 1;
    second = 0;
    began = sim_now();
    sim_seed(1 + fuzz_u16(in));
    for (unsigned step = 0; fuzz_more(in) && step < 60; step++)
        one_step();
    for (unsigned i = 0; i < waiter_count; i++)
        if (!waiters[i].over)
            thread_interrupt(&waiters[i].task->thread);
    await_all();
    for (int i = 0; i < 100 && thread_count() != threads; i++) /* the reaper takes its time */
        settle();
    FUZZ_CHECK(thread_count() == threads && sim_contexts() == contexts);
}

/* The simulated machine stays; its main thread and the fuzzer take turns. */
static ucontext_t fuzzer, machine;

static void machine_main(void *arg)
{
    (void)arg;
    for (;;) {
        run_input();
        swapcontext(&machine, &fuzzer);
    }
}

static void machine_boot(void)
{
    sim_boot(2, 1, machine_main, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char stack[256 << 10];
    struct fuzz_input input = {data, size, 0};

    in = &input;
    if (!machine.uc_stack.ss_sp) {
        getcontext(&machine);
        machine.uc_stack.ss_sp = stack;
        machine.uc_stack.ss_size = sizeof stack;
        makecontext(&machine, machine_boot, 0);
    }
    swapcontext(&fuzzer, &machine);
    return 0;
}
