/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * usercopy.h - the only way the kernel touches user memory.
 *
 * Thread context, may sleep (page faults), no spinlock held, in the address
 * space of the calling thread. A bad address gives -EFAULT, never a crash: the instructions that
 * touch user memory live in isa/uaccess.S and have a landing pad. After -EFAULT a prefix of the
 * range may have been copied. Addresses outside the user windows are refused before anything is
 * touched.
 */
#ifndef SELKIE_MM_USERCOPY_H
#define SELKIE_MM_USERCOPY_H

#include "lib/types.h"

int must_check copyin(void *dst, uaddr_t src, size_t len);
int must_check copyout(uaddr_t dst, const void *src, size_t len);
int must_check user_zero(uaddr_t dst, size_t len);
/* Copy a NUL-terminated string of at most size-1 characters. Returns its length, -EFAULT or
 * -ENAMETOOLONG. */
long must_check copyin_str(char *dst, uaddr_t src, size_t size);
/* Is [addr, addr+len) inside the user windows? (It may still be unmapped.) */
bool user_range_ok(uaddr_t addr, size_t len);

/* Aligned 32-bit atomics on user memory, for futexes (sequentially consistent). */
int must_check user_load_u32(uaddr_t addr, uint32_t *out);
int must_check user_store_u32(uaddr_t addr, uint32_t value);
/* *seen gets the old value; equal to expected iff the store happened. */
int must_check user_cmpxchg_u32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *seen);

/* The same with a spinlock held, so without sleeping: -EFAULT also if the page is not there, or not
 * to be written, at the moment. */
int must_check user_try_load_u32(uaddr_t addr, uint32_t *out);
int must_check user_try_cmpxchg_u32(uaddr_t addr, uint32_t expected, uint32_t desired,
                                    uint32_t *seen);

/* Likewise; preemption is off. */
int must_check copyin_try(void *dst, uaddr_t src, size_t len);
int must_check copyout_try(uaddr_t dst, const void *src, size_t len);

#endif
