/* SPDX-License-Identifier: BSD-3-Clause */
/* hal_attack_aarch64.c - forbidden things that only exist on aarch64. */
#include "hal_attack.h"

const struct hal_attack hal_attacks_isa[] = {
    {NULL, NULL},
};
