/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * futex_exit.c - what a task gives up when it ends or executes another program: the mutexes on its
 * robust list (Linux, Documentation/locking/robust-futex-ABI.rst), and PI futexes that others wait
 * for. The list is user memory and may be anything: it is read entry by entry, at most
 * ROBUST_LIST_LIMIT of them, and a bad address ends it.
 */
#include "lib/errno.h"
#include "mm/usercopy.h"
#include "proc/futex.h"

#define ROBUST_LIST_LIMIT 2048 /* as Linux */

struct robust_head {
    uint64_t next;    /* first entry, or the head itself; bit 0: a PI futex */
    int64_t offset;   /* from an entry to its futex word */
    uint64_t pending; /* entry that was being added or removed */
};

/* The owner of this word dies. False: a bad address. */
static bool word_death(uaddr_t addr, uint32_t tid, bool pi, bool pending)
{
    uint32_t value, seen;
    if (!is_aligned(addr.raw, sizeof(uint32_t)) || user_load_u32(addr, &value))
        return false;
    /* It unlocked, but died before it could wake the next: do that for it. */
    if (pending && !pi && !(value & FUTEX_TID_MASK)) {
        (void)futex_wake(addr, 1, FUTEX_ANY_BIT);
        return true;
    }
    for (;;) {
        if ((value & FUTEX_TID_MASK) != tid)
            return true;
        uint32_t dead = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        if (user_cmpxchg_u32(addr, value, dead, &seen))
            return false;
        if (seen == value)
            break;
        value = seen;
    }
    if (!pi && (value & FUTEX_WAITERS)) /* a PI futex has a line, see futex_pi_orphan */
        (void)futex_wake(addr, 1, FUTEX_ANY_BIT);
    return true;
}

static uaddr_t entry_word(const struct robust_head *head, uint64_t entry)
{
    return uaddr((entry & ~1ull) + (uint64_t)head->offset);
}

static void robust_list_death(struct task *task)
{
    uaddr_t head_addr = task->robust_list;
    struct robust_head head;
    uint32_t tid = (uint32_t)task->tid;
    __atomic_store_n(&task->robust_list.raw, 0, __ATOMIC_RELAXED);
    if (head_addr.raw == 0 || copyin(&head, head_addr, sizeof head))
        return;
    uint64_t entry = head.next, pending = head.pending & ~1ull;
    for (unsigned i = 0; i < ROBUST_LIST_LIMIT && (entry & ~1ull) != head_addr.raw; i++) {
        /* Read the link first: after the word is free its memory belongs to others. */
        uint64_t next, here = entry & ~1ull;
        bool broken = copyin(&next, uaddr(here), sizeof next) != 0;
        if (here != pending && !word_death(entry_word(&head, entry), tid, entry & 1, false))
            return;
        if (broken)
            break;
        entry = next;
    }
    if (pending)
        (void)word_death(entry_word(&head, pending), tid, head.pending & 1, true);
}

static void give_up(struct task *task, enum futex_task_state after)
{
    mutex_lock(&task->futex_exit_lock);
    /* Sequentially consistent: before the look at pi_lines, see futex_pi.c. */
    __atomic_store_n(&task->futex_state, FUTEX_TASK_EXITING, __ATOMIC_SEQ_CST);
    robust_list_death(task);
    futex_pi_orphan(task);
    __atomic_store_n(&task->futex_state, after, __ATOMIC_SEQ_CST);
    mutex_unlock(&task->futex_exit_lock);
}

void futex_exit(struct task *task)
{
    give_up(task, FUTEX_TASK_DEAD);
}

void futex_exec(struct task *task)
{
    give_up(task, FUTEX_TASK_OK);
}
