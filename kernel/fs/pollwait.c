/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pollwait.c - one thread on many wait queues.
 *
 * Each queue gets a callback waiter. A callback sets `triggered` and wakes the thread. The sleep
 * follows the protocol of sched/thread.h: state first, then the look at `triggered`, so a callback
 * between the polling round and the sleep is not lost.
 */
#include "fs/pollwait.h"

#include "mm/kmalloc.h"
#include "sched/thread.h"

#define CHUNK_ENTRIES 32
struct poll_chunk {
    struct poll_chunk *next;
    unsigned used;
    struct poll_entry entries[CHUNK_ENTRIES];
};

static void on_wake(struct waiter *w, uint32_t events)
{
    struct poll_entry *entry = container_of(w, struct poll_entry, waiter);
    if (events && !(events & entry->events))
        return;
    /* Seq_cst: pairs with thread_prepare_sleep's store of the state. Either the sleeper sees
     * this, or we see it sleeping and wake it. */
    __atomic_store_n(&entry->owner->triggered, 1, __ATOMIC_SEQ_CST);
    thread_wake(entry->owner->thread);
}

static struct poll_entry *new_entry(struct poll_wait *pw)
{
    if (pw->used < POLL_INLINE)
        return &pw->entries[pw->used++];
    struct poll_chunk *chunk = pw->chunks;
    if (!chunk || chunk->used == CHUNK_ENTRIES) {
        chunk = kzalloc(sizeof(*chunk));
        if (!chunk)
            return NULL;
        chunk->next = pw->chunks;
        pw->chunks = chunk;
    }
    return &chunk->entries[chunk->used++];
}

static void add_queue(struct poll_table *table, struct waitq *queue)
{
    struct poll_wait *pw = container_of(table, struct poll_wait, table);
    struct poll_entry *entry = new_entry(pw);
    if (!entry) {
        pw->err = -ENOMEM;
        return;
    }
    entry->owner = pw;
    entry->events = pw->events;
    waitq_add(queue, &entry->waiter, on_wake);
}

void poll_wait_init(struct poll_wait *pw)
{
    pw->table.add = add_queue;
    pw->thread = thread_current();
    pw->triggered = 0;
    pw->events = 0;
    pw->used = 0;
    pw->err = 0;
    pw->chunks = NULL;
}

struct poll_table *poll_wait_table(struct poll_wait *pw, uint32_t events)
{
    pw->events = events | POLLERR | POLLHUP;
    return &pw->table;
}

int poll_wait_sleep(struct poll_wait *pw, uint64_t deadline_ns)
{
    int err = 0;
    if (pw->err)
        return pw->err;
    thread_prepare_sleep(true);
    if (!__atomic_load_n(&pw->triggered, __ATOMIC_SEQ_CST))
        err = thread_sleep(deadline_ns);
    thread_finish_sleep();
    __atomic_store_n(&pw->triggered, 0, __ATOMIC_SEQ_CST);
    return err;
}

void poll_wait_done(struct poll_wait *pw)
{
    for (unsigned i = 0; i < pw->used; i++)
        waitq_remove(&pw->entries[i].waiter);
    while (pw->chunks) {
        struct poll_chunk *chunk = pw->chunks;
        pw->chunks = chunk->next;
        for (unsigned i = 0; i < chunk->used; i++)
            waitq_remove(&chunk->entries[i].waiter);
        kfree(chunk);
    }
    pw->used = 0;
}

int fs_wait(struct waitq *queue, bool (*cond)(void *arg), void *arg, uint64_t deadline_ns)
{
    struct waiter w;
    int err = 0;
    waitq_prepare(queue, &w, true);
    while (err == 0 && !cond(arg))
        err = waitq_sleep(&w, deadline_ns);
    waitq_finish(&w);
    return err;
}
