/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chaos.h - things that go wrong on purpose, at random, while a program runs: the decisions. What
 * goes wrong stands where it does (docs/chaos.md); allocations have their own (mm/failpoint.h).
 *
 * Only builds with SELKIE_FAILPOINTS ask. Any context.
 */
#ifndef SELKIE_CORE_CHAOS_H
#define SELKIE_CORE_CHAOS_H

#include "lib/types.h"

#define SITE(id, name) id,
enum chaos_site {
#include "core/chaos.def"
    CHAOS_COUNT
};
#undef SITE

/* Read the boot option: [seed:N,]SITE:MEAN[:US][,...]. At SITE one in MEAN goes wrong; what is late
 * or waits does so for up to US microseconds (1000 if not said). -EINVAL. Nothing happens yet. */
int must_check chaos_configure(const char *text);
void chaos_start(void);
void chaos_stop(void);
/* Has it a part in this? For what must be prepared. */
bool chaos_wanted(enum chaos_site site);
/* How often it went wrong; its name in the boot option. */
uint64_t chaos_hits(enum chaos_site site);
const char *chaos_name(enum chaos_site site);

extern bool chaos_on; /* relaxed atomic */
bool chaos_draw(enum chaos_site site, uint64_t *delay_ns);

/* Does it go wrong now? */
static inline bool chaos_hit(enum chaos_site site)
{
    return SELKIE_FAILPOINTS && __builtin_expect(__atomic_load_n(&chaos_on, __ATOMIC_RELAXED), 0) &&
           chaos_draw(site, NULL);
}
/* Is it late now, and how much? 0: it is not. */
static inline uint64_t chaos_delay(enum chaos_site site)
{
    uint64_t ns = 0;
    if (SELKIE_FAILPOINTS && __builtin_expect(__atomic_load_n(&chaos_on, __ATOMIC_RELAXED), 0))
        (void)chaos_draw(site, &ns);
    return ns;
}

#endif
