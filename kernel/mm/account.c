/* SPDX-License-Identifier: BSD-3-Clause */
/* account.c - the accounts themselves. See account.h. */
#include "mm/account.h"

struct memory_account memory_accounts[OWNER_COUNT];
void (*memory_account_more[OWNER_COUNT])(struct memory_account *sum);

const char *const memory_owner_names[OWNER_COUNT] = {
    [OWNER_THREAD] = "thread",     [OWNER_KERNEL_STACK] = "kernel_stack",
    [OWNER_PROCESS] = "process",   [OWNER_AREA] = "vm_area_struct",
    [OWNER_INODE] = "inode_cache", [OWNER_DENTRY] = "dentry",
    [OWNER_FILE] = "filp",         [OWNER_PIPE] = "pipe",
    [OWNER_EVENT] = "event",       [OWNER_SOCKET] = "sock",
    [OWNER_PACKET] = "net",
};
