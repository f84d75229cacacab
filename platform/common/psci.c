/* SPDX-License-Identifier: BSD-3-Clause */
/* psci.c - PSCI calls: see psci.h. Function identifiers: DEN 0022, chapter 5. */
#include "common/psci.h"

#if defined(__aarch64__)

#include "lib/errno.h"
#include "lib/string.h"

#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u
#define PSCI_CPU_ON_64 0xc4000003u
#define PSCI_FAILED (-1)

static enum { CONDUIT_NONE, CONDUIT_HVC, CONDUIT_SMC } conduit;
static uint64_t cpu_on_id = PSCI_CPU_ON_64;

bool psci_init(const struct dtb *dtb)
{
    dtb_node node = dtb_path(dtb, "/psci", 5);
    const char *method = dtb_string(dtb, node, "method");
    uint32_t id;

    if (!method)
        return false;
    conduit = strcmp(method, "smc") == 0   ? CONDUIT_SMC
              : strcmp(method, "hvc") == 0 ? CONDUIT_HVC
                                           : CONDUIT_NONE;
    /* Version 0.1 chose its own numbers. */
    if (!dtb_lists(dtb, node, "compatible", "arm,psci-0.2") &&
        !dtb_lists(dtb, node, "compatible", "arm,psci-1.0") &&
        dtb_cell(dtb, node, "cpu_on", 0, &id))
        cpu_on_id = id;
    return conduit != CONDUIT_NONE;
}

/* SMC Calling Convention: x0..x3 in, x0 out; the callee may change x0..x17. */
static int64_t call(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
    register uint64_t x0 __asm__("x0") = function;
    register uint64_t x1 __asm__("x1") = a;
    register uint64_t x2 __asm__("x2") = b;
    register uint64_t x3 __asm__("x3") = c;

    if (conduit == CONDUIT_HVC)
        __asm__ volatile("hvc #0"
                         : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                         :
                         : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
                           "x15", "x16", "x17", "memory");
    else if (conduit == CONDUIT_SMC)
        __asm__ volatile("smc #0"
                         : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                         :
                         : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
                           "x15", "x16", "x17", "memory");
    else
        return PSCI_FAILED;
    return (int32_t)x0;
}

int psci_cpu_on(uint64_t mpidr, paddr_t entry, uint64_t context)
{
    return call(cpu_on_id, mpidr, entry, context) == 0 ? 0 : -EIO;
}

void psci_system_off(void)
{
    (void)call(PSCI_SYSTEM_OFF, 0, 0, 0);
}

void psci_system_reset(void)
{
    (void)call(PSCI_SYSTEM_RESET, 0, 0, 0);
}

#endif
