/* SPDX-License-Identifier: BSD-3-Clause */
/* faulty_netdev.h - network devices that let senders wait and lose what they are given, at random
 * (core/chaos.h). */
#ifndef SELKIE_DRV_FAULTY_NETDEV_H
#define SELKIE_DRV_FAULTY_NETDEV_H

/* All devices that are registered from here on. Boot. */
void faulty_netdev_start(void);

#endif
