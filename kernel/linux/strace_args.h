/* SPDX-License-Identifier: BSD-3-Clause */
/* strace_args.h - shared by the files that print arguments of system calls: strace.c and
 * strace_socket.c. */
#ifndef SELKIE_LINUX_STRACE_ARGS_H
#define SELKIE_LINUX_STRACE_ARGS_H

#include "lib/format.h"
#include "lib/types.h"

struct trace_arg {
    const uint64_t *arg; /* all six */
    uint64_t value;
    uint64_t size;      /* what the argument after ":" says */
    const long *result; /* NULL: not known yet */
    unsigned index;     /* of value in arg */
};
static inline bool trace_failed(const struct trace_arg *a)
{
    return !a->result || *a->result < 0;
}
void put_hex(struct strbuf *sb, uint64_t value);
void put_address(struct strbuf *sb, const struct trace_arg *a);
void put_quoted(struct strbuf *sb, const char *text, size_t len, bool cut);
/* Pieces of the scatter list at `addr`; `left`: bytes that were moved. */
void put_pieces(struct strbuf *sb, uint64_t addr, uint64_t count, uint64_t left);

/* strace_socket.c */
void put_name_in(struct strbuf *sb, const struct trace_arg *a);
void put_name_out(struct strbuf *sb, const struct trace_arg *a); /* its length is the next one's */
void put_family(struct strbuf *sb, const struct trace_arg *a);
void put_socket_type(struct strbuf *sb, const struct trace_arg *a);
void put_socket_flags(struct strbuf *sb, const struct trace_arg *a);
void put_level(struct strbuf *sb, const struct trace_arg *a);
void put_option(struct strbuf *sb, const struct trace_arg *a);
void put_msg_flags(struct strbuf *sb, const struct trace_arg *a);
void put_msghdr_in(struct strbuf *sb, const struct trace_arg *a);
void put_msghdr_out(struct strbuf *sb, const struct trace_arg *a);
void put_shut_how(struct strbuf *sb, const struct trace_arg *a);

#endif
