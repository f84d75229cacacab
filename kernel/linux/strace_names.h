/* SPDX-License-Identifier: BSD-3-Clause */
/* strace_names.h - names of the numbers in system calls, as strace(1) writes them. */
#ifndef SELKIE_LINUX_STRACE_NAMES_H
#define SELKIE_LINUX_STRACE_NAMES_H

#include "lib/format.h"
#include "lib/types.h"

enum name_kind {
    NAME_OFLAGS, /* the kernel's own values */
    NAME_FDFLAGS,
    NAME_PROT,
    NAME_MAPFLAGS,
    NAME_ATFLAGS,
    NAME_MODE_ACCESS,
    NAME_CLONE,
    NAME_POLL,
    NAME_SA,
    NAME_SIGNAL,
    NAME_SIGHOW,
    NAME_CLOCK,
    NAME_WHENCE,
    NAME_FCNTL,
    NAME_IOCTL,
    NAME_FUTEX,
    NAME_MADVISE,
    NAME_EPOLLOP,
    NAME_LIMIT,
    NAME_FLOCK,
    NAME_PRCTL,
    NAME_ARCH_PRCTL,
    NAME_FILETYPE,
    NAME_INMASK,
    NAME_FAMILY,
    NAME_SOCKTYPE,
    NAME_SOCKFLAGS,
    NAME_SOCKLEVEL,
    NAME_SOCKOPT,
    NAME_MSGFLAGS,
    NAME_SHUTHOW,
    NAME_ERRNO,
    NAME_KINDS
};
/* One number: its name, or hexadecimal. */
void put_name(struct strbuf *sb, enum name_kind kind, uint64_t value);
/* A set of bits: names with "|" between them, what has none in hexadecimal; "0" if there is none.
 */
void put_bits(struct strbuf *sb, enum name_kind kind, uint64_t value);
/* The name, without what all of the kind begin with if so wished; nothing and false if it has none.
 */
bool put_known(struct strbuf *sb, enum name_kind kind, uint64_t value, bool prefix);

#endif
