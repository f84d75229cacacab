/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * params.c - policy, nice value and affinity of a thread, set by anybody.
 *
 * The setter writes what it wants into atomic fields and notifies the thread's CPU, which copies
 * them (rq_refresh) or moves the thread. Reading them back gives what was asked for last.
 */
#include "core/pi.h"
#include "lib/errno.h"
#include "mm/kmalloc.h"
#include "sched/internal.h"

static struct spinlock affinity_lock = SPINLOCK_INIT(RANK_SCHED); /* who sets or copies a mask */

static size_t mask_words(void)
{
    return (hal_cpu_count() + 63) / 64;
}

/* The bits of word i that stand for CPUs of this machine: others are not kept (sched_setaffinity(2)
 * reads back only CPUs that exist). */
static uint64_t existing(size_t i)
{
    size_t count = hal_cpu_count() - i * 64;
    return count >= 64 ? UINT64_MAX : (1ull << count) - 1;
}

static void tell(struct thread *thread)
{
    pi_renew(thread);
    /* Read-modify-write, as the one in thread_start: whichever is first, either thread_start sees
     * what was set, or we see that the thread has a CPU to be told. */
    if (__atomic_fetch_add(&thread->state, 0, __ATOMIC_SEQ_CST) == THREAD_NEW)
        return;
    unsigned long irq = hal_irq_save();
    sched_notify(thread);
    sched_drain(this_cpu()->rq); /* in case it is ours */
    hal_irq_restore(irq);
    sched_check();
}

/* The caller's own affinity has changed. */
static void leave_forbidden_cpu(void)
{
    unsigned long irq = hal_irq_save();
    struct thread *self = thread_current();
    if (!thread_allowed(self, self->head.cpu->id) && self->head.preempt_count == 0)
        sched_switch(SWITCH_PREEMPT);
    hal_irq_restore(irq);
}

void sched_set_policy(struct thread *thread, enum sched_policy policy, int rt_priority)
{
    /* Relaxed: sched_notify orders them. The priority first: real time needs one. */
    __atomic_store_n(&thread->rt_priority, (uint8_t)rt_priority, __ATOMIC_RELAXED);
    __atomic_store_n(&thread->policy, (uint8_t)policy, __ATOMIC_RELAXED);
    tell(thread);
}

void sched_set_nice(struct thread *thread, int nice)
{
    int clamped = nice < NICE_MIN ? NICE_MIN : nice > NICE_MAX ? NICE_MAX : nice;
    __atomic_store_n(&thread->nice, (int8_t)clamped, __ATOMIC_RELAXED);
    tell(thread);
}

static bool names_online_cpu(const uint64_t *mask)
{
    for (unsigned id = 0; id < hal_cpu_count(); id++)
        if ((mask[id / 64] >> id % 64 & 1) &&
            __atomic_load_n(&cpu_get(id)->online, __ATOMIC_ACQUIRE))
            return true;
    return false;
}

/* Readers take no lock, so the mask goes through the union of old and new: it always names an
 * online CPU. */
static void change_mask(uint64_t *dst, const uint64_t *mask)
{
    for (size_t i = 0; i < mask_words(); i++)
        __atomic_fetch_or(&dst[i], mask[i] & existing(i), __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < mask_words(); i++)
        __atomic_fetch_and(&dst[i], mask[i], __ATOMIC_SEQ_CST);
}

uint64_t *affinity_alloc(struct thread *thread)
{
    if (mask_words() == 1)
        return &thread->affinity_word;
    return kmalloc_array(mask_words(), sizeof(uint64_t), ALLOC_DEFAULT);
}

void affinity_free(struct thread *thread, uint64_t *bitmap)
{
    if (bitmap != &thread->affinity_word)
        kfree(bitmap);
}

int sched_set_affinity(struct thread *thread, const uint64_t *mask)
{
    if (!names_online_cpu(mask))
        return -EINVAL;
    uint64_t *fresh = affinity_alloc(thread);
    if (!fresh)
        return -ENOMEM;
    unsigned long irq = spin_lock_irqsave(&affinity_lock);
    if (thread->affinity) {
        change_mask(thread->affinity, mask);
    } else {
        for (size_t i = 0; i < mask_words(); i++)
            fresh[i] = mask[i] & existing(i);
        __atomic_store_n(&thread->affinity, fresh, __ATOMIC_RELEASE);
        fresh = NULL;
    }
    spin_unlock_irqrestore(&affinity_lock, irq);
    if (fresh)
        affinity_free(thread, fresh);
    tell(thread);
    if (thread == thread_current())
        leave_forbidden_cpu();
    return 0;
}

/* Under the lock: of a mask that is being changed, one word as it was and another as it is going to
 * be may name no CPU at all. */
void sched_get_affinity(struct thread *thread, uint64_t *mask)
{
    unsigned long irq = spin_lock_irqsave(&affinity_lock);
    const uint64_t *from = thread->affinity;
    for (size_t i = 0; i < mask_words(); i++)
        mask[i] = from ? from[i] : existing(i);
    spin_unlock_irqrestore(&affinity_lock, irq);
}
