/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mib.h - counters of the network, by CPU: mib_count(MIB_Ip_InReceives). They are added up by who
 * reads /proc/net/snmp, netstat, snmp6. mib.def lists them.
 */
#ifndef SELKIE_NET_MIB_H
#define SELKIE_NET_MIB_H

#include "lib/types.h"

enum mib_counter {
#define MIB(group, name) MIB_##group##_##name,
#include "net/mib.def"
#undef MIB
    MIB_COUNT,
};

int must_check mib_init(void); /* boot; -ENOMEM. Before it all CPUs count in one place */
/* Thread context. */
void mib_add(enum mib_counter counter, uint64_t n);
static inline void mib_count(enum mib_counter counter)
{
    mib_add(counter, 1);
}
uint64_t mib_read(enum mib_counter counter);
const char *mib_group(enum mib_counter counter);
const char *mib_name(enum mib_counter counter);

#endif
