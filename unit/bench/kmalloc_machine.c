/* SPDX-License-Identifier: BSD-3-Clause */
/* kmalloc_machine.c - the machine under the allocator's benchmark and its stress test: every host
 * thread is a CPU. Built with the kernel's options; kmalloc_bench.c is ordinary C. */
#include "bench/kmalloc_bench.h"
#include "core/current.h"
#include "core/log.h"
#include "core/percpu.h"
#include "hal_up.h"
#include "mm/kmalloc.h"
#include "mm/object.h"

static struct bench_cpu cpus[BENCH_CPUS];
uintptr_t bench_direct_map;

static struct hal_region ram;
static struct hal_boot_info info;
static struct thread_head threads[BENCH_CPUS];

unsigned hal_cpu_count(void)
{
    return BENCH_CPUS;
}
const struct hal_boot_info *hal_boot_info(void)
{
    return &info;
}
int hal_entropy(void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((unsigned char *)buf)[i] = (unsigned char)(0x5a + 37 * i);
    return 0;
}
void hal_cpu_local_set(unsigned cpu, void *local)
{
    cpus[cpu].local = local;
}
uint64_t hal_clock_ns(void)
{
    return 0; /* nobody is watched */
}
void hal_ipi_send(unsigned cpu)
{
    (void)cpu;
}
void bench_deliver(void)
{
}
void preempt_resched(void)
{
}
uint64_t vm_cache_evict(uint64_t want, bool mapped)
{
    (void)want, (void)mapped;
    return 0;
}
void log_write(enum log_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}
void panic(const char *fmt, ...)
{
    bench_fail(fmt);
}

void bench_machine(void *memory, size_t size)
{
    bench_direct_map = (uintptr_t)memory - ((uintptr_t)1 << 30);
    ram = (struct hal_region){(paddr_t)1 << 30, size};
    info = (struct hal_boot_info){.ram = &ram, .ram_count = 1, .cmdline = "", .ram_total = size};
    percpu_init();
    bench_cpu_enter(0);
    page_init();
    kmalloc_init();
}

/* Linux: arch_prctl(2). */
#define ARCH_SET_GS 0x1001
long syscall(long number, ...);

void bench_cpu_enter(unsigned id)
{
    cpus[id].id = id;
    if (syscall(158, ARCH_SET_GS, &cpus[id]) != 0)
        bench_fail("arch_prctl");
    threads[id].cpu = cpu_get(id);
    hal_thread_set(&threads[id]);
}
