/* SPDX-License-Identifier: BSD-3-Clause */
/* abi.h - the Linux ABI of x86-64: constants and structure layouts that differ between
 * architectures (uapi asm/stat.h, asm/fcntl.h, linux/elf-em.h, linux/eventpoll.h). */
#ifndef SELKIE_ISA_ABI_H
#define SELKIE_ISA_ABI_H

#include "lib/types.h"

#define ISA_ELF_MACHINE 62    /* EM_X86_64 */
#define ISA_CORE_REGISTERS 27 /* words of elf_gregset_t */
#define ISA_PLATFORM "x86_64"
#define ISA_UTS_MACHINE "x86_64"
#define ISA_SYSCALL_LEN 2
#define ISA_CLONE_TLS_ARG \
    4 /* which argument of clone(2) is the thread pointer; the child tid is the other of 3, 4 */
/* The smallest stack sigaltstack accepts. AT_MINSIGSTKSZ is isa_sigframe_size(). */
#define ISA_MINSIGSTKSZ 2048

/* struct epoll_event is packed on x86-64 only. */
#define ISA_EPOLL_PACKED __attribute__((__packed__))

struct isa_stat {
    uint64_t dev, ino, nlink;
    uint32_t mode, uid, gid, pad0;
    uint64_t rdev;
    int64_t size, blksize, blocks;
    uint64_t atime_sec, atime_nsec, mtime_sec, mtime_nsec, ctime_sec, ctime_nsec;
    int64_t reserved[3];
};
STATIC_ASSERT(sizeof(struct isa_stat) == 144);
STATIC_ASSERT(offsetof(struct isa_stat, mode) == 24);
STATIC_ASSERT(offsetof(struct isa_stat, rdev) == 40);
STATIC_ASSERT(offsetof(struct isa_stat, size) == 48);
STATIC_ASSERT(offsetof(struct isa_stat, atime_sec) == 72);

/* The kernel's open flags are x86-64's (fs/fcntl.h). */
static inline uint32_t isa_open_flags_in(uint32_t flags)
{
    return flags;
}
static inline uint32_t isa_open_flags_out(uint32_t flags)
{
    return flags;
}

/* No landing pads that a program could ask for with a PROT_ bit. */
static inline unsigned isa_prot_landing(void)
{
    return 0;
}

#endif
