/* SPDX-License-Identifier: BSD-3-Clause */
/* netlink_option.c - options of AF_NETLINK sockets (netlink(7)). Those whose subject is not here
 * (NETLINK_BROADCAST_ERROR, NETLINK_LISTEN_ALL_NSID) are kept for who asks. */
#include "net/netlink.h"

#include "fs/vfs.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/usercopy.h"
#include "net/socket.h"

enum {
    ADD_MEMBERSHIP = 1,
    DROP_MEMBERSHIP = 2,
    BROADCAST_ERROR = 4,
    LISTEN_ALL_NSID = 8,
    LIST_MEMBERSHIPS = 9
};
#define SWITCHES \
    (1u << NETLINK_PKTINFO | 1u << BROADCAST_ERROR | 1u << NETLINK_NO_ENOBUFS | \
     1u << LISTEN_ALL_NSID | 1u << NETLINK_CAP_ACK | 1u << NETLINK_EXT_ACK | \
     1u << NETLINK_GET_STRICT_CHK)
#define GROUPS_STORED 32u /* of those that there are messages to; others may be asked for */
#define GROUPS_MOST 64u

static bool is_switch(int name)
{
    return name >= NETLINK_PKTINFO && name <= NETLINK_GET_STRICT_CHK && (SWITCHES >> name & 1);
}

static int change_group(struct netlink_choice *choice, bool add, uint32_t group)
{
    if (group < 1 || group > GROUPS_MOST)
        return -EINVAL;
    uint32_t bit = group <= GROUPS_STORED ? 1u << (group - 1) : 0;
    if (add)
        __atomic_fetch_or(&choice->groups, bit, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&choice->groups, ~bit, __ATOMIC_RELAXED);
    return 0;
}

int netlink_choose(struct netlink_choice *choice, int level, int name, uaddr_t value, unsigned len)
{
    uint32_t number = 0; /* as Linux: too short is 0 */
    if (level != SOL_NETLINK)
        return -ENOPROTOOPT;
    int err = len >= sizeof(number) ? copyin(&number, value, sizeof(number)) : 0;
    if (err)
        return err;
    if (name == ADD_MEMBERSHIP || name == DROP_MEMBERSHIP)
        return change_group(choice, name == ADD_MEMBERSHIP, number);
    if (!is_switch(name))
        return -ENOPROTOOPT;
    if (name == LISTEN_ALL_NSID && proc_cred()->euid != 0)
        return -EPERM;
    if (number)
        __atomic_fetch_or(&choice->switches, (uint16_t)(1u << name), __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&choice->switches, (uint16_t) ~(1u << name), __ATOMIC_RELAXED);
    return 0;
}

int netlink_chosen(const struct netlink_choice *choice, int level, int name, void *value,
                   unsigned *len)
{
    uint32_t out[2] = {0, 0};
    unsigned size = sizeof(out[0]);
    if (level != SOL_NETLINK || !(is_switch(name) || name == LIST_MEMBERSHIPS))
        return -ENOPROTOOPT;
    if (name == LIST_MEMBERSHIPS) { /* words, as many as there is room for; told is how many */
        out[0] = __atomic_load_n(&choice->groups, __ATOMIC_RELAXED);
        size = sizeof(out);
        memcpy(value, out, MIN(*len & ~3u, size));
        *len = size;
        return 0;
    }
    if (*len < size)
        return -EINVAL;
    out[0] = netlink_switch(choice, name);
    memcpy(value, out, size);
    *len = size;
    return 0;
}
