/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread.c - making, starting and ending threads; their address space and their accounts.
 *
 * References: one belongs to the running thread itself and is dropped by the reaper after the
 * thread is off its CPU (reap.c). Others take theirs with thread_get.
 */
#include "isa.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "mm/space.h"
#include "sched/internal.h"

static void sleep_expired(struct timer *timer)
{
    sched_wake(container_of(timer, struct thread, sleep_timer), THREAD_TIMED_OUT);
}

static void thread_entry(void *arg)
{
    struct thread *self = arg;
    sched_finish_switch();
    hal_irq_restore(HAL_IRQ_ON);
    self->fn(self->arg);
    thread_exit();
}

static void set_name(struct thread *thread, const char *name)
{
    size_t len = MIN(strlen(name), sizeof(thread->name) - 1);
    memcpy(thread->name, name, len);
    thread->name[len] = 0;
}

void thread_setup(struct thread *thread, const char *name)
{
    ref_init(&thread->refs);
    list_init(&thread->all_link);
    list_init(&thread->run_link);
    list_init(&thread->pi_held);
    timer_setup(&thread->sleep_timer, sleep_expired);
    thread->state = THREAD_NEW;
    thread->vruntime_relative = true; /* 0: starts where the others are */
    set_name(thread, name);
}

static void inherit_class(struct thread *thread, const struct thread *parent)
{
    unsigned policy = __atomic_load_n(&parent->policy, __ATOMIC_RELAXED);
    int nice = __atomic_load_n(&parent->nice, __ATOMIC_RELAXED);
    bool reset = __atomic_load_n(&parent->reset_on_fork, __ATOMIC_RELAXED);
    bool rt = policy == SCHED_FIFO || policy == SCHED_RR;
    /* sched(7): no real-time policy and no negative nice value; the flag itself is not inherited */
    thread->policy = (uint8_t)(reset && rt ? SCHED_OTHER : policy);
    thread->nice = (int8_t)(reset ? (rt ? 0 : MAX(nice, 0)) : nice);
    thread->rt_priority = reset ? 0 : __atomic_load_n(&parent->rt_priority, __ATOMIC_RELAXED);
}

/* Programs' threads inherit from their creator (sched(7)); the kernel's own do not. */
static int inherit(struct thread *thread, struct thread *parent)
{
    inherit_class(thread, parent);
    if (!__atomic_load_n(&parent->affinity, __ATOMIC_ACQUIRE))
        return 0;
    thread->affinity = affinity_alloc(thread);
    if (!thread->affinity)
        return -ENOMEM;
    sched_get_affinity(parent, thread->affinity);
    return 0;
}

/* Vector registers need 64-byte alignment, kmalloc gives 16. */
#define FP_BLOCK_SIZE (isa_fp_size() + 63)

void thread_free_fp(struct thread *thread)
{
    owner_free(OWNER_THREAD, thread->fp_block, FP_BLOCK_SIZE);
    thread->fp = thread->fp_block = NULL;
}

static int alloc_fp(struct thread *thread)
{
    thread->fp_block = owner_alloc(OWNER_THREAD, FP_BLOCK_SIZE);
    if (!thread->fp_block)
        return -ENOMEM;
    thread->fp = (void *)(uintptr_t)align_up((uintptr_t)thread->fp_block, 64);
    isa_fp_init(thread->fp);
    return 0;
}

static void free_memory(struct thread *thread)
{
    if (thread->stack)
        kstack_free(thread->stack);
    thread_free_fp(thread);
    affinity_free(thread, thread->affinity);
    thread->stack = NULL;
    thread->affinity = NULL;
}

int thread_init(struct thread *thread, const struct thread_attr *attr, void (*fn)(void *),
                void *arg)
{
    thread_reclaim(); /* threads that have just ended may have left a warm stack */
    thread_setup(thread, attr->name ? attr->name : "");
    thread->fn = fn;
    thread->arg = arg;
    thread->exit_hook = attr->exit_hook;
    thread->stack = kstack_alloc();
    if (!thread->stack)
        goto fail;
    if (attr->user &&
        (alloc_fp(thread) || (thread_current()->fp && inherit(thread, thread_current()))))
        goto fail;
    if (attr->space)
        space_get(attr->space);
    thread->space = attr->space;
    hal_ctx_init(&thread->ctx, thread->stack, KSTACK_SIZE, thread_entry, thread, thread->fp);
    return 0;
fail:
    free_memory(thread);
    return -ENOMEM;
}

void thread_fini(struct thread *thread)
{
    ASSERT(thread->state == THREAD_NEW);
    hal_ctx_destroy(&thread->ctx);
    if (thread->space)
        space_put(thread->space);
    thread->space = NULL;
    free_memory(thread);
}

void thread_start(struct thread *thread)
{
    ASSERT(thread->state == THREAD_NEW && thread->stack);
    thread_list_add(thread);
    unsigned long irq = hal_irq_save();
    struct cpu *cpu = this_cpu();
    __atomic_store_n(&thread->head.cpu, cpu, __ATOMIC_RELEASE);
    /* Exchange: see tell() in params.c. */
    (void)__atomic_exchange_n(&thread->state, THREAD_READY, __ATOMIC_SEQ_CST);
    uint64_t now = sched_clock(cpu->rq);
    if (balance_keeps(cpu->rq, thread, now))
        sched_enqueue(cpu->rq, thread, RQ_NEW, now);
    else
        sched_place(cpu->rq, thread, RQ_NEW, now);
    hal_irq_restore(irq);
    sched_check();
}

struct thread *thread_spawn(const char *name, void (*fn)(void *), void *arg)
{
    const struct thread_attr attr = {.name = name};
    struct thread *thread = owner_alloc(OWNER_THREAD, sizeof(*thread));
    if (!thread)
        return NULL;
    if (thread_init(thread, &attr, fn, arg)) {
        owner_free(OWNER_THREAD, thread, sizeof(*thread));
        return NULL;
    }
    thread_start(thread);
    return thread;
}

void thread_set_space(struct space *space)
{
    struct thread *self = thread_current();
    struct space *old = self->space;
    if (space)
        space_get(space);
    unsigned long irq = hal_irq_save();
    self->space = space;
    struct hal_space *hal = space ? &space->hal : hal_space_kernel();
    this_cpu()->rq->active = hal;
    hal_space_activate(hal);
    hal_irq_restore(irq);
    if (old)
        space_put(old); /* nothing of ours uses it any more; may sleep */
}

struct space *space_current(void)
{
    return thread_current()->space;
}

void thread_exit(void)
{
    struct thread *self = thread_current();
    ASSERT(self->head.preempt_count == 0 && self->head.held_count == 0);
    ASSERT(!timer_armed(&self->sleep_timer));
    if (self->space)
        thread_set_space(NULL);
    (void)hal_irq_save();
    sched_switch(SWITCH_EXIT);
    panic("a thread ran after its end");
}
