/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leak.c - see leak.h: where the search for lost objects begins, and when.
 *
 * The kernel does not take itself down at its end, so what is allocated then says nothing. Two
 * things do: the counts of leftover.h, which must be what they were, and that every object can be
 * come to from the kernel's variables and the stacks of its threads. (Objects lead to objects; what
 * program pages, queues of packets' data and device rings have in them are no pointers of ours.)
 *
 * A thread that does not run has all its registers on its stack, below the frame that gave up the
 * CPU; what lies further below is stale. One that runs on another CPU may have the only pointer to
 * an object in a register: so an object counts as lost when it is so each time that one looks.
 */
#include "proc/leak.h"

#if SELKIE_MEMORY_DEBUG

#include "core/log.h"
#include "mm/account.h"
#include "mm/kstack.h"
#include "mm/memdebug.h"
#include "net/inetlist.h"
#include "net/tcp.h"
#include "proc/leftover.h"
#include "sched/thread.h"
#include "sched/wait.h"

#define ROOTS 512
#define LOOKS 20
#define LOOK_NS (5 * NS_PER_MS)
#define SOCKETS_NS (5 * NS_PER_SEC)
#define SWITCH_BYTES 512 /* the registers that a switch saves, and its caller's variables */

static struct memdebug_root roots[ROOTS];
static unsigned root_count;
static uint64_t socket_objects; /* before the program */

struct planted {
    struct planted *other;
    char more[92];
};
static struct planted *volatile kept;

void leak_begin(bool plant)
{
    memdebug_mark();
    socket_objects = owner_get(OWNER_SOCKET).objects;
    if (!plant)
        return;
    struct planted *a = kzalloc(sizeof *a), *b = kzalloc(sizeof *b);
    kept = kzalloc(sizeof *kept);
    if (!a || !b || !kept)
        return;
    a->other = b; /* each other's, and nobody else's */
    b->other = a;
    kept->other = kzalloc(sizeof *kept); /* these are not lost */
}

static bool mapped(uintptr_t at)
{
    return hal_space_query(hal_space_kernel(), at, NULL, NULL);
}

static void add_root(uintptr_t lo, uintptr_t hi)
{
    if (root_count < ROOTS)
        roots[root_count++] = (struct memdebug_root){lo, hi};
}

/* Under the lock of the list: only noted. */
static void add_thread(struct thread *thread, void *arg)
{
    (void)arg;
    if (!thread->stack)
        return;
    uintptr_t lo = (uintptr_t)thread->stack, hi = lo + KSTACK_SIZE, pc, fp = 0;
    /* Relaxed: a thread that is switched meanwhile makes this look one of several. */
    if (!__atomic_load_n(&thread->on_cpu, __ATOMIC_RELAXED) && thread != thread_current())
        hal_ctx_where(&thread->ctx, &pc, &fp);
    if (fp > lo + SWITCH_BYTES && fp < hi)
        lo = fp - SWITCH_BYTES;
    add_root(lo, hi);
}

static uint64_t look(void)
{
    root_count = 0;
    hal_kernel_data(add_root);
    unsigned first = root_count;
    thread_for_each(add_thread, NULL);
    for (unsigned i = first; i < root_count; i++) { /* stacks grow: how far down? */
        uintptr_t at = align_down(roots[i].hi - 1, HAL_PAGE_SIZE);
        while (at > roots[i].lo && mapped(at - HAL_PAGE_SIZE))
            at -= HAL_PAGE_SIZE;
        roots[i].lo = MAX(roots[i].lo, at);
    }
    return memdebug_lost(roots, root_count);
}

struct connections {
    uint64_t waiting; /* in TIME-WAIT: an object each */
    bool others;
};

static bool count_connection(const struct inet_view *view, void *arg)
{
    struct connections *c = arg;
    bool waiting = view->state == TCP_TIME_WAIT;
    c->waiting += waiting;
    c->others |= !waiting;
    return true;
}

/* Sockets are forgotten in lists more easily than lost. TCP keeps closed ones for a while: some as
 * they were, then nothing can be said, all others in TIME-WAIT. */
static bool sockets_left(void)
{
    uint64_t more, until = clock_mono_ns() + SOCKETS_NS;
    do {
        struct connections tcp = {0, false};
        inet_list(IPPROTO_TCP, count_connection, &tcp);
        more = owner_get(OWNER_SOCKET).objects - socket_objects - tcp.waiting;
        if ((int64_t)more <= 0 || tcp.others)
            return false;
        (void)!sleep_until(clock_mono_ns() + LOOK_NS, false);
    } while (clock_mono_ns() < until);
    log_error("left over: sockets and what is theirs, %llu more than before the program",
              (unsigned long long)more);
    return true;
}

bool leak_report(bool all)
{
    bool left = leftover_report() != 0, sockets = sockets_left();
    uint64_t lost = look();
    for (unsigned i = 1; lost && i < LOOKS; i++) {
        (void)!sleep_until(clock_mono_ns() + LOOK_NS, false);
        lost = look();
    }
    if (root_count == ROOTS)
        log_error("memory debug: more than %u threads, lost objects were not looked for", ROOTS);
    else if (lost)
        memdebug_report_lost();
    if (all || left || sockets)
        (void)memdebug_report();
    return left || sockets || lost || root_count == ROOTS;
}

#endif
