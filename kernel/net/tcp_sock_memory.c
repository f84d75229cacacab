/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_sock_memory.c - how much memory all connections together may have (tcp(7), tcp_mem).
 *
 * What is counted is the memory of packets (account "net"): in the queues of connections mostly,
 * but also on their way and in the rings of devices, which a peer can fill as well. Shares of all
 * memory, as on Linux, where a tenth is the most: more here, because there is one program, and what
 * it does may be nothing but connections. The machine's own pressure (mm/reclaim.h) counts, too.
 *
 * The engine reads a level (tcp_stack.memory) that is looked at again every SAMPLE_NS at most, when
 * it asks for the time: one load for each segment. What comes in between is bounded by the speed of
 * the devices, and by the page allocator in the end.
 */
#include "mm/account.h"
#include "mm/page.h"
#include "mm/reclaim.h"
#include "net/mib.h"
#include "net/tcp_sock.h"

#define SAMPLE_NS (5 * NS_PER_MS)
#define LEAST (4u << 20) /* of pressure, bytes: rings alone have one or two MiB */

static uint64_t sampled_ns; /* atomic, relaxed: whoever comes first samples */

uint64_t tcp_sock_memory_limit(enum tcp_memory level)
{
    uint64_t all = page_total_count() * PAGE_SIZE;
    uint64_t pressure = MAX(all / 8, (uint64_t)LEAST);
    return level == TCP_MEMORY_PLENTY     ? pressure / 4 * 3
           : level == TCP_MEMORY_PRESSURE ? pressure
           : level == TCP_MEMORY_OUT      ? pressure * 2
                                          : pressure * 3;
}

uint64_t tcp_sock_memory_used(void)
{
    return owner_get(OWNER_PACKET).bytes;
}

static enum tcp_memory level_now(enum tcp_memory before)
{
    uint64_t used = tcp_sock_memory_used();
    enum memory_level machine = memory_level();
    if (used >= tcp_sock_memory_limit(TCP_MEMORY_NONE) || machine == MEMORY_CRITICAL)
        return TCP_MEMORY_NONE;
    if (used >= tcp_sock_memory_limit(TCP_MEMORY_OUT))
        return TCP_MEMORY_OUT;
    if (used >= tcp_sock_memory_limit(TCP_MEMORY_PRESSURE) || machine == MEMORY_MEDIUM)
        return TCP_MEMORY_PRESSURE;
    /* It ends when there is a quarter less than where it began. */
    if (before != TCP_MEMORY_PLENTY && used >= tcp_sock_memory_limit(TCP_MEMORY_PLENTY))
        return TCP_MEMORY_PRESSURE;
    return TCP_MEMORY_PLENTY;
}

static no_inline uint64_t sample(uint64_t now, uint64_t last)
{
    if (!__atomic_compare_exchange_n(&sampled_ns, &last, now, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return now;
    enum tcp_memory before = __atomic_load_n(&tcp_stack.memory, __ATOMIC_RELAXED);
    enum tcp_memory level = level_now(before);
    if (level == before)
        return now;
    if (before == TCP_MEMORY_PLENTY)
        mib_count(MIB_TcpExt_TCPMemoryPressures);
    __atomic_store_n(&tcp_stack.memory, (uint8_t)level, __ATOMIC_RELAXED); /* advice only */
    return now;
}

uint64_t tcp_sock_clock(void)
{
    uint64_t now = clock_mono_ns();
    uint64_t last = __atomic_load_n(&sampled_ns, __ATOMIC_RELAXED);
    return __builtin_expect(now - last < SAMPLE_NS, 1) ? now : sample(now, last);
}
