/* SPDX-License-Identifier: BSD-3-Clause */
/* vdso_data.h - the page that the kernel writes and the vDSO reads; mapped right below the vDSO
 * image. No pointers. */
#ifndef SELKIE_VDSO_DATA_H
#define SELKIE_VDSO_DATA_H
#include <stdint.h>
struct vdso_data {
    uint32_t seq;  /* odd while the kernel writes */
    uint32_t kind; /* enum hal_clock_kind; 0: make the system call */
    uint32_t shift, pad;
    uint64_t mult, base, base_ns;
    uint64_t wall_base_ns; /* CLOCK_REALTIME = this + monotonic */
};
#endif
