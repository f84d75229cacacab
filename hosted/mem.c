/* SPDX-License-Identifier: BSD-3-Clause */
/* mem.c - RAM is a memfd, mapped whole at hosted_direct_map; the initial archive is a read-only
 * mapping of its file. */
#include "hosted.h"

uintptr_t hosted_direct_map;

static struct hal_region ram;
static struct hal_boot_info boot_info;

void hosted_inner_init(void)
{
    const struct hosted_config *c = &hosted_config;

    hosted_pid = (int32_t)host_call3(HOST_getpid, 0, 0, 0);
    ram = (struct hal_region){.base = c->ram_base, .len = c->ram_size};
    boot_info = (struct hal_boot_info){
        .ram = &ram,
        .ram_count = 1,
        .ram_zeroed = true,
        .cmdline = c->cmdline,
        .initrd = c->initrd,
        .initrd_len = c->initrd_size,
        .ram_total = c->ram_size,
        .machine = "hosted",
    };
    hosted_direct_map = c->direct_map;
    isa_fp_setup();
    hosted_mmu_init();
    hosted_signals_install();
}

bool hosted_window(unsigned i, uintptr_t *lo, uintptr_t *hi)
{
    const struct hal_layout *l = hal_layout();

    if (i >= l->user_count)
        return false;
    *lo = l->user[i].lo;
    *hi = l->user[i].hi;
    return true;
}

const struct hal_boot_info *hal_boot_info(void)
{
    return &boot_info;
}
