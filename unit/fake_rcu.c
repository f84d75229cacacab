/* SPDX-License-Identifier: BSD-3-Clause */
/* fake_rcu.c - core/rcu.h for tests with one thread: callbacks wait for rcu_synchronize, which is
 * not allowed in a section. */
#include "core/assert.h"
#include "core/rcu.h"

static struct rcu_head *waiting;
static unsigned sections;
void (*fake_rcu_hook)(void); /* what happens while somebody waits for a grace period */

unsigned rcu_read_lock(void)
{
    return sections++;
}

void rcu_read_unlock(unsigned token)
{
    CHECK(token == --sections);
}

void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    head->fn = fn;
    head->next = waiting;
    waiting = head;
}

void rcu_synchronize(void)
{
    CHECK(sections == 0);
    if (fake_rcu_hook)
        fake_rcu_hook();
    while (waiting) {
        struct rcu_head *head = waiting;
        waiting = head->next;
        head->fn(head);
    }
}
