/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * usercopy.c - range checks in front of the instructions that touch user memory (isa/uaccess.S).
 *
 * One ring means that nothing but this check keeps a program's pointer from naming kernel memory,
 * so every function makes it first. The window test does not say that anything is mapped: a fault
 * does, and comes back as -EFAULT. A fault may take the space's lock, whether there is one this
 * time or not.
 */
#include "mm/usercopy.h"

#include "core/spinlock.h"
#include "isa.h"
#include "lib/errno.h"
#include "lib/sanitize.h"

/* It stays where it is: asked for once, not at each copy. Relaxed: any CPU would find the same. */
static inline const struct hal_layout *layout_here(void)
{
    static const struct hal_layout *known;
    const struct hal_layout *layout = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (__builtin_expect(!layout, 0)) {
        layout = hal_layout();
        __atomic_store_n(&known, layout, __ATOMIC_RELAXED);
    }
    return layout;
}

/* The user window that addr lies in, or NULL. */
static const struct hal_user_window *window_of(uintptr_t addr)
{
    const struct hal_layout *layout = layout_here();
    for (unsigned i = 0; i < layout->user_count; i++)
        if (addr >= layout->user[i].lo && addr < layout->user[i].hi)
            return &layout->user[i];
    return NULL;
}

bool user_range_ok(uaddr_t addr, size_t len)
{
    if (len == 0)
        return true;
    const struct hal_user_window *w = window_of(addr.raw);
    return w && len <= w->hi - addr.raw;
}

/* In the first window? There is hardly ever another one. */
static inline bool range_usual(uaddr_t addr, size_t len)
{
    const struct hal_user_window *w = &layout_here()->user[0];
    return addr.raw >= w->lo && addr.raw < w->hi && len <= w->hi - addr.raw;
}

static inline int copyin_checked(void *dst, uaddr_t src, size_t len)
{
    lock_assert_may_take(RANK_SPACE);
    memory_check_write(dst, len);
    return isa_user_copy(dst, (const void *)src.raw, len);
}

static inline int copyout_checked(uaddr_t dst, const void *src, size_t len)
{
    lock_assert_may_take(RANK_SPACE);
    memory_check_read(src, len);
    return isa_user_copy((void *)dst.raw, src, len);
}

/* Not inline, so that the usual way saves no registers. */
static no_inline int copyin_rare(void *dst, uaddr_t src, size_t len)
{
    return len == 0 ? 0 : user_range_ok(src, len) ? copyin_checked(dst, src, len) : -EFAULT;
}

static no_inline int copyout_rare(uaddr_t dst, const void *src, size_t len)
{
    return len == 0 ? 0 : user_range_ok(dst, len) ? copyout_checked(dst, src, len) : -EFAULT;
}

int copyin(void *dst, uaddr_t src, size_t len)
{
    return len && range_usual(src, len) ? copyin_checked(dst, src, len)
                                        : copyin_rare(dst, src, len);
}

int copyout(uaddr_t dst, const void *src, size_t len)
{
    return len && range_usual(dst, len) ? copyout_checked(dst, src, len)
                                        : copyout_rare(dst, src, len);
}

int user_zero(uaddr_t dst, size_t len)
{
    if (len == 0)
        return 0;
    if (!user_range_ok(dst, len))
        return -EFAULT;
    lock_assert_may_take(RANK_SPACE);
    return isa_user_zero((void *)dst.raw, len);
}

long copyin_str(char *dst, uaddr_t src, size_t size)
{
    const struct hal_user_window *w = window_of(src.raw);
    if (!w)
        return -EFAULT;
    if (size == 0)
        return -ENAMETOOLONG;
    lock_assert_may_take(RANK_SPACE);
    size_t limit = MIN(size, w->hi - src.raw);
    memory_check_write(dst, limit);
    long n = isa_user_strcpy(dst, (const char *)src.raw, limit);
    if (n < 0)
        return n;
    if ((size_t)n < limit || dst[n - 1] == 0)
        return n - 1;
    /* No NUL: the buffer is full, or the string runs out of user memory. */
    return limit == size ? -ENAMETOOLONG : -EFAULT;
}

static bool word_in_window(uaddr_t addr)
{
    return is_aligned(addr.raw, sizeof(uint32_t)) && user_range_ok(addr, sizeof(uint32_t));
}

static bool word_ok(uaddr_t addr)
{
    lock_assert_may_take(RANK_SPACE);
    return word_in_window(addr);
}

int user_load_u32(uaddr_t addr, uint32_t *out)
{
    return word_ok(addr) ? isa_user_load_u32((const uint32_t *)addr.raw, out) : -EFAULT;
}

int user_store_u32(uaddr_t addr, uint32_t value)
{
    return word_ok(addr) ? isa_user_store_u32((uint32_t *)addr.raw, value) : -EFAULT;
}

int user_cmpxchg_u32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *seen)
{
    return word_ok(addr) ? isa_user_cmpxchg_u32((uint32_t *)addr.raw, expected, desired, seen)
                         : -EFAULT;
}

/* kernel_fault mends nothing while preemption is off. */
static bool word_ok_now(uaddr_t addr)
{
    ASSERT(thread_head()->preempt_count);
    return word_in_window(addr);
}

int user_try_load_u32(uaddr_t addr, uint32_t *out)
{
    return word_ok_now(addr) ? isa_user_load_u32((const uint32_t *)addr.raw, out) : -EFAULT;
}

int user_try_cmpxchg_u32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *seen)
{
    return word_ok_now(addr) ? isa_user_cmpxchg_u32((uint32_t *)addr.raw, expected, desired, seen)
                             : -EFAULT;
}

static bool range_ok_now(uaddr_t addr, size_t len)
{
    ASSERT(thread_head()->preempt_count);
    return user_range_ok(addr, len);
}

int copyin_try(void *dst, uaddr_t src, size_t len)
{
    memory_check_write(dst, len);
    return range_ok_now(src, len) ? isa_user_copy(dst, (const void *)src.raw, len) : -EFAULT;
}

int copyout_try(uaddr_t dst, const void *src, size_t len)
{
    memory_check_read(src, len);
    return range_ok_now(dst, len) ? isa_user_copy((void *)dst.raw, src, len) : -EFAULT;
}
