/* SPDX-License-Identifier: BSD-3-Clause */
/* stack.c - plan and write the first stack of a program; see stack.h. */
#include "proc/stack.h"

#include "isa/abi.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/usercopy.h"

/* Count strings and their bytes with NULs; -E2BIG if one is too long or the sum passes limit. */
static int strings_measure(char *const *v, size_t limit, size_t *count, size_t *bytes)
{
    *count = *bytes = 0;
    for (; v[*count]; (*count)++) {
        size_t len = strnlen(v[*count], STACK_STRING_MAX);
        if (len == STACK_STRING_MAX || *bytes > limit)
            return -E2BIG;
        *bytes += len + 1;
    }
    return 0;
}

int stack_plan(const struct stack_spec *spec, uintptr_t top, size_t limit, struct stack_image *out)
{
    size_t arg_bytes, env_bytes;
    int err = strings_measure(spec->argv, limit, &out->argc, &arg_bytes);
    if (!err)
        err = strings_measure(spec->envp, limit, &out->envc, &env_bytes);
    if (err)
        return err;
    size_t name_bytes = strlen(spec->exec_name) + 1;
    size_t words = 1 + out->argc + 1 + out->envc + 1 + 2 * ((size_t)spec->auxv_count + 4);
    if (arg_bytes + env_bytes + name_bytes + words * 8 > limit)
        return -E2BIG;
    out->exec_name = top - 8 - name_bytes;
    out->env_hi = out->exec_name;
    out->env_lo = out->env_hi - env_bytes;
    out->arg_hi = out->env_lo;
    out->arg_lo = out->arg_hi - arg_bytes;
    out->platform = out->arg_lo - sizeof(ISA_PLATFORM);
    out->random = align_down(out->platform - sizeof spec->random, 16);
    out->strings = out->random;
    out->sp = align_down(out->random - words * 8, 16);
    return 0;
}

static void auxv_fill(const struct stack_spec *spec, struct stack_image *image)
{
    const uint64_t own[] = {AT_RANDOM, image->random,    AT_PLATFORM, image->platform,
                            AT_EXECFN, image->exec_name, AT_NULL,     0};
    memcpy(image->auxv, spec->auxv, spec->auxv_count * 2 * sizeof(uint64_t));
    memcpy(image->auxv + 2 * spec->auxv_count, own, sizeof own);
    image->auxv_count = spec->auxv_count + 4;
}

/* Strings to *text, their addresses to *slot; both advance. */
static int strings_write(char *const *v, uintptr_t *text, uintptr_t *slot)
{
    for (; *v; v++) {
        uint64_t at = *text;
        size_t len = strlen(*v) + 1;
        if (copyout(uaddr(at), *v, len) || copyout(uaddr(*slot), &at, sizeof at))
            return -EFAULT;
        *text += len;
        *slot += sizeof at;
    }
    const uint64_t null = 0;
    int err = copyout(uaddr(*slot), &null, sizeof null);
    *slot += sizeof null;
    return err;
}

int stack_write(const struct stack_spec *spec, struct stack_image *image)
{
    uint64_t argc = image->argc;
    uintptr_t slot = image->sp, text = image->arg_lo;
    auxv_fill(spec, image);
    if (copyout(uaddr(image->exec_name), spec->exec_name, strlen(spec->exec_name) + 1) ||
        copyout(uaddr(image->platform), ISA_PLATFORM, sizeof ISA_PLATFORM) ||
        copyout(uaddr(image->random), spec->random, sizeof spec->random) ||
        copyout(uaddr(slot), &argc, sizeof argc))
        return -EFAULT;
    slot += sizeof argc;
    if (strings_write(spec->argv, &text, &slot) || strings_write(spec->envp, &text, &slot))
        return -EFAULT;
    return copyout(uaddr(slot), image->auxv, image->auxv_count * 2 * sizeof(uint64_t));
}
