/* SPDX-License-Identifier: BSD-3-Clause */
/* strace_socket.c - arguments of the socket calls as text, in strace(1)'s manner. */
#include "lib/string.h"
#include "linux/strace_args.h"
#include "linux/strace_names.h"
#include "mm/usercopy.h"
#include "net/socket.h"

/* ---- addresses ---- */

/* A path, or an abstract name, which begins with a NUL: @"name". */
static void put_unix(struct strbuf *sb, const struct socket_name *name)
{
    const char *path = (const char *)name->bytes + 2;
    size_t len = name->len - 2;
    bool abstract = len > 0 && path[0] == '\0';
    if (len == 0)
        return;
    strbuf_printf(sb, abstract ? ", sun_path=@" : ", sun_path=");
    if (abstract)
        put_quoted(sb, path + 1, len - 1, false);
    else
        put_quoted(sb, path, strnlen(path, len), false);
}

static void put_sockaddr(struct strbuf *sb, uint64_t addr, uint64_t len)
{
    struct socket_name name = {.len = (unsigned)MIN(len, (uint64_t)SOCKET_NAME_MAX)};
    if (addr && len >= 2 && copyin(name.bytes, uaddr(addr), name.len) == 0) {
        strbuf_printf(sb, "{sa_family=");
        put_name(sb, NAME_FAMILY, name.family);
        if (name.family == AF_UNIX)
            put_unix(sb, &name);
        strbuf_printf(sb, "}");
    } else if (addr) {
        put_hex(sb, addr);
    } else {
        strbuf_printf(sb, "NULL");
    }
}

void put_name_in(struct strbuf *sb, const struct trace_arg *a)
{
    put_sockaddr(sb, a->value, (uint32_t)a->size);
}

/* The argument behind this one points to the length. */
void put_name_out(struct strbuf *sb, const struct trace_arg *a)
{
    uint32_t len = 0;
    if (trace_failed(a) || !a->value || copyin(&len, uaddr(a->arg[a->index + 1]), sizeof(len)))
        put_address(sb, a);
    else
        put_sockaddr(sb, a->value, len);
}

/* ---- numbers ---- */

void put_family(struct strbuf *sb, const struct trace_arg *a)
{
    put_name(sb, NAME_FAMILY, (uint32_t)a->value);
}

void put_socket_type(struct strbuf *sb, const struct trace_arg *a)
{
    uint32_t type = (uint32_t)a->value & SOCK_TYPE_MASK, flags = (uint32_t)a->value & ~15u;
    if (type)
        put_name(sb, NAME_SOCKTYPE, type);
    if (type && flags)
        strbuf_printf(sb, "|");
    if (flags || !type)
        put_bits(sb, NAME_SOCKFLAGS, flags);
}

void put_socket_flags(struct strbuf *sb, const struct trace_arg *a)
{
    put_bits(sb, NAME_SOCKFLAGS, (uint32_t)a->value);
}

void put_level(struct strbuf *sb, const struct trace_arg *a)
{
    put_name(sb, NAME_SOCKLEVEL, (uint32_t)a->value);
}

/* What a number means depends on the level, the argument before. */
void put_option(struct strbuf *sb, const struct trace_arg *a)
{
    if (a->arg[1] == SOL_SOCKET)
        put_name(sb, NAME_SOCKOPT, (uint32_t)a->value);
    else
        put_hex(sb, (uint32_t)a->value);
}

void put_msg_flags(struct strbuf *sb, const struct trace_arg *a)
{
    put_bits(sb, NAME_MSGFLAGS, (uint32_t)a->value);
}

void put_shut_how(struct strbuf *sb, const struct trace_arg *a)
{
    put_name(sb, NAME_SHUTHOW, (uint32_t)a->value);
}

/* ---- messages ---- */

struct msghdr {
    uint64_t name;
    int32_t name_len, pad;
    uint64_t iov, iov_count;
    uint64_t control, control_len;
    uint32_t flags, pad2;
};

static void put_msghdr(struct strbuf *sb, const struct trace_arg *a, uint64_t left)
{
    struct msghdr m;
    if (!a->value || copyin(&m, uaddr(a->value), sizeof(m))) {
        put_address(sb, a);
        return;
    }
    strbuf_printf(sb, "{msg_name=");
    put_sockaddr(sb, m.name, (uint32_t)m.name_len);
    strbuf_printf(sb, ", msg_namelen=%d, msg_iov=[", m.name_len);
    put_pieces(sb, m.iov, m.iov_count, left);
    strbuf_printf(sb, "], msg_iovlen=%llu, msg_controllen=%llu, msg_flags=",
                  (unsigned long long)m.iov_count, (unsigned long long)m.control_len);
    put_bits(sb, NAME_MSGFLAGS, m.flags);
    strbuf_printf(sb, "}");
}

void put_msghdr_in(struct strbuf *sb, const struct trace_arg *a)
{
    put_msghdr(sb, a, UINT64_MAX);
}

void put_msghdr_out(struct strbuf *sb, const struct trace_arg *a)
{
    if (trace_failed(a))
        put_address(sb, a);
    else
        put_msghdr(sb, a, (uint64_t)*a->result);
}
