/* SPDX-License-Identifier: BSD-3-Clause */
/* hostname.c - the host's and the domain's name. */
#include "proc/hostname.h"

#include "core/spinlock.h"
#include "core/version.h"
#include "fs/context.h"
#include "lib/format.h"
#include "lib/string.h"

static struct spinlock lock = SPINLOCK_INIT(RANK_PROCESS);
static char names[2][HOSTNAME_SIZE] = {SELKIE_HOSTNAME, "(none)"};

void hostname_get(enum hostname_kind kind, char *out)
{
    unsigned long irq = spin_lock_irqsave(&lock);
    memcpy(out, names[kind], HOSTNAME_SIZE);
    spin_unlock_irqrestore(&lock, irq);
}

void hostname_set(enum hostname_kind kind, const char *name)
{
    unsigned long irq = spin_lock_irqsave(&lock);
    strlcpy(names[kind], name, HOSTNAME_SIZE);
    spin_unlock_irqrestore(&lock, irq);
}

void proc_hostname(struct strbuf *sb)
{
    char name[HOSTNAME_SIZE];
    hostname_get(HOSTNAME_NODE, name);
    strbuf_printf(sb, "%s", name);
}
