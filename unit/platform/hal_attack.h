/* SPDX-License-Identifier: BSD-3-Clause */
/* hal_attack.h - what the HAL's test kernel does when it is told to misbehave: one forbidden thing
 * per boot, which the machine must stop (tools/tests/attacks, docs/security.md). */
#ifndef SELKIE_UNIT_HAL_ATTACK_H
#define SELKIE_UNIT_HAL_ATTACK_H

#include "hal.h"

/* Do what the word attack=NAME of the command line says; without one, nothing. Comes back only from
 * what is no attack. `boot` is the executing context. */
void hal_attack(struct hal_ctx *boot, paddr_t (*page_alloc)(void));

/* Those of one machine; the array ends with a NULL name. hal_attack_<isa>.c */
struct hal_attack {
    const char *name;
    void (*body)(void);
};
extern const struct hal_attack hal_attacks_isa[];

#endif
