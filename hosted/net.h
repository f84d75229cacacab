/* SPDX-License-Identifier: BSD-3-Clause */
/* net.h - the network device of the hosted machine: dev.c finds it, dev_net.c is it. */
#ifndef SELKIE_HOSTED_NET_H
#define SELKIE_HOSTED_NET_H

#include "hosted.h"

#define NET_WINDOW 0x200u /* bytes of its register window */
#define NET_IRQ 1u

bool net_present(void);
uint32_t net_read(unsigned offset, unsigned width);
void net_write(unsigned offset, uint32_t value, unsigned width);
void net_irq_unmask(void);
/* There is a link, or none any more: a change is the driver's to know. */
void net_link(bool up);
/* HOSTED_IRQ_NET. */
void net_interrupt(struct vcpu *v);

#endif
