/* SPDX-License-Identifier: BSD-3-Clause */
/* mib.c - the counters of mib.def: an array for each CPU, written by that CPU's threads only. */
#include "net/mib.h"

#include "core/current.h"
#include "lib/counter.h"
#include "lib/errno.h"
#include "mm/kmalloc.h"

static uint64_t boot_counters[MIB_COUNT];
static uint64_t *counters = boot_counters; /* set once, before other threads count */
static size_t stride;                      /* between CPUs; 0: all use the first */

static const struct {
    const char *group, *name;
} texts[] = {
#define MIB(group, name) {#group, #name},
#include "net/mib.def"
#undef MIB
};
STATIC_ASSERT(ARRAY_COUNT(texts) == MIB_COUNT);

int mib_init(void)
{
    size_t each = align_up(MIB_COUNT, 8); /* whole cache lines */
    uint64_t *array = kmalloc_array(hal_cpu_count(), each * sizeof(uint64_t), ALLOC_ZERO);
    if (!array)
        return -ENOMEM;
    counters = array;
    stride = each;
    return 0;
}

void mib_add(enum mib_counter counter, uint64_t n)
{
    preempt_disable();
    counter_add(&counters[hal_cpu_id() * stride + counter], n);
    preempt_enable();
}

uint64_t mib_read(enum mib_counter counter)
{
    uint64_t sum = counter_read(&counters[counter]);
    for (unsigned id = 1; stride && id < hal_cpu_count(); id++)
        sum += counter_read(&counters[id * stride + counter]);
    return sum;
}

const char *mib_group(enum mib_counter counter)
{
    return texts[counter].group;
}

const char *mib_name(enum mib_counter counter)
{
    return texts[counter].name;
}
