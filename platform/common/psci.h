/* SPDX-License-Identifier: BSD-3-Clause */
/* psci.h - Power State Coordination Interface (Arm DEN 0022), through the conduit that the device
 * tree names. AArch64 only. */
#ifndef SELKIE_PSCI_H
#define SELKIE_PSCI_H

#include "common/dtb.h"

/* Read the "psci" node. False if there is none: all calls then fail. */
bool psci_init(const struct dtb *dtb);
/* Start the CPU with this MPIDR at physical address `entry`, x0 = context. 0 or -EIO. */
int must_check psci_cpu_on(uint64_t mpidr, paddr_t entry, uint64_t context);
/* These return only if the machine cannot. */
void psci_system_off(void);
void psci_system_reset(void);

#endif
