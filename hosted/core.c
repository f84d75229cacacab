/* SPDX-License-Identifier: BSD-3-Clause */
/* core.c - core files. That of the process as a machine is written by the outer world
 * (host_core.c), with the registers from here; that of the program is what the kernel says. */
#include "hosted.h"

#include "lib/string.h"

#define O_CREATE_FLAGS 02001101 /* O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC */
#define LOOKS 30000             /* at the outer world, a millisecond apart */

struct hosted_core_cpu hosted_core_cpus[HOSTED_CPU_MAX];
unsigned hosted_core_first;
uint32_t hosted_core_state;

STATIC_ASSERT(ISA_CORE_REGISTERS == HOSTED_CORE_REGISTERS);

size_t hosted_core_fp(unsigned cpu, unsigned i, uint32_t *type, const char **name, void *out)
{
    const struct hal_ctx *ctx = hosted_vcpus[cpu].ctx;

    if (!ctx || !ctx->fp || isa_fp_size() > HOSTED_CORE_FP_MAX)
        return 0;
    return isa_core_fp(ctx->fp, i, type, name, out);
}

void hal_core_dump(const struct isa_frame *(*registers)(unsigned cpu))
{
    const struct hal_ctx *ctx = vcpu_self()->ctx;
    const struct hosted_config *c = &hosted_config;
    const struct host_timespec pause = {0, 1000000};
    const uint64_t one = 1;

    if (!c->core)
        return;
    if (ctx && ctx->fp_live)
        isa_fp_save(ctx->fp);
    for (unsigned cpu = 0; cpu < c->cpu_count; cpu++) {
        const struct isa_frame *frame = registers(cpu);

        hosted_core_cpus[cpu].tid = hosted_vcpus[cpu].tid;
        if (frame)
            isa_core_registers(frame, hosted_core_cpus[cpu].registers);
    }
    hosted_core_first = hal_cpu_id();
    /* Release: with the registers. */
    __atomic_store_n(&hosted_core_state, HOSTED_CORE_WANTED, __ATOMIC_RELEASE);
    (void)host_call3(HOST_write, c->wake_fd, (long)&one, sizeof(one));
    for (unsigned i = 0; i < LOOKS; i++) {
        if (__atomic_load_n(&hosted_core_state, __ATOMIC_ACQUIRE) == HOSTED_CORE_WRITTEN)
            return;
        (void)host_call3(HOST_nanosleep, (long)&pause, 0, 0);
    }
}

/* ---- of the program ---- */

static long file = -1;
static bool used; /* atomic */

bool hal_core_wanted(void)
{
    return hosted_config.core != NULL;
}

bool hal_core_begin(void)
{
    if (!hal_core_wanted() || __atomic_exchange_n(&used, true, __ATOMIC_RELAXED))
        return false;
    file = host_call3(HOST_open, (long)hosted_config.core, O_CREATE_FLAGS, 0600);
    return file >= 0;
}

/* A full disk makes it shorter. */
void hal_core_write(const void *buf, size_t len)
{
    const char *from = buf;

    while (len > 0) {
        long n = host_call3(HOST_write, file, (long)from, (long)len);

        if (n == -HOST_EINTR)
            continue;
        if (n <= 0)
            return;
        from += n;
        len -= (size_t)n;
    }
}

void hal_core_ram(uint64_t offset, paddr_t pa, size_t len)
{
    while (len > 0) {
        long n =
            host_call4(HOST_pwrite64, file, (long)hal_phys_to_virt(pa), (long)len, (long)offset);

        if (n == -HOST_EINTR)
            continue;
        if (n <= 0)
            return;
        offset += (uint64_t)n;
        pa += (uint64_t)n;
        len -= (size_t)n;
    }
}

void hal_core_end(void)
{
    static const char said[] = "selkie: core file: ";

    (void)host_call3(HOST_close, file, 0, 0);
    hal_console_panic(said, sizeof(said) - 1);
    hal_console_panic(hosted_config.core, strlen(hosted_config.core));
    hal_console_panic("\n", 1);
}
