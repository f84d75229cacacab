/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim_points.c - what the compiler calls in a kernel built with -fsanitize=thread: each atomic
 * operation is a point of the simulation and then done; plain accesses are points if the knob
 * `memory` says so. The names and signatures are the compilers' (LLVM compiler-rt,
 * tsan_interface.h and tsan_interface_atomic.h; gcc's sanitizer.def has the same).
 *
 * One host thread carries all virtual CPUs, so the memory order asked for does not matter here:
 * what is explored is sequentially consistent. Weaker orders are ThreadSanitizer's business.
 */
#include "hosted.h"

#if SELKIE_SIM

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"

#define ORDER __ATOMIC_SEQ_CST

static inline void plain(const void *place)
{
    if (__builtin_expect(hosted_config.sim.knob[HOSTED_KNOB_MEMORY] != 0, 0))
        hosted_sim_point_at(place);
}

#define PLAIN(name) \
    void __tsan_##name(void *at) \
    { \
        (void)at; \
        plain(__builtin_return_address(0)); \
    }
#define PLAIN_SIZES(kind) \
    PLAIN(kind##1) PLAIN(kind##2) PLAIN(kind##4) PLAIN(kind##8) PLAIN(kind##16)
PLAIN_SIZES(read)
PLAIN_SIZES(write)
PLAIN_SIZES(unaligned_read)
PLAIN_SIZES(unaligned_write)
PLAIN_SIZES(volatile_read)
PLAIN_SIZES(volatile_write)

void __tsan_read_range(void *at, unsigned long size)
{
    (void)at, (void)size;
    plain(__builtin_return_address(0));
}
void __tsan_write_range(void *at, unsigned long size)
{
    (void)at, (void)size;
    plain(__builtin_return_address(0));
}
void __tsan_func_entry(void *pc)
{
    (void)pc;
}
void __tsan_func_exit(void)
{
}
void __tsan_init(void)
{
}

#define FETCH(bits, name) \
    uint##bits##_t __tsan_atomic##bits##_fetch_##name(volatile uint##bits##_t *at, \
                                                      uint##bits##_t value, int order) \
    { \
        (void)order; \
        hosted_sim_point_at(__builtin_return_address(0)); \
        return __atomic_fetch_##name(at, value, ORDER); \
    }
#define ATOMIC(bits) \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order) \
    { \
        (void)order; \
        hosted_sim_point_at(__builtin_return_address(0)); \
        return __atomic_load_n(at, ORDER); \
    } \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t value, int order) \
    { \
        (void)order; \
        hosted_sim_point_at(__builtin_return_address(0)); \
        __atomic_store_n(at, value, ORDER); \
    } \
    uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t *at, \
                                                  uint##bits##_t value, int order) \
    { \
        (void)order; \
        hosted_sim_point_at(__builtin_return_address(0)); \
        return __atomic_exchange_n(at, value, ORDER); \
    } \
    FETCH(bits, add) \
    FETCH(bits, sub) \
    FETCH(bits, and) \
    FETCH(bits, or) \
    FETCH(bits, xor) \
    FETCH(bits, nand) \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile uint##bits##_t *at, \
                                                      uint##bits##_t *expected, \
                                                      uint##bits##_t value, int order, int other) \
    { \
        (void)order, (void)other; \
        hosted_sim_point_at(__builtin_return_address(0)); \
        return __atomic_compare_exchange_n(at, expected, value, false, ORDER, ORDER); \
    } \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile uint##bits##_t *at, \
                                                    uint##bits##_t *expected, \
                                                    uint##bits##_t value, int order, int other) \
    { \
        return __tsan_atomic##bits##_compare_exchange_strong(at, expected, value, order, other); \
    } \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val( \
        volatile uint##bits##_t *at, uint##bits##_t expected, uint##bits##_t value, int order, \
        int other) \
    { \
        (void)__tsan_atomic##bits##_compare_exchange_strong(at, &expected, value, order, other); \
        return expected; \
    }
ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    hosted_sim_point_at(__builtin_return_address(0));
    __atomic_thread_fence(ORDER);
}
/* Between a thread and its own interrupt handlers, which run at points only. */
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
    __atomic_signal_fence(ORDER);
}

#endif
