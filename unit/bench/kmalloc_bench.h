/* SPDX-License-Identifier: BSD-3-Clause */
/* kmalloc_bench.h - between the benchmark of the kernel's allocator and the machine under it. */
#ifndef SELKIE_BENCH_KMALLOC_H
#define SELKIE_BENCH_KMALLOC_H

#include <stddef.h>

#define BENCH_CPUS 4
/* Start the kernel's allocators on `size` bytes of zeroed memory, aligned to 4 MiB, on CPU 0. */
void bench_machine(void *memory, size_t size);
/* The calling host thread is this CPU. */
void bench_cpu_enter(unsigned id);
/* kernel/mm/kmalloc.h, which ordinary C cannot include. */
void *kmalloc(size_t size, unsigned flags);
void kfree(void *block);
/* A panic. */
_Noreturn void bench_fail(const char *why);

#endif
