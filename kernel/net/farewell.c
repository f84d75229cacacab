/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farewell.c - between the end of the program and that of the machine. What the program has sent on
 * connections that it closed would still be delivered by a kernel that goes on; so this one goes
 * on until it is acknowledged, and until datagrams that wait for their neighbour's address have
 * gone. Not for peers that say nothing any more, nor for ever.
 */
#include "net/mib.h"
#include "net/neigh.h"
#include "net/socket.h"
#include "net/tcp_sock.h"
#include "sched/wait.h"

#define QUIET_NS (3 * NS_PER_SEC)
#define LONGEST_NS (30 * NS_PER_SEC)
#define LOOK_NS (2 * NS_PER_MS)

void net_farewell(void)
{
    uint64_t begin = clock_mono_ns(), heard_ns = begin, heard = mib_read(MIB_Tcp_InSegs);
    while (tcp_sock_speaking() > 0 || neigh_waiting() > 0) {
        uint64_t now = clock_mono_ns(), segments = mib_read(MIB_Tcp_InSegs);
        if (segments != heard)
            heard_ns = now;
        heard = segments;
        if (now - heard_ns >= QUIET_NS || now - begin >= LONGEST_NS)
            return;
        (void)!sleep_until(now + LOOK_NS, false);
    }
}
