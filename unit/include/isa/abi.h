/* SPDX-License-Identifier: BSD-3-Clause */
/* abi.h - the Linux ABI constants of the unit tests' instruction set: those of x86-64. */
#ifndef SELKIE_ISA_ABI_H
#define SELKIE_ISA_ABI_H

#include <stdint.h>

#define ISA_ELF_MACHINE 62
#define ISA_PLATFORM "x86_64"
#define ISA_UTS_MACHINE "x86_64"
#define ISA_SYSCALL_LEN 2
#define ISA_CLONE_TLS_ARG \
    4 /* which argument of clone(2) is the thread pointer; the child tid is the other of 3, 4 */
#define ISA_MINSIGSTKSZ 2048
#define ISA_EPOLL_PACKED __attribute__((packed))

/* struct stat of x86-64 (arch/x86/include/uapi/asm/stat.h). */
struct isa_stat {
    uint64_t st_dev, st_ino, st_nlink;
    uint32_t st_mode, st_uid, st_gid, pad0;
    uint64_t st_rdev;
    int64_t st_size, st_blksize, st_blocks;
    uint64_t st_atime_, st_atime_nsec, st_mtime_, st_mtime_nsec, st_ctime_, st_ctime_nsec;
    int64_t unused_[3];
};

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
