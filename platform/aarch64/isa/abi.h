/* SPDX-License-Identifier: BSD-3-Clause */
/* abi.h - the Linux ABI of arm64: constants and structure layouts that differ between architectures
 * (uapi asm-generic/stat.h, arm64 asm/fcntl.h, linux/elf-em.h, linux/eventpoll.h). */
#ifndef SELKIE_ISA_ABI_H
#define SELKIE_ISA_ABI_H

#include "lib/types.h"

#define ISA_ELF_MACHINE 183   /* EM_AARCH64 */
#define ISA_CORE_REGISTERS 34 /* words of elf_gregset_t */
#define ISA_PLATFORM "aarch64"
#define ISA_UTS_MACHINE "aarch64"
#define ISA_SYSCALL_LEN 4
#define ISA_CLONE_TLS_ARG \
    3 /* which argument of clone(2) is the thread pointer; the child tid is the other of 3, 4 */
/* The smallest stack sigaltstack accepts. AT_MINSIGSTKSZ is isa_sigframe_size(). */
#define ISA_MINSIGSTKSZ 5120

/* struct epoll_event is packed on x86-64 only. */
#define ISA_EPOLL_PACKED

struct isa_stat {
    uint64_t dev, ino;
    uint32_t mode, nlink, uid, gid;
    uint64_t rdev, pad1;
    int64_t size;
    int32_t blksize, pad2;
    int64_t blocks;
    uint64_t atime_sec, atime_nsec, mtime_sec, mtime_nsec, ctime_sec, ctime_nsec;
    uint32_t reserved[2];
};
STATIC_ASSERT(sizeof(struct isa_stat) == 128);
STATIC_ASSERT(offsetof(struct isa_stat, mode) == 16);
STATIC_ASSERT(offsetof(struct isa_stat, rdev) == 32);
STATIC_ASSERT(offsetof(struct isa_stat, size) == 48);
STATIC_ASSERT(offsetof(struct isa_stat, blocks) == 64);
STATIC_ASSERT(offsetof(struct isa_stat, atime_sec) == 72);

/* The kernel's open flags are x86-64's (fs/fcntl.h). arm64 has DIRECTORY and NOFOLLOW in bits 14
 * and 15, DIRECT and LARGEFILE in 16 and 17; x86-64 the other way round. The exchange of the two
 * pairs is its own inverse. */
static inline uint32_t isa_open_flags_in(uint32_t flags)
{
    return (flags & ~0740000u) | (flags & 0140000u) << 2 | (flags & 0600000u) >> 2;
}
static inline uint32_t isa_open_flags_out(uint32_t flags)
{
    return isa_open_flags_in(flags);
}

/* PROT_BTI (uapi asm/mman.h) where the CPU knows it, else 0. */
extern bool isa_has_bti; /* set by isa_fp_setup */
static inline unsigned isa_prot_landing(void)
{
    return isa_has_bti ? 0x10 : 0;
}

#endif
