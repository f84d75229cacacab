/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * strace.c - system calls as text, in strace(1)'s manner: decoded by the argument types of
 * syscalls.def. User memory is read for strings and buffers; what cannot be read is shown as an
 * address.
 */
#include "linux/strace.h"

#include "fs/fcntl.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/usercopy.h"
#include "proc/process.h"

bool syscall_trace;

#define TRACE_LINE_MAX 512
#define TEXT_MAX 64 /* characters of a string or buffer */

static void put_quoted(struct strbuf *sb, const char *text, size_t len, bool cut)
{
    strbuf_printf(sb, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            strbuf_printf(sb, "\\n");
        else if (c == '"' || c == '\\')
            strbuf_printf(sb, "\\%c", c);
        else if (c >= ' ' && c < 127)
            strbuf_append(sb, &c, 1);
        else
            strbuf_printf(sb, "\\%o", c);
    }
    strbuf_printf(sb, cut ? "\"..." : "\"");
}

static void put_string(struct strbuf *sb, uint64_t addr)
{
    char text[TEXT_MAX + 1];
    long len = addr ? copyin_str(text, uaddr(addr), sizeof text) : -1;
    if (len >= 0) {
        put_quoted(sb, text, (size_t)len, false);
        return;
    }
    /* Too long: show its beginning. */
    if (addr && copyin(text, uaddr(addr), TEXT_MAX) == 0)
        put_quoted(sb, text, TEXT_MAX, true);
    else if (addr)
        strbuf_printf(sb, "%#llx", (unsigned long long)addr);
    else
        strbuf_printf(sb, "NULL");
}

static void put_buffer(struct strbuf *sb, uint64_t addr, uint64_t len)
{
    char text[TEXT_MAX / 2];
    size_t n = MIN(len, sizeof text);
    if (addr && copyin(text, uaddr(addr), n) == 0)
        put_quoted(sb, text, n, len > n);
    else
        strbuf_printf(sb, "%#llx", (unsigned long long)addr);
}

static bool is(const char *word, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(word, name, len) == 0;
}

/* buf_in:N, buf_out:N; for the latter the result says how much is there. */
static bool put_if_buffer(struct strbuf *sb, const char *type, size_t len, const uint64_t *arg,
                          uint64_t value, const long *result)
{
    bool in = len == 8 && memcmp(type, "buf_in:", 7) == 0;
    bool out = len == 9 && memcmp(type, "buf_out:", 8) == 0;
    if (!in && !out)
        return false;
    unsigned index = (unsigned)(type[len - 1] - '0');
    uint64_t size = index < 6 ? arg[index] : 0;
    if (out && result)
        size = *result < 0 ? 0 : MIN(size, (uint64_t)*result);
    if (out && (!result || *result < 0))
        strbuf_printf(sb, "%#llx", (unsigned long long)value);
    else
        put_buffer(sb, value, size);
    return true;
}

static void put_arg(struct strbuf *sb, const char *type, size_t len, const uint64_t *arg,
                    uint64_t value, const long *result)
{
    if (put_if_buffer(sb, type, len, arg, value, result))
        return;
    if (is(type, len, "path") || is(type, len, "str"))
        put_string(sb, value);
    else if (is(type, len, "fd") && (int)value == AT_FDCWD)
        strbuf_printf(sb, "AT_FDCWD");
    else if (is(type, len, "int") || is(type, len, "fd") || is(type, len, "pid") ||
             is(type, len, "sig") || is(type, len, "clockid"))
        strbuf_printf(sb, "%d", (int)value);
    else if (is(type, len, "uint") || is(type, len, "uid"))
        strbuf_printf(sb, "%u", (unsigned)value);
    else if (is(type, len, "long") || is(type, len, "off"))
        strbuf_printf(sb, "%lld", (long long)value);
    else if (is(type, len, "ulong") || is(type, len, "size"))
        strbuf_printf(sb, "%llu", (unsigned long long)value);
    else if (is(type, len, "mode") || is(type, len, "oflags"))
        strbuf_printf(sb, "%#o", (unsigned)value);
    else if (value == 0 &&
             (is(type, len, "ptr") || is(type, len, "timespec") || is(type, len, "sigset")))
        strbuf_printf(sb, "NULL");
    else
        strbuf_printf(sb, "%#llx", (unsigned long long)value);
}

static void put_args(struct strbuf *sb, const char *types, const uint64_t *arg, const long *result)
{
    for (unsigned i = 0; i < 6 && *types; i++) {
        const char *comma = strchr(types, ',');
        size_t len = comma ? (size_t)(comma - types) : strlen(types);
        if (i)
            strbuf_printf(sb, ", ");
        put_arg(sb, types, len, arg, arg[i], result);
        types += len + (comma != NULL);
    }
}

static void put_result(struct strbuf *sb, long result)
{
    if (result < 0 && result >= -4095)
        strbuf_printf(sb, "-1 errno %ld\n", -result);
    else if (result > 0xffff || result < 0)
        strbuf_printf(sb, "%#lx\n", (unsigned long)result);
    else
        strbuf_printf(sb, "%ld\n", result);
}

void strace_log(const struct syscall_info *info, uint64_t nr, const uint64_t *arg,
                const long *result)
{
    char line[TRACE_LINE_MAX];
    struct strbuf sb = {.buf = line, .size = sizeof line};
    strbuf_printf(&sb, "[%d] %s", task_current()->tid, info->name);
    if (info->name[0] == '?')
        strbuf_printf(&sb, "%llu", (unsigned long long)nr);
    strbuf_printf(&sb, "(");
    put_args(&sb, info->args, arg, result);
    strbuf_printf(&sb, ") = ");
    if (result)
        put_result(&sb, *result);
    else
        strbuf_printf(&sb, "?\n");
    size_t len = MIN(sb.len, sizeof line - 1);
    line[len - 1] = '\n';
    (void)hal_console_write(HAL_STREAM_LOG, line, len);
}
